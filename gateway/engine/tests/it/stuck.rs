//! What needs a person, what a person decides, and what is remembered of both.

use std::time::Duration;

use adapters_sdk::Scope;
use gateway_engine::audit::{AuditQuery, Done};
use gateway_engine::bulk::{BulkAction, BulkStatus};
use gateway_engine::lane::Party;
use gateway_engine::operate::Action;
use gateway_engine::pause::Pausable;
use gateway_engine::settings::Settings;
use gateway_engine::stuck::StuckGroup;
use gateway_evidence::{ActKind, EventKind};
use gateway_model::id::OperatorId;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Cause, Reason};
use gateway_store::faulty::{Fault, Step};
use gateway_store::query::Query;

use crate::simulation::Federation;
use crate::system::{Answer, Node};
use crate::world::{COMMUNE, DISTRICT, LIFE, PROVINCE, WORLD, agency_id, agency_of, gateway, operator};

async fn board(node: &Node) -> Vec<StuckGroup> {
    node.engine.look().await.unwrap();
    node.engine.operate().stuck().groups.clone()
}

/// The one cause on the board, how much waits for it, and who has to act.
async fn only(node: &Node) -> (Cause, Reason, u64, Option<String>) {
    let groups = board(node).await;
    assert_eq!(groups.len(), 1, "{groups:#?}");
    let group = &groups[0];
    (group.key.cause, group.reason, group.count, group.key.must_act.as_ref().map(ToString::to_string))
}

async fn action(node: &Node, number: u64, to: &str, note: &str) -> Action {
    let delivery = node.summary(number, to).await.delivery.id;
    Action { operator: operator(), delivery, note: note.to_owned() }
}

fn ward() -> Pausable {
    Pausable::Party(Party::Agency(agency_id("ward")))
}

#[tokio::test]
async fn what_waits_behind_one_system_is_one_cause_and_its_agency_has_to_act() {
    let node = Node::new(COMMUNE);
    node.system.set_down(true);
    for number in 0..5 {
        node.submit(number, &["ward"]).await.unwrap();
    }
    assert!(board(&node).await.is_empty(), "what has not been tried is not stuck");
    node.walk().await;
    assert_eq!(only(&node).await, (Cause::AdapterError, Reason::AdapterUnavailable, 5, Some("ward".to_owned())));
    let group = &board(&node).await[0];
    assert_eq!((group.sample.len(), group.deadline.unwrap().since(group.oldest.unwrap())), (5, LIFE));
    node.system.set_down(false);
    node.pass(Duration::from_secs(120)).await;
    assert!(board(&node).await.is_empty());
}

