//! The hub's door for a document-management system that we are the hub of.
//!
//! The system polls: it lists, fetches, confirms. What it fetched is delivered only when it confirms: `inbox`, `processing`, `acceptance` and
//! `done` say that it has the package, `rejection` that it will not have it, `fail` that it could not take it now. A confirmation is
//! remembered before it is answered, so that one that comes late, or twice, still counts once.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters_sdk::mailbox::{Mailbox, MailboxSettings};
use adapters_sdk::{AdapterError, Delivery, Door, Outcome};
use aws_lc_rs::hmac;
use axum::body::Body;
use gateway_model::id::DeliveryId;
use gateway_model::{Digest, Reason};
use http::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Answer;
use crate::handover::{Handover, Outgoing, Stop};
use crate::intake::Intake;
use crate::ledger::Settlement;
use adapters_sdk::disk;

mod guard;
mod multipart;
mod operations;
mod sent;

use guard::Guard;
use operations::Operation;
use sent::SentList;

/// Connections at one time.
const CONNECTIONS_MAX: usize = 64;
/// Packages in memory at one time.
const PACKAGES_MAX: usize = 4;
/// Time for the head of a call.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Time for a whole call.
const CALL_TIME_MAX: Duration = Duration::from_secs(300);
/// Time for calls at hand when the gateway drains.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// What a hub is made of.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// `systemid` of the system; any when it is not configured.
    pub system_id: Option<String>,
    /// How far the system's clock may be off, and how long a call is remembered.
    pub clock_skew: Duration,
    /// Until then the system polls again.
    pub poll_expected: Duration,
    /// How long a list waits for the first package.
    pub list_wait: Duration,
    /// How long a fetched package may stay unconfirmed.
    pub confirm_within: Duration,
}

/// A hub at work.
pub(crate) struct HubServer {
    config: ServerConfig,
    intake: Arc<Intake>,
    handover: Arc<Handover>,
    pub(crate) mailbox: Mailbox,
    guard: Guard,
    sent: SentList,
    listener: TcpListener,
    packages: Semaphore,
    shelf: Mutex<BTreeMap<DeliveryId, Shown>>,
}

/// What lists say about a delivery.
#[derive(Clone, Debug)]
struct Shown {
    from: String,
    to: String,
    is_status: bool,
    digest: Digest,
    size: u64,
}

impl HubServer {
    /// Binds the address.
    pub(crate) fn open(
        config: ServerConfig,
        intake: Arc<Intake>,
        handover: Arc<Handover>,
        secret: hmac::Key,
        state: &std::path::Path,
    ) -> Result<Self, AdapterError> {
        let failed = |fault: std::io::Error| AdapterError::Other(format!("listen {}: {fault}", config.address));
        let listener = TcpListener::bind(config.address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let settings = MailboxSettings {
            lease: config.confirm_within,
            shelf_time: config.poll_expected,
            ..MailboxSettings::default()
        };
        Ok(Self {
            guard: Guard::new(secret, config.system_id.clone(), config.clock_skew),
            sent: SentList::open(state)?,
            mailbox: Mailbox::new(settings),
            packages: Semaphore::new(PACKAGES_MAX),
            shelf: Mutex::default(),
            config,
            intake,
            handover,
            listener,
        })
    }

    /// Lays a delivery on the shelf until the system has it.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let Some(&id) = delivery.ids.first() else { return Stop::Envelope.outcome() };
        match self.settlement(id).await {
            Ok(Some(Settlement::Taken)) => return Outcome::Taken { receipt: None },
            Ok(Some(Settlement::Refused(detail))) => {
                return Outcome::Refused { reason: Reason::AdapterRefused, detail };
            }
            Ok(Some(Settlement::Fetched(_) | Settlement::Sending(_)) | None) => {}
            Err(fault) => return Stop::Disk(fault).outcome(),
        }
        let shown = match self.package(delivery).await {
            Ok(outgoing) => Shown {
                digest: Digest::of(&outgoing.bytes),
                size: outgoing.bytes.len() as u64,
                from: outgoing.from,
                to: outgoing.to,
                is_status: outgoing.is_status,
            },
            Err(stop) => return stop.outcome(),
        };
        let _shown = OnShelf::lay(&self.shelf, id, shown);
        self.mailbox.deliver(delivery).await
    }

