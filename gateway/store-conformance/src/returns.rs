//! Receipts on their way back: work of their own, and never a cause of more receipts.

use gateway_evidence::{EventKind, Receipt};
use gateway_model::Reason;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::Conflict;
use gateway_store::change::Change;
use gateway_store::claim::{ReturnLease, ReturnWhat};
use gateway_store::record::Record;
use gateway_store::settle::{ReturnState, Settle, SettleReturn};

use crate::fixture::{OTHER, gateway_id};
use crate::suite::{
    LEASE, Suite, assert_conflict, at, back, change, delivery_id, foreign, record, settlement, verified,
};

/// The receipt of a settlement sets out with the settlement.
pub async fn a_return_of_this_leaf_carries_the_receipt_of_the_step(suite: Suite) {
    let (_, lease) = suite.leased().await;
    let returns = vec![back(ReturnWhat::ThisLeaf, 20)];
    let settled = suite.settle(Settle { returns, ..settlement(lease, 1, DeliveryState::Delivered) }).await;
    assert!(suite.claim("back", 19).await.is_empty());
    let (row, _) = suite.claim_return("back", 20).await;
    assert_eq!((&row.to, row.attempts), (&gateway_id(OTHER), 0));
    let receipt = Receipt::decode(&row.receipt).unwrap();
    assert_eq!(Some(&receipt), settled.receipt.as_ref());
    assert_eq!(verified(&receipt).kind, EventKind::Delivered);
}

/// The receipt of a change sets out with the change.
pub async fn a_change_sends_its_receipt_back_too(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let returns = vec![back(ReturnWhat::ThisLeaf, 5)];
    let step = Change { returns, ..change(delivery_id(1), DeliveryStatus::Waiting, 1, DeliveryState::Returned) };
    let changed = suite.store.change(step).await.unwrap();
    let (row, _) = suite.claim_return("back", 5).await;
    assert_eq!(Receipt::decode(&row.receipt).unwrap(), changed.receipt);
}

/// A receipt from further on is passed back as it came, together with our own.
pub async fn a_record_passes_the_foreign_receipt_back_byte_for_byte(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let theirs = foreign(EventKind::Delivered, 1);
    let returns = vec![back(ReturnWhat::Foreign, 10), back(ReturnWhat::ThisLeaf, 30)];
    let states = vec![(delivery_id(1), DeliveryState::Delivered)];
    suite.store.record(Record { returns, ..record(1, theirs.clone(), states) }).await.unwrap();
    let (foreign, _) = suite.claim_return("back", 10).await;
    assert_eq!(foreign.receipt, theirs.bytes);
    let (own, _) = suite.claim_return("back", 30).await;
    assert_eq!(verified(&Receipt::decode(&own.receipt).unwrap()).kind, EventKind::Recorded);
    assert_ne!(own.id, foreign.id);
}

/// A return is a receipt; a step without it is refused as a whole.
pub async fn a_return_of_a_receipt_that_the_step_does_not_have_is_refused(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let before = suite.row(seq).await;
    let without_foreign = Settle {
        returns: vec![back(ReturnWhat::ThisLeaf, 20), back(ReturnWhat::Foreign, 20)],
        ..settlement(lease, 1, DeliveryState::Delivered)
    };
    assert_conflict(suite.store.settle(without_foreign).await, Conflict::Unknown);
    let without_leaf = Settle {
        leaf: None,
        returns: vec![back(ReturnWhat::ThisLeaf, 20)],
        ..settlement(lease, 1, crate::suite::waiting(9))
    };
    assert_conflict(suite.store.settle(without_leaf).await, Conflict::Unknown);
    let returns = vec![back(ReturnWhat::Foreign, 20)];
    let step = Change { returns, ..change(delivery_id(1), DeliveryStatus::Waiting, 1, DeliveryState::Returned) };
    assert_conflict(suite.store.change(step).await, Conflict::Unknown);
    assert_eq!((suite.row(seq).await, suite.log_size().await), (before, 1));
    assert_eq!(suite.store.counts().await.unwrap().returns, 0);
    suite.settle(settlement(lease, 1, DeliveryState::Delivered)).await;
}

