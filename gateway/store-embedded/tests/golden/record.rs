//! A store told in lines of text: everything that its readers give, each receipt checked on the way.

use std::fmt::Write as _;
use std::path::Path;

use gateway_evidence::{Event, EventKind, Receipt};
use gateway_model::note::VerifierKey;
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Timestamp};
use gateway_store::Store as _;
use gateway_store::claim::{Claim, Work};
use gateway_store::parts::PartStore as _;
use gateway_store::rows::{DeliveryRow, EnvelopeRow, EventSource};
use gateway_store_conformance::fixture::{OTHER, OURS, START, log_signer};
use gateway_store_conformance::suite::{key, lane};
use gateway_store_embedded::{EmbeddedStore, FileParts, PartLimits};
use tokio::io::AsyncReadExt as _;

use crate::story::LATE;

/// Numbers of the envelopes that a story may have.
const NUMBERS: std::ops::Range<u64> = 0..100;

/// Opens the store in `folder` and tells what is in it.
pub(crate) async fn read(folder: &Path, log_key: &VerifierKey) -> String {
    let store = EmbeddedStore::open(super::options(folder)).unwrap();
    let mut out = String::new();
    let counts = store.counts().await.unwrap();
    writeln!(
        out,
        "counts envelopes={} waiting={} forwarded={} held={} returns={} leaves={}",
        counts.envelopes, counts.waiting, counts.forwarded, counts.held, counts.returns, counts.log_size
    )
    .unwrap();
    for number in NUMBERS {
        if let Some(row) = store.find(&key(number)).await.unwrap() {
            envelope(&store, &row, log_key, &mut out).await;
        }
    }
    for (index, hash) in store.leaf_hashes(0, 10_000).await.unwrap().iter().enumerate() {
        writeln!(out, "leaf {index} {hash}").unwrap();
    }
    for (name, value) in store.marks("", 1_000).await.unwrap() {
        writeln!(out, "mark {name} bytes={} {}", value.len(), Digest::of(&value)).unwrap();
    }
    returns(&store, log_key, &mut out).await;
    out += &store.checkpoint().await.unwrap().unwrap();
    store.close().await;
    parts(folder, &mut out).await;
    out
}

async fn envelope(store: &EmbeddedStore, row: &EnvelopeRow, log_key: &VerifierKey, out: &mut String) {
    let header = &row.header;
    writeln!(out, "envelope {} sender={} id={} digest={}", row.seq.0, row.key.sender, row.key.id, row.digest).unwrap();
    writeln!(
        out,
        "  received={} expires={} priority={:?} kind={} file={} code={} subject={}",
        seconds(header.received_at),
        seconds(header.expires_at),
        header.priority,
        header.kind.as_str(),
        header.file_code,
        header.code,
        header.subject
    )
    .unwrap();
    let arrived_from = header.arrived_from.as_ref().map_or("", |gateway| gateway.as_str());
    let hops: Vec<&str> = header.hops.iter().map(|hop| hop.as_str()).collect();
    let trace = header.traceparent.as_deref().unwrap_or_default();
    writeln!(out, "  arrived_from={arrived_from} hops={} trace={trace}", hops.join(",")).unwrap();
    if let Some(first) = &header.first_accepted {
        writeln!(out, "  first_accepted={}", told(&Receipt::decode(first).unwrap(), OTHER, &other_key())).unwrap();
    }
    for part in &header.parts {
        writeln!(out, "  names part {} of {} bytes", part.digest, part.size).unwrap();
    }
    let body = store.body(row.seq).await.unwrap();
    writeln!(out, "  body={}", body.map_or("purged".to_owned(), |body| Digest::of(&body).to_string())).unwrap();
    if !header.file_code.is_empty() {
        let of_file = store.by_file_code(&header.file_code, 10).await.unwrap();
        assert!(of_file.iter().any(|other| other.seq == row.seq), "found by its file code");
    }
    assert_eq!(store.by_envelope_id(row.key.id).await.unwrap().len(), 1);
    for row in store.deliveries(row.seq).await.unwrap() {
        delivery(&row, out);
        assert_eq!(store.delivery(row.id).await.unwrap().unwrap().delivery, row);
    }
    let accepted = store.receipt(row.accepted_leaf).await.unwrap().unwrap();
    writeln!(out, "  receipt {}", told(&accepted, OURS, log_key)).unwrap();
    for event in store.events(row.seq, None, 1_000).await.unwrap() {
        let (source, event) = match event.source {
            EventSource::Own => ("own", told(&event.receipt, OURS, log_key)),
            EventSource::Foreign => ("foreign", told(&event.receipt, OTHER, &other_key())),
        };
        let (kind, rest) = event.split_once(' ').unwrap();
        writeln!(out, "  event={kind} source={source} {rest}").unwrap();
    }
}

