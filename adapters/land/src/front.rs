//! The front of the listener: who may call, how many at one time, and where a call goes. The same for both directions.
//!
//! The systems call `POST /<shared code>/<call>`; some can only put the code into the query: `POST /<call>?code=<shared code>`. The code is
//! compared in constant time and goes no further: no log, no answer and no envelope has it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::post;
use gateway_model::language::Language;
use gateway_model::{Reason, Refusal};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::code::SharedCode;

/// Calls that are taken in at one time; the others wait their turn.
const CALLS_MAX: usize = 16;

/// Takes the calls of one direction.
#[async_trait]
pub(crate) trait Take: Send + Sync + 'static {
    /// Takes a call, and answers it in the system's own words.
    async fn take(&self, call: &str, body: Body) -> Response;

    /// Says no in the system's own words.
    fn refuse(&self, refusal: &Refusal) -> Response;
}

struct Front {
    code: SharedCode,
    places: Semaphore,
    side: Arc<dyn Take>,
}

/// The routes of one direction.
pub(crate) fn router(code: SharedCode, side: Arc<dyn Take>) -> Router {
    let front = Arc::new(Front { code, places: Semaphore::new(CALLS_MAX), side });
    Router::new()
        .route("/{code}/{call}", post(with_code_in_path))
        .route("/{call}", post(with_code_in_query))
        .with_state(front)
}

async fn with_code_in_path(
    State(front): State<Arc<Front>>,
    Path((code, call)): Path<(String, String)>,
    body: Body,
) -> Response {
    front.take(&code, &call, body).await
}

async fn with_code_in_query(
    State(front): State<Arc<Front>>,
    Path(call): Path<String>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Response {
    let query = query.unwrap_or_default();
    let code = query.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap_or_default();
    front.take(code, &call, body).await
}

impl Front {
    async fn take(&self, code: &str, call: &str, body: Body) -> Response {
        if !self.code.fits(code) {
            tracing::warn!("a call with a wrong shared code was refused");
            return self.side.refuse(&Refusal::new(Reason::HopUnknown));
        }
        match self.places.acquire().await {
            Ok(_place) => self.side.take(call, body).await,
            Err(_) => self.side.refuse(&Refusal::new(Reason::Overloaded)),
        }
    }
}

/// The HTTP status of a refusal: what passes is told apart from what does not.
pub(crate) fn status(refusal: &Refusal) -> StatusCode {
    match refusal.reason {
        Reason::HopUnknown => StatusCode::FORBIDDEN,
        Reason::EnvelopeTooLarge | Reason::PartTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        reason if reason.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        // The systems read the body of a 200 only.
        _ => StatusCode::OK,
    }
}

/// What a person at the other system reads: the code, then the words in both languages.
pub(crate) fn message(refusal: &Refusal) -> String {
    format!("{}: {} / {}", refusal.reason, refusal.in_words(Language::Vi), refusal.in_words(Language::En))
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, answer: &impl Serialize) -> Response {
    // Plain structures of texts and numbers are always written.
    let mut response = Response::new(Body::from(serde_json::to_vec(answer).unwrap_or_default()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
    }
    response
}

/// Whether a refusal says nothing about the call itself: repeated later, it may be taken.
pub(crate) fn is_passing(refusal: &Refusal) -> bool {
    refusal.reason.is_retryable() || refusal.reason == Reason::HopUnknown
}
