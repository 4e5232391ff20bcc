//! How much one system and one agency may send: token buckets (GCRA) on the engine's steady clock.
//!
//! Nodes of one store share their quotas: each tells the others twice a second what it has let in, and each charges that to its own buckets, as a
//! debt where they are empty. So over time all nodes together let in what one would; within the second until they have heard of each other,
//! each lets in what its own buckets hold.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_model::id::{AgencyId, SystemId};
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_store::nodes::Use;
use governor::clock::Clock as GovernorClock;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::clock::Clock;

/// The quotas.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Of one system.
    pub system: Rate,
    /// Of one sending agency, whatever the system.
    pub agency: Rate,
}

/// A rate with its burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Envelopes a second; as many may come at once after ten quiet seconds as ten seconds allow.
    pub envelopes_per_second: NonZeroU32,
    /// Bytes a second of envelopes with their signatures; likewise.
    pub bytes_per_second: NonZeroU32,
}

const BURST_SECONDS: u32 = 10;

impl Default for Quotas {
    fn default() -> Self {
        let rate =
            Rate { envelopes_per_second: at_least_one(20_000), bytes_per_second: at_least_one(256 * 1024 * 1024) };
        Self { system: rate, agency: rate }
    }
}

/// Counts what comes in.
pub(crate) struct QuotaBook {
    system: Buckets<SystemId>,
    agency: Buckets<AgencyId>,
    clock: SteadyClock,
    /// Where other nodes have to be told.
    used: Option<Mutex<HashMap<String, (u64, u64)>>>,
}

/// How the names of what is used begin in what nodes tell each other.
const SYSTEM: &str = "system/";
const AGENCY: &str = "agency/";

impl QuotaBook {
    /// Starts with nothing used; `has_nodes` when others let in on the same quotas.
    pub(crate) fn new(quotas: Quotas, clock: Arc<dyn Clock>, has_nodes: bool) -> Self {
        let clock = SteadyClock { origin: clock.steady(), clock };
        let (system, agency) = (Buckets::new(quotas.system, &clock), Buckets::new(quotas.agency, &clock));
        Self { system, agency, clock, used: has_nodes.then(Mutex::default) }
    }

    /// Takes `bytes` out of a system's quota.
    pub(crate) fn take_system(&self, system: &SystemId, bytes: usize) -> Result<(), Refusal> {
        let taken = self.system.take(system, bytes, &self.clock);
        taken.map_err(|refusal| refusal.saw(format!("quota of system {system}")))?;
        self.note(SYSTEM, system.as_str(), bytes);
        Ok(())
    }

    /// Takes `bytes` out of an agency's quota.
    pub(crate) fn take_agency(&self, agency: &AgencyId, bytes: usize) -> Result<(), Refusal> {
        let taken = self.agency.take(agency, bytes, &self.clock);
        taken.map_err(|refusal| refusal.saw(format!("quota of agency {agency}")))?;
        self.note(AGENCY, agency.as_str(), bytes);
        Ok(())
    }

    /// What was let in since the last call.
    pub(crate) fn used(&self) -> Vec<Use> {
        let Some(used) = &self.used else { return Vec::new() };
        let used = std::mem::take(&mut *used.lock().unwrap_or_else(PoisonError::into_inner));
        used.into_iter().map(|(name, (envelopes, bytes))| Use { name, envelopes, bytes }).collect()
    }

    /// Charges what another node has let in.
    pub(crate) fn charge(&self, used: &Use) {
        if let Some(system) = used.name.strip_prefix(SYSTEM).and_then(|id| SystemId::parse(id).ok()) {
            self.system.charge(&system, used);
        } else if let Some(agency) = agency_of(used) {
            self.agency.charge(&agency, used);
        }
    }

    fn note(&self, kind: &str, id: &str, bytes: usize) {
        let Some(used) = &self.used else { return };
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        let (envelopes, all) = used.entry(format!("{kind}{id}")).or_default();
        *envelopes = envelopes.saturating_add(1);
        *all = all.saturating_add(bytes as u64);
    }

    /// Forgets who has been quiet.
    pub(crate) fn sweep(&self) {
        self.system.sweep();
        self.agency.sweep();
    }
}

