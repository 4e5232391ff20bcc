//! Keeping: over restarts, for the whole retention, and bodies only as long as they are needed.

use bytes::Bytes;
use gateway_evidence::{Checkpoint, merkle};
use gateway_model::Digest;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::claim::ReturnWhat;
use gateway_store::rows::EnvelopeSeq;
use gateway_store::settle::{ReturnState, Settle, SettleReturn};
use gateway_store::{Pressure, StoreError};
use proto::v1;

use crate::fixture::{OTHER, OURS, draft, gateway_id, log_signer};
use crate::suite::{
    LEASE, RETRY_MAX, Suite, acceptance, acceptance_for, at, back, change, delivery_id, foreign, key, lease_of, record,
    settlement, verified, waiting,
};

/// An attachment is needed as long as an envelope that names it is kept whole.
pub async fn parts_are_referenced_while_a_body_that_names_them_is_kept(suite: Suite) {
    let [one, two, none] = ["one", "two", "none"].map(|text| Digest::of(text.as_bytes()));
    accept_with_parts(&suite, 1, &[one]).await;
    accept_with_parts(&suite, 2, &[one, two]).await;
    let asked = [none, two, one];
    assert_eq!(suite.store.unreferenced(&asked).await.unwrap(), [none]);
    deliver(&suite, 2, 10).await;
    assert_eq!(suite.store.purge_bodies(at(1_000), 10).await.unwrap(), 1);
    assert_eq!(suite.store.unreferenced(&asked).await.unwrap(), [none, two]);
    deliver(&suite, 1, 10).await;
    assert_eq!(suite.store.purge_bodies(at(1_000), 10).await.unwrap(), 1);
    assert_eq!(suite.store.unreferenced(&asked).await.unwrap(), asked);
    assert!(suite.store.unreferenced(&[]).await.unwrap().is_empty());
}

/// A body goes when all is over and long enough over; everything else stays.
pub async fn bodies_are_purged_once_every_delivery_has_been_final_long_enough(suite: Suite) {
    let to = ["district", "province"].map(|agency| v1::Recipient { agency: agency.to_owned() });
    let envelope = suite.fixture.sign(&v1::Envelope { to: to.to_vec(), ..draft(1) });
    let seq = suite.store.accept(acceptance(&envelope)).await.unwrap().seq;
    let claimed = suite.claim("a", 0).await;
    suite.settle(settlement(lease_of(&claimed[0]), 10, DeliveryState::Delivered)).await;
    assert_eq!(suite.store.purge_bodies(at(1_000), 10).await.unwrap(), 0, "one delivery is open");
    suite.settle(settlement(lease_of(&claimed[1]), 20, DeliveryState::Expired)).await;
    assert_eq!(suite.store.purge_bodies(at(20), 10).await.unwrap(), 0, "the last one ended at that instant");
    let (deliveries, events) = (suite.store.deliveries(seq).await.unwrap(), suite.history(seq).await);
    assert_eq!(suite.store.purge_bodies(at(21), 10).await.unwrap(), 1);
    assert_eq!(suite.store.body(seq).await.unwrap(), None);
    assert_eq!(suite.store.purge_bodies(at(21), 10).await.unwrap(), 0, "a body is forgotten once");
    assert!(suite.store.find(envelope.key()).await.unwrap().is_some());
    assert_eq!(suite.store.deliveries(seq).await.unwrap(), deliveries);
    assert_eq!(suite.history(seq).await, events);
    assert_eq!(suite.store.counts().await.unwrap().envelopes, 1);
}

/// Purging is done in small steps.
pub async fn a_purge_takes_no_more_than_its_limit(suite: Suite) {
    for number in 0..5 {
        suite.accept(number, "a", 0).await;
        deliver(&suite, number, 10).await;
    }
    let mut purged = Vec::new();
    for _ in 0..4 {
        purged.push(suite.store.purge_bodies(at(1_000), 2).await.unwrap());
    }
    assert_eq!(purged, [2, 2, 1, 0]);
}

/// What waits for a person keeps its body, however long.
pub async fn a_held_delivery_keeps_its_body(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let held = DeliveryState::Held { reason: gateway_model::Reason::AdapterMissing };
    suite.settle(settlement(lease, 1, held)).await;
    assert_eq!(suite.store.purge_bodies(at(1_000_000), 10).await.unwrap(), 0);
    assert!(suite.store.body(seq).await.unwrap().is_some());
}

