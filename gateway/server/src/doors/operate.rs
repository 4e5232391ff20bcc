//! OperateService: the door of operators. Viewers see, operators move; every action is a leaf of the evidence log.

use gateway_engine::operate::{About, Action, Operate};
use gateway_engine::refusals::RefusalRecord;
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::state::DeliveryStatus;
use gateway_model::{Reason, Refusal, Timestamp, limits};
use gateway_store::query::{PageToken, Query};
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EventRow, EventSource};
use proto::v1;
use proto::v1::operate_service_server::OperateService;
use tonic::{Request, Response, Status};

use super::fit::{ANSWER_BYTES_MAX, Fitted};
use super::gates::Gates;
use super::{Caller, Doors, fit, wire};

/// Rows of a page when the caller does not say.
const PAGE_ROWS_DEFAULT: u32 = 50;
/// Refusals when the caller does not say.
const REFUSALS_DEFAULT: u32 = 50;

/// The service.
#[derive(Clone)]
pub struct OperateDoor(pub Doors);

#[tonic::async_trait]
impl OperateService for OperateDoor {
    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let caller = self.viewer(&request)?;
        let query = query(&caller, &request.into_inner()).map_err(|refusal| caller.status(&refusal))?;
        let operate = self.operate();
        let page = self.0.within(&caller, operate.list(&query)).await?;
        let gates = self.gates();
        Ok(Response::new(v1::ListResponse {
            deliveries: page.rows.iter().map(|row| self.summary(row, &gates, &caller)).collect(),
            next_page_token: page.next.map(write_token).unwrap_or_default(),
        }))
    }

    async fn timeline(&self, request: Request<v1::TimelineRequest>) -> Result<Response<v1::TimelineResponse>, Status> {
        let caller = self.viewer(&request)?;
        let about = about(&caller, &request.into_inner()).map_err(|refusal| caller.status(&refusal))?;
        let operate = self.operate();
        let timeline = self.0.within(&caller, operate.timeline(&about)).await?;
        let gates = self.gates();
        let mut envelopes = Fitted::new(usize::MAX, ANSWER_BYTES_MAX / 2);
        for (row, deliveries) in &timeline.envelopes {
            envelopes.push(self.envelope(row, deliveries, &gates, &caller), false);
        }
        let mut entries = Fitted::new(usize::MAX, ANSWER_BYTES_MAX - envelopes.bytes());
        for event in &timeline.entries {
            entries.push(entry(event), fit::is_final(&event.receipt));
        }
        let ((envelopes, envelopes_cut), (entries, entries_cut)) = (envelopes.finish(), entries.finish());
        let cut = timeline.cut || envelopes_cut || entries_cut;
        Ok(Response::new(v1::TimelineResponse { envelopes, entries, cut }))
    }

    async fn retry(&self, request: Request<v1::RetryRequest>) -> Result<Response<v1::RetryResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let named = request.into_inner();
        let action = self.action(&caller, &named.delivery_id, named.reason)?;
        let operate = self.operate();
        let row = self.0.within(&caller, operate.retry(&action)).await?;
        Ok(Response::new(v1::RetryResponse { state: Some(self.state(&row, &self.gates(), &caller)) }))
    }

    async fn hold(&self, request: Request<v1::HoldRequest>) -> Result<Response<v1::HoldResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let named = request.into_inner();
        let action = self.action(&caller, &named.delivery_id, named.reason)?;
        let operate = self.operate();
        let row = self.0.within(&caller, operate.hold(&action)).await?;
        Ok(Response::new(v1::HoldResponse { state: Some(self.state(&row, &self.gates(), &caller)) }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let named = request.into_inner();
        let action = self.action(&caller, &named.delivery_id, named.reason)?;
        let operate = self.operate();
        let row = self.0.within(&caller, operate.release(&action)).await?;
        Ok(Response::new(v1::ReleaseResponse { state: Some(self.state(&row, &self.gates(), &caller)) }))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let caller = self.viewer(&request)?;
        let operate = self.operate();
        let status = self.0.within(&caller, operate.status()).await?;
        Ok(Response::new(v1::GetStatusResponse {
            gateway: self.0.engine.gateway().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            directory_version: status.directory_version.unwrap_or(0),
            directory_expires_at: status.directory_expires_at.map(wire::timestamp),
            envelopes: status.counts.envelopes,
            waiting: status.counts.waiting,
            held: status.counts.held,
            log_size: status.counts.log_size,
            free_bytes: status.counts.free_bytes,
            busy: status.busy.is_some(),
            busy_reason: status.busy.map(|(reason, _)| reason.code().to_owned()).unwrap_or_default(),
            gates: self.gates().to_wire(),
        }))
    }

    async fn list_refusals(
        &self,
        request: Request<v1::ListRefusalsRequest>,
    ) -> Result<Response<v1::ListRefusalsResponse>, Status> {
        self.viewer(&request)?;
        let limit = match request.into_inner().limit {
            0 => REFUSALS_DEFAULT as usize,
            limit => (limit as usize).min(limits::REFUSALS_REMEMBERED),
        };
        let refusals = self.operate().refusals(limit).into_iter().map(refusal_record).collect();
        Ok(Response::new(v1::ListRefusalsResponse { refusals }))
    }
}

