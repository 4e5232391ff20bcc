//! What the tests of both directions need: a delivery, a source of parts, a door.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use adapters_sdk::{Delivery, Door, NewPart, PartSource, Submitted};
use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::agency::Hop;
use gateway_model::envelope::{
    Case, ContentKind, ContentSummary, Envelope, Part, Priority, Reference, ResolvedRecipient,
};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId, SystemId};
use gateway_model::{Digest, Refusal, Timestamp};
use prost::Message;
use proto::v1;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::Notify;

pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_791_432_000);

/// Parts in memory; what is read at once is recorded.
#[derive(Default)]
pub(crate) struct MemoryParts {
    pub parts: BTreeMap<Digest, Bytes>,
    /// Opens never end reading when set.
    pub stalls: bool,
    pub opened: Notify,
    pub read_max: Arc<AtomicUsize>,
}

impl MemoryParts {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let parts = parts.iter().map(|bytes| (Digest::of(bytes), Bytes::copy_from_slice(bytes))).collect();
        Self { parts, ..Self::default() }
    }
}

#[async_trait]
impl PartSource for MemoryParts {
    async fn open(&self, digest: &Digest, offset: u64) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        self.opened.notify_one();
        let bytes = self.parts.get(digest).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such part"))?;
        let bytes = bytes.slice(offset as usize..);
        Ok(Box::new(Watched { bytes, read_max: self.read_max.clone(), stalls: self.stalls }))
    }
}

struct Watched {
    bytes: Bytes,
    read_max: Arc<AtomicUsize>,
    stalls: bool,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.stalls {
            return Poll::Pending;
        }
        self.read_max.fetch_max(buffer.remaining(), Ordering::Relaxed);
        let count = buffer.remaining().min(self.bytes.len());
        buffer.put_slice(&self.bytes.split_to(count));
        Poll::Ready(Ok(()))
    }
}

/// A delivery from a commune to the land office, with these parts.
pub(crate) fn delivery(subject: &str, parts: &[(&str, &[u8])]) -> Delivery {
    let source = MemoryParts::of(&parts.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>());
    let id = EnvelopeId::parse("0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b").unwrap();
    let key = EnvelopeKey { sender: AgencyId::parse("xa-an-phu").unwrap(), id };
    let recipient = AgencyId::parse("so-tnmt").unwrap();
    let envelope = v1::Envelope { id: id.to_string(), from: subject.to_owned(), ..v1::Envelope::default() };
    let bytes = Bytes::from(envelope.encode_to_vec());
    let event = v1::Event { at: Some(prost_types_at(NOON.plus(Duration::from_secs(60)))), ..v1::Event::default() };
    let receipt = v1::Receipt { event: event.encode_to_vec().into(), ..v1::Receipt::default() };
    let part = |(name, bytes): &(&str, &[u8])| Part {
        name: (*name).to_owned(),
        media_type: "application/pdf".to_owned(),
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        role: "Đơn đăng ký".to_owned(),
    };
    Delivery {
        ids: vec![DeliveryId::new(&key, &recipient)],
        recipients: vec![ResolvedRecipient { named: recipient.clone(), serving: recipient }],
        key,
        digest: Digest::of(&bytes),
        signed: v1::SignedEnvelope { envelope: bytes, signatures: Vec::new() }.encode_to_vec().into(),
        envelope: Arc::new(Envelope {
            id,
            from: "H15.50.05.13".into(),
            to: vec!["H15.50".into()],
            created_at: NOON,
            expires_at: NOON.plus(Duration::from_secs(86_400)),
            priority: Priority::VeryUrgent,
            in_reply_to: Some(Reference { sender: "H15.50".into(), id, digest: None }),
            supersedes: None,
            case: Some(Case {
                file_code: "H15.50.05.13-261008-0975".into(),
                issuer: String::new(),
                procedure_code: "1.012783".into(),
                step: "tham-dinh".into(),
            }),
            content: ContentSummary { kind: ContentKind::Dossier, subject: subject.to_owned(), code: String::new() },
            parts: parts.iter().map(part).collect(),
        }),
        receipt: receipt.encode_to_vec().into(),
        first_accepted: Bytes::new(),
        hops: vec![GatewayId::parse("xa").unwrap(), GatewayId::parse("tinh").unwrap()],
        traceparent: None,
        attempt: 1,
        deadline: NOON.plus(Duration::from_secs(60)),
        lease: Arc::new(adapters_sdk::lease::FixedLease::of(Duration::from_secs(60))),
        parts: Arc::new(source),
    }
}

fn prost_types_at(at: Timestamp) -> prost_types::Timestamp {
    adapters_sdk::seal::describe::wire_time(at)
}

/// A door that remembers what came through and answers as told.
pub(crate) struct MemoryDoor {
    hop: Hop,
    pub now: Mutex<Timestamp>,
    /// What came, oldest first.
    pub submitted: Mutex<Vec<Bytes>>,
    /// Parts that came.
    pub uploaded: Mutex<BTreeMap<Digest, Bytes>>,
    /// Answers to come, before all is accepted.
    pub refusals: Mutex<Vec<Refusal>>,
    /// Keeps the envelope but never answers.
    pub loses_answers: Mutex<bool>,
    pub kept: Notify,
    closing: tokio::sync::watch::Sender<bool>,
}

impl MemoryDoor {
    pub(crate) fn new() -> Self {
        Self {
            hop: Hop::System(SystemId::parse("he-thong-so-tnmt").unwrap()),
            now: Mutex::new(NOON),
            submitted: Mutex::default(),
            uploaded: Mutex::default(),
            refusals: Mutex::default(),
            loses_answers: Mutex::new(false),
            kept: Notify::new(),
            closing: tokio::sync::watch::Sender::new(false),
        }
    }

    pub(crate) fn refuses_once(&self, refusal: impl Into<Refusal>) {
        self.refusals.lock().unwrap().push(refusal.into());
    }

    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn passes(&self, span: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(span);
    }

    pub(crate) fn count(&self) -> usize {
        self.submitted.lock().unwrap().len()
    }

    pub(crate) fn envelope(&self, index: usize) -> v1::Envelope {
        let signed = v1::SignedEnvelope::decode(self.submitted.lock().unwrap()[index].clone()).unwrap();
        v1::Envelope::decode(signed.envelope).unwrap()
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
        let duplicate = self.submitted.lock().unwrap().contains(&signed);
        self.submitted.lock().unwrap().push(signed);
        self.kept.notify_one();
        if *self.loses_answers.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        let id = EnvelopeId::parse("0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b").unwrap();
        let key = EnvelopeKey { sender: AgencyId::parse("so-tnmt").unwrap(), id };
        Ok(Submitted { key, receipt: Bytes::from_static(b"receipt"), duplicate })
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

/// Names under `folder`, sorted, folders with their content.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(tree(&entry.path()).into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}
