//! One request of somebody who is signed in: who, in which language, with what form; and the way to the door.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use gateway_model::agency::OperatorRole;
use gateway_model::id::OperatorId;
use gateway_model::{Digest, Timestamp};
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;
use tonic::Status;

use crate::fault::{self, Fault};
use crate::fields::Fields;
use crate::guard::{self, Unread};
use crate::look::{self, Look};
use crate::page::{self, Page, Reader};
use crate::sessions::{self, Use};
use crate::{Caller, Console, SignedIn};

/// Cookie that holds a session. The prefix makes browsers insist on Secure, on no domain and on the whole path.
pub(crate) const SESSION_COOKIE: &str = "__Host-lienthong-session";
/// Header by which a page that refreshes itself says so.
const REFRESH_HEADER: &str = "x-lienthong-refresh";
/// Name of the field that carries the form token.
pub(crate) const TOKEN_FIELD: &str = "form_token";
/// Longest wait for the door.
const DOOR_TIME_MAX: Duration = Duration::from_secs(20);

/// Somebody signed in asks for a page.
pub(crate) struct Visit<D> {
    console: Console<D>,
    /// Who.
    pub operator: OperatorId,
    /// How they want pages.
    pub look: Look,
    /// What the address says.
    pub query: Fields,
    /// When.
    pub now: Timestamp,
    /// The gateway in a few numbers; `None` when the door did not tell.
    pub status: Option<v1::GetStatusResponse>,
    proof: Proof,
    address: SocketAddr,
}

/// By what somebody is signed in, as a digest.
#[derive(Clone, Copy)]
enum Proof {
    Certificate(Digest),
    Session(Digest),
}

/// A form that one of our own pages sent.
pub(crate) struct Form<D> {
    /// By whom.
    pub visit: Visit<D>,
    /// What it says.
    pub fields: Fields,
}

impl<D: OperateService> Visit<D> {
    /// The door.
    pub(crate) fn door(&self) -> &D {
        &self.console.parts.door
    }

    /// A message as this operator sends it.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let language = self.look.language;
        request.metadata_mut().insert("accept-language", tonic::metadata::MetadataValue::from_static(language.tag()));
        request.extensions_mut().insert(SignedIn { operator: self.operator.clone(), language, address: self.address });
        request
    }

    /// Waits for the door, within bounds.
    ///
    /// # Errors
    /// A page that tells the refusal.
    pub(crate) async fn ask<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>> + Send,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(DOOR_TIME_MAX, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => {
                Err(self.fault(fault::http_status(&status), fault::refusal(self.look.language, &status)))
            }
            Err(_) => Err(self.fault(StatusCode::GATEWAY_TIMEOUT, fault::slow(self.look.language))),
        }
    }

    /// What the operator may do here; `None` when the door did not tell.
    pub(crate) fn role(&self) -> Option<OperatorRole> {
        OperatorRole::parse(&self.status.as_ref()?.role)
    }

    /// Whether buttons are shown. The door decides all the same.
    pub(crate) fn may_act(&self) -> bool {
        self.role().is_some_and(|role| role >= OperatorRole::Operator)
    }

    /// The hidden fields of a form: its token, and where to return to.
    pub(crate) fn hidden(&self) -> Markup {
        html! {
            input type="hidden" name=(TOKEN_FIELD) value=(self.form_token());
            input type="hidden" name="back" value=(self.look.place);
        }
    }

    /// The page with its frame.
    pub(crate) fn page(&self, page: &Page) -> Response {
        page::render(&self.look, Some(&self.reader()), page).into_response()
    }

    /// An error page with its frame.
    pub(crate) fn fault(&self, status: StatusCode, page: Page) -> Fault {
        Fault::new((status, page::render(&self.look, Some(&self.reader()), &page)).into_response())
    }

    fn reader(&self) -> Reader {
        let status = self.status.clone().unwrap_or_default();
        Reader {
            operator: self.operator.clone(),
            role: self.role(),
            gateway: status.gateway,
            version: status.version,
            form_token: self.form_token(),
            by_session: matches!(self.proof, Proof::Session(_)),
            now: self.now,
        }
    }

    fn form_token(&self) -> String {
        self.console.parts.sessions.form_token(&self.proof.digest())
    }
}

impl Proof {
    fn digest(self) -> Digest {
        match self {
            Self::Certificate(digest) | Self::Session(digest) => digest,
        }
    }
}

impl<D: OperateService> FromRequestParts<Console<D>> for Visit<D> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, console: &Console<D>) -> Result<Self, Fault> {
        let look = Look::of(parts, console.parts.language);
        let now = (console.parts.clock)();
        let Some((operator, proof, address)) = signed_in(parts, console, now) else {
            let page = page::render(&look, None, &page::sign_in_needed(look.language));
            return Err(Fault::new((StatusCode::UNAUTHORIZED, page).into_response()));
        };
        let query = Fields::read(parts.uri.query().unwrap_or_default().as_bytes());
        let mut visit = Self { console: console.clone(), operator, look, query, now, status: None, proof, address };
        // What the door refuses here it refuses to the page too, which then tells why.
        visit.status = visit.ask(visit.door().get_status(visit.request(v1::GetStatusRequest {}))).await.ok();
        Ok(visit)
    }
}

impl<D: OperateService> FromRequest<Console<D>> for Form<D> {
    type Rejection = Fault;

    async fn from_request(request: Request, console: &Console<D>) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let mut visit = Visit::from_request_parts(&mut parts, console).await?;
        // A form cannot be opened by its address: what its answer offers leads to where it stood, or to the first page.
        "/".clone_into(&mut visit.look.place);
        let fields = match guard::form(&parts, body).await {
            Ok(bytes) => Fields::read(&bytes),
            Err(unread) => return Err(visit.unread(unread)),
        };
        visit.look.place = look::local(fields.first("back")).to_owned();
        if !console.parts.sessions.fits(&visit.proof.digest(), fields.first(TOKEN_FIELD)) {
            return Err(visit.unread(Unread::Foreign));
        }
        Ok(Self { visit, fields })
    }
}

impl<D: OperateService> Visit<D> {
    fn unread(&self, unread: Unread) -> Fault {
        let (status, page) = fault::unread(self.look.language, unread);
        self.fault(status, page)
    }
}

/// Who is signed in: by the certificate of the connection, or else by the session's cookie.
fn signed_in<D: OperateService>(
    parts: &Parts,
    console: &Console<D>,
    now: Timestamp,
) -> Option<(OperatorId, Proof, SocketAddr)> {
    let caller = parts.extensions.get::<Caller>()?;
    let by_certificate =
        caller.certificate.and_then(|digest| Some((console.parts.people.operator_of(&digest)?, digest)));
    if let Some((operator, digest)) = by_certificate {
        return Some((operator, Proof::Certificate(digest), caller.address));
    }
    let cookie = look::cookie(&parts.headers, SESSION_COOKIE);
    let by = if parts.headers.contains_key(REFRESH_HEADER) { Use::Refresh } else { Use::Person };
    let operator = console.parts.sessions.operator(cookie, now, by)?;
    Some((operator, Proof::Session(sessions::key(cookie)?), caller.address))
}
