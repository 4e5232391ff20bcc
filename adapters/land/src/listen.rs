//! The adapter's own HTTP listener: bounded connections, a bounded head, and a shared code that is compared in constant time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::AdapterError;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use gateway_model::Digest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::disk;

/// Connections at one time; what comes beyond waits to be accepted.
const CONNECTIONS_MAX: usize = 128;
/// Time for the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// Time for one connection, with all its requests: nobody keeps a place by reading slowly.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(900);
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time for the requests under way when the gateway drains.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// Characters of a shared code, at least: fewer could be tried out.
const CODE_CHARS_MIN: usize = 16;
/// Bytes of a file with a shared code.
const CODE_BYTES_MAX: u64 = 512;

/// A bound address that is served whenever the gateway lets it.
pub(crate) struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; connections wait until [`Listener::serve`].
    ///
    /// # Errors
    /// When it is taken or not ours.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, AdapterError> {
        let failed = |fault: std::io::Error| AdapterError::Other(format!("cannot listen on {address}: {fault}"));
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `closed`, then lets the requests under way finish for a while.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub(crate) async fn serve(
        &self,
        router: Router,
        closed: impl Future<Output = ()> + Send,
    ) -> Result<(), AdapterError> {
        let failed = |fault: std::io::Error| AdapterError::Other(format!("cannot listen: {fault}"));
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).map_err(failed)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let stopping = tokio_util::sync::CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut closed = std::pin::pin!(closed);
        loop {
            while connections.try_join_next().is_some() {}
            let place = tokio::select! {
                () = &mut closed => break,
                place = places.clone().acquire_owned() => place,
            };
            let stream = tokio::select! {
                () = &mut closed => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = stream else {
                // Out of file descriptors, most likely: accepting again at once would only spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (service, stopping) = (TowerToHyperService::new(router.clone()), stopping.clone());
            connections.spawn(async move {
                let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
                builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX).max_buf_size(64 * 1024);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                let mut connection = std::pin::pin!(connection);
                let served = tokio::select! {
                    served = connection.as_mut() => served,
                    () = tokio::time::sleep(CONNECTION_TIME_MAX) => return,
                    () = stopping.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                };
                if let Err(fault) = served {
                    tracing::debug!(%fault, "a connection to the adapter broke off");
                }
                drop(place);
            });
        }
        stopping.cancel();
        let all = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_TIME_MAX, all).await.is_err() {
            connections.shutdown().await;
        }
        Ok(())
    }
}

/// A code that a caller has to know. Only its digest is kept, and nothing shows it.
#[derive(Clone)]
pub(crate) struct SharedCode(Digest);

impl SharedCode {
    /// Reads the code from the first line of a file.
    ///
    /// # Errors
    /// When there is none, or one that could be tried out.
    pub(crate) fn read(path: &Path) -> Result<Self, AdapterError> {
        read_code(path).map(|code| Self(Digest::of(code.as_bytes())))
    }

    /// Whether `code` is it; takes the same time whatever is different.
    pub(crate) fn fits(&self, code: &str) -> bool {
        verify_slices_are_equal(&self.0.0, &Digest::of(code.as_bytes()).0).is_ok()
    }
}

impl std::fmt::Debug for SharedCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedCode")
    }
}

/// The code in a file: its first line.
pub(crate) fn read_code(path: &Path) -> Result<String, AdapterError> {
    let bytes = disk::read(path, CODE_BYTES_MAX)?;
    let wrong = |problem: &str| AdapterError::Other(format!("{}: {problem}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no text"))?;
    let code = text.lines().next().unwrap_or_default().trim();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if code.len() < CODE_CHARS_MIN || !code.bytes().all(fits) {
        return Err(wrong("holds no code of at least 16 letters, digits and -._~ on its first line"));
    }
    Ok(code.to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_code_is_read_from_its_file_fits_only_itself_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        std::fs::write(&path, "hai-tram-linh-mot-9f\nsecond line\n").unwrap();
        let code = SharedCode::read(&path).unwrap();
        assert!(code.fits("hai-tram-linh-mot-9f"));
        for wrong in ["", "hai-tram-linh-mot-9", "hai-tram-linh-mot-9f\n", "HAI-TRAM-LINH-MOT-9F"] {
            assert!(!code.fits(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{code:?}"), "SharedCode");
        for bad in ["short", "", "has spaces inside of it", "có dấu tiếng Việt trong mã"] {
            std::fs::write(&path, bad).unwrap();
            let told = SharedCode::read(&path).unwrap_err().to_string();
            assert!(told.contains("16 letters") && (bad.is_empty() || !told.contains(bad)), "{told}");
        }
    }

    #[tokio::test]
    async fn a_caller_that_says_nothing_does_not_keep_others_out_and_serving_ends_when_told() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address();
        let router = Router::new().route("/x", axum::routing::get(|| async { "here" }));
        let (close, closed) = tokio::sync::oneshot::channel::<()>();
        let serving = listener.serve(router, async { drop(closed.await) });
        let calling = async {
            let silent = tokio::net::TcpStream::connect(address).await.unwrap();
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("here"), "{answer}");
            drop(close);
            drop(silent);
        };
        let (served, ()) = tokio::join!(serving, calling);
        served.unwrap();
        assert!(Listener::bind(address).is_err(), "the address stays ours until the adapter ends");
    }
}