fn delivery(row: &DeliveryRow, out: &mut String) {
    let (status, rest) = match &row.state {
        DeliveryState::Waiting { due, reason } => ("waiting", format!("due={}{}", seconds(*due), reason_of(*reason))),
        DeliveryState::Forwarded { next } => ("forwarded", format!("next={next}")),
        DeliveryState::Delivered => ("delivered", String::new()),
        DeliveryState::Refused { reason } => ("refused", reason_of(Some(*reason))),
        DeliveryState::Held { reason } => ("held", reason_of(Some(*reason))),
        DeliveryState::Expired => ("expired", String::new()),
        DeliveryState::Returned => ("returned", String::new()),
    };
    writeln!(
        out,
        "  delivery {} named={} serving={} lane={} attempts={} since={} wake={} status={status} {}",
        row.id,
        row.recipient.named,
        row.recipient.serving,
        row.lane.as_str(),
        row.attempts,
        seconds(row.since),
        row.wake.map_or("never".to_owned(), |wake| seconds(wake).to_string()),
        rest.trim_start()
    )
    .unwrap();
}

/// What is due in the end, in every lane of the story.
async fn returns(store: &EmbeddedStore, log_key: &VerifierKey, out: &mut String) {
    for head in store.due_lanes(LATE, 100).await.unwrap() {
        writeln!(out, "due lane={} from={}", head.lane.as_str(), seconds(head.due)).unwrap();
    }
    let claim = Claim { lanes: vec![(lane("back"), 100)], now: LATE, lease_until: LATE };
    for leased in store.claim_due(claim).await.unwrap() {
        let Work::Return(row) = leased.work else { panic!("a delivery in the lane of returns") };
        let receipt = Receipt::decode(&row.receipt).unwrap();
        let origin = Event::decode(&receipt.event).unwrap().gateway.to_string();
        let key = if origin == OURS { log_key.clone() } else { other_key() };
        writeln!(out, "return to={} attempts={} {}", row.to, row.attempts, told(&receipt, &origin, &key)).unwrap();
    }
}

async fn parts(folder: &Path, out: &mut String) {
    let limits = PartLimits { free_bytes_min: 0, ..PartLimits::default() };
    let parts = FileParts::open(folder.join("parts"), limits, || START).unwrap();
    for digest in parts.stale(Timestamp::MAX, None, 100).await.unwrap() {
        let mut bytes = Vec::new();
        parts.open(&digest, 0).await.unwrap().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(Digest::of(&bytes), digest);
        writeln!(out, "part bytes={} {digest}", bytes.len()).unwrap();
    }
}

/// A receipt that proves itself, told by its event.
fn told(receipt: &Receipt, origin: &str, key: &VerifierKey) -> String {
    let event = receipt.verify(origin, std::slice::from_ref(key)).expect("a receipt of the golden store verifies");
    let kind: EventKind = event.kind;
    format!("{} of={} at={} leaf={}", kind.as_str(), event.envelope_id, seconds(event.at), receipt.leaf_hash())
}

fn other_key() -> VerifierKey {
    log_signer(OTHER).verifier().clone()
}

fn reason_of(reason: Option<Reason>) -> String {
    reason.map_or(String::new(), |reason| format!(" reason={}", reason.code()))
}

fn seconds(at: Timestamp) -> i64 {
    at.seconds() - START.seconds()
}
