//! The gateway that the kit plays: `AdapterService` over real mutual TLS, on this machine.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use proto::v1::adapter_service_server::AdapterServiceServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::Trouble;
use service::Door;

mod newer;
pub mod service;
pub mod stage;
mod words;

/// The gateway, listening or away.
pub struct Gateway {
    door: Door,
    address: SocketAddr,
    newer: bool,
    away: CancellationToken,
    /// Connections that came while it was away, and were closed at once.
    knocks: Arc<AtomicU32>,
}

impl Gateway {
    /// Listens on a port of its own. A `newer` gateway speaks with fields that today's adapters do not know.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(door: Door, newer: bool) -> Result<Self, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Trouble::Network)?;
        let address = listener.local_addr().map_err(Trouble::Network)?;
        let mut gateway =
            Self { door, address, newer, away: CancellationToken::new(), knocks: Arc::new(AtomicU32::new(0)) };
        gateway.serve(listener);
        Ok(gateway)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Breaks every connection and takes no other, as a gateway that is away behind a load balancer that is not.
    ///
    /// # Errors
    /// When the port cannot be taken again.
    pub async fn leave(&mut self) -> Result<(), Trouble> {
        self.away.cancel();
        let listener = self.listen_again().await?;
        self.away = CancellationToken::new();
        let (away, knocks) = (self.away.clone(), self.knocks.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = away.cancelled() => return,
                    accepted = listener.accept() => if accepted.is_ok() { knocks.fetch_add(1, Ordering::Relaxed); },
                }
            }
        });
        Ok(())
    }

    /// Listens again and knows no worker any more.
    ///
    /// # Errors
    /// When the port cannot be taken again.
    pub async fn come_back(&mut self) -> Result<(), Trouble> {
        self.away.cancel();
        let listener = self.listen_again().await?;
        self.away = CancellationToken::new();
        self.door.stage.change(stage::State::forget_workers);
        self.serve(listener);
        Ok(())
    }

    /// Connections that came while it was away.
    pub fn knocks(&self) -> u32 {
        self.knocks.load(Ordering::Relaxed)
    }

    async fn listen_again(&self) -> Result<TcpListener, Trouble> {
        // The task that had the port lets it go as soon as it runs.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
        loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => return Ok(listener),
                Err(cause) if tokio::time::Instant::now() >= deadline => return Err(Trouble::Network(cause)),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    }

    fn serve(&mut self, listener: TcpListener) {
        let (streams, incoming) = mpsc::channel::<Result<Secured, std::io::Error>>(16);
        let (away, acceptor) = (self.away.clone(), TlsAcceptor::from(self.door.identity.tls.clone()));
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = away.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((tcp, _)) = accepted else { continue };
                let (streams, acceptor, away) = (streams.clone(), acceptor.clone(), away.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        let broken = Box::pin(away.cancelled_owned());
                        // When nobody takes it any more the gateway is away, and the connection ends here.
                        streams.send(Ok(Secured { stream, broken, is_broken: false })).await.ok();
                    }
                });
            }
        });
        let incoming = ReceiverStream::new(incoming);
        let service = newer::Speech::new(AdapterServiceServer::new(self.door.clone()), self.newer);
        tokio::spawn(async move {
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await
        });
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.away.cancel();
    }
}

/// A TLS stream that tonic takes and the kit can break.
struct Secured {
    stream: TlsStream<TcpStream>,
    broken: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
    is_broken: bool,
}

impl Connected for Secured {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        use std::future::Future as _;
        if self.is_broken || self.broken.as_mut().poll(cx).is_ready() {
            self.is_broken = true;
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.is_broken {
            return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
