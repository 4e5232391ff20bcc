//! The hub's door for a document-management system that we are the hub of.
//!
//! The system polls: it lists, fetches, confirms. What it fetched is delivered only when it confirms: `inbox`, `processing`, `acceptance` and
//! `done` say that it has the package, `rejection` that it will not have it, `fail` that it could not take it now. A confirmation is
//! remembered before it is answered, so that one that comes late, or twice, still counts once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters_sdk::listener::{Listener, TlsFiles};
use adapters_sdk::mailbox::{Mailbox, MailboxSettings};
use adapters_sdk::{AdapterError, Delivery, Door, Outcome};
use aws_lc_rs::hmac;
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use gateway_model::id::DeliveryId;
use gateway_model::{Digest, Reason};
use http::{Method, Request, Response, StatusCode, header};

use super::Answer;
use crate::handover::{Handover, Stop};
use crate::intake::Intake;
use crate::ledger::Settlement;
use crate::quarantine::Quarantine;
use crate::room::Room;
use adapters_sdk::disk;

mod guard;
mod multipart;
mod operations;
mod seen;
mod send;
mod sent;

use guard::Guard;
use operations::{Answered, Operation};
use seen::SeenCalls;
use sent::SentList;

/// Bytes of an answer that are sent at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Time for a whole call.
const CALL_TIME_MAX: Duration = Duration::from_secs(300);

/// What a hub is made of.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
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
    quarantine: Quarantine,
    listener: Listener,
    room: Room,
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
        room: Room,
        secret: hmac::Key,
        state: &std::path::Path,
        quarantine: Quarantine,
    ) -> Result<Self, AdapterError> {
        let listener = Listener::bind(config.address, config.tls.as_ref())?;
        let settings = MailboxSettings {
            lease: config.confirm_within,
            shelf_time: config.poll_expected,
            ..MailboxSettings::default()
        };
        Ok(Self {
            guard: Guard::new(secret, config.system_id.clone(), config.clock_skew, SeenCalls::open(state)?),
            sent: SentList::open(state)?,
            mailbox: Mailbox::new(settings),
            shelf: Mutex::default(),
            config,
            intake,
            handover,
            quarantine,
            listener,
            room,
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
        let shown = match self.handover.package(delivery).await {
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
        let (hub, calls) = (self.clone(), door.clone());
        let service = axum::Router::new().fallback(move |request: Request<Body>| {
            let (hub, door) = (hub.clone(), calls.clone());
            async move { hub.call(request, door).await }
        });
        let closed = async {
            door.closed().await;
            self.mailbox.close();
        };
        self.listener.serve(service, closed).await
    }

    async fn call(self: &Arc<Self>, request: Request<Body>, door: Arc<dyn Door>) -> Response<Body> {
        let path = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let Some(operation) = Operation::parse(&path) else {
            let answer = Answer::fail("UNKNOWN_PATH", "không có dịch vụ này / no such path");
            return respond((StatusCode::NOT_FOUND, answer).into());
        };
        if request.method() != Method::POST {
            let answer = Answer::fail("POST_ONLY", "mọi dịch vụ đều gọi bằng POST / every path is called by POST");
            return respond((StatusCode::METHOD_NOT_ALLOWED, answer).into());
        }
        let answered =
            tokio::time::timeout(CALL_TIME_MAX, operations::run(self, operation, request, door.as_ref())).await;
        let answered = answered.unwrap_or_else(|_| {
            let answer = Answer::fail("TIMEOUT", "lời gọi kéo dài quá lâu / the call took too long");
            (StatusCode::REQUEST_TIMEOUT, answer).into()
        });
        if !answered.answer.is_ok() {
            tracing::warn!(code = %answered.answer.error_code, path, "a call of the system was answered no");
        }
        respond(answered)
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

fn respond(answered: Answered) -> Response<Body> {
    let bytes = Bytes::from(serde_json::to_vec(&answered.answer).unwrap_or_default());
    let size = header::HeaderValue::from(bytes.len());
    // The memory of a package is given back when the last of it is on its way.
    let pieces = stream::unfold((bytes, answered.room), |(mut bytes, room)| async move {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        (!piece.is_empty()).then(|| (Ok::<_, Infallible>(piece), (bytes, room)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    *response.status_mut() = answered.status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_LENGTH, size);
    response
}
