//! An adapter's own address, for systems that call it: bounded connections with bounded times, over TLS or in plain HTTP.
//!
//! ```text
//! Listener::bind ── the address is taken, connections wait ── serve ── … ── closed ── calls at hand finish, or break off
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::AdapterError;
use crate::outbound::config::read_pem;

/// Connections at one time; what comes beyond waits to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// Time for a TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = gateway_model::limits::HANDSHAKE_TIME_MAX;
/// Time for the head of a call.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes of the head of a call.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Time for one connection; the call that is under way then has [`LAST_CALL_TIME_MAX`] more. Nobody keeps a place by reading slowly.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(900);
const LAST_CALL_TIME_MAX: Duration = Duration::from_secs(300);
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for calls at hand when the adapter is to end.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Certificate and key of a listener, in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Whether they can be used.
    ///
    /// # Errors
    /// What keeps them from it.
    pub fn check(&self) -> Result<(), AdapterError> {
        self.acceptor().map(drop)
    }

    /// TLS 1.3 and 1.2.
    fn acceptor(&self) -> Result<TlsAcceptor, AdapterError> {
        let wrong = |path: &PathBuf, what: &str| AdapterError::Other(format!("{}: {what}", path.display()));
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read_pem(&self.certificate)?).collect();
        let chain = chain.map_err(|_| wrong(&self.certificate, "is no certificate in PEM form"))?;
        let private = PrivateKeyDer::from_pem_slice(&read_pem(&self.key)?)
            .map_err(|_| wrong(&self.key, "is no unencrypted private key in PEM form"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|fault| AdapterError::Other(fault.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|fault| wrong(&self.certificate, &fault.to_string()))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A bound address.
pub struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Binds `address`; connections wait until [`Listener::serve`].
    ///
    /// # Errors
    /// When the address is taken or not ours, or the certificate cannot be used.
    pub fn bind(address: SocketAddr, tls: Option<&TlsFiles>) -> Result<Self, AdapterError> {
        let failed = |fault: std::io::Error| AdapterError::Other(format!("cannot listen on {address}: {fault}"));
        let tls = tls.map(TlsFiles::acceptor).transpose()?;
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `service` until `closed`, then lets the calls at hand finish for a while.
    ///
    /// # Errors
    /// When the socket cannot be used.
    ///
    /// # Cancellation
    /// Closes every connection; the address stays bound.
    pub async fn serve<S, B>(&self, service: S, closed: impl Future<Output = ()> + Send) -> Result<(), AdapterError>
    where
        S: tower::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let failed = |fault: std::io::Error| AdapterError::Other(format!("cannot listen: {fault}"));
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).map_err(failed)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let stopping = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut closed = std::pin::pin!(closed);
        loop {
            while connections.try_join_next().is_some() {}
            let place = tokio::select! {
                () = &mut closed => break,
                place = places.clone().acquire_owned() => place,
            };
            let accepted = tokio::select! {
                () = &mut closed => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, most likely: accepting again at once would only spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (service, tls, stopping) = (service.clone(), self.tls.clone(), stopping.clone());
            connections.spawn(async move {
                connection(stream, tls, service, stopping).await;
                drop(place);
            });
        }
        stopping.cancel();
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIME_MAX, all).await.is_err() {
            tracing::warn!("calls of a system were broken off by the drain");
            connections.shutdown().await;
        }
        Ok(())
    }
}

async fn connection<S, B>(stream: TcpStream, tls: Option<TlsAcceptor>, service: S, stopping: CancellationToken)
where
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(tls) = tls else { return calls(stream, service, stopping).await };
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => calls(stream, service, stopping).await,
        Ok(Err(_)) | Err(_) => tracing::debug!("a TLS handshake with the adapter failed"),
    }
}

async fn calls<S, B>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    service: S,
    stopping: CancellationToken,
) where
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(HEAD_BYTES_MAX);
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Ok(served),
        () = async { tokio::select! { () = tokio::time::sleep(CONNECTION_TIME_MAX) => {}, () = stopping.cancelled() => {} } } => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_CALL_TIME_MAX, connection).await
        }
    };
    match served {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => tracing::debug!(%fault, "a connection to the adapter broke off"),
        Err(_) => tracing::debug!("a connection to the adapter took too long"),
    }
}

#[cfg(test)]
mod tests {
    use certs_dev::tls::TlsLadder;
    use http::{Method, Request, Response};
    use http_body_util::BodyExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::outbound::{self, Origin, Outbound, OutboundSettings};

    type Answer = Response<http_body_util::Full<Bytes>>;

    fn service() -> impl tower::Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send> + Clone
    {
        tower::service_fn(|request: Request<Incoming>| async move {
            let asked = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Ok(Response::new(http_body_util::Full::new(asked)))
        })
    }

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn a_caller_that_says_nothing_does_not_keep_others_out_and_serving_ends_when_told() {
        let listener = Listener::bind(any(), None).unwrap();
        let address = listener.address();
        let (close, closed) = tokio::sync::oneshot::channel::<()>();
        let serving = listener.serve(service(), async { drop(closed.await) });
        let calling = async {
            let silent = TcpStream::connect(address).await.unwrap();
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = b"POST /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nhere";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("here"), "{answer}");
            drop(close);
            drop(silent);
        };
        let (served, ()) = tokio::join!(serving, calling);
        served.unwrap();
        assert!(Listener::bind(address, None).is_err(), "the address stays ours until the adapter ends");
    }

    #[tokio::test]
    async fn with_a_certificate_only_tls_is_spoken() {
        let folder = tempfile::tempdir().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let ladder = TlsLadder::new(now as i64 - 86_400).unwrap();
        let credential = ladder.issue("adapter", &[]).unwrap();
        let files = TlsFiles { certificate: folder.path().join("a.pem"), key: folder.path().join("a.key") };
        assert!(files.check().unwrap_err().to_string().contains("a.pem"));
        std::fs::write(&files.certificate, &credential.certificate_pem).unwrap();
        std::fs::write(&files.key, "no key").unwrap();
        assert!(files.check().unwrap_err().to_string().contains("a.key: is no unencrypted private key"));
        std::fs::write(&files.key, &credential.key_pem).unwrap();
        let listener = Listener::bind(any(), Some(&files)).unwrap();
        let address = listener.address();
        let calling = async {
            let origin = Origin::parse(&format!("https://localhost:{}", address.port())).unwrap();
            let outbound = Outbound::new(OutboundSettings {
                roots_pem: Some(ladder.authority().certificate_pem().into()),
                ..OutboundSettings::only(origin.clone(), true)
            })
            .unwrap();
            let mut request = outbound::Request::new(Method::POST, format!("{origin}/x").parse().unwrap());
            request.body = outbound::RequestBody::Bytes("here".into());
            assert_eq!(outbound.send(request).await.unwrap().collect(100).await.unwrap(), "here");
            let mut plain = TcpStream::connect(address).await.unwrap();
            plain.write_all(b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            drop(plain.read_to_end(&mut answer).await);
            assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
        };
        tokio::select! {
            served = listener.serve(service(), std::future::pending()) => panic!("{served:?}"),
            () = calling => {}
        }
    }
}
