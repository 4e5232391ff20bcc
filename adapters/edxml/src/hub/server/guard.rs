//! Who may call: the shared secret over the headers, a clock within bounds, an agency of the system, no call twice.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use gateway_model::Timestamp;
use http::{HeaderMap, StatusCode};

use super::super::{Answer, Parameters, SERVICE, timestamp};

/// Calls remembered; beyond that the door is busy.
const CALLS_MAX: usize = 100_000;

/// Checks calls.
pub(super) struct Guard {
    secret: hmac::Key,
    system_id: Option<String>,
    skew: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    hashes: HashSet<Vec<u8>>,
    order: VecDeque<(Timestamp, Vec<u8>)>,
}

/// A call that may go on.
#[derive(Debug)]
pub(super) struct Call {
    pub parameters: Parameters,
    pub hash: Vec<u8>,
}

/// A call that may not go on.
#[derive(Debug)]
pub(super) struct Denied {
    pub status: StatusCode,
    pub answer: Box<Answer>,
}

impl Denied {
    fn new(status: StatusCode, code: &str, words: &str) -> Self {
        Self { status, answer: Box::new(Answer::fail(code, words)) }
    }
}

impl Guard {
    pub(super) fn new(secret: hmac::Key, system_id: Option<String>, skew: Duration) -> Self {
        Self { secret, system_id, skew, seen: Mutex::default() }
    }

    /// Checks the headers of a call made now.
    pub(super) fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<Call, Denied> {
        let refuse = |code: &str, words: &str| Err(Denied::new(StatusCode::UNAUTHORIZED, code, words));
        let (parameters, hash) = match Parameters::verify(headers, &self.secret) {
            Ok(read) => read,
            Err(fault) => return refuse("UNAUTHORIZED", &fault.to_string()),
        };
        let Some(at) = timestamp(parameters.text("timestamp")) else {
            return refuse("TIMESTAMP", "timestamp is missing or not ddMMyyyy'T'HHmmss+SSSS");
        };
        if at.since(now).max(now.since(at)) > self.skew {
            return refuse("TIMESTAMP", "timestamp is too far from our clock; set the clock of the system");
        }
        if self.system_id.as_deref().is_some_and(|id| id != parameters.text("systemid")) {
            return refuse("SYSTEM", "systemid is not the one of this door");
        }
        let service = parameters.text("servicetype");
        if !service.is_empty() && !service.eq_ignore_ascii_case(SERVICE) {
            return refuse("SERVICE", "servicetype is not eDoc");
        }
        Ok(Call { parameters, hash })
    }

    /// Refuses a call that changes something when it was seen before. There is no nonce in the protocol: the hash of the headers, which
    /// cover the time of the call, is one.
    pub(super) fn once(&self, call: &Call, now: Timestamp) -> Result<(), Denied> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let horizon = now.minus(self.skew.saturating_mul(2));
        while seen.order.front().is_some_and(|(at, _)| *at < horizon) {
            if let Some((_, hash)) = seen.order.pop_front() {
                seen.hashes.remove(&hash);
            }
        }
        if seen.hashes.contains(&call.hash) {
            return Err(Denied::new(StatusCode::OK, "REPLAYED", "this very call was made before; sign it anew"));
        }
        if seen.order.len() >= CALLS_MAX {
            return Err(Denied::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", "too many calls; come again later"));
        }
        seen.hashes.insert(call.hash.clone());
        seen.order.push_back((now, call.hash.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn guard() -> Guard {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        Guard::new(secret, Some("dms".to_owned()), Duration::from_secs(300))
    }

    fn headers(at: Timestamp, system: &str) -> HeaderMap {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        Parameters::of(&[("from", "H99"), ("systemid", system)]).sign(at, &secret).unwrap()
    }

    #[test]
    fn a_call_is_let_in_within_the_clocks_bounds_and_by_its_own_system_only() {
        let check = |at: Timestamp, system: &str, code: Option<&str>| {
            let refused = guard().check(&headers(at, system), NOW).err().map(|denied| denied.answer.error_code);
            assert_eq!(refused.as_deref(), code);
        };
        check(NOW, "dms", None);
        check(NOW.plus(Duration::from_secs(299)), "dms", None);
        check(NOW.minus(Duration::from_secs(302)), "dms", Some("TIMESTAMP"));
        check(NOW.plus(Duration::from_secs(302)), "dms", Some("TIMESTAMP"));
        check(NOW, "other", Some("SYSTEM"));
        assert_eq!(guard().check(&HeaderMap::new(), NOW).unwrap_err().answer.error_code, "UNAUTHORIZED");
    }

    #[test]
    fn a_call_counts_once_for_as_long_as_its_time_is_good() {
        let guard = guard();
        let call = guard.check(&headers(NOW, "dms"), NOW).unwrap();
        assert!(guard.once(&call, NOW).is_ok());
        let late = NOW.plus(Duration::from_secs(299));
        assert_eq!(guard.once(&call, late).unwrap_err().answer.error_code, "REPLAYED");
        assert!(guard.once(&call, NOW.plus(Duration::from_secs(700))).is_ok(), "by then its time is refused");
    }
}
