//! One dead recipient delays nobody else; one busy sender starves nobody; what waits costs nothing.

use std::time::Duration;

use gateway_engine::settings::Settings;
use gateway_engine::worker::Worker;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::query::Query;
use proto::v1;

use crate::system::{Answer, Node};
use crate::world::{COMMUNE, WORLD, draft, key};

#[tokio::test]
async fn a_dead_system_delays_no_other_and_costs_one_probe_at_a_time() {
    let node = Node::new(COMMUNE);
    let dead = gateway_model::Reason::AdapterUnavailable;
    for number in 1..=200 {
        node.system.always(key(number), Answer::Defer(dead, adapters_sdk::Scope::Destination));
        node.submit(number, &["ward"]).await.unwrap();
    }
    node.walk().await;
    let before = node.system.calls().len();
    assert!(before <= Settings::default().leases_agency_max, "the gate closed: {before} calls");
    node.submit(201, &["commune"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(201).await, DeliveryState::Delivered);
    node.pass(Duration::from_secs(600)).await;
    let probes = node.system.calls().len() - before - 1;
    assert!((3..=12).contains(&probes), "{probes} probes in ten minutes of backing off");
}

#[tokio::test]
async fn when_it_answers_again_everything_that_waited_goes_at_once() {
    let node = Node::new(COMMUNE);
    node.system.set_down(true);
    for number in 1..=100 {
        node.submit(number, &["ward"]).await.unwrap();
    }
    node.walk().await;
    node.pass(Duration::from_secs(120)).await;
    node.system.set_down(false);
    node.pass(Duration::from_secs(400)).await;
    let left = Query { statuses: vec![DeliveryStatus::Waiting], limit: 500, ..Query::default() };
    assert_eq!(node.engine.operate().list(&left).await.unwrap().rows.len(), 0);
    assert_eq!(node.system.taken().len(), 100);
}

#[tokio::test]
async fn a_busy_sender_and_its_backlog_leave_room_for_others() {
    let node = Node::with(COMMUNE, Settings { leases_max: 4, leases_agency_max: 4, ..Settings::default() }, None);
    for number in 1..=100 {
        node.submit(number, &["commune"]).await.unwrap();
    }
    let mut other = draft(500, &["commune"]);
    other.from = "ward".to_owned();
    node.submit_bytes(WORLD.sign(&other)).await.unwrap();
    node.walk().await;
    let calls = node.system.calls();
    let place = calls.iter().position(|key| key.sender.as_str() == "ward").unwrap();
    assert!(place < 8, "the other sender's only envelope was number {place}");
}

#[tokio::test]
async fn a_broadcast_leaves_room_for_single_files_of_the_same_sender_to_the_same_systems() {
    let settings = Settings { leases_max: 8, broadcast_from: 2, leases_broadcast_max: 2, ..Settings::default() };
    let node = Node::with(COMMUNE, settings, None);
    for number in 1..=20 {
        node.system.always(key(number), Answer::Hang);
        node.submit(number, &["commune", "ward"]).await.unwrap();
    }
    node.submit(100, &["ward"]).await.unwrap();
    let mut worker = Worker::new(&node.engine);
    let watch = async {
        while node.state(100).await != DeliveryState::Delivered {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        rows = worker.turn() => panic!("hanging systems ended: {rows:?}"),
        () = watch => {}
    }
    let of_broadcasts = node.system.calls().iter().filter(|called| **called != key(100)).count();
    assert_eq!(of_broadcasts, 2, "no more than the room of broadcasts");
}

#[tokio::test]
async fn a_broadcast_reaches_everybody_though_its_room_is_small() {
    let settings = Settings { broadcast_from: 2, leases_broadcast_max: 1, ..Settings::default() };
    let node = Node::with(COMMUNE, settings, None);
    for number in 1..=20 {
        node.submit(number, &["commune", "ward"]).await.unwrap();
    }
    node.walk().await;
    assert_eq!(node.system.taken().len(), 40);
}

#[tokio::test]
async fn urgent_work_overtakes_and_ordinary_work_still_moves() {
    let node = Node::with(COMMUNE, Settings { leases_max: 1, ..Settings::default() }, None);
    for number in 1..=40 {
        node.submit(number, &["ward"]).await.unwrap();
    }
    for number in 101..=140 {
        let mut urgent = draft(number, &["ward"]);
        urgent.priority = v1::Priority::ExpressTimed.into();
        node.submit_bytes(WORLD.sign(&urgent)).await.unwrap();
    }
    node.walk().await;
    let urgent: Vec<bool> = node.system.calls()[..34].iter().map(|key| key.id.0[15] > 100).collect();
    let count = urgent.iter().filter(|urgent| **urgent).count();
    assert_eq!(count, 32, "16 to 1: {urgent:?}");
}

#[tokio::test]
async fn no_more_rows_are_leased_than_the_ceiling_allows() {
    let node = Node::with(COMMUNE, Settings { leases_max: 3, ..Settings::default() }, None);
    for number in 1..=10 {
        node.system.always(key(number), Answer::Hang);
        node.submit(number, &["ward"]).await.unwrap();
    }
    let mut worker = Worker::new(&node.engine);
    let watch = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        rows = worker.turn() => panic!("hanging systems ended: {rows:?}"),
        () = watch => {}
    }
    assert_eq!(node.system.calls().len(), 3);
}
