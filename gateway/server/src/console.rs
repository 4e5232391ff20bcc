//! Serves the operators' console: HTTPS for browsers, on an address of its own. A client certificate is asked for and not insisted on.

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

use crate::app::{self, StartError};
use crate::config::Config;
use crate::doors::Doors;
use crate::doors::operate::OperateDoor;
use crate::errors;
use crate::tls::{self, Identity};

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
        let (operator, address) = (&signed_in.operator, signed_in.address);
        let operate = self.0.operate().acting_from(address);
        let noted = operate.note(ActKind::SignedIn, operator, address.to_string(), "").await;
        noted.map_err(|refusal| errors::status(&refusal, signed_in.language))
    }
}

/// The console, bound and not served yet.
pub(crate) struct OpenConsole {
    /// Links to it, for the operators' door.
    pub(crate) links: Arc<ConsoleLinks>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    handshake_timeout: Duration,
}

impl OpenConsole {
    /// Binds the console that the configuration names, if it names one.
    ///
    /// # Errors
    /// [`StartError::Tls`], [`StartError::Listen`].
    pub(crate) async fn open(config: &Config, identity: &Identity) -> Result<Option<Self>, StartError> {
        let Some(console) = &config.console else { return Ok(None) };
        let own = match (&console.certificate, &console.key) {
            (Some(certificate), Some(key)) => Some((tls::read_chain(certificate)?, tls::read_key(key)?)),
            _ => None,
        };
        let tls = identity.browsers(console.certificate.as_ref().unwrap_or(&config.tls.certificate), own)?;
        let (listener, address) = app::bind("console.listen", console.listen).await?;
        // A free port is known only once it is bound.
        let url = console.url.clone().unwrap_or_else(|| format!("https://{address}"));
        let links = Arc::new(ConsoleLinks::new(&url));
        Ok(Some(Self { links, address, listener, tls, handshake_timeout: config.tls.handshake_timeout }))
    }
}

/// Serves until `stop`; connections end with it. What fails is one connection.
pub(crate) async fn serve(open: OpenConsole, doors: Doors, stop: CancellationToken) {
    let OpenConsole { links, listener, tls, handshake_timeout, .. } = open;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX.min(doors.limits.connections)));
    let (pages, acceptor) = (pages(doors, &links), TlsAcceptor::from(tls));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
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

fn pages(doors: Doors, links: &ConsoleLinks) -> axum::Router {
    let (engine, language) = (doors.engine.clone(), doors.language);
    let clock = engine.clock().clone();
    let people = Arc::new(Registered(engine));
    let console = Console::new(OperateDoor(doors), people, links.sessions.clone(), language, move || clock.now());
    gateway_console::router(console)
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
    /// How browsers reach it; `None` means by `listen`.
    pub url: Option<String>,
    /// Certificate chain for browsers, PEM; `None` for the gateway's own.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}
