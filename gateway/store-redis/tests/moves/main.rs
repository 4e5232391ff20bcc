//! Moving a store out and in, checking it, and making its indexes anew: on a real Redis, with the golden stores of the embedded kind as what moves.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../server/mod.rs"]
mod server;

mod damage;
mod going_on;
mod moving;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use gateway_store::archive::{Incoming, MoveError, Reader, Record, Writer};
use gateway_store_conformance::fixture::{OURS, log_signer};
use gateway_store_redis::{Offline, OpenOptions, Server};
use server::Redis;
use tempfile::TempDir;
use tokio::sync::mpsc;

/// The newest golden store of the embedded kind.
const NEWEST: u32 = 3;
/// Records under way.
const UNDER_WAY: usize = 4;

static PREFIXES: AtomicU64 = AtomicU64::new(0);
static REDIS: Mutex<Weak<Redis>> = Mutex::new(Weak::new());

/// A place of its own in a Redis that tests share.
struct Place {
    redis: Arc<Redis>,
    prefix: String,
}

impl Place {
    fn new() -> Self {
        let prefix = format!("move-{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
        Self { redis: server::shared(&REDIS, Redis::durable), prefix }
    }

    fn options(&self) -> OpenOptions {
        server::options(Server::single(self.redis.address()), &self.prefix, log_signer(OURS))
    }

    /// A key of the store.
    fn key(&self, name: &str) -> String {
        format!("{}:{{{OURS}}}:{name}", self.prefix)
    }

    fn ask(&self, words: &[&str]) -> redis::Value {
        self.redis.ask(words)
    }

    async fn offline(&self) -> Offline {
        Offline::open(&self.options(), "check").await.unwrap()
    }

    async fn import(&self, bytes: &[u8]) -> Result<(), MoveError> {
        import(&self.options(), bytes).await
    }

    async fn export(&self) -> Vec<u8> {
        export(&self.options()).await
    }

    /// Everything that a check finds.
    async fn findings(&self) -> Vec<String> {
        let offline = self.offline().await;
        let report = offline.check().await.unwrap();
        offline.close().await;
        report.findings.iter().map(|found| format!("{} {}", found.code.code(), found.place)).collect()
    }
}

/// Moves a store in.
async fn import(options: &OpenOptions, bytes: &[u8]) -> Result<(), MoveError> {
    let offline = Offline::open(options, "import").await.unwrap();
    let mut from = read(bytes.to_vec());
    let imported = offline.import(&mut from).await;
    offline.close().await;
    imported
}

/// Moves a store out.
async fn export(options: &OpenOptions) -> Vec<u8> {
    let offline = Offline::open(options, "export").await.unwrap();
    let (to, from) = mpsc::channel(UNDER_WAY);
    let (exported, bytes) = tokio::join!(
        async {
            let exported = offline.export(&to).await;
            drop(to);
            exported
        },
        write(from)
    );
    offline.close().await;
    exported.unwrap();
    bytes
}

async fn write(mut from: mpsc::Receiver<Record>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    while let Some(record) = from.recv().await {
        writer.write(&record).unwrap();
    }
    writer.finish().unwrap().0
}

/// The records of an archive, as they are read by a thread of its own.
fn read(bytes: Vec<u8>) -> mpsc::Receiver<Incoming> {
    let (to, from) = mpsc::channel(UNDER_WAY);
    tokio::task::spawn_blocking(move || {
        let mut reader = match Reader::new(&bytes[..]) {
            Ok(reader) => reader,
            Err(error) => return drop(to.blocking_send(Err(error))),
        };
        loop {
            let record = reader.read();
            let is_last = !matches!(record, Ok(Some(_)));
            if to.blocking_send(record).is_err() || is_last {
                return;
            }
        }
    });
    from
}

async fn export_embedded(folder: &Path) -> Vec<u8> {
    let (to, from) = mpsc::channel(UNDER_WAY);
    let folder = folder.to_owned();
    let key = log_signer(OURS).verifier().clone();
    let exporting = tokio::task::spawn_blocking(move || gateway_store_embedded::export(&folder, &key, &to));
    let bytes = write(from).await;
    exporting.await.unwrap().unwrap();
    bytes
}

async fn import_embedded(folder: &Path, bytes: &[u8]) -> Result<(), MoveError> {
    let mut from = read(bytes.to_vec());
    let folder = folder.to_owned();
    let key = log_signer(OURS).verifier().clone();
    tokio::task::spawn_blocking(move || gateway_store_embedded::import(&folder, &key, &mut from)).await.unwrap()
}

/// A copy of the golden store of a format.
fn golden(format: u32) -> TempDir {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../store-embedded/tests/golden/format-{format}/store"));
    let copied = tempfile::tempdir().unwrap();
    copy(&golden, copied.path());
    copied
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target: PathBuf = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the newest golden store is as an archive.
async fn archive() -> Vec<u8> {
    export_embedded(golden(NEWEST).path()).await
}

/// Checks an embedded store.
fn findings_of(folder: &Path) -> Vec<String> {
    let report = gateway_store_embedded::check(folder, log_signer(OURS).verifier()).unwrap();
    report.findings.iter().map(|found| format!("{} {} {}", found.code.code(), found.place, found.seen)).collect()
}
