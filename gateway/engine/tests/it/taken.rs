//! Work that is taken instead of pushed: room, leases that last, and what nobody picks up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::{Adapter, Settled};
use gateway_engine::entropy::SeededEntropy;
use gateway_engine::metrics::Metrics;
use gateway_engine::settings::Settings;
use gateway_engine::worker::Worker;
use gateway_engine::{AdapterTable, Engine, EngineParts};
use gateway_model::calendar::Calendar;
use gateway_model::day::Day;
use gateway_model::id::CalendarId;
use gateway_model::state::DeliveryState;
use gateway_model::working_time::WorkingTime;
use gateway_model::{Reason, limits};
use gateway_store::faulty::{Fault, Step};
use tokio_util::sync::CancellationToken;

use crate::system::{Answer, FakeSystem, Node, from_system};
use crate::world::{COMMUNE, START, WORLD, agency_id, desk, envelope, gateway};

#[tokio::test]
async fn what_there_is_no_room_for_waits_in_the_store_and_costs_nobody_an_attempt() {
    let node = Node::new(COMMUNE);
    node.system.set_room(0);
    for number in 0..5 {
        node.submit(number, &["ward"]).await.unwrap();
    }
    assert_eq!(node.walk().await, 0);
    node.pass(Duration::from_secs(3_600)).await;
    assert!(node.system.calls().is_empty());
    for number in 0..5 {
        let row = node.rows(number).await.remove(0);
        assert_eq!((row.state, row.attempts), (DeliveryState::Waiting { due: START, reason: None }, 0));
    }
    node.system.set_room(2);
    assert_eq!(node.walk().await, 5, "two at a time, one after the other");
    assert_eq!(node.system.taken().len(), 5);
}

#[tokio::test]
async fn what_nobody_picked_up_after_all_keeps_its_place_and_its_attempts() {
    let node = Node::new(COMMUNE);
    node.system.set_room(1);
    node.system.next(Answer::PutBack);
    node.submit(1, &["ward"]).await.unwrap();
    node.clock.advance(Duration::from_secs(7));
    assert_eq!(node.walk().await, 1);
    let row = node.rows(1).await.remove(0);
    assert_eq!((row.state, row.attempts), (DeliveryState::Waiting { due: START, reason: None }, 0));
    assert!(node.engine.operate().gates().is_empty(), "nothing is said about the system");
    node.system.set_room(1);
    node.walk().await;
    assert_eq!((node.state(1).await, node.rows(1).await[0].attempts), (DeliveryState::Delivered, 1));
}

#[tokio::test]
async fn a_hand_over_keeps_its_lease_for_as_long_as_it_extends_it() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Keep(Duration::from_secs(300)));
    node.submit(1, &["ward"]).await.unwrap();
    let mut extended = node.system.extended();
    let mut worker = Worker::new(&node.engine);
    let turn = tokio::spawn(async move { worker.turn().await.unwrap() });
    let answers = extended.wait_for(|answers| !answers.is_empty()).await.unwrap().clone();
    assert_eq!(answers, [Ok(Duration::from_secs(300))]);
    node.clock.advance(Duration::from_secs(299));
    assert_eq!(node.walk().await, 0, "another worker finds nothing that is due");
    assert_eq!((node.rows(1).await[0].attempts, node.system.calls().len()), (0, 1));
    node.clock.advance(Duration::from_secs(1));
    turn.await.unwrap();
    let row = node.rows(1).await.remove(0);
    assert_eq!((row.state.reason(), row.attempts), (Some(Reason::AdapterUnavailable), 1), "silence is no answer");
    let lease = node.system.leases().remove(0);
    assert!(lease.extend(Duration::from_secs(60)).await.is_err(), "a lease that has ended stays so");
}

#[tokio::test]
async fn extensions_together_are_bounded() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Keep(Duration::from_secs(365 * 86_400)));
    node.submit(1, &["ward"]).await.unwrap();
    let mut extended = node.system.extended();
    let mut worker = Worker::new(&node.engine);
    let turn = tokio::spawn(async move { worker.turn().await.unwrap() });
    let answers = extended.wait_for(|answers| !answers.is_empty()).await.unwrap().clone();
    assert_eq!(answers, [Ok(limits::LEASE_EXTENDED_MAX)]);
    node.clock.advance(limits::LEASE_EXTENDED_MAX);
    turn.await.unwrap();
    assert_eq!(node.rows(1).await[0].attempts, 1);
}

