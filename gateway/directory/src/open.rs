//! The only way into a directory: bounded bytes, the authority's signature, the shape of every field, and whether it holds together.

use bytes::Bytes;
use gateway_model::directory::{Directory, DirectoryFault};
use gateway_model::hash::Digest;
use gateway_model::note::{self, VerifierKey};
use gateway_model::reason::{Reason, Refusal};
use gateway_model::time::Timestamp;
use prost::Message as _;
use proto::v1;

use crate::issue::note_text;
use crate::{DIRECTORY_BYTES_MAX, wire};

/// Faults named in a refusal; it counts the rest.
const FAULTS_NAMED: usize = 3;

/// What to do with a directory whose time is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// Refuse it.
    Refuse,
    /// Open it and say so: a gateway that has nothing newer keeps it, to answer `DIRECTORY_EXPIRED` instead of nothing.
    Allow,
}

/// A directory that the authority signed.
#[derive(Debug)]
pub struct Opened {
    /// Indexed and consistent.
    pub directory: Directory,
    /// SHA-256 of the signed bytes; with the version it names the snapshot.
    pub digest: Digest,
    /// Whether its time was over when it was opened.
    pub expired: bool,
    /// Who signed it, the authority and perhaps others.
    note: String,
}

/// What a newly opened directory is to the one in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replacement {
    /// Newer: takes its place.
    Newer,
    /// The very same: nothing to do.
    Same,
}

/// Opens a serialized `SignedDirectory` that is to be in force at `now`.
///
/// # Errors
/// `DIRECTORY_SIGNATURE_INVALID`, `DIRECTORY_MALFORMED`, `DIRECTORY_INCONSISTENT` or `DIRECTORY_EXPIRED`.
pub fn open(bytes: &[u8], authority: &[VerifierKey], now: Timestamp) -> Result<Opened, Refusal> {
    open_with(bytes, authority, now, Expiry::Refuse)
}

/// Opens a serialized `SignedDirectory`, saying what to do when its time is over.
///
/// # Errors
/// As [`open`]; `DIRECTORY_EXPIRED` only under [`Expiry::Refuse`].
pub fn open_with(bytes: &[u8], authority: &[VerifierKey], now: Timestamp, expiry: Expiry) -> Result<Opened, Refusal> {
    if bytes.len() > DIRECTORY_BYTES_MAX {
        let seen = format!("{} bytes, more than {DIRECTORY_BYTES_MAX}", bytes.len());
        return Err(Refusal::new(Reason::DirectoryMalformed).saw(seen));
    }
    let signed = v1::SignedDirectory::decode(bytes).map_err(|_| malformed("is not a SignedDirectory"))?;
    let digest = Digest::of(&signed.directory);
    let text = note::open(&signed.note, authority)
        .map_err(|error| Refusal::new(Reason::DirectorySignatureInvalid).at("note").saw(error.to_string()))?;
    // Nothing of an unsigned directory is read: the note must name these very bytes first.
    let version = named_version(text, &digest)?;
    let content = decode(&signed.directory)?;
    if content.version != version {
        return Err(Refusal::new(Reason::DirectorySignatureInvalid).at("note").saw("the note names another version"));
    }
    let expired = now >= content.expires_at;
    if expired && expiry == Expiry::Refuse {
        return Err(Refusal::new(Reason::DirectoryExpired).at("expires_at").saw(content.expires_at.to_string()));
    }
    let directory = Directory::new(content).map_err(|faults| inconsistent(&faults))?;
    Ok(Opened { directory, digest, expired, note: signed.note })
}

impl Opened {
    /// Checks that a second person has signed it besides the authority, where anybody is named who has to.
    ///
    /// # Errors
    /// `DIRECTORY_SIGNATURE_INVALID` when none of `cosigners` has signed.
    pub fn check_cosigned(&self, cosigners: &[VerifierKey]) -> Result<(), Refusal> {
        if cosigners.is_empty() {
            return Ok(());
        }
        note::open(&self.note, cosigners).map(drop).map_err(|error| {
            let seen = format!("a second person has to sign it (lienthong directory cosign): {error}");
            Refusal::new(Reason::DirectorySignatureInvalid).at("note").saw(seen)
        })
    }

    /// Whether this may take the place of `current`.
    ///
    /// # Errors
    /// `DIRECTORY_OLDER` when its version is lower, or the same with other content: an authority never issues one version twice.
    pub fn replaces(&self, current: &Self) -> Result<Replacement, Refusal> {
        let (ours, theirs) = (self.directory.version(), current.directory.version());
        if ours == theirs && self.digest == current.digest {
            return Ok(Replacement::Same);
        }
        if ours > theirs {
            return Ok(Replacement::Newer);
        }
        let seen = if ours == theirs {
            format!("version {ours} is in force with other content")
        } else {
            format!("version {ours}, while {theirs} is in force")
        };
        Err(Refusal::new(Reason::DirectoryOlder).at("version").saw(seen))
    }
}

fn named_version(text: &str, digest: &Digest) -> Result<u64, Refusal> {
    let version = text.lines().nth(1).and_then(|line| line.parse().ok());
    version
        .filter(|&version| text == note_text(version, digest))
        .ok_or_else(|| Refusal::new(Reason::DirectorySignatureInvalid).at("note").saw("the note is over other bytes"))
}

fn decode(bytes: &Bytes) -> Result<gateway_model::directory::DirectoryContent, Refusal> {
    let directory = v1::Directory::decode(bytes.clone()).map_err(|_| malformed("is not a Directory"))?;
    wire::from_wire(directory)
        .map_err(|misfit| Refusal::new(Reason::DirectoryMalformed).at(misfit.field).saw(misfit.detail))
}

fn inconsistent(faults: &[DirectoryFault]) -> Refusal {
    let mut named: Vec<String> = faults.iter().take(FAULTS_NAMED).map(ToString::to_string).collect();
    if faults.len() > FAULTS_NAMED {
        named.push(format!("{} more", faults.len() - FAULTS_NAMED));
    }
    Refusal::new(Reason::DirectoryInconsistent).saw(named.join("; "))
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::DirectoryMalformed).at("directory").saw(what)
}
