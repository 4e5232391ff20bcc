//! The rows and the durable steps: each decides first and writes after.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use gateway_evidence::{Log, Receipt};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeKey};
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Timestamp};

use super::queue::{Item, Queue};
use crate::accept::{Accept, Accepted, NewDelivery};
use crate::change::{Change, Changed};
use crate::claim::{Claim, Lane, Leased, NewReturn, ReturnWhat, Work};
use crate::mark::Mark;
use crate::record::{self, Record, Recorded};
use crate::rows::{DeliveryRow, EnvelopeRow, EnvelopeSeq, EventRow, EventSource, ReturnId, ReturnRow};
use crate::settle::{Attempted, ForeignReceipt, ReturnState, Settle, SettleReturn, Settled};
use crate::{Conflict, StoreError};

/// All that is kept.
pub(super) struct State {
    log: Log,
    /// The receipt of every leaf, in the order of the log.
    pub(super) receipts: Vec<Receipt>,
    /// What each leaf is about.
    pub(super) abouts: Vec<Option<EnvelopeSeq>>,
    pub(super) marks: BTreeMap<String, Bytes>,
    pub(super) envelopes: BTreeMap<EnvelopeSeq, Envelope>,
    pub(super) by_key: HashMap<EnvelopeKey, EnvelopeSeq>,
    pub(super) deliveries: HashMap<DeliveryId, DeliveryRow>,
    pub(super) returns: BTreeMap<ReturnId, Return>,
    queue: Queue,
    /// Position of the next line of any envelope's history.
    position: u64,
    /// Number of the next receipt on its way back.
    next_return: u64,
}

/// An envelope with what hangs on it.
pub(super) struct Envelope {
    pub(super) row: Arc<EnvelopeRow>,
    /// Serialized `SignedEnvelope`; `None` once purged.
    pub(super) signed: Option<Bytes>,
    /// In the order in which they were kept.
    pub(super) deliveries: Vec<DeliveryId>,
    pub(super) events: Vec<EventRow>,
    /// Leaf hashes of the foreign receipts in `events`.
    foreign: HashSet<Digest>,
}

/// A receipt on its way back with its lane.
pub(super) struct Return {
    row: ReturnRow,
    lane: Lane,
}

/// How a step moves one delivery.
struct Move<'a> {
    at: Timestamp,
    to: &'a DeliveryState,
    wake: Option<Timestamp>,
    lane: Option<&'a Lane>,
    serving: Option<&'a AgencyId>,
    attempted: Attempted,
}

impl State {
    pub(super) fn new(log: Log) -> Self {
        Self {
            log,
            receipts: Vec::new(),
            abouts: Vec::new(),
            marks: BTreeMap::new(),
            envelopes: BTreeMap::new(),
            by_key: HashMap::new(),
            deliveries: HashMap::new(),
            returns: BTreeMap::new(),
            queue: Queue::default(),
            position: 0,
            next_return: 0,
        }
    }

    pub(super) fn accept(&mut self, accept: Accept) -> Result<Accepted, StoreError> {
        let Some(&seq) = self.by_key.get(accept.envelope.key()) else { return Ok(self.accept_first(accept)) };
        let row = self.envelope(seq)?.row.clone();
        if row.digest != accept.envelope.digest() {
            return Err(Conflict::OtherDigest.into());
        }
        let is_new = |delivery: &NewDelivery| !self.deliveries.contains_key(&delivery.id);
        let added: Vec<NewDelivery> = accept.deliveries.into_iter().filter(is_new).collect();
        if added.is_empty() {
            let receipt =
                self.receipt(row.accepted_leaf).ok_or_else(|| corrupt("an envelope without its first leaf"))?;
            return Ok(Accepted { seq, receipt, duplicate: true });
        }
        let receipt = self.append(accept.leaf, Some(seq));
        self.envelope_mut(seq)?.signed.get_or_insert_with(|| accept.envelope.signed().clone());
        self.keep_deliveries(seq, added, accept.envelope.header().received_at);
        self.remember(seq, receipt.clone(), EventSource::Own);
        Ok(Accepted { seq, receipt, duplicate: false })
    }