#[tokio::test]
async fn an_adapter_learns_whether_its_outcome_is_durable() {
    let node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.system.leases()[0].settled().await, Settled::Committed(DeliveryState::Delivered));
    node.submit(2, &["ward"]).await.unwrap();
    node.faults.next(Step::Settle, Fault::Unavailable);
    node.walk().await;
    assert_eq!(node.system.leases()[1].settled().await, Settled::Lost);
    node.pass(Duration::from_secs(120)).await;
    assert_eq!(node.state(2).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn what_is_not_picked_up_in_working_time_is_an_incident_until_it_is() {
    let node = Node::new(COMMUNE);
    let ward = agency_id("ward");
    let look = async || node.engine.look().await.unwrap();
    node.system.set_room(0);
    // It is eight o'clock on a Monday.
    node.submit(1, &["ward"]).await.unwrap();
    node.clock.advance(Duration::from_secs(24 * 3_600));
    look().await;
    assert!(node.engine.operate().absence(&ward).is_none(), "Monday had seven hours and a half");
    node.clock.advance(Duration::from_secs(2 * 3_600));
    look().await;
    let absence = node.engine.operate().absence(&ward).unwrap();
    assert_eq!((absence.reason, absence.lasting), (Reason::NotPickedUp, Duration::from_secs(26 * 3_600)));
    assert_eq!(node.engine.operate().absences(10).len(), 1, "only where something waits");
    node.system.set_room(1);
    node.walk().await;
    look().await;
    assert!(node.engine.operate().absence(&ward).is_none());
}

#[tokio::test]
async fn patience_is_counted_by_the_calendar_of_the_agency() {
    let node = Node::new(COMMUNE);
    let ward = agency_id("ward");
    let tuesday = Day::of(START).plus(1);
    let off = Calendar {
        id: CalendarId::parse("ward").unwrap(),
        version: 1,
        valid_from: None,
        agencies: vec![ward.clone()],
        time: WorkingTime::new(WorkingTime::default().hours().to_vec(), [tuesday], []),
    };
    node.trust
        .replace(WORLD.changed(|content| {
            content.version = 2;
            content.calendars = vec![off];
        }))
        .unwrap();
    node.system.set_room(0);
    node.submit(1, &["ward"]).await.unwrap();
    for (hours, is_incident, why) in [(26, false, "nobody works there on Tuesday"), (24, true, "it is Wednesday")] {
        node.clock.advance(Duration::from_secs(hours * 3_600));
        node.engine.look().await.unwrap();
        assert_eq!(node.engine.operate().absence(&ward).is_some(), is_incident, "{why}");
    }
}

/// The gateway of `node` with a system of its own for each of these agencies.
fn engine_with(node: &Node, settings: Settings, systems: &[(&str, &Arc<FakeSystem>)]) -> Engine {
    let by_agency = systems.iter().map(|(agency, _)| (agency_id(agency), (*agency).to_owned())).collect();
    let adapter = |system: &Arc<FakeSystem>| -> Arc<dyn Adapter> { system.clone() };
    let by_name: HashMap<String, Arc<dyn Adapter>> =
        systems.iter().map(|(agency, system)| ((*agency).to_owned(), adapter(system))).collect();
    Engine::new(EngineParts {
        gateway: gateway(COMMUNE),
        store: node.engine.store().clone(),
        parts: node.engine.parts().clone(),
        clock: node.clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
        trust: node.trust.clone(),
        adapters: AdapterTable { by_agency, by_name, relay: None },
        settings,
        metrics: Metrics::unregistered(),
    })
}

#[tokio::test]
async fn a_taker_who_keeps_all_that_it_gets_leaves_the_others_their_part() {
    let node = Node::new(COMMUNE);
    let (greedy, modest) = (Arc::new(FakeSystem::default()), Arc::new(FakeSystem::default()));
    let keep = Answer::Keep(Duration::from_secs(3_600));
    for system in [&greedy, &modest] {
        system.set_room(1_000);
        for _ in 0..6 {
            system.next(keep.clone());
        }
    }
    let settings = Settings { leases_taken_max: 4, ..Settings::default() };
    let engine = engine_with(&node, settings, &[("ward", &greedy), ("commune", &modest)]);
    for number in 0..6 {
        engine.submit(from_system(envelope(number, &["ward"]), desk())).await.unwrap();
    }
    let stop = CancellationToken::new();
    let walking = tokio::spawn(Worker::new(&engine).run(stop.clone()));
    let mut kept = greedy.extended();
    kept.wait_for(|kept| kept.len() >= 2).await.unwrap();
    engine.submit(from_system(envelope(6, &["commune"]), desk())).await.unwrap();
    let mut other = modest.extended();
    let looks = async {
        // The walk rests after a look in vain, by the clock of this test.
        while tokio::time::timeout(Duration::from_millis(20), other.wait_for(|kept| !kept.is_empty())).await.is_err() {
            node.clock.advance(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looks).await.unwrap();
    assert_eq!((greedy.calls().len(), modest.calls().len()), (2, 1), "half of the four for each");
    walking.abort();
}
