//! A process of its own that fills a store: this test binary, started again with an environment that says where.
//!
//! It prints `ack <number>` for every envelope that the store has acknowledged, and `error <what>` for every one that it has not.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway_model::Reason;
use gateway_store::{Pressure, Store as _, StoreError};
use gateway_store_conformance::fixture::Fixture;
use gateway_store_conformance::suite::{acceptance, key};
use gateway_store_embedded::{EmbeddedStore, OpenOptions, Synchronous};

const FOLDER: &str = "STORE_UNDER_TEST_FOLDER";
const SYNCHRONOUS: &str = "STORE_UNDER_TEST_SYNCHRONOUS";
const ENVELOPES: &str = "STORE_UNDER_TEST_ENVELOPES";
const PER_START: &str = "STORE_UNDER_TEST_PER_START";
/// Envelopes of each start of the store, unless the test says more.
pub(crate) const FEW: u64 = 32;
/// So little that the write-ahead log starts anew several times.
const CHECKPOINT_BYTES: usize = 512 * 1024;
/// Less than that: the log goes on behind the zeros.
const LOG_BYTES_AHEAD: u64 = 256 * 1024;

/// Whether a step has failed in this process. Lines of several producers may stand in another order than their steps.
static HAD_ERROR: AtomicBool = AtomicBool::new(false);

/// What the child is to do.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) synchronous: Synchronous,
    pub(crate) envelopes: u64,
    /// Of these so many before the store is closed and opened again.
    pub(crate) per_start: u64,
}

/// What a child printed.
pub(crate) struct Printed {
    pub(crate) acknowledged: Vec<u64>,
    pub(crate) errors: Vec<String>,
    /// Whether a step that was sent after the first error was acknowledged.
    pub(crate) acknowledged_after_an_error: bool,
}

/// Without an environment it fills a store of its own, and so shows that what the other tests start does work.
#[test]
fn a_process_that_fills_a_store_finds_what_it_acknowledged() {
    let own = tempfile::tempdir().unwrap();
    let folder = std::env::var_os(FOLDER).map_or_else(|| own.path().to_owned(), PathBuf::from);
    let synchronous = if std::env::var_os(SYNCHRONOUS).is_some() { Synchronous::Off } else { Synchronous::Full };
    let number = |name| std::env::var(name).ok().map(|count| count.parse().unwrap());
    let envelopes = number(ENVELOPES).unwrap_or(2 * FEW);
    let per_start = number(PER_START).unwrap_or(FEW);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(fill(&folder, Work { synchronous, envelopes, per_start }));
}

/// The command that starts the child, by itself or at the end of another one.
pub(crate) fn command(folder: &Path, work: Work, through: &[String]) -> Command {
    let binary = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let test = "child::a_process_that_fills_a_store_finds_what_it_acknowledged";
    let mut line: Vec<String> = through.to_vec();
    line.extend([binary, "--exact".to_owned(), test.to_owned(), "--nocapture".to_owned()]);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env(FOLDER, folder).env(ENVELOPES, work.envelopes.to_string());
    command.env(PER_START, work.per_start.to_string());
    command.env("RUST_BACKTRACE", "0").stdout(Stdio::piped()).stderr(Stdio::piped());
    match work.synchronous {
        Synchronous::Off => command.env(SYNCHRONOUS, "off"),
        Synchronous::Full => command.env_remove(SYNCHRONOUS),
    };
    command
}

/// Where strace is; it fails here and not in some parser when it is missing.
pub(crate) fn strace() -> String {
    let found = Command::new("strace").arg("-V").output();
    assert!(found.is_ok_and(|output| output.status.success()), "strace is missing: apt-get install strace");
    "strace".to_owned()
}

/// Reads what a child has printed.
pub(crate) fn printed(output: &Output) -> Printed {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut printed = Printed { acknowledged: Vec::new(), errors: Vec::new(), acknowledged_after_an_error: false };
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("ack ") {
            printed.acknowledged.push(number.parse().unwrap());
        } else if line == "after an error" {
            printed.acknowledged_after_an_error = true;
        } else if let Some(what) = line.strip_prefix("error ") {
            printed.errors.push(what.to_owned());
        }
    }
    printed
}

/// The acknowledged envelopes that are not there with their bodies; the error, when the store cannot even say.
pub(crate) async fn lost(store: &EmbeddedStore, acknowledged: &[u64]) -> Result<Vec<u64>, StoreError> {
    let mut lost = Vec::new();
    for number in acknowledged {
        let body = match store.find(&key(*number)).await? {
            Some(row) => store.body(row.seq).await?,
            None => None,
        };
        if body.is_none() {
            lost.push(*number);
        }
    }
    Ok(lost)
}

async fn fill(folder: &Path, work: Work) {
    let Work { synchronous, envelopes, per_start } = work;
    let fixture = Arc::new(Fixture::new());
    let mut first = 0;
    while first < envelopes {
        let checkpoint_bytes = CHECKPOINT_BYTES;
        let options =
            OpenOptions { synchronous, checkpoint_bytes, log_bytes_ahead: LOG_BYTES_AHEAD, ..super::options(folder) };
        let store = Arc::new(EmbeddedStore::open(options).unwrap());
        let last = (first + per_start).min(envelopes);
        let mut producers = tokio::task::JoinSet::new();
        for producer in 0..4 {
            let (store, fixture) = (store.clone(), fixture.clone());
            producers.spawn(async move {
                let mut acknowledged = Vec::new();
                for number in (first + producer..last).step_by(4) {
                    acknowledged.extend(accept(&store, &fixture, number).await);
                }
                acknowledged
            });
        }
        let acknowledged = producers.join_all().await.concat();
        if let Some(what) = store.failure() {
            // The server ends here; only a new process may open the store again.
            assert_eq!(store.failed().await, what);
            assert!(matches!(store.pressure(), Pressure::Busy { reason: Reason::StoreUnavailable, .. }));
            return;
        }
        assert_eq!(lost(&store, &acknowledged).await.unwrap(), []);
        store.close().await;
        first = last;
    }
}

/// Accepts one envelope and says what became of it; gives its number when it was acknowledged.
async fn accept(store: &EmbeddedStore, fixture: &Fixture, number: u64) -> Option<u64> {
    let after_an_error = HAD_ERROR.load(Ordering::SeqCst);
    let result = store.accept(acceptance(&fixture.envelope(number))).await;
    let line = match &result {
        Ok(_) => format!("ack {number}\n"),
        Err(error) => format!("error {error}\n"),
    };
    HAD_ERROR.fetch_or(result.is_err(), Ordering::SeqCst);
    say(&line);
    if after_an_error && result.is_ok() {
        say("after an error\n");
    }
    result.is_ok().then_some(number)
}

/// One write a line, so that a trace shows when it was said.
fn say(line: &str) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
