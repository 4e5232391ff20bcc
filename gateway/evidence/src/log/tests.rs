//! Every receipt proves itself after every way of cutting a log into batches; a tampered anything fails.

use gateway_model::id::{AgencyId, EnvelopeId, GatewayId};
use gateway_model::note::{NoteError, VerifierKey};
use gateway_model::{Digest, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::event::{Event, EventKind};
use crate::merkle;

/// An Ed25519 key for tests only (PKCS#8, version 1), from a seed of one repeated byte.
fn signer(name: &str, seed: u8) -> NoteSigner {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(&[seed; 32]);
    NoteSigner::from_pkcs8(name, &der).unwrap()
}

fn log() -> Log {
    Log::new(signer("gw-a", 1), LogState::default()).unwrap()
}

fn event(number: u64) -> Event {
    Event {
        kind: EventKind::Delivered,
        gateway: GatewayId::parse("gw-a").unwrap(),
        at: Timestamp::from_micros(number as i64),
        sender: AgencyId::parse("agency-1").unwrap(),
        envelope_id: EnvelopeId([7; 16]),
        envelope_digest: Digest::of(b"envelope"),
        recipients: Vec::new(),
        reason: None,
        counterpart: String::new(),
        attempt: 1,
        rests_on: None,
        verification: None,
        note: String::new(),
    }
}

fn events(numbers: std::ops::Range<u64>) -> Vec<Bytes> {
    numbers.map(|number| event(number).encode()).collect()
}

fn keys() -> Vec<VerifierKey> {
    vec![signer("gw-a", 1).verifier().clone()]
}

/// A log of 5 leaves and then 4 more; gives the receipt of leaf 6.
fn receipt() -> Receipt {
    let mut log = log();
    log.advance(&log.append(&events(0..5)));
    log.append(&events(5..9)).receipts[1].clone()
}

fn check(change: impl Fn(&mut Receipt), expected: EvidenceError) {
    let mut receipt = receipt();
    change(&mut receipt);
    assert_eq!(receipt.verify("gw-a", &keys()), Err(expected));
}

#[test]
fn a_receipt_proves_itself_and_gives_its_event() {
    assert_eq!(receipt().leaf_index, 6);
    assert_eq!(receipt().verify("gw-a", &keys()), Ok(event(6)));
}

#[test]
fn a_tampered_receipt_does_not_hold() {
    check(|receipt| receipt.event = event(5).encode(), EvidenceError::NotIncluded);
    check(|receipt| receipt.leaf_index = 5, EvidenceError::NotIncluded);
    check(|receipt| receipt.leaf_index = 9, EvidenceError::NotIncluded);
    check(|receipt| receipt.proof[0] = Digest::of(b"other"), EvidenceError::NotIncluded);
    check(|receipt| receipt.proof.truncate(1), EvidenceError::NotIncluded);
    check(
        |receipt| receipt.checkpoint = receipt.checkpoint.replace("\n9\n", "\n8\n").into(),
        NoteError::Invalid.into(),
    );
    check(|receipt| receipt.checkpoint = "gw-a\n".into(), NoteError::Malformed.into());
}

#[test]
fn every_flipped_bit_of_a_serialized_receipt_is_noticed() {
    let bytes = receipt().encode();
    for position in 0..bytes.len() {
        let mut tampered = bytes.to_vec();
        tampered[position] ^= 1 << (position % 8);
        let verdict = Receipt::decode(&tampered).and_then(|receipt| receipt.verify("gw-a", &keys()));
        assert!(verdict.is_err(), "byte {position}");
    }
}

#[test]
fn a_receipt_of_another_log_or_another_key_does_not_hold() {
    assert_eq!(receipt().verify("gw-b", &keys()), Err(EvidenceError::OtherOrigin));
    let other = [signer("gw-a", 2).verifier().clone()];
    assert_eq!(receipt().verify("gw-a", &other), Err(NoteError::Unsigned.into()));
}

#[test]
fn an_event_that_names_another_gateway_does_not_hold() {
    let leaf = Event { gateway: GatewayId::parse("gw-b").unwrap(), ..event(0) }.encode();
    let batch = log().append(&[leaf]);
    assert_eq!(batch.receipts[0].verify("gw-a", &keys()), Err(EvidenceError::OtherGateway));
}

#[test]
fn a_leaf_that_is_no_event_does_not_hold() {
    let batch = log().append(&[Bytes::from_static(b"\xff")]);
    assert_eq!(batch.receipts[0].verify("gw-a", &keys()), Err(EvidenceError::Malformed { what: "event" }));
}

#[test]
fn a_receipt_survives_its_serialization() {
    assert_eq!(Receipt::decode(&receipt().encode()), Ok(receipt()));
    let trailing = [&receipt().encode()[..], &[0x10, 0x06]].concat();
    assert_eq!(Receipt::decode(&trailing), Err(EvidenceError::Malformed { what: "receipt" }));
}

#[test]
fn each_bound_of_a_receipt_is_kept() {
    let large =
        |what, receipt: Receipt| assert_eq!(Receipt::decode(&receipt.encode()), Err(EvidenceError::TooLarge { what }));
    large("event", Receipt { event: vec![0; crate::event::EVENT_BYTES_MAX + 1].into(), ..receipt() });
    large("inclusion proof", Receipt { proof: vec![Digest::of(b""); merkle::PROOF_NODES_MAX + 1], ..receipt() });
    large(
        "checkpoint",
        Receipt { checkpoint: "x".repeat(crate::receipt::CHECKPOINT_BYTES_MAX + 1).into(), ..receipt() },
    );
    assert_eq!(
        Receipt::decode(&vec![0; crate::receipt::RECEIPT_BYTES_MAX + 1]),
        Err(EvidenceError::TooLarge { what: "receipt" })
    );
}

#[test]
fn a_batch_that_was_not_committed_leaves_no_trace() {
    let mut log = log();
    let dropped = log.append(&events(0..3));
    let kept = log.append(&events(10..12));
    log.advance(&kept);
    assert_eq!((dropped.first_index, kept.first_index, log.state().size()), (0, 0, 2));
    assert_eq!(log.append(&events(12..13)).receipts[0].verify("gw-a", &keys()), Ok(event(12)));
}

#[test]
fn a_log_state_survives_its_serialization_and_no_other_bytes_are_one() {
    let state = log().append(&events(0..11)).next;
    assert_eq!(state.frontier().len(), 3);
    assert_eq!(LogState::decode(&state.encode()), Ok(state.clone()));
    assert_eq!(LogState::decode(&LogState::default().encode()), Ok(LogState::default()));
    let bytes = state.encode();
    for bad in [&bytes[..bytes.len() - 1], &bytes[..bytes.len() - 32], &bytes[..7], &[]] {
        assert_eq!(LogState::decode(bad), Err(EvidenceError::Malformed { what: "log state" }));
    }
}

proptest! {
    #[test]
    fn every_receipt_of_every_batch_verifies_however_the_log_is_cut(sizes in prop::collection::vec(0u64..40, 1..12)) {
        let (mut log, mut hashes) = (log(), Vec::new());
        for size in sizes {
            let start = log.state().size();
            let batch = log.append(&events(start..start + size));
            hashes.extend_from_slice(&batch.leaf_hashes);
            prop_assert_eq!(batch.root, merkle::root(&hashes));
            prop_assert_eq!(&batch.next, &LogState::of(&hashes));
            prop_assert_eq!(batch.next.root(), batch.root);
            for (number, receipt) in (start..).zip(&batch.receipts) {
                prop_assert_eq!(receipt.leaf_index, number);
                prop_assert_eq!(receipt.verify("gw-a", &keys()), Ok(event(number)));
            }
            log.advance(&batch);
        }
    }

    #[test]
    fn arbitrary_bytes_never_make_a_receipt_that_holds(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let verdict = Receipt::decode(&bytes).and_then(|receipt| receipt.verify("gw-a", &keys()));
        prop_assert!(verdict.is_err());
    }
}
