//! What the adapter remembers: which document is which envelope, what was sealed, what was taken.
//!
//! Packages know each other by DocumentId, envelopes by sender and id. The ledger knows both, at both ends, one small file each:
//!
//! ```text
//! <path>/.lienthong/documents/<aa>/<hash of sender, DocumentId and role>   the envelope of a document or of a change that was asked
//! <path>/.lienthong/envelopes/<aa>/<hash of sender and envelope id>        the document of an envelope
//! <path>/.lienthong/sealed/<key>.lt                                        sealed and perhaps submitted already
//! <path>/.lienthong/accepted/<aa>/<key>                                    the answer to a package that came before
//! <path>/.lienthong/settled/<aa>/<delivery id>                             what became of a delivery
//! ```
//!
//! What is not found here is still referred to: [`derived_id`] makes the same id of the same DocumentId everywhere.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters_sdk::AdapterError;
use bytes::Bytes;
use gateway_model::id::{DeliveryId, EnvelopeId};
use gateway_model::{Digest, limits};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use adapters_sdk::disk;

/// Folders of what is remembered.
const KEPT: [&str; 5] = ["documents", "envelopes", "sealed", "accepted", "settled"];
/// How long things are remembered: longer than any envelope lives.
const MEMORY: Duration = Duration::from_secs(limits::ENVELOPE_LIFE_MAX.as_secs() + 30 * 86_400);
/// Bytes of one entry.
const ENTRY_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a sealed envelope.
const SEALED_BYTES_MAX: u64 =
    (limits::ENVELOPE_BYTES_MAX + limits::SIGNATURES_MAX * limits::SIGNATURE_BYTES_MAX + 4_096) as u64;

/// What a DocumentId may name at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The document.
    Document,
    /// The last recall, update or replacement asked under this DocumentId.
    Change,
}

/// An envelope, as a reference names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct KnownEnvelope {
    /// Its sender.
    pub sender: String,
    /// Its id.
    pub id: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
}

/// A document, as a package names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct KnownDocument {
    /// Code of the agency that sent it.
    pub organ_id: String,
    /// Its DocumentId.
    pub document_id: String,
    /// Number and notation.
    pub code: String,
    /// `YYYY-MM-DD`, or empty.
    pub promulgated_on: String,
}

/// What became of a delivery, when the system said so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Settlement {
    /// It has it.
    Taken,
    /// It will not have it.
    Refused(String),
    /// This agency of it fetched the package and has not confirmed yet.
    Fetched(String),
    /// It was sent, and no answer came; so many like it had been there before, where that could be seen.
    Sending(Option<usize>),
}

/// The answer to a package that was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AcceptedBefore {
    /// Id of its envelope.
    pub envelope_id: String,
}

/// The adapter's own folder.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    root: PathBuf,
}

impl Ledger {
    /// Makes the folders, clears what broken writes left.
    pub(crate) fn open(path: &Path) -> Result<Self, AdapterError> {
        let ledger = Self { root: path.join(".lienthong") };
        fs::create_dir_all(path).map_err(disk::at(path))?;
        let working = ledger.working();
        if working.exists() {
            fs::remove_dir_all(&working).map_err(disk::at(&working))?;
        }
        // Whom documents go to and what they are about is nobody else's to read.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&ledger.root).map_err(disk::at(&ledger.root))?;
        for name in KEPT.iter().chain(&["working"]) {
            let folder = ledger.root.join(name);
            fs::create_dir_all(&folder).map_err(disk::at(&folder))?;
        }
        disk::sync_folder(&ledger.root)?;
        disk::sync_folder(path)?;
        Ok(ledger)
    }

    /// Forgets what is too old to matter, for as long as this is polled.
    pub(crate) async fn forget(&self) -> Infallible {
        adapters_sdk::forget::daily(KEPT.map(|name| self.root.join(name)).to_vec(), MEMORY).await
    }

    /// Where files are written before they appear.
    pub(crate) fn working(&self) -> PathBuf {
        self.root.join("working")
    }

    /// The envelope of a document.
    pub(crate) fn envelope(
        &self,
        sender: &str,
        document_id: &str,
        role: Role,
    ) -> Result<Option<KnownEnvelope>, AdapterError> {
        self.read(&self.place("documents", &document_key(sender, document_id, role)))
    }

    /// The document of an envelope.
    pub(crate) fn document(&self, sender: &str, id: &str) -> Result<Option<KnownDocument>, AdapterError> {
        self.read(&self.place("envelopes", &envelope_key(sender, id)))
    }

    /// Remembers both ways, under every name of the sender.
    pub(crate) fn remember(
        &self,
        senders: &[&str],
        role: Role,
        envelope: &KnownEnvelope,
        document: &KnownDocument,
    ) -> Result<(), AdapterError> {
        for sender in senders {
            self.write(&self.place("documents", &document_key(sender, &document.document_id, role)), envelope)?;
            self.write(&self.place("envelopes", &envelope_key(sender, &envelope.id)), document)?;
        }
        Ok(())
    }

    /// The answer that a package got before.
    pub(crate) fn accepted(&self, key: &Digest) -> Result<Option<AcceptedBefore>, AdapterError> {
        self.read(&self.place("accepted", &key.to_string()))
    }

    /// Remembers the answer; the sealed bytes are no longer needed.
    pub(crate) fn accept(&self, key: &Digest, answer: &AcceptedBefore) -> Result<(), AdapterError> {
        self.write(&self.place("accepted", &key.to_string()), answer)?;
        self.unseal(key)
    }

