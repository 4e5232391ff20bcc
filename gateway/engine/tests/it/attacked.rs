//! Where an attacker, a stale directory or a lost answer once made a delivery or a receipt disappear.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::relay::{Relay, RelayAdapters, ReturnFault};
use adapters_sdk::{Adapter, Delivery, Health, Outcome};
use async_trait::async_trait;
use bytes::Bytes;
use gateway_engine::settings::Settings;
use gateway_engine::sweep::Sweep;
use gateway_engine::{RelayFacts, Submission};
use gateway_evidence::EventKind;
use gateway_model::agency::Hop;
use gateway_model::id::GatewayId;
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason};
use gateway_store::parts::PartStore as _;
use gateway_store::record::Recorded;
use gateway_store_conformance::fixture::log_signer;
use proto::v1;

use crate::receipts::receipt_of;
use crate::simulation::Federation;
use crate::system::{Node, from_system};
use crate::world::{
    COMMUNE, DISTRICT, LIFE, PROVINCE, START, WORLD, agency_id, agency_of, desk, draft, envelope, gateway,
};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_receipt_that_the_gateway_below_refuses_today_is_brought_again_until_it_is_taken() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    // The commune's directory does not have the province's new log key yet.
    let stale = WORLD.changed(|content| {
        content.version = 2;
        content.gateways[2].log_keys = vec![log_signer("gw-before").verifier().clone()];
    });
    assert_eq!(stale.directory().content().gateways[2].id, gateway(PROVINCE));
    commune.trust.replace(stale).unwrap();
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    assert_ne!(commune.state(1).await, DeliveryState::Delivered);
    commune.trust.replace(WORLD.changed(|content| content.version = 3)).unwrap();
    federation.pass(Duration::from_secs(3_600), Duration::from_secs(60)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn what_was_handed_over_and_lost_its_answer_is_asked_for_after_its_expiry() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    federation.net.cut(DISTRICT, COMMUNE, true);
    federation.net.lose_answers(1.0);
    commune.submit(1, &["clinic"]).await.unwrap();
    federation.walk().await;
    assert_eq!(federation.node(DISTRICT).system.taken().len(), 1);
    federation.net.lose_answers(0.0);
    federation.net.cut(COMMUNE, DISTRICT, true);
    federation.pass(LIFE + HOUR, HOUR).await;
    Sweep::default().once(&commune.engine).await.unwrap();
    assert!(matches!(commune.state(1).await, DeliveryState::Waiting { .. }), "nobody knows yet");
    federation.net.cut(COMMUNE, DISTRICT, false);
    federation.net.cut(DISTRICT, COMMUNE, false);
    federation.pass(4 * HOUR, Duration::from_secs(600)).await;
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn what_the_next_gateway_never_got_expires_when_it_says_so_and_is_held_when_it_never_does() {
    for (mended, end) in
        [(true, DeliveryState::Expired), (false, DeliveryState::Held { reason: Reason::ReceiptOverdue })]
    {
        let federation = Federation::new(1);
        let commune = federation.node(COMMUNE);
        federation.net.cut(COMMUNE, DISTRICT, true);
        commune.submit(1, &["clinic"]).await.unwrap();
        federation.walk().await;
        federation.pass(LIFE + HOUR, HOUR).await;
        federation.net.cut(COMMUNE, DISTRICT, !mended);
        federation.pass(26 * HOUR, HOUR).await;
        Sweep::default().once(&commune.engine).await.unwrap();
        assert_eq!(commune.state(1).await, end);
    }
}

#[tokio::test]
async fn an_expiry_that_was_only_feared_gives_way_to_the_proof_of_the_recipients_gateway() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    federation.net.cut(COMMUNE, DISTRICT, true);
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    federation.pass(LIFE + HOUR, HOUR).await;
    federation.net.cut(COMMUNE, DISTRICT, false);
    federation.pass(3 * HOUR, HOUR).await;
    assert_eq!(commune.state(1).await, DeliveryState::Expired);
    commune.engine.record_receipt(&gateway(DISTRICT), &receipt_of(PROVINCE, |_| ())).await.unwrap();
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_repeat_whose_parts_are_gone_gets_the_first_receipt() {
    let node = Node::new(COMMUNE);
    let content = Bytes::from_static(b"trich luc ban do");
    let digest = Digest::of(&content);
    let mut with_part = draft(1, &["ward"]);
    with_part.parts = vec![v1::Part {
        name: "ban-do.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: content.len() as u64,
        sha256: Bytes::copy_from_slice(&digest.0),
        role: String::new(),
    }];
    let signed = WORLD.sign(&with_part);
    let whole = Submission { inline: vec![content], ..from_system(signed.clone(), desk()) };
    let first = node.engine.submit(whole).await.unwrap();
    node.walk().await;
    assert!(node.parts.remove(&[digest], START.plus(HOUR)).await.unwrap() > 0);
    let again = node.submit_bytes(signed).await.unwrap();
    assert_eq!((again.duplicate, again.receipt), (true, first.receipt));
}

#[tokio::test]
async fn a_repeat_after_the_expiry_gets_the_first_receipt_and_a_stranger_the_refusal() {
    let node = Node::new(COMMUNE);
    let first = node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    node.clock.advance(LIFE + HOUR);
    let again = node.submit(1, &["ward"]).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.receipt, first.receipt);
    assert_eq!(node.submit(1, &["commune"]).await.unwrap_err().reason, Reason::EnvelopeExpired);
    assert_eq!(node.submit(2, &["ward"]).await.unwrap_err().reason, Reason::EnvelopeExpired);
    assert_eq!(node.rows(1).await.len(), 1);
}

