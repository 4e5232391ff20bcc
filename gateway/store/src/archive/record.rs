//! What stands in an archive.

use std::sync::Arc;

use bytes::Bytes;
use gateway_evidence::LogState;
use gateway_model::id::GatewayId;
use gateway_model::{Digest, Reason, Timestamp};

use crate::claim::Lane;
use crate::rows::{DeliveryRow, EnvelopeRow};
use crate::settle::ForeignReceipt;

/// One record.
#[derive(Clone, Debug)]
pub enum Record {
    /// The counters, and where the log stands. Comes first.
    Head(Head),
    /// An envelope; its body, deliveries and history follow.
    Envelope {
        /// The row.
        row: EnvelopeRow,
        /// When its last delivery became final; `None` while one is open.
        final_at: Option<Timestamp>,
    },
    /// The body of the envelope before: the serialized `SignedEnvelope`. None follows when it has been purged.
    Body(Bytes),
    /// The next delivery of the envelope before.
    Delivery(DeliveryRow),
    /// The next line of its history: a leaf of the own log.
    Own(Leaf),
    /// The next line of its history: a receipt of another gateway.
    Foreign(ForeignReceipt),
    /// A leaf that is about no envelope.
    Loose(Leaf),
    /// A signed checkpoint.
    Checkpoint {
        /// Leaves under it.
        size: u64,
        /// The signed note.
        note: Arc<str>,
    },
    /// A receipt on its way back.
    Return(Return),
    /// What operators have decided.
    Mark {
        /// Its name.
        name: String,
        /// What it says.
        value: Bytes,
    },
}

/// The counters of a store, and where its log stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// The name of the log: the gateway.
    pub origin: String,
    /// Commits made.
    pub commits: u64,
    /// Envelopes kept; also the last number given out.
    pub envelopes: u64,
    /// Numbers given out to receipts on their way back.
    pub returns_numbered: u64,
    /// No fencing token that was given out is higher. The lower 32 bits are set, so that both kinds of stores say the same.
    pub token_max: u64,
    /// The state of the evidence log.
    pub log: LogState,
    /// The newest signed checkpoint; `None` while the log is empty.
    pub note: Option<Arc<str>>,
}

/// A leaf of the own log with all that makes its receipt, but the checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// Its index.
    pub index: u64,
    /// Leaves under the checkpoint that covers it.
    pub tree_size: u64,
    /// Serialized event.
    pub event: Bytes,
    /// Sibling hashes from the leaf upwards.
    pub proof: Vec<Digest>,
}

/// A receipt on its way back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Return {
    /// Its number.
    pub id: u64,
    /// To which gateway.
    pub to: GatewayId,
    /// In which lane.
    pub lane: Lane,
    /// When; `None` when it is held.
    pub wake: Option<Timestamp>,
    /// Attempts made.
    pub attempts: u32,
    /// Why it is where it is.
    pub reason: Option<Reason>,
    /// Serialized `Receipt`.
    pub receipt: Bytes,
}

/// The part of a fencing token that both kinds of stores keep: every token up to it counts as given out.
pub fn token_bound(token: u64) -> u64 {
    token | u64::from(u32::MAX)
}
