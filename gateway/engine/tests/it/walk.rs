//! One gateway walks: to the systems of its own agencies.

use std::time::Duration;

use adapters_sdk::Scope;
use gateway_evidence::EventKind::{Accepted, Delivered, Expired, Held, Refused, Rerouted, Succeeded};
use gateway_model::Reason;
use gateway_model::state::DeliveryState;

use crate::system::{Answer, Node};
use crate::world::{COMMUNE, START, WORLD, agency_id, agency_of, draft, gateway, instant, key};

fn ours(kinds: &[gateway_evidence::EventKind]) -> Vec<(String, gateway_evidence::EventKind)> {
    kinds.iter().map(|kind| (COMMUNE.to_owned(), *kind)).collect()
}

#[tokio::test]
async fn an_envelope_for_our_own_agency_is_delivered_once_and_both_events_are_proven() {
    let node = Node::new(COMMUNE);
    let accepted = node.submit(1, &["ward"]).await.unwrap();
    assert!(!accepted.duplicate);
    assert_eq!(node.walk().await, 1);
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    assert_eq!(node.system.taken().len(), 1);
    assert_eq!(node.story(1).await, ours(&[Accepted, Delivered]));
    let snapshot = WORLD.snapshot();
    let keys = &snapshot.directory().gateway(&gateway(COMMUNE)).unwrap().log_keys;
    accepted.receipt.verify(COMMUNE, keys).unwrap();
    assert_eq!(node.walk().await, 0, "nothing is left to do");
}

#[tokio::test]
async fn each_recipient_is_a_delivery_of_its_own() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Refuse(Reason::AdapterRefused));
    node.submit(1, &["ward", "commune"]).await.unwrap();
    node.walk().await;
    let states: Vec<DeliveryState> = node.rows(1).await.into_iter().map(|row| row.state).collect();
    assert_eq!(states.len(), 2);
    assert!(states.contains(&DeliveryState::Delivered));
    assert!(states.contains(&DeliveryState::Refused { reason: Reason::AdapterRefused }));
    assert!(node.story(1).await.contains(&(COMMUNE.to_owned(), Refused)));
}

#[tokio::test]
async fn what_is_deferred_waits_with_its_reason_and_is_tried_again() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    let DeliveryState::Waiting { due, reason } = node.state(1).await else { panic!("it waits") };
    assert_eq!(reason, Some(Reason::AdapterFailed));
    assert!(due > START && due <= START.plus(Duration::from_secs(5)), "{due}");
    node.pass(Duration::from_secs(10)).await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    assert_eq!(node.rows(1).await[0].attempts, 2);
}

#[tokio::test]
async fn a_wish_to_be_left_alone_for_a_while_is_honoured() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Wait(Duration::from_secs(600)));
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    node.pass(Duration::from_secs(595)).await;
    assert_eq!(node.system.calls().len(), 1);
    node.pass(Duration::from_secs(70)).await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn an_adapter_that_breaks_down_is_caught_and_its_poison_is_held_while_neighbours_go_on() {
    let node = Node::new(COMMUNE);
    node.system.always(key(1), Answer::Panic);
    node.submit(1, &["ward"]).await.unwrap();
    node.submit(2, &["ward"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(2).await, DeliveryState::Delivered);
    node.pass(Duration::from_secs(60)).await;
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::AdapterPanicked });
    assert_eq!(node.story(1).await, ours(&[Accepted, Held]));
    node.submit(3, &["ward"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(3).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn what_silences_its_worker_again_and_again_is_held_once_others_get_through() {
    let node = Node::new(COMMUNE);
    node.system.always(key(1), Answer::Defer(Reason::WorkerSilent, Scope::Delivery));
    node.submit(1, &["ward"]).await.unwrap();
    // A worker that falls silent at everything is not held against a delivery.
    for _ in 0..12 {
        node.clock.advance(Duration::from_secs(3_600));
        node.walk().await;
    }
    assert!(matches!(node.state(1).await, DeliveryState::Waiting { reason: Some(Reason::WorkerSilent), .. }));
    node.submit(2, &["ward"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(2).await, DeliveryState::Delivered);
    node.pass(Duration::from_secs(4_200)).await;
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::WorkerSilent });
}

#[tokio::test]
async fn what_fails_by_itself_is_tried_until_it_expires_however_often_it_failed() {
    let node = Node::new(COMMUNE);
    node.system.always(key(1), Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit(1, &["ward"]).await.unwrap();
    for _ in 0..40 {
        node.clock.advance(Duration::from_secs(3_600));
        node.walk().await;
    }
    assert!(node.rows(1).await[0].attempts >= 40);
    assert!(matches!(node.state(1).await, DeliveryState::Waiting { reason: Some(Reason::AdapterFailed), .. }));
    node.system.always(key(1), Answer::Take);
    node.clock.advance(Duration::from_secs(3_600));
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_system_that_never_answers_is_left_when_the_lease_is_about_to_end() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Hang);
    node.submit(1, &["ward"]).await.unwrap();
    let walk = async { node.walk().await };
    let time = async {
        while node.system.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        node.clock.advance(Duration::from_secs(50));
    };
    tokio::join!(walk, time);
    let DeliveryState::Waiting { reason, .. } = node.state(1).await else { panic!("it waits") };
    assert_eq!(reason, Some(Reason::AdapterUnavailable));
    let gates = node.engine.operate().gates();
    assert_eq!(gates.len(), 1, "nobody else was answered meanwhile: the system is taken to be down");
}

#[tokio::test]
async fn without_an_adapter_it_is_held_and_goes_on_when_released() {
    let node = Node::new(COMMUNE);
    // The relay to the district is missing here.
    node.submit(1, &["district"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::AdapterMissing });
}

#[tokio::test]
async fn what_is_not_delivered_in_time_expires_and_says_so() {
    let node = Node::new(COMMUNE);
    let mut draft = draft(1, &["ward"]);
    draft.expires_at = Some(instant(START.plus(Duration::from_secs(60))));
    node.system.always(key(1), Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit_bytes(WORLD.sign(&draft)).await.unwrap();
    node.pass(Duration::from_secs(65)).await;
    assert_eq!(node.state(1).await, DeliveryState::Expired);
    assert_eq!(node.story(1).await, ours(&[Accepted, Expired]));
}

#[tokio::test]
async fn a_successor_gets_what_was_meant_for_an_agency_that_ended_meanwhile() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    let changed = WORLD.changed(|content| {
        content.version = 2;
        let ward = agency_of(content, "ward");
        ward.validity.until = Some(START.plus(Duration::from_secs(1)));
        ward.succeeded_by = vec![agency_id("commune")];
    });
    node.trust.replace(changed).unwrap();
    node.pass(Duration::from_secs(10)).await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    assert_eq!(node.story(1).await, ours(&[Accepted, Succeeded, Delivered]));
    let row = &node.rows(1).await[0];
    assert_eq!((&row.recipient.named, &row.recipient.serving), (&agency_id("ward"), &agency_id("commune")));
    assert_eq!(node.events(1).await[1].counterpart, "commune");
}

#[tokio::test]
async fn an_agency_that_ended_without_a_successor_leaves_its_envelopes_held() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    let changed = WORLD.changed(|content| {
        content.version = 2;
        agency_of(content, "ward").validity.until = Some(START.plus(Duration::from_secs(1)));
    });
    node.trust.replace(changed).unwrap();
    node.pass(Duration::from_secs(10)).await;
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::RecipientEnded });
}

