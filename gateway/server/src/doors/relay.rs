//! RelayService: the door of other gateways.

use adapters_sdk::trace as trace_context;
use bytes::Bytes;
use futures::stream::StreamExt as _;
use gateway_engine::{Accepted, RelayFacts, Submission, spans};
use gateway_model::agency::Hop;
use gateway_model::id::{AgencyId, GatewayId, IdError};
use gateway_model::{Reason, Refusal, limits};
use prost::Message as _;
use proto::v1;
use proto::v1::relay_response::Result as RelayResult;
use proto::v1::relay_service_server::RelayService;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::operate::trace;
use super::pipeline::{Answers, Bounds, IDLE_MAX, pipelined};
use super::upload::Frame;
use super::{Caller, Doors, Lasting, upload};
use crate::errors;

/// The service.
#[derive(Clone)]
pub struct RelayDoor(pub Doors);

/// Receipts of one call that are recorded at the same time: they share a commit.
const RECEIPTS_AT_ONCE: usize = 64;

#[tonic::async_trait]
impl RelayService for RelayDoor {
    type RelayStream = Answers<v1::RelayResponse>;

    async fn relay(
        &self,
        request: Request<Streaming<v1::RelayRequest>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let caller = self.0.caller(&request)?;
        caller.gateway()?;
        let place = self.0.place(Lasting::Stream, &caller.party).map_err(|refusal| caller.status(&refusal))?;
        let work = {
            let (doors, caller) = (self.0.clone(), caller.clone());
            move |message| one_of_many(doors.clone(), caller.clone(), message)
        };
        let bounds = Bounds { in_flight_max: self.0.limits.in_flight_per_stream, place, idle_max: IDLE_MAX };
        Ok(Response::new(pipelined(request.into_inner(), bounds, self.0.draining.clone(), work)))
    }

    async fn return_receipts(
        &self,
        request: Request<v1::ReturnReceiptsRequest>,
    ) -> Result<Response<v1::ReturnReceiptsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let from = caller.gateway()?.clone();
        let receipts = request.into_inner().receipts;
        if receipts.len() > limits::RECEIPTS_RETURNED_MAX {
            let refusal = Refusal::new(Reason::RequestMalformed).at("receipts").saw("at most 256");
            return Err(caller.status(&refusal));
        }
        let count = receipts.len();
        let record = |receipt: v1::Receipt| {
            let (engine, from) = (self.0.engine.clone(), from.clone());
            async move { verdict(engine.record_receipt(&from, &receipt.encode_to_vec().into()).await.map(drop)) }
        };
        let recorded = futures::stream::iter(receipts).map(record).buffered(RECEIPTS_AT_ONCE).collect();
        let span = receipts_span(&self.0, &caller, count);
        let verdicts = self.0.within(&caller, async { Ok(recorded.await) }).instrument(span).await?;
        Ok(Response::new(v1::ReturnReceiptsResponse { verdicts }))
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::RelayServiceUploadPartRequest>>,
    ) -> Result<Response<v1::RelayServiceUploadPartResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.gateway()?;
        let frames = request.into_inner().map(|message| message.map(|message| message.frame.map(frame)));
        let size = upload::upload(&self.0, &caller, frames).await?;
        Ok(Response::new(v1::RelayServiceUploadPartResponse { size }))
    }

    async fn missing_parts(
        &self,
        request: Request<v1::RelayServiceMissingPartsRequest>,
    ) -> Result<Response<v1::RelayServiceMissingPartsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.gateway()?;
        let missing = upload::missing(&self.0, &caller, &request.into_inner().sha256).await?;
        Ok(Response::new(v1::RelayServiceMissingPartsResponse { missing }))
    }

    async fn trace(&self, request: Request<v1::TraceRequest>) -> Result<Response<v1::TraceResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let from = caller.gateway()?.clone();
        let part = trace::part(&self.0, &caller, &from, request.into_inner());
        Ok(Response::new(v1::TraceResponse { timeline: Some(self.0.within(&caller, part).await?) }))
    }

    async fn ping(&self, request: Request<v1::PingRequest>) -> Result<Response<v1::PingResponse>, Status> {
        let caller = self.0.caller(&request)?;
        Ok(Response::new(v1::PingResponse {
            gateway: self.0.engine.gateway().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            directory_version: caller.directory().version(),
        }))
    }
}

