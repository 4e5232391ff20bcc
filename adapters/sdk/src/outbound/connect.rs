//! Opens a connection: the name is resolved once, every address judged, and the connection made to a judged address and no other.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::{Reach, reach};
use super::fault::{ConnectRefused, bounded};
use super::origin::{AllowList, Allowed, Origin};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// Bytes of a proxy's answer to CONNECT.
const PROXY_ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Makes connections for the HTTP client.
#[derive(Clone)]
pub(super) struct Connector {
    pub allowed: Arc<AllowList>,
    pub tls: Option<Arc<ClientConfig>>,
    pub proxy: Option<Origin>,
    pub connect_time_max: Duration,
}

impl Connector {
    async fn connect(self, url: Uri) -> Result<TokioIo<Stream>, ConnectRefused> {
        let allowed = self.allowed.find(&url).map_err(|_| ConnectRefused::PrivateAddress)?;
        let opened = tokio::time::timeout(self.connect_time_max, self.open(allowed)).await;
        opened.map_err(|_| ConnectRefused::TimedOut)?.map(TokioIo::new)
    }

    async fn open(&self, allowed: &Allowed) -> Result<Stream, ConnectRefused> {
        let tcp = open_tcp(allowed, self.proxy.as_ref(), self.connect_time_max).await?;
        if !allowed.origin.is_https {
            return Ok(Stream::Plain(tcp));
        }
        let tls = self.tls.clone().ok_or_else(|| ConnectRefused::NotTrusted("no roots are configured".to_owned()))?;
        let name = ServerName::try_from(allowed.origin.host.clone())
            .map_err(|_| ConnectRefused::Unreachable("the host is no name".to_owned()))?;
        let stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(|fault| tls_refused(&fault))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// A TCP connection to a judged address of the origin, or through the proxy.
pub(crate) async fn open_tcp(
    allowed: &Allowed,
    proxy: Option<&Origin>,
    time_max: Duration,
) -> Result<TcpStream, ConnectRefused> {
    let tcp = match proxy {
        Some(proxy) => {
            // The proxy resolves the name; what the configuration says by address is judged here all the same.
            if let Some(address) = allowed.origin.address() {
                judge(&[SocketAddr::new(address, allowed.origin.port)], allowed.is_private)?;
            }
            let addresses = resolve(proxy).await?;
            tunnel(dial(&addresses, time_max).await?, &allowed.origin).await?
        }
        None => {
            let addresses = resolve(&allowed.origin).await?;
            judge(&addresses, allowed.is_private)?;
            dial(&addresses, time_max).await?
        }
    };
    tcp.set_nodelay(true).map_err(|fault| unreachable(&fault))?;
    Ok(tcp)
}

async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, ConnectRefused> {
    let found = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|fault| unreachable(&fault))?.take(ADDRESSES_MAX).collect();
    if addresses.is_empty() {
        return Err(ConnectRefused::Unreachable("the name has no address".to_owned()));
    }
    Ok(addresses)
}

/// One bad address among good ones condemns the name: whoever mixes them picks which one is used.
fn judge(addresses: &[SocketAddr], is_private: bool) -> Result<(), ConnectRefused> {
    let may_be_called = |address: &SocketAddr| match reach(address.ip()) {
        Reach::Public => true,
        Reach::Private => is_private,
        Reach::Never => false,
    };
    if addresses.iter().all(may_be_called) { Ok(()) } else { Err(ConnectRefused::PrivateAddress) }
}

/// Tries the addresses in turn; a silent one leaves time for the others.
async fn dial(addresses: &[SocketAddr], time_max: Duration) -> Result<TcpStream, ConnectRefused> {
    let share = time_max / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut last = ConnectRefused::TimedOut;
    for address in addresses {
        last = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(fault)) => unreachable(&fault),
            Err(_) => ConnectRefused::TimedOut,
        };
    }
    Err(last)
}

/// Asks the proxy for a tunnel (RFC 9110 section 9.3.6).
async fn tunnel(mut tcp: TcpStream, origin: &Origin) -> Result<TcpStream, ConnectRefused> {
    let place = origin.to_string();
    let place = place.split_once("://").map(|(_, place)| place).unwrap_or_default();
    let request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.map_err(|fault| unreachable(&fault))?;
    let mut answer = Vec::new();
    // Byte by byte: what comes after the empty line belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER_BYTES_MAX {
            return Err(ConnectRefused::Unreachable("the proxy's answer has no end".to_owned()));
        }
        answer.push(tcp.read_u8().await.map_err(|fault| unreachable(&fault))?);
    }
    let status = std::str::from_utf8(&answer).ok().and_then(|text| text.split(' ').nth(1)).unwrap_or_default();
    if status.len() == 3 && status.starts_with('2') {
        Ok(tcp)
    } else {
        Err(ConnectRefused::Unreachable(format!("the proxy answers with the status {}", bounded(status))))
    }
}

fn unreachable(fault: &io::Error) -> ConnectRefused {
    ConnectRefused::Unreachable(bounded(&fault.to_string()))
}

fn tls_refused(fault: &io::Error) -> ConnectRefused {
    let is_about_tls = fault.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if is_about_tls { ConnectRefused::NotTrusted(bounded(&fault.to_string())) } else { unreachable(fault) }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectRefused;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        Box::pin(self.clone().connect(url))
    }
}

/// A connection, with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
