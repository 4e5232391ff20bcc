//! The first durable step: a verified envelope with its deliveries.

use bytes::Bytes;
use gateway_evidence::Receipt;
use gateway_model::envelope::{ContentKind, Priority, ResolvedRecipient};
use gateway_model::id::{DeliveryId, EnvelopeKey, GatewayId};
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Timestamp};
use gateway_verify::VerifiedEnvelope;

use crate::claim::Lane;
use crate::rows::EnvelopeSeq;

/// The step.
#[derive(Clone, Debug)]
pub struct Accept {
    /// What is kept.
    pub envelope: NewEnvelope,
    /// One row a recipient served here.
    pub deliveries: Vec<NewDelivery>,
    /// Serialized ACCEPTED event.
    pub leaf: Bytes,
}

/// An envelope about to be kept. Only a [`VerifiedEnvelope`] makes one: nothing is stored unverified.
#[derive(Clone, Debug)]
pub struct NewEnvelope {
    key: EnvelopeKey,
    digest: Digest,
    signed: Bytes,
    header: Header,
}

/// What is kept beside the bytes, for scheduling, search and the way back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// When this gateway verified it.
    pub received_at: Timestamp,
    /// After this it is returned as expired.
    pub expires_at: Timestamp,
    /// How urgent.
    pub priority: Priority,
    /// What it is.
    pub kind: ContentKind,
    /// File code; empty when there is none.
    pub file_code: String,
    /// Subject, for the reader.
    pub subject: String,
    /// Document number and notation, or status code.
    pub code: String,
    /// Gateway that brought it; `None` when a system submitted it here.
    pub arrived_from: Option<GatewayId>,
    /// Gateways passed before this one.
    pub hops: Vec<GatewayId>,
    /// W3C trace context of its creation.
    pub traceparent: Option<String>,
    /// The first gateway's ACCEPTED receipt, serialized; `None` at the first gateway itself.
    pub first_accepted: Option<Bytes>,
    /// The attachments.
    pub parts: Vec<PartRef>,
}

/// Names a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartRef {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What the accept step adds to the verified facts.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When.
    pub received_at: Timestamp,
    /// Gateway that brought it.
    pub arrived_from: Option<GatewayId>,
    /// Gateways passed before this one.
    pub hops: Vec<GatewayId>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The first gateway's ACCEPTED receipt, serialized.
    pub first_accepted: Option<Bytes>,
}

impl NewEnvelope {
    /// Takes over a verified envelope.
    pub fn new(verified: &VerifiedEnvelope, arrival: Arrival) -> Self {
        let envelope = verified.envelope();
        let header = Header {
            received_at: arrival.received_at,
            expires_at: envelope.expires_at,
            priority: envelope.priority,
            kind: envelope.content.kind,
            file_code: envelope.case.as_ref().map(|case| case.file_code.clone()).unwrap_or_default(),
            subject: envelope.content.subject.clone(),
            code: envelope.content.code.clone(),
            arrived_from: arrival.arrived_from,
            hops: arrival.hops,
            traceparent: arrival.traceparent,
            first_accepted: arrival.first_accepted,
            parts: envelope.parts.iter().map(|part| PartRef { digest: part.digest, size: part.size }).collect(),
        };
        Self { key: verified.key().clone(), digest: verified.digest(), signed: verified.signed().clone(), header }
    }

    /// Sender and id.
    pub fn key(&self) -> &EnvelopeKey {
        &self.key
    }

    /// SHA-256 of the envelope bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Serialized `SignedEnvelope`.
    pub fn signed(&self) -> &Bytes {
        &self.signed
    }

    /// The rest.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// A delivery about to be kept.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Who was named and who gets it.
    pub recipient: ResolvedRecipient,
    /// Lane of its first attempt.
    pub lane: Lane,
    /// Waiting, or held when there is no way.
    pub state: DeliveryState,
}

/// The step happened.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The row.
    pub seq: EnvelopeSeq,
    /// The receipt of the ACCEPTED leaf: of this call, or the first one when `duplicate`.
    pub receipt: Receipt,
    /// True when nothing was new.
    pub duplicate: bool,
}
