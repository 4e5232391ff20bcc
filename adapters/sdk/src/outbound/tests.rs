//! Calls over real sockets to servers that behave as badly as they like.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use certs_dev::tls::TlsLadder;
use gateway_model::Digest;
use http::{Method, Uri};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server that answers each connection by hand.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Reads a head, then writes `answer` and closes.
    async fn saying(answer: impl Into<Bytes>) -> Self {
        let answer = answer.into();
        Self::handling(move |mut stream| {
            let answer = answer.clone();
            async move {
                read_head(&mut stream).await;
                let written = stream.write_all(&answer).await;
                drop((written, stream.shutdown().await));
            }
        })
        .await
    }

    async fn handling<F, W>(handle: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                open.spawn(handle(stream));
            }
        });
        Self { port, connections, task }
    }

    fn url(&self, path: &str) -> Uri {
        format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn bounds() -> OutboundBounds {
    OutboundBounds { idle_time_max: Duration::from_millis(400), ..OutboundBounds::default() }
}

fn settings(origins: &[&str], is_private: bool) -> OutboundSettings {
    let allowed = origins.iter().map(|text| Allowed { origin: Origin::parse(text).unwrap(), is_private }).collect();
    OutboundSettings {
        allowed: AllowList::new(allowed),
        roots_pem: None,
        identity: None,
        proxy: None,
        bounds: bounds(),
    }
}

fn client_for(server: &Server) -> Outbound {
    Outbound::new(settings(&[&format!("http://127.0.0.1:{}", server.port)], true)).unwrap()
}

async fn fetch(client: &Outbound, url: Uri, bytes_max: u64) -> Result<Bytes, OutboundError> {
    client.send(Request::new(Method::GET, url)).await?.success()?.collect(bytes_max).await
}

#[tokio::test]
async fn an_answer_comes_with_status_headers_and_body() {
    let server =
        Server::saying("HTTP/1.1 201 Created\r\nx-a: b\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nok").await;
    let answer = client_for(&server).send(Request::new(Method::GET, server.url("/x"))).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.headers["x-a"].to_str().unwrap()), (201, "b"));
    assert_eq!(answer.retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(answer.collect(10).await.unwrap(), "ok");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_follows_it() {
    let other = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", other.url("/secret"));
    let server = Server::saying(redirect).await;
    let origins = [&server, &other].map(|server| format!("http://127.0.0.1:{}", server.port));
    let client = Outbound::new(settings(&[&origins[0], &origins[1]], true)).unwrap();
    let fault = fetch(&client, server.url("/"), 10).await.unwrap_err();
    assert!(matches!(fault, OutboundError::Status(302)) && !fault.is_retryable());
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn what_is_not_listed_is_not_called() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let client = Outbound::new(settings(&["http://127.0.0.1:1"], true)).unwrap();
    let fault = fetch(&client, server.url("/"), 10).await.unwrap_err();
    assert!(matches!(fault, OutboundError::NotAllowed { .. }), "{fault:?}");
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_listed_origin_in_a_private_network_is_not_called_unless_it_is_listed_as_private() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    // By address, by an address inside of an address, and by a name that leads here.
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost"] {
        let origin = format!("http://{host}:{}", server.port);
        let client = Outbound::new(settings(&[&origin], false)).unwrap();
        let fault = fetch(&client, origin.parse().unwrap(), 10).await.unwrap_err();
        assert!(matches!(fault, OutboundError::PrivateAddress { .. }) && !fault.is_retryable(), "{host}: {fault:?}");
    }
    assert_eq!(server.connections(), 0);
    let origin = format!("http://localhost:{}", server.port);
    let client = Outbound::new(settings(&[&origin], true)).unwrap();
    fetch(&client, origin.parse().unwrap(), 10).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_metadata_service_is_never_called_even_when_listed() {
    let origin = "http://169.254.169.254";
    let client = Outbound::new(settings(&[origin], true)).unwrap();
    let fault = fetch(&client, origin.parse().unwrap(), 10).await.unwrap_err();
    assert!(matches!(fault, OutboundError::PrivateAddress { .. }), "{fault:?}");
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_bound_and_a_body_that_says_so_is_not_begun() {
    let endless = Server::handling(|mut stream| async move {
        read_head(&mut stream).await;
        let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while written.is_ok() {
            written = stream.write_all(&[b'x'; 4096]).await;
        }
    })
    .await;
    let fault = fetch(&client_for(&endless), endless.url("/"), 100_000).await.unwrap_err();
    assert!(matches!(fault, OutboundError::TooLarge { bytes_max: 100_000, .. }), "{fault:?}");
    let honest = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 100001\r\n\r\n").await;
    let fault = fetch(&client_for(&honest), honest.url("/"), 100_000).await.unwrap_err();
    assert!(matches!(fault, OutboundError::TooLarge { .. }), "{fault:?}");
}

#[tokio::test]
async fn a_body_exactly_at_the_bound_is_taken_and_its_digest_computed() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd").await;
    let mut kept = Vec::new();
    let answer = client_for(&server).send(Request::new(Method::GET, server.url("/"))).await.unwrap();
    let received = answer.copy_to(&mut kept, 4).await.unwrap();
    assert_eq!((received.size, received.digest), (4, Digest::of(b"abcd")));
    assert_eq!(kept, b"abcd");
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_refused() {
    let many = "HTTP/1.1 200 OK\r\n".to_owned() + &"x: y\r\n".repeat(200) + "\r\n";
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    for head in [many, long] {
        let server = Server::saying(head).await;
        let fault = fetch(&client_for(&server), server.url("/"), 10).await.unwrap_err();
        assert!(matches!(fault, OutboundError::TooLarge { bytes_max: 65_536, .. }), "{fault:?}");
    }
}

#[tokio::test]
async fn silence_ends_a_call_before_the_head_and_inside_the_body() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"] {
        let server = Server::handling(move |mut stream| async move {
            read_head(&mut stream).await;
            drop(stream.write_all(head.as_bytes()).await);
            std::future::pending::<()>().await;
        })
        .await;
        let fault = fetch(&client_for(&server), server.url("/"), 100).await.unwrap_err();
        assert!(matches!(fault, OutboundError::TimedOut { .. }) && fault.is_retryable(), "{head}: {fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_drips_is_cut_at_the_whole_time_although_it_is_never_idle() {
    let server = Server::handling(|mut stream| async move {
        read_head(&mut stream).await;
        let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while written.is_ok() {
            // The server is slow by design: one byte at a time.
            tokio::time::sleep(Duration::from_millis(20)).await;
            written = stream.write_all(b"x").await;
        }
    })
    .await;
    let mut request = Request::new(Method::GET, server.url("/"));
    request.time_max = Some(Duration::from_millis(600));
    let begun = Instant::now();
    let fault = client_for(&server).send(request).await.unwrap().collect(1 << 20).await.unwrap_err();
    assert!(matches!(fault, OutboundError::TimedOut { .. }), "{fault:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_breaks_off_or_is_no_http_is_told_apart() {
    let gone = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
    let fault = fetch(&client_for(&gone), gone.url("/"), 100).await.unwrap_err();
    assert!(matches!(fault, OutboundError::Unreachable { .. }) && fault.is_retryable(), "{fault:?}");
    let mute = Server::saying("").await;
    let fault = fetch(&client_for(&mute), mute.url("/"), 100).await.unwrap_err();
    assert!(matches!(fault, OutboundError::Unreachable { .. }), "{fault:?}");
    let other = Server::saying("SSH-2.0-OpenSSH_9.2\r\n").await;
    let fault = fetch(&client_for(&other), other.url("/"), 100).await.unwrap_err();
    assert!(matches!(fault, OutboundError::Malformed { .. }), "{fault:?}");
    let closed = Outbound::new(settings(&["http://127.0.0.1:1"], true)).unwrap();
    let fault = fetch(&closed, "http://127.0.0.1:1/".parse().unwrap(), 100).await.unwrap_err();
    assert!(matches!(fault, OutboundError::Unreachable { .. }), "{fault:?}");
}

#[tokio::test]
async fn a_streamed_body_is_sent_whole_with_its_length() {
    let server = Server::handling(|mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.contains("content-length: 300000\r\n"), "{head}");
        let mut body = vec![0; 300_000];
        stream.read_exact(&mut body).await.unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n{}", Digest::of(&body));
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let mut request = Request::new(Method::PUT, server.url("/"));
    request.body = RequestBody::Stream { reader: Box::new(std::io::Cursor::new(bytes.clone())), size: 300_000 };
    let answer = client_for(&server).send(request).await.unwrap().collect(100).await.unwrap();
    assert_eq!(answer, Digest::of(&bytes).to_string());
    let mut short = Request::new(Method::PUT, server.url("/"));
    short.body = RequestBody::Stream { reader: Box::new(&b"abc"[..]), size: 300_000 };
    let fault = client_for(&server).send(short).await.err().unwrap();
    assert!(matches!(fault, OutboundError::Local(_)), "{fault:?}");
}

#[test]
fn https_is_denied_without_roots() {
    let fault = Outbound::new(settings(&["https://land.example"], false)).unwrap_err();
    assert!(matches!(fault, OutboundSetupError::RootsMissing { .. }));
}

#[tokio::test]
async fn https_trusts_the_configured_roots_alone_and_shows_the_certificate() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let (ladder, stranger) = (TlsLadder::new(now - 86_400).unwrap(), TlsLadder::new(now - 86_400).unwrap());
    let (server, port) = tls_server(&ladder).await;
    let origin = format!("https://localhost:{port}");
    let identity = ladder.issue("client", &[]).unwrap();
    let identity =
        Identity { certificate_pem: identity.certificate_pem.into_bytes(), key_pem: identity.key_pem.into_bytes() };
    let call = |roots: String, identity: Option<Identity>, origin: String| async move {
        let roots_pem = Some(roots.into_bytes());
        let client = Outbound::new(OutboundSettings { roots_pem, identity, ..settings(&[&origin], true) }).unwrap();
        fetch(&client, origin.parse().unwrap(), 100).await
    };
    let good = ladder.authority().certificate_pem();
    let answer = call(good.clone(), Some(identity.clone()), origin.clone()).await.unwrap();
    assert_eq!(answer, "ok");
    let strange = stranger.authority().certificate_pem();
    let fault = call(strange, Some(identity.clone()), origin.clone()).await.unwrap_err();
    assert!(matches!(fault, OutboundError::NotTrusted { .. }) && fault.is_retryable(), "{fault:?}");
    let other_name = format!("https://127.0.0.2:{port}");
    let fault = call(good.clone(), Some(identity), other_name).await.unwrap_err();
    assert!(matches!(fault, OutboundError::NotTrusted { .. }), "the certificate is for another name: {fault:?}");
    assert!(call(good, None, origin).await.is_err(), "without a certificate of ours");
    server.abort();
}

async fn tls_server(ladder: &TlsLadder) -> (tokio::task::JoinHandle<()>, u16) {
    let own = ladder.issue("server", &["localhost"]).unwrap();
    let chain = CertificateDer::pem_slice_iter(own.certificate_pem.as_bytes()).map(|c| c.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(ladder.authority().certificate_der().to_vec())).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            read_head(&mut stream).await;
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await);
            drop(stream.shutdown().await);
        }
    });
    (task, port)
}

#[tokio::test]
async fn a_configured_proxy_is_asked_for_a_tunnel_and_its_refusal_is_told() {
    let target = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let place = format!("127.0.0.1:{}", target.port);
    let proxy = Server::handling(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let place = head.split(' ').nth(1).unwrap().to_owned();
        if place.ends_with(":1") {
            drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await);
            return;
        }
        let mut onward = TcpStream::connect(place).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut stream, &mut onward).await);
    })
    .await;
    let through = |origin: &str| OutboundSettings {
        proxy: Origin::parse(&format!("http://127.0.0.1:{}", proxy.port)),
        ..settings(&[origin], true)
    };
    let client = Outbound::new(through(&format!("http://{place}"))).unwrap();
    assert_eq!(fetch(&client, target.url("/"), 10).await.unwrap(), "ok");
    assert_eq!(proxy.connections(), 1);
    let client = Outbound::new(through("http://127.0.0.1:1")).unwrap();
    let fault = fetch(&client, "http://127.0.0.1:1/".parse().unwrap(), 10).await.unwrap_err();
    assert!(matches!(&fault, OutboundError::Unreachable { cause, .. } if cause.contains("403")), "{fault:?}");
}
