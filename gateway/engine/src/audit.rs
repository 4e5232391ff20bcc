//! What operators did, newest first: leaves of the evidence log, found by looking backwards through it.

use std::collections::HashMap;

use gateway_evidence::merkle::leaf_hash;
use gateway_evidence::{Act, ActKind, Event, EventKind};
use gateway_model::id::OperatorId;
use gateway_model::{Digest, Reason, Refusal, Timestamp};
use gateway_store::rows::LeafRow;

use crate::operate::Operate;
use crate::steps::store::store_refusal;

/// Leaves looked at for one page: a page may then hold fewer entries than asked for, and its token goes on.
const LEAVES_LOOKED_AT_MAX: u64 = 100_000;
/// Leaves read at a time.
const LEAVES_AT_ONCE: u64 = 4_096;

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only this operator.
    pub operator: Option<OperatorId>,
    /// Entries at most.
    pub limit: usize,
    /// Only leaves before this one; `None` from the end of the log.
    pub before: Option<u64>,
}

/// One page.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<AuditEntry>,
    /// Where the next page goes on; `None` at the beginning of the log.
    pub next: Option<u64>,
}

/// One thing that an operator did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// Index of its leaf.
    pub leaf_index: u64,
    /// What was done.
    pub what: Done,
    /// Where from: address and port, as this gateway saw it; empty where it is not noted.
    pub address: String,
}

/// What was done, by the leaf that says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// Something about one envelope.
    Event(Box<Event>),
    /// Anything else.
    Act(Act),
}

impl Operate {
    /// What operators did, newest first, in pages.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Refusal> {
        let store = &self.engine().store;
        let refuse = |error| store_refusal(self.engine(), &error);
        let size = store.counts().await.map_err(refuse)?.log_size;
        let mut end = query.before.map_or(size, |before| before.min(size));
        let lowest = end.saturating_sub(LEAVES_LOOKED_AT_MAX);
        let mut looking = Looking::new(query);
        while end > lowest && looking.goes_on(end) {
            let begin = end.saturating_sub(LEAVES_AT_ONCE).max(lowest);
            let rows = usize::try_from(end - begin).unwrap_or(usize::MAX);
            let leaves = store.leaves(begin, rows).await.map_err(refuse)?;
            leaves.iter().rev().for_each(|leaf| looking.at(leaf));
            end = begin;
        }
        Ok(looking.page(lowest))
    }
}

/// A page in the making, leaf by leaf, the newest first.
struct Looking<'a> {
    query: &'a AuditQuery,
    entries: Vec<AuditEntry>,
    /// Acts that events on the page rest on, by the hashes of their leaves, with the places of the events.
    wanted: HashMap<Digest, usize>,
    /// Where the page ended; from there on only what is wanted is looked for.
    ended: Option<Ended>,
}

#[derive(Clone, Copy)]
struct Ended {
    leaf: u64,
    next: Option<u64>,
}

impl<'a> Looking<'a> {
    fn new(query: &'a AuditQuery) -> Self {
        Self { query, entries: Vec::new(), wanted: HashMap::new(), ended: None }
    }

    /// Whether to read on before leaf `end`. An act stands shortly before the event that rests on it.
    fn goes_on(&self, end: u64) -> bool {
        let nearby = |ended: Ended| !self.wanted.is_empty() && ended.leaf.saturating_sub(end) < LEAVES_AT_ONCE;
        self.ended.is_none_or(nearby)
    }

    fn at(&mut self, leaf: &LeafRow) {
        let Some(what) = Done::of(leaf) else { return };
        if let Done::Act(act) = &what
            && act.kind == ActKind::Moved
        {
            // It says no more than its event, but for the address.
            let place = self.wanted.remove(&leaf_hash(&leaf.bytes));
            if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
                entry.address.clone_from(&act.address);
            }
            return;
        }
        if self.ended.is_some() {
            return;
        }
        if self.query.since.is_some_and(|since| what.at() < since) {
            self.ended = Some(Ended { leaf: leaf.index, next: None });
            return;
        }
        if self.query.fits(&what) {
            self.take(leaf.index, what);
        }
        if self.entries.len() >= self.query.limit.max(1) {
            self.ended = Some(Ended { leaf: leaf.index, next: Some(leaf.index).filter(|index| *index > 0) });
        }
    }

    fn take(&mut self, leaf_index: u64, what: Done) {
        let address = match &what {
            Done::Act(act) => act.address.clone(),
            Done::Event(event) => {
                if let Some(act) = event.rests_on {
                    self.wanted.insert(act, self.entries.len());
                }
                String::new()
            }
        };
        self.entries.push(AuditEntry { leaf_index, what, address });
    }

    fn page(self, lowest: u64) -> AuditPage {
        let next = match self.ended {
            Some(ended) => ended.next,
            None => Some(lowest).filter(|lowest| *lowest > 0),
        };
        AuditPage { entries: self.entries, next }
    }
}

