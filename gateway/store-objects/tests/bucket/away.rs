//! A store that cannot be used is refused with the setting's name, and one that goes away is told of in seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_store::parts::{PartError, PartStore as _};
use gateway_store_objects::{ObjectParts, OpenError, Options};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::server::{Killed, Server, now};
use crate::{bytes, desk, part, read, upload};

/// A person waits for it, and does not go for a coffee.
const SECONDS_MAX: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_names_the_setting_that_is_wrong() {
    let server = Server::start();
    let refused = |options: Options| async { server.try_open(options).await.err().unwrap().to_string() };
    let other = |change: fn(&mut Options)| {
        let mut options = server.options();
        change(&mut options);
        options
    };
    let told = refused(other(|options| options.secret_key = "another".to_owned())).await;
    assert!(told.contains("parts.secret_key"), "{told}");
    let told = refused(other(|options| options.access_key = "another".to_owned())).await;
    assert!(told.contains("parts.access_key"), "{told}");
    let told = refused(other(|options| options.bucket = "another".to_owned())).await;
    assert!(told.contains("parts.bucket"), "{told}");
    let told = refused(other(|options| options.endpoint = "http://127.0.0.1:1".to_owned())).await;
    assert!(told.contains("parts.endpoint"), "{told}");
    let told = refused(other(|options| options.roots = Some(b"no certificate".to_vec()))).await;
    assert!(told.contains("parts.roots"), "{told}");
    assert!(server.objects("probe").is_empty(), "a start leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_do_not_sweep_each_others_parts() {
    let server = Server::start();
    server.open().await;
    server.open().await;
    let other = Options { gateway: "gw-other".to_owned(), ..server.options() };
    let told = server.try_open(other.clone()).await.err().unwrap().to_string();
    assert!(told.contains("gw-hub") && told.contains("parts.prefix"), "{told}");
    server.try_open(Options { prefix: "other/parts".to_owned(), ..other }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_has_gone_is_told_of_in_seconds_and_used_again_when_it_is_back() {
    let server = Server::start();
    let parts = server.open().await;
    let bytes = bytes(1, 1000);
    upload(&*parts, &desk("a"), &bytes).await.unwrap();
    server.kill_after(0, Killed::Before);
    let began = Instant::now();
    let error = parts.check(&desk("a"), &[part(&bytes)]).await.unwrap_err();
    assert!(matches!(error, PartError::Unavailable { .. }), "{error:?}");
    assert!(parts.open(&part(&bytes).digest, 0).await.is_err());
    assert!(began.elapsed() < SECONDS_MAX, "{:?}", began.elapsed());
    server.restart();
    assert_eq!(read(&*parts, &part(&bytes).digest).await, bytes);
}

/// Takes connections and never says a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_store_is_given_up_on() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut taken = Vec::new();
        loop {
            taken.push(listener.accept().await);
        }
    });
    let began = Instant::now();
    let error = ObjectParts::open(Options::new("gw-hub", &endpoint, "b", "k", "s"), now).await.err().unwrap();
    assert!(matches!(error, OpenError::Away(_) | OpenError::Silent), "{error}");
    assert!(began.elapsed() < SECONDS_MAX, "{:?}", began.elapsed());
    silent.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_only_the_given_roots_are_trusted() {
    let (acceptor, roots) = tls();
    let server = Server::start_with(Some(acceptor));
    let parts = server.try_open(Options { roots: Some(roots), ..server.options() }).await.unwrap();
    let bytes = bytes(1, 1000);
    upload(&parts, &desk("a"), &bytes).await.unwrap();
    assert_eq!(read(&parts, &part(&bytes).digest).await, bytes);
    let (_, others) = tls();
    let refused = server.try_open(Options { roots: Some(others), ..server.options() }).await.err().unwrap();
    assert!(refused.to_string().contains("parts.roots"), "{refused}");
    let refused = server.try_open(server.options()).await.err().unwrap();
    assert!(matches!(refused, OpenError::Away(_)), "{refused}");
}

/// A server's side with a certificate for localhost, and the root that it hangs on.
fn tls() -> (TlsAcceptor, Vec<u8>) {
    let ladder = certs_dev::tls::TlsLadder::new(now().seconds() - 3_600).unwrap();
    let credential = ladder.issue("s3", &[]).unwrap();
    let chain = CertificateDer::pem_slice_iter(credential.chain_pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(credential.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    (TlsAcceptor::from(Arc::new(config)), ladder.authority().certificate_pem().into_bytes())
}
