//! Envelopes through `verify()`: what is accepted, what is refused, for which reason and at which field.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end here")]

mod stage;

use certs_dev::sign::SignOptions;
use gateway_model::agency::Hop;
use gateway_model::envelope::{ContentKind, Priority, ResolvedRecipient, SignatureRole};
use gateway_model::id::{GatewayId, SystemId};
use gateway_model::{Digest, Reason, limits};
use gateway_verify::{VerifyTime, verify};
use prost::Message as _;
use proto::v1;
use proto::v1::envelope::Content;
use stage::{STAGE, at, envelope, id, judge, now, part, raw, recipient, sealed, sender_system, sign, sign_with, time};

/// Seals the good envelope with a change and expects a refusal.
fn refuses(reason: Reason, field: &str, change: impl FnOnce(&mut v1::Envelope)) {
    let mut message = envelope();
    change(&mut message);
    refuses_bytes(reason, field, message.encode_to_vec());
}

fn refuses_bytes(reason: Reason, field: &str, bytes: Vec<u8>) {
    let refusal = judge(&sealed(bytes)).expect_err("refused");
    assert_eq!((refusal.reason, refusal.field.as_str()), (reason, field), "{refusal}");
}

fn accepts(change: impl FnOnce(&mut v1::Envelope)) {
    let mut message = envelope();
    change(&mut message);
    judge(&sealed(message.encode_to_vec())).unwrap();
}

#[test]
fn a_good_envelope_is_verified_and_its_bytes_are_kept_exactly() {
    let bytes = envelope().encode_to_vec();
    let received = sealed(bytes.clone());
    let verified = judge(&received).unwrap();
    assert_eq!(verified.key().sender, id("xa-ban-lanh"), "the code is resolved to the internal id");
    assert_eq!(verified.key().id.to_string(), envelope().id);
    assert_eq!(verified.digest(), Digest::of(&bytes));
    assert_eq!(verified.signed(), &received.signed);
    assert_eq!(verified.recipients(), [ResolvedRecipient { named: id("so-nnmt"), serving: id("so-nnmt") }]);
    assert_eq!(verified.envelope().priority, Priority::Urgent);
    assert_eq!(verified.envelope().content.kind, ContentKind::Dossier);
    assert_eq!(verified.envelope().content.subject, "Đăng ký biến động đất đai");
    assert_eq!(verified.envelope().parts.len(), 2);
}

#[test]
fn the_facts_say_on_what_the_verdict_rests() {
    let bytes = envelope().encode_to_vec();
    let signatures = vec![
        sign(&bytes, &STAGE.person, v1::SignatureRole::Person),
        sign(&bytes, &STAGE.seal, v1::SignatureRole::Agency),
    ];
    let verified = judge(&raw(v1::SignedEnvelope { envelope: bytes.into(), signatures })).unwrap();
    let facts = verified.facts();
    assert_eq!(facts.directory_version, 7);
    assert_eq!(
        facts.signer_certificates,
        [Digest::of(&STAGE.person.certificate_der), Digest::of(&STAGE.seal.certificate_der)]
    );
    assert_eq!(facts.signers[0].role, SignatureRole::Person);
    assert_eq!(facts.revocation.len(), 2, "the lists of the issuing CA and of the root, each once");
    assert!(facts.revocation.iter().all(|used| used.this_update < at(0) && at(0) < used.next_update));
}

#[test]
fn a_dead_recipient_is_served_by_its_successor() {
    let mut message = envelope();
    message.to = vec![recipient("H99.51"), recipient("H99.50")];
    let verified = judge(&sealed(message.encode_to_vec())).unwrap();
    assert_eq!(verified.recipients()[0], ResolvedRecipient { named: id("so-tnmt-cu"), serving: id("so-nnmt") });
}

