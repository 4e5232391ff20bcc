//! What the door lets in, and what it answers otherwise.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use gateway_engine::quota::{Quotas, Rate};
use gateway_engine::settings::Settings;
use gateway_engine::{RelayFacts, Submission};
use gateway_model::agency::Hop;
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Refusal, limits};
use gateway_store::Pressure;
use gateway_store::faulty::{Fault, Step};
use proto::v1;

use crate::system::{Node, from_system};
use crate::world::{COMMUNE, DISTRICT, LIFE, PROVINCE, WORLD, agency_id, desk, draft, envelope, gateway, instant, key};

/// A submission by a gateway that has passed `hops`.
fn from_gateway(signed: Bytes, hops: &[&str], recipients: &[&str]) -> Submission {
    let relay = RelayFacts {
        recipients: recipients.iter().map(|id| agency_id(id)).collect(),
        hops: hops.iter().map(|id| gateway(id)).collect(),
        first_accepted: None,
    };
    let hop = Hop::Gateway(gateway(hops.last().unwrap()));
    Submission { signed, hop, inline: Vec::new(), relay: Some(relay), traceparent: None }
}

async fn refused(node: &Node, submission: Submission) -> Refusal {
    node.engine.submit(submission).await.unwrap_err()
}

#[tokio::test]
async fn the_same_envelope_again_gets_the_first_receipt_and_nothing_new_happens() {
    let node = Node::new(COMMUNE);
    let first = node.submit(1, &["ward"]).await.unwrap();
    node.walk().await;
    let again = node.submit(1, &["ward"]).await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.receipt, first.receipt);
    assert_eq!(node.walk().await, 0);
    assert_eq!(node.system.calls().len(), 1);
}

#[tokio::test]
async fn another_envelope_under_the_same_id_is_refused_even_after_a_restart() {
    let mut node = Node::new(COMMUNE);
    node.submit(1, &["ward"]).await.unwrap();
    node.restart();
    let refusal = node.submit(1, &["commune"]).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::EnvelopeIdReused);
    assert!(!node.submit(2, &["ward"]).await.unwrap().duplicate);
}

#[tokio::test]
async fn nothing_is_kept_of_what_does_not_verify_but_operators_see_the_refusal() {
    let node = Node::new(COMMUNE);
    let mut tampered = envelope(1, &["ward"]).to_vec();
    let subject = tampered.windows(7).position(|window| window == b"UBND-VP").unwrap();
    tampered[subject] ^= 1;
    let refusal = node.submit_bytes(tampered.into()).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::SignatureContentMismatch);
    let mut forged = v1::SignedEnvelope { signatures: Vec::new(), envelope: Bytes::new() };
    forged.envelope = prost::Message::encode_to_vec(&draft(1, &["ward"])).into();
    let refusal = node.submit_bytes(prost::Message::encode_to_vec(&forged).into()).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::SignatureMissing);
    assert!(node.engine.store().find(&key(1)).await.unwrap().is_none());
    let seen = node.engine.operate().refusals(10);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].reason, Reason::SignatureMissing);
    assert_eq!(seen[0].envelope_id.as_deref(), Some(key(1).id.to_string().as_str()));
    assert_eq!(seen[0].hop, "system:one-stop-desk");
}

#[tokio::test]
async fn a_full_store_refuses_before_any_work_and_says_when_to_come_again() {
    let node = Node::new(COMMUNE);
    let retry_after = Duration::from_secs(7);
    node.faults.press(Some(Pressure::Busy { reason: Reason::StoreFull, retry_after }));
    let refusal = refused(&node, from_system(Bytes::from_static(b"not even an envelope"), desk())).await;
    assert_eq!((refusal.reason, refusal.retry_after), (Reason::StoreFull, Some(retry_after)));
}

#[tokio::test]
async fn a_draining_gateway_refuses_and_one_without_a_usable_directory_too() {
    let node = Node::new(COMMUNE);
    node.clock.jump(366 * 24 * 3_600 * 1_000_000);
    let refusal = node.submit(1, &["ward"]).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectoryExpired);
    assert!(refusal.retry_after.is_some());
    node.engine.drain();
    let refusal = node.submit(1, &["ward"]).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::Draining);
    assert!(refusal.retry_after.is_some());
}

