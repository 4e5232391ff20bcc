//! Gateway to gateway: what a relay does besides delivering, and how the engine finds the relay to a gateway.
//!
//! A relay is an [`Adapter`] whose other side is a gateway. Its [`Adapter::deliver`] passes the envelope on for all recipients of the
//! delivery at once, naming them by [`gateway_model::envelope::ResolvedRecipient::named`] (the other gateway resolves successors by its own
//! directory), and answers [`crate::Outcome::Taken`] with the other gateway's ACCEPTED receipt. A refusal by the other gateway is
//! [`crate::Outcome::Refused`] with the other gateway's own reason; what it says may be tried again is [`crate::Outcome::Deferred`].

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::Reason;
use gateway_model::id::GatewayId;

use crate::Adapter;

/// Passes envelopes to one gateway, and brings receipts back to it.
#[async_trait]
pub trait Relay: Adapter {
    /// Brings serialized `Receipt`s back to the gateway, at most [`gateway_model::limits::RECEIPTS_RETURNED_MAX`] in one call. Answers one
    /// verdict a receipt, in order; when the whole call fails, every verdict is the same retryable fault. A second time is harmless.
    ///
    /// # Cancellation
    /// The engine drops the future when the lease ends; the receipts are then brought again.
    async fn return_receipts(&self, receipts: &[Bytes]) -> Vec<Result<(), ReturnFault>>;
}

/// Why a receipt was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct ReturnFault {
    /// Why.
    pub reason: Reason,
    /// Whether trying again may help; a receipt that is refused for good is kept for the operator.
    pub retryable: bool,
}

/// The relays to the gateways that this one can reach. Relays are made as the directory names gateways, so this is asked at every attempt.
pub trait RelayAdapters: Send + Sync {
    /// The relay to `gateway`; `None` when there is no way to reach it.
    fn to(&self, gateway: &GatewayId) -> Option<Arc<dyn Relay>>;
}