#[test]
fn recipients_are_resolved_or_refused_by_name() {
    refuses(Reason::RecipientMissing, "to", |e| e.to.clear());
    refuses(Reason::RecipientUnknown, "to[1].agency", |e| e.to.push(recipient("H99.99")));
    refuses(Reason::RecipientUnknown, "to[0].agency", |e| e.to = vec![recipient("")]);
    refuses(Reason::RecipientEnded, "to[0].agency", |e| e.to = vec![recipient("chi-cuc-cu")]);
    refuses(Reason::RecipientRepeated, "to[1].agency", |e| e.to.push(recipient("so-nnmt")));
    refuses(Reason::RecipientsTooMany, "to", |e| e.to = vec![recipient("H99.50"); limits::RECIPIENTS_MAX + 1]);
    refuses(Reason::EnvelopeTextInvalid, "to[0].agency", |e| e.to = vec![recipient("H99.50\n")]);
}

#[test]
fn the_sender_is_alive_and_known() {
    refuses(Reason::SenderUnknown, "from", |e| e.from = "H99.99".to_owned());
    refuses(Reason::SenderUnknown, "from", |e| e.from.clear());
    refuses(Reason::SenderEnded, "from", |e| e.from = "H99.52".to_owned());
    refuses(Reason::EnvelopeTextInvalid, "from", |e| e.from = "H".repeat(limits::ID_BYTES_MAX + 1));
}

#[test]
fn times_are_those_of_a_living_envelope() {
    let life = i64::try_from(limits::ENVELOPE_LIFE_MAX.as_secs()).unwrap();
    refuses(Reason::EnvelopeExpired, "expires_at", |e| e.expires_at = time(0));
    refuses(Reason::EnvelopeTimeInvalid, "expires_at", |e| e.expires_at = None);
    refuses(Reason::EnvelopeTimeInvalid, "created_at", |e| e.created_at = None);
    refuses(Reason::EnvelopeTimeInvalid, "created_at", |e| e.created_at = time(301));
    refuses(Reason::EnvelopeTimeInvalid, "expires_at", |e| e.expires_at = time(-61));
    refuses(Reason::EnvelopeTimeInvalid, "expires_at", |e| e.expires_at = time(life + 1));
    refuses(Reason::EnvelopeTimeInvalid, "created_at", |e| {
        e.created_at = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
    });
    accepts(|e| e.created_at = time(300));
    accepts(|e| e.expires_at = time(1));
}

#[test]
fn every_field_keeps_its_rules() {
    refuses(Reason::EnvelopeSchemaUnknown, "schema", |e| e.schema = "lienthong.envelope.v2".to_owned());
    refuses(Reason::EnvelopeIdInvalid, "id", |e| e.id = e.id.to_uppercase());
    refuses(Reason::EnvelopeContentMissing, "content", |e| e.content = None);
    refuses(Reason::EnvelopeMalformed, "priority", |e| e.priority = 6);
    refuses(Reason::EnvelopeReferenceInvalid, "in_reply_to.id", |e| {
        e.in_reply_to =
            Some(v1::Reference { sender: "H99.50".to_owned(), id: "1".to_owned(), ..v1::Reference::default() });
    });
    refuses(Reason::EnvelopeReferenceInvalid, "supersedes.sender", |e| e.supersedes = Some(v1::Reference::default()));
    refuses(Reason::EnvelopeReferenceInvalid, "supersedes.sha256", |e| {
        e.supersedes =
            Some(v1::Reference { sender: "H99.50".to_owned(), id: e.id.clone(), sha256: vec![1; 31].into() });
    });
    refuses(Reason::EnvelopeTextInvalid, "case.file_code", |e| e.case.as_mut().unwrap().file_code.push('\u{202e}'));
    refuses(Reason::EnvelopeTextInvalid, "case.step", |e| e.case.as_mut().unwrap().step = "e\u{301}".to_owned());
    refuses(Reason::EnvelopeTextInvalid, "dossier.due_on", |e| {
        e.content = Some(Content::Dossier(v1::Dossier { due_on: "2026-02-30".to_owned(), ..v1::Dossier::default() }));
    });
    refuses(Reason::EnvelopeTextInvalid, "document.subject", |e| {
        let subject = "x".repeat(limits::TEXT_BYTES_MAX + 1);
        e.content = Some(Content::Document(v1::Document { subject, ..v1::Document::default() }));
    });
    refuses(Reason::EnvelopeTimeInvalid, "status.at", |e| {
        let at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
        e.content = Some(Content::Status(v1::Status { at, ..v1::Status::default() }));
    });
}