async fn one_of_many(doors: Doors, caller: Caller, message: v1::RelayRequest) -> v1::RelayResponse {
    let sequence = message.sequence;
    let result = match relay(&doors, &caller, message).await {
        Ok(accepted) => RelayResult::Accepted(accepted.receipt.to_wire()),
        Err(refusal) => RelayResult::Refused(errors::refused(&refusal, caller.language)),
    };
    v1::RelayResponse { sequence, result: Some(result) }
}

async fn relay(doors: &Doors, caller: &Caller, message: v1::RelayRequest) -> Result<Accepted, Refusal> {
    let from = doors.again(caller).ok().and_then(|now| now.gateway().ok().cloned()).ok_or(Reason::HopUnknown)?;
    let hop = Hop::Gateway(from);
    let span = spans::process(doors.engine.gateway(), &hop);
    let envelope = message.envelope.ok_or_else(|| Refusal::new(Reason::RequestMalformed).at("envelope"))?;
    let facts = RelayFacts {
        recipients: ids(&message.recipients, "recipients", limits::RECIPIENTS_MAX, AgencyId::parse)?,
        hops: ids(&message.hops, "hops", limits::HOPS_MAX, GatewayId::parse)?,
        first_accepted: message.first_accepted.map(|receipt| Bytes::from(receipt.encode_to_vec())),
    };
    let submission = Submission {
        // The wrapper is written anew; the signed bytes inside are the very same.
        signed: envelope.encode_to_vec().into(),
        hop,
        inline: Vec::new(),
        relay: Some(facts),
        traceparent: Some(trace_context::follow(&span, trace_context::bounded(&message.traceparent))),
    };
    let result = doors.engine.submit(submission).instrument(span.clone()).await;
    spans::processed(&span, &result);
    result
}

/// Receipts come back many at once, in a trace of their own.
fn receipts_span(doors: &Doors, caller: &Caller, count: usize) -> tracing::Span {
    let gateway = doors.engine.gateway();
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {gateway}"),
        otel.kind = "consumer",
        messaging.system = "lienthong",
        "messaging.operation.type" = "process",
        messaging.operation.name = "record receipts",
        messaging.destination.name = %gateway,
        messaging.client.id = %caller.party,
        messaging.batch.message_count = count,
        trace_id = tracing::field::Empty,
    );
    trace_context::follow(&span, caller.traceparent.clone());
    span
}

fn ids<T>(
    texts: &[String],
    field: &str,
    count_max: usize,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<Vec<T>, Refusal> {
    if texts.len() > count_max {
        let reason = if field == "hops" { Reason::HopsTooMany } else { Reason::RecipientsTooMany };
        return Err(Refusal::new(reason).at(field).saw(format!("{}, at most {count_max}", texts.len())));
    }
    let parsed = texts.iter().enumerate().map(|(at, text)| {
        parse(text)
            .map_err(|error| Refusal::new(Reason::RequestMalformed).at(format!("{field}[{at}]")).saw(error.to_string()))
    });
    parsed.collect()
}

fn verdict(result: Result<(), Refusal>) -> v1::ReceiptVerdict {
    match result {
        Ok(()) => v1::ReceiptVerdict { recorded: true, ..v1::ReceiptVerdict::default() },
        Err(refusal) => v1::ReceiptVerdict {
            recorded: false,
            reason: refusal.reason.code().to_owned(),
            retryable: refusal.reason.is_retryable(),
        },
    }
}

fn frame(frame: v1::relay_service_upload_part_request::Frame) -> Frame {
    match frame {
        v1::relay_service_upload_part_request::Frame::Header(header) => Frame::Header(header),
        v1::relay_service_upload_part_request::Frame::Chunk(chunk) => Frame::Chunk(chunk),
    }
}
