//! Over three gateways: the envelope goes up and down the ladder, and the receipts come back the way it went.

use std::time::Duration;

use gateway_engine::lane::Destination;
use gateway_engine::operate::Action;
use gateway_engine::steps::route::{Way, way};
use gateway_evidence::EventKind::{self, Accepted, Delivered, Expired, Forwarded, Held, Recorded, Refused};
use gateway_evidence::{Event, Log};
use gateway_model::agency::Hop;
use gateway_model::id::DeliveryId;
use gateway_model::state::DeliveryState;
use gateway_model::{Reason, Timestamp};
use gateway_store::record::Recorded as RecordedAs;
use gateway_store_conformance::fixture::log_signer;

use crate::simulation::Federation;
use crate::system::{Answer, from_system};
use crate::world::{
    COMMUNE, DISTRICT, LIFE, PROVINCE, START, WORLD, agency_id, agency_of, desk, draft, envelope, gateway, key,
    operator,
};

fn line(gateway: &str, kind: EventKind) -> (String, EventKind) {
    (gateway.to_owned(), kind)
}

#[tokio::test]
async fn commune_to_district_to_province_and_every_receipt_comes_back() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
    assert_eq!(federation.node(PROVINCE).system.taken().len(), 1);
    let story = commune.story(1).await;
    let expected = [
        line(COMMUNE, Accepted),
        line(DISTRICT, Accepted),
        line(COMMUNE, Forwarded),
        line(PROVINCE, Accepted),
        line(COMMUNE, Recorded),
        line(PROVINCE, Delivered),
        line(COMMUNE, Recorded),
    ];
    assert_eq!(story, expected);
    let snapshot = WORLD.snapshot();
    let seq = commune.engine.store().find(&key(1)).await.unwrap().unwrap().seq;
    for known in commune.engine.store().events(seq, None, 100).await.unwrap() {
        let event = Event::decode(&known.receipt.event).unwrap();
        let keys = &snapshot.directory().gateway(&event.gateway).unwrap().log_keys;
        known.receipt.verify(event.gateway.as_str(), keys).unwrap();
    }
    let counts = commune.engine.store().counts().await.unwrap();
    assert_eq!((counts.waiting, counts.forwarded, counts.returns), (0, 0, 0));
}

