//! The accept loop: TLS 1.3 with client certificates, every step bounded in time and number.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_model::{Digest, Timestamp};
use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::config::{Limits, Tls};
use crate::metrics::{DoorMetrics, Handshake};

/// Certificate, key and roots of this gateway, read and parsed.
#[derive(Debug)]
pub struct Identity {
    /// Chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Private key of the leaf.
    pub key: PrivateKeyDer<'static>,
    /// CA certificates of the other side.
    pub authorities: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

/// Why the TLS identity cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file.
    #[error("{path}: {source}: give a PEM file that this user can read")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A file without certificates.
    #[error("{path}: has no certificate: give a PEM file with `BEGIN CERTIFICATE`")]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// A root that is none.
    #[error("{path}: {source}: give CA certificates")]
    Root {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Key and certificate do not fit each other, or cannot be used.
    #[error("{certificate} with its key: {source}: give the certificate that was issued for this key")]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Our own certificate does not lead to our roots.
    #[error(
        "{certificate} does not lead to these CA certificates: {source}: give the CA that issued it, and those of the other side"
    )]
    Chain {
        /// The certificate.
        certificate: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The roots cannot verify clients.
    #[error("tls.roots: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl Identity {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn read(config: &Tls) -> Result<Self, TlsError> {
        let chain = read_chain(&config.certificate)?;
        let key = read_key(&config.key)?;
        let (mut roots, mut authorities) = (RootCertStore::empty(), Vec::new());
        for path in &config.roots {
            authorities.extend(read_roots(path, &mut roots)?);
        }
        Ok(Self { chain, key, authorities, roots: Arc::new(roots) })
    }

    /// SHA-256 of the leaf: the name of this gateway in the directory.
    pub fn fingerprint(&self) -> Option<Digest> {
        self.chain.first().map(|leaf| Digest::of(leaf))
    }

    /// When the leaf expires; `None` when it cannot be read.
    pub fn expires_at(&self) -> Option<Timestamp> {
        expires_at(&self.chain)
    }

    /// Configuration of the listening side.
    ///
    /// # Errors
    /// When key and certificate do not fit, or the roots cannot verify.
    pub fn server(&self, certificate: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider()).build()?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Configuration towards browsers, with a certificate of its own where one is given: a client certificate is asked for and not insisted on.
    ///
    /// # Errors
    /// When key and certificate do not fit, or the roots cannot verify.
    pub fn browsers(
        &self,
        certificate: &Path,
        own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider());
        let (chain, key) = own.unwrap_or_else(|| (self.chain.clone(), self.key.clone_key()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_client_cert_verifier(clients.allow_unauthenticated().build()?)
            .with_single_cert(chain, key)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Configuration of the dialling side.
    ///
    /// # Errors
    /// When key and certificate do not fit.
    pub fn client(&self, certificate: &Path) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// aws-lc-rs; with `prefer-post-quantum` X25519MLKEM768 leads its key exchanges.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads a chain, leaf first.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(path)
}

/// Reads a private key.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

/// Reads the CA certificates of one file into `roots`, and gives them.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn read_roots(path: &Path, roots: &mut RootCertStore) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(path)?;
    for root in &found {
        roots.add(root.clone()).map_err(|source| TlsError::Root { path: path.to_owned(), source })?;
    }
    Ok(found)
}

/// When the leaf of `chain` expires; `None` when it cannot be read.
pub(crate) fn expires_at(chain: &[CertificateDer<'_>]) -> Option<Timestamp> {
    let leaf = openssl::x509::X509::from_der(chain.first()?).ok()?;
    let since = openssl::asn1::Asn1Time::from_unix(0).ok()?.diff(leaf.not_after()).ok()?;
    Some(Timestamp::from_seconds(i64::from(since.days) * 86_400 + i64::from(since.secs)))
}

/// Whether `key` is the key of the leaf of `chain`.
///
/// # Errors
/// When it is not, or cannot be used.
pub(crate) fn check_pair(
    certificate: &Path,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), TlsError> {
    let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
    CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider()).map(drop).map_err(pair)
}

/// Whether `chain` leads to one of `roots`, as the other side will look at it. The times are not judged here.
///
/// # Errors
/// When it does not, or the roots can verify nobody.
pub(crate) fn check_chain(
    certificate: &Path,
    chain: &[CertificateDer<'static>],
    roots: RootCertStore,
    now: Timestamp,
) -> Result<(), TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let Some((leaf, intermediates)) = chain.split_first() else { return Ok(()) };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.seconds()).unwrap_or_default()));
    match verifier.verify_client_cert(leaf, intermediates, now) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => Ok(()),
        Err(source) => Err(TlsError::Chain { certificate: certificate.to_owned(), source }),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// Who is at the other end of a connection: known by certificate only; the directory says on every request which party that is.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// SHA-256 of its certificate.
    pub certificate: Digest,
    /// Its address.
    pub address: SocketAddr,
}

