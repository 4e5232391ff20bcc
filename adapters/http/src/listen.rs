//! The own address: bounded connections, with TLS unless it is loopback.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::AdapterError;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::Listen;
use crate::disk;

const CONNECTIONS_MAX: usize = 128;
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// For one connection: slow callers come again.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(600);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// A bound address.
pub(crate) struct Listener {
    listener: StdListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Binds the address and reads the certificate.
    pub(crate) fn bind(listen: &Listen) -> Result<Self, AdapterError> {
        let failed = |fault| AdapterError::Other(format!("cannot listen on {}: {fault}", listen.address));
        let listener = StdListener::bind(listen.address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let tls = listen.tls.as_ref().map(|(certificate, key)| acceptor(certificate, key)).transpose()?;
        Ok(Self { listener, tls })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves for ever; dropping the future closes every connection.
    pub(crate) async fn serve(self, router: Router) {
        let listener = match TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(fault) => return tracing::error!(%fault, "the adapter's own address cannot be served"),
        };
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors, most likely: accepting again at once would only spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (router, tls) = (router.clone(), self.tls.clone());
            connections.spawn(async move {
                let serving = async {
                    match tls {
                        None => serve_one(stream, router).await,
                        Some(tls) => match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
                            Ok(Ok(stream)) => serve_one(stream, router).await,
                            Ok(Err(_)) | Err(_) => tracing::debug!("a TLS handshake with the adapter failed"),
                        },
                    }
                };
                if tokio::time::timeout(CONNECTION_TIME_MAX, serving).await.is_err() {
                    tracing::debug!("a connection to the adapter took too long");
                }
                drop(place);
            });
        }
    }
}

async fn serve_one(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, router: Router) {
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(64 * 1024);
    if let Err(fault) = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await {
        tracing::debug!(%fault, "a connection to the adapter broke off");
    }
}

/// TLS 1.3 and 1.2 with a certificate from files.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, AdapterError> {
    let wrong = |path: &Path, what: &str| AdapterError::Other(format!("{}: {what}", path.display()));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&disk::read(certificate, PEM_BYTES_MAX)?).collect();
    let chain = chain.map_err(|_| wrong(certificate, "is no certificate in PEM form"))?;
    let private = PrivateKeyDer::from_pem_slice(&disk::read(key, PEM_BYTES_MAX)?)
        .map_err(|_| wrong(key, "is no unencrypted private key in PEM form"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|fault| AdapterError::Other(fault.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|fault| wrong(certificate, &fault.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