#[tokio::test]
async fn a_repeat_whose_signer_has_ended_meanwhile_gets_the_first_receipt() {
    let node = Node::new(COMMUNE);
    let first = node.submit(1, &["ward"]).await.unwrap();
    node.trust.replace(signers_end(START.plus(HOUR))).unwrap();
    node.clock.advance(2 * HOUR);
    assert_eq!(node.submit(2, &["ward"]).await.unwrap_err().reason, Reason::SignerRegistrationEnded);
    assert_eq!(node.submit(1, &["ward"]).await.unwrap().receipt, first.receipt);
}

fn signers_end(until: gateway_model::Timestamp) -> std::sync::Arc<gateway_verify::Snapshot> {
    WORLD.changed(|content| {
        content.version = 2;
        agency_of(content, "commune").signers[0].validity.until = Some(until);
    })
}

#[tokio::test]
async fn only_the_senders_own_gateway_says_when_it_was_accepted() {
    let node = Node::new(PROVINCE);
    node.trust.replace(signers_end(START.plus(HOUR))).unwrap();
    node.clock.advance(2 * HOUR);
    let relayed = |hops: &[&str], minutes: i64| {
        let first = receipt_of(hops[0], |event| {
            event.kind = EventKind::Accepted;
            event.at = gateway_model::Timestamp::from_seconds(START.seconds() + 60 * minutes);
        });
        let relay = RelayFacts {
            recipients: vec![agency_id("land")],
            hops: hops.iter().map(|id| gateway(id)).collect(),
            first_accepted: Some(first),
        };
        let hop = Hop::Gateway(gateway(DISTRICT));
        let signed = envelope(1, &["land"]);
        node.engine.submit(Submission { signed, hop, inline: Vec::new(), relay: Some(relay), traceparent: None })
    };
    let reason = Reason::SignerRegistrationEnded;
    assert_eq!(relayed(&[DISTRICT], 5).await.unwrap_err().reason, reason, "it does not serve the sender");
    let early = relayed(&[COMMUNE, DISTRICT], -60 * 24).await.unwrap_err();
    assert_eq!(early.reason, reason, "nobody accepts what is not made yet");
    relayed(&[COMMUNE, DISTRICT], 5).await.unwrap();
}

#[tokio::test]
async fn chatter_about_an_envelope_is_bounded_and_its_end_still_gets_through() {
    let federation = Federation::new(1);
    let commune = federation.node(COMMUNE);
    federation.net.cut(DISTRICT, PROVINCE, true);
    commune.submit(1, &["land"]).await.unwrap();
    federation.walk().await;
    let from = gateway(DISTRICT);
    let chatter = |attempt| {
        receipt_of(PROVINCE, |event| {
            event.kind = EventKind::Held;
            event.attempt = attempt;
        })
    };
    let mut taken = 0;
    for attempt in 0..200 {
        match commune.engine.record_receipt(&from, &chatter(attempt)).await {
            Ok(_) => taken += 1,
            Err(refusal) => assert_eq!(refusal.reason, Reason::QuotaExceeded),
        }
    }
    assert_eq!(taken, 127, "128, the receipt of the district's own among them");
    assert_eq!(commune.engine.record_receipt(&from, &chatter(0)).await.unwrap(), Recorded::Known);
    commune.engine.record_receipt(&from, &receipt_of(PROVINCE, |_| ())).await.unwrap();
    assert_eq!(commune.state(1).await, DeliveryState::Delivered);
}

#[tokio::test]
async fn behind_a_closed_gate_the_loop_rests_between_its_looks() {
    let node = Node::new(COMMUNE);
    node.system.set_down(true);
    node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    node.submit(2, &["ward"]).await.unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = {
        let (engine, shutdown) = (node.engine.clone(), shutdown.clone());
        tokio::spawn(async move { engine.run(shutdown).await })
    };
    let settled = async || {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    };
    settled().await;
    let before = node.system.calls().len();
    node.submit(3, &["commune"]).await.unwrap();
    settled().await;
    assert_eq!(node.system.calls().len(), before, "it looks again after its rest only");
    node.clock.advance(Duration::from_millis(20));
    settled().await;
    assert_eq!(node.system.calls().len(), before + 1);
    shutdown.cancel();
    running.await.unwrap();
}

/// A gateway above whose receipt always speaks of the land office alone.
struct Forgetful;

impl RelayAdapters for Forgetful {
    fn to(&self, _: &GatewayId) -> Option<Arc<dyn Relay>> {
        Some(Arc::new(Self))
    }
}

#[async_trait]
impl Adapter for Forgetful {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let receipt = receipt_of(DISTRICT, |event| {
            event.kind = EventKind::Accepted;
            event.envelope_digest = delivery.digest;
        });
        Outcome::Taken { receipt: Some(receipt.to_vec()) }
    }

    async fn check(&self) -> Health {
        Health::Up
    }
}

#[async_trait]
impl Relay for Forgetful {
    async fn return_receipts(&self, receipts: &[Bytes]) -> Vec<Result<(), ReturnFault>> {
        vec![Ok(()); receipts.len()]
    }
}

#[tokio::test]
async fn a_receipt_forwards_only_those_that_it_speaks_of() {
    let node = Node::with(COMMUNE, Settings::default(), Some(Arc::new(Forgetful)));
    node.submit(1, &["land", "tax"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.summary(1, "land").await.delivery.state, DeliveryState::Forwarded { next: gateway(DISTRICT) });
    let left_out = node.summary(1, "tax").await.delivery.state;
    assert!(matches!(left_out, DeliveryState::Waiting { reason: Some(Reason::ReceiptInvalid), .. }), "{left_out:?}");
}