/// Duplicates are known for the whole retention, not for as long as the body is.
pub async fn a_purged_envelope_is_still_known_as_a_duplicate(suite: Suite) {
    let first = suite.accept(1, "a", 0).await;
    deliver(&suite, 1, 10).await;
    suite.store.purge_bodies(at(1_000), 10).await.unwrap();
    let again = suite.store.accept(acceptance(&suite.fixture.envelope(1))).await.unwrap();
    assert!(again.duplicate);
    assert_eq!((again.receipt, suite.store.body(first.seq).await.unwrap()), (first.receipt, None));
}

/// A broadcast that goes on after its body has been forgotten can still be delivered.
pub async fn the_rest_of_a_purged_broadcast_brings_its_body_back(suite: Suite) {
    let to = ["district", "province"].map(|agency| v1::Recipient { agency: agency.to_owned() });
    let envelope = suite.fixture.sign(&v1::Envelope { to: to.to_vec(), ..draft(1) });
    let first = suite.store.accept(acceptance_for(&envelope, &envelope.recipients()[..1])).await.unwrap();
    deliver(&suite, 1, 10).await;
    assert_eq!(suite.store.purge_bodies(at(1_000), 10).await.unwrap(), 1);
    suite.store.accept(acceptance(&envelope)).await.unwrap();
    assert_eq!(suite.store.body(first.seq).await.unwrap().as_ref(), Some(envelope.signed()));
    assert_eq!(suite.claim("a", 0).await.len(), 1);
}

/// A restart forgets nothing: rows, history, wake-ups, returns, duplicates. Whether leases outlive it is the backend's own: a store that one
/// process owns may find all work due at once, one that several share may not.
pub async fn everything_is_there_after_a_restart(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let lease = lease_of(&suite.claim("a", 0).await[0]);
    let returns = vec![back(ReturnWhat::ThisLeaf, 20)];
    suite.settle(Settle { returns, ..settlement(lease, 7, DeliveryState::Delivered) }).await;
    suite.store.record(record(1, foreign(gateway_evidence::EventKind::Delivered, 1), Vec::new())).await.unwrap();
    suite.accept(2, "b", 40).await;
    let second = suite.accept(3, "c", 0).await;
    let before = remembered(&suite, second.seq).await;

    let suite = suite.reopen().await;
    assert_eq!(remembered(&suite, second.seq).await, before);
    assert!(suite.store.accept(acceptance(&suite.fixture.envelope(2))).await.unwrap().duplicate);
    assert_eq!(suite.claim("c", 1).await.len(), 1);
    assert_eq!(suite.claim("b", 40).await.len(), 1);
    let (row, lease) = suite.claim_return("back", 20).await;
    verified(&gateway_evidence::Receipt::decode(&row.receipt).unwrap());
    suite.store.settle_returns(vec![SettleReturn { lease, to: ReturnState::Done }]).await.unwrap();
}

/// A lease of before the restart never looks newer than one of after it.
pub async fn tokens_go_on_rising_after_a_restart(suite: Suite) {
    let (_, old) = suite.leased().await;
    let suite = suite.reopen().await;
    let new = suite.claim("a", LEASE.as_secs()).await;
    assert!(new[0].token > old.token);
    let late = suite.store.settle(settlement(old, 70, DeliveryState::Delivered)).await;
    crate::suite::assert_conflict(late, gateway_store::Conflict::Stale);
}

/// The log goes on where it stopped: one log, not two.
pub async fn the_log_goes_on_after_a_restart(suite: Suite) {
    let keys = [log_signer(OURS).verifier().clone()];
    for number in 0..5 {
        suite.accept(number, "a", 0).await;
    }
    let old = Checkpoint::open(&suite.store.checkpoint().await.unwrap().unwrap(), OURS, &keys).unwrap();
    let receipt = suite.store.receipt(3).await.unwrap();
    let suite = suite.reopen().await;
    assert_eq!(suite.store.receipt(3).await.unwrap(), receipt);
    let next = suite.accept(5, "a", 0).await.receipt;
    assert_eq!(next.leaf_index, 5);
    verified(&next);
    let new = Checkpoint::open(&suite.store.checkpoint().await.unwrap().unwrap(), OURS, &keys).unwrap();
    let hashes = suite.store.leaf_hashes(0, 100).await.unwrap();
    let proof = merkle::consistency(old.size, new.size, &hashes).unwrap();
    merkle::verify_consistency((old.size, &old.root), (new.size, &new.root), &proof).unwrap();
}

/// Work that was due before a restart is heard of after it, without a new commit.
pub async fn whoever_opens_a_store_hears_of_its_work(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let suite = suite.reopen().await;
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(0)));
    assert_eq!(suite.store.due_lanes(at(0), 10).await.unwrap().len(), 1);
}

