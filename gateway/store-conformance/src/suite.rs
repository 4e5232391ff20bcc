//! A store under test with the steps that behaviours are made of. Every step that is expected to go well is unwrapped here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_evidence::{Event, EventKind, Log, Receipt};
use gateway_model::envelope::ResolvedRecipient;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeKey};
use gateway_model::note::NoteSigner;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Timestamp};
use gateway_store::accept::{Accept, Accepted, Arrival, NewDelivery, NewEnvelope};
use gateway_store::change::Change;
use gateway_store::claim::{Claim, Lane, Lease, Leased, NewReturn, ReturnLease, ReturnWhat, Work};
use gateway_store::record::Record;
use gateway_store::rows::{DeliveryRow, EnvelopeSeq, EventRow, ReturnRow};
use gateway_store::settle::{Attempted, ForeignReceipt, Settle, Settled};
use gateway_store::{Conflict, Store, StoreError};
use gateway_verify::VerifiedEnvelope;

use crate::fixture::{Fixture, OTHER, OURS, START, gateway_id, log_signer};

/// How long a lease holds here.
pub const LEASE: Duration = Duration::from_secs(60);

/// The longest span between two attempts here.
pub const RETRY_MAX: Duration = Duration::from_secs(3_600);

/// What a backend gives to the suite: a place that is empty at first, and a way to open it.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Opens the store at this backend's place, with a log signed by `signer`. When it has been opened before, that store has been closed
    /// and dropped, and everything that it kept is there again.
    async fn open(&self, signer: NoteSigner) -> Arc<dyn Store>;

    /// The same at `now`, with [`RETRY_MAX`] as the longest span between two attempts.
    async fn open_at(&self, signer: NoteSigner, now: Timestamp) -> Arc<dyn Store>;
}

/// A store under test.
pub struct Suite {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Signed envelopes.
    pub fixture: Fixture,
    backend: Box<dyn Backend>,
}

/// The instant `seconds` after [`START`].
pub fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// A lane.
pub fn lane(name: &str) -> Lane {
    Lane::new(name)
}

/// Due `seconds` after [`START`], for the first time.
pub fn waiting(seconds: u64) -> DeliveryState {
    DeliveryState::Waiting { due: at(seconds), reason: None }
}

impl Suite {
    /// Opens the empty store of a backend.
    pub async fn new(backend: impl Backend + 'static) -> Self {
        let store = backend.open(log_signer(OURS)).await;
        Self { store, fixture: Fixture::new(), backend: Box::new(backend) }
    }

    /// Closes the store and opens it again, as a restart does.
    pub async fn reopen(self) -> Self {
        let Self { store, fixture, backend } = self;
        store.close().await;
        drop(store);
        let store = backend.open(log_signer(OURS)).await;
        Self { store, fixture, backend }
    }

    /// The same `now` seconds after [`START`], as a start that knows the time does.
    pub async fn reopen_at(self, now: u64) -> Self {
        let Self { store, fixture, backend } = self;
        store.close().await;
        drop(store);
        let store = backend.open_at(log_signer(OURS), at(now)).await;
        Self { store, fixture, backend }
    }

    /// Accepts envelope number `number`, due `due` seconds after [`START`] in lane `lane`.
    pub async fn accept(&self, number: u64, lane_name: &str, due: u64) -> Accepted {
        let envelope = self.fixture.envelope(number);
        let mut accept = acceptance(&envelope);
        for delivery in &mut accept.deliveries {
            delivery.lane = lane(lane_name);
            delivery.state = waiting(due);
        }
        self.store.accept(accept).await.unwrap()
    }

    /// Accepts envelope 1, due at once in lane `a`, claims it at once, and gives its lease.
    pub async fn leased(&self) -> (EnvelopeSeq, Lease) {
        let seq = self.accept(1, "a", 0).await.seq;
        let leased = self.claim("a", 0).await;
        assert_eq!(leased.len(), 1, "the envelope is due");
        (seq, lease_of(&leased[0]))
    }

    /// Claims everything in a lane that is due `now` seconds after [`START`], for [`LEASE`].
    pub async fn claim(&self, lane_name: &str, now: u64) -> Vec<Leased> {
        let claim = Claim { lanes: vec![(lane(lane_name), 100)], now: at(now), lease_until: at(now).plus(LEASE) };
        self.store.claim_due(claim).await.unwrap()
    }

    /// Claims the only return in a lane.
    pub async fn claim_return(&self, lane_name: &str, now: u64) -> (ReturnRow, ReturnLease) {
        let leased = self.claim(lane_name, now).await;
        assert_eq!(leased.len(), 1, "one return is due");
        match &leased[0].work {
            Work::Return(row) => (row.clone(), ReturnLease { id: row.id, token: leased[0].token }),
            Work::Deliver { .. } => panic!("a delivery in the lane of returns"),
        }
    }

    /// Settles a lease.
    pub async fn settle(&self, settle: Settle) -> Settled {
        self.store.settle(settle).await.unwrap()
    }

    /// The only delivery of an envelope.
    pub async fn row(&self, seq: EnvelopeSeq) -> DeliveryRow {
        let rows = self.store.deliveries(seq).await.unwrap();
        assert_eq!(rows.len(), 1, "one delivery");
        rows[0].clone()
    }

    /// The kinds of the events of an envelope, oldest first, with those of other gateways.
    pub async fn history(&self, seq: EnvelopeSeq) -> Vec<EventKind> {
        self.events(seq).await.iter().map(|row| Event::decode(&row.receipt.event).unwrap().kind).collect()
    }

    /// The events of an envelope.
    pub async fn events(&self, seq: EnvelopeSeq) -> Vec<EventRow> {
        self.store.events(seq, None, 1_000).await.unwrap()
    }

