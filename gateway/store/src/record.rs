//! Recording another gateway's receipt.

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_model::id::{DeliveryId, EnvelopeKey};
use gateway_model::state::{DeliveryState, DeliveryStatus};

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
    /// New states it brings; applied to deliveries of this envelope whose state is not final, or Expired, as [`applies`] says; others are left
    /// alone. A state of the same status that has no wake-up of its own keeps the one that stands.
    pub states: Vec<(DeliveryId, DeliveryState)>,
    /// Serialized RECORDED event of this gateway.
    pub leaf: Bytes,
    /// Receipts for the way back.
    pub returns: Vec<NewReturn>,
}

/// Whether a recorded state applies to a delivery that stands in status `from`.
///
/// What is final stays, except that an expired delivery, which nobody here saw arrive, may turn out to have been delivered or refused in time. It
/// takes nothing else: its body may be gone, so nothing may wait for another attempt.
pub fn applies(from: DeliveryStatus, to: DeliveryStatus) -> bool {
    match from {
        DeliveryStatus::Waiting | DeliveryStatus::Forwarded | DeliveryStatus::Held => true,
        DeliveryStatus::Expired => matches!(to, DeliveryStatus::Delivered | DeliveryStatus::Refused),
        DeliveryStatus::Delivered | DeliveryStatus::Refused | DeliveryStatus::Returned => false,
    }
}

/// The step happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It is recorded now.
    New,
    /// It had been recorded before; nothing was written.
    Known,
}
