//! A change of one delivery from outside of a lease: by an operator, a sweep or a new directory.

use bytes::Bytes;
use gateway_evidence::Receipt;
use gateway_model::Timestamp;
use gateway_model::id::{AgencyId, DeliveryId};
use gateway_model::state::{DeliveryState, DeliveryStatus};

use crate::claim::{Lane, NewReturn};
use crate::rows::DeliveryRow;

/// The step.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// Statuses from which the change is allowed.
    pub expect: Vec<DeliveryStatus>,
    /// When.
    pub at: Timestamp,
    /// The new state.
    pub to: DeliveryState,
    /// New lane, when the way changed.
    pub lane: Option<Lane>,
    /// New serving agency, when a successor took over.
    pub serving: Option<AgencyId>,
    /// Serialized event.
    pub leaf: Bytes,
    /// Receipts for the way back.
    pub returns: Vec<NewReturn>,
}

/// The step happened.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The receipt of the leaf.
    pub receipt: Receipt,
    /// The row now.
    pub delivery: DeliveryRow,
}
