//! What crosses to the next gateway, and what the engine is told when something does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::lease::FixedLease;
use adapters_sdk::relay::{RelayAdapters, ReturnFault};
use adapters_sdk::{Delivery, Health, Outcome, Scope};
use bytes::Bytes;
use futures::future::join_all;
use gateway_model::id::GatewayId;
use gateway_model::{Digest, Reason, Timestamp};
use prost::Message;
use proto::v1;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::fixture::{NOON, Parts, Reply, VERSION, World, delivery, tinh};
use crate::{Met, RelayIdentity, RelayIdentityError, RelaySettings};

fn settings() -> RelaySettings {
    RelaySettings { back_off_first: Duration::from_millis(10), chunk_bytes: 1_024, ..RelaySettings::default() }
}

async fn world() -> World {
    World::new(settings()).await
}

/// The leaf index of the receipt taken.
fn taken(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Taken { receipt: Some(receipt) } => v1::Receipt::decode(receipt.as_slice()).unwrap().leaf_index,
        other => panic!("{other:?} is not taken"),
    }
}

fn deferred(outcome: Outcome) -> (Reason, Scope) {
    match outcome {
        Outcome::Deferred { reason, scope, .. } => (reason, scope),
        other => panic!("{other:?} is no deferral"),
    }
}

const UNREACHABLE: (Reason, Scope) = (Reason::PeerUnreachable, Scope::Destination);
const NOT_TRUSTED: (Reason, Scope) = (Reason::PeerNotTrusted, Scope::Destination);

#[tokio::test]
async fn an_envelope_crosses_byte_for_byte_with_all_that_the_next_gateway_needs() {
    let world = world().await;
    let delivery = delivery(1, &[]);
    assert_eq!(taken(world.relay().deliver(&delivery).await), 1);
    let requests = world.script.requests.lock().unwrap();
    let request = &requests[0];
    assert_eq!(request.envelope.as_ref().unwrap().encode_to_vec(), delivery.signed);
    assert_eq!(request.recipients, ["so-tnmt-cu"], "as named: the next gateway resolves by its own directory");
    assert_eq!(request.hops, ["xa", "huyen"]);
    assert_eq!(request.traceparent, "00-trace-01");
    assert_eq!(request.first_accepted.as_ref().unwrap().leaf_index, 77);
}

#[tokio::test]
async fn many_envelopes_are_in_flight_on_one_connection_and_answers_come_in_any_order() {
    let world = world().await;
    for _ in 0..32 {
        world.script.then(Reply::Gather(32));
    }
    let relay = world.relay();
    let deliveries: Vec<Delivery> = (1..=32).map(|number| delivery(number, &[])).collect();
    let outcomes = join_all(deliveries.iter().map(|delivery| relay.deliver(delivery))).await;
    for (delivery, outcome) in deliveries.iter().zip(outcomes) {
        let envelope = v1::SignedEnvelope::decode(delivery.signed.clone()).unwrap().envelope;
        let expected = world.script.receipts.lock().unwrap()[&envelope].leaf_index;
        assert_eq!(taken(outcome), expected, "each its own receipt");
    }
    assert_eq!(world.script.key_exchanges.lock().unwrap().len(), 1, "one connection");
}

#[tokio::test]
async fn no_more_envelopes_are_in_flight_than_the_bound() {
    let world = World::new(RelaySettings { in_flight_max: 4, ..settings() }).await;
    for _ in 0..5 {
        world.script.then(Reply::Silent);
    }
    let verdict = v1::ReceiptVerdict { recorded: true, ..v1::ReceiptVerdict::default() };
    *world.script.verdicts.lock().unwrap() = vec![verdict];
    let relay = world.relay();
    let deliveries: Vec<Delivery> = (1..=5).map(|number| delivery(number, &[])).collect();
    let came = || world.script.requests.lock().unwrap().len();
    // What comes after the four over the same connection shows that a fifth would have come as well.
    let others = async {
        while came() < 4 {
            world.script.came.notified().await;
        }
        for _ in 0..20 {
            assert_eq!(relay.return_receipts(&[Bytes::new()]).await, [Ok(())]);
        }
    };
    tokio::select! {
        outcomes = join_all(deliveries.iter().map(|delivery| relay.deliver(delivery))) => panic!("nobody answered: {outcomes:?}"),
        () = others => assert_eq!(came(), 4, "the fifth never came"),
    }
}