/// A return is work like any other: it is told, leased and due again.
pub async fn a_return_has_its_own_wake_up_and_its_own_lease(suite: Suite) {
    set_out(&suite).await;
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(20)));
    let heads = suite.store.due_lanes(at(20), 10).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.lane.as_str()).collect::<Vec<_>>(), ["back"]);
    let (_, first) = suite.claim_return("back", 20).await;
    assert!(suite.claim("back", 20 + LEASE.as_secs() - 1).await.is_empty());
    let (_, second) = suite.claim_return("back", 20 + LEASE.as_secs()).await;
    assert!(second.id == first.id && second.token > first.token);
}

/// What has arrived is off the list, and has written no leaf.
pub async fn a_return_that_is_done_is_gone_without_a_leaf(suite: Suite) {
    let lease = returning(&suite).await;
    let before = suite.log_size().await;
    assert_eq!(suite.store.counts().await.unwrap().returns, 1);
    settle(&suite, lease, ReturnState::Done).await.unwrap();
    assert_eq!(suite.store.counts().await.unwrap().returns, 0);
    assert!(suite.claim("back", 1_000_000).await.is_empty());
    assert_eq!((suite.log_size().await, suite.store.next_due().await.unwrap()), (before, None));
}

/// What did not arrive is tried again, and counts.
pub async fn a_return_that_waits_is_due_again_and_counts_its_attempt(suite: Suite) {
    let lease = returning(&suite).await;
    let waiting = ReturnState::Waiting { due: at(300), reason: Reason::PeerUnreachable };
    settle(&suite, lease, waiting).await.unwrap();
    assert!(suite.claim("back", 299).await.is_empty());
    let (row, again) = suite.claim_return("back", 300).await;
    assert_eq!((row.attempts, row.id), (1, lease.id));
    assert!(again.token > lease.token);
}

/// What the other side refuses for good waits for a person.
pub async fn a_held_return_is_kept_and_never_due(suite: Suite) {
    let lease = returning(&suite).await;
    settle(&suite, lease, ReturnState::Held { reason: Reason::PeerRefused }).await.unwrap();
    assert!(suite.claim("back", 1_000_000).await.is_empty());
    let counts = suite.store.counts().await.unwrap();
    assert_eq!((counts.returns, suite.store.next_due().await.unwrap()), (1, None));
}

/// Whoever lost its lease cannot settle a return, nor can anyone twice.
pub async fn one_stale_return_refuses_the_whole_settlement(suite: Suite) {
    let old = returning(&suite).await;
    let (_, new) = suite.claim_return("back", 20 + LEASE.as_secs()).await;
    let done = |lease| SettleReturn { lease, to: ReturnState::Done };
    assert_conflict(suite.store.settle_returns(vec![done(new), done(old)]).await, Conflict::Stale);
    assert_eq!(suite.store.counts().await.unwrap().returns, 1);
    suite.store.settle_returns(vec![done(new)]).await.unwrap();
    assert_conflict(suite.store.settle_returns(vec![done(new)]).await, Conflict::Stale);
}

/// Delivers envelope 1, with a return that is due 20 seconds after the start.
async fn set_out(suite: &Suite) {
    let (_, lease) = suite.leased().await;
    let returns = vec![back(ReturnWhat::ThisLeaf, 20)];
    suite.settle(Settle { returns, ..settlement(lease, 1, DeliveryState::Delivered) }).await;
}

/// The same, and claims the return.
async fn returning(suite: &Suite) -> ReturnLease {
    set_out(suite).await;
    suite.claim_return("back", 20).await.1
}

async fn settle(suite: &Suite, lease: ReturnLease, to: ReturnState) -> Result<(), gateway_store::StoreError> {
    suite.store.settle_returns(vec![SettleReturn { lease, to }]).await
}
