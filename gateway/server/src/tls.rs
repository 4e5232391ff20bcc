//! The accept loop: TLS 1.3 with client certificates, every step bounded in time and number.

mod identity;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use gateway_model::Digest;
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

pub use identity::{Identity, TlsError};
pub(crate) use identity::{check_chain, check_pair, expires_at, read_chain, read_key, read_roots};

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
