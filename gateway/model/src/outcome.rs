//! What a hand-over led to. There is no default: an adapter that does not know says [`Outcome::Deferred`].

use std::time::Duration;

use crate::reason::Reason;

/// The result of one attempt to hand a delivery over.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// The other side has it durably.
    Taken {
        /// The other gateway's ACCEPTED receipt (serialized `Receipt`), from a relay; `None` from a system.
        receipt: Option<Vec<u8>>,
    },
    /// Not now; it is tried again.
    Deferred {
        /// Why.
        reason: Reason,
        /// What went wrong, for the operator: bounded, no payload, no personal data.
        detail: String,
        /// The other side's wish.
        retry_after: Option<Duration>,
        /// Whether the whole destination is concerned or this delivery alone.
        scope: Scope,
    },
    /// Never; trying again does not help.
    Refused {
        /// Why.
        reason: Reason,
        /// As above.
        detail: String,
    },
}

/// What a deferral is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// This delivery only.
    Delivery,
    /// Everything that goes to the same destination: it is down or busy.
    Destination,
}