#[tokio::test]
async fn the_key_exchange_is_post_quantum() {
    let world = world().await;
    world.relay().deliver(&delivery(1, &[])).await;
    assert_eq!(*world.script.key_exchanges.lock().unwrap(), ["X25519MLKEM768"]);
}

#[tokio::test]
async fn lost_answers_are_deferred_and_the_repeat_gets_the_first_receipt() {
    let world = world().await;
    world.script.then(Reply::Silent);
    world.script.then(Reply::Silent);
    let (relay, one, other) = (world.relay(), delivery(1, &[]), delivery(2, &[]));
    let cut = async {
        while world.script.requests.lock().unwrap().len() < 2 {
            world.script.came.notified().await;
        }
        world.wire.cut().await;
    };
    let (first, second, ()) = tokio::join!(relay.deliver(&one), relay.deliver(&other), cut);
    assert_eq!((deferred(first), deferred(second)), (UNREACHABLE, UNREACHABLE));
    let envelope = v1::SignedEnvelope::decode(one.signed.clone()).unwrap().envelope;
    let receipt = world.script.receipts.lock().unwrap()[&envelope].leaf_index;
    assert_eq!(taken(relay.deliver(&one).await), receipt);
    assert_eq!(world.script.key_exchanges.lock().unwrap().len(), 2, "over a new connection");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up_when_the_lease_ends() {
    let world = world().await;
    world.script.then(Reply::Silent);
    let deadline = NOON.plus(Duration::from_millis(1_300));
    let outcome = world.relay().deliver(&Delivery { deadline, ..delivery(1, &[]) }).await;
    assert_eq!(deferred(outcome), UNREACHABLE);
}

#[tokio::test]
async fn nothing_is_sent_when_the_lease_has_ended_already() {
    let world = world().await;
    for deadline in [NOON, NOON.minus(Duration::from_secs(9)), Timestamp::MIN] {
        let outcome = world.relay().deliver(&Delivery { deadline, ..delivery(1, &[]) }).await;
        assert_eq!(deferred(outcome), (Reason::DeadlineExceeded, Scope::Delivery));
    }
    assert!(world.script.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_envelope_that_is_never_answered_does_not_condemn_a_peer_that_answers_others() {
    let world = World::new(RelaySettings { call_time_max: Duration::from_millis(1_500), ..settings() }).await;
    world.script.then(Reply::Silent);
    let (relay, one, other) = (world.relay(), delivery(1, &[]), delivery(2, &[]));
    let others = async {
        world.script.came.notified().await;
        relay.deliver(&other).await
    };
    let (silent, answered) = tokio::join!(relay.deliver(&one), others);
    taken(answered);
    assert_eq!(deferred(silent), (Reason::DeadlineExceeded, Scope::Delivery));
}

#[tokio::test]
async fn parts_go_first_and_only_those_that_the_peer_lacks() {
    let world = world().await;
    let (here, lacking) = (vec![1; 3_000], vec![2; 5_000]);
    world.script.parts.lock().unwrap().insert(Bytes::copy_from_slice(&Digest::of(&here).0), here.clone());
    taken(world.relay().deliver(&delivery(1, &[&here, &lacking])).await);
    let headers = world.script.headers.lock().unwrap();
    assert_eq!(headers.len(), 1);
    assert_eq!((headers[0].size, headers[0].offset), (5_000, 0));
    assert_eq!(world.script.parts.lock().unwrap()[&headers[0].sha256], lacking);
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_stopped() {
    let world = world().await;
    *world.script.breaks_after.lock().unwrap() = Some(3_000);
    let part: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    taken(world.relay().deliver(&delivery(1, &[&part])).await);
    let headers = world.script.headers.lock().unwrap();
    assert_eq!(headers.iter().map(|header| header.offset).collect::<Vec<_>>(), [0, 3_072]);
    assert_eq!(world.script.parts.lock().unwrap()[&headers[0].sha256], part);
}

/// A part that takes longer than one call on a thin line, under `lease`.
async fn over_a_thin_line(lease: FixedLease) -> Outcome {
    let world = World::new(RelaySettings { call_time_max: Duration::from_secs(4), ..settings() }).await;
    *world.script.thin.lock().unwrap() = Duration::from_millis(5);
    // The last window of 64 chunks is on the line when all has been sent: a busy machine has ten times as long as it takes.
    let part: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    world.relay().deliver(&Delivery { lease: Arc::new(lease), ..delivery(1, &[&part]) }).await
}

#[tokio::test]
async fn a_large_part_on_a_thin_line_has_its_lease_extended_for_as_long_as_it_gets_on() {
    taken(over_a_thin_line(FixedLease::of(Duration::from_secs(60))).await);
    let ended = over_a_thin_line(FixedLease::of(Duration::ZERO)).await;
    assert_eq!(deferred(ended), (Reason::DeadlineExceeded, Scope::Delivery), "a lease that is lost ends it");
}

#[tokio::test]
async fn an_upload_that_does_not_get_on_is_given_up_after_one_call() {
    let world = World::new(RelaySettings { call_time_max: Duration::from_millis(400), ..settings() }).await;
    *world.script.thin.lock().unwrap() = Duration::from_secs(30);
    let outcome = world.relay().deliver(&delivery(1, &[&[7; 5_000]])).await;
    assert_eq!(deferred(outcome), (Reason::DeadlineExceeded, Scope::Delivery));
}

#[tokio::test]
async fn a_small_part_does_not_wait_for_a_large_one_that_takes_hours() {
    let world = World::new(RelaySettings { uploads_max: 1, ..settings() }).await;
    *world.script.thin.lock().unwrap() = Duration::from_millis(20);
    let (relay, large) = (world.relay(), vec![3; 2_000_000]);
    let (hours, small) = (delivery(1, &[&large]), delivery(2, &[b"small"]));
    let both = async {
        while world.script.headers.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        taken(relay.deliver(&small).await)
    };
    tokio::select! {
        _ = relay.deliver(&hours) => panic!("the large one cannot be over already"),
        number = both => assert_eq!(number, 1),
    }
}

#[tokio::test]
async fn an_upload_over_a_cut_wire_goes_on_over_the_next_one() {
    let world = world().await;
    let part = vec![9; 4_000];
    world.script.parts.lock().unwrap().insert(Bytes::copy_from_slice(&Digest::of(&part).0), part[..2_500].to_vec());
    taken(world.relay().deliver(&delivery(1, &[])).await);
    world.wire.cut().await;
    taken(world.relay().deliver(&delivery(2, &[&part])).await);
    assert_eq!(world.script.headers.lock().unwrap()[0].offset, 2_500);
    assert_eq!(world.script.key_exchanges.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_part_that_the_peer_lost_meanwhile_is_brought_again() {
    let world = world().await;
    world.script.then(Reply::Refuse(refusal("PART_MISSING", Code::FailedPrecondition, 0)));
    taken(world.relay().deliver(&delivery(1, &[b"part"])).await);
    assert_eq!(world.script.requests.lock().unwrap().len(), 2);
    for _ in 0..settings().attempts_max {
        world.script.then(Reply::Refuse(refusal("PART_MISSING", Code::FailedPrecondition, 0)));
    }
    let outcome = world.relay().deliver(&delivery(2, &[b"part"])).await;
    assert_eq!(deferred(outcome), (Reason::PartMissing, Scope::Delivery), "not for ever, and not for good");
}

#[tokio::test]
async fn a_part_that_we_cannot_read_is_never_taken_for_a_short_one() {
    let world = world().await;
    let part = Bytes::from(vec![5; 6_000]);
    let source = Parts { parts: [(Digest::of(&part), part.clone())].into(), breaks_after: Some(2_500) };
    let broken = Delivery { parts: Arc::new(source), ..delivery(1, &[&part]) };
    assert_eq!(deferred(world.relay().deliver(&broken).await), (Reason::StoreUnavailable, Scope::Delivery));
    assert!(world.script.requests.lock().unwrap().is_empty(), "no envelope without its parts");
}

#[tokio::test]
async fn a_full_peer_at_an_upload_is_left_in_peace_for_a_while() {
    let world = world().await;
    let mut details = ErrorDetails::with_error_info("STORE_FULL", "lienthong.gov.vn", HashMap::new());
    details.set_retry_info(Some(Duration::from_secs(30)));
    let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
    *world.script.uploads_end_with.lock().unwrap() = Some(status);
    match world.relay().deliver(&delivery(1, &[b"part"])).await {
        Outcome::Deferred { reason: Reason::StoreFull, scope: Scope::Destination, retry_after, .. } => {
            assert_eq!(retry_after, Some(Duration::from_secs(30)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_busy_peer_defers_and_a_refusal_is_final_with_its_own_reason() {
    let world = world().await;
    world.script.then(Reply::Refuse(refusal("OVERLOADED", Code::ResourceExhausted, 2_000)));
    world.script.then(Reply::Refuse(refusal("CERTIFICATE_REVOKED", Code::Unauthenticated, 0)));
    let busy = world.relay().deliver(&delivery(1, &[])).await;
    assert!(
        matches!(busy, Outcome::Deferred { retry_after: Some(wait), .. } if wait == Duration::from_secs(2)),
        "{busy:?}"
    );
    assert_eq!(deferred(busy), (Reason::Overloaded, Scope::Destination));
    let refused = world.relay().deliver(&delivery(1, &[])).await;
    assert!(matches!(refused, Outcome::Refused { reason: Reason::CertificateRevoked, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_draining_peer_ends_the_stream_with_its_reason_and_is_dialled_again_later() {
    let world = world().await;
    let details = ErrorDetails::with_error_info("DRAINING", "lienthong.gov.vn", HashMap::new());
    world.script.then(Reply::End(Status::with_error_details(Code::Unavailable, "bye", details)));
    let outcome = world.relay().deliver(&delivery(1, &[])).await;
    assert_eq!(deferred(outcome), (Reason::Draining, Scope::Destination));
    taken(world.relay().deliver(&delivery(1, &[])).await);
}

#[tokio::test]
async fn a_certificate_that_is_not_the_registered_one_gets_nothing_until_the_directory_says_so() {
    let world = world().await;
    let other = Digest::of(&world.ladder.issue("gw-tinh", &[]).unwrap().certificate_der);
    for pins in [vec![other], vec![]] {
        world.change(|facts| facts.tls_certificates = pins);
        assert_eq!(deferred(world.relay().deliver(&delivery(1, &[])).await), NOT_TRUSTED);
        assert!(matches!(world.relay().check().await, Health::Down { .. }));
    }
    assert!(world.script.requests.lock().unwrap().is_empty());
    let ours = Digest::of(&world.credential.certificate_der);
    world.change(|facts| facts.tls_certificates = vec![other, ours]);
    taken(world.relay().deliver(&delivery(1, &[])).await);
    world.change(|facts| facts.tls_certificates = vec![other]);
    assert_eq!(
        deferred(world.relay().deliver(&delivery(1, &[])).await),
        NOT_TRUSTED,
        "also over a connection that stands"
    );
}

#[tokio::test]
async fn a_registered_certificate_without_a_chain_to_our_authority_is_not_trusted() {
    let world = world().await;
    let foreign = certs_dev::tls::TlsLadder::new(NOON.seconds() - 86_400 * 100).unwrap();
    let ours = world.ladder.issue("gw-xa", &[]).unwrap();
    let authority = foreign.authority().certificate_pem();
    let identity =
        RelayIdentity::from_pem(ours.chain_pem.as_bytes(), ours.key_pem.as_bytes(), authority.as_bytes()).unwrap();
    let peers = crate::RelayPeers::new(identity, settings(), world.book.clone(), Arc::new(|| NOON));
    assert_eq!(deferred(peers.to(&tinh()).unwrap().deliver(&delivery(1, &[])).await), NOT_TRUSTED);
}

#[tokio::test]
async fn a_peer_that_does_not_take_our_certificate_is_told_of_in_the_detail() {
    let world = world().await;
    let foreign = certs_dev::tls::TlsLadder::new(NOON.seconds() - 86_400 * 100).unwrap();
    let ours = foreign.issue("gw-xa", &[]).unwrap();
    let authority = world.ladder.authority().certificate_pem();
    let identity =
        RelayIdentity::from_pem(ours.chain_pem.as_bytes(), ours.key_pem.as_bytes(), authority.as_bytes()).unwrap();
    let peers = crate::RelayPeers::new(identity, settings(), world.book.clone(), Arc::new(|| NOON));
    match peers.to(&tinh()).unwrap().deliver(&delivery(1, &[])).await {
        Outcome::Deferred { reason: Reason::PeerUnreachable, scope: Scope::Destination, detail, .. } => {
            assert!(detail.contains("alert"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_gateway_is_known_by_its_certificate_and_its_version_once_it_was_met() {
    let world = world().await;
    taken(world.relay().deliver(&delivery(1, &[])).await);
    let told = async {
        while world.peers.met(&tinh()).version.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap();
    let certificate = world.credential.certificate_der.clone();
    assert_eq!(world.peers.met(&tinh()), Met { certificate, version: VERSION.to_owned() });
}

#[tokio::test]
async fn nothing_is_known_of_a_gateway_before_it_was_met_and_no_version_of_one_that_names_another() {
    let world = world().await;
    *world.script.name.lock().unwrap() = "somebody-else".to_owned();
    assert_eq!(world.peers.met(&tinh()), Met::default());
    let fault = world.peers.ping(&tinh(), Duration::from_secs(20)).await.unwrap_err();
    assert_eq!(fault.reason, Reason::PeerNotTrusted);
    assert_eq!(world.peers.met(&tinh()).version, "");
}

#[tokio::test]
async fn the_registered_certificate_counts_and_not_the_name_of_the_host() {
    let world = world().await;
    world.change(|facts| facts.address = facts.address.replace("127.0.0.1", "127.0.0.2"));
    taken(world.relay().deliver(&delivery(1, &[])).await);
}

#[tokio::test]
async fn a_peer_below_tls_1_3_is_not_trusted() {
    let world = World::with_versions(settings(), &[&rustls::version::TLS12]).await;
    assert!(matches!(deferred(world.relay().deliver(&delivery(1, &[])).await), NOT_TRUSTED | UNREACHABLE));
    assert!(world.script.key_exchanges.lock().unwrap().is_empty(), "no connection came about");
}

#[tokio::test]
async fn a_peer_that_is_down_is_tried_a_few_times_and_found_at_its_new_address() {
    let world = world().await;
    let address = world.book.0.lock().unwrap()[&tinh()].address.clone();
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    world.change(|facts| facts.address = format!("https://{free}"));
    assert_eq!(deferred(world.relay().deliver(&delivery(1, &[])).await), UNREACHABLE);
    world.change(|facts| facts.address = "gopher://x".into());
    assert_eq!(deferred(world.relay().deliver(&delivery(1, &[])).await), UNREACHABLE);
    world.change(|facts| facts.address = address);
    taken(world.relay().deliver(&delivery(1, &[])).await);
}

#[tokio::test]
async fn a_gateway_that_the_directory_does_not_know_has_no_relay() {
    let world = world().await;
    assert!(world.peers.to(&GatewayId::parse("trung-uong").unwrap()).is_none());
    let relay = world.relay();
    world.book.0.lock().unwrap().clear();
    assert!(world.peers.to(&tinh()).is_none());
    assert_eq!(deferred(relay.deliver(&delivery(1, &[])).await), UNREACHABLE);
}

#[tokio::test]
async fn receipts_come_back_with_one_verdict_each() {
    let world = world().await;
    let verdict = |recorded, reason: &str, retryable| v1::ReceiptVerdict { recorded, reason: reason.into(), retryable };
    *world.script.verdicts.lock().unwrap() =
        vec![verdict(true, "", false), verdict(false, "RECEIPT_INVALID", false), verdict(false, "STORE_FULL", true)];
    let receipt = |index| Bytes::from(v1::Receipt { leaf_index: index, ..v1::Receipt::default() }.encode_to_vec());
    let verdicts =
        world.relay().return_receipts(&[receipt(1), Bytes::from_static(b"\xff"), receipt(2), receipt(3)]).await;
    let fault = |reason, retryable| Err(ReturnFault { reason, retryable });
    let unreadable = fault(Reason::ReceiptInvalid, false);
    assert_eq!(verdicts, [Ok(()), unreadable, fault(Reason::ReceiptInvalid, false), fault(Reason::StoreFull, true)]);
    assert_eq!(world.script.returned.lock().unwrap().iter().map(|r| r.leaf_index).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn receipts_that_cannot_be_brought_back_are_all_to_be_tried_again() {
    let world = world().await;
    world.change(|facts| facts.tls_certificates.clear());
    let receipts = [Bytes::new(), Bytes::new()];
    let fault = Err(ReturnFault { reason: Reason::PeerNotTrusted, retryable: true });
    assert_eq!(world.relay().return_receipts(&receipts).await, [fault, fault]);
    world.change(|facts| facts.tls_certificates = vec![Digest::of(&world.credential.certificate_der)]);
    let fault = Err(ReturnFault { reason: Reason::PeerUnreachable, retryable: true });
    assert_eq!(world.relay().return_receipts(&receipts).await, [fault, fault], "no verdicts for two receipts");
}

#[tokio::test]
async fn a_peer_is_healthy_when_the_right_gateway_answers() {
    let world = world().await;
    assert_eq!(world.relay().check().await, Health::Up);
    *world.script.name.lock().unwrap() = "huyen".into();
    assert_eq!(world.relay().check().await, Health::Down { cause: "huyen answers where tinh should".into() });
}

#[tokio::test]
async fn an_identity_must_be_whole() {
    let world = world().await;
    let (one, other) = (world.ladder.issue("gw-xa", &[]).unwrap(), world.ladder.issue("gw-xa", &[]).unwrap());
    let authority = world.ladder.authority().certificate_pem();
    let read = |chain: &str, key: &str, authority: &str| {
        RelayIdentity::from_pem(chain.as_bytes(), key.as_bytes(), authority.as_bytes()).map(drop)
    };
    assert!(read(&one.chain_pem, &one.key_pem, &authority).is_ok());
    assert!(matches!(read(&one.chain_pem, &other.key_pem, &authority), Err(RelayIdentityError::Tls(_))));
    assert!(matches!(
        read(&one.chain_pem, "", &authority),
        Err(RelayIdentityError::Pem { what: "the private key", .. })
    ));
    assert!(matches!(read(&one.chain_pem, &one.key_pem, ""), Err(RelayIdentityError::NoRoots)));
}

fn refusal(reason: &str, code: Code, retry_after_milliseconds: u64) -> v1::Refused {
    v1::Refused { reason: reason.into(), code: code.into(), retry_after_milliseconds, ..v1::Refused::default() }
}
