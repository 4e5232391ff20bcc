//! The system behind an adapter, played by the kit over HTTP: it can be well, slow, busy, or refuse.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Trouble;
use crate::brake::Brake;

/// Bytes of a body in which an id is looked for.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How the system is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// It takes what comes.
    Well,
    /// It answers 503.
    Busy,
    /// It answers 422.
    Refusing,
}

/// A listening system.
#[derive(Clone)]
pub struct Sink {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Stops answers while it is on.
    pub brake: Brake,
    _stop: Arc<DropGuard>,
}

struct Shared {
    id: String,
    answer: String,
    seen: Mutex<Seen>,
    arrived: watch::Sender<u64>,
    brake: Brake,
}

struct Seen {
    mood: Mood,
    /// What stood in place of the id in requests that have come.
    arrivals: Vec<String>,
    /// The same of requests that were answered 200.
    effects: Vec<String>,
    /// Requests of a killed process count no more.
    process: u64,
}

impl Sink {
    /// Listens; `id` is where a request holds the delivery id, `answer` the body of the good answer.
    ///
    /// # Errors
    /// When there is no port, or `id` is neither `header:…` nor `json:/…`.
    pub async fn start(id: &str, answer: &str) -> Result<Self, Trouble> {
        if !id.starts_with("header:") && !id.starts_with("json:/") {
            return Err(Trouble::Manifest(format!("effects.id: {id:?} is neither header:Name nor json:/pointer")));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Trouble::Network)?;
        let address = listener.local_addr().map_err(Trouble::Network)?;
        let seen = Seen { mood: Mood::Well, arrivals: Vec::new(), effects: Vec::new(), process: 0 };
        let brake = Brake::default();
        let shared = Arc::new(Shared {
            id: id.to_owned(),
            answer: answer.to_owned(),
            seen: Mutex::new(seen),
            arrived: watch::Sender::new(0),
            brake: brake.clone(),
        });
        let router = axum::Router::new().fallback(take).with_state(shared.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router) => served,
                () = stopped => Ok(()),
            }
        });
        Ok(Self { shared, address, brake, _stop: Arc::new(stop.drop_guard()) })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it is.
    pub fn set(&self, mood: Mood) {
        self.shared.seen().mood = mood;
    }

    /// Requests that are still waiting are those of a dead process.
    pub fn forget_waiting(&self) {
        self.shared.seen().process += 1;
    }

    /// How many effects a delivery has had.
    pub fn count(&self, id: &str) -> usize {
        self.shared.seen().effects.iter().filter(|effect| effect.contains(id)).count()
    }

    /// Waits until a request for the delivery has come.
    pub async fn arrival(&self, id: &str) {
        let mut arrived = self.shared.arrived.subscribe();
        while !self.shared.seen().arrivals.iter().any(|arrival| arrival.contains(id)) {
            if arrived.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let process = shared.seen().process;
    let id = delivery_id(&shared.id, request).await;
    if let Some(id) = &id {
        shared.seen().arrivals.push(id.clone());
        shared.arrived.send_modify(|count| *count = count.wrapping_add(1));
    }
    shared.brake.released().await;
    let mut seen = shared.seen();
    if seen.process != process {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match seen.mood {
        Mood::Busy => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response(),
        Mood::Refusing => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        Mood::Well => {
            seen.effects.extend(id);
            let kind = if shared.answer.starts_with(['{', '[']) { "application/json" } else { "text/plain" };
            (StatusCode::OK, [(header::CONTENT_TYPE, kind)], shared.answer.clone()).into_response()
        }
    }
}

async fn delivery_id(place: &str, request: Request<Body>) -> Option<String> {
    if let Some(name) = place.strip_prefix("header:") {
        let id = request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = request.into_body();
        // The body is the system's business; it is taken off the line and let go.
        while let Some(Ok(_)) = body.frame().await {}
        return id;
    }
    let pointer = place.strip_prefix("json:")?;
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX).await.ok()?;
    let json: serde_json::Value = serde_json::from_slice(&body).ok()?;
    json.pointer(pointer)?.as_str().map(str::to_owned)
}
