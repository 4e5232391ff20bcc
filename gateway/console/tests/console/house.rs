//! A console with an operator whose certificate it knows, and a browser that speaks to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use gateway_console::{Caller, Console, People, Sessions, SignedIn, router};
use gateway_model::id::OperatorId;
use gateway_model::language::Language;
use gateway_model::{Digest, Reason, Timestamp};
use tonic::Status;
use tower::ServiceExt as _;

use crate::double::{Double, refusal};
use crate::sample;

/// The certificate of op-lan.
pub const CERTIFICATE: Digest = Digest([7; 32]);
/// An address of the console, as a browser writes it.
const ORIGIN: &str = "https://console.example:7443";

/// A console and what is behind it.
pub struct House {
    pub door: Double,
    pub sessions: Sessions,
    pages: Router,
    clock: Arc<AtomicI64>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// As UTF-8; what is none becomes replacement characters.
    pub text: String,
    pub bytes: Vec<u8>,
}

/// How a browser asks.
#[derive(Clone, Default)]
pub struct Browser {
    /// The client certificate that it shows.
    pub certificate: Option<Digest>,
    /// Its `Cookie` header.
    pub cookie: String,
    /// Headers besides, which replace those that a browser sends by itself.
    pub headers: Vec<(&'static str, &'static str)>,
}

struct Registered;

#[async_trait::async_trait]
impl People for Registered {
    fn operator_of(&self, certificate: &Digest) -> Option<OperatorId> {
        (*certificate == CERTIFICATE).then(|| operator("op-lan"))
    }

    async fn signed_in(&self, signed_in: &SignedIn) -> Result<(), Status> {
        match signed_in.operator.as_str() {
            "op-gone" => Err(refusal(Reason::HopUnknown, signed_in.language)),
            _ => Ok(()),
        }
    }
}

impl House {
    /// A console of a gateway that speaks Vietnamese, for callers of this role.
    pub fn new(role: &'static str) -> Self {
        let clock = Arc::new(AtomicI64::new(sample::NOW));
        let count = AtomicU64::new(1);
        let sessions = Sessions::new(move || Digest::of(&count.fetch_add(1, Ordering::Relaxed).to_be_bytes()).0);
        let door = Double::new(role);
        let time = clock.clone();
        let now = move || Timestamp::from_seconds(time.load(Ordering::Relaxed));
        let console = Console::new(door.clone(), Arc::new(Registered), sessions.clone(), Language::Vi, now);
        Self { door, sessions, pages: router(console), clock }
    }

    /// What the console's clock says.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.clock.load(Ordering::Relaxed))
    }

    /// Lets time pass.
    pub fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    /// GETs a page.
    pub async fn get(&self, browser: &Browser, place: &str) -> Answer {
        self.send(browser, Method::GET, place, Body::empty()).await
    }

    /// POSTs a form.
    pub async fn post(&self, browser: &Browser, place: &str, form: &str) -> Answer {
        self.send(browser, Method::POST, place, Body::from(form.to_owned())).await
    }

    /// Sends anything.
    pub async fn send(&self, browser: &Browser, method: Method, place: &str, body: Body) -> Answer {
        let mut request = Request::builder().method(method.clone()).uri(place).header("host", "console.example:7443");
        let mut headers: Vec<(&str, &str)> = Vec::new();
        if method == Method::POST {
            // As browsers do it where pages send no referrer.
            headers.extend([("sec-fetch-site", "same-origin"), ("origin", "null")]);
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        headers.retain(|(name, _)| !browser.headers.iter().any(|(own, _)| own == name));
        for (name, value) in
            headers.into_iter().chain(browser.headers.iter().copied()).filter(|(_, value)| !value.is_empty())
        {
            request = request.header(name, value);
        }
        if !browser.cookie.is_empty() {
            request = request.header("cookie", &browser.cookie);
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let request = request.extension(Caller { certificate: browser.certificate, address }).body(body).unwrap();
        let (parts, body) = self.pages.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = to_bytes(body, 16 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text, bytes: bytes.to_vec() }
    }

    /// The token of this reader's forms.
    pub async fn form_token(&self, browser: &Browser) -> String {
        let page = self.get(browser, "/bulk/new").await.text;
        let (_, rest) = page.split_once("name=\"form_token\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Browser {
    /// Of op-lan, by certificate.
    pub fn known() -> Self {
        Self { certificate: Some(CERTIFICATE), ..Self::default() }
    }

    /// The same with another header.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Answer {
    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An operator.
pub fn operator(id: &str) -> OperatorId {
    OperatorId::parse(id).unwrap()
}

/// As the header `Origin` of our own page.
pub fn own_origin() -> &'static str {
    ORIGIN
}
