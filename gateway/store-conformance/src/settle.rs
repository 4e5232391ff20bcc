//! Settling: by the holder of the lease, once, and with the next wake-up in the same commit.

use std::sync::Arc;

use gateway_evidence::EventKind;
use gateway_model::Reason;
use gateway_model::state::DeliveryState;
use gateway_store::Conflict;
use gateway_store::claim::Lease;
use gateway_store::rows::EventSource;
use gateway_store::settle::{Attempted, Settle};

use crate::fixture::{OTHER, agency, gateway_id};
use crate::suite::{
    LEASE, Suite, assert_conflict, at, delivery_id, foreign, lane, lease_of, settlement, verified, waiting,
};

/// State, attempts and leaf are one commit.
pub async fn a_settlement_moves_the_row_and_appends_its_leaf(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let settled = suite.settle(settlement(lease, 7, DeliveryState::Delivered)).await;
    assert_eq!(verified(&settled.receipt.unwrap()).kind, EventKind::Delivered);
    let row = suite.row(seq).await;
    assert_eq!((row.state, row.wake, row.attempts, row.since), (DeliveryState::Delivered, None, 1, at(7)));
    assert_eq!(suite.history(seq).await, [EventKind::Accepted, EventKind::Delivered]);
}

/// Whoever lost its lease cannot write any more.
pub async fn a_settlement_with_an_older_token_is_refused_and_changes_nothing(suite: Suite) {
    let (seq, old) = suite.leased().await;
    let new = lease_of(&suite.claim("a", LEASE.as_secs()).await[0]);
    let before = suite.row(seq).await;
    let refused = suite.store.settle(settlement(old, 70, DeliveryState::Delivered)).await;
    assert_conflict(refused, Conflict::Stale);
    assert_eq!((suite.row(seq).await, suite.log_size().await), (before, 1));
    suite.settle(settlement(new, 71, DeliveryState::Delivered)).await;
    assert_eq!(suite.row(seq).await.state, DeliveryState::Delivered);
}

/// A lease ends with its settlement.
pub async fn a_settled_lease_cannot_be_settled_again(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    suite.settle(settlement(lease, 1, waiting(10))).await;
    assert_conflict(suite.store.settle(settlement(lease, 2, DeliveryState::Delivered)).await, Conflict::Stale);
    assert_eq!((suite.row(seq).await.state, suite.log_size().await), (waiting(10), 2));
}

/// Nobody can settle what nobody has claimed, or what is not there.
pub async fn a_lease_that_was_never_given_is_refused(suite: Suite) {
    suite.accept(1, "a", 0).await;
    for delivery in [delivery_id(1), delivery_id(2)] {
        for token in [0, 1, u64::MAX >> 1] {
            let settle = settlement(Lease { delivery, token }, 1, DeliveryState::Delivered);
            assert_conflict(suite.store.settle(settle).await, Conflict::Stale);
        }
    }
    assert_eq!(suite.log_size().await, 1);
}

/// A batch to one destination is settled as a whole or not at all.
pub async fn one_stale_lease_refuses_the_whole_settlement(suite: Suite) {
    let to = ["district", "province"].map(|agency| proto::v1::Recipient { agency: agency.to_owned() });
    let envelope = suite.fixture.sign(&proto::v1::Envelope { to: to.to_vec(), ..crate::fixture::draft(1) });
    let seq = suite.store.accept(crate::suite::acceptance(&envelope)).await.unwrap().seq;
    let leases: Vec<Lease> = suite.claim("a", 0).await.iter().map(lease_of).collect();
    let stale = Lease { token: leases[1].token - 1, ..leases[1] };
    let both = |leases| Settle { leases, ..settlement(stale, 1, DeliveryState::Delivered) };
    assert_conflict(suite.store.settle(both(vec![leases[0], stale])).await, Conflict::Stale);
    let rows = suite.store.deliveries(seq).await.unwrap();
    assert!(rows.iter().all(|row| row.state == waiting(0) && row.attempts == 0));
    suite.settle(both(leases)).await;
    let rows = suite.store.deliveries(seq).await.unwrap();
    assert!(rows.iter().all(|row| row.state == DeliveryState::Delivered && row.attempts == 1));
    assert_eq!(suite.log_size().await, 2, "one leaf for the batch");
}

/// What could not be handed over comes again at the time that was set, and at no other.
pub async fn a_deferral_clears_the_old_wake_up_and_sets_the_new_one(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let to = DeliveryState::Waiting { due: at(500), reason: Some(Reason::PeerUnreachable) };
    let settled = suite.settle(Settle { leaf: None, ..settlement(lease, 1, to.clone()) }).await;
    assert_eq!(settled.receipt, None);
    let row = suite.row(seq).await;
    assert_eq!((row.state, row.wake, row.attempts), (to, Some(at(500)), 1));
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(500)));
    assert!(suite.claim("a", 499).await.is_empty(), "neither the old wake-up nor the lease is left");
    let again = suite.claim("a", 500).await;
    assert!(again.len() == 1 && again[0].token > lease.token);
}

