//! Who holds which work, and which lane wakes when: in memory, because one process owns the file.
//!
//! Leases are never written: after a restart all work is due at once. Fencing tokens carry the number of the start in their upper half, so
//! that a token from before a restart never fits. Memory follows the lanes with open work and the leases, both bounded, never the backlog:
//! of each lane only a lower bound of its earliest wake-up is known here, and the index of the database tells the rest.
//!
//! A row that the writer is changing is *frozen* from the moment its step is applied until the batch is published or dropped: nobody claims
//! it and nobody settles it. The writer publishes after the commit, and a claim takes its snapshot under the lock of [`Work`]: so a claim
//! never hands out a row as it was before a commit that it cannot see.

use std::collections::{BTreeSet, HashMap};

use gateway_model::Timestamp;
use gateway_store::claim::Lane;

/// Leases that can be held at once.
pub(crate) const LEASES_MAX: usize = 65_536;

/// One piece of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum WorkKey {
    /// A delivery, by its primary key.
    Delivery(i64),
    /// A receipt on its way back.
    Return(i64),
}

/// Leases and lanes.
#[derive(Debug)]
pub(crate) struct Work {
    token: u64,
    held: HashMap<WorkKey, Held>,
    lanes: HashMap<Lane, LaneState>,
    order: BTreeSet<(Timestamp, Lane)>,
}

/// A lane with open work.
#[derive(Debug)]
pub(crate) struct LaneState {
    /// Its number in the database.
    pub(crate) id: i64,
    /// Leased rows, by the end of their leases.
    leased: BTreeSet<(Timestamp, WorkKey)>,
    /// No row without a lease wakes before this; `None` when none wakes at all.
    open_from: Option<Timestamp>,
    /// Whether a row wakes at exactly `open_from`.
    exact: bool,
}

#[derive(Clone, Debug)]
struct Held {
    lane: Lane,
    lane_id: i64,
    /// `None` when the row was not leased before it was frozen.
    lease: Option<Lease>,
    /// Wake-up of the row in the database.
    wake: Option<Timestamp>,
    frozen: bool,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    token: u64,
    until: Timestamp,
}

/// A wake-up that a commit has set.
#[derive(Clone, Debug)]
pub(crate) struct Wake {
    /// In which lane.
    pub(crate) lane: Lane,
    /// Its number.
    pub(crate) lane_id: i64,
    /// When.
    pub(crate) at: Timestamp,
}

/// What one batch did to work; published when it is durable, dropped when it failed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Wake-ups set.
    pub(crate) wakes: Vec<Wake>,
    /// Rows frozen.
    pub(crate) frozen: Vec<WorkKey>,
    /// Deliveries that are new.
    pub(crate) deliveries: usize,
}

impl Work {
    pub(crate) fn new(boot: u32) -> Self {
        Self { token: u64::from(boot) << 32, held: HashMap::new(), lanes: HashMap::new(), order: BTreeSet::new() }
    }

    /// Notes that a row of the lane may wake at `at`.
    pub(crate) fn wake(&mut self, wake: &Wake) {
        self.with_lane(&wake.lane, wake.lane_id, |lane| {
            if lane.open_from.is_none_or(|known| wake.at < known) {
                lane.open_from = Some(wake.at);
                lane.exact = false;
            }
        });
    }

    /// Takes the right to settle: the newest token of a row that is not frozen. Freezes the row.
    pub(crate) fn take(&mut self, key: WorkKey, token: u64, effects: &mut Effects) -> bool {
        let Some(held) = self.held.get_mut(&key) else { return false };
        if held.frozen || held.lease.is_none_or(|lease| lease.token != token) {
            return false;
        }
        held.frozen = true;
        effects.frozen.push(key);
        true
    }

    /// Freezes a row that is changed from outside of a lease; a lease on it will never settle again.
    pub(crate) fn freeze(
        &mut self,
        key: WorkKey,
        (lane, lane_id): (&Lane, i64),
        wake: Option<Timestamp>,
        effects: &mut Effects,
    ) {
        let held = self.held.entry(key).or_insert_with(|| Held {
            lane: lane.clone(),
            lane_id,
            lease: None,
            wake,
            frozen: false,
        });
        if !held.frozen {
            held.frozen = true;
            effects.frozen.push(key);
        }
    }