/// Bounds of the accept loop.
#[derive(Clone, Copy, Debug)]
pub struct AcceptBounds {
    /// Connections at the same time.
    pub connections: usize,
    /// Handshakes at the same time; when there are more, the oldest is dropped.
    pub handshakes: usize,
    /// Time for a handshake, and for the first byte after it.
    pub handshake_timeout: Duration,
}

impl AcceptBounds {
    /// As configured.
    pub fn new(tls: &Tls, limits: &Limits) -> Self {
        Self {
            connections: limits.connections,
            handshakes: limits.handshakes,
            handshake_timeout: tls.handshake_timeout,
        }
    }
}

/// Accepts connections until `closing`, and gives those whose handshake succeeded.
///
/// # Cancellation
/// Dropping the stream ends the loop.
pub fn accept(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    bounds: AcceptBounds,
    closing: CancellationToken,
) -> ReceiverStream<io::Result<DoorStream>> {
    accept_counted(listener, tls, bounds, DoorMetrics::default(), closing)
}

/// The same, counted in `metrics`.
pub fn accept_counted(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    bounds: AcceptBounds,
    metrics: DoorMetrics,
    closing: CancellationToken,
) -> ReceiverStream<io::Result<DoorStream>> {
    let (ready, incoming) = mpsc::channel(64);
    let acceptor = Acceptor {
        tls: TlsAcceptor::from(tls),
        bounds,
        metrics,
        places: Arc::new(Semaphore::new(bounds.connections)),
        ready,
        running: JoinSet::new(),
        started: VecDeque::new(),
    };
    tokio::spawn(acceptor.run(listener, closing));
    ReceiverStream::new(incoming)
}

struct Acceptor {
    tls: TlsAcceptor,
    bounds: AcceptBounds,
    metrics: DoorMetrics,
    places: Arc<Semaphore>,
    ready: mpsc::Sender<io::Result<DoorStream>>,
    running: JoinSet<()>,
    started: VecDeque<AbortHandle>,
}

/// Pause after the system had no file handle left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Acceptor {
    /// The handshakes belong to the loop: they end with it.
    async fn run(mut self, listener: TcpListener, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = self.ready.closed() => return,
                Some(_) = self.running.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => self.start(stream, address),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn start(&mut self, stream: TcpStream, address: SocketAddr) {
        if self.started.len() >= self.bounds.handshakes {
            self.started.retain(|handshake| !handshake.is_finished());
        }
        if self.started.len() >= self.bounds.handshakes
            && let Some(oldest) = self.started.pop_front()
        {
            oldest.abort();
            self.metrics.handshake(Handshake::Dropped);
        }
        let (tls, places, ready) = (self.tls.clone(), self.places.clone(), self.ready.clone());
        let (time_max, metrics) = (self.bounds.handshake_timeout, self.metrics.clone());
        let handshake = self.running.spawn(async move {
            match tokio::time::timeout(time_max, handshake(tls, stream)).await {
                Ok(Ok((stream, certificate))) => match Place::take(places, metrics.clone()) {
                    Some(place) => {
                        metrics.handshake(Handshake::Done);
                        let peer = Peer { certificate, address };
                        let first_byte = Some(Box::pin(tokio::time::sleep(time_max)));
                        // The receiver is gone only when the doors have closed.
                        drop(ready.send(Ok(DoorStream { stream, peer, first_byte, _place: place })).await);
                    }
                    None => {
                        metrics.handshake(Handshake::Crowded);
                        tracing::warn!(peer = %address, "the doors have no more places");
                    }
                },
                Ok(Err(error)) => {
                    metrics.handshake(Handshake::Refused);
                    tracing::debug!(peer = %address, %error, "a connection was refused");
                }
                Err(_) => {
                    metrics.handshake(Handshake::Late);
                    tracing::debug!(peer = %address, "a handshake took too long");
                }
            }
        });
        self.started.push_back(handshake);
    }
}

/// Shakes hands and gives the connection with the digest of the other side's certificate.
async fn handshake(tls: TlsAcceptor, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Digest)> {
    stream.set_nodelay(true)?;
    let stream = tls.accept(stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = leaf.map(|leaf| Digest::of(leaf)).ok_or_else(|| io::Error::other("no certificate"))?;
    Ok((stream, certificate))
}

/// A place among the connections; given back when it is dropped.
#[derive(Debug)]
struct Place {
    metrics: DoorMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn take(places: Arc<Semaphore>, metrics: DoorMetrics) -> Option<Self> {
        let permit = places.try_acquire_owned().ok()?;
        metrics.connected();
        Some(Self { metrics, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.disconnected();
    }
}

/// A connection that holds its place among the connections, and whose first byte has a deadline.
#[derive(Debug)]
pub struct DoorStream {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    first_byte: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl tonic::transport::server::Connected for DoorStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for DoorStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(deadline) = &mut self.first_byte {
            if read.is_ready() {
                self.first_byte = None;
            } else if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for DoorStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
