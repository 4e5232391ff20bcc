//! AdapterService: the door of the workers, which pull the deliveries of their system's queues.
//!
//! The caller is a system, found anew on every request; a queue is open to one system. What is not the caller's and what is not there get
//! one answer. `asked` reads what was asked, `given` writes what is handed out, `download` reads parts.

mod asked;
mod download;
mod given;

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::Settled;
use adapters_sdk::mailbox::{NotHeld, Settling};
use adapters_worker::{LeaseError, Queue};
use futures::stream::StreamExt as _;
use gateway_model::id::DeliveryId;
use gateway_model::state::DeliveryState;
use gateway_model::{Reason, Refusal};
use proto::v1;
use proto::v1::adapter_service_server::AdapterService;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use self::asked::Held;
use super::gates::Gates;
use super::pipeline::Answers;
use super::upload::Frame;
use super::{Caller, Doors, Lasting, submit, upload, wire};

/// The version of this protocol.
const PROTOCOL_VERSION: u32 = 1;
/// Longest wait of a Lease call.
const WAIT_MAX: Duration = Duration::from_secs(50);

/// The service.
#[derive(Clone)]
pub struct AdapterDoor(pub Doors);

#[tonic::async_trait]
impl AdapterService for AdapterDoor {
    type DownloadPartStream = Answers<v1::DownloadPartResponse>;