    /// Makes leases run out at `until`, unless they do later anyway; all of them, or none when one no longer holds.
    pub(crate) fn extend(&mut self, leases: &[(WorkKey, u64)], until: Timestamp) -> bool {
        let holds = |(key, token): &(WorkKey, u64)| {
            let held = self.held.get(key).filter(|held| !held.frozen);
            held.and_then(|held| held.lease).is_some_and(|lease| lease.token == *token)
        };
        if !leases.iter().all(holds) {
            return false;
        }
        for (key, _) in leases {
            let Some(held) = self.held.get_mut(key) else { continue };
            let Some(lease) = held.lease.as_mut().filter(|lease| lease.until < until) else { continue };
            let before = std::mem::replace(&mut lease.until, until);
            let (lane, lane_id) = (held.lane.clone(), held.lane_id);
            self.with_lane(&lane, lane_id, |state| {
                state.leased.remove(&(before, *key));
                state.leased.insert((until, *key));
            });
        }
        true
    }

    /// Makes the effects of a durable batch seen.
    pub(crate) fn publish(&mut self, effects: &Effects) {
        for key in &effects.frozen {
            let Some(held) = self.held.remove(key) else { continue };
            self.with_lane(&held.lane, held.lane_id, |lane| {
                if let Some(lease) = held.lease {
                    lane.leased.remove(&(lease.until, *key));
                }
                lane.exact = false;
            });
        }
        for wake in &effects.wakes {
            self.wake(wake);
        }
    }

    /// Forgets the effects of a batch that was not written.
    pub(crate) fn drop_effects(&mut self, effects: &Effects) {
        for key in &effects.frozen {
            let Some(held) = self.held.get_mut(key) else { continue };
            held.frozen = false;
            if held.lease.is_none() {
                let (lane, lane_id, wake) = (held.lane.clone(), held.lane_id, held.wake);
                self.held.remove(key);
                if let Some(at) = wake {
                    self.wake(&Wake { lane, lane_id, at });
                }
            }
        }
    }

    /// The lane, when it has open work.
    pub(crate) fn lane(&self, lane: &Lane) -> Option<&LaneState> {
        self.lanes.get(lane)
    }

    /// Whether the row is leased, or frozen.
    pub(crate) fn is_held(&self, key: WorkKey) -> bool {
        self.held.contains_key(&key)
    }

    /// Rows of the lane whose leases have run out by `now`, the longest ago first.
    pub(crate) fn run_out(&self, lane: &Lane, now: Timestamp, limit: usize) -> Vec<(Timestamp, WorkKey)> {
        let Some(state) = self.lanes.get(lane) else { return Vec::new() };
        let due = state.leased.iter().take_while(|(until, _)| *until <= now);
        due.filter(|(_, key)| self.held.get(key).is_some_and(|held| !held.frozen)).take(limit).copied().collect()
    }

    /// Leases a row; `None` when as many rows are leased as there may be.
    pub(crate) fn lease(
        &mut self,
        key: WorkKey,
        (lane, lane_id): (&Lane, i64),
        wake: Timestamp,
        until: Timestamp,
    ) -> Option<u64> {
        if !self.held.contains_key(&key) && self.held.len() >= LEASES_MAX {
            return None;
        }
        self.token += 1;
        let lease = Lease { token: self.token, until };
        let held = Held { lane: lane.clone(), lane_id, lease: Some(lease), wake: Some(wake), frozen: false };
        let before = self.held.insert(key, held).and_then(|held| held.lease);
        self.with_lane(lane, lane_id, |state| {
            if let Some(before) = before {
                state.leased.remove(&(before.until, key));
            }
            state.leased.insert((until, key));
        });
        Some(self.token)
    }

