//! How work is taken: lanes, claims and leases.

use std::fmt;
use std::sync::Arc;

use gateway_model::Timestamp;
use gateway_model::id::{DeliveryId, GatewayId};

use crate::rows::{DeliveryRow, EnvelopeRow, ReturnId, ReturnRow};

/// A queue of work that goes the same way for the same sender at the same priority. Opaque to the store: the engine's scheduler makes the
/// names so that it can be fair between them. There are as many lanes as there are such triples with open work, never as many as rows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(Arc<str>);

impl Lane {
    /// Names a lane.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Asks for work.
#[derive(Clone, Debug)]
pub struct Claim {
    /// From which lanes, and how many rows at most from each.
    pub lanes: Vec<(Lane, usize)>,
    /// Only what is due by then.
    pub now: Timestamp,
    /// The leases run out then.
    pub lease_until: Timestamp,
}

/// The earliest wake-up in a lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneHead {
    /// The lane.
    pub lane: Lane,
    /// Its earliest wake-up; a leased row wakes when its lease runs out.
    pub due: Timestamp,
}

/// One piece of work under a lease.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The lane it came from.
    pub lane: Lane,
    /// Fencing token.
    pub token: u64,
    /// When the lease runs out.
    pub lease_until: Timestamp,
    /// The work.
    pub work: Work,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Work {
    /// Walk a delivery on. Its row is Waiting (attempt it) or Forwarded (its receipt is overdue, or the envelope expired).
    Deliver {
        /// The row.
        delivery: DeliveryRow,
        /// Its envelope with the body; shared between rows of one claim.
        envelope: Arc<EnvelopeRow>,
        /// Serialized `SignedEnvelope`.
        signed: bytes::Bytes,
    },
    /// Bring a receipt back one gateway.
    Return(ReturnRow),
}

/// Holds a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Which.
    pub delivery: DeliveryId,
    /// Fencing token.
    pub token: u64,
}

/// Holds a receipt on its way back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReturnLease {
    /// Which.
    pub id: ReturnId,
    /// Fencing token.
    pub token: u64,
}

/// A receipt to bring back.
#[derive(Clone, Debug)]
pub struct NewReturn {
    /// To which gateway.
    pub to: GatewayId,
    /// In which lane.
    pub lane: Lane,
    /// When.
    pub due: Timestamp,
    /// Which receipt.
    pub what: ReturnWhat,
}

/// Which receipt is brought back. A step that names one which it does not have is refused with [`Conflict::Unknown`](crate::Conflict::Unknown).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnWhat {
    /// The receipt of the leaf of this very commit.
    ThisLeaf,
    /// The foreign receipt of this very commit.
    Foreign,
}
