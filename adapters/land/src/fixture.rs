//! What the tests of both directions need: a delivery, a source of parts, a door, a seal.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters_sdk::lease::FixedLease;
use adapters_sdk::seal::describe::{Content, Description};
use adapters_sdk::{Delivery, Door, NewPart, PartSource, Submitted};
use async_trait::async_trait;
use bytes::Bytes;
use certs_dev::KeyKind;
use certs_dev::pki::{Ladder, LeafProfile};
use gateway_model::agency::Hop;
use gateway_model::envelope::{Case, ContentKind, ContentSummary, Envelope, Part, Priority, ResolvedRecipient};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId, SystemId};
use gateway_model::{Digest, Reason, Refusal, Timestamp};
use prost::Message;
use proto::v1;
use tokio::io::{AsyncRead, AsyncReadExt};

pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_791_432_000);
pub(crate) const FILE_CODE: &str = "H99.30.01-261008-0001";

/// Parts in memory.
#[derive(Default)]
pub(crate) struct MemoryParts {
    pub parts: BTreeMap<Digest, Bytes>,
}

impl MemoryParts {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        Self { parts: parts.iter().map(|bytes| (Digest::of(bytes), Bytes::copy_from_slice(bytes))).collect() }
    }
}

#[async_trait]
impl PartSource for MemoryParts {
    async fn open(&self, digest: &Digest, offset: u64) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let bytes = self.parts.get(digest).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such part"))?;
        Ok(Box::new(io::Cursor::new(bytes.slice(offset as usize..))))
    }
}

/// What a delivery is made from.
pub(crate) struct Sent<'a> {
    pub number: u8,
    pub from: &'a str,
    pub to: &'a str,
    pub step: &'a str,
    pub content: Content,
    /// Name, role, bytes.
    pub parts: Vec<(&'a str, &'a str, &'a [u8])>,
}

impl Sent<'_> {
    /// A dossier from a commune to the land office.
    pub(crate) fn dossier() -> Self {
        let content =
            Content::Dossier { subject: "Cấp lại".into(), due_on: "2026-11-02".into(), state: String::new() };
        Self { number: 1, from: "h99.30.01", to: "h99.21", step: "tiep-nhan", content, parts: Vec::new() }
    }

    pub(crate) fn delivery(&self) -> Delivery {
        let id = EnvelopeId([self.number; 16]);
        let key = EnvelopeKey { sender: AgencyId::parse(self.from).unwrap(), id };
        let recipient = AgencyId::parse(self.to).unwrap();
        let part = |(name, role, bytes): &(&str, &str, &[u8])| Part {
            name: (*name).to_owned(),
            media_type: "application/pdf".to_owned(),
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            role: (*role).to_owned(),
        };
        let parts: Vec<Part> = self.parts.iter().map(part).collect();
        let case = Case {
            file_code: FILE_CODE.to_owned(),
            issuer: String::new(),
            procedure_code: "1.012783".to_owned(),
            step: self.step.to_owned(),
        };
        let description = Description {
            id,
            from: self.from.to_owned(),
            to: vec![self.to.to_owned()],
            created_at: NOON,
            expires_at: NOON.plus(Duration::from_secs(86_400)),
            priority: Priority::Normal,
            in_reply_to: None,
            supersedes: None,
            case: Some(case.clone()),
            content: self.content.clone(),
            parts: parts.clone(),
        };
        let bytes = Bytes::from(description.envelope().encode_to_vec());
        let kind = match &self.content {
            Content::Dossier { .. } => ContentKind::Dossier,
            Content::Status { .. } => ContentKind::Status,
            Content::Document { .. } => ContentKind::Document,
        };
        let sources: Vec<&[u8]> = self.parts.iter().map(|(_, _, bytes)| *bytes).collect();
        Delivery {
            ids: vec![DeliveryId::new(&key, &recipient)],
            recipients: vec![ResolvedRecipient { named: recipient.clone(), serving: recipient }],
            key,
            digest: Digest::of(&bytes),
            signed: v1::SignedEnvelope { envelope: bytes, signatures: Vec::new() }.encode_to_vec().into(),
            envelope: Arc::new(Envelope {
                id,
                from: self.from.to_owned(),
                to: vec![self.to.to_owned()],
                created_at: NOON,
                expires_at: NOON.plus(Duration::from_secs(86_400)),
                priority: Priority::Normal,
                in_reply_to: None,
                supersedes: None,
                case: Some(case),
                content: ContentSummary { kind, subject: String::new(), code: String::new() },
                parts,
            }),
            receipt: Bytes::new(),
            first_accepted: Bytes::new(),
            hops: vec![GatewayId::parse("gw-commune").unwrap()],
            traceparent: None,
            attempt: 1,
            deadline: NOON.plus(Duration::from_secs(60)),
            lease: Arc::new(FixedLease::of(Duration::from_secs(60))),
            parts: Arc::new(MemoryParts::of(&sources)),
        }
    }
}

/// A door that keeps what comes through like a gateway: the same id and bytes again are a duplicate, other bytes are refused.
pub(crate) struct MemoryDoor {
    hop: Hop,
    pub now: Mutex<Timestamp>,
    pub accepted: Mutex<BTreeMap<String, Bytes>>,
    pub order: Mutex<Vec<String>>,
    pub uploaded: Mutex<BTreeMap<Digest, Bytes>>,
    /// Answers to come, before all is accepted.
    pub refusals: Mutex<Vec<Refusal>>,
    /// Keeps the next envelope, but its answer is lost.
    pub loses_answer: Mutex<bool>,
    closing: tokio::sync::watch::Sender<bool>,
}

