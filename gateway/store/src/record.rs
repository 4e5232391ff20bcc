//! Recording another gateway's receipt.

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_model::id::{DeliveryId, EnvelopeKey};
use gateway_model::state::DeliveryState;

use crate::claim::NewReturn;
use crate::settle::ForeignReceipt;

/// The step.
#[derive(Clone, Debug)]
pub struct Record {
    /// The envelope it is about.
    pub envelope: EnvelopeKey,
    /// The receipt, already checked.
    pub foreign: ForeignReceipt,
    /// When.
    pub at: Timestamp,
    /// New states it brings; applied to deliveries of this envelope whose state is not final yet, others are left alone. A state of the same
    /// status that has no wake-up of its own keeps the one that stands.
    pub states: Vec<(DeliveryId, DeliveryState)>,
    /// Serialized RECORDED event of this gateway.
    pub leaf: Bytes,
    /// Receipts for the way back.
    pub returns: Vec<NewReturn>,
}

/// The step happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It is recorded now.
    New,
    /// It had been recorded before; nothing was written.
    Known,
}
