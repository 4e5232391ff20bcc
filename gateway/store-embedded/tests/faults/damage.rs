//! Bit flips and cuts: named, never served as valid, never taken for an empty store.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use gateway_evidence::EventKind;
use gateway_model::id::EnvelopeKey;
use gateway_model::state::DeliveryState;
use gateway_store::Store as _;
use gateway_store::claim::Claim;
use gateway_store::parts::PartStore as _;
use gateway_store_conformance::fixture::{Fixture, OURS, START, log_signer};
use gateway_store_conformance::suite::{acceptance, at, foreign, key, lane, lease_of, record, settlement};
use gateway_store_embedded::{EmbeddedStore, FileParts, OpenError, OpenOptions, PartLimits, Synchronous, check};

use crate::{copy, open, options, refused};

const ENVELOPES: u64 = 30;
const FLIPS: u64 = 150;
/// Every so many of these goes into the first page.
const FLIPS_IN_HEADER: u64 = 10;
const PAGE_BYTES: usize = 8_192;

/// A store with some of everything, closed in order.
async fn filled(folder: &Path) {
    let store = fill(folder).await;
    store.close().await;
}

async fn fill(folder: &Path) -> EmbeddedStore {
    let fixture = Fixture::new();
    let store = EmbeddedStore::open(OpenOptions { synchronous: Synchronous::Off, ..options(folder) }).unwrap();
    for number in 0..ENVELOPES {
        store.accept(acceptance(&fixture.envelope(number))).await.unwrap();
    }
    let claim = Claim { lanes: vec![(lane("a"), 10)], now: at(1), lease_until: at(60) };
    for leased in store.claim_due(claim).await.unwrap() {
        store.settle(settlement(lease_of(&leased), 2, DeliveryState::Delivered)).await.unwrap();
    }
    for number in 0..10 {
        store.record(record(number, foreign(EventKind::Delivered, number), Vec::new())).await.unwrap();
    }
    store
}

