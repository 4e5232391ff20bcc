//! The stage of the tests: a small directory, its signers, and a good envelope to spoil.
#![allow(dead_code, reason = "each test binary uses its own part of the stage")]

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use certs_dev::pki::{Credential, Ladder, LeafProfile};
use certs_dev::sign::{FastSigner, SignOptions};
use certs_dev::{Key, KeyKind};
use gateway_model::agency::{Agency, Hop, SignerRegistration, System};
use gateway_model::directory::{Anchor, AnchorPurpose, Directory, DirectoryContent};
use gateway_model::envelope::SignatureRole;
use gateway_model::id::{AgencyId, SystemId};
use gateway_model::time::Validity;
use gateway_model::{Digest, Refusal, Timestamp};
use gateway_verify::{RawEnvelope, Snapshot, VerifiedEnvelope, VerifyTime, verify};
use prost::Message as _;
use proto::v1;

/// The time on the stage.
pub const NOW: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

/// Everybody who signs.
pub struct Stage {
    pub ladder: Ladder,
    pub seal: Credential,
    pub person: Credential,
    pub retired_seal: Credential,
    pub legacy_seal: Credential,
    pub other_seal: Credential,
    pub snapshot: Snapshot,
}

/// Made once for each test binary.
pub static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

impl Stage {
    fn new() -> Self {
        let ladder = Ladder::new(KeyKind::P256, NOW - 300 * DAY).unwrap();
        let key = Key::generate(KeyKind::P256).unwrap();
        let issue = |name: &str| ladder.issue_signer_with(name, &key, LeafProfile::agency("UBND xã Bản Lảnh")).unwrap();
        let (seal, person, retired_seal) = (issue("Con dấu"), issue("Chủ tịch"), issue("Con dấu cũ"));
        let (legacy_seal, other_seal) = (issue("Con dấu phần mềm cũ"), issue("Sở Nông nghiệp và Môi trường"));
        let agencies = vec![
            Agency {
                signers: vec![
                    registered(&seal, &[], Validity::ALWAYS, false),
                    registered(&person, &[SignatureRole::Person], Validity::ALWAYS, false),
                    registered(&retired_seal, &[], Validity { from: None, until: Some(at(-DAY)) }, false),
                    registered(&legacy_seal, &[], Validity::ALWAYS, true),
                ],
                ..agency("xa-ban-lanh", &["H99.10.01", "000.01.10.H99"])
            },
            Agency {
                signers: vec![registered(&other_seal, &[], Validity::ALWAYS, false)],
                ..agency("so-nnmt", &["H99.50"])
            },
            Agency { succeeded_by: vec![id("so-nnmt")], ..ended("so-tnmt-cu", &["H99.51"]) },
            ended("chi-cuc-cu", &["H99.52"]),
        ];
        let systems = vec![
            System {
                id: SystemId::parse("motcua-xa").unwrap(),
                tls_certificates: vec![],
                speaks_for: vec![id("xa-ban-lanh")],
            },
            System {
                id: SystemId::parse("motcua-so").unwrap(),
                tls_certificates: vec![],
                speaks_for: vec![id("so-nnmt")],
            },
        ];
        let crls = vec![
            ladder.crl(&[], NOW - DAY, NOW + 7 * DAY).unwrap(),
            ladder.root_crl(&[], NOW - DAY, NOW + 7 * DAY).unwrap(),
        ];
        let content = DirectoryContent {
            agencies,
            systems,
            anchors: vec![anchor(ladder.root().certificate_der())],
            intermediates: vec![ladder.issuing().certificate_der().to_vec()],
            crls,
            ..DirectoryContent::empty(7, at(-DAY), at(30 * DAY))
        };
        let snapshot = Snapshot::new(Directory::new(content).unwrap()).unwrap();
        Self { ladder, seal, person, retired_seal, legacy_seal, other_seal, snapshot }
    }
}

/// An anchor for signatures without a profile of its own.
pub fn anchor(der: &[u8]) -> Anchor {
    Anchor {
        certificate: der.to_vec(),
        purpose: AnchorPurpose::Sign,
        algorithms: vec![],
        policies: vec![],
        revocation_grace: Duration::ZERO,
    }
}

