//! From walked bytes to the envelope of the model, with every bound and every rule of its fields.

use std::collections::HashSet;

use gateway_model::envelope::{
    Case, ContentKind, ContentSummary, ENVELOPE_SCHEMA, Envelope, Part, Priority, Reference,
};
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use prost::Message as _;
use proto::v1;

use super::text::{Lines, check_part_name, check_text};

/// Reads the bytes of an `Envelope`.
///
/// # Errors
/// The first field that is not as it has to be, with its path.
pub fn read_envelope(bytes: &[u8]) -> Result<Envelope, Refusal> {
    super::walk_envelope(bytes)?;
    let message =
        v1::Envelope::decode(bytes).map_err(|error| Refusal::new(Reason::EnvelopeMalformed).saw(error.to_string()))?;
    if message.schema != ENVELOPE_SCHEMA {
        return refuse(Reason::EnvelopeSchemaUnknown, "schema", message.schema);
    }
    let id = EnvelopeId::parse(&message.id)
        .map_err(|error| Refusal::new(Reason::EnvelopeIdInvalid).at("id").saw(error.to_string()))?;
    check_name(&message.from, "from", Reason::SenderUnknown)?;
    let to = read_recipients(message.to)?;
    let created_at = read_time(message.created_at, "created_at")?;
    let expires_at = read_time(message.expires_at, "expires_at")?;
    check_life(created_at, expires_at)?;
    let envelope = Envelope {
        id,
        from: message.from,
        to,
        created_at,
        expires_at,
        priority: read_priority(message.priority)?,
        in_reply_to: message.in_reply_to.map(|r| read_reference(r, "in_reply_to")).transpose()?,
        supersedes: message.supersedes.map(|r| read_reference(r, "supersedes")).transpose()?,
        case: message.case.map(read_case).transpose()?,
        content: read_content(message.content)?,
        parts: read_parts(message.parts)?,
    };
    check_references(&envelope)?;
    Ok(envelope)
}

fn read_recipients(recipients: Vec<v1::Recipient>) -> Result<Vec<String>, Refusal> {
    if recipients.is_empty() {
        return Err(Refusal::new(Reason::RecipientMissing).at("to"));
    }
    if recipients.len() > limits::RECIPIENTS_MAX {
        return refuse(
            Reason::RecipientsTooMany,
            "to",
            format!("{}; {} are allowed", recipients.len(), limits::RECIPIENTS_MAX),
        );
    }
    let named = recipients.into_iter().enumerate().map(|(position, recipient)| {
        let checked = check_name(&recipient.agency, "agency", Reason::RecipientUnknown);
        checked.map(|()| recipient.agency).map_err(|refusal| inside(refusal, "to", position))
    });
    named.collect()
}

/// The id or code of an agency: whether somebody has it is for the directory to say.
fn check_name(name: &str, field: &str, empty: Reason) -> Result<(), Refusal> {
    if name.is_empty() {
        return refuse(empty, field, "it is empty");
    }
    line(name, limits::ID_BYTES_MAX, field)
}

fn read_time(time: Option<prost_types::Timestamp>, field: &str) -> Result<Timestamp, Refusal> {
    match time.map(|time| Timestamp::from_parts(time.seconds, time.nanos)) {
        Some(Some(time)) => Ok(time),
        Some(None) => refuse(Reason::EnvelopeTimeInvalid, field, "it is outside of the years 1 to 9999"),
        None => refuse(Reason::EnvelopeTimeInvalid, field, "it is missing"),
    }
}

fn check_life(created_at: Timestamp, expires_at: Timestamp) -> Result<(), Refusal> {
    if expires_at <= created_at {
        return refuse(Reason::EnvelopeTimeInvalid, "expires_at", "it is not after created_at");
    }
    if expires_at.since(created_at) > limits::ENVELOPE_LIFE_MAX {
        return refuse(Reason::EnvelopeTimeInvalid, "expires_at", "it is more than 366 days after created_at");
    }
    Ok(())
}

fn read_priority(priority: i32) -> Result<Priority, Refusal> {
    match v1::Priority::try_from(priority) {
        Ok(v1::Priority::Unspecified | v1::Priority::Normal) => Ok(Priority::Normal),
        Ok(v1::Priority::Urgent) => Ok(Priority::Urgent),
        Ok(v1::Priority::VeryUrgent) => Ok(Priority::VeryUrgent),
        Ok(v1::Priority::Express) => Ok(Priority::Express),
        Ok(v1::Priority::ExpressTimed) => Ok(Priority::ExpressTimed),
        Err(_) => refuse(Reason::EnvelopeMalformed, "priority", format!("{priority} is no priority")),
    }
}

