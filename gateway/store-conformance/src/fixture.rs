//! A small world in memory: a ladder of certificates, a directory of four agencies, and envelopes that are really signed and verified.

use certs_dev::pki::{KeyKind, Ladder, LeafProfile, YEAR_SECONDS};
use certs_dev::sign::{FastSigner, SignOptions};
use gateway_model::agency::{Agency, Gateway, Hop, SignerRegistration, System};
use gateway_model::directory::{Anchor, AnchorPurpose, Directory, DirectoryContent};
use gateway_model::id::{AgencyId, GatewayId, SystemId};
use gateway_model::note::NoteSigner;
use gateway_model::time::Validity;
use gateway_model::{Digest, Timestamp};
use gateway_verify::{RawEnvelope, Snapshot, VerifiedEnvelope, VerifyTime, verify};
use prost::Message as _;
use proto::v1;

/// When everything starts: 2026-03-02T01:00:00Z, a Monday morning in Hà Nội.
pub const START: Timestamp = Timestamp::from_seconds(1_772_413_200);

/// The agencies: two communes, the district above them, the province on top. Both communes sign with the same certificate.
pub const AGENCIES: [&str; 4] = ["commune", "ward", "district", "province"];

/// The gateway whose store is tested.
pub const OURS: &str = "gw-commune";
/// The next gateway, which sends receipts.
pub const OTHER: &str = "gw-district";

/// The world.
pub struct Fixture {
    snapshot: Snapshot,
    signer: FastSigner,
}

impl Fixture {
    /// Makes keys, certificates, revocation lists and the directory.
    #[allow(clippy::new_without_default)] // It makes keys: nothing that should happen by default.
    pub fn new() -> Self {
        let start = START.seconds();
        let ladder = Ladder::new(KeyKind::P256, start - YEAR_SECONDS).unwrap();
        let seal = ladder.issue_signer("UBND xã Bản Lềnh", KeyKind::P256, LeafProfile::agency("UBND tỉnh")).unwrap();
        let (this_update, next_update) = (start - 3_600, start + YEAR_SECONDS);
        let anchor = Anchor {
            certificate: ladder.root().certificate_der().to_vec(),
            purpose: AnchorPurpose::Sign,
            algorithms: Vec::new(),
            policies: Vec::new(),
            revocation_grace: std::time::Duration::ZERO,
        };
        let directory = Directory::new(DirectoryContent {
            agencies: agencies(Digest::of(&seal.certificate_der)),
            systems: vec![system()],
            gateways: vec![gateway(OURS, Some(OTHER)), gateway(OTHER, None)],
            anchors: vec![anchor],
            intermediates: vec![ladder.issuing().certificate_der().to_vec()],
            crls: vec![
                ladder.crl(&[], this_update, next_update).unwrap(),
                ladder.root_crl(&[], this_update, next_update).unwrap(),
            ],
            ..DirectoryContent::empty(1, START, Timestamp::MAX)
        });
        Self {
            snapshot: Snapshot::new(directory.unwrap()).unwrap(),
            signer: FastSigner::new(&seal, SignOptions::at(start)).unwrap(),
        }
    }

    /// Envelope number `number`, from the commune to the district, signed and verified.
    pub fn envelope(&self, number: u64) -> VerifiedEnvelope {
        self.sign(&draft(number))
    }

    /// Signs a draft and verifies it.
    pub fn sign(&self, draft: &v1::Envelope) -> VerifiedEnvelope {
        let envelope = draft.encode_to_vec();
        let signature =
            v1::Signature { cms: self.signer.sign(&envelope).unwrap().into(), role: v1::SignatureRole::Agency.into() };
        let signed = v1::SignedEnvelope { envelope: envelope.into(), signatures: vec![signature] };
        let raw = RawEnvelope { signed: signed.encode_to_vec().into() };
        let hop = Hop::System(system().id);
        verify(&raw, &self.snapshot, &hop, VerifyTime { now: START, at: START }).unwrap()
    }

    /// The directory with its trust.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

/// Envelope number `number` before it is signed: change it as the behaviour needs.
pub fn draft(number: u64) -> v1::Envelope {
    v1::Envelope {
        schema: gateway_model::envelope::ENVELOPE_SCHEMA.to_owned(),
        id: envelope_id(number).to_string(),
        from: "commune".to_owned(),
        to: vec![v1::Recipient { agency: "district".to_owned() }],
        created_at: Some(instant(START)),
        expires_at: Some(instant(START.plus(std::time::Duration::from_secs(30 * 24 * 3_600)))),
        priority: v1::Priority::Normal.into(),
        content: Some(v1::envelope::Content::Document(v1::Document {
            code: format!("{number}/UBND-VP"),
            subject: format!("Về việc số {number}"),
            ..v1::Document::default()
        })),
        ..v1::Envelope::default()
    }
}

/// The id of envelope number `number`.
pub fn envelope_id(number: u64) -> gateway_model::id::EnvelopeId {
    gateway_model::id::EnvelopeId::parse(&format!("00000000-0000-7000-8000-{number:012x}")).unwrap()
}

/// An agency's id.
pub fn agency(id: &str) -> AgencyId {
    AgencyId::parse(id).unwrap()
}

/// A gateway's id.
pub fn gateway_id(id: &str) -> GatewayId {
    GatewayId::parse(id).unwrap()
}

/// The log key of a gateway: always the same for the same name, and worth nothing outside of tests.
pub fn log_signer(name: &str) -> NoteSigner {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(&Digest::of(name.as_bytes()).0);
    NoteSigner::from_pkcs8(name, &der).unwrap()
}

fn agencies(seal: Digest) -> Vec<Agency> {
    let registration = SignerRegistration {
        certificate: seal,
        validity: Validity::ALWAYS,
        roles: Vec::new(),
        legacy_without_signing_certificate: false,
    };
    let one = |id: &str, parent: Option<&str>, gateway: &str| Agency {
        id: agency(id),
        name: id.to_owned(),
        name_en: String::new(),
        codes: Vec::new(),
        parent: parent.map(agency),
        level: String::new(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: vec![registration.clone()],
        gateway: Some(gateway_id(gateway)),
    };
    vec![
        one("commune", Some("district"), OURS),
        one("ward", Some("district"), OURS),
        one("district", Some("province"), OTHER),
        one("province", None, OTHER),
    ]
}

fn system() -> System {
    System {
        id: SystemId::parse("one-stop-desk").unwrap(),
        tls_certificates: Vec::new(),
        speaks_for: vec![agency("commune"), agency("ward")],
    }
}

fn gateway(id: &str, parent: Option<&str>) -> Gateway {
    Gateway {
        id: gateway_id(id),
        address: format!("https://{id}:8443"),
        parent: parent.map(gateway_id),
        tls_certificates: Vec::new(),
        log_keys: vec![log_signer(id).verifier().clone()],
        direct_links: Vec::new(),
    }
}

fn instant(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.to_parts();
    prost_types::Timestamp { seconds, nanos }
}
