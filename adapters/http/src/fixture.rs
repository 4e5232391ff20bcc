//! What the tests of both directions need: a delivery with its parts, a door, and another organisation's system on a real socket.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NOON: Timestamp = Timestamp::from_seconds(1_791_432_000);

struct MemoryParts(BTreeMap<Digest, Bytes>);

#[async_trait]
impl PartSource for MemoryParts {
    async fn open(&self, digest: &Digest, offset: u64) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let bytes = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes.slice(offset as usize..))))
    }
}

/// A delivery from a commune to the land office, with these parts.
pub(crate) fn delivery(parts: &[(&str, &'static [u8])]) -> Delivery {
    let id = EnvelopeId::parse("0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b").unwrap();
    let key = EnvelopeKey { sender: AgencyId::parse("xa-an-phu").unwrap(), id };
    let recipient = AgencyId::parse("so-tnmt").unwrap();
    let bytes = v1::Envelope { id: id.to_string(), ..v1::Envelope::default() }.encode_to_vec();
    let part = |(name, bytes): &(&str, &[u8])| Part {
        name: (*name).to_owned(),
        media_type: "application/pdf".to_owned(),
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        role: "Đơn đăng ký".to_owned(),
    };
    let source = parts.iter().map(|(_, bytes)| (Digest::of(bytes), Bytes::from_static(bytes))).collect();
    Delivery {
        ids: vec![DeliveryId::new(&key, &recipient)],
        recipients: vec![ResolvedRecipient { named: recipient.clone(), serving: recipient }],
        key,
        digest: Digest::of(&bytes),
        signed: v1::SignedEnvelope { envelope: bytes.into(), signatures: Vec::new() }.encode_to_vec().into(),
        envelope: Arc::new(Envelope {
            id,
            from: "H99.50.05.13".into(),
            to: vec!["H99.50".into()],
            created_at: NOON,
            expires_at: NOON.plus(Duration::from_secs(86_400)),
            priority: Priority::Urgent,
            in_reply_to: Some(Reference { sender: "H99.50".into(), id, digest: None }),
            supersedes: None,
            case: Some(Case {
                file_code: "H99.50.05.13-261008-0975".into(),
                issuer: "H99.50.05.13".into(),
                procedure_code: "1.012783".into(),
                step: "tham-dinh".into(),
            }),
            content: ContentSummary {
                kind: ContentKind::Dossier,
                subject: "Hồ sơ đăng ký biến động đất đai".into(),
                code: String::new(),
            },
            parts: parts.iter().map(part).collect(),
        }),
        receipt: Bytes::new(),
        first_accepted: Bytes::new(),
        hops: vec![GatewayId::parse("xa").unwrap(), GatewayId::parse("tinh").unwrap()],
        traceparent: None,
        attempt: 1,
        deadline: NOON.plus(Duration::from_secs(60)),
        lease: Arc::new(adapters_sdk::lease::FixedLease::of(Duration::from_secs(60))),
        parts: Arc::new(MemoryParts(source)),
    }
}

/// A door that remembers what came through, and refuses what it is told to refuse first.
pub(crate) struct MemoryDoor {
    hop: Hop,
    pub submitted: Mutex<Vec<Bytes>>,
    pub uploaded: Mutex<BTreeMap<Digest, Bytes>>,
    pub refusals: Mutex<Vec<Refusal>>,
}

impl MemoryDoor {
    pub(crate) fn new() -> Arc<Self> {
        let hop = Hop::System(SystemId::parse("he-thong-so-tnmt").unwrap());
        let (submitted, uploaded, refusals) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { hop, submitted, uploaded, refusals })
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
        let envelope = v1::SignedEnvelope::decode(signed.clone()).unwrap().envelope;
        let id = EnvelopeId::parse(&v1::Envelope::decode(envelope).unwrap().id).unwrap();
        let mut submitted = self.submitted.lock().unwrap();
        let duplicate = submitted.contains(&signed);
        submitted.push(signed);
        let key = EnvelopeKey { sender: AgencyId::parse("so-tnmt").unwrap(), id };
        let event = v1::Event {
            kind: v1::EventKind::Accepted.into(),
            gateway: "tinh".into(),
            envelope_id: id.to_string(),
            ..v1::Event::default()
        };
        let receipt = v1::Receipt { event: event.encode_to_vec().into(), ..v1::Receipt::default() };
        Ok(Submitted { key, receipt: receipt.encode_to_vec().into(), duplicate })
    }

    fn hop(&self) -> &Hop {
        &self.hop
    }

    fn now(&self) -> Timestamp {
        NOON
    }

    async fn closed(&self) {
        std::future::pending().await
    }
}

/// One call that the other system got.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub head: String,
    pub body: Vec<u8>,
}

/// Another organisation's system: answers each call with the next answer it was told, the last one again and again.
pub(crate) struct OtherSystem {
    pub port: u16,
    pub calls: Arc<Mutex<Vec<Call>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for OtherSystem {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl OtherSystem {
    pub(crate) async fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let mut answers: Vec<String> = answers.iter().rev().map(|answer| (*answer).to_owned()).collect();
        let kept = calls.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(call) = read_call(&mut stream).await else { continue };
                kept.lock().unwrap().push(call);
                let answer = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() };
                // An empty answer closes the connection without a word.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self { port, calls, task }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> String {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_default().to_owned()
    }
}

async fn read_call(stream: &mut TcpStream) -> Option<Call> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let call = Call { head: String::from_utf8(head).unwrap(), body: Vec::new() };
    let mut body = vec![0; call.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Call { body, ..call })
}
