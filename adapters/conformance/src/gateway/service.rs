//! The calls of `AdapterService`, answered from the stage.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use gateway_model::Digest;
use proto::v1;
use proto::v1::adapter_service_server::AdapterService;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::stage::{Call, Stage, Standing, State};
use super::words::Words;
use crate::brake::Brake;
use crate::effects::Effects;
use crate::identity::{GATEWAY, Identity, RECIPIENT};

/// Name of the queue that the adapter takes from.
pub const QUEUE: &str = "conformance";

const WAIT_MAX: Duration = Duration::from_secs(50);
const LEASES_MAX: usize = 64;
/// As every gateway: a worker that has its hands full is heard of by this.
const HEARTBEAT_MAX: Duration = Duration::from_secs(30);

/// The gateway's side of the calls.
#[derive(Clone)]
pub struct Door {
    /// What it knows.
    pub stage: Arc<Stage>,
    /// What signs its receipts.
    pub identity: Arc<Identity>,
    /// Where effects are seen.
    pub effects: Arc<Effects>,
    /// Stops the bytes of parts.
    pub brake: Brake,
}

impl Door {
    /// Lets only known workers on.
    fn known<T>(&self, worker: &str, go_on: impl FnOnce(&mut State) -> T) -> Result<T, Status> {
        self.stage.change(|state| {
            if state.knows(worker) {
                return Ok(go_on(state));
            }
            state.calls.push(Call::Unknown);
            let mut details = ErrorDetails::new();
            details.set_error_info("WORKER_UNKNOWN", "lienthong.gov.vn", std::collections::HashMap::new());
            Err(Status::with_error_details(Code::NotFound, "WORKER_UNKNOWN: register again", details))
        })
    }

    fn broken(&self, what: String) -> Status {
        self.stage.change(|state| state.calls.push(Call::Broken(what.clone())));
        Status::invalid_argument(what)
    }

