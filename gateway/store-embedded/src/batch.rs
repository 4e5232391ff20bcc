//! One batch: steps applied in one transaction. Each step first checks, then writes; a conflict leaves nothing behind.

mod accept;
mod change;
mod mark;
mod purge;
mod record;
mod returns;
mod settle;

pub(crate) use mark::{each_mark, marks, set_mark};
pub(crate) use returns::WayBack;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::Conflict;
use gateway_store::claim::{Lane, NewReturn, ReturnWhat};
use gateway_store::record::Recorded;
use gateway_store::rows::DeliveryRow;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::evidence::NewLeaf;
use crate::failure::Failure;
use crate::head::Head;
use crate::queue::Step;
use crate::rows::{self, Kept};
use crate::sought;
use crate::work::{Effects, Wake, Work, WorkKey};

const LANES_REMEMBERED_MAX: usize = 65_536;

/// Steps applied and not yet durable.
pub(crate) struct Batch<'a> {
    connection: &'a Connection,
    work: &'a Mutex<Work>,
    names: &'a mut LaneNumbers,
    /// Counters as they will be.
    pub(crate) head: Head,
    /// Leaves to be appended, in order.
    pub(crate) leaves: Vec<NewLeaf>,
    /// What it does to work.
    pub(crate) effects: Effects,
}

/// What a step led to. Receipts are known when the leaves of the batch have been appended.
#[derive(Debug)]
pub(crate) enum Done {
    Accepted { seq: i64, leaf: u64, duplicate: bool },
    Settled { leaf: Option<u64> },
    Changed { leaf: u64, delivery: Box<DeliveryRow> },
    Recorded(Recorded),
    Marked { leaf: Option<u64> },
    ReturnsSettled,
    Purged(usize),
}

