//! What every answer carries and every form has to show: strict headers, no foreign posts, no large bodies.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use axum::middleware::Next;

/// Nothing but our own files, no framing, no foreign form targets, no inline scripts or styles.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Bytes of a form: a reason, an address, a filter.
pub(crate) const FORM_BYTES_MAX: usize = 16 * 1024;
/// Time for a form to arrive.
const FORM_TIME_MAX: Duration = Duration::from_secs(10);

/// Puts the headers on an answer, whatever it is.
pub(crate) async fn headers(request: Request<Body>, next: Next) -> Response<Body> {
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

/// Why a form is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unread {
    /// Another site sent it, or nobody can tell.
    Foreign,
    /// It has more bytes than a form may have.
    TooLarge,
    /// It is not a form, or it broke off.
    Malformed,
}

/// The bytes of a form that one of our own pages sent.
///
/// # Cancellation
/// Nothing was done yet.
pub(crate) async fn form(parts: &Parts, body: Body) -> Result<Bytes, Unread> {
    if !is_ours(&parts.headers, parts.uri.authority().map(axum::http::uri::Authority::as_str)) {
        return Err(Unread::Foreign);
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
        return Err(Unread::Malformed);
    }
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > FORM_BYTES_MAX) {
        return Err(Unread::TooLarge);
    }
    match tokio::time::timeout(FORM_TIME_MAX, to_bytes(body, FORM_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Without a length the only way to fail, besides a broken connection, is to be too long.
        Ok(Err(_)) if length.is_none() => Err(Unread::TooLarge),
        Ok(Err(_)) | Err(_) => Err(Unread::Malformed),
    }
}

/// Whether a browser says that the request comes from one of our own pages.
///
/// `Sec-Fetch-Site` decides where a browser sends it. Pages without referrers make browsers send `Origin: null`, so that counts only beside
/// it; without `Sec-Fetch-Site` the origin has to be our own.
fn is_ours(headers: &HeaderMap, authority: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(host) = text("host").or(authority) else { return false };
    let origin_fits = |origin: &str| origin.strip_prefix("https://") == Some(host);
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin"), None | Some("null")) => true,
        (Some("same-origin") | None, Some(origin)) => origin_fits(origin),
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&'static str, &'static str)], ours: bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        assert_eq!(is_ours(&headers, None), ours, "{pairs:?}");
    }

    #[test]
    fn only_our_own_pages_post() {
        let host = ("host", "console.example:7443");
        check(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://console.example:7443")], true);
        check(&[host, ("sec-fetch-site", "same-origin"), ("origin", "null")], true);
        check(&[host, ("origin", "https://console.example:7443")], true);
        for site in ["cross-site", "same-site", "none", ""] {
            check(&[host, ("sec-fetch-site", site), ("origin", "https://console.example:7443")], false);
        }
        check(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false);
        check(&[host, ("origin", "null")], false);
        check(&[host, ("origin", "http://console.example:7443")], false);
        check(&[host], false);
        check(&[("sec-fetch-site", "same-origin")], false);
    }
}
