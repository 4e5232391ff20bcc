//! What operators ask for, read within its bounds.

use gateway_engine::operate::About;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::state::DeliveryStatus;
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use gateway_store::query::{PageToken, Query};
use proto::v1;

use super::super::{Caller, wire};

/// Rows of a page when the caller does not say.
const PAGE_ROWS_DEFAULT: u32 = 50;

/// How many, of at most `max`.
pub(super) fn rows(asked: u32, max: u32) -> usize {
    (if asked == 0 { PAGE_ROWS_DEFAULT } else { asked }).min(max) as usize
}

/// Reads the id of a delivery.
pub(super) fn delivery_id(text: &str) -> Result<DeliveryId, Refusal> {
    DeliveryId::parse(text).ok_or_else(|| malformed("delivery_id", "32 hexadecimal digits, as List gives them"))
}

pub(super) fn query(caller: &Caller, request: &v1::ListRequest) -> Result<Query, Refusal> {
    let statuses = request.statuses.iter().map(|&status| read_status(status)).collect::<Option<Vec<_>>>();
    Ok(Query {
        statuses: statuses.ok_or_else(|| malformed("statuses", "a status that exists"))?,
        sender: agency(caller, &request.sender, "sender", Reason::SenderUnknown)?,
        recipient: agency(caller, &request.recipient, "recipient", Reason::RecipientUnknown)?,
        file_code: filled(&request.file_code).map(str::to_owned),
        envelope_id: filled(&request.envelope_id).map(envelope_id).transpose()?,
        code: filled(&request.document_code).map(str::to_owned),
        digest: digest(&request.sha256)?,
        reason: filled(&request.reason).map(read_reason).transpose()?,
        since: request.since.as_ref().map(|at| instant(at, "since")).transpose()?,
        until: request.until.as_ref().map(|at| instant(at, "until")).transpose()?,
        limit: rows(request.page_size, limits::PAGE_ROWS_MAX),
        after: filled(&request.page_token).map(read_token).transpose()?,
    })
}

pub(super) fn about(caller: &Caller, request: &v1::TimelineRequest) -> Result<About, Refusal> {
    let sender = agency(caller, &request.sender, "sender", Reason::SenderUnknown)?;
    let id = filled(&request.envelope_id).map(envelope_id).transpose()?;
    match (id, sender, filled(&request.file_code)) {
        (Some(id), Some(sender), _) => Ok(About::Envelope(EnvelopeKey { sender, id })),
        (Some(id), None, _) => Ok(About::EnvelopeId(id)),
        (None, _, Some(code)) if code.len() <= limits::TEXT_BYTES_MAX => Ok(About::FileCode(code.to_owned())),
        (None, _, _) => match filled(&request.document_code).filter(|code| code.len() <= limits::TEXT_BYTES_MAX) {
            Some(code) => Ok(About::DocumentCode(code.to_owned())),
            None => Err(malformed("envelope_id", "an envelope id, a file code or a document number")),
        },
    }
}

fn digest(bytes: &[u8]) -> Result<Option<Digest>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Digest::from_slice(bytes).map(Some).ok_or_else(|| malformed("sha256", "32 bytes"))
}

pub(super) fn agency(caller: &Caller, name: &str, field: &str, reason: Reason) -> Result<Option<AgencyId>, Refusal> {
    let Some(name) = filled(name) else { return Ok(None) };
    let found = caller.directory().agency_named(name).map(|agency| agency.id.clone());
    found.map(Some).ok_or_else(|| Refusal::new(reason).at(field).saw(name))
}

pub(super) fn envelope_id(text: &str) -> Result<EnvelopeId, Refusal> {
    EnvelopeId::parse(text)
        .map_err(|error| Refusal::new(Reason::EnvelopeIdInvalid).at("envelope_id").saw(error.to_string()))
}

fn read_reason(text: &str) -> Result<Reason, Refusal> {
    Reason::parse(text).ok_or_else(|| malformed("reason", "a reason code that exists"))
}

pub(super) fn instant(at: &prost_types::Timestamp, field: &str) -> Result<Timestamp, Refusal> {
    Timestamp::from_parts(at.seconds, at.nanos)
        .ok_or_else(|| malformed(field, "an instant between the years 1 and 9999"))
}

fn read_status(number: i32) -> Option<DeliveryStatus> {
    let named = v1::DeliveryStatus::try_from(number).ok()?;
    DeliveryStatus::ALL.into_iter().find(|status| wire::status(*status) == named)
}

pub(super) fn write_token(token: PageToken) -> String {
    format!("{:x}.{:x}", token.envelope, token.place)
}

fn read_token(text: &str) -> Result<PageToken, Refusal> {
    let read = || {
        let (envelope, place) = text.split_once('.')?;
        let envelope = u64::from_str_radix(envelope, 16).ok()?;
        Some(PageToken { envelope, place: u32::from_str_radix(place, 16).ok()? })
    };
    read().ok_or_else(|| malformed("page_token", "a token as the last answer gave it"))
}

pub(super) fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn malformed(field: &str, wanted: &str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).at(field).saw(format!("{wanted} is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_comes_back_as_it_went_and_nothing_else_is_one() {
        let token = PageToken { envelope: u64::MAX, place: 7 };
        assert_eq!(read_token(&write_token(token)).unwrap(), token);
        for text in ["1", "1.", "x.y", "1.2.3", "-1.0"] {
            assert_eq!(read_token(text).unwrap_err().reason, Reason::RequestMalformed, "{text}");
        }
    }

    #[test]
    fn every_status_is_read_as_it_is_written() {
        for status in DeliveryStatus::ALL {
            assert_eq!(read_status(wire::status(status).into()), Some(status));
        }
        assert_eq!(read_status(0), None);
        assert_eq!(read_status(99), None);
    }
}