fn registered(
    credential: &Credential,
    roles: &[SignatureRole],
    validity: Validity,
    is_legacy: bool,
) -> SignerRegistration {
    SignerRegistration {
        certificate: Digest::of(&credential.certificate_der),
        validity,
        roles: roles.to_vec(),
        legacy_without_signing_certificate: is_legacy,
    }
}

fn agency(name: &str, codes: &[&str]) -> Agency {
    Agency {
        id: id(name),
        name: name.to_owned(),
        name_en: String::new(),
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        parent: None,
        level: "xã".to_owned(),
        validity: Validity::ALWAYS,
        succeeded_by: vec![],
        signers: vec![],
        gateway: None,
    }
}

fn ended(name: &str, codes: &[&str]) -> Agency {
    Agency { validity: Validity { from: None, until: Some(at(-10 * DAY)) }, ..agency(name, codes) }
}

pub fn id(text: &str) -> AgencyId {
    AgencyId::parse(text).unwrap()
}

/// So many seconds after the stage's now.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(NOW + seconds)
}

pub fn time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: NOW + seconds, nanos: 0 })
}

/// An envelope without a fault.
pub fn envelope() -> v1::Envelope {
    v1::Envelope {
        schema: "lienthong.envelope.v1".to_owned(),
        id: "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b".to_owned(),
        from: "H99.10.01".to_owned(),
        to: vec![recipient("H99.50")],
        created_at: time(-60),
        expires_at: time(30 * DAY),
        priority: v1::Priority::Urgent.into(),
        case: Some(v1::Case {
            file_code: "H99.10.01-261008-0975".to_owned(),
            procedure_code: "1.012783".to_owned(),
            step: "2".to_owned(),
            ..v1::Case::default()
        }),
        content: Some(v1::envelope::Content::Dossier(v1::Dossier {
            subject: "Đăng ký biến động đất đai".to_owned(),
            due_on: "2026-10-20".to_owned(),
            state: "chuyển xử lý".to_owned(),
        })),
        parts: vec![part("Đơn đăng ký.pdf", 1), part("Trích lục bản đồ.pdf", 2)],
        ..v1::Envelope::default()
    }
}

pub fn recipient(name: &str) -> v1::Recipient {
    v1::Recipient { agency: name.to_owned() }
}

pub fn part(name: &str, seed: u8) -> v1::Part {
    v1::Part {
        name: name.to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 12_345,
        sha256: Bytes::copy_from_slice(Digest::of(&[seed]).as_bytes()),
        role: "Đơn đăng ký".to_owned(),
    }
}

/// A detached signature in a role.
pub fn sign(content: &[u8], credential: &Credential, role: v1::SignatureRole) -> v1::Signature {
    sign_with(content, credential, role, SignOptions::at(NOW))
}

pub fn sign_with(
    content: &[u8],
    credential: &Credential,
    role: v1::SignatureRole,
    options: SignOptions,
) -> v1::Signature {
    let cms = FastSigner::new(credential, options).unwrap().sign(content).unwrap();
    v1::Signature { cms: cms.into(), role: role.into() }
}

/// These bytes, sealed by the sender.
pub fn sealed(bytes: Vec<u8>) -> RawEnvelope {
    let signature = sign(&bytes, &STAGE.seal, v1::SignatureRole::Agency);
    raw(v1::SignedEnvelope { envelope: bytes.into(), signatures: vec![signature] })
}

pub fn raw(signed: v1::SignedEnvelope) -> RawEnvelope {
    RawEnvelope { signed: signed.encode_to_vec().into() }
}

/// Verifies as the sender's own system at the stage's now.
pub fn judge(raw: &RawEnvelope) -> Result<VerifiedEnvelope, Refusal> {
    verify(raw, &STAGE.snapshot, &sender_system(), now())
}

pub fn now() -> VerifyTime {
    VerifyTime { now: at(0), at: at(0) }
}

pub fn sender_system() -> Hop {
    Hop::System(SystemId::parse("motcua-xa").unwrap())
}