#[tokio::test]
async fn more_than_may_be_under_way_is_refused_as_overload() {
    let node = Node::with(COMMUNE, Settings { submissions_max: 1, ..Settings::default() }, None);
    let gate = gateway_store::faulty::Gate::new();
    node.faults.next(Step::Accept, Fault::WaitBefore(gate.clone()));
    let first = node.submit(1, &["ward"]);
    let second = async {
        gate.arrival().await;
        let refusal = node.submit(2, &["ward"]).await.unwrap_err();
        gate.open();
        refusal
    };
    let (first, refusal) = tokio::join!(first, second);
    first.unwrap();
    assert_eq!(refusal.reason, Reason::Overloaded);
    assert!(refusal.retry_after.is_some());
    node.submit(3, &["ward"]).await.unwrap();
}

#[tokio::test]
async fn more_bytes_than_may_be_under_way_are_refused_as_overload() {
    let node = Node::with(COMMUNE, Settings { submission_bytes_max: 8 * 1024, ..Settings::default() }, None);
    let large = from_system(Bytes::from(vec![0; 9 * 1024]), desk());
    assert_eq!(refused(&node, large).await.reason, Reason::Overloaded);
    node.submit(1, &["ward"]).await.unwrap();
}

#[tokio::test]
async fn a_system_over_its_quota_is_told_when_to_come_again() {
    let one = NonZeroU32::new(1).unwrap();
    let rate = Rate { envelopes_per_second: one, bytes_per_second: NonZeroU32::new(1_000_000).unwrap() };
    let node =
        Node::with(COMMUNE, Settings { quotas: Quotas { system: rate, agency: rate }, ..Settings::default() }, None);
    for number in 1..=10 {
        node.submit(number, &["ward"]).await.unwrap();
    }
    let refusal = node.submit(11, &["ward"]).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::QuotaExceeded);
    node.clock.advance(refusal.retry_after.unwrap());
    node.submit(11, &["ward"]).await.unwrap();
}

#[tokio::test]
async fn an_envelope_that_has_passed_here_before_is_refused() {
    let node = Node::new(DISTRICT);
    let looped = from_gateway(envelope(1, &["clinic"]), &[DISTRICT, COMMUNE], &["clinic"]);
    assert_eq!(refused(&node, looped).await.reason, Reason::RouteLoop);
    let names: Vec<String> = (0..limits::HOPS_MAX).map(|n| format!("gw-{n}")).collect();
    let mut hops: Vec<&str> = names.iter().map(String::as_str).collect();
    hops.push(COMMUNE);
    let long = from_gateway(envelope(1, &["clinic"]), &hops, &["clinic"]);
    assert_eq!(refused(&node, long).await.reason, Reason::HopsTooMany);
}

#[tokio::test]
async fn a_gateway_may_only_ask_for_recipients_that_the_sender_named() {
    let node = Node::new(DISTRICT);
    let far = from_gateway(envelope(1, &["clinic", "district"]), &[COMMUNE], &["clinic", "tax"]);
    let refusal = refused(&node, far).await;
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::RelayedTooFar, "recipients[1]"));
    node.engine.submit(from_gateway(envelope(1, &["clinic", "district"]), &[COMMUNE], &["clinic"])).await.unwrap();
    assert_eq!(node.rows(1).await.len(), 1, "only what this hop is to serve");
    let rest = node.engine.submit(from_gateway(envelope(1, &["clinic", "district"]), &[COMMUNE], &["district"])).await;
    let rest = rest.unwrap();
    assert!(!rest.duplicate);
    assert_eq!(node.rows(1).await.len(), 2, "the rest of a broadcast may come later");
    let again = node.engine.submit(from_gateway(envelope(1, &["clinic", "district"]), &[COMMUNE], &["district"])).await;
    let again = again.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.receipt, rest.receipt, "a repeat gets the receipt that speaks of it");
}

#[tokio::test]
async fn a_system_cannot_speak_as_a_gateway_nor_a_gateway_hide_its_hops() {
    let node = Node::new(DISTRICT);
    let mut disguised = from_gateway(envelope(1, &["clinic"]), &[COMMUNE], &["clinic"]);
    disguised.hop = desk();
    assert_eq!(refused(&node, disguised).await.reason, Reason::HopNotAllowed);
    let mut hidden = from_gateway(envelope(1, &["clinic"]), &[COMMUNE], &["clinic"]);
    hidden.relay = None;
    assert_eq!(refused(&node, hidden).await.reason, Reason::HopNotAllowed);
    let mut other = from_gateway(envelope(1, &["clinic"]), &[COMMUNE], &["clinic"]);
    other.hop = Hop::Gateway(gateway(PROVINCE));
    assert_eq!(refused(&node, other).await.reason, Reason::RequestMalformed);
    let nobody = from_gateway(envelope(1, &["clinic"]), &[COMMUNE], &[]);
    assert_eq!(refused(&node, nobody).await.reason, Reason::RecipientMissing);
}