#[tokio::test]
async fn one_poison_delivery_is_told_although_the_others_go_through() {
    let node = Node::new(COMMUNE);
    let poison = crate::world::key(1);
    node.system.always(poison, Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    assert!(board(&node).await.is_empty(), "one attempt is not much");
    for number in 2..6 {
        node.submit(number, &["ward"]).await.unwrap();
        node.pass(Duration::from_secs(600)).await;
    }
    let (cause, _, count, _) = only(&node).await;
    assert_eq!((cause, count), (Cause::AdapterError, 1));
}

#[tokio::test]
async fn what_nobody_picks_up_is_named_with_the_agency() {
    let node = Node::new(COMMUNE);
    node.system.set_room(0);
    node.submit(1, &["ward"]).await.unwrap();
    node.clock.advance(Duration::from_secs(26 * 3_600));
    assert_eq!(only(&node).await, (Cause::NotPickedUp, Reason::NotPickedUp, 1, Some("ward".to_owned())));
    node.system.set_room(1);
    node.walk().await;
    assert!(board(&node).await.is_empty());
}

#[tokio::test]
async fn held_and_refused_deliveries_are_told_by_their_reasons() {
    let node = Node::new(COMMUNE);
    node.trust
        .replace(WORLD.changed(|content| {
            content.version = 2;
            agency_of(content, "clinic").gateway = Some(gateway("gw-island"));
            content.gateways.push(crate::world::rung("gw-island", None));
        }))
        .unwrap();
    node.submit(1, &["clinic"]).await.unwrap();
    node.submit(2, &["ward"]).await.unwrap();
    node.engine.operate().hold(&action(&node, 2, "ward", "wrong annex").await).await.unwrap();
    node.system.always(crate::world::key(3), Answer::Refuse(Reason::AdapterRefused));
    node.submit(3, &["ward"]).await.unwrap();
    node.walk().await;
    let mut causes: Vec<_> = board(&node).await.iter().map(|group| (group.key.cause, group.reason)).collect();
    causes.sort();
    let expected = [
        (Cause::Held, Reason::RouteMissing),
        (Cause::Held, Reason::HeldByOperator),
        (Cause::Refused, Reason::AdapterRefused),
    ];
    assert_eq!(causes, expected);
    // Whoever was told of a refusal has had three days.
    node.clock.advance(Duration::from_secs(73 * 3_600));
    assert!(board(&node).await.iter().all(|group| group.key.cause == Cause::Held));
}

#[tokio::test]
async fn a_pause_stops_deliveries_costs_no_attempt_and_outlives_a_restart() {
    let mut node = Node::new(COMMUNE);
    node.engine.operate().pause(&ward(), &operator(), "stock-taking").await.unwrap();
    node.submit(1, &["ward"]).await.unwrap();
    assert_eq!(node.walk().await, 0);
    node.restart();
    node.engine.look().await.unwrap();
    assert_eq!(node.walk().await, 0);
    let (cause, reason, count, _) = only(&node).await;
    assert_eq!((cause, reason, count), (Cause::Paused, Reason::DestinationPaused, 1));
    let operate = node.engine.operate();
    assert_eq!(operate.paused(&ward()).unwrap().note, "stock-taking");
    operate.resume(&ward(), &operator(), "done").await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    assert_eq!(node.rows(1).await[0].attempts, 1);
    let again = operate.resume(&ward(), &operator(), "done").await.unwrap_err();
    assert_eq!(again.reason, Reason::StateNotAllowed);
    let nobody = Pausable::parse("agency:nobody").unwrap();
    assert_eq!(operate.pause(&nobody, &operator(), "x").await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(operate.pause(&ward(), &operator(), " ").await.unwrap_err().reason, Reason::RequestMalformed);
}

#[tokio::test]
async fn a_pause_that_is_not_durable_is_not_in_force() {
    let node = Node::new(COMMUNE);
    node.faults.next(Step::Mark, Fault::Full);
    let refused = node.engine.operate().pause(&ward(), &operator(), "x").await.unwrap_err();
    assert_eq!(refused.reason, Reason::StoreFull);
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_delivery_takes_the_way_that_an_operator_chose_and_the_walk_does_not_turn_it_back() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    let linked = WORLD.changed(|content| {
        content.version = 2;
        // A link of the province's own: the commune's way still leads over the district.
        content.gateways[2].direct_links = vec![gateway(COMMUNE)];
    });
    for node in &federation.nodes {
        node.trust.replace(linked.clone()).unwrap();
    }
    federation.net.cut(COMMUNE, DISTRICT, true);
    commune.submit(1, &["clinic"]).await.unwrap();
    federation.walk().await;
    let operate = commune.engine.operate();
    let action = action(commune, 1, "clinic", "the district's line is cut").await;
    let stranger = operate.reroute(&action, &gateway("gw-island")).await.unwrap_err();
    assert_eq!(stranger.reason, Reason::RouteMissing);
    operate.reroute(&action, &gateway(PROVINCE)).await.unwrap();
    federation.walk().await;
    let calls = federation.net.calls();
    assert!(calls.contains(&(gateway(COMMUNE), gateway(PROVINCE), 1)), "{calls:?}");
    let told: Vec<_> = commune.events(1).await.into_iter().filter(|event| event.kind == EventKind::Rerouted).collect();
    assert_eq!((told.len(), told[0].note.as_str()), (1, "the district's line is cut"));
}

#[tokio::test]
async fn a_plan_of_many_waits_for_a_second_person_where_two_are_asked_for() {
    let node = Node::with(COMMUNE, Settings { bulk_needs_two: true, ..Settings::default() }, None);
    for number in 0..3 {
        node.submit(number, &["ward"]).await.unwrap();
    }
    let operate = node.engine.operate();
    let waiting = Query { statuses: vec![DeliveryStatus::Waiting], limit: 50, ..Query::default() };
    let plan = operate.plan_bulk(&operator(), BulkAction::Return, &waiting, "sent by mistake").await.unwrap();
    assert_eq!((plan.deliveries.len(), plan.status, operate.needs_approval(&plan)), (3, BulkStatus::Planned, true));
    assert_eq!(operate.run_bulk(&operator(), &plan.id).await.unwrap_err().reason, Reason::SecondPersonNeeded);
    assert_eq!(operate.approve_bulk(&operator(), &plan.id).await.unwrap_err().reason, Reason::StateNotAllowed);
    let other = OperatorId::parse("op-binh").unwrap();
    operate.approve_bulk(&other, &plan.id).await.unwrap();
    operate.run_bulk(&operator(), &plan.id).await.unwrap();
    while operate.bulk(&plan.id).await.unwrap().status == BulkStatus::Running {
        tokio::task::yield_now().await;
    }
    let ended = operate.bulk(&plan.id).await.unwrap();
    assert_eq!((ended.status, ended.tried, ended.moved), (BulkStatus::Done, 3, 3));
    for number in 0..3 {
        assert_eq!(node.state(number).await, DeliveryState::Returned);
    }
    let page = operate.audit(&AuditQuery { limit: 100, ..AuditQuery::default() }).await.unwrap();
    let acts = page.entries.iter().filter_map(|entry| match &entry.what {
        Done::Act(act) => Some((act.kind, act.operator.to_string())),
        Done::Event(_) => None,
    });
    let acts: Vec<_> = acts.collect();
    let expected =
        [(ActKind::BulkStarted, "op-lan"), (ActKind::BulkApproved, "op-binh"), (ActKind::BulkPlanned, "op-lan")];
    assert_eq!(acts, expected.map(|(kind, who)| (kind, who.to_owned())));
    assert_eq!(page.entries.len(), 6, "three acts and three returns");
    let nothing = Query { statuses: vec![DeliveryStatus::Held], limit: 50, ..Query::default() };
    let empty = operate.plan_bulk(&operator(), BulkAction::Release, &nothing, "x").await.unwrap_err();
    assert_eq!(empty.reason, Reason::NotFound);
}

#[tokio::test]
async fn the_audit_goes_on_from_page_to_page_and_by_person() {
    let node = Node::new(COMMUNE);
    let operate = node.engine.operate();
    let other = OperatorId::parse("op-binh").unwrap();
    for number in 0..5 {
        node.submit(number, &["ward"]).await.unwrap();
        let who = if number == 2 { &other } else { &operator() };
        operate.pause(&ward(), who, &format!("pause {number}")).await.unwrap();
        operate.resume(&ward(), who, "x").await.unwrap();
    }
    let (mut notes, mut before) = (Vec::new(), None);
    loop {
        let query = AuditQuery { limit: 3, before, ..AuditQuery::default() };
        let page = operate.audit(&query).await.unwrap();
        notes.extend(page.entries.iter().map(|entry| match &entry.what {
            Done::Act(act) => act.note.clone(),
            Done::Event(event) => event.note.clone(),
        }));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(notes.len(), 10);
    assert_eq!((notes[1].as_str(), notes[9].as_str()), ("pause 4", "pause 0"), "newest first");
    let his = operate.audit(&AuditQuery { operator: Some(other), limit: 100, ..AuditQuery::default() }).await.unwrap();
    assert_eq!(his.entries.len(), 2);
}
