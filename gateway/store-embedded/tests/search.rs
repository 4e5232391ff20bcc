//! The search index leads to what looking at every row would find, before and after its runs are written, whatever is asked for together.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use gateway_model::Digest;
use gateway_model::envelope::ResolvedRecipient;
use gateway_model::id::DeliveryId;
use gateway_model::state::DeliveryStatus;
use gateway_store::Store as _;
use gateway_store::accept::{Accept, Arrival, NewDelivery, NewEnvelope};
use gateway_store::change::Change;
use gateway_store::query::Query;
use gateway_store::rows::DeliverySummary;
use gateway_store_conformance::fixture::{Fixture, OURS, START, agency, draft, log_signer};
use gateway_store_conformance::suite::{acceptance, change, lane, waiting};
use gateway_store_embedded::{EmbeddedStore, OpenOptions};
use proto::v1;

/// Three runs and a little more.
const ENVELOPES: u64 = 3_200;
/// Deliveries of each broadcast: two of them are more than a run takes.
const BROADCAST: usize = 5_000;
const PART: Digest = Digest([7; 32]);

fn open(folder: &Path) -> EmbeddedStore {
    let options = OpenOptions { free_bytes_min: 0, ballast_bytes: 0, ..OpenOptions::new(folder, log_signer(OURS)) };
    EmbeddedStore::open(options).unwrap()
}

/// Envelope `number`: every 500th is of the ward, every 700th to the province, every 900th has a part.
fn acceptance_of(fixture: &Fixture, number: u64) -> Accept {
    let mut envelope = draft(number);
    if number.is_multiple_of(500) {
        "ward".clone_into(&mut envelope.from);
    }
    if number.is_multiple_of(700) {
        envelope.to.push(v1::Recipient { agency: "province".to_owned() });
    }
    if number.is_multiple_of(900) {
        let part = v1::Part {
            name: "a.pdf".to_owned(),
            size: 3,
            sha256: PART.0.to_vec().into(),
            media_type: "application/pdf".to_owned(),
            ..v1::Part::default()
        };
        envelope.parts.push(part);
    }
    let verified = fixture.sign(&envelope);
    let arrival = Arrival {
        received_at: START.plus(Duration::from_secs(number)),
        arrived_from: None,
        hops: Vec::new(),
        traceparent: None,
        first_accepted: None,
    };
    Accept { envelope: NewEnvelope::new(&verified, arrival), ..acceptance(&verified) }
}

fn broadcast(fixture: &Fixture, number: u64) -> Accept {
    let verified = fixture.envelope(number);
    let to = |place: usize| {
        let named = agency(&format!("commune-{place}"));
        NewDelivery {
            id: DeliveryId::new(verified.key(), &named),
            recipient: ResolvedRecipient { named: named.clone(), serving: named },
            lane: lane("a"),
            state: waiting(0),
        }
    };
    Accept { deliveries: (0..BROADCAST).map(to).collect(), ..acceptance(&verified) }
}

async fn all(store: &EmbeddedStore, query: &Query) -> Vec<DeliverySummary> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(&Query { after, ..query.clone() }).await.unwrap();
        assert!(page.rows.len() <= query.limit);
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

fn ids(rows: &[DeliverySummary]) -> Vec<DeliveryId> {
    rows.iter().map(|row| row.delivery.id).collect()
}

/// What somebody may ask, alone and together.
fn queries() -> Vec<Query> {
    let query = |limit| Query { limit, ..Query::default() };
    let at = |seconds| START.plus(Duration::from_secs(seconds));
    vec![
        Query { sender: Some(agency("ward")), ..query(2) },
        Query { recipient: Some(agency("province")), ..query(1) },
        Query { recipient: Some(agency("district")), sender: Some(agency("ward")), ..query(3) },
        Query { recipient: Some(agency("commune-77")), ..query(10) },
        Query { code: Some("1024/UBND-VP".to_owned()), ..query(10) },
        Query { code: Some("1025/UBND-VP".to_owned()), statuses: vec![DeliveryStatus::Waiting], ..query(10) },
        Query { digest: Some(PART), ..query(2) },
        Query { since: Some(at(1_000)), until: Some(at(1_100)), ..query(30) },
        Query { until: Some(at(5)), ..query(30) },
        Query { since: Some(at(3_190)), ..query(30) },
        Query { sender: Some(agency("ward")), since: Some(at(1_001)), until: Some(at(2_001)), ..query(30) },
        Query { statuses: vec![DeliveryStatus::Held], recipient: Some(agency("province")), ..query(30) },
        Query { sender: Some(agency("nobody")), ..query(30) },
        Query { code: Some("nothing".to_owned()), ..query(30) },
    ]
}

/// Compares with every row looked at.
async fn check(store: &EmbeddedStore) {
    let every = all(store, &Query { limit: 1_000, ..Query::default() }).await;
    assert_eq!(every.len() as u64, ENVELOPES + ENVELOPES / 700 + 3 * BROADCAST as u64);
    for query in queries() {
        let fits = |row: &&DeliverySummary| query.fits_delivery(&row.delivery) && query.fits_envelope(&row.envelope);
        let expected: Vec<DeliveryId> = every.iter().filter(fits).map(|row| row.delivery.id).collect();
        assert_eq!(ids(&all(store, &query).await), expected, "{query:?}");
    }
    let hash = every[ENVELOPES as usize / 2].envelope.digest;
    let found = all(store, &Query { digest: Some(hash), limit: 10, ..Query::default() }).await;
    assert!(!found.is_empty() && found.iter().all(|row| row.envelope.digest == hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_looking_at_every_row_would_find() {
    let folder = tempfile::tempdir().unwrap();
    let (store, fixture) = (std::sync::Arc::new(open(folder.path())), Fixture::new());
    for number in 0..3 {
        store.accept(broadcast(&fixture, 10_000 + number)).await.unwrap();
    }
    let mut last = None;
    for numbers in (1..=ENVELOPES).collect::<Vec<_>>().chunks(100) {
        let accepts: Vec<Accept> = numbers.iter().map(|number| acceptance_of(&fixture, *number)).collect();
        last = accepts.last().map(|accept| accept.deliveries[0].id);
        // Together, as group commit has it.
        let kept: Vec<_> = accepts
            .into_iter()
            .map(|accept| {
                let store = store.clone();
                tokio::spawn(async move { store.accept(accept).await.unwrap() })
            })
            .collect();
        for one in kept {
            one.await.unwrap();
        }
    }
    check(&store).await;

    // One delivery of the first run and one of the tail get another recipient.
    let first = all(&store, &Query { code: Some("700/UBND-VP".to_owned()), limit: 1, ..Query::default() }).await;
    for id in [first[0].delivery.id, last.unwrap()] {
        let to = Change { serving: Some(agency("ward")), ..change(id, DeliveryStatus::Waiting, 1, waiting(1)) };
        store.change(to).await.unwrap();
    }
    let moved = all(&store, &Query { recipient: Some(agency("ward")), limit: 10, ..Query::default() }).await;
    assert_eq!(ids(&moved), [last.unwrap(), first[0].delivery.id]);
    check(&store).await;

    store.close().await;
    let runs: i64 = rusqlite::Connection::open(folder.path().join("store.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM run", [], |row| row.get(0))
        .unwrap();
    assert!(runs >= 4, "the broadcasts fill runs of their own, and the others three: {runs}");
    let store = open(folder.path());
    check(&store).await;
    store.close().await;
}
