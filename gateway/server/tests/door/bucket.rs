//! A gateway whose attachments lie in a bucket: a part goes through it, a store that is away is told of, a wrong setting is named.

use std::path::Path;
use std::time::Duration;

use gateway_server::app::App;
use gateway_server::check::{Ports, check_file};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::gateway::{Site, digest};
use crate::{LAND_OFFICE, SYSTEM, reason, submission, upload};

const SECRET: &str = "only-for-tests";

/// Serves the folder until the task is aborted.
async fn serve(folder: &Path, address: &str) -> (u16, JoinHandle<()>) {
    std::fs::create_dir_all(folder.join("hub")).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    builder.set_auth(SimpleAuth::from_single("gateway", SECRET));
    let (service, listener) = (builder.build(), TcpListener::bind(address).await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        // With the task all connections go.
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let service = service.clone();
            connections.spawn(async move {
                let served =
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
                tracing::debug!(?served, "a connection ended");
            });
        }
    });
    (port, serving)
}

/// A site that keeps its parts in the bucket of a store at this port.
fn site(port: u16) -> Site {
    let site = Site::new().with(&format!(
        "[parts]\nkind = \"s3\"\nendpoint = \"http://127.0.0.1:{port}\"\nplain_http = true\nbucket = \"hub\"\n\
         access_key = \"s3.id\"\nsecret_key = \"s3.key\"\n"
    ));
    std::fs::write(site.path("s3.id"), "gateway\n").unwrap();
    std::fs::write(site.path("s3.key"), format!("{SECRET}\n")).unwrap();
    site
}

fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path.display().to_string()),
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_goes_through_the_bucket_and_a_store_that_is_away_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let (port, serving) = serve(folder.path(), "127.0.0.1:0").await;
    let site = site(port);
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let (large, small) = (vec![7_u8; 3 << 20], b"small".to_vec());
    client.upload_part(upload(&large)).await.unwrap();
    let (id, envelope) = site.envelope(LAND_OFFICE, &[&large, &small]);
    let inline_parts = vec![v1::InlinePart { content: small.clone().into() }];
    client.submit(v1::SubmitRequest { envelope: Some(envelope), inline_parts }).await.unwrap();
    let watched = v1::WatchRequest { sender: "H99.12".to_owned(), envelope_id: id };
    let mut events = client.watch(watched).await.unwrap().into_inner();
    while events.message().await.unwrap().is_some() {}
    let delivered = files(&site.path("land-office/incoming"));
    let has = |bytes: &[u8]| delivered.iter().any(|file| std::fs::read(file).unwrap() == bytes);
    assert!(has(&large) && has(&small), "{delivered:?}");
    assert!(!site.path("data/parts").exists(), "nothing lies beside the store");
    assert!(files(folder.path()).iter().any(|file| file.contains("/piece/")));

    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    let refused = client.upload_part(upload(b"another")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned()), "{refused}");
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some_and(|wait| wait >= Duration::from_secs(1)));
    let (_, with) = site.envelope(LAND_OFFICE, &[&large]);
    let refused = client.submit(submission(with.clone())).await.unwrap_err();
    assert_eq!(reason(&refused), "STORE_UNAVAILABLE");
    let (_, without) = site.envelope(LAND_OFFICE, &[]);
    client.submit(submission(without)).await.unwrap();

    let (_, _serving) = serve(folder.path(), &format!("127.0.0.1:{port}")).await;
    client.submit(submission(with)).await.unwrap();
    let ask = v1::MissingPartsRequest { sha256: vec![digest(&large)] };
    assert!(client.missing_parts(ask).await.unwrap().into_inner().missing.is_empty());
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_wrong_bucket_or_key_names_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _serving) = serve(folder.path(), "127.0.0.1:0").await;
    let site = site(port);
    let told = |text: String| async {
        let file = site.path("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let config = gateway_server::config::Config::load(&file, []).unwrap();
        App::start(config).await.err().unwrap().to_string()
    };
    let text = site.config_text();
    let other = told(text.replace("bucket = \"hub\"", "bucket = \"hob\"")).await;
    assert!(other.contains("parts.bucket"), "{other}");
    std::fs::write(site.path("s3.key"), "another\n").unwrap();
    let other = told(text.clone()).await;
    assert!(other.contains("parts.secret_key"), "{other}");
    std::fs::remove_file(site.path("s3.id")).unwrap();
    let other = told(text.clone()).await;
    assert!(other.contains("parts.access_key") && other.contains("s3.id"), "{other}");
    std::fs::write(site.path("s3.key"), "two words\n").unwrap();
    let found = check_file(
        &site.path("gateway.toml"),
        [],
        Ports::Skip,
        gateway_model::Timestamp::from_seconds(crate::gateway::now()),
    );
    let keys: Vec<&str> = found.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["parts.access_key", "parts.secret_key"], "{found:#?}");
    assert!(found.iter().all(|fault| fault.line.is_some() && !fault.problem.contains("two words")), "{found:#?}");
}
