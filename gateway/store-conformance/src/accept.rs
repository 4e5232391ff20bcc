//! Accepting: once, for good, and never under two digests.

use std::sync::Arc;

use futures::FutureExt as _;
use gateway_model::state::DeliveryState;
use gateway_model::{Reason, Timestamp};
use gateway_store::Conflict;
use gateway_store::accept::NewDelivery;
use proto::v1;

use crate::fixture::{START, agency, draft};
use crate::suite::{Suite, acceptance, acceptance_for, assert_conflict, at, key, recipient, verified};

/// Everything that was handed over is read back as it was.
pub async fn an_accepted_envelope_is_found_with_all_that_was_kept(suite: Suite) {
    let envelope = suite.fixture.envelope(1);
    let accepted = suite.store.accept(acceptance(&envelope)).await.unwrap();
    assert!(!accepted.duplicate);
    let row = suite.store.find(envelope.key()).await.unwrap().unwrap();
    assert_eq!(
        (row.seq, row.digest, row.accepted_leaf),
        (accepted.seq, envelope.digest(), accepted.receipt.leaf_index)
    );
    assert_eq!((&row.key, &row.header), (envelope.key(), acceptance(&envelope).envelope.header()));
    assert_eq!(suite.store.body(accepted.seq).await.unwrap().as_ref(), Some(envelope.signed()));
    let delivery = suite.row(accepted.seq).await;
    assert_eq!(delivery.recipient, envelope.recipients()[0]);
    assert_eq!((delivery.state.due(), delivery.wake, delivery.attempts), (Some(START), Some(START), 0));
    assert_eq!((delivery.since, delivery.envelope, delivery.lane.as_str()), (START, accepted.seq, "a"));
    let summary = suite.store.delivery(delivery.id).await.unwrap().unwrap();
    assert_eq!((summary.delivery, summary.envelope.seq), (delivery, accepted.seq));
}

/// Every field of the header comes back, the rare ones too.
pub async fn a_relayed_envelope_keeps_its_way_and_its_first_receipt(suite: Suite) {
    let envelope = suite.fixture.sign(&v1::Envelope {
        case: Some(v1::Case { file_code: "H15.50-261008-0975".to_owned(), ..v1::Case::default() }),
        priority: v1::Priority::ExpressTimed.into(),
        ..draft(1)
    });
    let arrival = gateway_store::accept::Arrival {
        received_at: at(5),
        arrived_from: Some(crate::fixture::gateway_id("gw-district")),
        hops: vec![crate::fixture::gateway_id("gw-province"), crate::fixture::gateway_id("gw-district")],
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        first_accepted: Some(bytes::Bytes::from_static(b"the first receipt")),
    };
    let mut accept = acceptance(&envelope);
    accept.envelope = gateway_store::accept::NewEnvelope::new(&envelope, arrival);
    let expected = accept.envelope.header().clone();
    suite.store.accept(accept).await.unwrap();
    assert_eq!(suite.store.find(envelope.key()).await.unwrap().unwrap().header, expected);
}

/// A repeated submission is harmless: one row, one leaf, one receipt.
pub async fn the_same_envelope_again_gets_the_first_receipt_and_writes_nothing(suite: Suite) {
    let envelope = suite.fixture.envelope(1);
    let first = suite.store.accept(acceptance(&envelope)).await.unwrap();
    suite.accept(2, "a", 0).await;
    let second = suite.store.accept(acceptance(&envelope)).await.unwrap();
    assert!(second.duplicate);
    assert_eq!((second.seq, &second.receipt), (first.seq, &first.receipt));
    assert_eq!((suite.log_size().await, suite.events(first.seq).await.len()), (2, 1));
    assert_eq!(suite.store.counts().await.unwrap().envelopes, 2);
}

/// An id is used for one envelope only.
pub async fn the_same_id_with_another_digest_is_refused(suite: Suite) {
    let first = suite.accept(1, "a", 0).await;
    let other = suite.fixture.sign(&v1::Envelope { priority: v1::Priority::Urgent.into(), ..draft(1) });
    assert_conflict(suite.store.accept(acceptance(&other)).await, Conflict::OtherDigest);
    assert_eq!((suite.log_size().await, suite.events(first.seq).await.len()), (1, 1));
    assert_ne!(suite.store.find(&key(1)).await.unwrap().unwrap().digest, other.digest());
    assert_ne!(suite.store.body(first.seq).await.unwrap().as_ref(), Some(other.signed()));
}

/// A relay may bring a broadcast in pieces; each new piece has its own leaf.
pub async fn the_rest_of_a_broadcast_adds_its_deliveries_and_a_leaf_of_its_own(suite: Suite) {
    let to = ["district", "province"].map(|agency| v1::Recipient { agency: agency.to_owned() });
    let envelope = suite.fixture.sign(&v1::Envelope { to: to.to_vec(), ..draft(1) });
    let first = suite.store.accept(acceptance_for(&envelope, &envelope.recipients()[..1])).await.unwrap();
    let before = suite.row(first.seq).await;
    let rest = suite.store.accept(acceptance(&envelope)).await.unwrap();
    assert!(!rest.duplicate);
    assert_eq!((rest.seq, first.receipt.leaf_index, rest.receipt.leaf_index), (first.seq, 0, 1));
    verified(&rest.receipt);
    let rows = suite.store.deliveries(first.seq).await.unwrap();
    assert_eq!((rows.len(), &rows[0]), (2, &before));
    assert_eq!(rows[1].recipient, envelope.recipients()[1]);
    assert_eq!(suite.store.find(envelope.key()).await.unwrap().unwrap().accepted_leaf, 0);
    assert_eq!(suite.events(first.seq).await.len(), 2);
    let again = suite.store.accept(acceptance(&envelope)).await.unwrap();
    assert!(again.duplicate);
    assert_eq!((again.receipt, suite.log_size().await), (first.receipt, 2));
}

