//! Recording what another gateway says: once, and against no final state but one: what expired here may have arrived all the same.

use std::sync::Arc;

use gateway_evidence::EventKind;
use gateway_model::Reason;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::Conflict;
use gateway_store::record::Recorded;
use gateway_store::rows::EventSource;
use gateway_store::settle::Settle;

use crate::fixture::{OTHER, gateway_id};
use crate::suite::{Suite, assert_conflict, at, change, delivery_id, foreign, record, settlement};

/// A receipt that comes twice is one receipt.
pub async fn a_foreign_receipt_is_recorded_once(suite: Suite) {
    let seq = suite.accept(1, "a", 0).await.seq;
    let theirs = foreign(EventKind::Delivered, 1);
    let step = record(1, theirs.clone(), Vec::new());
    assert_eq!(suite.store.record(step.clone()).await.unwrap(), Recorded::New);
    assert_eq!(suite.store.record(step).await.unwrap(), Recorded::Known);
    let events = suite.events(seq).await;
    let sources: Vec<_> = events.iter().map(|event| event.source).collect();
    assert_eq!(sources, [EventSource::Own, EventSource::Foreign, EventSource::Own]);
    assert_eq!(events[1].receipt.encode(), theirs.bytes);
    assert_eq!(suite.history(seq).await[2], EventKind::Recorded);
    assert_eq!(suite.log_size().await, 2);
}

/// The final receipt ends the wait for it.
pub async fn a_recorded_receipt_moves_what_was_forwarded_and_clears_its_wake_up(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    suite.settle(Settle { wake: Some(at(900)), ..settlement(lease, 1, forwarded) }).await;
    let states = vec![(delivery_id(1), DeliveryState::Delivered)];
    let recorded = suite.store.record(record(1, foreign(EventKind::Delivered, 1), states)).await.unwrap();
    assert_eq!(recorded, Recorded::New);
    let row = suite.row(seq).await;
    assert_eq!((row.state, row.wake, row.since, row.attempts), (DeliveryState::Delivered, None, at(100), 1));
    assert_eq!(suite.store.next_due().await.unwrap(), None);
}

/// What is over stays over, whatever comes later; the receipt itself is kept.
pub async fn a_recorded_receipt_leaves_final_states_alone(suite: Suite) {
    let refused = DeliveryState::Refused { reason: Reason::AdapterRefused };
    let late = [(DeliveryState::Delivered, refused), (DeliveryState::Returned, DeliveryState::Delivered)];
    for (number, (over, says)) in (1..).zip(late) {
        let seq = suite.accept(number, "a", 0).await.seq;
        suite.store.change(change(delivery_id(number), DeliveryStatus::Waiting, 1, over)).await.unwrap();
        let before = suite.row(seq).await;
        let theirs = foreign(EventKind::Delivered, number);
        let recorded = suite.store.record(record(number, theirs, vec![(delivery_id(number), says)])).await.unwrap();
        assert_eq!((recorded, suite.row(seq).await), (Recorded::New, before));
        assert_eq!(suite.events(seq).await.len(), 4);
    }
}

/// What was delivered and not heard of before it expired here was delivered, and what was refused was refused.
pub async fn a_recorded_end_moves_what_has_expired_here(suite: Suite) {
    let refused = DeliveryState::Refused { reason: Reason::AdapterRefused };
    for (number, says) in [(1, DeliveryState::Delivered), (2, refused)] {
        let seq = suite.accept(number, "a", 0).await.seq;
        let expire = change(delivery_id(number), DeliveryStatus::Waiting, 1, DeliveryState::Expired);
        suite.store.change(expire).await.unwrap();
        let theirs = foreign(EventKind::Delivered, number);
        let step = record(number, theirs, vec![(delivery_id(number), says.clone())]);
        assert_eq!(suite.store.record(step).await.unwrap(), Recorded::New);
        let row = suite.row(seq).await;
        assert_eq!((row.state, row.wake, row.since), (says, None, at(100)));
    }
    assert_eq!(suite.store.purge_bodies(at(1_000), 10).await.unwrap(), 2, "it is over once, and its body can go");
}

