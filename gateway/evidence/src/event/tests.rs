//! One event, one serialization; nothing malformed and nothing unbounded gets through.

use super::*;

fn event() -> Event {
    Event {
        kind: EventKind::Accepted,
        gateway: GatewayId::parse("gw-commune").unwrap(),
        at: Timestamp::parse("2026-03-02T01:02:03.456789Z").unwrap(),
        sender: AgencyId::parse("agency-1").unwrap(),
        envelope_id: EnvelopeId::parse("0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b").unwrap(),
        envelope_digest: Digest::of(b"envelope"),
        recipients: vec![AgencyId::parse("agency-2").unwrap(), AgencyId::parse("agency-3").unwrap()],
        reason: Some(Reason::RouteMissing),
        counterpart: "gw-district".into(),
        attempt: 3,
        rests_on: Some(Digest::of(b"foreign")),
        verification: Some(Verification {
            directory_version: 7,
            signer_certificates: vec![Digest::of(b"certificate")],
            revocation: vec![RevocationUsed {
                digest: Digest::of(b"list"),
                this_update: Timestamp::from_seconds(1_000),
                next_update: Timestamp::from_seconds(2_000),
            }],
        }),
        note: "spoken with the district".into(),
    }
}

fn refused(change: impl Fn(&mut v1::Event), expected: EvidenceError) {
    let mut wire = event().to_wire();
    change(&mut wire);
    assert_eq!(Event::decode(&wire.encode_to_vec()), Err(expected));
}

#[test]
fn an_event_survives_its_serialization() {
    assert_eq!(Event::decode(&event().encode()), Ok(event()));
    let bare = Event {
        recipients: Vec::new(),
        reason: None,
        counterpart: String::new(),
        attempt: 0,
        rests_on: None,
        verification: None,
        note: String::new(),
        ..event()
    };
    assert_eq!(Event::decode(&bare.encode()), Ok(bare));
}

#[test]
fn every_kind_survives_its_serialization() {
    for kind in EventKind::ALL {
        assert_eq!(Event::decode(&Event { kind, ..event() }.encode()).map(|event| event.kind), Ok(kind));
    }
}

#[test]
fn an_event_without_recipients_concerns_everybody() {
    let other = AgencyId::parse("agency-9").unwrap();
    assert!(event().concerns(&event().recipients[1]));
    assert!(!event().concerns(&other));
    assert!(Event { recipients: Vec::new(), ..event() }.concerns(&other));
}

#[test]
fn each_malformed_field_is_refused_by_name() {
    refused(|wire| wire.schema = "lienthong.event.v2".into(), malformed("event.schema"));
    refused(|wire| wire.kind = 0, malformed("event.kind"));
    refused(|wire| wire.kind = 99, malformed("event.kind"));
    refused(|wire| wire.gateway = "two words".into(), malformed("event.gateway"));
    refused(|wire| wire.at = None, malformed("event.at"));
    refused(|wire| wire.sender.clear(), malformed("event.sender"));
    refused(|wire| wire.envelope_id = wire.envelope_id.to_uppercase(), malformed("event.envelope_id"));
    refused(|wire| wire.envelope_sha256 = Bytes::from_static(b"short"), malformed("event.envelope_sha256"));
    refused(|wire| wire.recipients[0].clear(), malformed("event.recipients"));
    refused(|wire| wire.reason = "NO_SUCH_REASON".into(), malformed("event.reason"));
    refused(|wire| wire.rests_on = Bytes::from_static(b"short"), malformed("event.rests_on"));
    let verification =
        |change: fn(&mut v1::Verification)| move |wire: &mut v1::Event| change(wire.verification.as_mut().unwrap());
    let certificates = verification(|v| v.signer_certificates[0] = Bytes::new());
    refused(certificates, malformed("event.verification.signer_certificates"));
    refused(verification(|v| v.revocation[0].this_update = None), malformed("event.verification.revocation"));
}

#[test]
fn each_bound_is_kept() {
    let large = |what| EvidenceError::TooLarge { what };
    refused(|wire| wire.recipients = vec!["a".into(); limits::RECIPIENTS_MAX + 1], large("event.recipients"));
    refused(|wire| wire.counterpart = "x".repeat(COUNTERPART_BYTES_MAX + 1), large("event.counterpart"));
    refused(|wire| wire.note = "x".repeat(limits::TEXT_BYTES_MAX + 1), large("event.note"));
    refused(|wire| wire.note = "x".repeat(EVENT_BYTES_MAX), large("event"));
    let certificates = vec![Bytes::from_static(&[0; 32]); limits::SIGNATURES_MAX + 1];
    let change = |wire: &mut v1::Event| wire.verification.as_mut().unwrap().signer_certificates = certificates.clone();
    refused(change, large("event.verification"));
}

#[test]
fn the_largest_broadcast_fits_its_bound() {
    let recipients = (0..limits::RECIPIENTS_MAX).map(|n| AgencyId::parse(&format!("{n:0>64}")).unwrap()).collect();
    let broadcast = Event { recipients, note: "x".repeat(limits::TEXT_BYTES_MAX), ..event() };
    assert_eq!(Event::decode(&broadcast.encode()), Ok(broadcast));
}

#[test]
fn a_second_spelling_of_the_same_event_is_refused() {
    let bytes = event().encode();
    let unknown_field = [&bytes[..], &[0xf8, 0x07, 0x01]].concat();
    assert_eq!(Event::decode(&unknown_field), Err(malformed("event")));
    let field_said_twice = [&bytes[..], &[0x58, 0x03]].concat();
    assert_eq!(Event::decode(&field_said_twice), Err(malformed("event")));
    let mut finer = event().to_wire();
    finer.at.as_mut().unwrap().nanos += 1;
    assert_eq!(Event::decode(&finer.encode_to_vec()), Err(malformed("event")));
    assert_eq!(Event::decode(&bytes[..bytes.len() - 1]), Err(malformed("event")));
}
