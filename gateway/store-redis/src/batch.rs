//! One batch: steps applied to what was read. Each step first checks, then changes; a conflict leaves nothing behind.

mod accept;
mod back;
mod change;
mod keep;
mod record;
mod settle;

use bytes::Bytes;
use gateway_evidence::{Batch as Leaves, Log};
use gateway_model::Timestamp;
use gateway_model::id::{AgencyId, DeliveryId};
use gateway_model::state::DeliveryState;
use gateway_store::Conflict;
use gateway_store::claim::{Lane, NewReturn, ReturnWhat};
use gateway_store::record::Recorded;
use gateway_store::rows::DeliveryRow;
use gateway_store::settle::ForeignReceipt;

use crate::codec::Damaged;
use crate::evidence::encode_note;
use crate::failure::Failure;
use crate::keys::{
    BodyId, Keys, event_field, foreign_field, leaf_field, note_field, return_field, return_item, seq_text,
};
use crate::plan::{Plan, word};
use crate::queue::Step;
use crate::rows::{Event, Leaf, WayBack};
use crate::view::View;

pub(crate) use keep::{decode_mark, encode_mark};

/// What stands where a leaf names its envelope, when it is about none.
const ABOUT_NO_ENVELOPE: u64 = 0;

/// Steps applied and not yet durable.
pub(crate) struct Batch<'a> {
    keys: &'a Keys,
    view: View,
    plan: Plan,
    /// Leaves to be appended, in order, with the envelopes that they are about.
    leaves: Vec<(u64, Bytes)>,
    /// Receipts for the way back that are those of leaves of this batch.
    returns_of_leaves: Vec<(WayBack, u64)>,
    bodies: &'a mut BodyNumbers,
}

/// Gives numbers to bodies.
pub(crate) struct BodyNumbers {
    pub(crate) boot: u64,
    pub(crate) next: u64,
}

/// What a step led to. Receipts are known when the leaves of the batch have been appended.
#[derive(Debug)]
pub(crate) enum Done {
    Accepted { seq: u64, leaf: u64, duplicate: bool },
    Settled { leaf: Option<u64> },
    Changed { leaf: u64, delivery: Box<DeliveryRow> },
    Recorded(Recorded),
    Marked { leaf: Option<u64> },
    ReturnsSettled,
    Purged(usize),
    BroughtBack,
}

/// A batch that has only to be committed.
pub(crate) struct Written {
    pub(crate) plan: Plan,
    pub(crate) head: crate::head::Head,
    pub(crate) leaves: Option<Leaves>,
    /// The version that it rests on.
    pub(crate) expected: [u8; 8],
}

