//! A small world: a ladder of certificates, three gateways one above the other, their agencies, and envelopes that are really signed.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use certs_dev::pki::{Credential, KeyKind, Ladder, LeafProfile, YEAR_SECONDS};
use certs_dev::sign::{FastSigner, SignOptions};
use gateway_model::agency::{Agency, Gateway, Hop, SignerRegistration, System};
use gateway_model::directory::{Anchor, AnchorPurpose, Directory, DirectoryContent};
use gateway_model::id::{AgencyId, EnvelopeKey, GatewayId, OperatorId, SystemId};
use gateway_model::time::Validity;
use gateway_model::{Digest, Timestamp};
use gateway_store_conformance::fixture::{agency, envelope_id, gateway_id, log_signer};
use gateway_verify::Snapshot;
use prost::Message as _;
use proto::v1;

/// When everything starts: 2026-03-02T01:00:00Z.
pub const START: Timestamp = Timestamp::from_seconds(1_772_413_200);
/// How long an envelope lives, unless the test says otherwise.
pub const LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

pub const COMMUNE: &str = "gw-commune";
pub const DISTRICT: &str = "gw-district";
pub const PROVINCE: &str = "gw-province";
/// The gateways, the lowest first.
pub const GATEWAYS: [&str; 3] = [COMMUNE, DISTRICT, PROVINCE];

/// The world: made once, since keys take time.
pub static WORLD: LazyLock<World> = LazyLock::new(World::new);

pub struct World {
    ladder: Ladder,
    seal: Credential,
    signer: FastSigner,
    snapshot: Arc<Snapshot>,
}

impl World {
    fn new() -> Self {
        let ladder = Ladder::new(KeyKind::P256, START.seconds() - YEAR_SECONDS).unwrap();
        let seal = ladder.issue_signer("UBND xã Bản Lềnh", KeyKind::P256, LeafProfile::agency("UBND tỉnh")).unwrap();
        let signer = FastSigner::new(&seal, SignOptions::at(START.seconds())).unwrap();
        let snapshot = snapshot(&ladder, &seal, |_| ());
        Self { ladder, seal, signer, snapshot }
    }

    /// The trust as it is at the start.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// The trust of another directory.
    pub fn changed(&self, change: impl FnOnce(&mut DirectoryContent)) -> Arc<Snapshot> {
        snapshot(&self.ladder, &self.seal, change)
    }

    /// The issuing CA's revocation list with the seal on it.
    pub fn crl_with_the_seal(&self) -> Vec<u8> {
        let (this_update, next_update) = (START.seconds() - 60, START.seconds() + YEAR_SECONDS);
        self.ladder.crl(std::slice::from_ref(&self.seal.serial), this_update, next_update).unwrap()
    }

    /// The issuing CA's revocation list, as it was a week ago: out of date for six days.
    pub fn stale_crl(&self) -> Vec<u8> {
        let day = 24 * 3_600;
        self.ladder.crl(&[], START.seconds() - 7 * day, START.seconds() - 6 * day).unwrap()
    }

    /// Signs a draft: the serialized `SignedEnvelope`.
    pub fn sign(&self, draft: &v1::Envelope) -> Bytes {
        let envelope = draft.encode_to_vec();
        let cms = self.signer.sign(&envelope).unwrap().into();
        let signature = v1::Signature { cms, role: v1::SignatureRole::Agency.into() };
        v1::SignedEnvelope { envelope: envelope.into(), signatures: vec![signature] }.encode_to_vec().into()
    }
}

/// Envelope number `number` from the commune, before it is signed.
pub fn draft(number: u64, to: &[&str]) -> v1::Envelope {
    v1::Envelope {
        schema: gateway_model::envelope::ENVELOPE_SCHEMA.to_owned(),
        id: envelope_id(number).to_string(),
        from: "commune".to_owned(),
        to: to.iter().map(|to| v1::Recipient { agency: (*to).to_owned() }).collect(),
        created_at: Some(instant(START)),
        expires_at: Some(instant(START.plus(LIFE))),
        priority: v1::Priority::Normal.into(),
        content: Some(v1::envelope::Content::Document(v1::Document {
            code: format!("{number}/UBND-VP"),
            subject: format!("Về việc số {number}"),
            ..v1::Document::default()
        })),
        ..v1::Envelope::default()
    }
}

