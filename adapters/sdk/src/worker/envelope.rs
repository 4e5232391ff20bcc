//! From a leased delivery on the wire to a [`Delivery`]. The gateway has verified the envelope; what cannot be read is refused all the same.

use std::sync::Arc;

use gateway_model::envelope::{
    Case, ContentKind, ContentSummary, Envelope, Part, Priority, Reference, ResolvedRecipient,
};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId};
use gateway_model::{Digest, Reason, Refusal, Timestamp};
use prost::Message;
use proto::v1;

/// The parts of a delivery that the wire carries.
pub(super) struct Read {
    pub id: DeliveryId,
    pub recipient: ResolvedRecipient,
    pub key: EnvelopeKey,
    pub digest: Digest,
    pub signed: bytes::Bytes,
    pub envelope: Arc<Envelope>,
    pub receipt: bytes::Bytes,
    pub first_accepted: bytes::Bytes,
    pub hops: Vec<GatewayId>,
}

/// Reads a leased delivery.
pub(super) fn read(leased: &v1::LeasedDelivery) -> Result<Read, Refusal> {
    let signed = leased.envelope.as_ref().ok_or_else(|| malformed("envelope"))?;
    let message = v1::Envelope::decode(signed.envelope.clone()).map_err(|_| malformed("envelope"))?;
    let envelope = read_envelope(message)?;
    let agency = |text: &str, field: &str| AgencyId::parse(text).map_err(|_| malformed(field));
    let serving = agency(&leased.recipient, "recipient")?;
    let named = match leased.recipient_named.as_str() {
        "" => serving.clone(),
        named => agency(named, "recipient_named")?,
    };
    let hops: Result<Vec<_>, _> = leased.hops.iter().map(|hop| GatewayId::parse(hop)).collect();
    let receipt = |receipt: &Option<v1::Receipt>| receipt.as_ref().map(Message::encode_to_vec).unwrap_or_default();
    Ok(Read {
        id: delivery_id(&leased.delivery_id),
        recipient: ResolvedRecipient { named, serving },
        key: EnvelopeKey { sender: agency(&leased.sender, "sender")?, id: envelope.id },
        digest: Digest::of(&signed.envelope),
        signed: signed.encode_to_vec().into(),
        envelope: Arc::new(envelope),
        receipt: receipt(&leased.receipt).into(),
        first_accepted: receipt(&leased.first_accepted).into(),
        hops: hops.map_err(|_| malformed("hops"))?,
    })
}

/// The id as the model has it. The wire allows longer ones; such an id is shortened by its hash.
fn delivery_id(text: &str) -> DeliveryId {
    DeliveryId::parse(text).unwrap_or_else(|| {
        let mut id = [0; 16];
        id.copy_from_slice(&Digest::of(text.as_bytes()).0[..16]);
        DeliveryId(id)
    })
}

fn read_envelope(message: v1::Envelope) -> Result<Envelope, Refusal> {
    Ok(Envelope {
        id: EnvelopeId::parse(&message.id).map_err(|_| malformed("envelope.id"))?,
        from: message.from,
        to: message.to.into_iter().map(|recipient| recipient.agency).collect(),
        created_at: read_time(message.created_at).ok_or_else(|| malformed("envelope.created_at"))?,
        expires_at: read_time(message.expires_at).ok_or_else(|| malformed("envelope.expires_at"))?,
        priority: read_priority(message.priority)?,
        in_reply_to: message.in_reply_to.map(read_reference).transpose()?,
        supersedes: message.supersedes.map(read_reference).transpose()?,
        case: message.case.map(|case| Case {
            file_code: case.file_code,
            issuer: case.issuer,
            procedure_code: case.procedure_code,
            step: case.step,
        }),
        content: message.content.map(read_content).ok_or_else(|| malformed("envelope.content"))?,
        parts: message.parts.into_iter().map(read_part).collect::<Result<_, _>>()?,
    })
}

fn read_time(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::from_parts(time.seconds, time.nanos))
}

fn read_priority(priority: i32) -> Result<Priority, Refusal> {
    match v1::Priority::try_from(priority) {
        Ok(v1::Priority::Unspecified | v1::Priority::Normal) => Ok(Priority::Normal),
        Ok(v1::Priority::Urgent) => Ok(Priority::Urgent),
        Ok(v1::Priority::VeryUrgent) => Ok(Priority::VeryUrgent),
        Ok(v1::Priority::Express) => Ok(Priority::Express),
        Ok(v1::Priority::ExpressTimed) => Ok(Priority::ExpressTimed),
        Err(_) => Err(malformed("envelope.priority")),
    }
}

fn read_reference(reference: v1::Reference) -> Result<Reference, Refusal> {
    Ok(Reference {
        sender: reference.sender,
        id: EnvelopeId::parse(&reference.id).map_err(|_| malformed("envelope reference"))?,
        digest: Digest::from_slice(&reference.sha256),
    })
}

fn read_content(content: v1::envelope::Content) -> ContentSummary {
    use v1::envelope::Content;
    let summary = |kind, subject, code: &str| ContentSummary { kind, subject, code: code.to_owned() };
    match content {
        Content::Document(document) => summary(ContentKind::Document, document.subject, &document.code),
        Content::Dossier(dossier) => summary(ContentKind::Dossier, dossier.subject, ""),
        Content::Status(status) => summary(ContentKind::Status, status.description, &status.code),
        Content::ChangeRequest(request) => {
            let kind = match request.kind() {
                v1::ChangeKind::Recall => "recall",
                v1::ChangeKind::Update => "update",
                v1::ChangeKind::Replace => "replace",
                v1::ChangeKind::Unspecified => "",
            };
            summary(ContentKind::ChangeRequest, request.reason, kind)
        }
        Content::ChangeAnswer(answer) => {
            let verdict = match answer.verdict() {
                v1::ChangeVerdict::Agreed => "agreed",
                v1::ChangeVerdict::Declined => "declined",
                v1::ChangeVerdict::Unspecified => "",
            };
            summary(ContentKind::ChangeAnswer, answer.reason, verdict)
        }
        Content::Opaque(opaque) => summary(ContentKind::Opaque, opaque.r#type, ""),
    }
}

fn read_part(part: v1::Part) -> Result<Part, Refusal> {
    Ok(Part {
        name: part.name,
        media_type: part.media_type,
        size: part.size,
        digest: Digest::from_slice(&part.sha256).ok_or_else(|| malformed("envelope.parts"))?,
        role: part.role,
    })
}

fn malformed(field: &str) -> Refusal {
    Refusal::new(Reason::EnvelopeMalformed).at(field).saw("the worker cannot read it")
}