/// What has moved on stays where it is when the envelope comes again.
pub async fn a_duplicate_leaves_a_delivery_where_it_is(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    suite.settle(crate::suite::settlement(lease, 1, DeliveryState::Delivered)).await;
    let before = suite.row(seq).await;
    assert!(suite.store.accept(acceptance(&suite.fixture.envelope(1))).await.unwrap().duplicate);
    assert_eq!(suite.row(seq).await, before);
    assert!(suite.claim("a", 1_000).await.is_empty());
}

/// Duplicates that arrive at the same instant meet in the store.
pub async fn many_tasks_with_the_same_envelope_get_one_receipt(suite: Suite) {
    let accept = acceptance(&suite.fixture.envelope(1));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (store, accept) = (Arc::clone(&suite.store), accept.clone());
            tokio::spawn(async move { store.accept(accept).await.unwrap() })
        })
        .collect();
    let answers: Vec<_> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
    assert!(answers.iter().all(|answer| answer.receipt == answers[0].receipt && answer.seq == answers[0].seq));
    assert_eq!((suite.log_size().await, suite.claim("a", 0).await.len()), (1, 1));
}

/// Two envelopes under one id that arrive at the same instant: one is kept, the other one refused.
pub async fn of_two_digests_at_once_one_is_kept_and_the_other_refused(suite: Suite) {
    for number in 0..10 {
        let one = suite.fixture.envelope(number);
        let other = suite.fixture.sign(&v1::Envelope { priority: v1::Priority::Urgent.into(), ..draft(number) });
        let tasks: Vec<_> = [one, other]
            .map(|envelope| {
                let store = Arc::clone(&suite.store);
                tokio::spawn(async move { store.accept(acceptance(&envelope)).await })
            })
            .into();
        let answers: Vec<_> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let refused = answers.into_iter().find(Result::is_err).unwrap();
        assert_conflict(refused, Conflict::OtherDigest);
        assert_eq!(suite.log_size().await, number + 1);
    }
}

/// Concurrent acceptances share commits; each still has a place of its own in the log.
pub async fn many_envelopes_at_once_get_leaves_without_gaps(suite: Suite) {
    let suite = Arc::new(suite);
    let tasks: Vec<_> = (0..64u64)
        .map(|number| {
            let suite = Arc::clone(&suite);
            tokio::spawn(async move { suite.accept(number, "a", number).await })
        })
        .collect();
    let answers: Vec<_> = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let mut leaves: Vec<u64> = answers.iter().map(|answer| answer.receipt.leaf_index).collect();
    leaves.sort_unstable();
    assert_eq!(leaves, (0..64).collect::<Vec<u64>>());
    for (number, answer) in (0..).zip(&answers) {
        assert_eq!(verified(&answer.receipt).envelope_id, crate::fixture::envelope_id(number));
        assert_eq!(suite.store.find(&key(number)).await.unwrap().unwrap().seq, answer.seq);
    }
}

/// What has no way yet is kept, and waits for a person.
pub async fn a_delivery_without_a_way_is_kept_as_held_and_is_never_due(suite: Suite) {
    let mut accept = acceptance(&suite.fixture.envelope(1));
    accept.deliveries[0].state = DeliveryState::Held { reason: Reason::RouteMissing };
    let accepted = suite.store.accept(accept).await.unwrap();
    let row = suite.row(accepted.seq).await;
    assert_eq!((row.state, row.wake), (DeliveryState::Held { reason: Reason::RouteMissing }, None));
    assert_eq!(suite.store.next_due().await.unwrap(), None);
    assert!(suite.claim("a", 1_000_000).await.is_empty());
}

/// The largest broadcast is one commit.
pub async fn a_broadcast_to_very_many_is_kept_whole(suite: Suite) {
    let envelope = suite.fixture.envelope(1);
    let mut accept = acceptance(&envelope);
    accept.deliveries = broadcast(&envelope, gateway_model::limits::RECIPIENTS_MAX);
    let ids: Vec<_> = accept.deliveries.iter().map(|delivery| delivery.id).collect();
    let accepted = suite.store.accept(accept).await.unwrap();
    let rows = suite.store.deliveries(accepted.seq).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    assert_eq!(suite.log_size().await, 1);
}

/// A caller that goes away mid-way leaves all of the step or nothing of it.
pub async fn an_acceptance_whose_caller_goes_away_is_whole_or_not_there(suite: Suite) {
    for number in 0..20 {
        let accept = acceptance(&suite.fixture.envelope(number));
        // One look at the future starts the step; then its caller is gone.
        drop(suite.store.accept(accept.clone()).now_or_never());
        let accepted = suite.store.accept(accept).await.unwrap();
        assert_eq!(suite.store.deliveries(accepted.seq).await.unwrap().len(), 1);
        assert_eq!(suite.events(accepted.seq).await.len(), 1);
        assert_eq!(suite.log_size().await, number + 1);
        verified(&accepted.receipt);
    }
}

/// Deliveries to `count` agencies that need not exist.
pub(crate) fn broadcast(envelope: &gateway_verify::VerifiedEnvelope, count: usize) -> Vec<NewDelivery> {
    let one = |number| {
        let named = agency(&format!("recipient-{number}"));
        NewDelivery {
            id: gateway_model::id::DeliveryId::new(envelope.key(), &named),
            recipient: recipient(&named),
            lane: crate::suite::lane("a"),
            state: DeliveryState::Waiting { due: Timestamp::MAX, reason: None },
        }
    };
    (0..count).map(one).collect()
}