    /// Leaves in the log.
    pub async fn log_size(&self) -> u64 {
        self.store.counts().await.unwrap().log_size
    }
}

/// The step that keeps an envelope with a delivery for each recipient, all of them due at once in lane `a`.
pub fn acceptance(envelope: &VerifiedEnvelope) -> Accept {
    acceptance_for(envelope, envelope.recipients())
}

/// The same for some recipients only.
pub fn acceptance_for(envelope: &VerifiedEnvelope, recipients: &[ResolvedRecipient]) -> Accept {
    let arrival =
        Arrival { received_at: START, arrived_from: None, hops: Vec::new(), traceparent: None, first_accepted: None };
    let delivery = |recipient: &ResolvedRecipient| NewDelivery {
        id: DeliveryId::new(envelope.key(), &recipient.named),
        recipient: recipient.clone(),
        lane: lane("a"),
        state: waiting(0),
    };
    Accept {
        envelope: NewEnvelope::new(envelope, arrival),
        deliveries: recipients.iter().map(delivery).collect(),
        leaf: event(OURS, EventKind::Accepted, envelope.key(), envelope.digest()).encode(),
    }
}

/// An event of a gateway about an envelope.
pub fn event(gateway: &str, kind: EventKind, key: &EnvelopeKey, digest: Digest) -> Event {
    Event {
        kind,
        gateway: gateway_id(gateway),
        at: START,
        sender: key.sender.clone(),
        envelope_id: key.id,
        envelope_digest: digest,
        recipients: Vec::new(),
        reason: None,
        counterpart: String::new(),
        attempt: 0,
        rests_on: None,
        verification: None,
        note: String::new(),
    }
}

/// A leaf of our own about envelope `number`; the store does not look into it.
pub fn leaf(kind: EventKind, number: u64) -> Bytes {
    event(OURS, kind, &key(number), Digest::of(b"envelope")).encode()
}

/// Sender and id of envelope `number`.
pub fn key(number: u64) -> EnvelopeKey {
    EnvelopeKey { sender: crate::fixture::agency("commune"), id: crate::fixture::envelope_id(number) }
}

/// The delivery of envelope `number` to the district.
pub fn delivery_id(number: u64) -> DeliveryId {
    DeliveryId::new(&key(number), &crate::fixture::agency("district"))
}

/// A receipt of the other gateway about envelope `number`.
pub fn foreign(kind: EventKind, number: u64) -> ForeignReceipt {
    let leaf = event(OTHER, kind, &key(number), Digest::of(b"envelope")).encode();
    let batch = Log::empty(log_signer(OTHER)).append(&[leaf]);
    ForeignReceipt { leaf_hash: batch.leaf_hashes[0], bytes: batch.receipts[0].encode() }
}

/// The lease of claimed work that is a delivery.
pub fn lease_of(leased: &Leased) -> Lease {
    match &leased.work {
        Work::Deliver { delivery, .. } => Lease { delivery: delivery.id, token: leased.token },
        Work::Return(_) => panic!("a return in the lane of deliveries"),
    }
}

/// The settlement of a lease, with its leaf, after an attempt `now` seconds after [`START`].
pub fn settlement(lease: Lease, now: u64, to: DeliveryState) -> Settle {
    let kind = match to.status() {
        DeliveryStatus::Waiting => EventKind::Rerouted,
        DeliveryStatus::Forwarded => EventKind::Forwarded,
        DeliveryStatus::Delivered => EventKind::Delivered,
        DeliveryStatus::Refused => EventKind::Refused,
        DeliveryStatus::Held => EventKind::Held,
        DeliveryStatus::Expired => EventKind::Expired,
        DeliveryStatus::Returned => EventKind::Returned,
    };
    Settle {
        leases: vec![lease],
        at: at(now),
        to,
        wake: None,
        lane: None,
        serving: None,
        attempted: Attempted::Yes,
        leaf: Some(leaf(kind, 1)),
        foreign: None,
        returns: Vec::new(),
    }
}

/// A change of a delivery `now` seconds after [`START`].
pub fn change(delivery: DeliveryId, expect: DeliveryStatus, now: u64, to: DeliveryState) -> Change {
    Change {
        delivery,
        expect: vec![expect],
        at: at(now),
        to,
        lane: None,
        serving: None,
        leaf: leaf(EventKind::Released, 1),
        returns: Vec::new(),
    }
}

/// The record of a foreign receipt about envelope `number`.
pub fn record(number: u64, foreign: ForeignReceipt, states: Vec<(DeliveryId, DeliveryState)>) -> Record {
    let leaf = leaf(EventKind::Recorded, number);
    Record { envelope: key(number), foreign, at: at(100), states, leaf, returns: Vec::new() }
}

/// A receipt on its way back, in lane `back`, due `due` seconds after [`START`].
pub fn back(what: ReturnWhat, due: u64) -> NewReturn {
    NewReturn { to: gateway_id(OTHER), lane: lane("back"), due: at(due), what }
}

/// Checks a receipt of our own and gives its event.
pub fn verified(receipt: &Receipt) -> Event {
    receipt.verify(OURS, &[log_signer(OURS).verifier().clone()]).expect("our receipts verify")
}

/// Expects a step to be refused.
pub fn assert_conflict<T: std::fmt::Debug>(result: Result<T, StoreError>, expected: Conflict) {
    match result {
        Err(StoreError::Conflict(conflict)) => assert_eq!(conflict, expected),
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

/// Who serves, by name.
pub fn recipient(named: &AgencyId) -> ResolvedRecipient {
    ResolvedRecipient { named: named.clone(), serving: named.clone() }
}