impl AuditQuery {
    fn fits(&self, what: &Done) -> bool {
        self.until.is_none_or(|until| what.at() < until)
            && self.operator.as_ref().is_none_or(|operator| what.operator() == operator.as_str())
    }
}

impl Done {
    /// Reads a leaf; `None` when no operator did it.
    fn of(leaf: &LeafRow) -> Option<Self> {
        if leaf.envelope.is_none() {
            return Act::decode(&leaf.bytes).ok().map(Self::Act);
        }
        let event = Event::decode(&leaf.bytes).ok()?;
        let by_operator = match event.kind {
            EventKind::Released | EventKind::Retried | EventKind::Returned => true,
            EventKind::Held => event.reason == Some(Reason::HeldByOperator),
            EventKind::Rerouted => !event.note.is_empty(),
            EventKind::Accepted
            | EventKind::Forwarded
            | EventKind::Delivered
            | EventKind::Refused
            | EventKind::Expired
            | EventKind::Succeeded
            | EventKind::Recorded => false,
        };
        by_operator.then(|| Self::Event(Box::new(event)))
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Event(event) => event.at,
            Self::Act(act) => act.at,
        }
    }

    /// Who.
    pub fn operator(&self) -> &str {
        match self {
            Self::Event(event) => &event.counterpart,
            Self::Act(act) => act.operator.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_model::id::{AgencyId, EnvelopeId, GatewayId};
    use gateway_store::rows::EnvelopeSeq;

    use super::*;

    const ADDRESS: &str = "10.20.0.7:50112";

    fn act(kind: ActKind) -> Act {
        Act {
            kind,
            gateway: GatewayId::parse("gw").unwrap(),
            at: Timestamp::from_seconds(1_790_000_000),
            operator: OperatorId::parse("op-lan").unwrap(),
            subject: "delivery:1 held".to_owned(),
            note: String::new(),
            address: ADDRESS.to_owned(),
        }
    }

    fn held(rests_on: Option<Digest>) -> Event {
        Event {
            kind: EventKind::Held,
            gateway: GatewayId::parse("gw").unwrap(),
            at: Timestamp::from_seconds(1_790_000_000),
            sender: AgencyId::parse("h99").unwrap(),
            envelope_id: EnvelopeId([7; 16]),
            envelope_digest: Digest::of(b"envelope"),
            recipients: Vec::new(),
            reason: Some(Reason::HeldByOperator),
            counterpart: "op-lan".to_owned(),
            attempt: 0,
            rests_on,
            verification: None,
            note: "x".to_owned(),
        }
    }

    fn leaf(index: u64, bytes: bytes::Bytes, envelope: Option<EnvelopeSeq>) -> LeafRow {
        LeafRow { index, envelope, bytes }
    }

    /// Leaf index and address of each entry.
    fn listed(query: &AuditQuery, leaves: &[LeafRow]) -> (Vec<(u64, String)>, Option<u64>) {
        let mut looking = Looking::new(query);
        leaves.iter().rev().for_each(|leaf| looking.at(leaf));
        let page = looking.page(0);
        (page.entries.into_iter().map(|entry| (entry.leaf_index, entry.address)).collect(), page.next)
    }

    #[test]
    fn a_move_has_the_address_of_the_act_that_it_rests_on_also_where_the_page_ends_between_them() {
        let moved = act(ActKind::Moved).encode();
        let envelope = Some(EnvelopeSeq(1));
        let leaves = [
            leaf(1, act(ActKind::Paused).encode(), None),
            leaf(2, moved.clone(), None),
            leaf(3, held(Some(leaf_hash(&moved))).encode(), envelope),
            leaf(4, held(None).encode(), envelope),
        ];
        let entry = |index: u64, address: &str| (index, address.to_owned());
        let whole = AuditQuery { limit: 10, ..AuditQuery::default() };
        assert_eq!(
            listed(&whole, &leaves),
            (vec![entry(4, ""), entry(3, ADDRESS), entry(1, ADDRESS)], None),
            "a move is told once; one of old has no address"
        );
        let page = AuditQuery { limit: 2, ..AuditQuery::default() };
        assert_eq!(listed(&page, &leaves), (vec![entry(4, ""), entry(3, ADDRESS)], Some(3)));
        assert_eq!(listed(&page, &leaves[..2]), (vec![entry(1, ADDRESS)], None), "the page after it");
    }

    #[test]
    fn what_a_full_page_still_wants_is_looked_for_nearby_and_no_further() {
        let query = AuditQuery { limit: 1, ..AuditQuery::default() };
        let mut looking = Looking::new(&query);
        assert!(looking.goes_on(9_000));
        looking.at(&leaf(9_000, held(Some(Digest::of(b"act"))).encode(), Some(EnvelopeSeq(1))));
        assert!(looking.goes_on(9_000 - LEAVES_AT_ONCE + 1) && !looking.goes_on(9_000 - LEAVES_AT_ONCE));
        let mut looking = Looking::new(&query);
        looking.at(&leaf(9_000, act(ActKind::Paused).encode(), None));
        assert!(!looking.goes_on(9_000), "nothing is wanted");
    }
}
