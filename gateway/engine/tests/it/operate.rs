//! What a person sees and moves, and what happens by the calendar.

use std::time::Duration;

use adapters_sdk::Scope;
use gateway_engine::operate::{About, Action};
use gateway_engine::sweep::Sweep;
use gateway_evidence::{Event, EventKind};
use gateway_model::Reason;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::parts::PartStore;
use gateway_store::query::Query;

use crate::system::{Answer, Node};
use crate::world::{COMMUNE, LIFE, WORLD, agency_of, desk, draft, gateway, key, operator};

async fn action(node: &Node, number: u64, note: &str) -> Action {
    let delivery = node.summary(number, "ward").await.delivery.id;
    Action { operator: operator(), delivery, note: note.to_owned() }
}

fn holding(statuses: &[DeliveryStatus]) -> Query {
    Query { statuses: statuses.to_vec(), limit: 50, ..Query::default() }
}

#[tokio::test]
async fn an_operator_holds_and_releases_and_both_are_proven_with_who_and_why() {
    let node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    let operate = node.engine.operate();
    let held = operate.hold(&action(&node, 1, "wrong annex").await).await.unwrap();
    assert_eq!(held.state, DeliveryState::Held { reason: Reason::HeldByOperator });
    assert_eq!(node.walk().await, 0);
    let page = operate.list(&holding(&[DeliveryStatus::Held])).await.unwrap();
    assert_eq!(page.rows.len(), 1);
    operate.release(&action(&node, 1, "annex replaced").await).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    let told: Vec<(EventKind, String, String)> =
        node.events(1).await.into_iter().map(|event| (event.kind, event.counterpart, event.note)).collect();
    assert!(told.contains(&(EventKind::Held, "op-lan".to_owned(), "wrong annex".to_owned())), "{told:?}");
    assert!(told.contains(&(EventKind::Released, "op-lan".to_owned(), "annex replaced".to_owned())));
}

#[tokio::test]
async fn an_operator_has_to_say_why_and_can_move_only_what_can_be_moved() {
    let node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    let operate = node.engine.operate();
    let refusal = operate.hold(&action(&node, 1, "  ").await).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::RequestMalformed, "reason"));
    node.walk().await;
    for refusal in [
        operate.hold(&action(&node, 1, "late").await).await.unwrap_err(),
        operate.retry(&action(&node, 1, "late").await).await.unwrap_err(),
        operate.release(&action(&node, 1, "late").await).await.unwrap_err(),
        operate.give_back(&action(&node, 1, "late").await).await.unwrap_err(),
    ] {
        assert_eq!(refusal.reason, Reason::StateNotAllowed);
    }
    let mut unknown = action(&node, 1, "what is this").await;
    unknown.delivery.0[0] ^= 1;
    assert_eq!(operate.retry(&unknown).await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test]
async fn a_retry_tries_now_even_what_is_behind_a_closed_gate() {
    let node = Node::new(COMMUNE);
    node.system.set_down(true);
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    let gates = node.engine.operate().gates();
    assert_eq!((gates.len(), gates[0].reason), (1, Reason::AdapterUnavailable));
    node.system.set_down(false);
    assert_eq!(node.walk().await, 0);
    node.engine.operate().retry(&action(&node, 1, "they say it works again").await).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
    assert!(node.engine.operate().gates().is_empty());
}

#[tokio::test]
async fn what_is_held_while_it_is_handed_over_stays_held() {
    let node = Node::new(COMMUNE);
    node.system.next(Answer::Hang);
    node.submit(1, &["ward"]).await.unwrap();
    let hold = async {
        while node.system.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        node.engine.operate().hold(&action(&node, 1, "stop").await).await.unwrap();
        node.clock.advance(Duration::from_secs(55));
    };
    tokio::join!(node.walk(), hold);
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::HeldByOperator });
}

#[tokio::test]
async fn an_operator_can_give_an_envelope_back() {
    let node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    node.engine.operate().give_back(&action(&node, 1, "sent by mistake").await).await.unwrap();
    assert_eq!(node.walk().await, 0);
    assert_eq!(node.state(1).await, DeliveryState::Returned);
}