    /// Notes the exact earliest wake-up of the rows of a lane that nobody holds.
    pub(crate) fn set_open(&mut self, lane: &Lane, lane_id: i64, open_from: Option<Timestamp>) {
        self.with_lane(lane, lane_id, |state| {
            state.open_from = open_from;
            state.exact = true;
        });
    }

    /// The lane that wakes first after `after`, and whether its wake-up is exact.
    pub(crate) fn next_lane(&self, after: Option<&(Timestamp, Lane)>) -> Option<((Timestamp, Lane), i64, bool)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let (at, lane) = self.order.range((from, std::ops::Bound::Unbounded)).next()?;
        let state = self.lanes.get(lane)?;
        let exact = state.exact || state.open_from.is_none_or(|open| open > *at);
        Some(((*at, lane.clone()), state.id, exact))
    }

    /// Lanes with open work.
    #[cfg(test)]
    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    fn with_lane(&mut self, name: &Lane, id: i64, change: impl FnOnce(&mut LaneState)) {
        let state = self.lanes.entry(name.clone()).or_insert_with(|| LaneState {
            id,
            leased: BTreeSet::new(),
            open_from: None,
            exact: true,
        });
        let before = state.head();
        change(state);
        let after = state.head();
        let is_idle = after.is_none();
        if before != after {
            if let Some(before) = before {
                self.order.remove(&(before, name.clone()));
            }
            if let Some(after) = after {
                self.order.insert((after, name.clone()));
            }
        }
        if is_idle {
            self.lanes.remove(name);
        }
    }
}

impl LaneState {
    fn head(&self) -> Option<Timestamp> {
        let leased = self.leased.first().map(|(until, _)| *until);
        match (self.open_from, leased) {
            (Some(open), Some(until)) => Some(open.min(until)),
            (open, until) => open.or(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn wake(lane: &str, second: i64) -> Wake {
        Wake { lane: Lane::new(lane), lane_id: 1, at: at(second) }
    }

    #[test]
    fn a_lane_without_open_work_is_forgotten() {
        let mut work = Work::new(1);
        work.wake(&wake("a", 5));
        assert_eq!(work.lanes(), 1);
        work.set_open(&Lane::new("a"), 1, None);
        assert_eq!((work.lanes(), work.next_lane(None)), (0, None));
    }

    #[test]
    fn a_frozen_row_is_neither_claimed_nor_settled_until_its_batch_is_published() {
        let (mut work, lane, key, mut effects) =
            (Work::new(1), Lane::new("a"), WorkKey::Delivery(7), Effects::default());
        work.freeze(key, (&lane, 1), Some(at(5)), &mut effects);
        assert!(work.is_held(key) && work.run_out(&lane, at(100), 10).is_empty());
        work.publish(&effects);
        assert!(!work.is_held(key));
    }

    #[test]
    fn a_dropped_batch_leaves_leases_and_wake_ups_as_they_were() {
        let (mut work, lane, leased, open) = (Work::new(1), Lane::new("a"), WorkKey::Delivery(7), WorkKey::Delivery(8));
        let token = work.lease(leased, (&lane, 1), at(1), at(60)).unwrap();
        let mut effects = Effects::default();
        assert!(work.take(leased, token, &mut effects));
        work.freeze(open, (&lane, 1), Some(at(5)), &mut effects);
        work.drop_effects(&effects);
        assert_eq!(work.next_lane(None).map(|((due, _), ..)| due), Some(at(5)), "the row that was not leased is due");
        assert!(work.take(leased, token, &mut Effects::default()), "the lease still holds");
    }

    #[test]
    fn no_more_rows_are_leased_than_the_bound() {
        let (mut work, lane) = (Work::new(1), Lane::new("a"));
        let leases = i64::try_from(LEASES_MAX).unwrap();
        for key in 0..leases {
            assert!(work.lease(WorkKey::Delivery(key), (&lane, 1), at(1), at(60)).is_some());
        }
        assert_eq!(work.lease(WorkKey::Delivery(leases), (&lane, 1), at(1), at(60)), None);
        assert!(
            work.lease(WorkKey::Delivery(0), (&lane, 1), at(1), at(90)).is_some(),
            "a lease that has run out is taken over"
        );
    }
}
