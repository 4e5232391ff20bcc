//! The crash table of the design: wherever the process dies, nothing is lost and no effect happens twice.

use std::time::Duration;

use gateway_evidence::EventKind::{Accepted, Delivered};
use gateway_model::Reason;
use gateway_model::state::DeliveryState;
use gateway_store::faulty::{Fault, Gate, Step};

use crate::system::{Answer, Node, from_system};
use crate::world::{COMMUNE, DISTRICT, agency_id, envelope, gateway, key};

/// After the crash: the lease of the dead process runs out, and everything is walked again.
async fn walk_after_the_lease(node: &Node) {
    node.pass(Duration::from_secs(70)).await;
}

/// It has been delivered, with one effect, and its history says so once.
async fn check_delivered_once(node: &Node) {
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    assert_eq!(node.system.taken().len(), 1);
    let story: Vec<_> = node.story(1).await.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(story, [Accepted, Delivered]);
}

/// Submits, and dies at the gate that `fault` sets at the accept step.
async fn die_in_accept(node: &mut Node, fault: fn(Gate) -> Fault) {
    let gate = Gate::new();
    node.faults.next(Step::Accept, fault(gate.clone()));
    tokio::select! {
        answer = node.submit(1, &["ward"]) => panic!("answered before the commit was through: {answer:?}"),
        () = gate.arrival() => {}
    }
    node.restart();
}

/// Walks, and dies at the gate that `fault` sets at `step`.
async fn die_in_walk(node: &mut Node, step: Step, fault: fn(Gate) -> Fault) {
    let gate = Gate::new();
    node.faults.next(step, fault(gate.clone()));
    tokio::select! {
        rows = node.walk() => panic!("walked {rows} rows past the gate"),
        () = gate.arrival() => {}
    }
    node.restart();
}

#[tokio::test]
async fn before_the_commit_there_is_no_receipt_and_the_sender_repeats() {
    let mut node = Node::new(COMMUNE);
    die_in_accept(&mut node, Fault::WaitBefore).await;
    assert!(node.engine.store().find(&key(1)).await.unwrap().is_none());
    assert!(!node.submit(1, &["ward"]).await.unwrap().duplicate);
    node.walk().await;
    check_delivered_once(&node).await;
}

#[tokio::test]
async fn after_the_commit_and_before_the_answer_the_repeat_gets_the_first_receipt() {
    let mut node = Node::new(COMMUNE);
    die_in_accept(&mut node, Fault::WaitAfter).await;
    let row = node.engine.store().find(&key(1)).await.unwrap().unwrap();
    let first = node.engine.store().receipt(row.accepted_leaf).await.unwrap().unwrap();
    let again = node.submit(1, &["ward"]).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.receipt, first);
    node.walk().await;
    check_delivered_once(&node).await;
}

#[tokio::test]
async fn during_the_claim_the_work_is_claimed_again() {
    for fault in [Fault::WaitBefore as fn(Gate) -> Fault, Fault::WaitAfter] {
        let mut node = Node::new(COMMUNE);
        node.submit(1, &["ward"]).await.unwrap();
        die_in_walk(&mut node, Step::Claim, fault).await;
        assert!(node.system.calls().is_empty());
        walk_after_the_lease(&node).await;
        check_delivered_once(&node).await;
    }
}

#[tokio::test]
async fn during_the_hand_over_the_lease_runs_out_and_it_is_walked_again() {
    let mut node = Node::new(COMMUNE);
    node.system.next(Answer::Hang);
    node.submit(1, &["ward"]).await.unwrap();
    tokio::select! {
        rows = node.walk() => panic!("walked {rows} rows past a system that hangs"),
        () = async { while node.system.calls().is_empty() { tokio::task::yield_now().await; } } => {}
    }
    node.restart();
    assert_eq!(node.walk().await, 0, "the lease still holds");
    walk_after_the_lease(&node).await;
    check_delivered_once(&node).await;
}

#[tokio::test]
async fn after_the_system_took_it_and_before_settling_it_is_delivered_again_under_the_same_id() {
    for answer in [None, Some(Answer::TakeAndHang)] {
        let mut node = Node::new(COMMUNE);
        node.submit(1, &["ward"]).await.unwrap();
        match answer {
            None => die_in_walk(&mut node, Step::Settle, Fault::WaitBefore).await,
            Some(answer) => {
                node.system.next(answer);
                tokio::select! {
                    rows = node.walk() => panic!("walked {rows} rows past a system that hangs"),
                    () = async { while node.system.taken().is_empty() { tokio::task::yield_now().await; } } => {}
                }
                node.restart();
            }
        }
        walk_after_the_lease(&node).await;
        assert_eq!(node.system.calls().len(), 2, "twice under one id: {:?}", node.system.taken());
        check_delivered_once(&node).await;
    }
}

#[tokio::test]
async fn after_settling_nothing_happens_again() {
    let mut node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    die_in_walk(&mut node, Step::Settle, Fault::WaitAfter).await;
    walk_after_the_lease(&node).await;
    assert_eq!(node.system.calls().len(), 1);
    check_delivered_once(&node).await;
}

#[tokio::test]
async fn a_store_that_cannot_say_whether_it_accepted_is_read_back() {
    let node = Node::new(COMMUNE);
    node.faults.next(Step::Accept, Fault::UnknownAfter);
    let accepted = node.submit(1, &["ward"]).await.unwrap();
    assert!(!accepted.duplicate);
    node.faults.next(Step::Accept, Fault::UnknownBefore);
    let refusal = node.submit(2, &["ward"]).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::StoreUnavailable);
    assert!(refusal.retry_after.is_some());
    node.walk().await;
    check_delivered_once(&node).await;
}

#[tokio::test]
async fn every_fault_of_the_store_at_every_step_ends_in_one_delivery() {
    for step in [Step::Accept, Step::Claim, Step::Settle] {
        for fault in Fault::ERRORS {
            let node = Node::new(COMMUNE);
            node.faults.next(step, fault.clone());
            while node.submit(1, &["ward"]).await.is_err() {}
            let mut worker = gateway_engine::worker::Worker::new(&node.engine);
            for _ in 0..15 {
                // A claim that fails is no reason to stop.
                let _rows = worker.turn().await;
                node.clock.advance(Duration::from_secs(5));
            }
            assert_eq!(node.faults.met().len(), 1, "{step:?} {fault:?} was met");
            check_delivered_once(&node).await;
        }
    }
}

#[tokio::test]
async fn the_rest_of_a_broadcast_is_not_taken_for_kept_because_its_beginning_is() {
    let node = Node::new(DISTRICT);
    let bring = async |recipient: &str| {
        let relay = gateway_engine::RelayFacts {
            recipients: vec![agency_id(recipient)],
            hops: vec![gateway(COMMUNE)],
            first_accepted: None,
        };
        let hop = gateway_model::agency::Hop::Gateway(gateway(COMMUNE));
        let submission = from_system(envelope(1, &["clinic", "district"]), hop);
        node.engine.submit(gateway_engine::Submission { relay: Some(relay), ..submission }).await
    };
    bring("clinic").await.unwrap();
    node.faults.next(Step::Accept, Fault::UnknownBefore);
    assert_eq!(bring("district").await.unwrap_err().reason, Reason::StoreUnavailable);
    node.faults.next(Step::Accept, Fault::UnknownAfter);
    bring("district").await.unwrap();
    assert_eq!(node.rows(1).await.len(), 2);
}