#[tokio::test]
async fn a_timeline_shows_a_whole_file_and_says_when_there_is_nothing() {
    let node = Node::new(COMMUNE);
    for number in [1, 2] {
        let mut draft = draft(number, &["ward"]);
        draft.case = Some(proto::v1::Case { file_code: "H15.50-0975".to_owned(), ..proto::v1::Case::default() });
        node.submit_bytes(WORLD.sign(&draft)).await.unwrap();
    }
    node.walk().await;
    let operate = node.engine.operate();
    let timeline = operate.timeline(&About::FileCode("H15.50-0975".to_owned())).await.unwrap();
    assert_eq!((timeline.envelopes.len(), timeline.entries.len(), timeline.cut), (2, 4, false));
    let one = operate.timeline(&About::Envelope(key(2))).await.unwrap();
    let kinds: Vec<EventKind> =
        one.entries.iter().map(|line| Event::decode(&line.receipt.event).unwrap().kind).collect();
    assert_eq!(kinds, [EventKind::Accepted, EventKind::Delivered]);
    assert_eq!(operate.timeline(&About::Envelope(key(9))).await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test]
async fn what_expires_while_it_is_held_or_behind_a_gate_is_found_by_the_sweep() {
    let node = Node::new(COMMUNE);
    node.system.set_down(true);
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    node.submit(2, &["ward"]).await.unwrap();
    node.submit(3, &["ward"]).await.unwrap();
    node.engine.operate().hold(&action(&node, 3, "wait for the chairman").await).await.unwrap();
    let mut sweep = Sweep::default();
    assert_eq!(sweep.once(&node.engine).await.unwrap().expired, 0);
    node.clock.advance(LIFE + Duration::from_secs(61));
    assert_eq!(sweep.once(&node.engine).await.unwrap().expired, 3);
    for number in [1, 2, 3] {
        assert_eq!(node.state(number).await, DeliveryState::Expired);
    }
}

#[tokio::test]
async fn a_new_directory_lets_what_had_no_way_go_on_by_itself() {
    let node = Node::new(COMMUNE);
    let island = |version| {
        WORLD.changed(|content| {
            content.version = version;
            content.gateways.push(crate::world::rung("gw-island", None));
            agency_of(content, "ward").gateway = Some(gateway("gw-island"));
        })
    };
    node.trust.replace(island(2)).unwrap();
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::RouteMissing });
    assert!(node.story(1).await.contains(&(COMMUNE.to_owned(), EventKind::Held)), "it has its leaf");
    let mut sweep = Sweep::default();
    assert_eq!(sweep.once(&node.engine).await.unwrap().resumed, 0);
    node.trust.replace(WORLD.changed(|content| content.version = 3)).unwrap();
    assert_eq!(sweep.once(&node.engine).await.unwrap().resumed, 1);
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn an_older_directory_never_replaces_a_newer_one() {
    let node = Node::new(COMMUNE);
    node.trust.replace(WORLD.changed(|content| content.version = 5)).unwrap();
    let refusal = node.trust.replace(WORLD.changed(|content| content.version = 4)).unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectoryOlder);
    assert_eq!(node.trust.current().unwrap().directory().version(), 5);
}

#[tokio::test]
async fn bodies_are_forgotten_after_their_time_and_parts_that_nobody_names_are_removed() {
    let node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    node.system.always(key(2), Answer::Defer(Reason::AdapterFailed, Scope::Delivery));
    node.submit(2, &["ward"]).await.unwrap();
    node.walk().await;
    let content = bytes::Bytes::from_static(b"never named");
    let digest = gateway_model::Digest::of(&content);
    let part = gateway_store::accept::PartRef { digest, size: content.len() as u64 };
    let mut writer = node.parts.begin(&desk(), part, 0).await.unwrap();
    writer.write(content).await.unwrap();
    writer.finish().await.unwrap();
    let mut sweep = Sweep::default();
    node.clock.advance(Duration::from_secs(29 * 24 * 3_600));
    let swept = sweep.once(&node.engine).await.unwrap();
    assert_eq!((swept.bodies, swept.parts), (0, 1));
    node.clock.advance(Duration::from_secs(2 * 24 * 3_600));
    let swept = sweep.once(&node.engine).await.unwrap();
    assert_eq!(swept.expired, 1, "envelope 2 lived 30 days");
    assert_eq!(swept.bodies, 1, "only what has been settled for 30 days");
    let row = node.engine.store().find(&key(1)).await.unwrap().unwrap();
    assert!(node.engine.store().body(row.seq).await.unwrap().is_none());
    assert_eq!(node.story(1).await.len(), 2, "the evidence stays");
}
