//! Changing from outside of a lease: an operator, a sweep, a new directory.

use std::sync::Arc;

use gateway_evidence::EventKind;
use gateway_model::Reason;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::Conflict;
use gateway_store::change::Change;

use crate::fixture::agency;
use crate::suite::{
    Suite, acceptance, assert_conflict, at, change, delivery_id, lane, lease_of, settlement, verified, waiting,
};

const HELD: DeliveryState = DeliveryState::Held { reason: Reason::HeldByOperator };

/// State and leaf are one commit, and the answer shows the row.
pub async fn a_change_moves_the_row_and_appends_its_leaf(suite: Suite) {
    let seq = suite.accept(1, "a", 0).await.seq;
    let changed = suite.store.change(change(delivery_id(1), DeliveryStatus::Waiting, 8, HELD)).await.unwrap();
    assert_eq!(verified(&changed.receipt).kind, EventKind::Released);
    let row = suite.row(seq).await;
    assert_eq!(changed.delivery, row);
    assert_eq!((row.state, row.wake, row.since, row.attempts), (HELD, None, at(8), 0));
    assert_eq!(suite.store.next_due().await.unwrap(), None);
    assert_eq!(suite.history(seq).await, [EventKind::Accepted, EventKind::Released]);
}

/// Two operators, or an operator and a worker, do not overwrite each other.
pub async fn a_change_from_an_unexpected_status_is_refused_and_changes_nothing(suite: Suite) {
    let seq = suite.accept(1, "a", 0).await.seq;
    let before = suite.row(seq).await;
    let several = [DeliveryStatus::Held, DeliveryStatus::Forwarded];
    let refused = Change { expect: several.to_vec(), ..change(delivery_id(1), DeliveryStatus::Held, 1, waiting(9)) };
    assert_conflict(suite.store.change(refused).await, Conflict::Status);
    assert_eq!((suite.row(seq).await, suite.log_size().await), (before, 1));
    let several = [DeliveryStatus::Held, DeliveryStatus::Waiting];
    let allowed = Change { expect: several.to_vec(), ..change(delivery_id(1), DeliveryStatus::Held, 1, HELD) };
    suite.store.change(allowed).await.unwrap();
}

/// A wrong id changes nothing.
pub async fn a_change_of_an_unknown_delivery_is_refused(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let refused = suite.store.change(change(delivery_id(2), DeliveryStatus::Waiting, 1, HELD)).await;
    assert_conflict(refused, Conflict::Unknown);
    assert_eq!(suite.log_size().await, 1);
}

/// A worker in flight learns that its delivery has been taken out of its hands.
pub async fn a_change_fences_a_lease_in_flight(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    suite.store.change(change(lease.delivery, DeliveryStatus::Waiting, 1, HELD)).await.unwrap();
    let late = suite.store.settle(settlement(lease, 2, DeliveryState::Delivered)).await;
    assert_conflict(late, Conflict::Stale);
    assert_eq!(suite.row(seq).await.state, HELD);
    assert!(suite.claim("a", 1_000_000).await.is_empty(), "neither the old wake-up nor the lease is left");
}

/// A change to Waiting takes the lease away as well: the next claim has a higher token.
pub async fn a_retry_now_fences_a_lease_in_flight_and_is_due(suite: Suite) {
    let (_, lease) = suite.leased().await;
    suite.store.change(change(lease.delivery, DeliveryStatus::Waiting, 1, waiting(1))).await.unwrap();
    let again = suite.claim("a", 1).await;
    assert!(again.len() == 1 && again[0].token > lease.token);
    assert_conflict(suite.store.settle(settlement(lease, 2, DeliveryState::Delivered)).await, Conflict::Stale);
    suite.settle(settlement(lease_of(&again[0]), 2, DeliveryState::Delivered)).await;
}

/// What a person released goes its new way at once.
pub async fn a_released_delivery_is_due_in_its_new_lane(suite: Suite) {
    let mut accept = acceptance(&suite.fixture.envelope(1));
    accept.deliveries[0].state = HELD;
    let seq = suite.store.accept(accept).await.unwrap().seq;
    let released = Change {
        lane: Some(lane("b")),
        serving: Some(agency("province")),
        ..change(delivery_id(1), DeliveryStatus::Held, 5, waiting(5))
    };
    suite.store.change(released).await.unwrap();
    let row = suite.row(seq).await;
    assert_eq!((row.recipient.serving, row.lane, row.wake), (agency("province"), lane("b"), Some(at(5))));
    assert!(suite.claim("a", 5).await.is_empty());
    assert_eq!(suite.claim("b", 5).await.len(), 1);
}

/// Operators that press the same button at the same instant: one of them has done it.
pub async fn of_many_changes_at_once_one_is_made(suite: Suite) {
    let seq = suite.accept(1, "a", 0).await.seq;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&suite.store);
            tokio::spawn(async move { store.change(change(delivery_id(1), DeliveryStatus::Waiting, 1, HELD)).await })
        })
        .collect();
    let answers: Vec<_> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_conflict(refused, Conflict::Status);
    }
    assert_eq!(suite.history(seq).await, [EventKind::Accepted, EventKind::Released]);
}
