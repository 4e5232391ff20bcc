//! Connections to the store: explicit roots, everything bounded in time and size.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{StatusCode, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::NoRoom;
use crate::objects::PIECE_BYTES;

/// For a connection, TLS included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(3);
/// For an answer to begin, the sending of a piece included; and for each stretch of its body.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Connections kept open.
const IDLE_CONNECTIONS_MAX: usize = 32;
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// A piece, or a page of a list, is the largest answer.
const BODY_BYTES_MAX: u64 = 2 * PIECE_BYTES as u64;
/// What the store says when it is full.
const FULL: StatusCode = StatusCode::INSUFFICIENT_STORAGE;

/// Makes the client that `object_store` sends its requests with.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// Trusts `roots` alone; without them there is no https.
    ///
    /// # Errors
    /// When a TLS client cannot be made.
    pub(crate) fn new(roots: Option<RootCertStore>) -> Result<Self, rustls::Error> {
        let Some(roots) = roots else { return Ok(Self { tls: None }) };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Some(Arc::new(config)) })
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<Stream>> {
        let opened = tokio::time::timeout(CONNECT_TIME_MAX, self.open(&uri)).await;
        opened.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))?.map(TokioIo::new)
    }

    async fn open(&self, uri: &Uri) -> io::Result<Stream> {
        let is_https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tcp =
            TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(if is_https { 443 } else { 80 }))).await?;
        tcp.set_nodelay(true)?;
        if !is_https {
            return Ok(Stream::Plain(tcp));
        }
        let tls = self.tls.clone().ok_or_else(|| io::Error::other("no roots are configured"))?;
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(TlsConnector::from(tls).connect(name, tcp).await?)))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(self.clone());
        Ok(HttpClient::new(Requests(client)))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

#[derive(Debug)]
struct Requests(Client<Connector, HttpRequestBody>);

#[async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let late = |_| HttpError::new(HttpErrorKind::Timeout, io::Error::from(io::ErrorKind::TimedOut));
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.0.request(request)).await.map_err(late)?;
        let (head, body) = answer.map_err(of_call)?.into_parts();
        if head.status == FULL {
            return Err(HttpError::new(HttpErrorKind::Unknown, NoRoom));
        }
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(Bounded::new(body))))
    }
}

fn of_call(error: hyper_util::client::legacy::Error) -> HttpError {
    if error.is_connect() {
        return HttpError::new(HttpErrorKind::Connect, error);
    }
    let from_hyper = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    let is_parse = from_hyper.is_some_and(hyper::Error::is_parse);
    HttpError::new(if is_parse { HttpErrorKind::Decode } else { HttpErrorKind::Interrupted }, error)
}

/// The body of an answer, which may neither stop nor go on for ever.
struct Bounded {
    body: Incoming,
    left: u64,
    silence: Pin<Box<Sleep>>,
}

impl Bounded {
    fn new(body: Incoming) -> Self {
        Self { body, left: BODY_BYTES_MAX, silence: Box::pin(tokio::time::sleep(ANSWER_TIME_MAX)) }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            ready!(this.silence.as_mut().poll(cx));
            let silent = io::Error::from(io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, silent))));
        };
        this.silence.as_mut().reset(Instant::now() + ANSWER_TIME_MAX);
        let Some(frame) = frame else { return Poll::Ready(None) };
        let frame = frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        if bytes > this.left {
            let long = io::Error::new(io::ErrorKind::FileTooLarge, "the answer is longer than any");
            return Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Decode, long))));
        }
        this.left -= bytes;
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection, with or without TLS.
pub(crate) enum Stream {
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
