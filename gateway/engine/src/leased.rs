//! What is under a lease at this moment, and how much more may be: counted by destination, and by adapter where several share its room.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use adapters_sdk::Room;
use gateway_model::Timestamp;

use crate::Core;
use crate::gate::Passage;
use crate::lane::Destination;
use crate::schedule::Space;
use crate::steps::deliver;

/// Rows under a lease.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    by_destination: HashMap<Destination, usize>,
    /// Of agencies whose adapters tell their room.
    by_adapter: HashMap<String, usize>,
    /// At everybody else.
    pushed: usize,
    /// Of these, parts of broadcasts.
    broadcast: usize,
    /// How many adapters tell their room; they are the same for as long as the engine runs.
    takers: OnceLock<usize>,
}

/// Which bound rows count against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Account {
    /// The one for all that the gateway pushes.
    Pushed,
    /// The same, for parts of broadcasts.
    Broadcast,
    /// That of an adapter that tells its room.
    Taken(String),
}

impl Account {
    /// That of what waits for a destination.
    pub(crate) fn of(engine: &Core, destination: &Destination, is_broadcast: bool) -> Self {
        match taker(engine, destination) {
            Some(name) => Self::Taken(name.to_owned()),
            None if is_broadcast => Self::Broadcast,
            None => Self::Pushed,
        }
    }
}

/// The name of the destination's adapter, when that tells its room.
pub(crate) fn taker<'a>(engine: &'a Core, destination: &Destination) -> Option<&'a str> {
    let Destination::Agency(agency) = destination else { return None };
    let name = engine.adapters.by_agency.get(agency)?;
    let adapter = engine.adapters.by_name.get(name)?;
    (adapter.room(agency) != Room::Any).then_some(name.as_str())
}

impl Ledger {
    /// So many more.
    pub(crate) fn add(&mut self, destination: &Destination, account: &Account, rows: usize) {
        *self.by_destination.entry(destination.clone()).or_default() += rows;
        match account {
            Account::Pushed => self.pushed += rows,
            Account::Broadcast => {
                self.pushed += rows;
                self.broadcast += rows;
            }
            Account::Taken(name) => *self.by_adapter.entry(name.clone()).or_default() += rows,
        }
    }

    /// So many fewer.
    pub(crate) fn remove(&mut self, destination: &Destination, account: &Account, rows: usize) {
        lower(&mut self.by_destination, destination, rows);
        match account {
            Account::Pushed => self.pushed = self.pushed.saturating_sub(rows),
            Account::Broadcast => {
                self.pushed = self.pushed.saturating_sub(rows);
                self.broadcast = self.broadcast.saturating_sub(rows);
            }
            Account::Taken(name) => lower(&mut self.by_adapter, name, rows),
        }
    }

    /// All of them.
    pub(crate) fn total(&self) -> usize {
        self.pushed + self.taken()
    }

    /// How many more may be pushed, and how many more may lie at adapters that tell their room.
    pub(crate) fn left(&self, engine: &Core) -> (usize, usize) {
        let settings = &engine.settings;
        (settings.leases_max.saturating_sub(self.pushed), settings.leases_taken_max.saturating_sub(self.taken()))
    }

    /// How many more parts of broadcasts may be pushed. None until half of their room is free: a look at thousands of lanes then serves many.
    pub(crate) fn left_for_broadcasts(&self, engine: &Core) -> usize {
        let room = engine.settings.leases_broadcast_max;
        let free = room.saturating_sub(self.broadcast);
        let left = engine.settings.leases_max.saturating_sub(self.pushed);
        if free < room.div_ceil(2) { 0 } else { free.min(left) }
    }

    /// Whether something may go now that could not before a part of a broadcast ended: by the bounds alone, whatever the gates say.
    pub(crate) fn gains_by_broadcast(&self, engine: &Core, destination: &Destination) -> bool {
        let settings = &engine.settings;
        let under_way = self.by_destination.get(destination).copied().unwrap_or(0);
        let was_full = self.pushed + 1 >= settings.leases_max || under_way + 1 >= settings.leases_agency_max;
        was_full || self.left_for_broadcasts(engine) > 0
    }

    /// How many rows a destination may take now.
    pub(crate) fn space(&self, engine: &Core, destination: &Destination, now: Timestamp) -> Space {
        if engine.pauses.before(engine, destination).is_some() {
            return 0.into();
        }
        let (settings, under_way) = (&engine.settings, self.by_destination.get(destination).copied().unwrap_or(0));
        let passage = destination.party().map_or(Passage::Open, |party| engine.gates().passage(&party, now));
        let may_pass = match passage {
            Passage::Open => usize::MAX,
            Passage::Probe => 1,
            Passage::Closed(_) => return 0.into(),
        };
        let Destination::Agency(agency) = destination else {
            return settings.leases_gateway_max.saturating_sub(under_way).min(may_pass).into();
        };
        let Some((adapter, name)) = deliver::adapter(engine, destination) else {
            return settings.leases_agency_max.saturating_sub(under_way).min(may_pass).into();
        };
        let room_told = adapter.room(agency);
        let room = match room_told {
            Room::Any => settings.leases_agency_max.saturating_sub(under_way),
            Room::Of(_) => room_told.left(under_way),
        };
        let taken = self.by_adapter.get(&name).copied().unwrap_or(0);
        let mut together = adapter.room_together().left(taken);
        if matches!(room_told, Room::Of(_)) {
            together = together.min(self.share(engine).saturating_sub(taken));
        }
        let shared = (together < usize::MAX).then_some((name, together));
        Space { room: room.min(may_pass), shared }
    }

    /// How many rows one adapter that tells its room may have: as many as any other, so that workers who keep what they have, or ask for
    /// more and more, leave the workers of other systems their part.
    fn share(&self, engine: &Core) -> usize {
        let takers = self.takers.get_or_init(|| {
            let agencies = engine.adapters.by_agency.keys();
            let names = agencies.filter_map(|agency| taker(engine, &Destination::Agency(agency.clone())));
            names.collect::<HashSet<&str>>().len()
        });
        (engine.settings.leases_taken_max / (*takers).max(1)).max(1)
    }

    fn taken(&self) -> usize {
        self.by_adapter.values().sum()
    }
}

fn lower<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K, rows: usize) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(rows);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