/// An operator asks since when something waits, not since when it was last tried.
pub async fn a_deferral_keeps_the_time_since_when_it_waits(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    suite.settle(settlement(lease, 9, waiting(10))).await;
    assert_eq!(suite.row(seq).await.since, crate::fixture::START);
}

/// A step that only moves a delivery is no attempt.
pub async fn a_move_without_an_attempt_does_not_count(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    suite.settle(Settle { attempted: Attempted::No, ..settlement(lease, 1, waiting(10)) }).await;
    assert_eq!(suite.row(seq).await.attempts, 0);
}

/// What the next gateway has wakes when its receipt is overdue.
pub async fn a_forwarded_delivery_wakes_when_asked_to(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    suite.settle(Settle { wake: Some(at(900)), ..settlement(lease, 1, forwarded.clone()) }).await;
    let row = suite.row(seq).await;
    assert_eq!((row.state, row.wake), (forwarded, Some(at(900))));
    assert!(suite.claim("a", 899).await.is_empty());
    assert_eq!(lease_of(&suite.claim("a", 900).await[0]).delivery, row.id);
}

/// What is over, or waits for a person, is never due.
pub async fn a_state_without_a_wake_up_is_never_due(suite: Suite) {
    let states = [
        DeliveryState::Delivered,
        DeliveryState::Refused { reason: Reason::AdapterRefused },
        DeliveryState::Held { reason: Reason::AdapterMissing },
        DeliveryState::Expired,
        DeliveryState::Returned,
    ];
    for (number, state) in (0..).zip(states) {
        let seq = suite.accept(number, "a", 0).await.seq;
        let lease = lease_of(&suite.claim("a", 0).await[0]);
        suite.settle(settlement(lease, 1, state.clone())).await;
        let row = suite.row(seq).await;
        assert_eq!((row.state, row.wake), (state, None));
        assert_eq!(suite.store.next_due().await.unwrap(), None);
        assert!(suite.claim("a", 1_000_000).await.is_empty());
    }
}

/// A new way is taken in the commit that found it.
pub async fn a_settlement_may_change_the_lane_and_who_serves(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let successor = agency("province");
    let settle = Settle {
        lane: Some(lane("b")),
        serving: Some(successor.clone()),
        attempted: Attempted::No,
        ..settlement(lease, 1, waiting(5))
    };
    suite.settle(settle).await;
    let row = suite.row(seq).await;
    assert_eq!((row.lane, row.recipient.serving, row.recipient.named), (lane("b"), successor, agency("district")));
    assert!(suite.claim("a", 1_000).await.is_empty());
    assert_eq!(suite.claim("b", 1_000).await.len(), 1);
}

/// The other gateway's receipt and the event that rests on it are one commit.
pub async fn a_settlement_keeps_the_foreign_receipt_that_it_rests_on(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let theirs = foreign(EventKind::Accepted, 1);
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    suite.settle(Settle { foreign: Some(theirs.clone()), ..settlement(lease, 1, forwarded) }).await;
    let events = suite.events(seq).await;
    let seen: Vec<_> = events.iter().map(|event| event.source).collect();
    assert_eq!(seen, [EventSource::Own, EventSource::Foreign, EventSource::Own]);
    assert_eq!(events[1].receipt.encode(), theirs.bytes);
    assert_eq!(suite.history(seq).await, [EventKind::Accepted, EventKind::Accepted, EventKind::Forwarded]);
    assert_eq!(suite.log_size().await, 2, "a foreign receipt is no leaf of ours");
}

/// A delivery that is handed over again brings the same receipt again: it is one receipt.
pub async fn a_foreign_receipt_of_two_settlements_is_kept_once(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    let settle = |lease, now| Settle {
        foreign: Some(foreign(EventKind::Accepted, 1)),
        wake: Some(at(now + 100)),
        ..settlement(lease, now, forwarded.clone())
    };
    suite.settle(settle(lease, 1)).await;
    let again = lease_of(&suite.claim("a", 101).await[0]);
    suite.settle(settle(again, 101)).await;
    use EventKind::{Accepted, Forwarded};
    assert_eq!(suite.history(seq).await, [Accepted, Accepted, Forwarded, Forwarded]);
}

/// A worker that answers twice, or two that believe they hold the same lease: one of them does.
pub async fn of_many_settlements_of_one_lease_at_once_one_holds(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&suite.store);
            tokio::spawn(async move { store.settle(settlement(lease, 1, DeliveryState::Delivered)).await })
        })
        .collect();
    let answers: Vec<_> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_conflict(refused, Conflict::Stale);
    }
    assert_eq!((suite.row(seq).await.attempts, suite.log_size().await), (1, 2));
}
