//! Each index damaged: named, and made anew from the records. A damaged record is named, and nothing is touched.

use std::path::Path;

use gateway_store::Store as _;
use gateway_store::soundness::{Rebuilt, Report};
use gateway_store_conformance::fixture::{OURS, log_signer};
use gateway_store_embedded::{check, rebuild};

use crate::{copy, open};

/// A copy of the newest golden store: it has some of everything.
fn golden() -> tempfile::TempDir {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format-3/store");
    let copied = tempfile::tempdir().unwrap();
    for name in ["store.db", "acknowledged"] {
        std::fs::copy(golden.join(name), copied.path().join(name)).unwrap();
    }
    copied
}

fn found(report: &Report) -> Vec<String> {
    report.findings.iter().map(|found| format!("{} {} {}", found.code.code(), found.place, found.seen)).collect()
}

fn findings(folder: &Path) -> Vec<String> {
    found(&check(folder, log_signer(OURS).verifier()).unwrap())
}

fn execute(folder: &Path, sql: &str) {
    rusqlite::Connection::open(folder.join("store.db")).unwrap().execute_batch(sql).unwrap();
}

/// SQLite makes an index that has lost something, and is told that it is whole.
fn lose(index: &str, right: &str, wrong: &str) -> String {
    format!(
        "DROP INDEX {index}; CREATE INDEX {index} ON {wrong}; PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE INDEX {index} ON {right}' WHERE name = '{index}';"
    )
}

/// Every row of every table that is a record, in words.
fn records(folder: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(folder.join("store.db")).unwrap();
    let mut rows = Vec::new();
    for table in ["lane", "body", "delivery", "event", "checkpoint", "foreign_receipt", "way_back", "mark", "head"] {
        let mut select = database.prepare(&format!("SELECT * FROM {table} NOT INDEXED ORDER BY 1")).unwrap_or_else(
            // A table without row ids has no other order.
            |_| database.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap(),
        );
        let columns = select.column_count();
        let mut found = select.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<_> = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            rows.push(format!("{table} {}", values.join(" ")));
        }
    }
    rows
}

