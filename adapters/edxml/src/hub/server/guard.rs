//! Who may call: the shared secret over the headers, a clock within bounds, an agency of the system, no call twice.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::{AdapterError, disk};
use aws_lc_rs::hmac;
use gateway_model::{Digest, Timestamp};
use http::{HeaderMap, StatusCode};

use super::super::{Answer, HeaderFault, Parameters, SERVICE, timestamp};
use super::operations::Answered;
use super::seen::{Noted, SeenCalls};

/// Checks calls.
pub(super) struct Guard {
    secret: hmac::Key,
    system_id: Option<String>,
    skew: Duration,
    seen: Arc<SeenCalls>,
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

impl From<Denied> for Answered {
    fn from(denied: Denied) -> Self {
        (denied.status, *denied.answer).into()
    }
}

impl Denied {
    fn new(status: StatusCode, code: &str, words: &str) -> Self {
        Self { status, answer: Box::new(Answer::fail(code, words)) }
    }
}

impl Guard {
    pub(super) fn new(secret: hmac::Key, system_id: Option<String>, skew: Duration, seen: SeenCalls) -> Self {
        Self { secret, system_id, skew, seen: Arc::new(seen) }
    }

    /// Checks the headers of a call made now.
    pub(super) fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<Call, Denied> {
        let refuse = |code: &str, words: &str| Err(Denied::new(StatusCode::UNAUTHORIZED, code, words));
        let (parameters, hash) = match Parameters::verify(headers, &self.secret) {
            Ok(read) => read,
            Err(fault) => return refuse("UNAUTHORIZED", words(fault)),
        };
        let Some(at) = timestamp(parameters.text("timestamp")) else {
            let words = "timestamp thiếu hoặc không đúng dạng / timestamp is missing or not ddMMyyyy'T'HHmmss+SSSS";
            return refuse("TIMESTAMP", words);
        };
        if at.since(now).max(now.since(at)) > self.skew {
            let words =
                "timestamp lệch quá xa, hãy chỉnh đồng hồ hệ thống / timestamp is too far off; set the system's clock";
            return refuse("TIMESTAMP", words);
        }
        if self.system_id.as_deref().is_some_and(|id| id != parameters.text("systemid")) {
            return refuse("SYSTEM", "systemid không đúng / systemid is not the one of this door");
        }
        let service = parameters.text("servicetype");
        if !service.is_empty() && !service.eq_ignore_ascii_case(SERVICE) {
            return refuse("SERVICE", "servicetype không phải eDoc / servicetype is not eDoc");
        }
        Ok(Call { parameters, hash })
    }

    /// Refuses a call that changes something, or gives a paper away, when it was seen before. There is no nonce in the protocol: the hash of
    /// the headers, which cover the time of the call, is one. The call is remembered on the disk before it goes on; the outer error is the
    /// disk's.
    pub(super) async fn once(&self, call: &Call, now: Timestamp) -> Result<Result<(), Denied>, AdapterError> {
        let (seen, hash, horizon) = (self.seen.clone(), Digest::of(&call.hash), now.minus(self.skew.saturating_mul(2)));
        Ok(match disk::run(move || seen.note(hash, now, horizon)).await?? {
            Noted::First => Ok(()),
            Noted::Before => {
                let words = "lời gọi này đã được dùng, hãy ký lại / this very call was made before; sign it anew";
                Err(Denied::new(StatusCode::OK, "REPLAYED", words))
            }
            Noted::Full => {
                let words = "quá nhiều lời gọi, hãy thử lại sau / too many calls; come again later";
                Err(Denied::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", words))
            }
        })
    }
}

fn words(fault: HeaderFault) -> &'static str {
    match fault {
        HeaderFault::Malformed => "thiếu tiêu đề của giao thức / a header of the protocol is missing or unreadable",
        HeaderFault::Unsigned => "hash-header không đúng / hash-header does not verify",
        HeaderFault::NotCovered => "có tiêu đề chưa được ký hoặc khác nội dung đã ký / a header is not what was signed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn guard(state: &tempfile::TempDir) -> Guard {
        std::fs::create_dir_all(state.path().join(".lienthong/working")).unwrap();
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let seen = SeenCalls::open(state.path()).unwrap();
        Guard::new(secret, Some("dms".to_owned()), Duration::from_secs(300), seen)
    }

    fn headers(at: Timestamp, system: &str) -> HeaderMap {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        Parameters::of(&[("from", "H99"), ("systemid", system)]).sign(at, &secret).unwrap()
    }

    #[test]
    fn a_call_is_let_in_within_the_clocks_bounds_and_by_its_own_system_only() {
        let state = tempfile::tempdir().unwrap();
        let guard = guard(&state);
        let check = |at: Timestamp, system: &str, code: Option<&str>| {
            let refused = guard.check(&headers(at, system), NOW).err().map(|denied| denied.answer.error_code);
            assert_eq!(refused.as_deref(), code);
        };
        check(NOW, "dms", None);
        check(NOW.plus(Duration::from_secs(299)), "dms", None);
        check(NOW.minus(Duration::from_secs(302)), "dms", Some("TIMESTAMP"));
        check(NOW.plus(Duration::from_secs(302)), "dms", Some("TIMESTAMP"));
        check(NOW, "other", Some("SYSTEM"));
        assert_eq!(guard.check(&HeaderMap::new(), NOW).unwrap_err().answer.error_code, "UNAUTHORIZED");
    }

    #[tokio::test]
    async fn a_call_counts_once_for_as_long_as_its_time_is_good_over_a_restart_too() {
        let state = tempfile::tempdir().unwrap();
        let first = guard(&state);
        let call = first.check(&headers(NOW, "dms"), NOW).unwrap();
        assert!(first.once(&call, NOW).await.unwrap().is_ok());
        let late = NOW.plus(Duration::from_secs(299));
        assert_eq!(first.once(&call, late).await.unwrap().unwrap_err().answer.error_code, "REPLAYED");
        drop(first);
        let again = guard(&state);
        assert_eq!(again.once(&call, late).await.unwrap().unwrap_err().answer.error_code, "REPLAYED");
        let other = again.check(&headers(late, "dms"), late).unwrap();
        assert!(again.once(&other, late).await.unwrap().is_ok(), "another call goes on");
        let later = NOW.plus(Duration::from_secs(700));
        assert!(again.once(&call, later).await.unwrap().is_ok(), "by then its time is refused");
    }
}
