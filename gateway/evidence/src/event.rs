//! What a leaf says: one thing that happened to an envelope, as a gateway saw it. No personal data, ever.

use bytes::Bytes;
use gateway_model::id::{AgencyId, EnvelopeId, EnvelopeKey, GatewayId};
use gateway_model::{Digest, Reason, Timestamp, limits};
use prost::Message as _;
use proto::v1;

use crate::EvidenceError;

/// Schema name of the one event format there is.
pub const EVENT_SCHEMA: &str = "lienthong.event.v1";
/// Bytes of a serialized event: room for every recipient of the largest broadcast.
pub const EVENT_BYTES_MAX: usize = 384 * 1024;
/// Bytes of the name of the other party.
pub const COUNTERPART_BYTES_MAX: usize = 256;
/// Revocation lists that one verdict can rely on.
pub const REVOCATION_LISTS_MAX: usize = limits::SIGNATURES_MAX * limits::CHAIN_CERTIFICATES_MAX;

/// One thing that happened to an envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The gateway that saw it.
    pub gateway: GatewayId,
    /// When, by that gateway's clock.
    pub at: Timestamp,
    /// Sender.
    pub sender: AgencyId,
    /// The sender's id for the envelope.
    pub envelope_id: EnvelopeId,
    /// SHA-256 of the envelope bytes.
    pub envelope_digest: Digest,
    /// The recipients it is about; empty means all of the envelope.
    pub recipients: Vec<AgencyId>,
    /// Why something did not go on.
    pub reason: Option<Reason>,
    /// The other party: next gateway, adapter or operator; empty where there is none.
    pub counterpart: String,
    /// Which delivery attempt it was, from 1; 0 where it does not apply.
    pub attempt: u32,
    /// Leaf hash of the other gateway's receipt that this event rests on.
    pub rests_on: Option<Digest>,
    /// What was relied on at verification; only in ACCEPTED.
    pub verification: Option<Verification>,
    /// Operator's stated reason; only in operator events.
    pub note: String,
}

/// Every kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// Verified and kept durably.
    Accepted,
    /// The next gateway has accepted it and its receipt is here.
    Forwarded,
    /// The recipient's own system has it.
    Delivered,
    /// Refused for good, by the recipient's system or further on.
    Refused,
    /// It cannot go on without a person; nothing is lost.
    Held,
    /// A person let it go on.
    Released,
    /// A person asked for another attempt now.
    Retried,
    /// It was not delivered in time.
    Expired,
    /// The recipient has been succeeded; the counterpart is the successor.
    Succeeded,
    /// Handed back to the sender by a person.
    Returned,
    /// Another gateway's receipt has been checked and recorded.
    Recorded,
    /// The way changed with the directory; the counterpart is the new next hop.
    Rerouted,
}

/// Which trust a verdict stood on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// Version of the directory in force.
    pub directory_version: u64,
    /// SHA-256 of each signer's certificate, in the order of the signatures.
    pub signer_certificates: Vec<Digest>,
    /// The revocation lists used.
    pub revocation: Vec<RevocationUsed>,
}

/// One certificate revocation list that a verdict relied on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationUsed {
    /// SHA-256 of the list.
    pub digest: Digest,
    /// Its thisUpdate.
    pub this_update: Timestamp,
    /// Its nextUpdate.
    pub next_update: Timestamp,
}