impl OperateDoor {
    fn viewer<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = self.0.caller(request)?;
        caller.operator(OperatorRole::Viewer, self.0.engine.gateway())?;
        Ok(caller)
    }

    fn operate(&self) -> Operate {
        self.0.engine.operate()
    }

    fn action(&self, caller: &Caller, delivery_id: &str, note: String) -> Result<Action, Status> {
        let operator = caller.operator(OperatorRole::Operator, self.0.engine.gateway())?.clone();
        let delivery = DeliveryId::parse(delivery_id)
            .ok_or_else(|| caller.status(&malformed("delivery_id", "32 hexadecimal digits, as List gives them")))?;
        Ok(Action { operator, delivery, note })
    }

    fn gates(&self) -> Gates {
        Gates::of(&self.0.engine)
    }

    fn state(&self, row: &DeliveryRow, gates: &Gates, caller: &Caller) -> v1::DeliveryState {
        wire::delivery_state(row, gates, &self.0.adapters, caller.language)
    }

    fn summary(&self, row: &DeliverySummary, gates: &Gates, caller: &Caller) -> v1::DeliverySummary {
        let envelope = &row.envelope;
        v1::DeliverySummary {
            delivery_id: row.delivery.id.to_string(),
            sender: envelope.key.sender.to_string(),
            envelope_id: envelope.key.id.to_string(),
            file_code: envelope.header.file_code.clone(),
            accepted_at: Some(wire::timestamp(envelope.header.received_at)),
            state: Some(self.state(&row.delivery, gates, caller)),
            subject: subject(envelope),
        }
    }

    fn envelope(
        &self,
        row: &EnvelopeRow,
        deliveries: &[DeliveryRow],
        gates: &Gates,
        caller: &Caller,
    ) -> v1::EnvelopeSummary {
        v1::EnvelopeSummary {
            sender: row.key.sender.to_string(),
            envelope_id: row.key.id.to_string(),
            file_code: row.header.file_code.clone(),
            subject: subject(row),
            accepted_at: Some(wire::timestamp(row.header.received_at)),
            deliveries: deliveries.iter().map(|delivery| self.state(delivery, gates, caller)).collect(),
        }
    }
}

fn subject(row: &EnvelopeRow) -> String {
    if row.header.subject.is_empty() { row.header.code.clone() } else { row.header.subject.clone() }
}

fn entry(event: &EventRow) -> v1::TimelineEntry {
    let local = match event.source {
        EventSource::Own => true,
        EventSource::Foreign => false,
    };
    v1::TimelineEntry { receipt: Some(event.receipt.to_wire()), local }
}

fn refusal_record(record: RefusalRecord) -> v1::RefusalRecord {
    v1::RefusalRecord {
        at: Some(wire::timestamp(record.at)),
        hop: record.hop,
        reason: record.reason.code().to_owned(),
        field: record.field,
        envelope_id: record.envelope_id.unwrap_or_default(),
    }
}

fn query(caller: &Caller, request: &v1::ListRequest) -> Result<Query, Refusal> {
    let statuses = request.statuses.iter().map(|&status| read_status(status)).collect::<Option<Vec<_>>>();
    let rows = if request.page_size == 0 { PAGE_ROWS_DEFAULT } else { request.page_size.min(limits::PAGE_ROWS_MAX) };
    Ok(Query {
        statuses: statuses.ok_or_else(|| malformed("statuses", "a status that exists"))?,
        sender: agency(caller, &request.sender, "sender", Reason::SenderUnknown)?,
        recipient: agency(caller, &request.recipient, "recipient", Reason::RecipientUnknown)?,
        file_code: filled(&request.file_code).map(str::to_owned),
        envelope_id: filled(&request.envelope_id).map(envelope_id).transpose()?,
        reason: filled(&request.reason).map(read_reason).transpose()?,
        since: request.since.as_ref().map(|at| instant(at, "since")).transpose()?,
        until: request.until.as_ref().map(|at| instant(at, "until")).transpose()?,
        limit: rows as usize,
        after: filled(&request.page_token).map(read_token).transpose()?,
    })
}

fn about(caller: &Caller, request: &v1::TimelineRequest) -> Result<About, Refusal> {
    let sender = agency(caller, &request.sender, "sender", Reason::SenderUnknown)?;
    let id = filled(&request.envelope_id).map(envelope_id).transpose()?;
    match (id, sender, filled(&request.file_code)) {
        (Some(id), Some(sender), _) => Ok(About::Envelope(EnvelopeKey { sender, id })),
        (Some(id), None, _) => Ok(About::EnvelopeId(id)),
        (None, _, Some(code)) if code.len() <= limits::TEXT_BYTES_MAX => Ok(About::FileCode(code.to_owned())),
        (None, _, _) => Err(malformed("envelope_id", "an envelope id or a file code")),
    }
}

fn agency(caller: &Caller, name: &str, field: &str, reason: Reason) -> Result<Option<AgencyId>, Refusal> {
    let Some(name) = filled(name) else { return Ok(None) };
    let found = caller.directory().agency_named(name).map(|agency| agency.id.clone());
    found.map(Some).ok_or_else(|| Refusal::new(reason).at(field).saw(name))
}

fn envelope_id(text: &str) -> Result<EnvelopeId, Refusal> {
    EnvelopeId::parse(text)
        .map_err(|error| Refusal::new(Reason::EnvelopeIdInvalid).at("envelope_id").saw(error.to_string()))
}

fn read_reason(text: &str) -> Result<Reason, Refusal> {
    Reason::parse(text).ok_or_else(|| malformed("reason", "a reason code that exists"))
}

fn instant(at: &prost_types::Timestamp, field: &str) -> Result<Timestamp, Refusal> {
    Timestamp::from_parts(at.seconds, at.nanos)
        .ok_or_else(|| malformed(field, "an instant between the years 1 and 9999"))
}

fn read_status(number: i32) -> Option<DeliveryStatus> {
    let named = v1::DeliveryStatus::try_from(number).ok()?;
    DeliveryStatus::ALL.into_iter().find(|status| wire::status(*status) == named)
}

fn write_token(token: PageToken) -> String {
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

fn filled(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn malformed(field: &str, wanted: &str) -> Refusal {
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