    async fn get_info(&self, request: Request<v1::GetInfoRequest>) -> Result<Response<v1::GetInfoResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let queues = self.0.queues.of(caller.system()?);
        let lease = queues.iter().map(|queue| queue.config().lease).min();
        let deliveries_max = queues.iter().map(|queue| queue.config().deliveries_max).max().unwrap_or(0);
        let info = |queue: &Arc<Queue>| v1::QueueInfo {
            queue: queue.config().name.clone(),
            agencies: queue.config().agencies.iter().map(ToString::to_string).collect(),
        };
        Ok(Response::new(v1::GetInfoResponse {
            gateway: self.0.engine.gateway().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_versions: vec![PROTOCOL_VERSION],
            queues: queues.iter().map(info).collect(),
            lease_time: lease.map(given::span),
            wait_max: Some(given::span(WAIT_MAX)),
            deliveries_max: u32::try_from(deliveries_max).unwrap_or(u32::MAX),
        }))
    }

    async fn register(&self, request: Request<v1::RegisterRequest>) -> Result<Response<v1::RegisterResponse>, Status> {
        let caller = self.0.caller(&request)?;
        let system = caller.system()?.clone();
        let registered = self.enter(&system, request.into_inner());
        Ok(Response::new(registered.map_err(|refusal| caller.status(&refusal))?))
    }

    async fn lease(&self, request: Request<v1::LeaseRequest>) -> Result<Response<v1::LeaseResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let _place = self.0.place(Lasting::Lease, &caller.party).map_err(|refusal| caller.status(&refusal))?;
        let asked = request.into_inner();
        let deliveries = self.hand_out(&caller, &asked).await.map_err(|refusal| caller.status(&refusal))?;
        Ok(Response::new(v1::LeaseResponse { deliveries }))
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let work = self.keep(&caller, request.into_inner());
        Ok(Response::new(self.0.within(&caller, work).await?))
    }

    async fn complete(&self, request: Request<v1::CompleteRequest>) -> Result<Response<v1::CompleteResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let asked = request.into_inner();
        let work = async {
            let queue = self.queue(&caller, &asked.worker_id)?;
            let held = asked::lease(asked.lease.as_ref())?;
            let reference = asked::text("reference", &asked.reference, asked::REFERENCE_BYTES_MAX)?;
            let ended = held.token.ok_or(NotHeld::Lost).and_then(|token| queue.mailbox().complete(held.id, token));
            let first = ended.is_ok();
            let (settled, state) = self.ended(&caller, &queue, held, ended).await?;
            let settled = first && settled == Some(DeliveryState::Delivered);
            if settled {
                tracing::info!(queue = queue.config().name, delivery = %held.id, reference, "the system took it");
            }
            Ok(v1::CompleteResponse { settled, state: Some(state) })
        };
        let span = settle_span(&caller, "complete");
        Ok(Response::new(self.0.within(&caller, work).instrument(span).await?))
    }

    async fn fail(&self, request: Request<v1::FailRequest>) -> Result<Response<v1::FailResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let asked = request.into_inner();
        let work = async {
            let queue = self.queue(&caller, &asked.worker_id)?;
            let held = asked::lease(asked.lease.as_ref())?;
            let failure = asked::failure(&asked)?;
            let ended = held.token.ok_or(NotHeld::Lost).and_then(|token| queue.mailbox().fail(held.id, token, failure));
            let first = ended.is_ok();
            let (settled, state) = self.ended(&caller, &queue, held, ended).await?;
            Ok(v1::FailResponse { settled: first && settled.is_some(), state: Some(state) })
        };
        let span = settle_span(&caller, "fail");
        Ok(Response::new(self.0.within(&caller, work).instrument(span).await?))
    }

    async fn download_part(
        &self,
        request: Request<v1::DownloadPartRequest>,
    ) -> Result<Response<Self::DownloadPartStream>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let place = self.0.place(Lasting::Download, &caller.party).map_err(|refusal| caller.status(&refusal))?;
        let asked = request.into_inner();
        let work = async {
            let queue = self.queue(&caller, &asked.worker_id)?;
            let held = asked::lease(asked.lease.as_ref())?;
            let delivery = match held.token.ok_or(NotHeld::Lost).and_then(|token| queue.mailbox().held(held.id, token))
            {
                Ok(delivery) => delivery,
                Err(NotHeld::Ended(_) | NotHeld::Lost) => {
                    self.state(&caller, &queue, held.id).await?;
                    return Err(Reason::LeaseLost.into());
                }
            };
            download::begin(&self.0, &caller, queue, held, &delivery, &asked, place).await
        };
        Ok(Response::new(self.0.within(&caller, work).await?))
    }

    async fn submit(
        &self,
        request: Request<v1::AdapterServiceSubmitRequest>,
    ) -> Result<Response<v1::AdapterServiceSubmitResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let work = async {
            let asked = request.into_inner().request;
            let asked = asked.ok_or_else(|| Refusal::new(Reason::RequestMalformed).at("request"))?;
            submit::submit(&self.0, &caller, asked).await
        };
        let accepted = self.0.within(&caller, work).await?;
        Ok(Response::new(v1::AdapterServiceSubmitResponse { response: Some(submit::answer(&accepted)) }))
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::AdapterServiceUploadPartRequest>>,
    ) -> Result<Response<v1::AdapterServiceUploadPartResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let frames = request.into_inner().map(|message| message.map(|message| message.frame.map(frame)));
        let size = upload::upload(&self.0, &caller, frames).await?;
        Ok(Response::new(v1::AdapterServiceUploadPartResponse { size }))
    }

    async fn missing_parts(
        &self,
        request: Request<v1::AdapterServiceMissingPartsRequest>,
    ) -> Result<Response<v1::AdapterServiceMissingPartsResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let missing = upload::missing(&self.0, &caller, &request.into_inner().sha256).await?;
        Ok(Response::new(v1::AdapterServiceMissingPartsResponse { missing }))
    }

    async fn report_status(
        &self,
        request: Request<v1::ReportStatusRequest>,
    ) -> Result<Response<v1::ReportStatusResponse>, Status> {
        let caller = self.0.caller(&request)?;
        caller.system()?;
        let asked = request.into_inner();
        let noted = self.queue(&caller, &asked.worker_id).and_then(|queue| {
            self.note_health(&queue, &asked.worker_id, asked.health.as_ref())?;
            match asked.phase() {
                v1::WorkerPhase::Unspecified => {}
                v1::WorkerPhase::Working => queue.drain(&asked.worker_id, false),
                v1::WorkerPhase::Draining => queue.drain(&asked.worker_id, true),
                v1::WorkerPhase::Leaving => queue.leave(&asked.worker_id),
            }
            Ok(())
        });
        noted.map_err(|refusal| caller.status(&refusal))?;
        Ok(Response::new(v1::ReportStatusResponse {}))
    }
}