impl MemoryDoor {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            hop: Hop::System(SystemId::parse("sys").unwrap()),
            now: Mutex::new(NOON),
            accepted: Mutex::default(),
            order: Mutex::default(),
            uploaded: Mutex::default(),
            refusals: Mutex::default(),
            loses_answer: Mutex::new(false),
            closing: tokio::sync::watch::Sender::new(false),
        })
    }

    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn refuses_once(&self, reason: Reason) {
        self.refusals.lock().unwrap().push(reason.into());
    }

    pub(crate) fn count(&self) -> usize {
        self.order.lock().unwrap().len()
    }

    /// The envelope that was accepted at this place.
    pub(crate) fn envelope(&self, place: usize) -> v1::Envelope {
        let id = self.order.lock().unwrap()[place].clone();
        let signed = v1::SignedEnvelope::decode(self.accepted.lock().unwrap()[&id].clone()).unwrap();
        v1::Envelope::decode(signed.envelope).unwrap()
    }

    /// The bytes of the part with this role.
    pub(crate) fn part(&self, envelope: &v1::Envelope, role: &str) -> Bytes {
        let part = envelope.parts.iter().find(|part| part.role == role).unwrap();
        self.uploaded.lock().unwrap()[&Digest::from_slice(&part.sha256).unwrap()].clone()
    }

    /// What was accepted at this place, as the gateway of `to` would deliver it.
    pub(crate) fn delivery(&self, place: usize, from: &str, to: &str) -> Delivery {
        let wire = self.envelope(place);
        let mut made = Sent { from, to, ..Sent::dossier() }.delivery();
        let id = EnvelopeId::parse(&wire.id).unwrap();
        let bytes = Bytes::from(wire.encode_to_vec());
        made.key.id = id;
        made.digest = Digest::of(&bytes);
        made.ids = vec![DeliveryId::new(&made.key, &AgencyId::parse(to).unwrap())];
        made.signed = v1::SignedEnvelope { envelope: bytes, signatures: Vec::new() }.encode_to_vec().into();
        let mut envelope = (*made.envelope).clone();
        let case = wire.case.unwrap();
        envelope.id = id;
        envelope.case = Some(Case {
            file_code: case.file_code,
            issuer: case.issuer,
            procedure_code: case.procedure_code,
            step: case.step,
        });
        let part = |part: &v1::Part| Part {
            name: part.name.clone(),
            media_type: part.media_type.clone(),
            size: part.size,
            digest: Digest::from_slice(&part.sha256).unwrap(),
            role: part.role.clone(),
        };
        envelope.parts = wire.parts.iter().map(part).collect();
        made.envelope = Arc::new(envelope);
        made.parts = Arc::new(MemoryParts { parts: self.uploaded.lock().unwrap().clone() });
        made
    }
}

#[async_trait]
impl Door for MemoryDoor {
    async fn upload(&self, part: NewPart, mut bytes: Box<dyn AsyncRead + Send + Unpin>) -> Result<(), Refusal> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all).await.unwrap();
        assert_eq!((Digest::of(&all), all.len() as u64), (part.digest, part.size));
        self.uploaded.lock().unwrap().insert(part.digest, all.into());
        Ok(())
    }

    async fn submit(&self, signed: Bytes) -> Result<Submitted, Refusal> {
        if let Some(refusal) = self.refusals.lock().unwrap().pop() {
            return Err(refusal);
        }
        let wire = v1::SignedEnvelope::decode(signed.clone()).unwrap();
        let envelope = v1::Envelope::decode(wire.envelope).unwrap();
        for part in &envelope.parts {
            let digest = Digest::from_slice(&part.sha256).unwrap();
            assert!(self.uploaded.lock().unwrap().contains_key(&digest), "a part is named before it is uploaded");
        }
        let before = self.accepted.lock().unwrap().insert(envelope.id.clone(), signed.clone());
        match &before {
            Some(before) if *before != signed => {
                self.accepted.lock().unwrap().insert(envelope.id.clone(), before.clone());
                return Err(Reason::EnvelopeIdReused.into());
            }
            Some(_) => {}
            None => self.order.lock().unwrap().push(envelope.id.clone()),
        }
        if std::mem::take(&mut *self.loses_answer.lock().unwrap()) {
            return Err(Reason::StoreUnavailable.into());
        }
        let key = EnvelopeKey {
            sender: AgencyId::parse(&envelope.from).unwrap(),
            id: EnvelopeId::parse(&envelope.id).unwrap(),
        };
        Ok(Submitted { key, receipt: Bytes::from_static(b"receipt"), duplicate: before.is_some() })
    }

    fn hop(&self) -> &Hop {
        &self.hop
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    async fn closed(&self) {
        self.closing.subscribe().wait_for(|&is_closing| is_closing).await.unwrap();
    }
}

/// Writes an agency's certificate and key.
pub(crate) fn write_seal(folder: &Path) {
    let ladder = Ladder::new(KeyKind::P256, NOON.seconds() - 86_400).unwrap();
    let profile = LeafProfile::agency("Văn phòng Đăng ký đất đai");
    let credential = ladder.issue_signer("Văn phòng Đăng ký đất đai", KeyKind::P256, profile).unwrap();
    std::fs::write(folder.join("agency.pem"), credential.certificate_pem).unwrap();
    std::fs::write(folder.join("agency.key"), credential.key_pem).unwrap();
}
