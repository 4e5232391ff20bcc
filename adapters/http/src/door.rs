//! Brings envelopes in: `POST /v1/envelopes` with JSON, sealed with the agency's key, answered with the gateway's receipt.
//!
//! A request has an idempotency key (the header `idempotency-key`, or the id it gives its envelope), which stands for one envelope id. The
//! envelope is sealed once and kept before it is submitted; a repeat submits the same bytes and gets the same answer. The same key with
//! another request is refused. What is refused for good is recorded for the operator, without what it said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use adapters_sdk::outbound::{Outbound, OutboundError, Request};
use adapters_sdk::quarantine::RefusedCall;
use adapters_sdk::seal::Sealer;
use adapters_sdk::seal::written::{Given, wrong};
use adapters_sdk::{AdapterError, Door, NewPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gateway_model::envelope::{Part, SignatureRole};
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use http::Method;
use prost::Message;
use proto::v1;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

pub(crate) mod mapping;
mod written;

use crate::config::In;
use crate::disk;
use crate::ledger::{Entry, Ledger, id_of};
use written::{PartFrom, Written};

/// Bytes of all parts of one request that are fetched by link.
const FETCHED_BYTES_MAX: u64 = limits::PART_BYTES_MAX;
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// What is needed to let something in.
pub(crate) struct Inward {
    pub adapter: String,
    pub config: In,
    pub ledger: Ledger,
    pub sealer: Arc<Sealer>,
    pub outbound: Outbound,
    /// Parts fetched by link stand here until they are uploaded.
    pub working: PathBuf,
    pub door: watch::Receiver<Option<Arc<dyn Door>>>,
    /// One seals at a time: two requests with one key must not seal twice.
    pub sealing: Mutex<()>,
}

/// An answer to a request that has been accepted.
pub(crate) struct Accepted {
    pub answer: Value,
    pub is_repeat: bool,
}

/// The bytes of a part, at hand.
struct AtHand {
    part: Part,
    bytes: PartBytes,
}

enum PartBytes {
    Memory(Bytes),
    File(tempfile::TempPath),
}

impl Inward {
    /// Takes a request.
    pub(crate) async fn take(&self, key: Option<&str>, body: Bytes) -> Result<Accepted, Refusal> {
        let written = written::read(&body, self.config.body.as_ref())?;
        let id = self.envelope_id(key, &written)?;
        let request = Digest::of(&body);
        if let Some(entry) = self.find(id).await? {
            check_same(&entry, request)?;
            if let Some(answer) = entry.answer {
                return Ok(Accepted { answer, is_repeat: true });
            }
        }
        let door = self.door.borrow().clone().ok_or_else(|| Refusal::new(Reason::Draining))?;
        let parts = self.fetch(&written).await?;
        let signed = self.seal(id, request, written, &parts, door.as_ref()).await?;
        for part in &parts {
            upload(door.as_ref(), part).await?;
        }
        match door.submit(signed.clone()).await {
            Ok(submitted) => {
                let answer = answer(id, &submitted.receipt)?;
                let entry = Entry { answer: Some(answer.clone()), ..Entry::new(request, &signed) };
                self.keep(id, entry).await?;
                Ok(Accepted { answer, is_repeat: submitted.duplicate })
            }
            Err(refusal) => {
                if !refusal.reason.is_retryable() {
                    let ledger = self.ledger.clone();
                    on_disk(move || ledger.forget(id)).await?;
                }
                Err(refusal)
            }
        }
    }

    /// Records a request that was refused for good, by the digest of its body. One that may be repeated is not over yet.
    pub(crate) async fn set_aside(&self, body: &Bytes, refusal: &Refusal, now: Timestamp) {
        if refusal.reason.is_retryable() {
            return;
        }
        let sha256 = Digest::of(body);
        tracing::warn!(reason = %refusal.reason, %sha256, "a request was refused");
        let (ledger, body, refusal) = (self.ledger.clone(), body.clone(), refusal.clone());
        let kept = disk::run(move || {
            ledger.refuse(RefusedCall { call: "POST /v1/envelopes", body: &body, refusal: &refusal, at: now })
        });
        if let Err(fault) | Ok(Err(fault)) = kept.await {
            tracing::error!(%fault, "a refusal cannot be recorded");
        }
    }

    /// The answer that an envelope got; `None` where it is not known, or not accepted yet.
    pub(crate) async fn look_up(&self, id: &str) -> Result<Option<Value>, Refusal> {
        let id = EnvelopeId::parse(id).map_err(|fault| wrong("id", &fault.to_string()))?;
        Ok(self.find(id).await?.and_then(|entry| entry.answer))
    }

    fn envelope_id(&self, key: Option<&str>, written: &Written) -> Result<EnvelopeId, Refusal> {
        let named = written.id.as_deref().map(EnvelopeId::parse).transpose();
        let named = named.map_err(|fault| wrong("id", &fault.to_string()))?;
        match (named, key) {
            (Some(id), _) => Ok(id),
            (None, Some(key)) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(id_of(&self.adapter, key)),
            (None, _) => {
                Err(wrong("idempotency-key", "is missing or too long: send 1 to 255 bytes, or an id in the body"))
            }
        }
    }

    async fn seal(
        &self,
        id: EnvelopeId,
        request: Digest,
        written: Written,
        parts: &[AtHand],
        door: &dyn Door,
    ) -> Result<Bytes, Refusal> {
        let _sealing = self.sealing.lock().await;
        if let Some(entry) = self.find(id).await? {
            check_same(&entry, request)?;
            return entry.signed().ok_or_else(|| Refusal::new(Reason::AdapterFailed).saw("what was kept is damaged"));
        }
        let given = Given {
            id,
            from: self.config.from.as_ref(),
            created_at: door.now(),
            expires_in: self.config.expires_in,
            parts: parts.iter().map(|at_hand| at_hand.part.clone()).collect(),
        };
        let (envelope, sealer) = (written.complete(given)?.envelope(), self.sealer.clone());
        let sealed = disk::run(move || sealer.seal(&envelope, SignatureRole::SealedByAdapter)).await.map_err(broken)?;
        let signed = sealed.map_err(|fault| match fault {
            adapters_sdk::seal::SealError::EnvelopeTooLarge { .. } => Refusal::new(Reason::EnvelopeTooLarge),
            other => {
                tracing::error!(fault = %other, "an envelope cannot be sealed");
                Refusal::new(Reason::AdapterUnavailable).saw("the seal does not work now")
            }
        })?;
        self.keep(id, Entry::new(request, &signed)).await?;
        Ok(signed)
    }

    /// Brings the bytes of all parts to hand.
    async fn fetch(&self, written: &Written) -> Result<Vec<AtHand>, Refusal> {
        let mut parts = Vec::with_capacity(written.parts.len());
        let mut room = FETCHED_BYTES_MAX;
        for (place, part) in written.parts.iter().enumerate() {
            let field = format!("parts[{place}]");
            parts.push(match part.source(&field)? {
                PartFrom::Value(bytes) => AtHand {
                    part: part.part(&field, bytes.len() as u64, Digest::of(&bytes))?,
                    bytes: PartBytes::Memory(bytes.into()),
                },
                PartFrom::Link(url) => {
                    let (size, digest, path) = self.download(&field, url, room.min(limits::PART_BYTES_DEFAULT)).await?;
                    room = room.saturating_sub(size);
                    AtHand { part: part.part(&field, size, digest)?, bytes: PartBytes::File(path) }
                }
            });
        }
        Ok(parts)
    }

    async fn download(
        &self,
        field: &str,
        url: http::Uri,
        bytes_max: u64,
    ) -> Result<(u64, Digest, tempfile::TempPath), Refusal> {
        let working = self.working.clone();
        let made = disk::run(move || tempfile::NamedTempFile::new_in(working)).await.map_err(broken)?;
        let (file, path) = made.map_err(|_| Refusal::new(Reason::StoreUnavailable))?.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let fetched = async {
            let answer = self.outbound.send(Request::new(Method::GET, url)).await?.success()?;
            answer.copy_to(&mut file, bytes_max).await
        };
        let received = fetched.await.map_err(|fault| not_fetched(field, &fault))?;
        Ok((received.size, received.digest, path))
    }

    async fn find(&self, id: EnvelopeId) -> Result<Option<Entry>, Refusal> {
        let ledger = self.ledger.clone();
        on_disk(move || ledger.find(id)).await
    }

    async fn keep(&self, id: EnvelopeId, entry: Entry) -> Result<(), Refusal> {
        let ledger = self.ledger.clone();
        on_disk(move || ledger.keep(id, &entry)).await
    }
}

fn check_same(entry: &Entry, request: Digest) -> Result<(), Refusal> {
    if entry.request_sha256 == request.to_string() {
        return Ok(());
    }
    Err(Refusal::new(Reason::EnvelopeIdReused).at("idempotency-key").saw("it stands for another request"))
}

async fn upload(door: &dyn Door, at_hand: &AtHand) -> Result<(), Refusal> {
    let new = NewPart { digest: at_hand.part.digest, size: at_hand.part.size };
    match &at_hand.bytes {
        PartBytes::Memory(bytes) => door.upload(new, Box::new(std::io::Cursor::new(bytes.clone()))).await,
        PartBytes::File(path) => {
            let file = tokio::fs::File::open(path).await;
            door.upload(new, Box::new(file.map_err(|_| Refusal::new(Reason::StoreUnavailable))?)).await
        }
    }
}

/// Where a link leads is the caller's affair; that it may not be followed is ours, and told as such.
fn not_fetched(field: &str, fault: &OutboundError) -> Refusal {
    let refusal = |reason| Refusal::new(reason).at(format!("{field}.url"));
    match fault {
        OutboundError::NotAllowed { .. } | OutboundError::PrivateAddress { .. } => {
            refusal(Reason::RequestMalformed).saw("this address may not be called")
        }
        OutboundError::TooLarge { bytes_max, .. } => {
            refusal(Reason::PartTooLarge).saw(format!("more than {bytes_max} bytes"))
        }
        OutboundError::Local(_) => refusal(Reason::StoreUnavailable),
        OutboundError::Status(status) if !fault.is_retryable() => {
            refusal(Reason::PartMissing).saw(format!("it answers with the status {status}"))
        }
        OutboundError::Status(_)
        | OutboundError::Unreachable { .. }
        | OutboundError::NotTrusted { .. }
        | OutboundError::TimedOut { .. }
        | OutboundError::Malformed { .. } => {
            refusal(Reason::AdapterUnavailable).saw("it gives no answer that can be used")
        }
    }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AdapterError> + Send + 'static,
) -> Result<T, Refusal> {
    disk::run(work).await.map_err(broken)?.map_err(broken)
}

fn broken(fault: AdapterError) -> Refusal {
    tracing::error!(%fault, "the adapter's own folder cannot be used");
    Refusal::new(Reason::StoreUnavailable)
}

/// The ACCEPTED receipt as JSON, with its bytes.
fn answer(id: EnvelopeId, receipt: &Bytes) -> Result<Value, Refusal> {
    let strange = |_| Refusal::new(Reason::ReceiptInvalid);
    let read = v1::Receipt::decode(receipt.clone()).map_err(strange)?;
    let event = v1::Event::decode(read.event.clone()).map_err(strange)?;
    let at = event.at.and_then(|at| gateway_model::Timestamp::from_parts(at.seconds, at.nanos));
    let fields: BTreeMap<&str, Value> = BTreeMap::from([
        ("kind", event.kind().as_str_name().trim_start_matches("EVENT_KIND_").into()),
        ("gateway", event.gateway.as_str().into()),
        ("at", at.map(|at| at.to_string()).into()),
        ("sender", event.sender.as_str().into()),
        ("envelope_sha256", hex::encode(&event.envelope_sha256).into()),
        ("recipients", event.recipients.clone().into()),
        ("leaf_index", read.leaf_index.into()),
        ("checkpoint", read.checkpoint.as_str().into()),
        ("bytes", STANDARD.encode(receipt).into()),
    ]);
    Ok(json!({ "id": id.to_string(), "receipt": fields }))
}
