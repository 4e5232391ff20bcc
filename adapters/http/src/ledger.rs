//! What came in, by envelope id: the sealed bytes before they are submitted, and the answer after. A file each, whole or not at all. What was
//! refused for good has a record of its own, for the operator: the reason, and nothing of what was said.
//!
//! The same idempotency key makes the same envelope id; the bytes sealed first are the bytes submitted at every repeat, after a crash too.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters_sdk::AdapterError;
use adapters_sdk::quarantine::{Keep, RefusedCall};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, limits};
use serde::{Deserialize, Serialize};

use crate::disk;

/// How long an answer, or the record of a refusal, is kept.
const RETENTION: Duration = Duration::from_secs(90 * 86_400);
const ENTRY_BYTES_MAX: u64 =
    4 * (limits::ENVELOPE_BYTES_MAX + limits::SIGNATURES_MAX * limits::SIGNATURE_BYTES_MAX) as u64;

/// The folders.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    folder: PathBuf,
    refused: PathBuf,
}

/// One envelope that came in.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// SHA-256 of the request that made it.
    pub request_sha256: String,
    /// Serialized `SignedEnvelope`, in base64.
    pub signed: String,
    /// The answer, once the gateway has accepted it.
    pub answer: Option<serde_json::Value>,
}

impl Entry {
    /// Sealed, not yet accepted.
    pub(crate) fn new(request: Digest, signed: &[u8]) -> Self {
        Self { request_sha256: request.to_string(), signed: STANDARD.encode(signed), answer: None }
    }

    /// The sealed bytes.
    pub(crate) fn signed(&self) -> Option<bytes::Bytes> {
        STANDARD.decode(&self.signed).ok().map(Into::into)
    }
}

impl Ledger {
    /// Opens the folders.
    pub(crate) fn open(state: &Path) -> Result<Self, AdapterError> {
        let (folder, refused) = (state.join("accepted"), state.join("quarantine"));
        disk::make_folder(&folder)?;
        disk::make_folder(&refused)?;
        Ok(Self { folder, refused })
    }

    /// Where refusals are recorded.
    pub(crate) fn refused(&self) -> &Path {
        &self.refused
    }

    /// Records a refusal; durable when this returns.
    pub(crate) fn refuse(&self, call: RefusedCall<'_>) -> Result<(), AdapterError> {
        call.keep(&self.refused, Keep::DigestAlone).map(drop)
    }

    /// Forgets what is older than the retention, for as long as this is polled.
    pub(crate) async fn forget_old(&self) -> Infallible {
        adapters_sdk::forget::daily(vec![self.folder.clone(), self.refused.clone()], RETENTION).await
    }

    /// The entry of an envelope.
    pub(crate) fn find(&self, id: EnvelopeId) -> Result<Option<Entry>, AdapterError> {
        let path = self.path(id);
        let bytes = match disk::read(&path, ENTRY_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(AdapterError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let damaged = |fault| AdapterError::Other(format!("{} is damaged: {fault}", path.display()));
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Keeps the entry; durable when this returns.
    pub(crate) fn keep(&self, id: EnvelopeId, entry: &Entry) -> Result<(), AdapterError> {
        let bytes = serde_json::to_vec(entry).map_err(|fault| AdapterError::Other(fault.to_string()))?;
        disk::replace(&self.path(id), &bytes)
    }

    /// Forgets an envelope that the gateway will never accept: a corrected request may take its key.
    pub(crate) fn forget(&self, id: EnvelopeId) -> Result<(), AdapterError> {
        let path = self.path(id);
        fs::remove_file(&path).map_err(disk::at(&path))
    }

    fn path(&self, id: EnvelopeId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// The envelope id that a key stands for: the same for ever, another one for another adapter.
pub(crate) fn id_of(adapter: &str, key: &str) -> EnvelopeId {
    let digest = Digest::of(format!("{adapter}\n{key}").as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&digest.0[..16]);
    // Version 8, variant of RFC 9562: an id by a rule of our own.
    id[6] = (id[6] & 0x0f) | 0x80;
    id[8] = (id[8] & 0x3f) | 0x80;
    EnvelopeId(id)
}