#[tokio::test]
async fn certificates_are_judged_as_of_the_first_acceptance_when_its_receipt_proves_it() {
    let first = Node::new(COMMUNE);
    let accepted = first.submit(1, &["clinic"]).await.unwrap();
    let node = Node::new(DISTRICT);
    // The seal's certificate is registered until tomorrow; the envelope comes two days later.
    let registered_until = |content: &mut gateway_model::directory::DirectoryContent| {
        content.version = 2;
        let until = crate::world::START.plus(Duration::from_secs(24 * 3_600));
        for agency in &mut content.agencies {
            agency.signers[0].validity.until = Some(until);
        }
    };
    node.trust.replace(WORLD.changed(registered_until)).unwrap();
    node.clock.advance(Duration::from_secs(2 * 24 * 3_600));
    let late = from_gateway(envelope(1, &["clinic"]), &[COMMUNE], &["clinic"]);
    assert_eq!(refused(&node, late.clone()).await.reason, Reason::SignerRegistrationEnded);
    let with_receipt = |receipt: Bytes| {
        let mut submission = late.clone();
        if let Some(relay) = &mut submission.relay {
            relay.first_accepted = Some(receipt);
        }
        submission
    };
    node.engine.submit(with_receipt(accepted.receipt.encode())).await.unwrap();
    let other = first.submit(2, &["clinic"]).await.unwrap();
    let mut borrowed = with_receipt(other.receipt.encode());
    borrowed.signed = envelope(3, &["clinic"]);
    assert_eq!(refused(&node, borrowed).await.reason, Reason::ReceiptInvalid);
}

#[tokio::test]
async fn every_part_has_to_be_here_with_its_size_and_inline_parts_count() {
    let node = Node::new(COMMUNE);
    let content = Bytes::from_static(b"trich luc ban do");
    let mut draft = draft(1, &["ward"]);
    let part = |size| v1::Part {
        name: "ban-do.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size,
        sha256: Bytes::copy_from_slice(&Digest::of(&content).0),
        role: "Trích lục bản đồ".to_owned(),
    };
    draft.parts = vec![part(content.len() as u64)];
    let signed = WORLD.sign(&draft);
    let refusal = node.submit_bytes(signed.clone()).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::PartMissing, "parts[0]"));
    let mut stray = from_system(signed.clone(), desk());
    stray.inline = vec![Bytes::from_static(b"something else")];
    assert_eq!(refused(&node, stray).await.reason, Reason::PartDigestMismatch);
    let mut whole = from_system(signed, desk());
    whole.inline = vec![content.clone()];
    node.engine.submit(whole).await.unwrap();
    draft.id = key(2).id.to_string();
    draft.parts = vec![part(content.len() as u64 + 1)];
    let refusal = node.submit_bytes(WORLD.sign(&draft)).await.unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::PartSizeMismatch, "parts[0]"));
}

#[tokio::test]
async fn what_nobody_can_reach_is_kept_and_held_not_refused() {
    let node = Node::new(COMMUNE);
    node.trust
        .replace(WORLD.changed(|content| {
            content.version = 2;
            content.gateways.push(crate::world::rung("gw-island", None));
            crate::world::agency_of(content, "tax").gateway = Some(gateway("gw-island"));
        }))
        .unwrap();
    node.submit(1, &["tax"]).await.unwrap();
    node.walk().await;
    assert_eq!(node.state(1).await, DeliveryState::Held { reason: Reason::RouteMissing });
}

#[tokio::test]
async fn an_envelope_that_has_expired_is_refused() {
    let node = Node::new(COMMUNE);
    let mut draft = draft(1, &["ward"]);
    draft.expires_at = Some(instant(crate::world::START.plus(LIFE)));
    node.clock.advance(LIFE);
    assert_eq!(node.submit_bytes(WORLD.sign(&draft)).await.unwrap_err().reason, Reason::EnvelopeExpired);
}

#[tokio::test]
async fn an_adapter_in_this_process_comes_in_by_a_door_like_any_other() {
    let node = Node::new(COMMUNE);
    let door = node.engine.door(desk());
    let content: &[u8] = b"noi dung";
    let part = adapters_sdk::NewPart { digest: Digest::of(content), size: content.len() as u64 };
    door.upload(part, Box::new(content)).await.unwrap();
    let short = adapters_sdk::NewPart { digest: Digest::of(b"x"), size: 9 };
    assert_eq!(door.upload(short, Box::new(content)).await.unwrap_err().reason, Reason::PartSizeMismatch);
    let submitted = door.submit(envelope(1, &["ward"])).await.unwrap();
    assert!(!submitted.duplicate && submitted.key == key(1));
    node.engine.drain();
    door.closed().await;
}