#[test]
fn a_change_says_what_and_of_what() {
    let recall =
        |kind: i32| Some(Content::ChangeRequest(v1::ChangeRequest { kind, reason: "Nhầm nơi nhận".to_owned() }));
    let reference = |e: &v1::Envelope| {
        Some(v1::Reference { sender: "H99.10.01".to_owned(), id: e.id.clone(), ..v1::Reference::default() })
    };
    refuses(Reason::EnvelopeContentMissing, "change_request.kind", |e| e.content = recall(0));
    refuses(Reason::EnvelopeReferenceInvalid, "supersedes", |e| e.content = recall(1));
    refuses(Reason::EnvelopeContentMissing, "change_answer.verdict", |e| {
        e.content = Some(Content::ChangeAnswer(v1::ChangeAnswer::default()));
    });
    refuses(Reason::EnvelopeReferenceInvalid, "in_reply_to", |e| {
        e.content = Some(Content::ChangeAnswer(v1::ChangeAnswer { verdict: 1, reason: String::new() }));
    });
    refuses(Reason::EnvelopeContentMissing, "opaque.type", |e| {
        e.content = Some(Content::Opaque(v1::Opaque::default()))
    });
    accepts(|e| {
        e.supersedes = reference(e);
        e.content = recall(1);
    });
}

#[test]
fn parts_are_described_without_tricks() {
    for name in ["../etc/passwd", "a\0.pdf", "a\u{202e}fdp.exe", "C:\\x.pdf", ""] {
        refuses(Reason::PartNameInvalid, "parts[1].name", |e| e.parts[1].name = name.to_owned());
    }
    refuses(Reason::PartDigestInvalid, "parts[0].sha256", |e| e.parts[0].sha256 = vec![0; 31].into());
    refuses(Reason::PartDigestInvalid, "parts[1].sha256", |e| e.parts[1].sha256 = e.parts[0].sha256.clone());
    refuses(Reason::PartTooLarge, "parts[0].size", |e| e.parts[0].size = limits::PART_BYTES_MAX + 1);
    refuses(Reason::EnvelopeTextInvalid, "parts[0].media_type", |e| e.parts[0].media_type = "pdf".to_owned());
    refuses(Reason::PartsTooMany, "parts", |e| e.parts = vec![part("a.pdf", 1); limits::PARTS_MAX + 1]);
    accepts(|e| e.parts[0].size = limits::PART_BYTES_MAX);
}

#[test]
fn the_serialized_form_is_read_strictly() {
    let good = envelope().encode_to_vec();
    let and = |more: &[u8]| [good.as_slice(), more].concat();
    refuses_bytes(Reason::EnvelopeFieldUnknown, "99", and(&[0x98, 0x06, 0x01]));
    refuses_bytes(Reason::EnvelopeFieldUnknown, "to[1].2", and(&[0x22, 0x02, 0x10, 0x01]));
    refuses_bytes(Reason::EnvelopeFieldRepeated, "from", and(&[0x1a, 0x01, b'x']));
    refuses_bytes(Reason::EnvelopeFieldRepeated, "priority", and(&[0x38, 0x01]));
    refuses_bytes(Reason::EnvelopeFieldRepeated, "document", and(&[0x5a, 0x00]));
    refuses_bytes(Reason::EnvelopeFieldRepeated, "dossier", and(&[0x62, 0x00]));
    refuses_bytes(Reason::EnvelopeMalformed, "", and(&[0x00]));
    refuses_bytes(Reason::EnvelopeMalformed, "", and(&[0xff]));
    refuses_bytes(Reason::EnvelopeMalformed, "parts[1]", good[..good.len() - 1].to_vec());
    refuses_bytes(Reason::EnvelopeMalformed, "schema", vec![0x08, 0x01]);
    refuses_bytes(Reason::EnvelopeMalformed, "schema", vec![0x0a, 0x01, 0xff]);
    refuses_bytes(Reason::EnvelopeMalformed, "", vec![0x0b, 0x0c]);
    // 2^32 + 1 would be read as 1 by a reader that cuts.
    refuses_bytes(Reason::EnvelopeMalformed, "priority", vec![0x38, 0x81, 0x80, 0x80, 0x80, 0x10]);
}

