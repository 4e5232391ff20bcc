//! What operators did, newest first: leaves of the evidence log, found by looking backwards through it.

use gateway_evidence::{Act, Event, EventKind};
use gateway_model::id::OperatorId;
use gateway_model::{Reason, Refusal, Timestamp};
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
        let mut entries = Vec::new();
        while end > lowest {
            let begin = end.saturating_sub(LEAVES_AT_ONCE).max(lowest);
            let rows = usize::try_from(end - begin).unwrap_or(usize::MAX);
            let leaves = store.leaves(begin, rows).await.map_err(refuse)?;
            for leaf in leaves.iter().rev() {
                let Some(what) = Done::of(leaf) else { continue };
                if query.since.is_some_and(|since| what.at() < since) {
                    return Ok(AuditPage { entries, next: None });
                }
                if query.fits(&what) {
                    entries.push(AuditEntry { leaf_index: leaf.index, what });
                }
                if entries.len() >= query.limit.max(1) {
                    return Ok(AuditPage { entries, next: Some(leaf.index).filter(|index| *index > 0) });
                }
            }
            end = begin;
        }
        Ok(AuditPage { entries, next: Some(lowest).filter(|lowest| *lowest > 0) })
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
