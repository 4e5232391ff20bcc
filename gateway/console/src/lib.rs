//! The operators' console: what is stuck, why, who must act, and the buttons that move it. Pages over the operators' door, called in process.
//!
//! The console knows no engine and no store. It is a face of [`OperateService`]: whatever it shows and does goes through the same door as
//! the command line, with the same roles and the same audit. Everything is rendered here; the one script only refreshes what is shown, so
//! every page can be read, and every action done, without it. Assets are compiled in.
//!
//! # How to serve it
//!
//! ```text
//! let sessions = Sessions::new(rand::random); // shared with the door's CreateConsoleLink, which answers with base + sign_in_path(token)
//! let console = Console::new(door, people, sessions, Language::Vi, clock);
//! let pages = router(console);
//! // for each TLS connection, with what its handshake showed:
//! let pages = pages.clone().layer(axum::Extension(Caller { certificate, address }));
//! ```
//!
//! The listener asks for a client certificate but does not insist on one. The door finds a [`SignedIn`] among the extensions of a request,
//! and treats it as it treats a connection with that operator's certificate; it must not take one from the network.
//!
//! Read in this order: [`router`], `visit.rs` (who asks, in which language), `screens/` (one file a page), `show/` (how things look),
//! `sessions.rs`, `guard.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_model::id::OperatorId;
use gateway_model::language::Language;
use gateway_model::{Digest, Timestamp};
use proto::v1::operate_service_server::OperateService;
use tonic::Status;

mod assets;
mod fault;
mod fields;
mod guard;
mod look;
mod page;
mod router;
mod screens;
mod sessions;
mod show;
mod visit;
mod words;

pub use router::router;
pub use sessions::{
    LINK_TIME, LINKS_PER_OPERATOR_MAX, Link, SESSION_IDLE_TIME, SESSION_TIME, SESSIONS_PER_OPERATOR_MAX, SIGNED_IN_MAX,
    Sessions, Use,
};

/// Who asks, as the console tells the door: an extension of every request that it makes in process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedIn {
    /// The operator, by client certificate or by a session.
    pub operator: OperatorId,
    /// The language of the answers.
    pub language: Language,
    /// Where the browser is.
    pub address: SocketAddr,
}

/// What the listener knows of a connection: an extension of every request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// SHA-256 of the client certificate, when the browser showed one and it verified.
    pub certificate: Option<Digest>,
    /// Where the browser is.
    pub address: SocketAddr,
}

/// What the console asks about people.
#[async_trait::async_trait]
pub trait People: Send + Sync + 'static {
    /// The operator whose client certificate this is, by the directory in force.
    fn operator_of(&self, certificate: &Digest) -> Option<OperatorId>;

    /// Told when an operator's link is redeemed, before the session begins; the place to write the audit.
    ///
    /// # Errors
    /// When the session must not begin. The link is spent all the same.
    async fn signed_in(&self, signed_in: &SignedIn) -> Result<(), Status>;
}

/// The console of one gateway. Clones share it.
pub struct Console<D> {
    parts: Arc<Parts<D>>,
}

struct Parts<D> {
    door: D,
    people: Arc<dyn People>,
    sessions: Sessions,
    language: Language,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl<D: OperateService> Console<D> {
    /// A console over `door`. `language` is for readers who have not chosen one; `clock` gives the time of day.
    pub fn new(
        door: D,
        people: Arc<dyn People>,
        sessions: Sessions,
        language: Language,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self { parts: Arc::new(Parts { door, people, sessions, language, clock: Box::new(clock) }) }
    }
}

impl<D> Clone for Console<D> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<D> fmt::Debug for Console<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Console")
    }
}

/// Path and query of the page that redeems a link; the gateway puts its address in front.
pub fn sign_in_path(token: &str) -> String {
    format!("/sign-in?token={token}")
}