    fn accept_first(&mut self, accept: Accept) -> Accepted {
        let seq = EnvelopeSeq(self.envelopes.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let receipt = self.append(accept.leaf, Some(seq));
        let envelope = &accept.envelope;
        let row = EnvelopeRow {
            seq,
            key: envelope.key().clone(),
            digest: envelope.digest(),
            header: envelope.header().clone(),
            accepted_leaf: receipt.leaf_index,
        };
        let kept = Envelope {
            row: Arc::new(row),
            signed: Some(envelope.signed().clone()),
            deliveries: Vec::with_capacity(accept.deliveries.len()),
            events: Vec::new(),
            foreign: HashSet::new(),
        };
        self.envelopes.insert(seq, kept);
        self.by_key.insert(envelope.key().clone(), seq);
        self.keep_deliveries(seq, accept.deliveries, envelope.header().received_at);
        self.remember(seq, receipt.clone(), EventSource::Own);
        Accepted { seq, receipt, duplicate: false }
    }

    pub(super) fn settle(&mut self, settle: Settle) -> Result<Settled, StoreError> {
        let leased = |lease: &crate::claim::Lease| self.queue.holds(Item::Delivery(lease.delivery), lease.token);
        let first = settle.leases.first().ok_or(Conflict::Stale)?.delivery;
        if !settle.leases.iter().all(leased) {
            return Err(Conflict::Stale.into());
        }
        let seq = self.deliveries.get(&first).ok_or(Conflict::Stale)?.envelope;
        let foreign = settle.foreign.as_ref().map(read_foreign).transpose()?;
        check_returns(&settle.returns, settle.leaf.is_some(), foreign.is_some())?;
        for lease in &settle.leases {
            self.move_delivery(
                lease.delivery,
                &Move {
                    at: settle.at,
                    to: &settle.to,
                    wake: settle.to.due().or(settle.wake),
                    lane: settle.lane.as_ref(),
                    serving: settle.serving.as_ref(),
                    attempted: settle.attempted,
                },
            );
        }
        // What the other gateway said was known before what this one made of it.
        if let (Some(foreign), Some(receipt)) = (&settle.foreign, foreign) {
            self.remember_foreign(seq, foreign.leaf_hash, receipt);
        }
        let receipt = settle.leaf.map(|leaf| self.append(leaf, Some(seq)));
        if let Some(receipt) = &receipt {
            self.remember(seq, receipt.clone(), EventSource::Own);
        }
        self.keep_returns(settle.returns, receipt.as_ref(), settle.foreign.as_ref());
        Ok(Settled { receipt })
    }

    pub(super) fn change(&mut self, change: Change) -> Result<Changed, StoreError> {
        let row = self.deliveries.get(&change.delivery).ok_or(Conflict::Unknown)?;
        if !change.expect.contains(&row.state.status()) {
            return Err(Conflict::Status.into());
        }
        let seq = row.envelope;
        check_returns(&change.returns, true, false)?;
        self.move_delivery(
            change.delivery,
            &Move {
                at: change.at,
                to: &change.to,
                wake: change.to.due(),
                lane: change.lane.as_ref(),
                serving: change.serving.as_ref(),
                attempted: Attempted::No,
            },
        );
        let receipt = self.append(change.leaf, Some(seq));
        self.remember(seq, receipt.clone(), EventSource::Own);
        self.keep_returns(change.returns, Some(&receipt), None);
        let delivery = self.deliveries.get(&change.delivery).ok_or(Conflict::Unknown)?.clone();
        Ok(Changed { receipt, delivery })
    }

    pub(super) fn record(&mut self, record: Record) -> Result<Recorded, StoreError> {
        let seq = *self.by_key.get(&record.envelope).ok_or(Conflict::Unknown)?;
        let envelope = self.envelope(seq)?;
        if envelope.foreign.contains(&record.foreign.leaf_hash) {
            return Ok(Recorded::Known);
        }
        let foreign = read_foreign(&record.foreign)?;
        check_returns(&record.returns, true, true)?;
        for (delivery, to) in &record.states {
            self.record_state(seq, *delivery, to, record.at);
        }
        self.remember_foreign(seq, record.foreign.leaf_hash, foreign);
        let receipt = self.append(record.leaf, Some(seq));
        self.remember(seq, receipt.clone(), EventSource::Own);
        self.keep_returns(record.returns, Some(&receipt), Some(&record.foreign));
        Ok(Recorded::New)
    }

    /// Applies what a foreign receipt says of a delivery, unless its state stays.
    fn record_state(&mut self, seq: EnvelopeSeq, id: DeliveryId, to: &DeliveryState, at: Timestamp) {
        let Some(row) = self.deliveries.get(&id).filter(|row| row.envelope == seq) else { return };
        let status = row.state.status();
        if !record::applies(status, to.status()) {
            return;
        }
        // A state that goes on as it is keeps its wake-up: nothing may wait silently.
        let wake = to.due().or(row.wake.filter(|_| status == to.status()));
        self.move_delivery(id, &Move { at, to, wake, lane: None, serving: None, attempted: Attempted::No });
    }

    pub(super) fn mark(&mut self, mark: Mark) -> Result<Option<Receipt>, StoreError> {
        if !mark.is_bounded() {
            return Err(Conflict::TooLarge.into());
        }
        match mark.value {
            Some(value) => self.marks.insert(mark.name, value),
            None => self.marks.remove(&mark.name),
        };
        Ok(mark.leaf.map(|leaf| self.append(leaf, None)))
    }

    pub(super) fn settle_returns(&mut self, settles: Vec<SettleReturn>) -> Result<(), StoreError> {
        if !settles.iter().all(|settle| self.queue.holds(Item::Return(settle.lease.id), settle.lease.token)) {
            return Err(Conflict::Stale.into());
        }
        for settle in settles {
            let id = settle.lease.id;
            let Some(kept) = self.returns.get_mut(&id) else { continue };
            let wake = match settle.to {
                ReturnState::Waiting { due, .. } => Some(due),
                ReturnState::Done | ReturnState::Held { .. } => None,
            };
            kept.row.attempts += 1;
            self.queue.set(Item::Return(id), &kept.lane, wake);
            if settle.to == ReturnState::Done {
                self.returns.remove(&id);
            }
        }
        Ok(())
    }

    pub(super) fn claim_due(&mut self, claim: &Claim) -> Result<Vec<Leased>, StoreError> {
        let mut taken = Vec::new();
        for (lane, limit) in &claim.lanes {
            for (item, token) in self.queue.claim(lane, *limit, claim.now, claim.lease_until) {
                let work = self.work(item)?;
                taken.push(Leased { lane: lane.clone(), token, lease_until: claim.lease_until, work });
            }
        }
        Ok(taken)
    }

    pub(super) fn extend(&mut self, leases: &[crate::claim::Lease], until: Timestamp) -> Result<(), StoreError> {
        if !leases.iter().all(|lease| self.queue.holds(Item::Delivery(lease.delivery), lease.token)) {
            return Err(Conflict::Stale.into());
        }
        for lease in leases {
            self.queue.extend(Item::Delivery(lease.delivery), until);
        }
        Ok(())
    }

    /// Wakes at `now` what waits to be tried again and would wake after `latest`.
    pub(super) fn wake_what_lies_too_far_ahead(&mut self, now: Timestamp, latest: Timestamp) {
        for (item, lane) in self.queue.later_than(latest) {
            match item {
                Item::Return(_) => self.queue.set(item, &lane, Some(now)),
                Item::Delivery(id) => {
                    let Some(row) = self.deliveries.get_mut(&id) else { continue };
                    if let DeliveryState::Waiting { due, .. } = &mut row.state {
                        (*due, row.wake) = (now, Some(now));
                        self.queue.set(item, &lane, row.wake);
                    }
                }
            }
        }
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(super) fn receipt(&self, leaf_index: u64) -> Option<Receipt> {
        usize::try_from(leaf_index).ok().and_then(|index| self.receipts.get(index)).cloned()
    }

    fn work(&self, item: Item) -> Result<Work, StoreError> {
        match item {
            Item::Return(id) => {
                let kept = self.returns.get(&id).ok_or_else(|| corrupt("a wake-up without its return"))?;
                Ok(Work::Return(kept.row.clone()))
            }
            Item::Delivery(id) => {
                let delivery =
                    self.deliveries.get(&id).ok_or_else(|| corrupt("a wake-up without its delivery"))?.clone();
                let kept = self.envelope(delivery.envelope)?;
                let signed = kept.signed.clone().ok_or_else(|| corrupt("an open delivery without its body"))?;
                Ok(Work::Deliver { delivery, envelope: kept.row.clone(), signed })
            }
        }
    }

    /// Appends one leaf to the log. Each step is a batch of its own.
    fn append(&mut self, leaf: Bytes, about: Option<EnvelopeSeq>) -> Receipt {
        let batch = self.log.append(&[leaf]);
        self.log.advance(&batch);
        let index = self.receipts.len();
        self.abouts.push(about);
        self.receipts.extend(batch.receipts);
        self.receipts[index].clone()
    }

    fn keep_deliveries(&mut self, seq: EnvelopeSeq, added: Vec<NewDelivery>, at: Timestamp) {
        for NewDelivery { id, recipient, lane, state } in added {
            let wake = state.due();
            self.queue.set(Item::Delivery(id), &lane, wake);
            let row = DeliveryRow { id, envelope: seq, recipient, lane, state, wake, attempts: 0, since: at };
            let is_new = self.deliveries.insert(id, row).is_none();
            if let Some(envelope) = self.envelopes.get_mut(&seq).filter(|_| is_new) {
                envelope.deliveries.push(id);
            }
        }
    }

    fn move_delivery(&mut self, id: DeliveryId, step: &Move<'_>) {
        let Some(row) = self.deliveries.get_mut(&id) else { return };
        if row.state.status() != step.to.status() {
            row.since = step.at;
        }
        row.state = step.to.clone();
        row.wake = step.wake;
        row.attempts += u32::from(step.attempted == Attempted::Yes);
        if let Some(lane) = step.lane {
            row.lane = lane.clone();
        }
        if let Some(serving) = step.serving {
            row.recipient.serving = serving.clone();
        }
        self.queue.set(Item::Delivery(id), &row.lane, row.wake);
    }

    fn keep_returns(&mut self, returns: Vec<NewReturn>, own: Option<&Receipt>, foreign: Option<&ForeignReceipt>) {
        for NewReturn { to, lane, due, what } in returns {
            let receipt = match what {
                ReturnWhat::ThisLeaf => own.map(Receipt::encode),
                ReturnWhat::Foreign => foreign.map(|foreign| foreign.bytes.clone()),
            };
            let Some(receipt) = receipt else { continue };
            self.next_return += 1;
            let id = ReturnId(self.next_return);
            self.queue.set(Item::Return(id), &lane, Some(due));
            self.returns.insert(id, Return { row: ReturnRow { id, to, receipt, attempts: 0 }, lane });
        }
    }

    fn remember_foreign(&mut self, seq: EnvelopeSeq, leaf_hash: Digest, receipt: Receipt) {
        let is_new = self.envelopes.get_mut(&seq).is_some_and(|envelope| envelope.foreign.insert(leaf_hash));
        if is_new {
            self.remember(seq, receipt, EventSource::Foreign);
        }
    }

    fn remember(&mut self, seq: EnvelopeSeq, receipt: Receipt, source: EventSource) {
        self.position += 1;
        if let Some(envelope) = self.envelopes.get_mut(&seq) {
            envelope.events.push(EventRow { position: self.position, receipt, source });
        }
    }

    fn envelope(&self, seq: EnvelopeSeq) -> Result<&Envelope, StoreError> {
        self.envelopes.get(&seq).ok_or_else(|| corrupt("a number without its envelope"))
    }

    fn envelope_mut(&mut self, seq: EnvelopeSeq) -> Result<&mut Envelope, StoreError> {
        self.envelopes.get_mut(&seq).ok_or_else(|| corrupt("a number without its envelope"))
    }
}

fn read_foreign(foreign: &ForeignReceipt) -> Result<Receipt, StoreError> {
    Receipt::decode(&foreign.bytes).map_err(|error| StoreError::Corrupt { what: format!("a foreign receipt: {error}") })
}

/// Each return names a receipt that the step has.
fn check_returns(returns: &[NewReturn], has_leaf: bool, has_foreign: bool) -> Result<(), Conflict> {
    let is_there = |what| match what {
        ReturnWhat::ThisLeaf => has_leaf,
        ReturnWhat::Foreign => has_foreign,
    };
    if returns.iter().all(|new| is_there(new.what)) { Ok(()) } else { Err(Conflict::Unknown) }
}

fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt { what: what.to_owned() }
}
