//! What lies in a folder of parts, and when it was last touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use gateway_model::{Digest, Timestamp};
use gateway_store::parts::PartError;

use super::failed;

/// One file of a part.
pub(super) struct Entry {
    pub(super) digest: Digest,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) touched: Timestamp,
}

pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, PartError> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(folder, source)),
    };
    let mut entries = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|source| failed(folder, source))?;
        let name = entry.file_name();
        let digest = name.to_str().and_then(|name| name.split('.').next()).and_then(Digest::from_hex);
        let Some(digest) = digest else { continue };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(failed(&entry.path(), source)),
        };
        let touched = metadata.modified().map_err(|source| failed(&entry.path(), source))?;
        entries.push(Entry { digest, path: entry.path(), bytes: metadata.len(), touched: timestamp(touched) });
    }
    Ok(entries)
}

/// When each part in a folder was last touched, in the order of the digests.
pub(super) fn last_touched(folder: &Path) -> Result<BTreeMap<Digest, Timestamp>, PartError> {
    let mut touched = BTreeMap::new();
    for entry in entries(folder)? {
        let last = touched.entry(entry.digest).or_insert(entry.touched);
        *last = (*last).max(entry.touched);
    }
    Ok(touched)
}

pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => Timestamp::from_micros(micros(after)),
        Err(error) => Timestamp::from_micros(-micros(error.duration())),
    }
}
