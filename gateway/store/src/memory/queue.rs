//! Wake-ups and leases: what is due, in which lane, and who holds it.

use std::collections::{BTreeSet, HashMap};

use gateway_model::Timestamp;
use gateway_model::id::DeliveryId;

use crate::backlog::LaneLoad;
use crate::claim::{Lane, LaneHead};
use crate::rows::ReturnId;

/// What can be claimed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Item {
    Delivery(DeliveryId),
    Return(ReturnId),
}

/// The queue. A leased item stays in its lane and wakes when the lease runs out.
#[derive(Default)]
pub(super) struct Queue {
    lanes: HashMap<Lane, BTreeSet<(Timestamp, Item)>>,
    slots: HashMap<Item, Slot>,
}

/// Where an item stands.
#[derive(Default)]
struct Slot {
    /// Its place in a lane; `None` when nothing wakes it.
    place: Option<(Lane, Timestamp)>,
    /// The newest fencing token; rises with every claim and never starts again.
    token: u64,
    /// Whether somebody holds it.
    leased: bool,
}

impl Queue {
    /// Clears the wake-up and ends the lease of an item, and sets its next wake-up.
    pub(super) fn set(&mut self, item: Item, lane: &Lane, wake: Option<Timestamp>) {
        self.slots.entry(item).or_default().leased = false;
        self.move_to(item, wake.map(|wake| (lane.clone(), wake)));
    }

    /// Takes up to `limit` items that are due in a lane, the oldest wake-up first, each with its token.
    pub(super) fn claim(
        &mut self,
        lane: &Lane,
        limit: usize,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Vec<(Item, u64)> {
        let due = self.lanes.get(lane).into_iter().flatten().take_while(|(wake, _)| *wake <= now);
        let items: Vec<Item> = due.take(limit).map(|(_, item)| *item).collect();
        items.into_iter().map(|item| (item, self.lease(item, lane, lease_until))).collect()
    }

    /// Lets a leased item wake at `until`, unless it wakes later anyway.
    pub(super) fn extend(&mut self, item: Item, until: Timestamp) {
        if let Some((lane, wake)) = self.slots.get(&item).and_then(|slot| slot.place.clone())
            && wake < until
        {
            self.move_to(item, Some((lane, until)));
        }
    }

    /// Whether the lease with this token still holds the item.
    pub(super) fn holds(&self, item: Item, token: u64) -> bool {
        self.slots.get(&item).is_some_and(|slot| slot.leased && slot.token == token)
    }

    /// The lanes with work due by `now`, the longest due first.
    pub(super) fn heads(&self, now: Timestamp, limit: usize) -> Vec<LaneHead> {
        let firsts = self.lanes.iter().filter_map(|(lane, items)| Some((items.first()?.0, lane)));
        let mut due: Vec<(Timestamp, &Lane)> = firsts.filter(|(wake, _)| *wake <= now).collect();
        due.sort_unstable();
        due.into_iter().take(limit).map(|(due, lane)| LaneHead { lane: lane.clone(), due }).collect()
    }

    /// How much waits in each lane.
    pub(super) fn loads(&self) -> Vec<LaneLoad> {
        let loads = self.lanes.iter().map(|(lane, items)| LaneLoad { lane: lane.clone(), rows: items.len() as u64 });
        loads.collect()
    }

    /// What waits in a lane, the earliest wake-up first.
    pub(super) fn items(&self, lane: &Lane) -> impl Iterator<Item = Item> {
        self.lanes.get(lane).into_iter().flatten().map(|(_, item)| *item)
    }

    /// The earliest wake-up.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.lanes.values().filter_map(|items| items.first()).map(|(wake, _)| *wake).min()
    }

    /// What wakes after `latest`, each with its lane.
    pub(super) fn later_than(&self, latest: Timestamp) -> Vec<(Item, Lane)> {
        let is_late = |(wake, _): &&(Timestamp, Item)| *wake > latest;
        let late = |(lane, items): (&Lane, &BTreeSet<(Timestamp, Item)>)| {
            items.iter().rev().take_while(is_late).map(|(_, item)| (*item, lane.clone())).collect::<Vec<_>>()
        };
        self.lanes.iter().flat_map(late).collect()
    }

    fn lease(&mut self, item: Item, lane: &Lane, until: Timestamp) -> u64 {
        let slot = self.slots.entry(item).or_default();
        slot.token += 1;
        slot.leased = true;
        let token = slot.token;
        self.move_to(item, Some((lane.clone(), until)));
        token
    }

    fn move_to(&mut self, item: Item, place: Option<(Lane, Timestamp)>) {
        let old = std::mem::replace(&mut self.slots.entry(item).or_default().place, place.clone());
        if let Some((lane, wake)) = old
            && let Some(items) = self.lanes.get_mut(&lane)
        {
            items.remove(&(wake, item));
            if items.is_empty() {
                self.lanes.remove(&lane);
            }
        }
        if let Some((lane, wake)) = place {
            self.lanes.entry(lane).or_default().insert((wake, item));
        }
    }
}
