//! An S3-compatible server on a socket of its own, which checks signatures and can be killed between any two requests.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use gateway_model::Timestamp;
use gateway_store_objects::{ObjectParts, OpenError, Options};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Short: the server makes names of files of it and of the names of objects.
pub const BUCKET: &str = "hub";
pub const ACCESS_KEY: &str = "gateway";
pub const SECRET_KEY: &str = "only-for-tests";

/// A server and its folder. It serves for as long as the runtime of the test.
pub struct Server {
    pub folder: TempDir,
    address: SocketAddr,
    control: Arc<Control>,
    is_https: bool,
}

/// What goes on in it.
struct Control {
    /// Requests until it is killed.
    left: AtomicI64,
    /// The request that kills it: whether it has its effect before.
    has_effect: AtomicBool,
}

/// Which request a killed server still does, without answering it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Killed {
    Before,
    After,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    pub fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let left = AtomicI64::new(i64::MAX);
        let control = Arc::new(Control { left, has_effect: false.into() });
        let is_https = tls.is_some();
        tokio::spawn(accept(TcpListener::from_std(listener).unwrap(), builder.build(), control.clone(), tls));
        Self { folder, address, control, is_https }
    }

    pub fn options(&self) -> Options {
        let scheme = if self.is_https { "https" } else { "http" };
        let endpoint = format!("{scheme}://localhost:{}", self.address.port());
        Options { list_every: Duration::ZERO, ..Options::new("gw-hub", &endpoint, BUCKET, ACCESS_KEY, SECRET_KEY) }
    }

    /// A node.
    pub async fn open(&self) -> Arc<ObjectParts> {
        Arc::new(self.try_open(self.options()).await.unwrap())
    }

    pub async fn try_open(&self, options: Options) -> Result<ObjectParts, OpenError> {
        ObjectParts::open(options, now).await
    }

    /// From the request after the next `requests` on nothing is answered.
    pub fn kill_after(&self, requests: usize, killed: Killed) {
        self.control.has_effect.store(killed == Killed::After, Ordering::SeqCst);
        self.control.left.store(i64::try_from(requests).unwrap(), Ordering::SeqCst);
    }

    pub fn restart(&self) {
        self.control.left.store(i64::MAX, Ordering::SeqCst);
    }

    /// Whether it was killed since the last start.
    pub fn is_killed(&self) -> bool {
        self.control.left.load(Ordering::SeqCst) < 0
    }

    /// Names of all objects whose name has `what` in it.
    pub fn objects(&self, what: &str) -> Vec<String> {
        let root = self.folder.path().join(BUCKET);
        let mut names = Vec::new();
        each_file(&root, &mut |path| names.push(path.strip_prefix(&root).unwrap().display().to_string()));
        names.retain(|name| name.contains(what));
        names.sort();
        names
    }

    /// Makes everything look as if it had been put this much earlier.
    pub fn age(&self, span: Duration) {
        each_file(&self.folder.path().join(BUCKET), &mut |path| {
            let file = std::fs::File::options().append(true).open(path).unwrap();
            file.set_modified(file.metadata().unwrap().modified().unwrap() - span).unwrap();
        });
    }
}

/// The time of this machine, which is the server's too.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

fn each_file(folder: &Path, act: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { each_file(&path, act) } else { act(&path) }
    }
}

async fn accept(listener: TcpListener, service: S3Service, control: Arc<Control>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let (service, control, tls) = (service.clone(), control.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                // Who does not trust the server goes away.
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        serve(socket, service, control).await;
                    }
                }
                None => serve(socket, service, control).await,
            }
        });
    }
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: S3Service,
    control: Arc<Control>,
) {
    let one = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (service, control) = (service.clone(), control.clone());
        async move {
            let left = control.left.fetch_sub(1, Ordering::SeqCst);
            if left < 0 || (left == 0 && !control.has_effect.load(Ordering::SeqCst)) {
                return Err("killed");
            }
            let answer = service.call(request.map(s3s::Body::from)).await.map_err(|_| "failed");
            if left == 0 { Err("killed") } else { answer }
        }
    });
    // A client that goes away, or a killed server, ends the connection.
    let _: Result<(), hyper::Error> =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), one).await;
}
