//! Makes a drop ready to submit: reads a ready-made envelope, or seals plain files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use adapters_sdk::AdapterError;
use adapters_sdk::seal::written::{Given, wrong};
use adapters_sdk::seal::{Sealer, describe};
use bytes::Bytes;
use gateway_model::envelope::{Part, SignatureRole};
use gateway_model::hash::Hasher;
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use prost::Message;
use proto::v1;

use super::description::{self, Written, WrittenFile};
use super::item::{Item, ItemKind};
use crate::config::Outgoing;
use crate::deliver::SIGNED_BYTES_MAX;
use adapters_sdk::disk;

/// Bytes of a description.
const DESCRIPTION_BYTES_MAX: u64 = 64 * 1024;
/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Ready to submit.
#[derive(Debug)]
pub(super) struct Parcel {
    /// Serialized `SignedEnvelope`.
    pub signed: Bytes,
    /// Files to upload first.
    pub parts: Vec<PartFile>,
    /// Stable as long as the drop does not change.
    pub key: Digest,
    /// Where the sealed bytes are kept until the drop is settled.
    pub sealed: Option<PathBuf>,
}

/// A file that is a part.
#[derive(Debug)]
pub(super) struct PartFile {
    /// Where.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// What making ready needs.
pub(super) struct Preparation {
    /// Sealed envelopes are kept here.
    pub sealed: PathBuf,
    /// Drafts are written here.
    pub working: PathBuf,
    /// The agency's certificate and key.
    pub sealer: Option<Sealer>,
    /// Configuration.
    pub outgoing: Outgoing,
}

impl Preparation {
    /// Makes `item` ready. The outer error is about the disk, the inner one a fault of the drop itself.
    pub(super) fn prepare(&self, item: &Item, now: Timestamp) -> Result<Result<Parcel, Refusal>, AdapterError> {
        match item.kind {
            ItemKind::Ready => ready_made(item),
            ItemKind::Described => self.seal(item, now),
        }
    }