impl AdapterDoor {
    /// Takes a worker in.
    fn enter(
        &self,
        system: &gateway_model::id::SystemId,
        asked: v1::RegisterRequest,
    ) -> Result<v1::RegisterResponse, Refusal> {
        self.0.open()?;
        let queue = self.0.queues.named(system, &asked.queue);
        let queue = queue.ok_or_else(|| Refusal::new(Reason::QueueUnknown).at("queue"))?;
        let info = asked::worker(asked, PROTOCOL_VERSION)?;
        let told = info.clone();
        let worker_id = queue.register(info).ok_or_else(|| {
            Refusal::new(Reason::Overloaded).saw("too many workers of this queue").retry_after(CROWDED_WAIT)
        })?;
        let queue_name = &queue.config().name;
        if told.problems.is_empty() {
            tracing::info!(queue = queue_name, %system, name = told.name, version = told.version, instance = told.instance, "a worker is here");
        } else {
            let problems = told.problems.join("; ");
            tracing::error!(queue = queue_name, %system, instance = told.instance, problems, "a worker is misconfigured");
        }
        Ok(v1::RegisterResponse { worker_id, heartbeat_every: Some(given::span(queue.heartbeat_every())) })
    }

    /// Hands deliveries out; waits for the first within the bound and the caller's own patience.
    async fn hand_out(&self, caller: &Caller, asked: &v1::LeaseRequest) -> Result<Vec<v1::LeasedDelivery>, Refusal> {
        let queue = self.queue(caller, &asked.worker_id)?;
        let (max, wait) = asked::credit(asked, WAIT_MAX)?;
        self.0.open()?;
        let wait = caller.patience.map_or(wait, |patience| wait.min(patience));
        let taken = tokio::select! {
            biased;
            taken = queue.lease(&asked.worker_id, max, wait) => taken.map_err(|error| match error {
                LeaseError::Unknown => Refusal::new(Reason::WorkerUnknown).at("worker_id"),
                LeaseError::Misconfigured => Reason::WorkerMisconfigured.into(),
                LeaseError::Crowded => Refusal::new(Reason::Overloaded).retry_after(CROWDED_WAIT),
                LeaseError::Closed => Reason::Draining.into(),
            })?,
            () = self.0.draining.cancelled() => return Err(Reason::Draining.into()),
        };
        Ok(given::deliveries(self.0.engine.clock().now(), &queue, taken))
    }

    /// Extends leases and notes how the system is.
    async fn keep(&self, caller: &Caller, asked: v1::HeartbeatRequest) -> Result<v1::HeartbeatResponse, Refusal> {
        let queue = self.queue(caller, &asked.worker_id)?;
        let leases = asked::leases(&asked.leases)?;
        self.note_health(&queue, &asked.worker_id, asked.health.as_ref())?;
        let extend = leases.iter().map(|held| async {
            let left = match held.token {
                Some(token) => queue.mailbox().extend(held.id, token).await.ok(),
                None => None,
            };
            given::verdict(self.0.engine.clock().now(), held.id, left)
        });
        let leases = futures::future::join_all(extend).await;
        Ok(v1::HeartbeatResponse { leases, draining: self.0.draining.is_cancelled() })
    }

    /// Notes how the system behind a worker is. One that answers again is not made to wait for the next probe of its gate.
    fn note_health(&self, queue: &Queue, worker: &str, asked: Option<&v1::SystemHealth>) -> Result<(), Refusal> {
        let Some((is_up, detail)) = asked::health(asked)? else { return Ok(()) };
        if is_up && queue.is_down() {
            queue.config().agencies.iter().for_each(|agency| self.0.engine.answers_again(agency));
        }
        queue.report(worker, is_up, detail);
        Ok(())
    }

