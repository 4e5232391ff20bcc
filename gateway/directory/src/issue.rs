//! Makes a snapshot of a source and signs it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gateway_model::directory::DirectoryContent;
use gateway_model::hash::Digest;
use gateway_model::note::NoteSigner;
use gateway_model::reason::{Reason, Refusal};
use gateway_model::time::Timestamp;
use prost::Message as _;
use proto::v1;

use crate::fault::{Fault, FaultKind};
use crate::source::Source;
use crate::wire::{Stamp, to_wire};
use crate::{DIRECTORY_BYTES_MAX, DIRECTORY_SCHEMA, open};

/// Longest life of a snapshot: who forgets to issue a new one notices within the year.
const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Makes the serialized `SignedDirectory` of `source`. `version` overrides the one that the source names; one of the two must stand.
/// What comes out has been opened once, so that nobody publishes what no gateway would take.
///
/// # Errors
/// Every fault: no version, a life that is too long or none, too many bytes, or whatever a gateway would refuse.
pub fn issue(
    source: &Source,
    version: Option<u64>,
    issued_at: Timestamp,
    signer: &NoteSigner,
) -> Result<Vec<u8>, Vec<Fault>> {
    let fault = |key: &str, kind| Fault { key: key.to_owned(), ..Fault::whole(source.file(), kind) };
    let mut faults = Vec::new();
    let version = version.or(source.version()).filter(|&version| version > 0);
    if version.is_none() {
        faults.push(fault("version", FaultKind::Missing));
    }
    if source.valid_for().is_zero() || source.valid_for() > LIFE_MAX {
        let value = format!("{}s", source.valid_for().as_secs());
        faults.push(fault(
            "valid_for",
            FaultKind::Value { value, wanted: "a life of more than nothing and at most 366d" },
        ));
    }
    let (Some(version), true) = (version, faults.is_empty()) else { return Err(faults) };
    let stamp = Stamp { version, issued_at, expires_at: issued_at.plus(source.valid_for()) };
    let bytes = seal(source.content(), stamp, signer);
    if bytes.len() > DIRECTORY_BYTES_MAX {
        let kind = FaultKind::TooLarge { bytes: bytes.len(), max: DIRECTORY_BYTES_MAX };
        return Err(vec![fault("", kind)]);
    }
    match open::open(&bytes, std::slice::from_ref(signer.verifier()), issued_at) {
        Ok(_) => Ok(bytes),
        Err(refusal) => Err(vec![fault("", FaultKind::Refused(refusal))]),
    }
}

/// Signs content that was not read from a source, with its own version and times, as it is: only opening it checks it.
pub fn sign(content: &DirectoryContent, signer: &NoteSigner) -> Vec<u8> {
    let stamp = Stamp { version: content.version, issued_at: content.issued_at, expires_at: content.expires_at };
    seal(content, stamp, signer)
}

/// Adds a second person's signature to a signed directory: nothing of what the authority signed changes.
///
/// # Errors
/// `DIRECTORY_MALFORMED` when it is no signed directory; `DIRECTORY_SIGNATURE_INVALID` when this key has signed it already, or it has all the
/// signatures that it may have.
pub fn cosign(bytes: &[u8], signer: &NoteSigner) -> Result<Vec<u8>, Refusal> {
    let mut signed = v1::SignedDirectory::decode(bytes)
        .map_err(|_| Refusal::new(Reason::DirectoryMalformed).at("directory").saw("is not a SignedDirectory"))?;
    signed.note = signer.cosign(&signed.note).map_err(|_| {
        let seen = format!("{} has signed it already, or it has too many signatures", signer.verifier().name());
        Refusal::new(Reason::DirectorySignatureInvalid).at("note").saw(seen)
    })?;
    Ok(signed.encode_to_vec())
}

/// The text that the note over a directory signs.
pub(crate) fn note_text(version: u64, digest: &Digest) -> String {
    format!("{DIRECTORY_SCHEMA}\n{version}\n{}\n", BASE64.encode(digest.as_bytes()))
}

fn seal(content: &DirectoryContent, stamp: Stamp, signer: &NoteSigner) -> Vec<u8> {
    let directory = to_wire(content, stamp).encode_to_vec();
    let note = signer.sign(&note_text(stamp.version, &Digest::of(&directory)));
    v1::SignedDirectory { directory: directory.into(), note }.encode_to_vec()
}
