//! Serves the operators' console: HTTPS for browsers, on an address of its own. A client certificate is asked for and not insisted on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_console::{Caller, Console, People, Sessions, SignedIn};
use gateway_engine::Engine;
use gateway_evidence::ActKind;
use gateway_model::directory::Party;
use gateway_model::id::OperatorId;
use gateway_model::{Digest, Timestamp};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::config::Limits;
use crate::doors::Doors;
use crate::doors::operate::OperateDoor;
use crate::errors;

/// Connections of browsers at the same time.
const CONNECTIONS_MAX: usize = 256;
/// Time for the headers of one request.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// Headers of one request, in bytes.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Requests on one connection at the same time.
const STREAMS_MAX: u32 = 64;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Gives one-time links to the console.
#[derive(Clone, Debug)]
pub struct ConsoleLinks {
    sessions: Sessions,
    /// Address of the console as browsers reach it, without a slash at its end.
    url: String,
}

impl ConsoleLinks {
    /// Links to the console at `url`.
    pub fn new(url: &str) -> Self {
        Self { sessions: Sessions::new(rand::random), url: url.trim_end_matches('/').to_owned() }
    }

    /// A link that signs `operator` in, once.
    pub fn link(&self, operator: &OperatorId, now: Timestamp) -> (String, Timestamp) {
        let link = self.sessions.link(operator, now);
        (format!("{}{}", self.url, gateway_console::sign_in_path(&link.token)), link.expires_at)
    }
}

/// Who an operator is: by the directory in force at this moment.
struct Registered(Engine);

#[async_trait::async_trait]
impl People for Registered {
    fn operator_of(&self, certificate: &Digest) -> Option<OperatorId> {
        match self.0.trust().current()?.directory().party(certificate)? {
            Party::Operator(operator) => Some(operator.clone()),
            Party::System(_) | Party::Gateway(_) => None,
        }
    }

    async fn signed_in(&self, signed_in: &SignedIn) -> Result<(), Status> {
        let (operator, address) = (&signed_in.operator, signed_in.address.to_string());
        let noted = self.0.operate().note(ActKind::SignedIn, operator, address, "").await;
        noted.map_err(|refusal| errors::status(&refusal, signed_in.language))
    }
}

/// What the console is served with.
pub(crate) struct ConsoleParts {
    pub(crate) doors: Doors,
    pub(crate) links: Arc<ConsoleLinks>,
    pub(crate) listener: TcpListener,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) limits: Limits,
    pub(crate) handshake_timeout: Duration,
}

/// Serves until `stop`; connections end with it.
///
/// # Errors
/// None at this time: what fails is one connection.
pub(crate) async fn serve(parts: ConsoleParts, stop: CancellationToken) -> io::Result<()> {
    let ConsoleParts { doors, links, listener, tls, limits, handshake_timeout } = parts;
    let (engine, language) = (doors.engine.clone(), doors.language);
    let clock = engine.clock().clone();
    let people = Arc::new(Registered(engine));
    let console = Console::new(OperateDoor(doors), people, links.sessions.clone(), language, move || clock.now());
    let pages = gateway_console::router(console);
    let (acceptor, places) =
        (TlsAcceptor::from(tls), Arc::new(Semaphore::new(CONNECTIONS_MAX.min(limits.connections))));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let Ok(place) = places.clone().try_acquire_owned() else {
                        tracing::warn!(peer = %address, "the console has no more places");
                        continue;
                    };
                    let (acceptor, pages) = (acceptor.clone(), pages.clone());
                    connections.spawn(async move {
                        if let Err(error) = one(acceptor, stream, address, pages, handshake_timeout).await {
                            tracing::debug!(peer = %address, %error, "a browser's connection ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a browser's connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn one(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    pages: axum::Router,
    handshake_timeout: Duration,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(handshake_timeout, acceptor.accept(stream)).await??;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|leaf| Digest::of(leaf));
    let pages = pages.layer(axum::Extension(Caller { certificate, address }));
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME_MAX).max_buf_size(HEADER_BYTES_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Some(HEADER_TIME_MAX));
    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages)).await
}

/// Where the console listens and what browsers see.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// Address.
    pub listen: SocketAddr,
    /// How browsers reach it.
    pub url: String,
    /// Certificate chain for browsers, PEM; `None` for the gateway's own.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}