    /// Serves until the gateway drains.
    pub(crate) async fn serve(self: &Arc<Self>, door: Arc<dyn Door>) -> Result<(), AdapterError> {
        let failed = |fault: std::io::Error| AdapterError::Other(format!("listen {}: {fault}", self.config.address));
        let listener = self.listener.try_clone().and_then(tokio::net::TcpListener::from_std).map_err(failed)?;
        let (connections, calls) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), TaskTracker::new());
        let draining = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = door.closed() => break,
                accepted = accept(&listener, &connections) => accepted,
            };
            let Some((stream, permit)) = accepted else { continue };
            let (hub, door, draining) = (self.clone(), door.clone(), draining.clone());
            calls.spawn(async move {
                hub.connection(stream, door, draining).await;
                drop(permit);
            });
        }
        self.mailbox.close();
        draining.cancel();
        calls.close();
        if tokio::time::timeout(DRAIN_TIME_MAX, calls.wait()).await.is_err() {
            tracing::warn!("calls of the system were broken off by the drain");
        }
        Ok(())
    }

    async fn connection(
        self: &Arc<Self>,
        stream: tokio::net::TcpStream,
        door: Arc<dyn Door>,
        draining: CancellationToken,
    ) {
        let hub = self.clone();
        let service = axum::Router::new().fallback(move |request: Request<Body>| {
            let (hub, door) = (hub.clone(), door.clone());
            async move { hub.call(request, door).await }
        });
        let service = TowerToHyperService::new(service);
        let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(64 * 1024);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = draining.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(fault) = ended {
            tracing::debug!(%fault, "a connection of the system broke off");
        }
    }

    async fn call(self: &Arc<Self>, request: Request<Body>, door: Arc<dyn Door>) -> Response<Body> {
        let operation = request.uri().path().rsplit('/').next().and_then(Operation::parse);
        let Some(operation) = operation else {
            return respond(StatusCode::NOT_FOUND, &Answer::fail("UNKNOWN_PATH", "no such path"));
        };
        if request.method() != Method::POST {
            return respond(StatusCode::METHOD_NOT_ALLOWED, &Answer::fail("POST_ONLY", "every path is called by POST"));
        }
        let answered =
            tokio::time::timeout(CALL_TIME_MAX, operations::run(self, operation, request, door.as_ref())).await;
        let (status, answer) = answered
            .unwrap_or_else(|_| (StatusCode::REQUEST_TIMEOUT, Answer::fail("TIMEOUT", "the call took too long")));
        respond(status, &answer)
    }

    async fn package(&self, delivery: &Delivery) -> Result<Outgoing, Stop> {
        let broken = |_| Stop::Disk(AdapterError::Other("the hub is closing".to_owned()));
        let _permit = self.packages.acquire().await.map_err(broken)?;
        self.handover.package(delivery).await
    }

    async fn settlement(&self, id: DeliveryId) -> Result<Option<Settlement>, AdapterError> {
        let ledger = self.intake.ledger.clone();
        disk::run(move || ledger.settlement(id)).await?
    }

    async fn settle(&self, id: DeliveryId, settlement: Settlement) -> Result<(), AdapterError> {
        let ledger = self.intake.ledger.clone();
        disk::run(move || ledger.settle(id, &settlement)).await?
    }

    fn shown(&self, id: DeliveryId) -> Option<Shown> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// What lists say, for as long as this lives.
struct OnShelf<'a> {
    shelf: &'a Mutex<BTreeMap<DeliveryId, Shown>>,
    id: DeliveryId,
}

impl<'a> OnShelf<'a> {
    fn lay(shelf: &'a Mutex<BTreeMap<DeliveryId, Shown>>, id: DeliveryId, shown: Shown) -> Self {
        shelf.lock().unwrap_or_else(PoisonError::into_inner).insert(id, shown);
        Self { shelf, id }
    }
}

impl Drop for OnShelf<'_> {
    fn drop(&mut self) {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

async fn accept(
    listener: &tokio::net::TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(fault) => {
            // Out of file descriptors, most often: it passes.
            tracing::warn!(%fault, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn respond(status: StatusCode, answer: &Answer) -> Response<Body> {
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
