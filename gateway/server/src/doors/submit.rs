//! SubmitService: the door of the agencies' own systems.

use adapters_sdk::trace;
use bytes::Bytes;
use futures::stream::StreamExt as _;
use gateway_engine::{Accepted, Submission, spans};
use gateway_model::agency::Hop;
use gateway_model::{Reason, Refusal, limits};
use prost::Message as _;
use proto::v1;
use proto::v1::submit_many_response::Result as ManyResult;
use proto::v1::submit_service_server::SubmitService;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::pipeline::{Answers, Bounds, IDLE_MAX, pipelined};
use super::upload::Frame;
use super::{Caller, Doors, Lasting, follow, upload};
use crate::errors;

/// The service.
#[derive(Clone)]
pub struct SubmitDoor(pub Doors);

#[tonic::async_trait]
impl SubmitService for SubmitDoor {
    type SubmitManyStream = Answers<v1::SubmitManyResponse>;
    type WatchStream = Answers<v1::WatchResponse>;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::SubmitResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let accepted = self.0.within(&caller, submit(&self.0, &caller, request.into_inner())).await?;
        Ok(Response::new(answer(&accepted)))
    }

    async fn submit_many(
        &self,
        request: Request<Streaming<v1::SubmitManyRequest>>,
    ) -> Result<Response<Self::SubmitManyStream>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let place = self.0.place(Lasting::Stream, &caller.party).map_err(|refusal| caller.status(&refusal))?;
        let work = {
            let (doors, caller) = (self.0.clone(), caller.clone());
            move |message| one_of_many(doors.clone(), caller.clone(), message)
        };
        let bounds = Bounds { in_flight_max: self.0.limits.in_flight_per_stream, place, idle_max: IDLE_MAX };
        Ok(Response::new(pipelined(request.into_inner(), bounds, self.0.draining.clone(), work)))
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::UploadPartRequest>>,
    ) -> Result<Response<v1::UploadPartResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let frames = request.into_inner().map(|message| message.map(|message| message.frame.map(frame)));
        let size = upload::upload(&self.0, &caller, frames).await?;
        Ok(Response::new(v1::UploadPartResponse { size }))
    }

    async fn missing_parts(
        &self,
        request: Request<v1::MissingPartsRequest>,
    ) -> Result<Response<v1::MissingPartsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let missing = upload::missing(&self.0, &caller, &request.into_inner().sha256).await?;
        Ok(Response::new(v1::MissingPartsResponse { missing }))
    }

    async fn track(&self, request: Request<v1::TrackRequest>) -> Result<Response<v1::TrackResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let named = request.into_inner();
        let work = follow::track(&self.0, &caller, &named.sender, &named.envelope_id);
        Ok(Response::new(self.0.within(&caller, work).await?))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let caller = self.0.caller(&request)?;
        let named = request.into_inner();
        let work = follow::watch(&self.0, &caller, &named.sender, &named.envelope_id);
        Ok(Response::new(self.0.within(&caller, work).await?))
    }

    async fn get_receipt(
        &self,
        request: Request<v1::GetReceiptRequest>,
    ) -> Result<Response<v1::GetReceiptResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let named = request.into_inner();
        let work = follow::receipts(&self.0, &caller, &named.sender, &named.envelope_id);
        Ok(Response::new(self.0.within(&caller, work).await?))
    }
}

async fn one_of_many(doors: Doors, caller: Caller, message: v1::SubmitManyRequest) -> v1::SubmitManyResponse {
    let work = async {
        let request = message.request.ok_or_else(|| Refusal::new(Reason::RequestMalformed).at("request"))?;
        submit(&doors, &caller, request).await
    };
    let result = match work.await {
        Ok(accepted) => ManyResult::Accepted(answer(&accepted)),
        Err(refusal) => ManyResult::Refused(errors::refused(&refusal, caller.language)),
    };
    v1::SubmitManyResponse { sequence: message.sequence, result: Some(result) }
}

/// Takes one submission of a system in.
pub(super) async fn submit(doors: &Doors, caller: &Caller, request: v1::SubmitRequest) -> Result<Accepted, Refusal> {
    let system = doors.again(caller).ok().and_then(|now| now.system().ok().cloned()).ok_or(Reason::HopUnknown)?;
    let hop = Hop::System(system);
    let span = spans::process(doors.engine.gateway(), &hop);
    let inline: Vec<Bytes> = request.inline_parts.into_iter().map(|part| part.content).collect();
    let bytes: usize = inline.iter().map(Bytes::len).sum();
    if bytes > limits::INLINE_BYTES_MAX {
        let seen = format!("{bytes} bytes together, at most {}: use UploadPart", limits::INLINE_BYTES_MAX);
        return Err(Refusal::new(Reason::PartTooLarge).at("inline_parts").saw(seen));
    }
    let envelope = request.envelope.ok_or_else(|| Refusal::new(Reason::RequestMalformed).at("envelope"))?;
    let submission = Submission {
        // The wrapper is written anew; the signed bytes inside are the very same.
        signed: envelope.encode_to_vec().into(),
        hop,
        inline,
        relay: None,
        traceparent: Some(trace::follow(&span, caller.traceparent.clone())),
    };
    let result = doors.engine.submit(submission).instrument(span.clone()).await;
    spans::processed(&span, &result);
    result
}

pub(super) fn answer(accepted: &Accepted) -> v1::SubmitResponse {
    v1::SubmitResponse { receipt: Some(accepted.receipt.to_wire()), duplicate: accepted.duplicate }
}

fn frame(frame: v1::upload_part_request::Frame) -> Frame {
    match frame {
        v1::upload_part_request::Frame::Header(header) => Frame::Header(header),
        v1::upload_part_request::Frame::Chunk(chunk) => Frame::Chunk(chunk),
    }
}