    /// Refuses what every gateway refuses.
    fn check(&self, words: &[Words<'_>]) -> Result<(), Status> {
        words.iter().find_map(Words::fault).map_or(Ok(()), |fault| Err(self.broken(fault)))
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AdapterService for Door {
    type DownloadPartStream = Pin<Box<dyn Stream<Item = Result<v1::DownloadPartResponse, Status>> + Send>>;

    async fn get_info(&self, _request: Request<v1::GetInfoRequest>) -> Answer<v1::GetInfoResponse> {
        let lease_time = self.stage.see(|state| state.lease_time);
        Ok(Response::new(v1::GetInfoResponse {
            gateway: GATEWAY.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_versions: vec![1],
            queues: vec![v1::QueueInfo { queue: QUEUE.to_owned(), agencies: vec![RECIPIENT.to_owned()] }],
            lease_time: duration(lease_time),
            wait_max: duration(WAIT_MAX),
            deliveries_max: u32::try_from(LEASES_MAX).unwrap_or_default(),
        }))
    }

    async fn register(&self, request: Request<v1::RegisterRequest>) -> Answer<v1::RegisterResponse> {
        let request = request.into_inner();
        if request.queue != QUEUE {
            return Err(self.broken(format!("Register names the queue {:?}, not LIENTHONG_QUEUE", request.queue)));
        }
        self.check(&Words::of_registration(&request))?;
        let (worker_id, lease_time) = self.stage.change(|state| {
            let worker = state.welcome();
            state.calls.push(Call::Register(Box::new(request)));
            (worker, state.lease_time)
        });
        Ok(Response::new(v1::RegisterResponse {
            worker_id,
            heartbeat_every: duration((lease_time / 3).min(HEARTBEAT_MAX)),
        }))
    }

    async fn lease(&self, request: Request<v1::LeaseRequest>) -> Answer<v1::LeaseResponse> {
        let request = request.into_inner();
        let room = usize::try_from(request.deliveries_max).unwrap_or_default();
        self.known(&request.worker_id, |state| {
            let held = state.leased().len();
            state.calls.push(Call::Lease { room: request.deliveries_max, held });
        })?;
        if room == 0 || room > LEASES_MAX {
            return Err(self.broken(format!("Lease asks for {room} deliveries; 1 to {LEASES_MAX} are allowed")));
        }
        let wait = request.wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or_default().min(WAIT_MAX);
        let worker = request.worker_id;
        let deliveries = self.stage.wait(wait, |state| {
            if !state.knows(&worker) {
                return Some(Err(()));
            }
            let handed = state.hand_out(&worker, room);
            (!handed.is_empty()).then_some(Ok(handed))
        });
        match deliveries.await {
            Some(Err(())) => Err(Status::unavailable("the gateway is restarted")),
            Some(Ok(deliveries)) => Ok(Response::new(v1::LeaseResponse { deliveries })),
            None => Ok(Response::new(v1::LeaseResponse { deliveries: Vec::new() })),
        }
    }

    async fn heartbeat(&self, request: Request<v1::HeartbeatRequest>) -> Answer<v1::HeartbeatResponse> {
        let request = request.into_inner();
        if request.leases.len() > LEASES_MAX {
            return Err(
                self.broken(format!("Heartbeat names {} leases; {LEASES_MAX} are allowed", request.leases.len()))
            );
        }
        self.check(&Words::of_health("Heartbeat", request.health.as_ref()))?;
        let leases = self.known(&request.worker_id, |state| {
            let mut verdicts = Vec::new();
            for lease in &request.leases {
                let held = state.extend(lease);
                state.calls.push(Call::Heartbeat { id: lease.delivery_id.clone(), held });
                let until = crate::parcel::moment_after(state.lease_time);
                verdicts.push(v1::LeaseVerdict {
                    delivery_id: lease.delivery_id.clone(),
                    held,
                    lease_expires_at: held.then_some(until),
                });
            }
            verdicts
        })?;
        Ok(Response::new(v1::HeartbeatResponse { leases, draining: false }))
    }

    async fn complete(&self, request: Request<v1::CompleteRequest>) -> Answer<v1::CompleteResponse> {
        let request = request.into_inner();
        let lease = request.lease.unwrap_or_default();
        let id = lease.delivery_id.clone();
        self.check(&[Words::text("Complete", "reference", &request.reference, 128)])?;
        // Before it is answered: what Complete says has to be true already.
        let effects = self.effects.count(&id).await.unwrap_or_default();
        self.known(&request.worker_id, |state| {
            let current = state.holds(&lease);
            state.effects_at_complete.push((id.clone(), effects));
            state.calls.push(Call::Complete { id: id.clone(), current, reference: request.reference.clone() });
        })?;
        self.stage.wait(WAIT_MAX, |state| (!state.hold_completes).then_some(())).await;
        Ok(Response::new(self.stage.change(|state| {
            let late = state.late.remove(&id);
            let settled = state.holds(&lease) && !late;
            if late {
                state.settle(&id, Standing::Later);
            } else if settled {
                state.settle(&id, Standing::Delivered);
            }
            v1::CompleteResponse { settled, state: state.told(&id) }
        })))
    }

    async fn fail(&self, request: Request<v1::FailRequest>) -> Answer<v1::FailResponse> {
        let request = request.into_inner();
        let lease = request.lease.clone().unwrap_or_default();
        let id = lease.delivery_id.clone();
        self.check(&[Words::code("Fail", "code", &request.code), Words::text("Fail", "detail", &request.detail, 512)])?;
        let answer = self.known(&request.worker_id, |state| {
            let current = state.holds(&lease);
            if current {
                state.settle(&id, if request.retryable { Standing::Later } else { Standing::Refused });
            }
            state.calls.push(Call::Fail { request: Box::new(request.clone()), current });
            v1::FailResponse { settled: current, state: state.told(&id) }
        })?;
        Ok(Response::new(answer))
    }

    async fn download_part(&self, request: Request<v1::DownloadPartRequest>) -> Answer<Self::DownloadPartStream> {
        let request = request.into_inner();
        let lease = request.lease.unwrap_or_default();
        let wanted = Digest::from_slice(&request.sha256);
        let found = self.known(&request.worker_id, |state| {
            state.calls.push(Call::Download { id: lease.delivery_id.clone() });
            let parcel = state.parcel(&lease.delivery_id).filter(|_| state.holds(&lease))?;
            let body = parcel.parts.iter().find(|body| Some(body.digest) == wanted)?.clone();
            Some((body, state.damaged.contains(&lease.delivery_id)))
        })?;
        let Some((body, damaged)) = found else {
            return Err(Status::failed_precondition("the lease does not hold, or its envelope names no such part"));
        };
        let (brake, stage) = (self.brake.clone(), self.stage.clone());
        let pieces = futures::stream::iter(body.pieces(request.offset).enumerate());
        let stream = futures::StreamExt::then(pieces, move |(number, piece)| {
            let (brake, stage) = (brake.clone(), stage.clone());
            async move {
                brake.released().await;
                stage.gives_piece();
                let chunk = if damaged && number == 0 { damage(&piece) } else { piece };
                Ok(v1::DownloadPartResponse { chunk })
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn submit(
        &self,
        request: Request<v1::AdapterServiceSubmitRequest>,
    ) -> Answer<v1::AdapterServiceSubmitResponse> {
        let submitted = request.into_inner().request.unwrap_or_default();
        let envelope = submitted.envelope.clone().unwrap_or_default().envelope;
        let (lost, duplicate) = self.stage.change(|state| {
            let duplicate = state.has_submitted(&envelope);
            state.calls.push(Call::Submit(Box::new(submitted)));
            let lost = state.answers_to_lose > 0;
            state.answers_to_lose = state.answers_to_lose.saturating_sub(1);
            (lost, duplicate)
        });
        if lost {
            return Err(Status::unavailable("the line broke before the answer"));
        }
        // A point reads what was submitted; what cannot be read has no id to be answered with.
        let described: v1::Envelope = prost::Message::decode(envelope.clone()).unwrap_or_default();
        let event = v1::Event {
            schema: "lienthong.event.v1".to_owned(),
            kind: v1::EventKind::Accepted.into(),
            gateway: GATEWAY.to_owned(),
            at: Some(crate::parcel::timestamp(crate::identity::now_seconds())),
            sender: RECIPIENT.to_owned(),
            envelope_id: described.id,
            envelope_sha256: Bytes::copy_from_slice(&Digest::of(&envelope).0),
            ..Default::default()
        };
        let receipt = self.identity.receipt(prost::Message::encode_to_vec(&event).into());
        let response = v1::SubmitResponse { receipt, duplicate };
        Ok(Response::new(v1::AdapterServiceSubmitResponse { response: Some(response) }))
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::AdapterServiceUploadPartRequest>>,
    ) -> Answer<v1::AdapterServiceUploadPartResponse> {
        use v1::adapter_service_upload_part_request::Frame;
        let mut frames = request.into_inner();
        let (mut header, mut size, mut hasher) = (None, 0u64, gateway_model::hash::Hasher::new());
        while let Some(message) = frames.message().await? {
            match message.frame {
                Some(Frame::Header(first)) if header.is_none() => header = Some(first),
                Some(Frame::Chunk(chunk)) if header.is_some() => {
                    size += chunk.len() as u64;
                    hasher.update(&chunk);
                }
                _ => return Err(self.broken("UploadPart: one header, then chunks".to_owned())),
            }
        }
        let header = header.unwrap_or_default();
        if header.size != size || header.sha256 != hasher.finish().0.as_slice() {
            return Err(self.broken("UploadPart: size or digest is not what the header says".to_owned()));
        }
        Ok(Response::new(v1::AdapterServiceUploadPartResponse { size }))
    }

    async fn missing_parts(
        &self,
        request: Request<v1::AdapterServiceMissingPartsRequest>,
    ) -> Answer<v1::AdapterServiceMissingPartsResponse> {
        // The kit keeps no parts: each has to be uploaded from its start.
        let missing = request.into_inner().sha256.into_iter().map(|sha256| v1::MissingPart { sha256, received: 0 });
        Ok(Response::new(v1::AdapterServiceMissingPartsResponse { missing: missing.collect() }))
    }

    async fn report_status(&self, request: Request<v1::ReportStatusRequest>) -> Answer<v1::ReportStatusResponse> {
        let request = request.into_inner();
        self.check(&Words::of_health("ReportStatus", request.health.as_ref()))?;
        self.known(&request.worker_id, |state| {
            if request.phase() == v1::WorkerPhase::Leaving {
                state.forget(&request.worker_id);
            }
            state.calls.push(Call::Report(request.clone()));
        })?;
        Ok(Response::new(v1::ReportStatusResponse {}))
    }
}

fn duration(span: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(span).ok()
}

fn damage(piece: &Bytes) -> Bytes {
    let mut bytes = piece.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first ^= 1;
    }
    bytes.into()
}
