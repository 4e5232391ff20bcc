//! The lease of a hand-over: how an adapter keeps it while its system works, and learns when the outcome is durable.

use std::time::Duration;

use async_trait::async_trait;
use gateway_model::state::DeliveryState;
use tokio::time::Instant;

/// Holds a delivery for an adapter. Spans instead of instants: whoever extends needs no clock of the engine's.
#[async_trait]
pub trait LeaseHold: Send + Sync {
    /// Makes the lease hold for at least `span` from now, and tells for how long it holds. It never gets shorter, and all extensions together
    /// are bounded ([`gateway_model::limits::LEASE_EXTENDED_MAX`]): the answer may be less than was asked for. A `span` of zero only asks.
    ///
    /// # Errors
    /// [`LeaseLost`] when somebody else has the delivery by now, or nobody: stop.
    async fn extend(&self, span: Duration) -> Result<Duration, LeaseLost>;

    /// Resolves when the outcome of this attempt is durable, or never will be. May be called before the outcome is given, and by many.
    async fn settled(&self) -> Settled;
}

/// The lease no longer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the lease no longer holds")]
pub struct LeaseLost;

/// What became of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It is durable, and the delivery is in this state.
    Committed(DeliveryState),
    /// Nothing of it was written: the delivery has been moved meanwhile, or is walked again.
    Lost,
}

/// How many deliveries an adapter may have under way at one time, those that it has now included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// As many as the engine's own bounds allow.
    Any,
    /// So many.
    Of(usize),
}

impl Room {
    /// What is left of it beside `under_way` deliveries.
    pub fn left(self, under_way: usize) -> usize {
        match self {
            Self::Any => usize::MAX,
            Self::Of(all) => all.saturating_sub(under_way),
        }
    }
}

/// Why an adapter takes nothing at present, for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Absence {
    /// Why.
    pub reason: gateway_model::Reason,
    /// What was seen: bounded, no payload, no personal data.
    pub detail: String,
    /// For how long by now.
    pub lasting: Duration,
}

/// A lease without an engine behind it: ends at its time, cannot be extended and is never settled. For those that call adapters themselves.
#[derive(Clone, Copy, Debug)]
pub struct FixedLease {
    ends: Instant,
}

impl FixedLease {
    /// A lease that ends after `span`.
    pub fn of(span: Duration) -> Self {
        Self { ends: Instant::now() + span }
    }
}

#[async_trait]
impl LeaseHold for FixedLease {
    async fn extend(&self, _span: Duration) -> Result<Duration, LeaseLost> {
        match self.ends.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(LeaseLost),
            left => Ok(left),
        }
    }

    async fn settled(&self) -> Settled {
        tokio::time::sleep_until(self.ends).await;
        Settled::Lost
    }
}
