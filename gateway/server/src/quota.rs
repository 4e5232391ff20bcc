//! Quotas at the doors for what is not an envelope: questions are refused beyond them, uploads are slowed down.
//!
//! Envelopes are counted by the engine, where adapters and doors meet.

use std::num::NonZeroU32;

use gateway_model::directory::Party;
use gateway_model::{Reason, Refusal};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota as Rate, RateLimiter};

use crate::config::Quota;

/// Seconds of quiet that may be used at once.
const BURST_SECONDS: u32 = 10;

/// Counts what each caller asks and uploads. Gateways are not counted: their bounds are streams and envelopes in flight.
pub struct DoorQuota {
    questions: DefaultKeyedRateLimiter<String>,
    bytes: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

impl DoorQuota {
    /// Starts with nothing used.
    pub fn new(quota: &Quota) -> Self {
        let bytes = u32::try_from(quota.bytes_per_second).unwrap_or(u32::MAX);
        Self {
            questions: RateLimiter::keyed(rate(quota.requests_per_second)),
            bytes: RateLimiter::keyed(rate(bytes)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts one question.
    ///
    /// # Errors
    /// [`Reason::QuotaExceeded`] with the time to wait.
    pub fn ask(&self, party: &Party) -> Result<(), Refusal> {
        let Some(key) = key(party) else { return Ok(()) };
        self.questions.check_key(&key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Refusal::new(Reason::QuotaExceeded).saw(format!("quota of {party}")).retry_after(wait)
        })
    }

    /// Waits until `bytes` of an upload fit the quota: the sender is slowed down by flow control, not refused.
    pub async fn upload(&self, party: &Party, bytes: usize) {
        let Some(key) = key(party) else { return };
        let mut left = u32::try_from(bytes).unwrap_or(u32::MAX);
        while let Some(piece) = NonZeroU32::new(left.min(PIECE_BYTES)) {
            // A piece larger than the burst of a very small quota is waited for as one cell.
            if self.bytes.until_key_n_ready(&key, piece).await.is_err() {
                self.bytes.until_key_ready(&key).await;
            }
            left -= piece.get();
        }
    }

    /// Forgets who has been quiet.
    pub fn sweep(&self) {
        self.questions.retain_recent();
        self.bytes.retain_recent();
    }
}

/// Uploads are counted in pieces of this size, so that no piece is larger than a burst.
const PIECE_BYTES: u32 = 64 * 1024;

impl std::fmt::Debug for DoorQuota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DoorQuota").field("callers", &self.questions.len()).finish_non_exhaustive()
    }
}

fn key(party: &Party) -> Option<String> {
    match party {
        Party::System(id) => Some(format!("system:{id}")),
        Party::Operator(id) => Some(format!("operator:{id}")),
        Party::Gateway(_) => None,
    }
}

fn rate(per_second: u32) -> Rate {
    let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
    let burst = per_second.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN));
    Rate::per_second(per_second).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use gateway_model::id::{GatewayId, SystemId};

    use super::*;

    fn quota() -> DoorQuota {
        DoorQuota::new(&Quota { requests_per_second: 1, bytes_per_second: 64 * 1024 })
    }

    #[test]
    fn questions_beyond_the_quota_are_refused_with_a_time_to_wait_and_others_are_not_touched() {
        let quota = quota();
        let party = |id: &str| Party::System(SystemId::parse(id).unwrap());
        for _ in 0..10 {
            quota.ask(&party("busy")).unwrap();
        }
        let refusal = quota.ask(&party("busy")).unwrap_err();
        assert_eq!(refusal.reason, Reason::QuotaExceeded);
        assert!(refusal.retry_after.is_some_and(|wait| !wait.is_zero()));
        quota.ask(&party("calm")).unwrap();
        let gateway = Party::Gateway(GatewayId::parse("gw").unwrap());
        assert!((0..100).all(|_| quota.ask(&gateway).is_ok()));
    }

    #[tokio::test]
    async fn an_upload_within_the_burst_is_not_slowed_down() {
        let party = Party::System(SystemId::parse("s").unwrap());
        quota().upload(&party, 512 * 1024).await;
    }
}