    /// Bytes that were sealed before.
    pub(crate) fn sealed(&self, key: &Digest) -> Result<Option<Bytes>, AdapterError> {
        Ok(disk::read_if_there(&self.sealed_file(key), SEALED_BYTES_MAX)?.map(Bytes::from))
    }

    /// Keeps sealed bytes before they are submitted, so that a repeat has the same.
    pub(crate) fn seal(&self, key: &Digest, signed: &[u8]) -> Result<(), AdapterError> {
        disk::write_whole(&self.working(), &self.sealed_file(key), signed)
    }

    /// Forgets sealed bytes.
    pub(crate) fn unseal(&self, key: &Digest) -> Result<(), AdapterError> {
        let file = self.sealed_file(key);
        match fs::remove_file(&file) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(disk::at(&file)(fault)),
            _ => Ok(()),
        }
    }

    /// What became of a delivery.
    pub(crate) fn settlement(&self, id: DeliveryId) -> Result<Option<Settlement>, AdapterError> {
        self.read(&self.place("settled", &id.to_string()))
    }

    /// Remembers what became of a delivery.
    pub(crate) fn settle(&self, id: DeliveryId, settlement: &Settlement) -> Result<(), AdapterError> {
        self.write(&self.place("settled", &id.to_string()), settlement)
    }

    /// Whether the disk takes an entry now.
    pub(crate) fn probe(&self) -> Result<(), AdapterError> {
        let file = self.working().join("probe");
        disk::write(&file, b"probe")?;
        fs::remove_file(&file).map_err(disk::at(&file))
    }

    fn sealed_file(&self, key: &Digest) -> PathBuf {
        self.root.join("sealed").join(format!("{key}.lt"))
    }

    fn place(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name.get(..2).unwrap_or("00")).join(name)
    }

    fn read<T: DeserializeOwned>(&self, file: &Path) -> Result<Option<T>, AdapterError> {
        let Some(bytes) = disk::read_if_there(file, ENTRY_BYTES_MAX)? else { return Ok(None) };
        // The fault of one entry: whatever needs it waits, everything else goes on.
        serde_json::from_slice(&bytes).map(Some).map_err(|fault| disk::at(file)(std::io::Error::other(fault)))
    }

    fn write(&self, file: &Path, entry: &impl Serialize) -> Result<(), AdapterError> {
        let bytes = serde_json::to_vec(entry).map_err(|fault| AdapterError::Other(fault.to_string()))?;
        disk::make_folder(file.parent().unwrap_or(file))?;
        disk::write_whole(&self.working(), file, &bytes)
    }
}

/// A version 8 UUID of a digest.
pub(crate) fn id_of(digest: &Digest) -> EnvelopeId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    bytes[6] = bytes[6] & 0x0F | 0x80;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    EnvelopeId(bytes)
}

/// The id by which a document is referred to where nobody remembers its envelope. A DocumentId that is an envelope's id says so itself.
pub(crate) fn derived_id(sender: &str, document_id: &str) -> EnvelopeId {
    EnvelopeId::parse(document_id).unwrap_or_else(|_| {
        id_of(&Digest::of_pieces(&[b"lienthong.edxml.document.v1\0", sender.as_bytes(), b"\0", document_id.as_bytes()]))
    })
}

fn document_key(sender: &str, document_id: &str, role: Role) -> String {
    let role: &[u8] = match role {
        Role::Document => b"document\0",
        Role::Change => b"change\0",
    };
    Digest::of_pieces(&[role, sender.as_bytes(), b"\0", document_id.as_bytes()]).to_string()
}

fn envelope_key(sender: &str, id: &str) -> String {
    Digest::of_pieces(&[b"envelope\0", sender.as_bytes(), b"\0", id.as_bytes()]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_survives_a_restart_and_is_found_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        let id = derived_id("H99.30.01", "x,2026/02/30,15/TTr").to_string();
        let envelope = KnownEnvelope { sender: "H99.30.01".into(), id: id.clone(), digest: "00".into() };
        let document = KnownDocument {
            organ_id: "H99.30.01".into(),
            document_id: "x,2026/02/30,15/TTr".into(),
            code: "15/TTr".into(),
            promulgated_on: String::new(),
        };
        ledger.remember(&["H99.30.01", "h99.30.01"], Role::Document, &envelope, &document).unwrap();
        let again = Ledger::open(folder.path()).unwrap();
        for sender in ["H99.30.01", "h99.30.01"] {
            assert_eq!(again.envelope(sender, &document.document_id, Role::Document).unwrap(), Some(envelope.clone()));
            assert_eq!(again.document(sender, &id).unwrap(), Some(document.clone()));
        }
        assert_eq!(again.envelope("H99.30.01", &document.document_id, Role::Change).unwrap(), None);
        assert_eq!(again.envelope("H99.30.02", &document.document_id, Role::Document).unwrap(), None);
    }

    #[test]
    fn an_id_is_derived_alike_everywhere_and_a_uuid_is_its_own() {
        assert_eq!(derived_id("a", "b"), derived_id("a", "b"));
        assert_ne!(derived_id("a", "b"), derived_id("a", "c"));
        assert!(EnvelopeId::parse(&derived_id("a", "b").to_string()).is_ok());
        let uuid = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b";
        assert_eq!(derived_id("a", uuid).to_string(), uuid);
    }
}
