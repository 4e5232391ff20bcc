//! HTTP as old systems do it: a server on one port, a client that posts JSON and fetches files.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Bytes of an answer, or of a fetched file.
const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Time for one call.
const CALL_TIME_MAX: Duration = Duration::from_secs(60);

/// A server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    serving: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Serves `router` at `address`; port 0 takes a free one.
    pub(crate) async fn start(address: SocketAddr, router: Router) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // A system that comes back takes its own address again at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener: TcpListener = socket.listen(64)?;
        let address = listener.local_addr()?;
        let stopping = CancellationToken::new();
        let stopped = stopping.clone();
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(async move { stopped.cancelled().await }).await
        });
        Ok(Self { address, stopping, serving: Some(serving) })
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends like a process that was killed: what is under way breaks off.
    pub(crate) async fn stop(mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            drop(serving.await);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.cancel();
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

/// Posts JSON; gives the status and the JSON of the answer, `null` when it is none.
pub(crate) async fn post(url: &str, body: &Value) -> io::Result<(StatusCode, Value)> {
    let (status, bytes) = call(Method::POST, url, body.to_string().into()).await?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}

/// Fetches a file.
pub(crate) async fn get(url: &str) -> io::Result<(StatusCode, Bytes)> {
    call(Method::GET, url, Bytes::new()).await
}

async fn call(method: Method, url: &str, body: Bytes) -> io::Result<(StatusCode, Bytes)> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(method).uri(url).header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Full::new(body)).map_err(io::Error::other)?;
    let exchange = async {
        let answer = client.request(request).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    };
    tokio::time::timeout(CALL_TIME_MAX, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, answer: &Value) -> Response {
    let mut response = Response::new(Body::from(answer.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The page that a proxy shows.
pub(crate) fn page() -> Response {
    let mut response = Response::new(Body::from("<html><body><h1>502 Bad Gateway</h1></body></html>"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// An answer that breaks off before its end.
pub(crate) fn broken_off() -> Response {
    let pieces: [io::Result<Bytes>; 2] = [Ok(Bytes::from_static(b"{\"data\"")), Err(io::Error::other("broken off"))];
    Response::new(Body::from_stream(stream::iter(pieces)))
}

/// A file, as it is.
pub(crate) fn file(bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    response
}