/// Where a delivery goes.
struct Move<'a> {
    at: Timestamp,
    state: &'a DeliveryState,
    /// Wake-up for a state that has none of its own.
    wake: Option<Timestamp>,
    lane: Option<&'a Lane>,
    serving: Option<&'a AgencyId>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(keys: &'a Keys, view: View, bodies: &'a mut BodyNumbers) -> Self {
        Self { keys, view, plan: Plan::default(), leaves: Vec::new(), returns_of_leaves: Vec::new(), bodies }
    }

    pub(crate) fn apply(&mut self, step: &Step) -> Result<Done, Failure> {
        match step {
            Step::Accept(accept) => self.accept(accept),
            Step::Settle(settle) => self.settle(settle),
            Step::Change(change) => self.change(change),
            Step::Record(record) => self.record(record),
            Step::Mark(mark) => self.mark(mark),
            Step::SettleReturns(settles) => self.settle_returns(settles),
            Step::Purge { before, limit } => self.purge(*before, *limit),
            Step::BringBack { now, items } => self.bring_back(*now, items),
        }
    }

    /// Appends the leaves under one checkpoint, and gives what is to be committed; `None` when nothing has changed.
    pub(crate) fn finish(mut self, log: &Log) -> Option<Written> {
        self.view.write(self.keys, &mut self.plan);
        if self.plan.is_empty() && self.leaves.is_empty() {
            return None;
        }
        let expected = self.view.head.version_bytes();
        let events: Vec<Bytes> = self.leaves.iter().map(|(_, event)| event.clone()).collect();
        let leaves = (!events.is_empty()).then(|| log.append(&events));
        if let Some(leaves) = &leaves {
            self.write_leaves(leaves);
        }
        let mut head = self.view.head;
        head.version += 1;
        if let Some(leaves) = &leaves {
            (head.log, head.note) = (leaves.next.clone(), Some(leaves.checkpoint.clone()));
        }
        Some(Written { plan: self.plan, head, leaves, expected })
    }

    fn write_leaves(&mut self, leaves: &Leaves) {
        let tree_size = leaves.next.size();
        for ((envelope, event), receipt) in self.leaves.iter().zip(&leaves.receipts) {
            let index = receipt.leaf_index;
            let row =
                Leaf { index, envelope: *envelope, tree_size, event: event.clone(), proof: receipt.proof.clone() };
            self.plan.set(self.keys.log(index), leaf_field(index), row.encode());
        }
        let note = encode_note(tree_size, &leaves.checkpoint);
        self.plan.set(self.keys.log(tree_size.saturating_sub(1)), note_field(tree_size), note);
        for (mut row, index) in std::mem::take(&mut self.returns_of_leaves) {
            let at = usize::try_from(index - leaves.first_index).unwrap_or(usize::MAX);
            if let Some(receipt) = leaves.receipts.get(at) {
                row.receipt = receipt.encode();
                self.plan.set(self.keys.one("back"), return_field(row.id), row.encode());
            }
        }
    }

    /// Takes a leaf into the batch, as a line of its envelope's history; gives its index.
    fn leaf(&mut self, envelope: u64, event: &Bytes) -> Result<u64, Damaged> {
        let index = self.leaf_about_nothing(event);
        if let Some(last) = self.leaves.last_mut() {
            last.0 = envelope;
        }
        self.remember(envelope, &Event::Own(index))?;
        Ok(index)
    }

    fn leaf_about_nothing(&mut self, event: &Bytes) -> u64 {
        let index = self.view.head.log.size() + self.leaves.len() as u64;
        self.leaves.push((ABOUT_NO_ENVELOPE, event.clone()));
        index
    }

    fn remember(&mut self, envelope: u64, event: &Event) -> Result<(), Damaged> {
        let state = self.view.envelope_mut(envelope)?;
        state.events += 1;
        let position = state.events;
        self.plan.set(self.keys.envelope(envelope), event_field(position), event.encode(envelope, position));
        Ok(())
    }

    /// Keeps a foreign receipt unless it is here.
    fn keep_foreign(&mut self, envelope: u64, foreign: &ForeignReceipt) -> Result<(), Damaged> {
        if self.view.foreign.insert((envelope, foreign.leaf_hash), true) == Some(true) {
            return Ok(());
        }
        self.remember(envelope, &Event::Foreign(foreign.bytes.clone()))?;
        self.plan.set(self.keys.envelope(envelope), foreign_field(&foreign.leaf_hash), word("1"));
        Ok(())
    }

    /// Moves a delivery to its new state, with all that follows from it, and ends its lease.
    fn move_delivery(&mut self, id: DeliveryId, to: &Move<'_>) -> Result<(), Failure> {
        let kept = self.view.delivery_mut(id).ok_or(Conflict::Unknown)?;
        let (place, item) = (kept.place, kept.place.item());
        let (before, after) = (kept.row.state.status(), to.state.status());
        kept.is_changed = true;
        kept.lease = None;
        kept.row.state = to.state.clone();
        kept.row.wake = to.state.due().or(to.wake);
        if before != after {
            kept.row.since = to.at;
        }
        if let Some(serving) = to.serving {
            kept.row.recipient.serving = serving.clone();
        }
        let old_lane = to.lane.map(|lane| std::mem::replace(&mut kept.row.lane, lane.clone()));
        let (lane, wake) = (kept.row.lane.clone(), kept.row.wake);
        if let Some(old) = old_lane.filter(|old| *old != lane) {
            self.plan.wake(self.keys, &old, item.clone(), None);
        }
        self.plan.wake(self.keys, &lane, item.clone(), wake);
        self.plan.unset(self.keys.one("leases"), item);
        if before != after {
            self.plan.take(self.keys.status(before.number()), place.newest_first());
            self.plan.put(self.keys.status(after.number()), 0, place.newest_first());
            self.view.head.count_out(before);
            self.view.head.count_in(after);
        }
        match (before.is_final(), after.is_final()) {
            (false, true) => self.close_one(place.envelope, to.at)?,
            (true, false) => self.open_more(place.envelope, 1)?,
            (true, true) | (false, false) => {}
        }
        Ok(())
    }

    /// One delivery less is open; with the last one the envelope is finished.
    fn close_one(&mut self, envelope: u64, at: Timestamp) -> Result<(), Damaged> {
        let state = self.view.envelope_mut(envelope)?;
        state.open = state.open.saturating_sub(1);
        if state.open == 0 {
            self.finish_envelope(envelope, at)?;
        }
        Ok(())
    }

    fn finish_envelope(&mut self, envelope: u64, at: Timestamp) -> Result<(), Damaged> {
        self.view.envelope_mut(envelope)?.final_at = Some(at);
        self.plan.put(self.keys.one("finished"), at.micros(), seq_text(envelope));
        Ok(())
    }

    fn open_more(&mut self, envelope: u64, by: u32) -> Result<(), Damaged> {
        let state = self.view.envelope_mut(envelope)?;
        state.open += by;
        if state.final_at.take().is_some() {
            self.plan.take(self.keys.one("finished"), seq_text(envelope));
        }
        Ok(())
    }

    /// Keeps receipts for the way back.
    fn keep_returns(&mut self, returns: &[NewReturn], leaf: Option<u64>, foreign: Option<&ForeignReceipt>) {
        for new in returns {
            self.view.head.returns_numbered += 1;
            self.view.head.returns += 1;
            let id = self.view.head.returns_numbered;
            let mut row = WayBack {
                id,
                to: new.to.clone(),
                lane: new.lane.clone(),
                wake: Some(new.due),
                attempts: 0,
                reason: None,
                receipt: Bytes::new(),
            };
            self.plan.wake(self.keys, &new.lane, return_item(id), row.wake);
            match (new.what, leaf, foreign) {
                (ReturnWhat::ThisLeaf, Some(leaf), _) => self.returns_of_leaves.push((row, leaf)),
                (ReturnWhat::Foreign, _, Some(foreign)) => {
                    row.receipt = foreign.bytes.clone();
                    self.plan.set(self.keys.one("back"), return_field(id), row.encode());
                }
                // `check_returns` has seen that each is there.
                (ReturnWhat::ThisLeaf, None, _) | (ReturnWhat::Foreign, _, None) => {}
            }
        }
    }
}

impl BodyNumbers {
    fn next(&mut self) -> BodyId {
        self.next += 1;
        BodyId { boot: self.boot, number: self.next }
    }
}

/// Each receipt for the way back is one that the step has.
fn check_returns(returns: &[NewReturn], has_leaf: bool, has_foreign: bool) -> Result<(), Conflict> {
    let is_there = |what| match what {
        ReturnWhat::ThisLeaf => has_leaf,
        ReturnWhat::Foreign => has_foreign,
    };
    if returns.iter().all(|new| is_there(new.what)) { Ok(()) } else { Err(Conflict::Unknown) }
}