/// Expects a damage to be named, and gone after the indexes have been made anew, with every record as it was.
async fn mended(folder: &Path, what: &str, named: &str, records_before: &[String]) {
    let seen = findings(folder);
    assert!(seen.iter().any(|finding| finding.starts_with(named)), "{what}: {named} in {seen:?}");
    match rebuild(folder, log_signer(OURS).verifier()).unwrap() {
        Rebuilt::Mended { mended, after, .. } => {
            assert!(!mended.is_empty(), "{what}");
            assert_eq!(found(&after), [""; 0], "{what}");
        }
        Rebuilt::Refused(report) => panic!("{what}: {:?}", found(&report)),
    }
    assert_eq!(records(folder), records_before, "{what}");
    let store = open(folder).unwrap();
    store.close().await;
    assert_eq!(findings(folder), [""; 0], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damaged_index_is_named_and_made_anew_from_the_records() {
    let whole = golden();
    assert_eq!(findings(whole.path()), [""; 0]);
    let before = records(whole.path());
    let due = "delivery (lane, wake) WHERE wake IS NOT NULL";
    for (what, sql, named) in [
        ("finished is empty", "DELETE FROM finished".to_owned(), "STORE_INDEX_MISSING finished"),
        ("what waits is finished", "INSERT INTO finished VALUES (5, 6)".to_owned(), "STORE_INDEX_STRAY finished"),
        ("parts are empty", "DELETE FROM part".to_owned(), "STORE_INDEX_MISSING part"),
        ("a part too many", "INSERT INTO part VALUES (x'00', 1)".to_owned(), "STORE_INDEX_STRAY part"),
        ("a wrong count", "UPDATE envelope SET open = 7 WHERE seq = 2".to_owned(), "STORE_COUNTER_WRONG envelope 2"),
        ("a run of nothing", "INSERT INTO run VALUES (1, 5, 0, 0)".to_owned(), "STORE_INDEX_MISSING sought"),
        ("no due work", lose("delivery_due", due, &format!("{due} AND key < 0")), "STORE_INDEX_WRONG store.db"),
        (
            "a history that is not led to",
            lose("event_of", "event (envelope, position)", "event (envelope, position) WHERE envelope <> 5"),
            "STORE_INDEX_WRONG store.db",
        ),
    ] {
        let damaged = golden();
        execute(damaged.path(), &sql);
        mended(damaged.path(), what, named, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_whose_page_cannot_be_read_is_made_anew() {
    for index in ["delivery_id", "event_of", "envelope_key", "finished", "sought"] {
        let damaged = golden();
        let before = records(damaged.path());
        let path = damaged.path().join("store.db");
        let database = rusqlite::Connection::open(&path).unwrap();
        let (root, page): (i64, i64) = database
            .query_row(
                "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = ?1",
                [index],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        drop(database);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 64], u64::try_from((root - 1) * page).unwrap())
            .unwrap();
        mended(damaged.path(), index, "STORE_INDEX_WRONG store.db", &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_named_and_nothing_is_touched() {
    for (what, sql, named) in [
        ("an envelope", "UPDATE envelope SET subject = 'x' WHERE seq = 2", "STORE_RECORD_DAMAGED envelope 2"),
        ("a delivery", "UPDATE delivery SET attempts = 99 WHERE key = (2 << 13)", "STORE_RECORD_DAMAGED delivery 0"),
        ("a leaf", "UPDATE event SET event = x'00' WHERE leaf = 3", "STORE_RECORD_DAMAGED event 3"),
        ("a leaf is gone", "DELETE FROM event WHERE leaf = 3", "STORE_RECORD_MISSING event 3"),
        ("a checkpoint is gone", "DELETE FROM checkpoint WHERE size = 4", "STORE_RECORD_DAMAGED event 3"),
        ("a body", "UPDATE body SET signed = x'00' WHERE envelope = 3", "STORE_RECORD_DAMAGED body of envelope 3"),
        ("the last envelope is gone", "DELETE FROM envelope WHERE seq = 10", "STORE_RECORD_MISSING envelope 10"),
        ("a mark", "UPDATE mark SET value = x'00'", "STORE_RECORD_DAMAGED mark"),
        ("a receipt", "UPDATE foreign_receipt SET receipt = x'00'", "STORE_RECORD_DAMAGED foreign receipt"),
        ("the head", "UPDATE head SET waiting = 99", "STORE_RECORD_DAMAGED head"),
    ] {
        let damaged = golden();
        execute(damaged.path(), &format!("{sql}; DELETE FROM finished"));
        let seen = findings(damaged.path());
        assert!(seen.iter().any(|finding| finding.starts_with(named)), "{what}: {named} in {seen:?}");
        let before = std::fs::read(damaged.path().join("store.db")).unwrap();
        let rebuilt = rebuild(damaged.path(), log_signer(OURS).verifier()).unwrap();
        assert!(matches!(rebuilt, Rebuilt::Refused(_)), "{what}");
        assert!(std::fs::read(damaged.path().join("store.db")).unwrap() == before, "{what}: nothing was touched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_stopped_in_the_middle_leaves_the_store_and_is_run_again() {
    let damaged = golden();
    execute(damaged.path(), "DELETE FROM finished");
    let before = records(damaged.path());
    // What a process that is killed leaves: a database that is not whole.
    std::fs::write(damaged.path().join("store.rebuilding"), b"SQLite format 3\0 and then nothing").unwrap();
    let stopped = tempfile::tempdir().unwrap();
    copy(damaged.path(), stopped.path());
    let store = open(stopped.path()).unwrap();
    store.close().await;
    mended(damaged.path(), "stopped", "STORE_INDEX_MISSING finished", &before).await;
    assert!(!damaged.path().join("store.rebuilding").exists());
}