impl Event {
    /// Reads the bytes of a leaf. One event has one serialization: unknown fields, other field orders and other spellings are malformed.
    ///
    /// # Errors
    /// [`EvidenceError::TooLarge`]; [`EvidenceError::Malformed`] naming the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > EVENT_BYTES_MAX {
            return Err(EvidenceError::TooLarge { what: "event" });
        }
        let wire = v1::Event::decode(bytes).map_err(|_| malformed("event"))?;
        let event = Self::from_wire(&wire)?;
        if event.encode() == bytes { Ok(event) } else { Err(malformed("event")) }
    }

    /// Writes the bytes of the leaf.
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }

    /// Sender and id of the envelope.
    pub fn key(&self) -> EnvelopeKey {
        EnvelopeKey { sender: self.sender.clone(), id: self.envelope_id }
    }

    /// Whether the event is about this recipient.
    pub fn concerns(&self, recipient: &AgencyId) -> bool {
        self.recipients.is_empty() || self.recipients.contains(recipient)
    }

    /// The event as it stands on the wire.
    pub fn to_wire(&self) -> v1::Event {
        v1::Event {
            schema: EVENT_SCHEMA.to_owned(),
            kind: self.kind.to_wire().into(),
            gateway: self.gateway.to_string(),
            at: Some(instant(self.at)),
            sender: self.sender.to_string(),
            envelope_id: self.envelope_id.to_string(),
            envelope_sha256: raw(&self.envelope_digest),
            recipients: self.recipients.iter().map(ToString::to_string).collect(),
            reason: self.reason.map(|reason| reason.code().to_owned()).unwrap_or_default(),
            counterpart: self.counterpart.clone(),
            attempt: self.attempt,
            rests_on: self.rests_on.as_ref().map(raw).unwrap_or_default(),
            verification: self.verification.as_ref().map(Verification::to_wire),
            note: self.note.clone(),
        }
    }

    fn from_wire(wire: &v1::Event) -> Result<Self, EvidenceError> {
        if wire.schema != EVENT_SCHEMA {
            return Err(malformed("event.schema"));
        }
        if wire.recipients.len() > limits::RECIPIENTS_MAX {
            return Err(EvidenceError::TooLarge { what: "event.recipients" });
        }
        let recipients = wire.recipients.iter().map(|recipient| AgencyId::parse(recipient));
        Ok(Self {
            kind: EventKind::from_wire(wire.kind()).ok_or(malformed("event.kind"))?,
            gateway: GatewayId::parse(&wire.gateway).map_err(|_| malformed("event.gateway"))?,
            at: read_instant(wire.at.as_ref()).ok_or(malformed("event.at"))?,
            sender: AgencyId::parse(&wire.sender).map_err(|_| malformed("event.sender"))?,
            envelope_id: EnvelopeId::parse(&wire.envelope_id).map_err(|_| malformed("event.envelope_id"))?,
            envelope_digest: Digest::from_slice(&wire.envelope_sha256).ok_or(malformed("event.envelope_sha256"))?,
            recipients: recipients.collect::<Result<_, _>>().map_err(|_| malformed("event.recipients"))?,
            reason: optional(&wire.reason, Reason::parse).ok_or(malformed("event.reason"))?,
            counterpart: bounded(&wire.counterpart, COUNTERPART_BYTES_MAX, "event.counterpart")?,
            attempt: wire.attempt,
            rests_on: read_optional_digest(&wire.rests_on).ok_or(malformed("event.rests_on"))?,
            verification: wire.verification.as_ref().map(Verification::from_wire).transpose()?,
            note: bounded(&wire.note, limits::TEXT_BYTES_MAX, "event.note")?,
        })
    }
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Forwarded,
        Self::Delivered,
        Self::Refused,
        Self::Held,
        Self::Released,
        Self::Retried,
        Self::Expired,
        Self::Succeeded,
        Self::Returned,
        Self::Recorded,
        Self::Rerouted,
    ];

    /// Name in logs, lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Forwarded => "forwarded",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Released => "released",
            Self::Retried => "retried",
            Self::Expired => "expired",
            Self::Succeeded => "succeeded",
            Self::Returned => "returned",
            Self::Recorded => "recorded",
            Self::Rerouted => "rerouted",
        }
    }

    /// The kind as it stands on the wire.
    pub fn to_wire(self) -> v1::EventKind {
        match self {
            Self::Accepted => v1::EventKind::Accepted,
            Self::Forwarded => v1::EventKind::Forwarded,
            Self::Delivered => v1::EventKind::Delivered,
            Self::Refused => v1::EventKind::Refused,
            Self::Held => v1::EventKind::Held,
            Self::Released => v1::EventKind::Released,
            Self::Retried => v1::EventKind::Retried,
            Self::Expired => v1::EventKind::Expired,
            Self::Succeeded => v1::EventKind::Succeeded,
            Self::Returned => v1::EventKind::Returned,
            Self::Recorded => v1::EventKind::Recorded,
            Self::Rerouted => v1::EventKind::Rerouted,
        }
    }

    fn from_wire(wire: v1::EventKind) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_wire() == wire)
    }
}

impl Verification {
    fn to_wire(&self) -> v1::Verification {
        let revocation = self.revocation.iter().map(|used| v1::RevocationUsed {
            sha256: raw(&used.digest),
            this_update: Some(instant(used.this_update)),
            next_update: Some(instant(used.next_update)),
        });
        v1::Verification {
            directory_version: self.directory_version,
            signer_certificates: self.signer_certificates.iter().map(raw).collect(),
            revocation: revocation.collect(),
        }
    }

    fn from_wire(wire: &v1::Verification) -> Result<Self, EvidenceError> {
        let too_many =
            wire.signer_certificates.len() > limits::SIGNATURES_MAX || wire.revocation.len() > REVOCATION_LISTS_MAX;
        if too_many {
            return Err(EvidenceError::TooLarge { what: "event.verification" });
        }
        let certificates = wire.signer_certificates.iter().map(|digest| Digest::from_slice(digest));
        let revocation = wire.revocation.iter().map(|used| {
            Some(RevocationUsed {
                digest: Digest::from_slice(&used.sha256)?,
                this_update: read_instant(used.this_update.as_ref())?,
                next_update: read_instant(used.next_update.as_ref())?,
            })
        });
        Ok(Self {
            directory_version: wire.directory_version,
            signer_certificates: certificates
                .collect::<Option<_>>()
                .ok_or(malformed("event.verification.signer_certificates"))?,
            revocation: revocation.collect::<Option<_>>().ok_or(malformed("event.verification.revocation"))?,
        })
    }
}

pub(crate) fn malformed(what: &'static str) -> EvidenceError {
    EvidenceError::Malformed { what }
}

pub(crate) fn bounded(text: &str, bytes_max: usize, what: &'static str) -> Result<String, EvidenceError> {
    if text.len() <= bytes_max { Ok(text.to_owned()) } else { Err(EvidenceError::TooLarge { what }) }
}

/// An empty text is nothing; any other must be readable.
fn optional<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { read(text).map(Some) }
}

fn read_optional_digest(bytes: &[u8]) -> Option<Option<Digest>> {
    if bytes.is_empty() { Some(None) } else { Digest::from_slice(bytes).map(Some) }
}

fn raw(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

pub(crate) fn instant(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.to_parts();
    prost_types::Timestamp { seconds, nanos }
}

pub(crate) fn read_instant(wire: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    wire.and_then(|at| Timestamp::from_parts(at.seconds, at.nanos))
}

#[cfg(test)]
mod tests;
