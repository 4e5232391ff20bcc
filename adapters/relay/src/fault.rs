//! What each failure means to the engine.

use std::time::Duration;

use adapters_sdk::relay::ReturnFault;
use adapters_sdk::{Outcome, Scope};
use gateway_model::Reason;
use proto::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Bytes of a detail.
const DETAIL_BYTES_MAX: usize = 256;

/// Why something did not get across.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// The other side is not the registered gateway.
    #[error("{0}")]
    NotTrusted(String),
    /// Time ran out while the peer was answering others: it is about this envelope alone.
    #[error("the time for this hand-over ran out")]
    TooSlow,
    /// Our own copy of a part cannot be read.
    #[error("a part cannot be read: {0}")]
    Source(String),
    /// The peer answered, and said no.
    #[error("{0}")]
    Answered(Answer),
}

/// A no of the peer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Answer {
    /// Its reason, where it is one that we know.
    pub reason: Option<Reason>,
    /// Its status code.
    pub code: Code,
    /// Its words.
    pub message: String,
    /// Its wish.
    pub retry_after: Option<Duration>,
    /// What the answer is about.
    pub about: About,
}

/// What an answer is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum About {
    /// The envelope: such a no can be final.
    Envelope,
    /// The call: the envelope itself has not been judged.
    Call,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl Fault {
    /// The failure of a whole call.
    pub(crate) fn from_status(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let reason = info.as_ref().and_then(|info| Reason::parse(&info.reason));
        let is_transport =
            matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
        if info.is_none() && is_transport {
            return Self::Unreachable(bounded(&causes(status)));
        }
        let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let message = bounded(status.message());
        Self::Answered(Answer { reason, code: status.code(), message, retry_after, about: About::Call })
    }

    /// A refusal inside the stream.
    pub(crate) fn from_refused(refused: &v1::Refused) -> Self {
        let field = if refused.field.is_empty() { String::new() } else { format!("{}: ", refused.field) };
        Self::Answered(Answer {
            reason: Reason::parse(&refused.reason),
            code: Code::from_i32(refused.code),
            message: bounded(&format!("{field}{}", refused.message)),
            retry_after: (refused.retry_after_milliseconds > 0)
                .then(|| Duration::from_millis(refused.retry_after_milliseconds)),
            about: About::Envelope,
        })
    }

    /// Whether the parts should be asked about again within the same hand-over.
    pub(crate) fn is_about_parts(&self) -> bool {
        matches!(self, Self::Answered(Answer { reason: Some(Reason::PartMissing | Reason::UploadOffset), .. }))
    }

    /// What the engine is told.
    pub(crate) fn outcome(&self) -> Outcome {
        let detail = bounded(&self.to_string());
        let (reason, scope, retry_after) = match self {
            Self::Unreachable(_) => (Reason::PeerUnreachable, Scope::Destination, None),
            Self::NotTrusted(_) => (Reason::PeerNotTrusted, Scope::Destination, None),
            Self::TooSlow => (Reason::DeadlineExceeded, Scope::Delivery, None),
            Self::Source(_) => (Reason::StoreUnavailable, Scope::Delivery, None),
            Self::Answered(answer) => match answer.deferral() {
                Some((reason, scope)) => (reason, scope, answer.retry_after),
                None => return Outcome::Refused { reason: answer.reason.unwrap_or(Reason::PeerRefused), detail },
            },
        };
        Outcome::Deferred { reason, detail, retry_after, scope }
    }

    /// What the engine is told about receipts when the whole call failed: none of them has been judged.
    pub(crate) fn return_fault(&self) -> ReturnFault {
        let reason = match self.outcome() {
            Outcome::Refused { reason, .. } | Outcome::Deferred { reason, .. } => reason,
            Outcome::Taken { .. } => Reason::AdapterFailed,
        };
        ReturnFault { reason, retryable: true }
    }
}

impl Answer {
    /// Reason and scope when it may be tried again; `None` when the no is final.
    fn deferral(&self) -> Option<(Reason, Scope)> {
        let is_busy = matches!(self.code, Code::Unavailable | Code::ResourceExhausted);
        let is_retryable = is_busy || self.code == Code::DeadlineExceeded || self.retry_after.is_some();
        let reason = self.reason.unwrap_or(if is_busy { Reason::PeerBusy } else { Reason::PeerRefused });
        match (self.reason.and_then(peers_own_trouble), self.about) {
            (Some(scope), _) => Some((reason, scope)),
            (None, _) if is_busy => Some((reason, Scope::Destination)),
            (None, About::Envelope) => is_retryable.then_some((reason, Scope::Delivery)),
            // The call failed before the envelope was judged; without a reason of ours the peer does not speak our language.
            (None, About::Call) if is_retryable || self.reason.is_none() => Some((reason, Scope::Destination)),
            (None, About::Call) => None,
        }
    }
}

