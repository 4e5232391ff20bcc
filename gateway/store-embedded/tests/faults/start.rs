//! Starts: after a kill, twice at once, with another version or another key.

use std::process::Stdio;

use gateway_store::{Pressure, Store as _};
use gateway_store_conformance::fixture::{Fixture, OTHER, OURS, log_signer};
use gateway_store_conformance::suite::{acceptance, key};
use gateway_store_embedded::{EmbeddedStore, OpenError, OpenOptions, Synchronous, check};
use std::io::{BufRead as _, BufReader};

use crate::child::{self, Work};
use crate::{copy, open, refused};

#[test]
fn every_acknowledged_envelope_outlives_a_killed_process() {
    for stop_after in [1, 7, 23, 55] {
        let folder = tempfile::tempdir().unwrap();
        let work = Work { synchronous: Synchronous::Full, envelopes: 10_000, per_start: child::FEW };
        let mut process = child::command(folder.path(), work, &[]).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        for line in lines.map_while(Result::ok) {
            acknowledged.extend(line.strip_prefix("ack ").map(|number| number.parse::<u64>().unwrap()));
            if acknowledged.len() == stop_after {
                process.kill().unwrap();
            }
        }
        process.wait().unwrap();
        assert!(acknowledged.len() >= stop_after);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = open(folder.path()).unwrap();
            assert_eq!(child::lost(&store, &acknowledged).await.unwrap(), []);
            store.close().await;
        });
        let report = check(folder.path(), log_signer(OURS).verifier()).unwrap();
        assert_eq!(report.findings, []);
    }
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_has_closed() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    first.close().await;
    open(folder.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().await;
    let path = folder.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 4).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 4, known: 3, .. }), "{error}");
    assert!(error.to_string().contains("start the newer version"), "{error}");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    open(folder.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_store_of_the_first_format_gets_what_it_lacks_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().await;
    let database = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    database.execute_batch("DROP TABLE mark; DROP TABLE run; DROP TABLE sought; PRAGMA user_version = 1").unwrap();
    drop(database);
    let mark = || gateway_store::mark::Mark { name: "pause/a".to_owned(), value: Some("on".into()), leaf: None };
    for _ in 0..2 {
        let store = open(folder.path()).unwrap();
        store.mark(mark()).await.unwrap();
        assert_eq!(store.marks("", 10).await.unwrap().len(), 1);
        store.close().await;
    }
}

#[tokio::test]
async fn a_database_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    std::fs::write(&path, [b'x'; 8192]).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_log_signed_by_another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.accept(acceptance(&Fixture::new().envelope(1))).await.unwrap();
    store.close().await;
    let other =
        OpenOptions { free_bytes_min: 0, ballast_bytes: 0, ..OpenOptions::new(folder.path(), log_signer(OTHER)) };
    let error = EmbeddedStore::open(other).err().unwrap();
    assert!(matches!(error, OpenError::LogKeyChanged { .. }), "{error}");
    open(folder.path()).unwrap().close().await;
}

#[tokio::test]
async fn a_missing_database_is_never_started_empty() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.accept(acceptance(&Fixture::new().envelope(1))).await.unwrap();
    store.close().await;
    let kept = tempfile::tempdir().unwrap();
    copy(folder.path(), kept.path());
    std::fs::remove_file(folder.path().join("store.db")).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    std::fs::remove_file(folder.path().join("acknowledged")).unwrap();
    std::fs::create_dir_all(folder.path().join("parts/ab")).unwrap();
    open(folder.path()).unwrap().close().await;
    std::fs::remove_file(folder.path().join("store.db")).unwrap();
    std::fs::remove_file(folder.path().join("acknowledged")).unwrap();
    std::fs::write(folder.path().join("parts/ab/part"), b"bytes").unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    copy(kept.path(), folder.path());
    let store = open(folder.path()).unwrap();
    assert!(store.find(&key(1)).await.unwrap().is_some());
    assert_eq!(store.pressure(), Pressure::Free);
    store.close().await;
}

#[tokio::test]
async fn an_older_copy_of_the_database_is_refused() {
    let (folder, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fixture = Fixture::new();
    for number in 0..2 {
        let store = open(folder.path()).unwrap();
        store.accept(acceptance(&fixture.envelope(number))).await.unwrap();
        store.close().await;
        if number == 0 {
            copy(folder.path(), old.path());
        }
    }
    std::fs::copy(old.path().join("store.db"), folder.path().join("store.db")).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Behind { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_laid_out_beforehand_takes_commits_outlives_a_kill_and_is_not_laid_out_where_room_is_scarce() {
    let (folder, before, after) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log_bytes_ahead = 1024 * 1024;
    let options = |free_bytes_min| OpenOptions { log_bytes_ahead, free_bytes_min, ..crate::options(folder.path()) };
    let length = || std::fs::metadata(folder.path().join("store.db-wal")).unwrap().len();
    let fixture = Fixture::new();
    let store = EmbeddedStore::open(options(0)).unwrap();
    assert_eq!(length(), log_bytes_ahead);
    copy(folder.path(), before.path());
    store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    assert_eq!(length(), log_bytes_ahead, "the commit went into the zeros");
    copy(folder.path(), after.path());
    store.close().await;
    for (killed, kept) in [(&before, false), (&after, true)] {
        let reopened = open(killed.path()).unwrap();
        assert_eq!(reopened.find(&key(1)).await.unwrap().is_some(), kept);
        reopened.close().await;
        assert_eq!(check(killed.path(), log_signer(OURS).verifier()).unwrap().findings, []);
    }
    let scarce = EmbeddedStore::open(options(u64::MAX)).unwrap();
    assert_eq!(length(), 0, "room is for envelopes");
    scarce.close().await;
}