/// A clock that ran ahead must not put work off for years: after a start that knows the time it is due. Everything else wakes as it did.
pub async fn what_a_fast_clock_put_off_is_due_after_a_restart(suite: Suite) {
    let (years, soon) = (1_000_000_000, 100 + RETRY_MAX.as_secs());
    let late = suite.accept(1, "a", years).await.seq;
    suite.accept(2, "a", soon).await;
    let awaited = suite.accept(3, "b", 0).await.seq;
    let lease = lease_of(&suite.claim("b", 0).await[0]);
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    let returns = vec![back(ReturnWhat::ThisLeaf, years), back(ReturnWhat::ThisLeaf, soon)];
    suite.settle(Settle { wake: Some(at(years)), returns, ..settlement(lease, 1, forwarded) }).await;

    let suite = suite.reopen_at(100).await;
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(100)));
    let row = suite.row(late).await;
    assert_eq!((row.state, row.wake, row.attempts), (waiting(100), Some(at(100)), 0));
    let due: Vec<_> = suite.claim("a", 100).await.iter().map(|leased| lease_of(leased).delivery).collect();
    assert_eq!(due, [delivery_id(1)]);
    suite.claim_return("back", 100).await;
    assert_eq!(suite.claim("back", soon).await.len(), 2, "the other one, and the first, whose lease has run out");
    assert_eq!(suite.row(awaited).await.wake, Some(at(years)), "what is awaited has a date of its own");
}

/// After closing nothing is acknowledged that would not be kept.
pub async fn a_closed_store_takes_no_steps(suite: Suite) {
    let (_, lease) = suite.leased().await;
    suite.store.close().await;
    let unavailable = |error: Option<StoreError>| matches!(error, Some(StoreError::Unavailable { .. }));
    let accept = acceptance(&suite.fixture.envelope(2));
    assert!(unavailable(suite.store.accept(accept).await.err()));
    assert!(unavailable(suite.store.settle(settlement(lease, 1, DeliveryState::Delivered)).await.err()));
    let change = change(delivery_id(1), DeliveryStatus::Waiting, 1, waiting(9));
    assert!(unavailable(suite.store.change(change).await.err()));
    let record = record(1, foreign(gateway_evidence::EventKind::Delivered, 1), Vec::new());
    assert!(unavailable(suite.store.record(record).await.err()));
    assert!(matches!(suite.store.pressure(), Pressure::Busy { .. }));
    let suite = suite.reopen().await;
    assert_eq!((suite.log_size().await, suite.store.counts().await.unwrap().envelopes), (1, 1));
}

/// Delivers envelope `number`, which is due in lane `a`, `now` seconds after the start.
async fn deliver(suite: &Suite, number: u64, now: u64) {
    let change = change(delivery_id(number), DeliveryStatus::Waiting, now, DeliveryState::Delivered);
    suite.store.change(change).await.unwrap();
}

/// A description of a part with this digest, as an envelope has it.
pub(crate) fn part(digest: &Digest) -> v1::Part {
    v1::Part {
        name: "tờ trình.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 3,
        sha256: Bytes::copy_from_slice(&digest.0),
        role: String::new(),
    }
}

async fn accept_with_parts(suite: &Suite, number: u64, parts: &[Digest]) {
    let envelope = suite.fixture.sign(&v1::Envelope { parts: parts.iter().map(part).collect(), ..draft(number) });
    suite.store.accept(acceptance(&envelope)).await.unwrap();
}

/// Everything that can be asked of the first three envelopes, as text.
async fn remembered(suite: &Suite, last: EnvelopeSeq) -> Vec<String> {
    let mut told = vec![
        format!("{:?}", suite.store.counts().await.unwrap().log_size),
        format!("{:?}", suite.store.next_due().await.unwrap()),
        format!("{:?}", suite.store.due_lanes(at(1_000), 10).await.unwrap()),
        format!("{:?}", suite.store.checkpoint().await.unwrap()),
        format!("{:?}", suite.store.leaf_hashes(0, 100).await.unwrap()),
    ];
    for number in 1..4 {
        let row = suite.store.find(&key(number)).await.unwrap().unwrap();
        assert!(row.seq <= last);
        told.push(format!("{row:?}"));
        told.push(format!("{:?}", suite.store.body(row.seq).await.unwrap()));
        told.push(format!("{:?}", suite.store.deliveries(row.seq).await.unwrap()));
        told.push(format!("{:?}", suite.events(row.seq).await));
    }
    told
}