fn read_reference(reference: v1::Reference, field: &str) -> Result<Reference, Refusal> {
    let invalid = |part: &str, what: String| refuse(Reason::EnvelopeReferenceInvalid, &format!("{field}.{part}"), what);
    if reference.sender.is_empty() {
        return invalid("sender", "it is empty".to_owned());
    }
    line(&reference.sender, limits::ID_BYTES_MAX, &format!("{field}.sender"))?;
    let id = match EnvelopeId::parse(&reference.id) {
        Ok(id) => id,
        Err(error) => return invalid("id", error.to_string()),
    };
    let digest = match (reference.sha256.is_empty(), Digest::from_slice(&reference.sha256)) {
        (true, _) => None,
        (false, Some(digest)) => Some(digest),
        (false, None) => return invalid("sha256", format!("{} bytes", reference.sha256.len())),
    };
    Ok(Reference { sender: reference.sender, id, digest })
}

fn read_case(case: v1::Case) -> Result<Case, Refusal> {
    line(&case.file_code, limits::TEXT_BYTES_MAX, "case.file_code")?;
    line(&case.issuer, limits::ID_BYTES_MAX, "case.issuer")?;
    line(&case.procedure_code, limits::TEXT_BYTES_MAX, "case.procedure_code")?;
    line(&case.step, limits::TEXT_BYTES_MAX, "case.step")?;
    Ok(Case { file_code: case.file_code, issuer: case.issuer, procedure_code: case.procedure_code, step: case.step })
}