    /// Waits until an ended lease is durable; gives what was committed, and the state that the delivery has then.
    async fn ended(
        &self,
        caller: &Caller,
        queue: &Queue,
        held: Held,
        ended: Result<Settling, NotHeld>,
    ) -> Result<(Option<DeliveryState>, v1::DeliveryState), Refusal> {
        let settled = match ended {
            Ok(settling) | Err(NotHeld::Ended(settling)) => settling.settled().await,
            Err(NotHeld::Lost) => Settled::Lost,
        };
        let state = self.state(caller, queue, held.id).await?;
        match settled {
            Settled::Committed(committed) => Ok((Some(committed), state)),
            Settled::Lost => Ok((None, state)),
        }
    }

    /// The state of a delivery of the queue.
    async fn state(&self, caller: &Caller, queue: &Queue, id: DeliveryId) -> Result<v1::DeliveryState, Refusal> {
        let unknown = || Refusal::new(Reason::NotFound).at("lease.delivery_id");
        let row = self.0.engine.store().delivery(id).await.map_err(|error| {
            tracing::warn!(%error, "a delivery cannot be read");
            Refusal::new(Reason::StoreUnavailable)
        })?;
        let row = row.map(|row| row.delivery).ok_or_else(unknown)?;
        if !queue.config().agencies.contains(&row.recipient.serving) {
            return Err(unknown());
        }
        Ok(wire::delivery_state(&row, &Gates::of(&self.0.engine), &self.0.adapters, caller.language))
    }

    /// The queue at which the caller's worker is registered.
    fn queue(&self, caller: &Caller, worker: &str) -> Result<Arc<Queue>, Refusal> {
        let unknown = || Refusal::new(Reason::WorkerUnknown).at("worker_id");
        let system = match &caller.party {
            gateway_model::directory::Party::System(system) => system,
            _ => return Err(unknown()),
        };
        self.0.queues.of_worker(system, worker).ok_or_else(unknown)
    }
}

/// The span in which a worker's outcome is taken in; the worker's own stands above it.
fn settle_span(caller: &Caller, name: &str) -> tracing::Span {
    let system = caller.system().map(ToString::to_string).unwrap_or_default();
    let span = tracing::info_span!(
        "settle",
        otel.name = format!("settle {system}"),
        otel.kind = "server",
        messaging.system = "lienthong",
        "messaging.operation.type" = "settle",
        messaging.operation.name = name,
        messaging.destination.name = system,
        trace_id = tracing::field::Empty,
    );
    adapters_sdk::trace::follow(&span, caller.traceparent.clone());
    span
}

/// Workers in one answer.
const WORKERS_MAX: usize = 500;

/// The workers of every queue, for an operator.
pub(super) fn workers(doors: &Doors) -> Vec<v1::WorkerState> {
    let now = doors.engine.clock().now();
    let queues = doors.queues.all();
    queues.iter().flat_map(|queue| given::workers(now, queue)).take(WORKERS_MAX).collect()
}

/// Those of one queue; none for an adapter that is no queue.
pub(super) fn workers_of(doors: &Doors, name: &str) -> Vec<v1::WorkerState> {
    let queue = doors.queues.all().into_iter().find(|queue| queue.config().name == name);
    queue.map(|queue| given::workers(doors.engine.clock().now(), &queue)).unwrap_or_default()
}

/// When to come again after all places were taken.
const CROWDED_WAIT: Duration = Duration::from_secs(1);

fn frame(frame: v1::adapter_service_upload_part_request::Frame) -> Frame {
    match frame {
        v1::adapter_service_upload_part_request::Frame::Header(header) => Frame::Header(header),
        v1::adapter_service_upload_part_request::Frame::Chunk(chunk) => Frame::Chunk(chunk),
    }
}