#[test]
fn serializing_again_breaks_the_signature() {
    // The same message with its fields in another order: equal when parsed, other bytes.
    let good = envelope().encode_to_vec();
    let signature = sign(&good, &STAGE.seal, v1::SignatureRole::Agency);
    let mut moved = v1::Envelope { priority: 0, ..envelope() }.encode_to_vec();
    moved.extend([0x38, u8::try_from(envelope().priority).unwrap()]);
    assert_eq!(v1::Envelope::decode(moved.as_slice()).unwrap(), envelope());
    let refusal = judge(&raw(v1::SignedEnvelope { envelope: moved.into(), signatures: vec![signature] })).unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::SignatureContentMismatch, "signatures[0]"));
}

#[test]
fn the_outer_message_is_read_strictly_too() {
    let received = sealed(envelope().encode_to_vec()).signed;
    let refuses = |more: &[u8], reason: Reason, field: &str| {
        let signed = [&received[..], more].concat().into();
        let refusal = judge(&gateway_verify::RawEnvelope { signed }).unwrap_err();
        assert_eq!((refusal.reason, refusal.field.as_str()), (reason, field));
    };
    refuses(&[0x0a, 0x00], Reason::EnvelopeFieldRepeated, "envelope");
    refuses(&[0x18, 0x01], Reason::EnvelopeFieldUnknown, "3");
    refuses(&[0x12, 0x02, 0x18, 0x01], Reason::EnvelopeFieldUnknown, "signatures[1].3");
    refuses(&[0x12], Reason::EnvelopeMalformed, "signatures[1]");
}

#[test]
fn sizes_and_counts_have_bounds() {
    let judged = |signed: v1::SignedEnvelope| {
        let refusal = judge(&raw(signed)).unwrap_err();
        (refusal.reason, refusal.field)
    };
    let bytes = envelope().encode_to_vec();
    let signature = sign(&bytes, &STAGE.seal, v1::SignatureRole::Agency);
    let with = |signatures: Vec<v1::Signature>| v1::SignedEnvelope { envelope: bytes.clone().into(), signatures };
    assert_eq!(judged(with(vec![])), (Reason::SignatureMissing, "signatures".to_owned()));
    let many = vec![signature.clone(); limits::SIGNATURES_MAX + 1];
    assert_eq!(judged(with(many)), (Reason::SignaturesTooMany, "signatures".to_owned()));
    let large = v1::Signature { cms: vec![0; limits::SIGNATURE_BYTES_MAX + 1].into(), ..signature.clone() };
    assert_eq!(judged(with(vec![large])), (Reason::SignatureTooLarge, "signatures[0].cms".to_owned()));
    let envelope = vec![0; limits::ENVELOPE_BYTES_MAX + 1].into();
    assert_eq!(
        judged(v1::SignedEnvelope { envelope, signatures: vec![signature] }),
        (Reason::EnvelopeTooLarge, "envelope".to_owned())
    );
}

#[test]
fn roles_are_said_and_one_is_the_agencys() {
    let bytes = envelope().encode_to_vec();
    let judged = |role: v1::SignatureRole| {
        let signature = sign(&bytes, &STAGE.seal, role);
        judge(&raw(v1::SignedEnvelope { envelope: bytes.clone().into(), signatures: vec![signature] }))
    };
    let refusal = judged(v1::SignatureRole::Unspecified).unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::SignatureRoleInvalid, "signatures[0].role"));
    let refusal = judged(v1::SignatureRole::Person).unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::SignatureRoleInvalid, "signatures"));
    judged(v1::SignatureRole::SealedByAdapter).unwrap();
}