/// Refusals that are final to a sender, but between gateways only say that the other one is not ready: its directory or its revocation
/// lists are behind, or a part has to be brought again. An envelope does not die of them.
fn peers_own_trouble(reason: Reason) -> Option<Scope> {
    match reason {
        Reason::HopUnknown | Reason::HopNotAllowed => Some(Scope::Destination),
        Reason::PartMissing
        | Reason::UploadOffset
        | Reason::RevocationUnavailable
        | Reason::RevocationStale
        | Reason::RevocationInvalid => Some(Scope::Delivery),
        _ => None,
    }
}

/// The whole chain of causes: the first one alone says little more than "transport error".
fn causes(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut cause = std::error::Error::source(status);
    while let Some(known) = cause {
        text.push_str(&format!(": {known}"));
        cause = known.source();
    }
    text
}

/// Cut at a bound, on one line.
pub(crate) fn bounded(text: &str) -> String {
    let cut = (0..=DETAIL_BYTES_MAX.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text[..cut].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str, code: Code, retry_after_milliseconds: u64) -> Outcome {
        let (reason, message) = (reason.to_owned(), "words".to_owned());
        Fault::from_refused(&v1::Refused {
            reason,
            code: code.into(),
            message,
            field: String::new(),
            retry_after_milliseconds,
        })
        .outcome()
    }

    #[test]
    fn a_final_no_is_refused_with_the_peers_own_reason() {
        let check = |code: &str, expected: Reason| match refused(code, Code::FailedPrecondition, 0) {
            Outcome::Refused { reason, detail } => assert_eq!((reason, detail.contains("words")), (expected, true)),
            other => panic!("{other:?}"),
        };
        check("ROUTE_LOOP", Reason::RouteLoop);
        check("CERTIFICATE_REVOKED", Reason::CertificateRevoked);
        check("OF_A_LATER_VERSION", Reason::PeerRefused);
        check("", Reason::PeerRefused);
    }

    #[test]
    fn what_may_be_tried_again_is_deferred_for_as_many_as_it_concerns() {
        let check = |code: &str, status: Code, wait: u64, expected: (Reason, Scope)| match refused(code, status, wait) {
            Outcome::Deferred { reason, scope, retry_after, .. } => {
                assert_eq!((reason, scope), expected, "{code}");
                assert_eq!(retry_after, (wait > 0).then(|| Duration::from_millis(wait)));
            }
            other => panic!("{code}: {other:?}"),
        };
        check("OVERLOADED", Code::ResourceExhausted, 1_500, (Reason::Overloaded, Scope::Destination));
        check("DRAINING", Code::Unavailable, 0, (Reason::Draining, Scope::Destination));
        check("OF_A_LATER_VERSION", Code::Unavailable, 0, (Reason::PeerBusy, Scope::Destination));
        check("DEADLINE_EXCEEDED", Code::DeadlineExceeded, 0, (Reason::DeadlineExceeded, Scope::Delivery));
        check("ROUTE_MISSING", Code::FailedPrecondition, 60_000, (Reason::RouteMissing, Scope::Delivery));
        check("PART_MISSING", Code::FailedPrecondition, 0, (Reason::PartMissing, Scope::Delivery));
        check("REVOCATION_STALE", Code::FailedPrecondition, 0, (Reason::RevocationStale, Scope::Delivery));
        check("HOP_UNKNOWN", Code::Unauthenticated, 0, (Reason::HopUnknown, Scope::Destination));
    }

    #[test]
    fn a_call_that_fails_without_our_reasons_never_kills_an_envelope() {
        for code in [
            Code::Unavailable,
            Code::Unknown,
            Code::Internal,
            Code::Cancelled,
            Code::Unimplemented,
            Code::PermissionDenied,
        ] {
            let outcome = Fault::from_status(&Status::new(code, "x")).outcome();
            assert!(matches!(outcome, Outcome::Deferred { scope: Scope::Destination, .. }), "{code:?}: {outcome:?}");
        }
    }

    #[test]
    fn a_detail_is_short_and_on_one_line() {
        assert_eq!(bounded("a\nb"), "a b");
        assert_eq!(bounded(&"ữ".repeat(200)).len(), 255);
    }
}