/// The agency whose quota was used.
pub(crate) fn agency_of(used: &Use) -> Option<AgencyId> {
    used.name.strip_prefix(AGENCY).and_then(|id| AgencyId::parse(id).ok())
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, SteadyClock, governor::middleware::NoOpMiddleware<Duration>>;

struct Buckets<K: std::hash::Hash + Eq + Clone> {
    envelopes: Limiter<K>,
    bytes: Limiter<K>,
    /// What other nodes have let in and these buckets did not hold: envelopes and bytes. It is paid before anything is let in here.
    debts: Mutex<HashMap<K, (u64, u64)>>,
    /// So that nobody waits for the lock where there are none.
    has_debts: AtomicBool,
}

/// When a sender over its quota at another node comes again.
const WAIT_FOR_DEBTS: Duration = Duration::from_secs(1);

impl<K: std::hash::Hash + Eq + Clone> Buckets<K> {
    fn new(rate: Rate, clock: &SteadyClock) -> Self {
        let limiter = |per_second: NonZeroU32| {
            let burst = per_second.saturating_mul(at_least_one(BURST_SECONDS));
            RateLimiter::new(
                Quota::per_second(per_second).allow_burst(burst),
                DashMapStateStore::default(),
                clock.clone(),
            )
        };
        Self {
            envelopes: limiter(rate.envelopes_per_second),
            bytes: limiter(rate.bytes_per_second),
            debts: Mutex::default(),
            has_debts: AtomicBool::new(false),
        }
    }

    /// Takes what another node has let in, now or from what comes later.
    fn charge(&self, key: &K, used: &Use) {
        let mut debts = self.debts();
        let (envelopes, bytes) = debts.entry(key.clone()).or_default();
        *envelopes = envelopes.saturating_add(used.envelopes);
        *bytes = bytes.saturating_add(used.bytes);
        self.pay(&mut debts, key);
    }

    /// Pays as much of a debt as the buckets hold; tells whether nothing is left of it.
    fn pay(&self, debts: &mut HashMap<K, (u64, u64)>, key: &K) -> bool {
        let Some((envelopes, bytes)) = debts.get_mut(key) else { return true };
        *envelopes = pay_from(&self.envelopes, key, *envelopes);
        *bytes = pay_from(&self.bytes, key, *bytes);
        let is_paid = (*envelopes, *bytes) == (0, 0);
        if is_paid {
            debts.remove(key);
        }
        self.has_debts.store(!debts.is_empty(), Ordering::Release);
        is_paid
    }

    fn debts(&self) -> MutexGuard<'_, HashMap<K, (u64, u64)>> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: &K, bytes: usize, clock: &SteadyClock) -> Result<(), Refusal> {
        let exceeded = |wait| Refusal::new(Reason::QuotaExceeded).retry_after(wait);
        let now = GovernorClock::now(clock);
        if self.has_debts.load(Ordering::Acquire) && !self.pay(&mut self.debts(), key) {
            return Err(exceeded(WAIT_FOR_DEBTS));
        }
        self.envelopes.check_key(key).map_err(|until| exceeded(until.wait_time_from(now)))?;
        let bytes = at_least_one(u32::try_from(bytes).unwrap_or(u32::MAX));
        match self.bytes.check_key_n(key, bytes) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(exceeded(until.wait_time_from(now))),
            // One envelope larger than ten seconds of the quota never fits: no wait helps.
            Err(_) => Err(Refusal::new(Reason::QuotaExceeded)),
        }
    }

    fn sweep(&self) {
        let mut debts = self.debts();
        for key in debts.keys().cloned().collect::<Vec<_>>() {
            self.pay(&mut debts, &key);
        }
        drop(debts);
        self.envelopes.retain_recent();
        self.bytes.retain_recent();
    }
}

/// Takes as much of `debt` as a bucket holds; gives what is left.
fn pay_from<K: std::hash::Hash + Eq + Clone>(bucket: &Limiter<K>, key: &K, mut debt: u64) -> u64 {
    let mut piece = u32::try_from(debt).unwrap_or(u32::MAX);
    while let Some(cells) = NonZeroU32::new(piece.min(u32::try_from(debt).unwrap_or(u32::MAX))) {
        match bucket.check_key_n(key, cells) {
            Ok(Ok(())) => debt -= u64::from(cells.get()),
            // Not so many now, or never so many at once.
            Ok(Err(_)) | Err(_) if cells.get() == 1 => break,
            Ok(Err(_)) | Err(_) => piece = cells.get() / 2,
        }
    }
    debt
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// The steady clock, as governor reads it.
#[derive(Clone)]
struct SteadyClock {
    origin: Timestamp,
    clock: Arc<dyn Clock>,
}

impl GovernorClock for SteadyClock {
    type Instant = Duration;

    fn now(&self) -> Self::Instant {
        self.clock.steady().since(self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn book(clock: &Arc<ManualClock>) -> QuotaBook {
        let rate = Rate { envelopes_per_second: at_least_one(1), bytes_per_second: at_least_one(1_000) };
        QuotaBook::new(Quotas { system: rate, agency: rate }, clock.clone(), true)
    }

    #[test]
    fn a_system_over_its_quota_is_told_when_to_come_again_and_others_are_not_touched() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000)));
        let (book, busy, calm) = (book(&clock), SystemId::parse("busy").unwrap(), SystemId::parse("calm").unwrap());
        for _ in 0..10 {
            book.take_system(&busy, 10).unwrap();
        }
        let refusal = book.take_system(&busy, 10).unwrap_err();
        assert_eq!(refusal.reason, Reason::QuotaExceeded);
        let wait = refusal.retry_after.unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        book.take_system(&calm, 10).unwrap();
        clock.advance(wait);
        book.take_system(&busy, 10).unwrap();
    }

    #[test]
    fn bytes_count_beside_envelopes() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000)));
        let (book, agency) = (book(&clock), AgencyId::parse("x1").unwrap());
        book.take_agency(&agency, 9_500).unwrap();
        let refusal = book.take_agency(&agency, 9_500).unwrap_err();
        assert!(refusal.retry_after.is_some());
        let hopeless = book.take_agency(&agency, 10_001).unwrap_err();
        assert_eq!(hopeless.retry_after, None, "an envelope over the whole burst never fits");
    }

    #[test]
    fn nodes_together_let_in_what_one_would_over_time() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000)));
        let nodes = [book(&clock), book(&clock)];
        let system = SystemId::parse("busy").unwrap();
        let mut let_in = 0;
        for _ in 0..200 {
            clock.advance(Duration::from_millis(500));
            for node in &nodes {
                let_in += (0..5).filter(|_| node.take_system(&system, 10).is_ok()).count();
            }
            let told = nodes.each_ref().map(QuotaBook::used);
            told[0].iter().for_each(|used| nodes[1].charge(used));
            told[1].iter().for_each(|used| nodes[0].charge(used));
        }
        // One envelope a second for 100 seconds, and ten at once; until the nodes heard of each other the second had its own ten.
        assert!((100..=120).contains(&let_in), "{let_in}");
        assert!(nodes[0].used().is_empty(), "told once");
    }
}