#[test]
fn a_signer_is_registered_for_the_sender_the_time_and_the_role() {
    let bytes = envelope().encode_to_vec();
    let judged = |credential, time: VerifyTime| {
        let signature = sign(&bytes, credential, v1::SignatureRole::Agency);
        let received = raw(v1::SignedEnvelope { envelope: bytes.clone().into(), signatures: vec![signature] });
        verify(&received, &STAGE.snapshot, &sender_system(), time).map(|_| ()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(
        judged(&STAGE.other_seal, now()),
        Err(Reason::SignerNotRegistered),
        "a good certificate of another agency"
    );
    assert_eq!(judged(&STAGE.person, now()), Err(Reason::SignerRoleNotAllowed));
    assert_eq!(judged(&STAGE.retired_seal, now()), Err(Reason::SignerRegistrationEnded));
    let first_accepted = VerifyTime { at: at(-2 * 86_400), ..now() };
    assert_eq!(judged(&STAGE.retired_seal, first_accepted), Ok(()), "a later hop judges as of the first acceptance");
}

#[test]
fn an_acceptance_in_the_future_does_not_count() {
    let received = sealed(envelope().encode_to_vec());
    let ahead = VerifyTime { at: at(10 * 365 * 86_400), ..now() };
    assert!(verify(&received, &STAGE.snapshot, &sender_system(), ahead).is_ok(), "judged as of now, not in ten years");
}

#[test]
fn only_a_legacy_registration_lets_the_signing_certificate_be_missing() {
    let bytes = envelope().encode_to_vec();
    let judged = |credential| {
        let options = SignOptions::at(stage::NOW).without_signing_certificate();
        let signature = sign_with(&bytes, credential, v1::SignatureRole::Agency, options);
        judge(&raw(v1::SignedEnvelope { envelope: bytes.clone().into(), signatures: vec![signature] }))
    };
    let refusal = judged(&STAGE.seal).unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::SigningCertificateMissing, "signatures[0]"));
    judged(&STAGE.legacy_seal).unwrap();
}

#[test]
fn a_system_speaks_only_for_its_agencies_and_a_gateway_for_none() {
    let received = sealed(envelope().encode_to_vec());
    let judged =
        |hop: Hop| verify(&received, &STAGE.snapshot, &hop, now()).map(|_| ()).map_err(|refusal| refusal.reason);
    let system = |name: &str| Hop::System(SystemId::parse(name).unwrap());
    assert_eq!(judged(system("motcua-so")), Err(Reason::SystemNotAuthorized));
    assert_eq!(judged(system("nobody")), Err(Reason::HopUnknown));
    assert_eq!(judged(Hop::Gateway(GatewayId::parse("gw-huyen").unwrap())), Ok(()));
}

#[test]
fn an_expired_directory_verifies_nothing() {
    let received = sealed(envelope().encode_to_vec());
    let expires = STAGE.snapshot.directory().expires_at();
    let time = VerifyTime { now: expires, at: at(0) };
    let refusal = verify(&received, &STAGE.snapshot, &sender_system(), time).unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectoryExpired);
}

#[test]
fn a_revocation_list_of_the_future_is_invalid_at_a_door() {
    let received = sealed(envelope().encode_to_vec());
    // The lists are of a day before now.
    let judged = |seconds: i64| {
        let time = VerifyTime { now: at(seconds), at: at(seconds) };
        verify(&received, &STAGE.snapshot, &sender_system(), time).map(|_| ()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(judged(-86_400 - 301), Err(Reason::RevocationInvalid));
    assert_eq!(judged(-86_400 - 300), Err(Reason::EnvelopeTimeInvalid), "within the skew of clocks the list counts");
}

#[test]
fn nothing_inside_is_looked_at_before_a_trusted_signature() {
    let garbage = b"\xff not an envelope".to_vec();
    let mut received = v1::SignedEnvelope::decode(sealed(garbage.clone()).signed).unwrap();
    assert_eq!(judge(&raw(received.clone())).unwrap_err().reason, Reason::EnvelopeMalformed);
    received.envelope = [garbage.as_slice(), b"!"].concat().into();
    assert_eq!(
        judge(&raw(received)).unwrap_err().reason,
        Reason::SignatureContentMismatch,
        "the signature is judged first"
    );
}
