//! Every fault as problem+json (RFC 9457), with our reason code and words in both languages.

use axum::body::Body;
use axum::response::Response;
use gateway_model::language::Language;
use gateway_model::reason::GrpcCode;
use gateway_model::{Reason, Refusal};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// The answer to a refusal.
pub(crate) fn answer(refusal: &Refusal) -> Response {
    with_status(status(refusal.reason), refusal)
}

/// The same with a status of its own.
pub(crate) fn with_status(status: StatusCode, refusal: &Refusal) -> Response {
    let body = json!({
        "type": format!("urn:lienthong:reason:{}", refusal.reason.code()),
        "title": refusal.reason.message(Language::En),
        "status": status.as_u16(),
        "code": refusal.reason.code(),
        "field": refusal.field,
        "detail": refusal.in_words(Language::En),
        "detail_vi": refusal.in_words(Language::Vi),
        "retryable": refusal.reason.is_retryable(),
    });
    let mut response = json_answer(status, &body, "application/problem+json");
    if let Some(wait) = refusal.retry_after.or_else(|| refusal.reason.is_retryable().then_some(DEFAULT_WAIT)) {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

const DEFAULT_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// A JSON answer that nobody keeps.
pub(crate) fn json_answer(status: StatusCode, body: &serde_json::Value, media_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn status(reason: Reason) -> StatusCode {
    if matches!(reason, Reason::EnvelopeTooLarge | Reason::PartTooLarge) {
        return StatusCode::PAYLOAD_TOO_LARGE;
    }
    match reason.grpc() {
        GrpcCode::InvalidArgument => StatusCode::BAD_REQUEST,
        GrpcCode::NotFound => StatusCode::NOT_FOUND,
        GrpcCode::AlreadyExists => StatusCode::CONFLICT,
        GrpcCode::PermissionDenied | GrpcCode::Unauthenticated => StatusCode::FORBIDDEN,
        GrpcCode::FailedPrecondition => StatusCode::UNPROCESSABLE_ENTITY,
        GrpcCode::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        GrpcCode::Unavailable | GrpcCode::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
        GrpcCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