/// Numbers of lanes that the writer remembers.
#[derive(Debug, Default)]
pub(crate) struct LaneNumbers {
    known: HashMap<Lane, i64>,
    /// Written by the batch under way.
    new: Vec<Lane>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        work: &'a Mutex<Work>,
        names: &'a mut LaneNumbers,
        head: Head,
    ) -> Self {
        names.new.clear();
        Self { connection, work, names, head, leaves: Vec::new(), effects: Effects::default() }
    }

    pub(crate) fn apply(&mut self, step: &Step) -> Result<Done, Failure> {
        match step {
            Step::Accept(accept, sum) => self.accept(accept, *sum),
            Step::Settle(settle) => self.settle(settle),
            Step::Change(change) => self.change(change),
            Step::Record(record) => self.record(record),
            Step::Mark(mark) => self.mark(mark),
            Step::SettleReturns(settles) => self.settle_returns(settles),
            Step::Purge { before, limit } => self.purge(*before, *limit),
        }
    }

    /// Takes a leaf into the batch; gives its index.
    fn leaf(&mut self, envelope: i64, event: &Bytes) -> u64 {
        let index = self.head.log.size() + self.leaves.len() as u64;
        let position = self.position();
        self.leaves.push(NewLeaf { envelope, position, event: event.clone() });
        index
    }

    fn position(&mut self) -> i64 {
        self.head.positions += 1;
        self.head.positions
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        lock(self.work)
    }

    /// Writes a delivery in its new state, with all that follows from it.
    fn move_delivery(&mut self, kept: &mut Kept, to: &Move<'_>) -> Result<(), Failure> {
        let (before, after) = (kept.row.state.status(), to.state.status());
        kept.row.state = to.state.clone();
        kept.row.wake = to.state.due().or(to.wake);
        if before != after {
            kept.row.since = to.at;
        }
        if let Some(serving) = to.serving {
            kept.row.recipient.serving = serving.clone();
            sought::add_recipient(self.connection, kept.key, serving)?;
        }
        if let Some(lane) = to.lane {
            kept.lane = self.lane_number(lane)?;
            kept.row.lane = lane.clone();
        }
        rows::update_delivery(self.connection, kept)?;
        if let Some(at) = kept.row.wake {
            self.effects.wakes.push(Wake { lane: kept.row.lane.clone(), lane_id: kept.lane, at });
        }
        self.head.count(before, -1);
        self.head.count(after, 1);
        self.count_open(rows::envelope_of(kept.key), before, after, to.at)
    }

    /// Keeps count of the deliveries that an envelope still waits for.
    fn count_open(
        &self,
        envelope: i64,
        before: DeliveryStatus,
        after: DeliveryStatus,
        at: Timestamp,
    ) -> Result<(), Failure> {
        match (before.is_final(), after.is_final()) {
            (false, true) => self.add_open(envelope, -1, at),
            (true, false) => self.add_open(envelope, 1, at),
            (true, true) | (false, false) => Ok(()),
        }
    }

    fn add_open(&self, envelope: i64, by: i64, at: Timestamp) -> Result<(), Failure> {
        let mut update = self.connection.prepare_cached(
            "UPDATE envelope SET open = open + ?2, final_at = CASE WHEN open + ?2 = 0 THEN ?3 ELSE final_at END WHERE seq = ?1
            RETURNING open, final_at",
        )?;
        let (open, final_at): (i64, Option<i64>) =
            update.query_row(params![envelope, by, at.micros()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if open == 0 {
            return self.finish_envelope(envelope, at.micros());
        }
        if open == by
            && let Some(final_at) = final_at
        {
            let mut delete = self.connection.prepare_cached("DELETE FROM finished WHERE at = ?1 AND envelope = ?2")?;
            delete.execute([final_at, envelope])?;
        }
        Ok(())
    }

    fn finish_envelope(&self, envelope: i64, at: i64) -> Result<(), Failure> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO finished (at, envelope) VALUES (?1, ?2)")?
            .execute([at, envelope])?;
        Ok(())
    }

    /// Keeps receipts for the way back.
    fn insert_returns(
        &mut self,
        returns: &[NewReturn],
        leaf: Option<u64>,
        foreign: Option<i64>,
    ) -> Result<(), Failure> {
        for new in returns {
            let source = match new.what {
                ReturnWhat::ThisLeaf => (leaf.map(crate::evidence::signed), None),
                ReturnWhat::Foreign => (None, foreign),
            };
            self.head.ways_back += 1;
            self.head.returns += 1;
            let lane_id = self.lane_number(&new.lane)?;
            let row = returns::WayBack {
                id: self.head.ways_back,
                gateway: new.to.clone(),
                lane: lane_id,
                wake: Some(new.due),
                attempts: 0,
                leaf: source.0,
                foreign: source.1,
                reason: None,
            };
            row.insert(self.connection)?;
            self.effects.wakes.push(Wake { lane: new.lane.clone(), lane_id, at: new.due });
        }
        Ok(())
    }

    /// The number of a lane; a new lane gets one.
    fn lane_number(&mut self, lane: &Lane) -> Result<i64, Failure> {
        if let Some(number) = self.names.known.get(lane) {
            return Ok(*number);
        }
        let mut select = self.connection.prepare_cached("SELECT id FROM lane WHERE name = ?1")?;
        let found = select.query_row([lane.as_str()], |row| row.get(0)).optional()?;
        let number = match found {
            Some(number) => number,
            None => {
                self.connection.prepare_cached("INSERT INTO lane (name) VALUES (?1)")?.execute([lane.as_str()])?;
                self.names.new.push(lane.clone());
                self.connection.last_insert_rowid()
            }
        };
        if self.names.known.len() >= LANES_REMEMBERED_MAX {
            self.names.known.clear();
        }
        self.names.known.insert(lane.clone(), number);
        Ok(number)
    }
}

impl LaneNumbers {
    /// Forgets what a batch that was not written had made new.
    pub(crate) fn drop_new(&mut self) {
        for lane in self.new.drain(..) {
            self.known.remove(&lane);
        }
    }
}

/// Where a delivery goes.
struct Move<'a> {
    at: Timestamp,
    state: &'a DeliveryState,
    /// Wake-up for a state that has none of its own.
    wake: Option<Timestamp>,
    lane: Option<&'a Lane>,
    serving: Option<&'a gateway_model::id::AgencyId>,
}

/// Locks; what a panicked holder left behind is whole, since every change of [`Work`] is.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each receipt for the way back is one that the step has.
fn check_returns(returns: &[NewReturn], has_leaf: bool, has_foreign: bool) -> Result<(), Conflict> {
    let is_there = |what| match what {
        ReturnWhat::ThisLeaf => has_leaf,
        ReturnWhat::Foreign => has_foreign,
    };
    if returns.iter().all(|new| is_there(new.what)) { Ok(()) } else { Err(Conflict::Unknown) }
}

fn key_of(kept: &Kept) -> WorkKey {
    WorkKey::Delivery(kept.key)
}