#[tokio::test]
async fn and_down_again_from_the_province_to_a_commune() {
    let federation = Federation::new(1);
    let mut answer = draft(1, &["ward"]);
    answer.from = "land".to_owned();
    let province = federation.node(PROVINCE);
    province.engine.submit(from_system(WORLD.sign(&answer), desk())).await.unwrap();
    federation.walk().await;
    assert_eq!(federation.node(COMMUNE).system.taken().len(), 1);
    let id = DeliveryId::new(
        &gateway_model::id::EnvelopeKey { sender: agency_id("land"), id: key(1).id },
        &agency_id("ward"),
    );
    let row = province.engine.store().delivery(id).await.unwrap().unwrap();
    assert_eq!(row.delivery.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn recipients_behind_one_gateway_travel_together_and_end_each_for_itself() {
    let federation = Federation::new(1);
    federation.node(PROVINCE).system.next(Answer::Refuse(Reason::AdapterRefused));
    let commune = federation.node(COMMUNE);
    commune.submit(1, &["land", "tax", "clinic", "ward"]).await.unwrap();
    federation.walk().await;
    let wires: Vec<(String, usize)> =
        federation.net.calls().iter().map(|(_, to, rows)| (to.to_string(), *rows)).collect();
    assert_eq!(wires, [(DISTRICT.to_owned(), 3), (PROVINCE.to_owned(), 2)]);
    let states: Vec<DeliveryState> = commune.rows(1).await.into_iter().map(|row| row.state).collect();
    let refused =
        states.iter().filter(|state| **state == DeliveryState::Refused { reason: Reason::AdapterRefused }).count();
    let delivered = states.iter().filter(|state| **state == DeliveryState::Delivered).count();
    assert_eq!((refused, delivered), (1, 3));
    assert!(commune.story(1).await.contains(&line(PROVINCE, Refused)));
}

#[tokio::test]
async fn what_is_held_above_is_seen_below_and_still_awaited() {
    let federation = Federation::new(1);
    let (commune, province) = (federation.node(COMMUNE), federation.node(PROVINCE));
    province.system.set_down(true);
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    let delivery = DeliveryId::new(&key(1), &agency_id("land"));
    let action = |note: &str| Action { operator: operator(), delivery, note: note.to_owned() };
    province.engine.operate().hold(&action("the office moves house")).await.unwrap();
    federation.walk().await;
    assert!(commune.story(1).await.contains(&line(PROVINCE, Held)));
    assert_eq!(commune.state(1).await, DeliveryState::Forwarded { next: gateway(DISTRICT) });
    province.system.set_down(false);
    province.engine.operate().release(&action("it has moved")).await.unwrap();
    federation.pass(Duration::from_secs(60), Duration::from_secs(5)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn what_the_next_gateway_refuses_is_held_here_and_told_below() {
    let federation = Federation::new(1);
    // The province does not know the tax office any more; the commune and the district still do.
    let province = federation.node(PROVINCE);
    province
        .trust
        .replace(WORLD.changed(|content| {
            content.version = 2;
            agency_of(content, "tax").validity.until = Some(START.plus(Duration::from_secs(1)));
        }))
        .unwrap();
    federation.clock.advance(Duration::from_secs(2));
    let commune = federation.node(COMMUNE);
    commune.submit(1, &["tax"]).await.unwrap();
    federation.walk().await;
    let reason = Reason::RecipientEnded;
    assert_eq!(federation.node(DISTRICT).state(1).await, DeliveryState::Held { reason });
    assert!(commune.story(1).await.contains(&line(DISTRICT, Held)));
    assert_eq!(commune.state(1).await, DeliveryState::Forwarded { next: gateway(DISTRICT) });
}

#[tokio::test]
async fn gateways_whose_directories_disagree_never_play_ping_pong() {
    let federation = Federation::new(1);
    // The district believes that the land office is served at the commune.
    let district = federation.node(DISTRICT);
    district
        .trust
        .replace(WORLD.changed(|content| {
            content.version = 2;
            agency_of(content, "land").gateway = Some(gateway(COMMUNE));
        }))
        .unwrap();
    let commune = federation.node(COMMUNE);
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    assert_eq!(district.state(1).await, DeliveryState::Held { reason: Reason::RouteLoop });
    assert_eq!(federation.net.calls().len(), 1);
}

#[tokio::test]
async fn an_expiry_further_on_comes_back() {
    let federation = Federation::new(1);
    let (commune, province) = (federation.node(COMMUNE), federation.node(PROVINCE));
    province.system.set_down(true);
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    federation.pass(LIFE + Duration::from_secs(7_200), Duration::from_secs(3_600)).await;
    assert_eq!(province.state(1).await, DeliveryState::Expired);
    assert_eq!(commune.state(1).await, DeliveryState::Expired);
    assert!(commune.story(1).await.contains(&line(PROVINCE, Expired)));
}

#[tokio::test]
async fn a_final_receipt_that_never_comes_is_alarmed_and_then_held_for_a_person() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    federation.net.cut(DISTRICT, COMMUNE, true);
    commune.submit(1, &["clinic"]).await.unwrap();
    federation.walk().await;
    assert_eq!(federation.node(DISTRICT).system.taken().len(), 1);
    let first_wake = commune.rows(1).await[0].wake.unwrap();
    assert_eq!(first_wake, START.plus(Duration::from_secs(24 * 3_600)));
    federation.pass(Duration::from_secs(25 * 3_600), Duration::from_secs(3_600)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Forwarded { next: gateway(DISTRICT) });
    assert!(commune.rows(1).await[0].wake.unwrap() > first_wake, "one alarm, and one more look when it is too late");
    federation.pass(LIFE + Duration::from_secs(24 * 3_600), Duration::from_secs(3_600)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Held { reason: Reason::ReceiptOverdue });
    federation.net.cut(DISTRICT, COMMUNE, false);
    federation.pass(Duration::from_secs(7_200), Duration::from_secs(600)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Delivered, "late, but proven");
}

/// A receipt that `signer`'s log really has, about envelope 1.
pub fn receipt_of(signer: &str, change: impl FnOnce(&mut Event)) -> bytes::Bytes {
    let mut event = Event {
        kind: Delivered,
        gateway: gateway(signer),
        at: Timestamp::from_seconds(START.seconds() + 1),
        sender: agency_id("commune"),
        envelope_id: key(1).id,
        envelope_digest: digest(),
        recipients: vec![agency_id("land")],
        reason: None,
        counterpart: String::new(),
        attempt: 1,
        rests_on: None,
        verification: None,
        note: String::new(),
    };
    change(&mut event);
    let batch = Log::empty(log_signer(signer)).append(&[event.encode()]);
    batch.receipts[0].encode()
}

fn digest() -> gateway_model::Digest {
    let signed: proto::v1::SignedEnvelope = prost::Message::decode(envelope(1, &["land"])).unwrap();
    gateway_model::Digest::of(&signed.envelope)
}

#[tokio::test]
async fn a_receipt_is_believed_only_from_whom_it_concerns() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    federation.net.cut(DISTRICT, PROVINCE, true);
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    let forwarded = DeliveryState::Forwarded { next: gateway(DISTRICT) };
    let record =
        async |from: &str, receipt: bytes::Bytes| commune.engine.record_receipt(&gateway(from), &receipt).await;

    let mut broken = receipt_of(PROVINCE, |_| ()).to_vec();
    let last = broken.len() - 10;
    broken[last] ^= 1;
    assert_eq!(record(DISTRICT, broken.into()).await.unwrap_err().reason, Reason::ReceiptInvalid);
    let stranger = receipt_of("gw-nobody", |_| ());
    assert_eq!(record(DISTRICT, stranger).await.unwrap_err().reason, Reason::ReceiptInvalid);
    let other_body = receipt_of(PROVINCE, |event| event.envelope_digest = gateway_model::Digest::of(b"other"));
    assert_eq!(record(DISTRICT, other_body).await.unwrap_err().reason, Reason::ReceiptInvalid);
    let other_id = receipt_of(PROVINCE, |event| event.envelope_id = key(9).id);
    assert_eq!(record(DISTRICT, other_id).await.unwrap_err().reason, Reason::NotFound);
    let our_own = receipt_of(COMMUNE, |_| ());
    assert_eq!(record(DISTRICT, our_own).await.unwrap_err().reason, Reason::ReceiptInvalid);
    // The district does not serve the land office: it cannot say that it was delivered there.
    assert_eq!(record(DISTRICT, receipt_of(DISTRICT, |_| ())).await.unwrap_err().reason, Reason::HopNotAllowed);
    // It did not go to the province from here: the province cannot fill this store with what it says about it.
    let chatter = receipt_of(PROVINCE, |event| event.kind = Held);
    assert_eq!(record(PROVINCE, chatter.clone()).await.unwrap_err().reason, Reason::HopNotAllowed);
    assert_eq!(record(DISTRICT, chatter).await.unwrap(), RecordedAs::New);
    assert_eq!(commune.state(1).await, forwarded);
    assert_eq!(record(DISTRICT, receipt_of(PROVINCE, |_| ())).await.unwrap(), RecordedAs::New);
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
    let before = commune.story(1).await;
    assert_eq!(record(DISTRICT, receipt_of(PROVINCE, |_| ())).await.unwrap(), RecordedAs::Known);
    assert_eq!(commune.story(1).await, before, "a second time changes nothing");
}

#[tokio::test]
async fn a_dead_gateway_closes_its_gate_and_the_rest_goes_on() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    federation.net.cut(COMMUNE, DISTRICT, true);
    for number in 1..=50 {
        commune.submit(number, &["land", "ward"]).await.unwrap();
    }
    federation.walk().await;
    assert_eq!(commune.system.taken().len(), 50);
    let gates = commune.engine.operate().gates();
    assert_eq!((gates.len(), gates[0].reason), (1, Reason::PeerUnreachable));
    assert!(gates[0].next_probe > START);
    federation.net.cut(COMMUNE, DISTRICT, false);
    federation.pass(Duration::from_secs(30), Duration::from_secs(5)).await;
    assert_eq!(federation.node(PROVINCE).system.taken().len(), 50);
}

#[tokio::test]
async fn an_envelope_that_waited_is_rerouted_when_its_recipient_moves() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    federation.net.cut(COMMUNE, DISTRICT, true);
    commune.submit(1, &["clinic"]).await.unwrap();
    federation.walk().await;
    let moved = WORLD.changed(|content| {
        content.version = 2;
        agency_of(content, "clinic").gateway = Some(gateway(PROVINCE));
        content.gateways[0].direct_links = vec![gateway(PROVINCE)];
    });
    for node in &federation.nodes {
        node.trust.replace(moved.clone()).unwrap();
    }
    federation.pass(Duration::from_secs(30), Duration::from_secs(5)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
    assert_eq!(federation.node(PROVINCE).system.taken().len(), 1);
}

#[test]
fn the_way_leads_up_to_the_common_ancestor_and_down_or_by_a_direct_link() {
    let change = |content: &mut gateway_model::directory::DirectoryContent| {
        content.gateways.push(crate::world::rung("gw-commune-2", Some(DISTRICT)));
        content.gateways.push(crate::world::rung("gw-city", Some(PROVINCE)));
        content.gateways.push(crate::world::rung("gw-island", None));
        content.gateways[0].direct_links = vec![gateway("gw-city")];
        agency_of(content, "clinic").gateway = Some(gateway("gw-commune-2"));
        agency_of(content, "tax").gateway = Some(gateway("gw-city"));
        agency_of(content, "land").gateway = Some(gateway("gw-island"));
    };
    let snapshot = WORLD.changed(change);
    let next = |from: &str, to: &str, hops: &[&str]| {
        let hops: Vec<_> = hops.iter().map(|hop| gateway(hop)).collect();
        way(snapshot.directory(), &gateway(from), &agency_id(to), &hops)
    };
    let to = |id: &str| Way::To(Destination::Gateway(gateway(id)));
    assert_eq!(next(COMMUNE, "ward", &[]), Way::To(Destination::Agency(agency_id("ward"))));
    assert_eq!(next(COMMUNE, "clinic", &[]), to(DISTRICT), "up");
    assert_eq!(next(DISTRICT, "clinic", &[COMMUNE]), to("gw-commune-2"), "and down");
    assert_eq!(next(PROVINCE, "clinic", &[]), to(DISTRICT), "down by two");
    assert_eq!(next("gw-city", "clinic", &[]), to(PROVINCE));
    assert_eq!(next(COMMUNE, "tax", &[]), to("gw-city"), "a direct link is shorter");
    assert_eq!(
        next("gw-commune-2", "tax", &[]),
        to(DISTRICT),
        "nobody else's link is used when the ladder leads there"
    );
    assert_eq!(next(COMMUNE, "land", &[]), Way::Nowhere(Reason::RouteMissing));
    assert_eq!(next(DISTRICT, "clinic", &["gw-commune-2"]), Way::Nowhere(Reason::RouteLoop));
    assert_eq!(Hop::Gateway(gateway(COMMUNE)).to_string(), "gateway:gw-commune");
}
