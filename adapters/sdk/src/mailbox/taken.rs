//! What a taker gets and says: leases with their tokens, answers, failures.

use std::sync::Arc;
use std::time::Duration;

use gateway_model::Reason;
use uuid::Uuid;

use crate::lease::{LeaseHold, Settled};
use crate::{Delivery, Outcome, Scope};

/// Bytes of what a taker says about a failure.
pub(super) const DETAIL_BYTES_MAX: usize = 512;

/// Fencing token of a taker's lease: unguessable, another one for each lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub(super) Uuid);

/// A delivery in the taker's hands.
#[derive(Clone)]
pub struct Taken {
    /// The delivery.
    pub delivery: Delivery,
    /// Goes with every call about this lease.
    pub token: Token,
    /// How long the lease holds from now unless it is extended.
    pub lease_left: Duration,
}

/// A delivery that lies ready.
#[derive(Clone)]
pub struct Offered {
    /// The delivery.
    pub delivery: Delivery,
    /// How long it has been lying ready.
    pub waited: Duration,
}

/// Why nothing was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TakeError {
    /// As many takers wait as may.
    #[error("too many takers wait at the same time")]
    Crowded,
    /// Nothing is handed out any more.
    #[error("the mailbox is closed")]
    Closed,
}

/// A call came with a token that holds nothing.
#[derive(Clone, thiserror::Error)]
pub enum NotHeld {
    /// This very lease has been answered before: a repeated call. What became of it can be waited for.
    #[error("the lease has been answered already")]
    Ended(Settling),
    /// The lease ran out, was taken over, or never was.
    #[error("the lease does not hold")]
    Lost,
}

/// An answered lease whose outcome is on its way to the store.
#[derive(Clone)]
pub struct Settling(pub(super) Arc<dyn LeaseHold>);

/// How a taker failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The taker's own stable code.
    pub code: String,
    /// What was seen: no payload, no personal data. Cut at 512 bytes.
    pub detail: String,
    /// Whether to try again.
    pub retryable: bool,
    /// When, at the earliest.
    pub retry_after: Option<Duration>,
    /// Everything for this agency fails, not this delivery alone.
    pub system_down: bool,
}

impl Settling {
    /// Resolves when the outcome is durable, or never will be.
    pub async fn settled(&self) -> Settled {
        self.0.settled().await
    }
}

impl Failure {
    /// What the engine makes of it. The code goes before what was seen, so that an operator finds both.
    pub(super) fn outcome(self) -> Outcome {
        let mut detail = format!("{}: {}", self.code, self.detail);
        let cut = (0..=DETAIL_BYTES_MAX.min(detail.len())).rev().find(|&at| detail.is_char_boundary(at)).unwrap_or(0);
        detail.truncate(cut);
        if !self.retryable {
            return Outcome::Refused { reason: Reason::AdapterRefused, detail };
        }
        let (reason, scope) = match self.system_down {
            true => (Reason::AdapterUnavailable, Scope::Destination),
            false => (Reason::AdapterFailed, Scope::Delivery),
        };
        Outcome::Deferred { reason, detail, retry_after: self.retry_after, scope }
    }
}

impl Token {
    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads 16 bytes; `None` for any other number.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

impl std::fmt::Debug for Token {
    /// Never shows it: it is what lets one in.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl std::fmt::Debug for NotHeld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ended(_) => "Ended",
            Self::Lost => "Lost",
        })
    }
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Settling")
    }
}
