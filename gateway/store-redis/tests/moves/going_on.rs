//! After a move the gateway goes on where it was: receipts hold, the log grows from the same root, repeats are known, what waited waits.

use std::path::Path;

use gateway_evidence::{Checkpoint, merkle};
use gateway_store::Store;
use gateway_store::claim::{Claim, Work};
use gateway_store_conformance::Fixture;
use gateway_store_conformance::fixture::{OURS, START, log_signer};
use gateway_store_conformance::suite::{acceptance, at, key, lane};
use gateway_store_embedded::EmbeddedStore;
use gateway_store_redis::RedisStore;

use crate::{NEWEST, Place, archive, export_embedded, findings_of, golden, import_embedded};

/// What a gateway tells of its store.
#[derive(PartialEq, Eq, Debug)]
struct Told {
    counts: String,
    lanes: Vec<String>,
    envelopes: Vec<String>,
    receipts: Vec<gateway_evidence::Receipt>,
    marks: Vec<(String, bytes::Bytes)>,
    checkpoint: String,
}

async fn told(store: &dyn Store) -> Told {
    let counts = store.counts().await.unwrap();
    let mut envelopes = Vec::new();
    for seq in 1..=counts.envelopes {
        let row = store.envelope(gateway_store::rows::EnvelopeSeq(seq)).await.unwrap().unwrap();
        let events = store.events(row.seq, None, 100).await.unwrap();
        let events: Vec<_> = events.into_iter().map(|event| (event.receipt, event.source)).collect();
        let body = store.body(row.seq).await.unwrap();
        let deliveries = store.deliveries(row.seq).await.unwrap();
        let of_file = store.by_file_code(&row.header.file_code, 10).await.unwrap().len();
        envelopes.push(format!("{row:?} {deliveries:?} {events:?} {body:?} {of_file}"));
    }
    let mut receipts = Vec::new();
    for leaf in 0..counts.log_size {
        receipts.push(store.receipt(leaf).await.unwrap().unwrap());
    }
    let mut lanes = store.due_lanes(at(100_000), 100).await.unwrap();
    lanes.sort_by_key(|head| head.lane.clone());
    Told {
        counts: format!("{:?}", gateway_store::query::Counts { free_bytes: 0, ..counts }),
        lanes: lanes.iter().map(|head| format!("{head:?}")).collect(),
        envelopes,
        receipts,
        marks: store.marks("", 100).await.unwrap(),
        checkpoint: store.checkpoint().await.unwrap().unwrap().to_string(),
    }
}

/// Goes on, and shows that it is the same store.
async fn go_on(store: &dyn Store, before: &Told) {
    let keys = [log_signer(OURS).verifier().clone()];
    let fixture = Fixture::new();
    let kept = store.find(&key(2)).await.unwrap().unwrap();
    let first = store.receipt(kept.accepted_leaf).await.unwrap().unwrap();
    let repeated = store.accept(acceptance(&fixture.envelope(2))).await.unwrap();
    assert!(repeated.duplicate && repeated.receipt == first, "a repeat gets the first receipt");
    let counts = store.counts().await.unwrap();
    let accepted = store.accept(acceptance(&fixture.envelope(1_000))).await.unwrap();
    assert_eq!(accepted.seq.0, counts.envelopes + 1);
    assert_eq!(accepted.receipt.leaf_index, counts.log_size);
    accepted.receipt.verify(OURS, &keys).unwrap();
    let old = Checkpoint::open(&before.checkpoint, OURS, &keys).unwrap();
    let new = Checkpoint::open(&store.checkpoint().await.unwrap().unwrap(), OURS, &keys).unwrap();
    let hashes = store.leaf_hashes(0, 1_000).await.unwrap();
    let proof = merkle::consistency(old.size, new.size, &hashes).unwrap();
    merkle::verify_consistency((old.size, &old.root), (new.size, &new.root), &proof).unwrap();
    let claim = Claim { lanes: vec![(lane("a"), 100), (lane("back"), 100)], now: at(10_000), lease_until: at(10_060) };
    let leased = store.claim_due(claim).await.unwrap();
    assert!(leased.iter().any(|leased| matches!(leased.work, Work::Return(_))), "receipts go on home");
    assert!(leased.iter().any(|leased| matches!(leased.work, Work::Deliver { .. })), "what waited is due");
    assert!(leased.iter().all(|leased| leased.token > u64::from(u32::MAX)), "no token of before is given out again");
}

fn embedded(folder: &Path) -> EmbeddedStore {
    let options = gateway_store_embedded::OpenOptions {
        free_bytes_min: 0,
        ballast_bytes: 0,
        ..gateway_store_embedded::OpenOptions::new(folder, log_signer(OURS))
    };
    EmbeddedStore::open(options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_goes_on_in_redis_where_it_was_in_its_own_store_and_comes_back() {
    let archive = archive().await;
    let folder = golden(NEWEST);
    let store = embedded(folder.path());
    let before = told(&store).await;
    store.close().await;
    for (index, receipt) in before.receipts.iter().enumerate() {
        assert_eq!(receipt.leaf_index, index as u64);
    }
    let place = Place::new();
    place.import(&archive).await.unwrap();
    let store = RedisStore::open(place.options()).await.unwrap();
    assert_eq!(told(&store).await, before);
    go_on(&store, &before).await;
    let after = told(&store).await;
    store.close().await;
    assert_eq!(place.findings().await, [""; 0], "leases stand in Redis");
    let (moved, back) = (place.export().await, tempfile::tempdir().unwrap());
    import_embedded(back.path(), &moved).await.unwrap();
    assert_eq!(findings_of(back.path()), [""; 0]);
    assert!(export_embedded(back.path()).await == moved);
    let store = embedded(back.path());
    let returned = told(&store).await;
    assert_eq!((&returned.envelopes, &returned.receipts), (&after.envelopes, &after.receipts));
    let due = store.due_lanes(START.plus(std::time::Duration::from_secs(100_000)), 100).await.unwrap();
    let work = Claim {
        lanes: due.into_iter().map(|head| (head.lane, 100)).collect(),
        now: at(100_000),
        lease_until: at(100_060),
    };
    let waking = returned.envelopes.len();
    assert!(store.claim_due(work).await.unwrap().len() >= waking / 2, "what was leased in Redis is due");
    store.close().await;
}