#[tokio::test]
async fn when_the_directory_moves_an_agency_its_envelopes_are_rerouted() {
    let node = Node::new(COMMUNE);
    // No relay here: it would be held for that. So the move is the other way round.
    node.trust
        .replace(WORLD.changed(|content| {
            content.version = 2;
            agency_of(content, "ward").gateway = Some(gateway("gw-district"));
        }))
        .unwrap();
    node.submit(1, &["ward"]).await.unwrap();
    node.trust.replace(WORLD.changed(|content| content.version = 3)).unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    assert_eq!(node.story(1).await, ours(&[Accepted, Rerouted, Delivered]));
}

#[tokio::test]
async fn trust_that_was_withdrawn_after_acceptance_holds_until_a_person_has_looked() {
    let node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    let changed = WORLD.changed(|content| {
        content.version = 2;
        content.crls[0] = WORLD.crl_with_the_seal();
    });
    node.trust.replace(changed).unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::TrustChanged });
    assert!(node.system.calls().is_empty());
    let row = node.summary(1, "ward").await;
    let action = gateway_engine::operate::Action {
        operator: crate::world::operator(),
        delivery: row.delivery.id,
        note: "the paper original was seen".to_owned(),
    };
    node.engine.operate().release(&action).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn nothing_leaves_by_an_expired_directory() {
    let node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    node.clock.jump(366 * 24 * 3_600 * 1_000_000);
    assert_eq!(node.walk().await, 0);
    assert_eq!(node.engine.operate().busy().unwrap().0, Reason::DirectoryExpired);
}

#[tokio::test]
async fn the_loop_walks_what_comes_in_and_ends_when_it_is_told() {
    let node = Node::new(COMMUNE);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = {
        let (engine, shutdown) = (node.engine.clone(), shutdown.clone());
        tokio::spawn(async move { engine.run(shutdown).await })
    };
    let mut notices = node.engine.events().subscribe();
    node.system.next(Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    let accepted = node.submit(1, &["ward"]).await.unwrap();
    assert!(notices.about(accepted.seq).await, "accepted");
    assert!(notices.about(accepted.seq).await, "deferred");
    node.clock.advance(Duration::from_secs(10));
    assert!(notices.about(accepted.seq).await, "delivered");
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    shutdown.cancel();
    running.await.unwrap();
    assert_eq!(node.submit(2, &["ward"]).await.unwrap_err().reason, Reason::Draining);
}

#[tokio::test]
async fn at_shutdown_work_under_way_is_waited_for_and_then_cut_off() {
    let node = Node::new(COMMUNE);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = {
        let (engine, shutdown) = (node.engine.clone(), shutdown.clone());
        tokio::spawn(async move { engine.run(shutdown).await })
    };
    node.system.next(Answer::Hang);
    node.submit(1, &["ward"]).await.unwrap();
    while node.system.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!running.is_finished(), "it waits for the system");
    node.clock.advance(Duration::from_secs(21));
    running.await.unwrap();
    node.pass(Duration::from_secs(60)).await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered, "the lease ran out, and it was walked again");
}

#[tokio::test]
async fn a_wall_clock_that_jumps_moves_no_schedule() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    node.clock.jump(-2 * 24 * 3_600 * 1_000_000);
    node.pass(Duration::from_secs(10)).await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
}
