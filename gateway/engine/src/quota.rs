//! How much one system and one agency may send: token buckets (GCRA) on the engine's steady clock.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use gateway_model::id::{AgencyId, SystemId};
use gateway_model::{Reason, Refusal, Timestamp};
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
}

impl QuotaBook {
    pub(crate) fn new(quotas: Quotas, clock: Arc<dyn Clock>) -> Self {
        let clock = SteadyClock { origin: clock.steady(), clock };
        Self { system: Buckets::new(quotas.system, &clock), agency: Buckets::new(quotas.agency, &clock), clock }
    }

    /// Takes `bytes` out of a system's quota.
    pub(crate) fn take_system(&self, system: &SystemId, bytes: usize) -> Result<(), Refusal> {
        self.system.take(system, bytes, &self.clock).map_err(|refusal| refusal.saw(format!("quota of system {system}")))
    }

    /// Takes `bytes` out of an agency's quota.
    pub(crate) fn take_agency(&self, agency: &AgencyId, bytes: usize) -> Result<(), Refusal> {
        self.agency.take(agency, bytes, &self.clock).map_err(|refusal| refusal.saw(format!("quota of agency {agency}")))
    }

    /// Forgets who has been quiet.
    pub(crate) fn sweep(&self) {
        self.system.sweep();
        self.agency.sweep();
    }
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, SteadyClock, governor::middleware::NoOpMiddleware<Duration>>;

struct Buckets<K: std::hash::Hash + Eq + Clone> {
    envelopes: Limiter<K>,
    bytes: Limiter<K>,
}

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
        Self { envelopes: limiter(rate.envelopes_per_second), bytes: limiter(rate.bytes_per_second) }
    }

    fn take(&self, key: &K, bytes: usize, clock: &SteadyClock) -> Result<(), Refusal> {
        let exceeded = |wait| Refusal::new(Reason::QuotaExceeded).retry_after(wait);
        let now = GovernorClock::now(clock);
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
        self.envelopes.retain_recent();
        self.bytes.retain_recent();
    }
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
        QuotaBook::new(Quotas { system: rate, agency: rate }, clock.clone())
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
}
