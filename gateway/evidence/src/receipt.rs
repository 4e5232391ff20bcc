//! A receipt: a leaf of a gateway's log, its inclusion proof and the checkpoint that covers it. It proves itself offline.

use std::sync::Arc;

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::note::VerifierKey;
use prost::Message as _;
use proto::v1;

use crate::checkpoint::Checkpoint;
use crate::event::{EVENT_BYTES_MAX, Event};
use crate::{EvidenceError, merkle};

/// Bytes of a signed checkpoint: three lines and a few signatures.
pub const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a serialized receipt.
pub const RECEIPT_BYTES_MAX: usize = EVENT_BYTES_MAX + CHECKPOINT_BYTES_MAX + merkle::PROOF_NODES_MAX * 34 + 64;

/// A leaf with its proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Serialized [`Event`]: these exact bytes are the leaf.
    pub event: Bytes,
    /// Index of the leaf in its log.
    pub leaf_index: u64,
    /// Sibling hashes from the leaf upwards.
    pub proof: Vec<Digest>,
    /// The signed checkpoint; shared by the receipts of a batch.
    pub checkpoint: Arc<str>,
}

impl Receipt {
    /// Reads a serialized receipt. One receipt has one serialization.
    ///
    /// # Errors
    /// [`EvidenceError::TooLarge`], [`EvidenceError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(EvidenceError::TooLarge { what: "receipt" });
        }
        let wire = v1::Receipt::decode(bytes).map_err(|_| EvidenceError::Malformed { what: "receipt" })?;
        let receipt = Self::from_wire(wire)?;
        if receipt.encode() == bytes { Ok(receipt) } else { Err(EvidenceError::Malformed { what: "receipt" }) }
    }

    /// Writes the receipt.
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// The receipt as it stands on the wire.
    pub fn to_wire(&self) -> v1::Receipt {
        v1::Receipt {
            event: self.event.clone(),
            leaf_index: self.leaf_index,
            inclusion_proof: self.proof.iter().map(|node| Bytes::copy_from_slice(&node.0)).collect(),
            checkpoint: self.checkpoint.to_string(),
        }
    }

    /// Takes a receipt off the wire; checks bounds and shape, nothing more.
    ///
    /// # Errors
    /// [`EvidenceError::TooLarge`], [`EvidenceError::Malformed`].
    pub fn from_wire(wire: v1::Receipt) -> Result<Self, EvidenceError> {
        if wire.event.len() > EVENT_BYTES_MAX {
            return Err(EvidenceError::TooLarge { what: "event" });
        }
        if wire.inclusion_proof.len() > merkle::PROOF_NODES_MAX {
            return Err(EvidenceError::TooLarge { what: "inclusion proof" });
        }
        if wire.checkpoint.len() > CHECKPOINT_BYTES_MAX {
            return Err(EvidenceError::TooLarge { what: "checkpoint" });
        }
        let proof: Option<Vec<Digest>> = wire.inclusion_proof.iter().map(|node| Digest::from_slice(node)).collect();
        Ok(Self {
            event: wire.event,
            leaf_index: wire.leaf_index,
            proof: proof.ok_or(EvidenceError::Malformed { what: "inclusion proof" })?,
            checkpoint: wire.checkpoint.into(),
        })
    }

    /// The hash of the leaf.
    pub fn leaf_hash(&self) -> Digest {
        merkle::leaf_hash(&self.event)
    }

    /// Checks that the leaf stands in the log of the gateway `origin`, whose keys these are, and gives the event.
    ///
    /// # Errors
    /// Every [`EvidenceError`] of a note, a checkpoint, a proof and an event.
    pub fn verify(&self, origin: &str, keys: &[VerifierKey]) -> Result<Event, EvidenceError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, origin, keys)?;
        merkle::verify_inclusion(self.leaf_index, checkpoint.size, &self.leaf_hash(), &self.proof, &checkpoint.root)?;
        let event = Event::decode(&self.event)?;
        if event.gateway.as_str() == origin { Ok(event) } else { Err(EvidenceError::OtherGateway) }
    }
}
