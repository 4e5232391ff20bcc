//! The last durable step of a walk: what the attempt led to.

use bytes::Bytes;
use gateway_evidence::Receipt;
use gateway_model::id::AgencyId;
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Timestamp};

use crate::claim::{Lane, Lease, NewReturn, ReturnLease};

/// The step.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The leases that end; all deliveries of one envelope.
    pub leases: Vec<Lease>,
    /// When.
    pub at: Timestamp,
    /// The new state of each.
    pub to: DeliveryState,
    /// Wake-up for a state that has none of its own (Forwarded: when to ask for the receipt).
    pub wake: Option<Timestamp>,
    /// New lane, when the way changed.
    pub lane: Option<Lane>,
    /// New serving agency, when a successor took over.
    pub serving: Option<AgencyId>,
    /// Whether the attempt counts.
    pub attempted: Attempted,
    /// Serialized event; `None` only for a deferral.
    pub leaf: Option<Bytes>,
    /// The other gateway's receipt, checked.
    pub foreign: Option<ForeignReceipt>,
    /// Receipts for the way back.
    pub returns: Vec<NewReturn>,
}

/// Whether a settlement ends an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempted {
    /// It does: the row's attempts rise by one.
    Yes,
    /// It does not: the row was only moved.
    No,
}

/// Another gateway's receipt, already checked against its log key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignReceipt {
    /// Hash of its leaf.
    pub leaf_hash: Digest,
    /// Serialized `Receipt`.
    pub bytes: Bytes,
}

/// The step happened.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The receipt of the leaf, when there was one.
    pub receipt: Option<Receipt>,
}

/// Ends the lease of a receipt on its way back.
#[derive(Clone, Debug)]
pub struct SettleReturn {
    /// The lease.
    pub lease: ReturnLease,
    /// What became of it.
    pub to: ReturnState,
}

/// What became of a receipt on its way back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReturnState {
    /// The other gateway has it durably.
    Done,
    /// Try again.
    Waiting {
        /// When.
        due: Timestamp,
        /// Why.
        reason: Reason,
    },
    /// The other gateway refuses it for good; kept for the operator.
    Held {
        /// Why.
        reason: Reason,
    },
}
