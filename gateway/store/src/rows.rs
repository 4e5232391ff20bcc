//! What is read back.

use std::sync::Arc;

use gateway_evidence::Receipt;
use gateway_model::envelope::ResolvedRecipient;
use gateway_model::id::{DeliveryId, EnvelopeKey, GatewayId};
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Timestamp};

use crate::accept::Header;
use crate::claim::Lane;

/// Number of an envelope at this gateway; rises with acceptance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EnvelopeSeq(pub u64);

/// Number of a receipt on its way back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReturnId(pub u64);

/// An envelope without its body.
#[derive(Clone, Debug)]
pub struct EnvelopeRow {
    /// Its number.
    pub seq: EnvelopeSeq,
    /// Sender and id.
    pub key: EnvelopeKey,
    /// SHA-256 of the envelope bytes.
    pub digest: Digest,
    /// The rest.
    pub header: Header,
    /// Leaf of its first ACCEPTED event.
    pub accepted_leaf: u64,
}

/// One delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// Its envelope.
    pub envelope: EnvelopeSeq,
    /// Who was named and who gets it.
    pub recipient: ResolvedRecipient,
    /// Its lane.
    pub lane: Lane,
    /// Where it is.
    pub state: DeliveryState,
    /// Next wake-up, whatever the state.
    pub wake: Option<Timestamp>,
    /// Attempts made.
    pub attempts: u32,
    /// When its status was entered; waiting again after a deferral does not count as new.
    pub since: Timestamp,
}

/// One delivery with its envelope, for lists.
#[derive(Clone, Debug)]
pub struct DeliverySummary {
    /// The delivery.
    pub delivery: DeliveryRow,
    /// Its envelope.
    pub envelope: Arc<EnvelopeRow>,
}

/// A receipt on its way back.
#[derive(Clone, Debug)]
pub struct ReturnRow {
    /// Its number.
    pub id: ReturnId,
    /// To which gateway.
    pub to: GatewayId,
    /// The receipt, serialized.
    pub receipt: bytes::Bytes,
    /// Attempts made.
    pub attempts: u32,
}

/// One line of an envelope's history.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Position in the order in which things became known here; rises, for `after`.
    pub position: u64,
    /// The event with its proof.
    pub receipt: Receipt,
    /// This gateway's own, or another's.
    pub source: EventSource,
}

/// A leaf of this gateway's own log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeafRow {
    /// Its index.
    pub index: u64,
    /// The envelope it is about; `None` for what an operator did that is about none.
    pub envelope: Option<EnvelopeSeq>,
    /// Its bytes, as they are hashed.
    pub bytes: bytes::Bytes,
}

/// Who saw an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventSource {
    /// This gateway.
    Own,
    /// Another gateway, by a receipt that came here.
    Foreign,
}