/// Envelope number `number` from the commune to the named agencies, signed.
pub fn envelope(number: u64, to: &[&str]) -> Bytes {
    WORLD.sign(&draft(number, to))
}

/// What makes envelope number `number` of the commune the same everywhere.
pub fn key(number: u64) -> EnvelopeKey {
    EnvelopeKey { sender: agency("commune"), id: envelope_id(number) }
}

pub fn instant(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.to_parts();
    prost_types::Timestamp { seconds, nanos }
}

/// The commune's own system.
pub fn desk() -> Hop {
    Hop::System(SystemId::parse("one-stop-desk").unwrap())
}

pub fn operator() -> OperatorId {
    OperatorId::parse("op-lan").unwrap()
}

pub fn gateway(id: &str) -> GatewayId {
    gateway_id(id)
}

pub fn agency_id(id: &str) -> AgencyId {
    agency(id)
}

/// The agency with this id, to be changed.
pub fn agency_of<'a>(content: &'a mut DirectoryContent, id: &str) -> &'a mut Agency {
    content.agencies.iter_mut().find(|agency| agency.id.as_str() == id).unwrap()
}

fn snapshot(ladder: &Ladder, seal: &Credential, change: impl FnOnce(&mut DirectoryContent)) -> Arc<Snapshot> {
    let (this_update, next_update) = (START.seconds() - 3_600, START.seconds() + YEAR_SECONDS);
    let anchor = Anchor {
        certificate: ladder.root().certificate_der().to_vec(),
        purpose: AnchorPurpose::Sign,
        algorithms: Vec::new(),
        policies: Vec::new(),
        revocation_grace: Duration::ZERO,
    };
    let mut content = DirectoryContent {
        agencies: agencies(Digest::of(&seal.certificate_der)),
        systems: vec![System {
            id: SystemId::parse("one-stop-desk").unwrap(),
            tls_certificates: Vec::new(),
            speaks_for: vec![agency("commune"), agency("ward"), agency("land")],
        }],
        gateways: vec![rung(COMMUNE, Some(DISTRICT)), rung(DISTRICT, Some(PROVINCE)), rung(PROVINCE, None)],
        anchors: vec![anchor],
        intermediates: vec![ladder.issuing().certificate_der().to_vec()],
        crls: vec![
            ladder.crl(&[], this_update, next_update).unwrap(),
            ladder.root_crl(&[], this_update, next_update).unwrap(),
        ],
        ..DirectoryContent::empty(1, START, START.plus(Duration::from_secs(365 * 24 * 3_600)))
    };
    change(&mut content);
    Arc::new(Snapshot::new(Directory::new(content).unwrap()).unwrap())
}

fn agencies(seal: Digest) -> Vec<Agency> {
    let registration = SignerRegistration {
        certificate: seal,
        validity: Validity::ALWAYS,
        roles: Vec::new(),
        legacy_without_signing_certificate: false,
    };
    let one = |id: &str, parent: Option<&str>, at: &str| Agency {
        id: agency(id),
        name: id.to_owned(),
        name_en: String::new(),
        codes: Vec::new(),
        parent: parent.map(agency),
        level: String::new(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: vec![registration.clone()],
        gateway: Some(gateway_id(at)),
    };
    vec![
        one("commune", Some("district"), COMMUNE),
        one("ward", Some("district"), COMMUNE),
        one("district", Some("province"), DISTRICT),
        one("clinic", Some("district"), DISTRICT),
        one("province", None, PROVINCE),
        one("land", Some("province"), PROVINCE),
        one("tax", Some("province"), PROVINCE),
    ]
}

pub fn rung(id: &str, parent: Option<&str>) -> Gateway {
    Gateway {
        id: gateway_id(id),
        address: format!("https://{id}:8443"),
        parent: parent.map(gateway_id),
        tls_certificates: Vec::new(),
        log_keys: vec![log_signer(id).verifier().clone()],
        direct_links: Vec::new(),
    }
}
