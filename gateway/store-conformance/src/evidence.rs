//! The log: a leaf a step, in the same commit, provable for ever.

use gateway_evidence::{Checkpoint, EventKind, merkle};
use gateway_model::Digest;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::settle::{Attempted, Settle};

use crate::fixture::{OURS, log_signer};
use crate::suite::{Suite, acceptance, change, delivery_id, event, foreign, record, settlement, verified, waiting};

/// Before the first leaf there is nothing to sign.
pub async fn an_empty_log_has_no_checkpoint(suite: Suite) {
    assert_eq!(suite.store.checkpoint().await.unwrap(), None);
    assert_eq!(suite.store.leaf_hashes(0, 10).await.unwrap(), Vec::new());
    assert_eq!(suite.store.receipt(0).await.unwrap(), None);
}

/// The receipt that a step answers with is the one that is kept, and it verifies.
pub async fn every_receipt_verifies_and_stays_as_it_is(suite: Suite) {
    let accepted = suite.accept(1, "a", 0).await.receipt;
    let lease = crate::suite::lease_of(&suite.claim("a", 0).await[0]);
    let held = DeliveryState::Held { reason: gateway_model::Reason::RouteMissing };
    let settled = suite.settle(settlement(lease, 1, held)).await.receipt.unwrap();
    let changed =
        suite.store.change(change(delivery_id(1), DeliveryStatus::Held, 2, waiting(2))).await.unwrap().receipt;
    suite.accept(2, "a", 0).await;
    let kinds = [EventKind::Accepted, EventKind::Held, EventKind::Released];
    for (index, (receipt, kind)) in (0..).zip([accepted, settled, changed].iter().zip(kinds)) {
        assert_eq!(receipt.leaf_index, index);
        assert_eq!(verified(receipt).kind, kind);
        assert_eq!(suite.store.receipt(index).await.unwrap().as_ref(), Some(receipt));
    }
    assert_eq!(suite.store.receipt(4).await.unwrap(), None);
}

/// The leaf is exactly the bytes that the step brought.
pub async fn a_leaf_is_kept_byte_for_byte(suite: Suite) {
    let envelope = suite.fixture.envelope(1);
    let accepted = suite.store.accept(acceptance(&envelope)).await.unwrap();
    let expected = event(OURS, EventKind::Accepted, envelope.key(), envelope.digest()).encode();
    assert_eq!(accepted.receipt.event, expected);
    assert_eq!(suite.store.leaf_hashes(0, 10).await.unwrap(), vec![merkle::leaf_hash(&expected)]);
}

/// Every checkpoint covers the leaves before it, and every later one goes on from it.
pub async fn every_checkpoint_goes_on_from_the_one_before(suite: Suite) {
    let keys = [log_signer(OURS).verifier().clone()];
    let mut checkpoints = Vec::new();
    for number in 0..9 {
        suite.accept(number, "a", 0).await;
        let signed = suite.store.checkpoint().await.unwrap().unwrap();
        checkpoints.push(Checkpoint::open(&signed, OURS, &keys).unwrap());
    }
    let hashes = suite.store.leaf_hashes(0, 100).await.unwrap();
    let newest = checkpoints.last().unwrap();
    assert_eq!((newest.size, newest.root), (9, merkle::root(&hashes)));
    for old in &checkpoints {
        let proof = merkle::consistency(old.size, newest.size, &hashes).unwrap();
        merkle::verify_consistency((old.size, &old.root), (newest.size, &newest.root), &proof).unwrap();
    }
}

/// Leaf hashes are served from anywhere, in pieces.
pub async fn leaf_hashes_are_read_from_anywhere(suite: Suite) {
    for number in 0..5 {
        suite.accept(number, "a", 0).await;
    }
    let hashes = suite.store.leaf_hashes(0, 100).await.unwrap();
    assert_eq!(hashes.len(), 5);
    assert_eq!(suite.store.leaf_hashes(1, 2).await.unwrap(), hashes[1..3]);
    assert_eq!(suite.store.leaf_hashes(4, 100).await.unwrap(), hashes[4..]);
    assert_eq!(suite.store.leaf_hashes(5, 100).await.unwrap(), Vec::<Digest>::new());
    assert_eq!(suite.store.leaf_hashes(u64::MAX, 100).await.unwrap(), Vec::<Digest>::new());
}

/// A refused step, a duplicate and a deferral leave the log as it is.
pub async fn what_changes_nothing_to_tell_appends_nothing(suite: Suite) {
    let (_, lease) = suite.leased().await;
    let stale = gateway_store::claim::Lease { token: lease.token - 1, ..lease };
    assert!(suite.store.settle(settlement(stale, 1, DeliveryState::Delivered)).await.is_err());
    assert!(suite.store.change(change(delivery_id(1), DeliveryStatus::Held, 1, waiting(1))).await.is_err());
    assert!(suite.store.record(record(7, foreign(EventKind::Delivered, 7), Vec::new())).await.is_err());
    assert!(suite.store.accept(acceptance(&suite.fixture.envelope(1))).await.unwrap().duplicate);
    let deferral = Settle { leaf: None, attempted: Attempted::Yes, ..settlement(lease, 1, waiting(50)) };
    assert_eq!(suite.settle(deferral).await.receipt, None);
    assert_eq!(suite.log_size().await, 1);
}