/// What has expired never sets out again: its body may be gone.
pub async fn a_recorded_receipt_never_wakes_what_has_expired(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    suite.settle(settlement(lease, 1, DeliveryState::Expired)).await;
    let before = suite.row(seq).await;
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    for (kind, says) in [(EventKind::Accepted, crate::suite::waiting(9)), (EventKind::Forwarded, forwarded)] {
        suite.store.record(record(1, foreign(kind, 1), vec![(delivery_id(1), says)])).await.unwrap();
        assert_eq!(suite.row(seq).await, before);
    }
    assert_eq!(suite.store.next_due().await.unwrap(), None);
}

/// A receipt for some recipients moves these and no others.
pub async fn a_recorded_receipt_moves_only_what_it_names(suite: Suite) {
    let first = suite.accept(1, "a", 0).await.seq;
    let second = suite.accept(2, "a", 0).await.seq;
    let refused = DeliveryState::Refused { reason: Reason::AdapterRefused };
    let states = vec![(delivery_id(1), refused.clone())];
    suite.store.record(record(1, foreign(EventKind::Refused, 1), states)).await.unwrap();
    assert_eq!(suite.row(first).await.state, refused);
    assert_eq!(suite.row(second).await.state, crate::suite::waiting(0));
}

/// What is forwarded further on is still waited for: nothing waits without a wake-up.
pub async fn a_recorded_receipt_that_ends_nothing_keeps_the_wake_up(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    suite.settle(Settle { wake: Some(at(900)), ..settlement(lease, 1, forwarded.clone()) }).await;
    let states = vec![(delivery_id(1), forwarded.clone())];
    suite.store.record(record(1, foreign(EventKind::Forwarded, 1), states)).await.unwrap();
    let row = suite.row(seq).await;
    assert_eq!((row.state, row.wake, row.since), (forwarded, Some(at(900)), at(1)));
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(900)));
}

/// A receipt about one envelope moves no other one, whatever its record says.
pub async fn a_record_never_moves_a_delivery_of_another_envelope(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let other = suite.accept(2, "a", 0).await.seq;
    let states = vec![(delivery_id(2), DeliveryState::Delivered), (delivery_id(3), DeliveryState::Delivered)];
    suite.store.record(record(1, foreign(EventKind::Delivered, 1), states)).await.unwrap();
    assert_eq!(suite.row(other).await.state, crate::suite::waiting(0));
}

/// A delivery that a receipt has finished is out of its worker's hands.
pub async fn a_recorded_receipt_fences_a_lease_in_flight(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let states = vec![(lease.delivery, DeliveryState::Delivered)];
    suite.store.record(record(1, foreign(EventKind::Delivered, 1), states)).await.unwrap();
    let late = suite.store.settle(settlement(lease, 2, crate::suite::waiting(9))).await;
    assert_conflict(late, Conflict::Stale);
    assert_eq!(suite.row(seq).await.state, DeliveryState::Delivered);
}

/// A receipt about nothing that is here is not kept.
pub async fn a_receipt_about_an_unknown_envelope_is_refused(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let refused = suite.store.record(record(2, foreign(EventKind::Delivered, 2), Vec::new())).await;
    assert_conflict(refused, Conflict::Unknown);
    assert_eq!(suite.log_size().await, 1);
}

/// The receipt that a settlement brought comes again by the way back: it is known.
pub async fn a_receipt_that_a_settlement_brought_is_known(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let theirs = foreign(EventKind::Accepted, 1);
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    suite.settle(Settle { foreign: Some(theirs.clone()), ..settlement(lease, 1, forwarded) }).await;
    let events = suite.events(seq).await.len();
    assert_eq!(suite.store.record(record(1, theirs, Vec::new())).await.unwrap(), Recorded::Known);
    assert_eq!((suite.events(seq).await.len(), suite.log_size().await), (events, 2));
}

/// Receipts come back by several ways at the same instant: one is new.
pub async fn of_many_records_of_one_receipt_at_once_one_is_new(suite: Suite) {
    let seq = suite.accept(1, "a", 0).await.seq;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&suite.store);
            let step = record(1, foreign(EventKind::Delivered, 1), vec![(delivery_id(1), DeliveryState::Delivered)]);
            tokio::spawn(async move { store.record(step).await.unwrap() })
        })
        .collect();
    let answers: Vec<_> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == Recorded::New).count(), 1);
    assert_eq!((suite.events(seq).await.len(), suite.log_size().await), (3, 2));
}