    fn seal(&self, item: &Item, now: Timestamp) -> Result<Result<Parcel, Refusal>, AdapterError> {
        let Some(sealer) = &self.sealer else {
            return Ok(Err(wrong(&item.name, "plain files need a `seal` in the adapter's configuration")));
        };
        let Some(text) = disk::read(&item.describing, DESCRIPTION_BYTES_MAX)? else {
            return Ok(Err(wrong(&item.name, "the description is larger than 64 KiB")));
        };
        let (written, chosen) = match described_files(item, &text) {
            Ok(described) => described,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut parts = Vec::new();
        for (path, _) in &chosen {
            match part_file(path)? {
                Ok(part) => parts.push(part),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let key = key(item, &text, &parts);
        let file = self.sealed.join(format!("{key}.lt"));
        if let Some(signed) = disk::read_if_there(&file, SIGNED_BYTES_MAX)? {
            return Ok(Ok(Parcel { signed: signed.into(), parts, key, sealed: Some(file) }));
        }
        let given = Given {
            id: envelope_id(item, &key),
            from: self.outgoing.from.as_ref(),
            created_at: now,
            expires_in: self.outgoing.expires_in,
            parts: chosen.iter().zip(&parts).map(|((_, file), part)| described_part(file, part)).collect(),
        };
        let signed = match written.complete(given).and_then(|description| sealed(sealer, &description, now)) {
            Ok(signed) => signed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // On the disk before it is submitted, so that the repeat after a crash has the same bytes.
        disk::write_whole(&self.working, &file, &signed)?;
        Ok(Ok(Parcel { signed, parts, key, sealed: Some(file) }))
    }
}

fn sealed(sealer: &Sealer, description: &describe::Description, now: Timestamp) -> Result<Bytes, Refusal> {
    sealer
        .seal_at(&description.envelope(), SignatureRole::SealedByAdapter, now)
        .map_err(|fault| Refusal::new(Reason::EnvelopeTooLarge).saw(fault.to_string()))
}

fn ready_made(item: &Item) -> Result<Result<Parcel, Refusal>, AdapterError> {
    let Some(signed) = disk::read(&item.describing, SIGNED_BYTES_MAX)? else {
        return Ok(Err(Refusal::new(Reason::EnvelopeTooLarge).at(&item.name)));
    };
    let mut wanted: BTreeMap<Digest, u64> = named_parts(&signed);
    let mut parts = Vec::new();
    for path in &item.files {
        let size = path.metadata().map_err(disk::at(path))?.len();
        if !wanted.values().any(|&named| named == size) {
            continue;
        }
        if let Ok(part) = part_file(path)?
            && wanted.remove(&part.digest).is_some()
        {
            parts.push(part);
        }
    }
    Ok(Ok(Parcel { key: Digest::of(&signed), signed: signed.into(), parts, sealed: None }))
}

/// Digests and sizes that the envelope names; none when it cannot be read, which the gateway then says better.
fn named_parts(signed: &[u8]) -> BTreeMap<Digest, u64> {
    let envelope = v1::SignedEnvelope::decode(signed).and_then(|signed| v1::Envelope::decode(signed.envelope));
    let parts = envelope.map(|envelope| envelope.parts).unwrap_or_default();
    parts.iter().filter_map(|part| Some((Digest::from_slice(&part.sha256)?, part.size))).collect()
}

/// The files that a description means.
fn described_files(item: &Item, text: &[u8]) -> Result<(Written, Vec<(PathBuf, WrittenFile)>), Refusal> {
    let mut written = description::read(&item.describing, text)?;
    let chosen = match written.files.take() {
        None => item.files.iter().map(|path| (path.clone(), WrittenFile::Name(name_of(path)))).collect(),
        Some(files) => {
            files.into_iter().map(|file| Ok((named(item, file.name())?, file))).collect::<Result<Vec<_>, Refusal>>()?
        }
    };
    if chosen.len() > limits::PARTS_MAX {
        return Err(Refusal::new(Reason::PartsTooMany).saw(format!("{} files", chosen.len())));
    }
    Ok((written, chosen))
}

/// The file of the drop with this name; a description cannot name others.
fn named(item: &Item, name: &str) -> Result<PathBuf, Refusal> {
    let found = item.files.iter().find(|path| name_of(path) == name);
    found.cloned().ok_or_else(|| {
        Refusal::new(Reason::PartMissing).at("files").saw(format!("{name} does not belong to {}", item.name))
    })
}

fn part_file(path: &Path) -> Result<Result<PartFile, Refusal>, AdapterError> {
    let mut file = File::open(path).map_err(disk::at(path))?;
    let (mut hasher, mut size) = (Hasher::new(), 0u64);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = file.read(&mut buffer).map_err(disk::at(path))?;
        if count == 0 {
            return Ok(Ok(PartFile { path: path.to_owned(), digest: hasher.finish(), size }));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
        if size > limits::PART_BYTES_MAX {
            return Ok(Err(Refusal::new(Reason::PartTooLarge).at(name_of(path))));
        }
    }
}

fn described_part(file: &WrittenFile, part: &PartFile) -> Part {
    Part {
        name: describe::display_name(file.name()),
        media_type: file.media_type().unwrap_or_else(|| describe::media_type(file.name())).to_owned(),
        size: part.size,
        digest: part.digest,
        role: file.role().to_owned(),
    }
}

/// What the drop is: changes when anything of it changes, or when the same is dropped again later.
fn key(item: &Item, text: &[u8], parts: &[PartFile]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(b"lienthong.drop.v1\0");
    hasher.update(item.name.as_bytes());
    hasher.update(&[0]);
    hasher.update(&dropped_at(item).as_nanos().to_be_bytes());
    hasher.update(&Digest::of(text).0);
    parts.iter().for_each(|part| hasher.update(&part.digest.0));
    hasher.finish()
}

/// A version 7 UUID from the time of the drop and its key: the same drop has the same id, after a crash too.
fn envelope_id(item: &Item, key: &Digest) -> EnvelopeId {
    let milliseconds = u64::try_from(dropped_at(item).as_millis()).unwrap_or(u64::MAX);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&key.0[..10]);
    bytes[6] = bytes[6] & 0x0F | 0x70;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    EnvelopeId(bytes)
}

fn dropped_at(item: &Item) -> std::time::Duration {
    let describing = item.fingerprint.iter().find(|(path, ..)| *path == item.describing);
    let modified = describing.and_then(|(_, _, modified)| *modified);
    modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
