//! What went wrong, as a page: the reason code, what it means, what to do next, in the reader's language.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gateway_model::Reason;
use gateway_model::language::Language;
use maud::{Markup, html};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::guard::Unread;
use crate::page::Page;
use crate::show::icon::{Icon, icon};
use crate::show::text::{code, safe};
use crate::words::{Word, fault as w};

/// A finished answer that says why there is no other. Boxed: answers are large, and this is the rare way.
#[derive(Debug)]
pub(crate) struct Fault(Box<Response>);

impl Fault {
    /// An answer that is an error page.
    pub(crate) fn new(answer: Response) -> Self {
        Self(Box::new(answer))
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// The page of a refusal by the door.
pub(crate) fn refusal(l: Language, status: &Status) -> Page {
    let info = status.get_details_error_info();
    let fact = |name: &str| info.as_ref().and_then(|info| info.metadata.get(name).cloned()).unwrap_or_default();
    let (field, seen) = (fact("field"), fact("detail"));
    let reason = info.as_ref().and_then(|info| Reason::parse(&info.reason));
    let message = match reason {
        Some(reason) => reason.message(l).to_owned(),
        None => status
            .get_details_localized_message()
            .map_or_else(|| format!("{}: {}", w::OTHER.of(l), status.message()), |words| words.message),
    };
    let body = html! {
        p.lead { (safe(&message)) }
        dl.facts {
            @if let Some(info) = &info {
                div { dt { (w::CODE.of(l)) } dd { (code(&info.reason)) } }
            }
            @if !field.is_empty() {
                div { dt { (w::FIELD.of(l)) } dd { (code(&field)) } }
            }
            @if !seen.is_empty() {
                div { dt { (crate::words::stuck::SEEN.of(l)) } dd { (safe(&seen)) } }
            }
            @if let Some(reason) = reason {
                div { dt { (w::NEXT.of(l)) } dd { (reason.next_step(l)) } }
            }
        }
    };
    page(l, w::REFUSED, &body)
}

/// The HTTP status that stands for a refusal.
pub(crate) fn http_status(status: &Status) -> StatusCode {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated | Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// The door took too long.
pub(crate) fn slow(l: Language) -> Page {
    plain(l, w::SLOW, w::SLOW_TEXT)
}

/// There is no such page.
pub(crate) fn missing(l: Language) -> Page {
    plain(l, w::MISSING, w::MISSING_TEXT)
}

/// The page is there, and does not take that method.
pub(crate) fn method(l: Language) -> Page {
    plain(l, w::METHOD, w::METHOD_TEXT)
}

/// A form that was not read.
pub(crate) fn unread(l: Language, unread: Unread) -> (StatusCode, Page) {
    match unread {
        Unread::Foreign => (StatusCode::FORBIDDEN, plain(l, w::FORGED, w::FORGED_TEXT)),
        Unread::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, plain(l, w::FORM_TOO_LARGE, w::FORM_TOO_LARGE_TEXT)),
        Unread::Malformed => (StatusCode::BAD_REQUEST, plain(l, w::FORM_MALFORMED, w::FORM_MALFORMED_TEXT)),
    }
}

fn plain(l: Language, title: Word, text: Word) -> Page {
    page(l, title, &html! { p.lead { (text.of(l)) } })
}

fn page(l: Language, title: Word, body: &Markup) -> Page {
    Page::new(title.of(l)).body(html! {
        section.fault role="alert" {
            h1 { (icon(Icon::Warning)) " " (title.of(l)) }
            (body)
            p { a.button href="/" { (w::HOME.of(l)) } }
        }
    })
}
