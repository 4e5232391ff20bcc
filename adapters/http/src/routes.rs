//! The routes of the own address, with their bounds; `openapi.json` describes the same.

use std::sync::Arc;

use adapters_sdk::Delivery;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use gateway_model::envelope::Part;
use gateway_model::{Digest, Reason, Refusal};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;

use crate::door::{Accepted, Inward};
use crate::link::{DeadLink, Links};
use crate::problem;

/// Bytes of a request.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Requests in work at one time: their bodies are in memory.
const REQUESTS_MAX: usize = 8;
/// Time for a request to arrive.
const BODY_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(60);
const CHUNK_BYTES: usize = 64 * 1024;

/// The description of the routes (OpenAPI 3.1).
pub const OPENAPI: &str = include_str!("openapi.json");

/// What the routes need.
pub(crate) struct Front {
    /// Digest of the token that callers show; `None`: nothing comes in.
    pub token: Option<Digest>,
    pub inward: Option<Inward>,
    pub links: Arc<Links>,
    places: Semaphore,
}

impl Front {
    /// For either direction.
    pub(crate) fn new(token: Option<Digest>, inward: Option<Inward>, links: Arc<Links>) -> Arc<Self> {
        Arc::new(Self { token, inward, links, places: Semaphore::new(REQUESTS_MAX) })
    }

    /// Who shows the token may go on. Both digests have one length, and the comparison takes one time.
    fn admit(&self, headers: &HeaderMap) -> Result<&Inward, Box<Response>> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let shown = shown.strip_prefix("Bearer ").unwrap_or_default().trim();
        let is_right =
            self.token.is_some_and(|token| verify_slices_are_equal(&token.0, &Digest::of(shown.as_bytes()).0).is_ok());
        let refused = || problem::with_status(StatusCode::UNAUTHORIZED, &Refusal::new(Reason::HopUnknown));
        self.inward.as_ref().filter(|_| is_right).ok_or_else(|| Box::new(refused()))
    }
}

/// The router.
pub(crate) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/v1/envelopes", post(send))
        .route("/v1/envelopes/{id}", get(look_up))
        .route("/v1/parts/{delivery}/{sha256}", get(part))
        .route("/openapi.json", get(document))
        .fallback(|| async { problem::answer(&Refusal::new(Reason::NotFound)) })
        .method_not_allowed_fallback(|| async {
            problem::with_status(StatusCode::METHOD_NOT_ALLOWED, &Refusal::new(Reason::RequestMalformed).at("method"))
        })
        .with_state(front)
}

async fn send(State(front): State<Arc<Front>>, headers: HeaderMap, body: Body) -> Response {
    let inward = match front.admit(&headers) {
        Ok(inward) => inward,
        Err(response) => return *response,
    };
    let Ok(_place) = front.places.try_acquire() else {
        return problem::answer(&Refusal::new(Reason::Overloaded));
    };
    let body = match tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(fault)) if fault.is::<http_body_util::LengthLimitError>() => {
            let refusal = Refusal::new(Reason::RequestMalformed).at("body").saw("more than 16 MiB");
            // Nobody has all of it: what it is told apart by is that it was too large.
            inward.set_aside(&Bytes::new(), &refusal, crate::now()).await;
            return problem::with_status(StatusCode::PAYLOAD_TOO_LARGE, &refusal);
        }
        Ok(Err(_)) | Err(_) => return problem::answer(&Refusal::new(Reason::DeadlineExceeded).at("body")),
    };
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::trim);
    match inward.take(key, body.clone()).await {
        Ok(Accepted { answer, is_repeat }) => {
            let status = if is_repeat { StatusCode::OK } else { StatusCode::CREATED };
            problem::json_answer(status, &answer, "application/json")
        }
        Err(refusal) => {
            inward.set_aside(&body, &refusal, crate::now()).await;
            problem::answer(&refusal)
        }
    }
}

async fn look_up(State(front): State<Arc<Front>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let inward = match front.admit(&headers) {
        Ok(inward) => inward,
        Err(response) => return *response,
    };
    match inward.look_up(&id).await {
        Ok(Some(answer)) => problem::json_answer(StatusCode::OK, &answer, "application/json"),
        Ok(None) => problem::answer(&Refusal::new(Reason::NotFound)),
        Err(refusal) => problem::answer(&refusal),
    }
}

/// A part by its link; the signature in the link is the right to read it.
async fn part(
    State(front): State<Arc<Front>>,
    Path((delivery, sha256)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value)).unwrap_or_default()
    };
    match front.links.follow(&delivery, &sha256, value("expires"), value("signature")) {
        Ok((delivery, part)) => read(delivery, &part).await,
        Err(DeadLink::Expired) => problem::with_status(StatusCode::GONE, &Refusal::new(Reason::NotFound)),
        Err(DeadLink::Forged) => problem::answer(&Refusal::new(Reason::NotFound)),
    }
}

async fn read(delivery: Delivery, part: &Part) -> Response {
    let Ok(source) = delivery.parts.open(&part.digest, 0).await else {
        return problem::answer(&Refusal::new(Reason::StoreUnavailable));
    };
    let mut response = Response::new(Body::from_stream(chunks(source)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(part.size));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Never shown by a browser as what a stranger says it is.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn chunks(
    source: Box<dyn AsyncRead + Send + Unpin>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    futures::stream::try_unfold(source, |mut source| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = source.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(chunk), source)))
    })
}

/// The description, with the body that the configuration's table reads where there is one.
async fn document(State(front): State<Arc<Front>>) -> Response {
    let Ok(mut document) = serde_json::from_str::<Value>(OPENAPI) else {
        return problem::answer(&Refusal::new(Reason::NotFound));
    };
    if let Some(mapping) = front.inward.as_ref().and_then(|inward| inward.config.body.as_ref()) {
        let schemas = &mut document["components"]["schemas"];
        let body = mapping.schema(&schemas["Envelope"], &schemas["Part"]);
        schemas["Envelope"] = body;
    }
    problem::json_answer(StatusCode::OK, &document, "application/json")
}
