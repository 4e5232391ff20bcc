//! Calls to other systems over HTTP/1.1: only to listed origins, only to judged addresses, everything bounded.
//!
//! An adapter never calls a URL as it finds it. [`Outbound`] looks for the origin in its allow-list, resolves the name once per
//! connection, judges every address (loopback, private, link-local and the like are refused unless the origin is listed as private) and
//! connects to a judged address, so that a name that changes its mind cannot lead elsewhere. It follows no redirect, asks no proxy that
//! is not configured, and trusts the configured roots alone. Its table in a configuration is read by [`config`].

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

pub mod address;
pub mod config;
pub(crate) mod connect;
mod exchange;
mod fault;
mod origin;
pub mod tls;

pub use exchange::{Received, Request, RequestBody, Response};
pub use fault::OutboundError;
pub use origin::{AllowList, Allowed, Origin};
use tls::{Identity, TlsSetupError};

use connect::Connector;
use exchange::{Outgoing, Progress};

/// What a client may do.
#[derive(Clone, Debug)]
pub struct OutboundSettings {
    /// Where it may call.
    pub allowed: AllowList,
    /// CA certificates in PEM that servers are checked against; `None`: no https.
    pub roots_pem: Option<Vec<u8>>,
    /// What it shows to servers that ask for a certificate.
    pub identity: Option<Identity>,
    /// A proxy that opens tunnels (CONNECT), by plain http.
    pub proxy: Option<Origin>,
    /// Its bounds.
    pub bounds: OutboundBounds,
}

impl OutboundSettings {
    /// One origin and nothing else, within the usual bounds: no https, no certificate of its own, no proxy.
    pub fn only(origin: Origin, is_private: bool) -> Self {
        Self {
            allowed: AllowList::new(vec![Allowed { origin, is_private }]),
            roots_pem: None,
            identity: None,
            proxy: None,
            bounds: OutboundBounds::default(),
        }
    }
}

/// Bounds of every call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutboundBounds {
    /// For a connection, TLS included.
    pub connect_time_max: Duration,
    /// For the whole exchange, the body of the answer included.
    pub total_time_max: Duration,
    /// Without any byte moving, in either direction.
    pub idle_time_max: Duration,
    /// Bytes of the head of an answer, at least 8 KiB.
    pub head_bytes_max: usize,
    /// Headers of an answer.
    pub headers_max: usize,
    /// Bytes of the body of an answer, whatever a caller asks for.
    pub body_bytes_max: u64,
    /// Connections kept open to one origin.
    pub idle_connections_max: usize,
}

impl Default for OutboundBounds {
    fn default() -> Self {
        Self {
            connect_time_max: Duration::from_secs(10),
            total_time_max: Duration::from_secs(50),
            idle_time_max: Duration::from_secs(30),
            head_bytes_max: 64 * 1024,
            headers_max: 100,
            body_bytes_max: gateway_model::limits::PART_BYTES_MAX,
            idle_connections_max: 8,
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OutboundSetupError {
    /// An origin is https, and there are no roots to check it against.
    #[error("{origin} is https, and no roots are configured to check it against")]
    RootsMissing {
        /// Which.
        origin: Origin,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

/// Makes calls. Cheap to clone; connections are kept and shared.
#[derive(Clone)]
pub struct Outbound {
    allowed: Arc<AllowList>,
    bounds: OutboundBounds,
    client: Client<Connector, Outgoing>,
}

impl Outbound {
    /// Makes a client. Opens no connection.
    ///
    /// # Errors
    /// When certificates cannot be used, or https is listed without roots.
    pub fn new(settings: OutboundSettings) -> Result<Self, OutboundSetupError> {
        let OutboundSettings { allowed, roots_pem, identity, proxy, bounds } = settings;
        let tls = match roots_pem {
            Some(roots) => Some(Arc::new(tls::client_config(&roots, identity.as_ref(), b"http/1.1")?)),
            None => match allowed.iter().find(|allowed| allowed.origin.is_https) {
                Some(allowed) => return Err(OutboundSetupError::RootsMissing { origin: allowed.origin.clone() }),
                None => None,
            },
        };
        let allowed = Arc::new(allowed);
        let connector = Connector { allowed: allowed.clone(), tls, proxy, connect_time_max: bounds.connect_time_max };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(bounds.idle_time_max)
            .pool_max_idle_per_host(bounds.idle_connections_max)
            .http1_max_headers(bounds.headers_max)
            .http1_max_buf_size(bounds.head_bytes_max.max(8 * 1024))
            .build(connector);
        Ok(Self { allowed, bounds, client })
    }

    /// Makes a call and gives its answer, whatever its status, when the head is there; the body is still to be read.
    ///
    /// # Errors
    /// When the call may not be made, or led to no answer. What the other side did of it is then unknown.
    ///
    /// # Cancellation
    /// Dropping the future breaks the call off; what the other side did of it is unknown.
    pub async fn send(&self, request: Request) -> Result<Response, OutboundError> {
        let origin = self.allowed.find(&request.url)?.origin.clone();
        let time_max = request.time_max.unwrap_or(self.bounds.total_time_max).min(self.bounds.total_time_max);
        let until = Instant::now() + time_max;
        let progress = Progress::begin();
        let mut sent = http::Request::new(Outgoing::new(request.body, progress.clone()));
        *sent.method_mut() = request.method;
        *sent.uri_mut() = request.url;
        *sent.headers_mut() = request.headers;
        let answer = tokio::select! {
            answer = self.client.request(sent) => answer,
            () = self.silence(&progress, until) => return Err(OutboundError::TimedOut { origin }),
        };
        let answer =
            answer.map_err(|fault| OutboundError::of_call(&origin, self.bounds.head_bytes_max as u64, &fault))?;
        let (head, body) = answer.into_parts();
        Ok(Response {
            status: head.status,
            headers: head.headers,
            origin,
            body,
            until,
            idle_time_max: self.bounds.idle_time_max,
            body_bytes_max: self.bounds.body_bytes_max,
        })
    }

    /// Where this client may call.
    pub fn allowed(&self) -> &AllowList {
        &self.allowed
    }

    /// Ends when nothing has moved for the idle time, or the whole time is over.
    async fn silence(&self, progress: &Progress, until: Instant) {
        loop {
            let idle = progress.last() + self.bounds.idle_time_max;
            if idle <= Instant::now() || until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(idle.min(until)).await;
        }
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound").field("allowed", &self.allowed).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
