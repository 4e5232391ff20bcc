//! Stores of every format so far: today's code reads them whole, says of them what their own version said, and goes on writing.
//!
//! `format-<n>/store` is a store as version `n` closed it, `format-<n>/record.txt` what that version read back from it, and
//! `format-<n>/log-key.txt` the public key of its log. A format that has been released is never written again. The newest one is written by
//!
//! ```text
//! WRITE_GOLDEN_STORE=1 cargo test -p gateway-store-embedded --test golden
//! ```
//!
//! No secret is in there: the log is signed with the key that `fixture::log_signer` derives from a public name, certificates are made for
//! each run and their keys are forgotten.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod record;
mod story;

use std::fs;
use std::path::{Path, PathBuf};

use gateway_model::note::VerifierKey;
use gateway_store::Store as _;
use gateway_store_conformance::fixture::{Fixture, OURS, log_signer};
use gateway_store_conformance::suite::{acceptance, key};
use gateway_store_embedded::{EmbeddedStore, OpenOptions, check};

/// The format that this version writes.
const NEWEST: u32 = 3;

#[tokio::test]
async fn what_is_written_today_is_read_back_as_it_was_told() {
    let made = tempfile::tempdir().unwrap();
    story::write(&made.path().join("store")).await;
    let database = rusqlite::Connection::open(made.path().join("store/store.db")).unwrap();
    let format: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(format, NEWEST, "a new format has a golden store of its own, and the older ones stay");
    drop(database);
    fs::write(made.path().join("log-key.txt"), format!("{}\n", log_signer(OURS).verifier())).unwrap();
    let record = record::read(&made.path().join("store"), &log_key(made.path())).await;
    for kept in story::TOLD {
        assert!(record.contains(kept), "{kept} is not in the record:\n{record}");
    }
    fs::write(made.path().join("record.txt"), record).unwrap();
    if std::env::var_os("WRITE_GOLDEN_STORE").is_some() {
        let golden = folder(NEWEST);
        if golden.exists() {
            fs::remove_dir_all(&golden).unwrap();
        }
        copy(made.path(), &golden);
    }
}

#[tokio::test]
async fn a_store_of_every_format_so_far_is_read_whole() {
    for format in 1..=NEWEST {
        let golden = tempfile::tempdir().unwrap();
        copy(&folder(format), golden.path());
        let (store, key) = (golden.path().join("store"), log_key(golden.path()));
        assert_eq!(check(&store, &key).unwrap().findings, [], "format {format}");
        let told = fs::read_to_string(golden.path().join("record.txt")).unwrap();
        let read = record::read(&store, &key).await;
        let differs = told.lines().zip(read.lines()).find(|(told, read)| told != read);
        assert!(told == read, "format {format}: first difference {differs:?}, lines: {}", read.lines().count());
    }
}

#[tokio::test]
async fn a_store_of_every_format_so_far_goes_on() {
    for format in 1..=NEWEST {
        let golden = tempfile::tempdir().unwrap();
        copy(&folder(format), golden.path());
        let fixture = Fixture::new();
        let open = || EmbeddedStore::open(options(&golden.path().join("store"))).unwrap();
        let store = open();
        let kept = store.find(&key(1)).await.unwrap().unwrap();
        let first = store.receipt(kept.accepted_leaf).await.unwrap().unwrap();
        let repeated = store.accept(acceptance(&fixture.sign(&story::first()))).await.unwrap();
        assert!(repeated.duplicate && repeated.receipt == first, "format {format}: a repeat gets the first receipt");
        let before = store.counts().await.unwrap();
        let accepted = store.accept(acceptance(&fixture.envelope(1_000))).await.unwrap();
        assert_eq!(accepted.seq.0, before.envelopes + 1);
        accepted.receipt.verify(OURS, &[log_key(golden.path())]).unwrap();
        store.close().await;
        let store = open();
        assert_eq!(store.counts().await.unwrap().log_size, before.log_size + 1);
        store.close().await;
        assert_eq!(check(&golden.path().join("store"), &log_key(golden.path())).unwrap().findings, []);
    }
}

#[test]
fn a_golden_store_holds_no_key() {
    for format in 1..=NEWEST {
        for file in files(&folder(format)) {
            let bytes = fs::read(&file).unwrap();
            let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!has(b"PRIVATE KEY"), "{}", file.display());
            // How every private key in PKCS#8 of the kinds used here begins: Ed25519, and the curve of the certificates.
            for start in ["302e020100300506032b6570", "30819302010030130607", "308187020100301306072a8648ce3d0201"] {
                assert!(!has(&hex::decode(start).unwrap()), "{}", file.display());
            }
        }
    }
}

fn folder(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}"))
}

fn log_key(golden: &Path) -> VerifierKey {
    VerifierKey::parse(fs::read_to_string(golden.join("log-key.txt")).unwrap().trim()).unwrap()
}

fn options(store: &Path) -> OpenOptions {
    OpenOptions { free_bytes_min: 0, ballast_bytes: 0, ..OpenOptions::new(store, log_signer(OURS)) }
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copied = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(copied.parent().unwrap()).unwrap();
        fs::copy(file, copied).unwrap();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