fn read_content(content: Option<v1::envelope::Content>) -> Result<ContentSummary, Refusal> {
    use v1::envelope::Content;
    match content.ok_or_else(|| Refusal::new(Reason::EnvelopeContentMissing).at("content"))? {
        Content::Document(document) => read_document(document),
        Content::Dossier(dossier) => read_dossier(dossier),
        Content::Status(status) => read_status(status),
        Content::ChangeRequest(request) => read_change_request(request),
        Content::ChangeAnswer(answer) => read_change_answer(answer),
        Content::Opaque(opaque) => {
            if opaque.r#type.is_empty() {
                return refuse(Reason::EnvelopeContentMissing, "opaque.type", "it is empty");
            }
            line(&opaque.r#type, limits::TEXT_BYTES_MAX, "opaque.type")?;
            Ok(ContentSummary { kind: ContentKind::Opaque, subject: opaque.r#type, code: String::new() })
        }
    }
}

fn read_document(document: v1::Document) -> Result<ContentSummary, Refusal> {
    line(&document.code, limits::TEXT_BYTES_MAX, "document.code")?;
    line(&document.type_name, limits::TEXT_BYTES_MAX, "document.type_name")?;
    lines(&document.subject, "document.subject")?;
    check_day(&document.promulgated_on, "document.promulgated_on")?;
    Ok(ContentSummary { kind: ContentKind::Document, subject: document.subject, code: document.code })
}

fn read_dossier(dossier: v1::Dossier) -> Result<ContentSummary, Refusal> {
    lines(&dossier.subject, "dossier.subject")?;
    check_day(&dossier.due_on, "dossier.due_on")?;
    line(&dossier.state, limits::TEXT_BYTES_MAX, "dossier.state")?;
    Ok(ContentSummary { kind: ContentKind::Dossier, subject: dossier.subject, code: String::new() })
}

fn read_status(status: v1::Status) -> Result<ContentSummary, Refusal> {
    line(&status.code, limits::TEXT_BYTES_MAX, "status.code")?;
    lines(&status.description, "status.description")?;
    if let Some(at) = status.at {
        read_time(Some(at), "status.at")?;
    }
    Ok(ContentSummary { kind: ContentKind::Status, subject: status.description, code: status.code })
}

fn read_change_request(request: v1::ChangeRequest) -> Result<ContentSummary, Refusal> {
    lines(&request.reason, "change_request.reason")?;
    let kind = match v1::ChangeKind::try_from(request.kind) {
        Ok(v1::ChangeKind::Recall) => "recall",
        Ok(v1::ChangeKind::Update) => "update",
        Ok(v1::ChangeKind::Replace) => "replace",
        Ok(v1::ChangeKind::Unspecified) | Err(_) => {
            return refuse(
                Reason::EnvelopeContentMissing,
                "change_request.kind",
                format!("{} is no kind of change", request.kind),
            );
        }
    };
    Ok(ContentSummary { kind: ContentKind::ChangeRequest, subject: request.reason, code: kind.to_owned() })
}

fn read_change_answer(answer: v1::ChangeAnswer) -> Result<ContentSummary, Refusal> {
    lines(&answer.reason, "change_answer.reason")?;
    let verdict = match v1::ChangeVerdict::try_from(answer.verdict) {
        Ok(v1::ChangeVerdict::Agreed) => "agreed",
        Ok(v1::ChangeVerdict::Declined) => "declined",
        Ok(v1::ChangeVerdict::Unspecified) | Err(_) => {
            return refuse(
                Reason::EnvelopeContentMissing,
                "change_answer.verdict",
                format!("{} is no verdict", answer.verdict),
            );
        }
    };
    Ok(ContentSummary { kind: ContentKind::ChangeAnswer, subject: answer.reason, code: verdict.to_owned() })
}

/// A change names what it changes, an answer what it answers.
fn check_references(envelope: &Envelope) -> Result<(), Refusal> {
    let missing = |field: &str| refuse(Reason::EnvelopeReferenceInvalid, field, "this content needs it");
    match envelope.content.kind {
        ContentKind::ChangeRequest if envelope.supersedes.is_none() => missing("supersedes"),
        ContentKind::ChangeAnswer if envelope.in_reply_to.is_none() => missing("in_reply_to"),
        ContentKind::Document
        | ContentKind::Dossier
        | ContentKind::Status
        | ContentKind::ChangeRequest
        | ContentKind::ChangeAnswer
        | ContentKind::Opaque => Ok(()),
    }
}

fn read_parts(parts: Vec<v1::Part>) -> Result<Vec<Part>, Refusal> {
    if parts.len() > limits::PARTS_MAX {
        return refuse(Reason::PartsTooMany, "parts", format!("{}; {} are allowed", parts.len(), limits::PARTS_MAX));
    }
    let mut digests = HashSet::with_capacity(parts.len());
    let read = parts.into_iter().enumerate().map(|(position, part)| {
        let part = read_part(part).and_then(|part| match digests.insert(part.digest) {
            true => Ok(part),
            false => refuse(Reason::PartDigestInvalid, "sha256", "it stands twice"),
        });
        part.map_err(|refusal| inside(refusal, "parts", position))
    });
    read.collect()
}

/// Puts the entry of a list before the field of a refusal; only a refusal pays for the text.
fn inside(refusal: Refusal, list: &str, position: usize) -> Refusal {
    let field = format!("{list}[{position}].{}", refusal.field);
    refusal.at(field)
}

fn read_part(part: v1::Part) -> Result<Part, Refusal> {
    if let Err(what) = check_part_name(&part.name) {
        return refuse(Reason::PartNameInvalid, "name", what);
    }
    if !is_media_type(&part.media_type) {
        return refuse(Reason::EnvelopeTextInvalid, "media_type", "it is no media type");
    }
    if part.size > limits::PART_BYTES_MAX {
        let seen = format!("{} bytes; {} are allowed", part.size, limits::PART_BYTES_MAX);
        return refuse(Reason::PartTooLarge, "size", seen);
    }
    line(&part.role, limits::TEXT_BYTES_MAX, "role")?;
    match Digest::from_slice(&part.sha256) {
        Some(digest) => {
            Ok(Part { name: part.name, media_type: part.media_type, size: part.size, digest, role: part.role })
        }
        None => refuse(Reason::PartDigestInvalid, "sha256", format!("{} bytes; a digest has 32", part.sha256.len())),
    }
}

/// `type/subtype` (RFC 6838), with parameters of printable ASCII behind it where somebody needs them.
fn is_media_type(text: &str) -> bool {
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let Some((top, sub)) = kind.trim_end().split_once('/') else { return false };
    let is_name = |name: &str| {
        (1..=127).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    is_name(top) && is_name(sub) && parameters.len() <= 255 && parameters.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// `YYYY-MM-DD` or nothing.
fn check_day(text: &str, field: &str) -> Result<(), Refusal> {
    if text.is_empty() || (text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_some()) {
        Ok(())
    } else {
        refuse(Reason::EnvelopeTextInvalid, field, "it is no day (YYYY-MM-DD)")
    }
}

fn line(text: &str, bytes_max: usize, field: &str) -> Result<(), Refusal> {
    check_text(text, bytes_max, Lines::One).or_else(|what| refuse(Reason::EnvelopeTextInvalid, field, what))
}

fn lines(text: &str, field: &str) -> Result<(), Refusal> {
    check_text(text, limits::TEXT_BYTES_MAX, Lines::Many)
        .or_else(|what| refuse(Reason::EnvelopeTextInvalid, field, what))
}

fn refuse<T>(reason: Reason, field: &str, what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(reason).at(field).saw(what))
}
