//! Places of what lasts: each party has its own bound, all together have one, and a share of it is kept for gateways.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_model::directory::Party;

use super::Lasting;
use crate::config::Limits;

/// The places of one gateway.
#[derive(Debug)]
pub(super) struct Places {
    streams: Kind,
    uploads: Kind,
    watches: Kind,
    leases: Kind,
    downloads: Kind,
}

/// A place that is taken; given back when dropped.
#[derive(Debug)]
pub struct Place {
    party: Party,
    held: Arc<Mutex<Held>>,
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Crowded {
    /// The caller has all of its own.
    Own,
    /// The gateway has no more.
    All,
}

#[derive(Debug)]
struct Kind {
    bounds: Bounds,
    held: Arc<Mutex<Held>>,
}

#[derive(Clone, Copy, Debug)]
struct Bounds {
    all: usize,
    system: usize,
    gateway: usize,
}

#[derive(Default, Debug)]
struct Held {
    all: usize,
    /// Of `all`, what is not a gateway's.
    others: usize,
    of: HashMap<String, usize>,
}

/// One place in so many is only for gateways: no system, nor all of them together, stops the relaying.
const GATEWAYS_SHARE: usize = 4;

impl Places {
    /// All free.
    pub(super) fn new(limits: &Limits) -> Self {
        let kind = |all, system, gateway| Kind { bounds: Bounds { all, system, gateway }, held: Arc::default() };
        Self {
            streams: kind(limits.streams, 8, 16),
            uploads: kind(limits.uploads, 16, 32),
            watches: kind(limits.watches, 64, 64),
            leases: kind(limits.watches, 64, 64),
            downloads: kind(limits.uploads, 16, 32),
        }
    }

    /// Takes a place for `party`.
    pub(super) fn take(&self, lasting: Lasting, party: &Party) -> Result<Place, Crowded> {
        let kind = match lasting {
            Lasting::Stream => &self.streams,
            Lasting::Upload => &self.uploads,
            Lasting::Watch => &self.watches,
            Lasting::Lease => &self.leases,
            Lasting::Download => &self.downloads,
        };
        let name = party.to_string();
        let mut held = lock(&kind.held);
        let bounds = kind.bounds;
        let own_max = if is_gateway(party) { bounds.gateway } else { bounds.system };
        if held.of.get(&name).is_some_and(|own| *own >= own_max) {
            return Err(Crowded::Own);
        }
        let others_max = bounds.all - bounds.all / GATEWAYS_SHARE;
        if held.all >= bounds.all || (!is_gateway(party) && held.others >= others_max) {
            return Err(Crowded::All);
        }
        held.all += 1;
        held.others += usize::from(!is_gateway(party));
        *held.of.entry(name).or_default() += 1;
        Ok(Place { party: party.clone(), held: kind.held.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let name = self.party.to_string();
        let mut held = lock(&self.held);
        held.all = held.all.saturating_sub(1);
        if !is_gateway(&self.party) {
            held.others = held.others.saturating_sub(1);
        }
        // Only parties that hold something are remembered.
        if let Some(own) = held.of.get_mut(&name) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.of.remove(&name);
            }
        }
    }
}

fn is_gateway(party: &Party) -> bool {
    match party {
        Party::Gateway(_) => true,
        Party::System(_) | Party::Operator(_) => false,
    }
}

/// Numbers stay whole even when a thread panicked beside them.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use gateway_model::id::{GatewayId, SystemId};

    use super::*;

    fn system(number: usize) -> Party {
        Party::System(SystemId::parse(&format!("sys-{number}")).unwrap())
    }

    fn gateway(number: usize) -> Party {
        Party::Gateway(GatewayId::parse(&format!("gw-{number}")).unwrap())
    }

    fn places(all: usize) -> Places {
        let kind = |system, gateway| Kind { bounds: Bounds { all, system, gateway }, held: Arc::default() };
        let (streams, uploads, watches) = (kind(8, 16), kind(16, 32), kind(64, 64));
        Places { streams, uploads, watches, leases: kind(64, 64), downloads: kind(16, 32) }
    }

    #[test]
    fn one_party_takes_no_more_than_its_own_and_gets_it_back() {
        let places = places(512);
        for (party, lasting, count) in [
            (system(1), Lasting::Stream, 8),
            (gateway(1), Lasting::Stream, 16),
            (system(1), Lasting::Upload, 16),
            (gateway(1), Lasting::Upload, 32),
            (system(1), Lasting::Watch, 64),
            (system(1), Lasting::Lease, 64),
            (system(1), Lasting::Download, 16),
        ] {
            let mut taken: Vec<_> = (0..count).map(|_| places.take(lasting, &party).unwrap()).collect();
            assert_eq!(places.take(lasting, &party).unwrap_err(), Crowded::Own, "{party} {lasting:?}");
            drop(taken.pop());
            taken.push(places.take(lasting, &party).unwrap());
        }
        assert!(lock(&places.streams.held).of.is_empty(), "who holds nothing is forgotten");
    }

    #[test]
    fn all_systems_together_leave_a_share_for_gateways_and_the_ceiling_holds_for_all() {
        let places = places(16);
        let systems: Vec<_> = (0..12).map(|number| places.take(Lasting::Stream, &system(number)).unwrap()).collect();
        assert_eq!(places.take(Lasting::Stream, &system(99)).unwrap_err(), Crowded::All);
        let gateways: Vec<_> = (0..4).map(|number| places.take(Lasting::Stream, &gateway(number)).unwrap()).collect();
        assert_eq!(places.take(Lasting::Stream, &gateway(99)).unwrap_err(), Crowded::All);
        drop(gateways);
        assert_eq!(places.take(Lasting::Stream, &system(99)).unwrap_err(), Crowded::All, "the share stays theirs");
        drop(systems);
        assert!(places.take(Lasting::Stream, &system(99)).is_ok());
    }
}