/// Everything that can be read of each envelope, in words; what cannot be read is left out, and so is what fails.
async fn readable(store: &EmbeddedStore) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for number in 0..ENVELOPES {
        let key: EnvelopeKey = key(number);
        let Ok(Some(row)) = store.find(&key).await else { continue };
        all.insert(format!("{number} row"), format!("{row:?}"));
        if let Ok(Some(body)) = store.body(row.seq).await {
            all.insert(format!("{number} body"), format!("{body:?}"));
        }
        if let Ok(deliveries) = store.deliveries(row.seq).await {
            all.insert(format!("{number} deliveries"), format!("{deliveries:?}"));
        }
        if let Ok(events) = store.events(row.seq, None, 100).await {
            all.insert(format!("{number} events"), format!("{events:?}"));
        }
        if let Ok(Some(receipt)) = store.receipt(row.accepted_leaf).await {
            all.insert(format!("{number} receipt"), format!("{receipt:?}"));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_leads_to_nothing_is_named_and_not_taken_for_a_history_without_events() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let database = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    // An index that has lost an envelope: SQLite makes one such, and is told that it is whole.
    let lose = "DROP INDEX event_of; CREATE INDEX event_of ON event (envelope, position) WHERE envelope <> 5;
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = 'CREATE INDEX event_of ON event (envelope, position)' WHERE name = 'event_of';";
    database.execute_batch(lose).unwrap();
    drop(database);
    let store = open(folder.path()).unwrap();
    for number in 0..ENVELOPES {
        let seq = store.find(&key(number)).await.unwrap().unwrap().seq;
        let told = store.events(seq, None, 100).await;
        assert_eq!(told.is_err(), seq.0 == 5, "{number}: {told:?}");
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_named_and_never_served() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path()).await;
    let store = EmbeddedStore::open(OpenOptions { synchronous: Synchronous::Off, ..options(whole.path()) }).unwrap();
    let expected = readable(&store).await;
    store.close().await;
    let bytes = std::fs::read(whole.path().join("store.db")).unwrap();
    let (mut refused, mut named, mut harmless) = (0, 0, 0);
    for flip in 0..FLIPS {
        let place = gateway_model::Digest::of(&flip.to_be_bytes()).0;
        // Some in the first page, with the header and the names of the tables, on which everything stands; the rest anywhere.
        let span = if flip % FLIPS_IN_HEADER == 0 { PAGE_BYTES } else { bytes.len() };
        let offset = usize::try_from(u32::from_be_bytes([place[0], place[1], place[2], place[3]])).unwrap() % span;
        let damaged = tempfile::tempdir().unwrap();
        copy(whole.path(), damaged.path());
        let mut flipped = bytes.clone();
        flipped[offset] ^= 1 << (place[4] % 8);
        std::fs::write(damaged.path().join("store.db"), flipped).unwrap();
        let report = check(damaged.path(), log_signer(OURS).verifier());
        let opened = EmbeddedStore::open(OpenOptions { synchronous: Synchronous::Off, ..options(damaged.path()) });
        let Ok(store) = opened else {
            refused += 1;
            continue;
        };
        let got = readable(&store).await;
        let mut missing = String::new();
        for (what, value) in &expected {
            match got.get(what) {
                Some(seen) => {
                    assert_eq!(seen, value, "bit {} of byte {offset}: {what} is not what was written", place[4] % 8)
                }
                None => write!(missing, "{what}, ").unwrap(),
            }
        }
        store.close().await;
        let is_well = report.as_ref().is_ok_and(|report| report.is_sound());
        assert!(missing.is_empty() || !is_well, "byte {offset}: {missing} cannot be read, and the check finds nothing");
        if is_well { harmless += 1 } else { named += 1 }
    }
    assert!(refused > 0 && named > refused, "{refused} refused, {named} named, {harmless} in free space");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_database_is_refused() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path()).await;
    let length = std::fs::metadata(whole.path().join("store.db")).unwrap().len();
    for keep in [0, 1, 99, 100, 4_096, 8_192, 8_193, length / 2, length - 8_192, length - 1] {
        let cut = tempfile::tempdir().unwrap();
        copy(whole.path(), cut.path());
        std::fs::File::options().write(true).open(cut.path().join("store.db")).unwrap().set_len(keep).unwrap();
        let error = refused(cut.path());
        assert!(error.to_string().contains("store.db"), "cut to {keep}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_ahead_log_that_is_cut_damaged_or_gone_is_refused() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = fill(whole.path()).await;
    copy(whole.path(), killed.path());
    store.close().await;
    let log = std::fs::read(killed.path().join("store.db-wal")).unwrap();
    let mut flipped = log.clone();
    flipped[log.len() / 2] ^= 1;
    let mut end_flipped = log.clone();
    end_flipped[log.len() - 5] ^= 1;
    for (what, bytes) in [
        ("cut", &log[..log.len() - 1]),
        ("cut in half", &log[..log.len() / 2]),
        ("flipped", &flipped),
        ("flipped at its end", &end_flipped),
        ("empty", &[]),
    ] {
        let damaged = tempfile::tempdir().unwrap();
        copy(killed.path(), damaged.path());
        std::fs::remove_file(damaged.path().join("store.db-shm")).ok();
        std::fs::write(damaged.path().join("store.db-wal"), bytes).unwrap();
        let error = refused(damaged.path());
        assert!(matches!(error, OpenError::Behind { .. }), "{what}: {error}");
    }
    std::fs::remove_file(killed.path().join("store.db-wal")).unwrap();
    let error = refused(killed.path());
    assert!(matches!(error, OpenError::Behind { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_store_opens_with_everything_that_was_in_its_write_ahead_log() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = fill(whole.path()).await;
    copy(whole.path(), killed.path());
    let expected = readable(&store).await;
    let reopened = open(killed.path()).unwrap();
    assert_eq!(readable(&reopened).await, expected);
    reopened.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_damaged_witness_is_named() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let path = folder.path().join("acknowledged");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[12] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = refused(folder.path());
    assert!(error.to_string().contains("acknowledged"), "{error}");
}

#[tokio::test]
async fn a_damaged_part_ends_in_an_error_and_not_in_an_end() {
    use tokio::io::AsyncReadExt as _;
    let folder = tempfile::tempdir().unwrap();
    let limits = PartLimits { free_bytes_min: 0, ..PartLimits::default() };
    let parts = FileParts::open(folder.path(), limits, || START).unwrap();
    let owner = gateway_model::agency::Hop::System(gateway_model::id::SystemId::parse("desk").unwrap());
    let bytes = vec![7; 100_000];
    let part = gateway_store::accept::PartRef { digest: gateway_model::Digest::of(&bytes), size: 100_000 };
    let mut writer = parts.begin(&owner, part, 0).await.unwrap();
    writer.write(bytes.clone().into()).await.unwrap();
    writer.finish().await.unwrap();
    let name = part.digest.to_string();
    let path = folder.path().join(&name[..2]).join(&name);
    let mut damaged = bytes;
    damaged[50_000] ^= 1;
    std::fs::write(path, damaged).unwrap();
    for offset in [0, 60_000] {
        let mut read = Vec::new();
        let error = parts.open(&part.digest, offset).await.unwrap().read_to_end(&mut read).await.unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
    }
}
