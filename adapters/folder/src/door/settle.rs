//! Moves a drop out of the watched folder when its fate is known.
//!
//! The receipt or the reason is written first, then the move itself is written down, then done, then forgotten. Before the note the drop
//! is simply submitted again, with the same bytes; after it the move is finished at the next look.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use adapters_sdk::AdapterError;
use bytes::Bytes;
use gateway_model::language::Language;
use gateway_model::{Digest, Refusal};
use serde::{Deserialize, Serialize};

use super::item::Item;
use crate::layout::Layout;
use adapters_sdk::disk;

/// Bytes of a note.
const NOTE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What stands beside a drop that was accepted. As old as it is, so long ago that was.
pub(super) const RECEIPT: &str = "receipt.bin";

/// Bytes of a drop's name in the name of its new place.
const NAME_BYTES_MAX: usize = 200;

/// What became of a drop.
pub(super) enum Verdict {
    /// The gateway has it.
    Sent {
        /// Serialized `Receipt`.
        receipt: Bytes,
        /// What was submitted.
        signed: Bytes,
    },
    /// It will not do.
    Refused(Refusal),
}

/// A move that has begun.
#[derive(Serialize, Deserialize, Debug)]
struct Note {
    /// Where to, from the configured path.
    to: String,
    /// Names in the watched folder, with the time of change that each had: what was dropped since under the same name stays.
    entries: Vec<(String, u64)>,
}

/// Writes the answer beside the drop's new place and moves it there.
pub(super) fn settle(
    layout: &Layout,
    outgoing: &Path,
    item: &Item,
    key: Digest,
    verdict: &Verdict,
    sealed: Option<&Path>,
) -> Result<(), AdapterError> {
    let name = format!("{}-{}", short(&item.name), &key.to_string()[..8]);
    let (place, place_name, answers) = match verdict {
        Verdict::Sent { receipt, signed } => {
            (&layout.sent, "sent", vec![(RECEIPT, receipt.to_vec()), ("envelope.bin", signed.to_vec())])
        }
        Verdict::Refused(refusal) => (&layout.refused, "refused", vec![("reason.txt", reason(refusal).into_bytes())]),
    };
    let folder = place.join(&name);
    disk::make_folder(&folder)?;
    for (file, bytes) in answers {
        disk::write(&folder.join(file), &bytes)?;
    }
    disk::sync_folder(&folder)?;
    let entries = item.entries.iter().map(|entry| (entry.clone(), changed_at(&outgoing.join(entry)))).collect();
    let note = Note { to: format!("{place_name}/{name}"), entries };
    let note_file = layout.moving.join(format!("{key}.json"));
    let bytes = serde_json::to_vec(&note).map_err(|fault| AdapterError::Other(fault.to_string()))?;
    disk::write_whole(&layout.working, &note_file, &bytes)?;
    carry_out(layout, outgoing, &note)?;
    // The sealed bytes go before the note: as long as the note stands, the drop cannot be taken for a new one.
    if let Some(sealed) = sealed {
        remove(sealed)?;
    }
    remove(&note_file)
}

/// Finishes the moves that a crash interrupted.
pub(super) fn finish_moves(layout: &Layout, outgoing: &Path) -> Result<(), AdapterError> {
    for entry in fs::read_dir(&layout.moving).map_err(disk::at(&layout.moving))? {
        let path = entry.map_err(disk::at(&layout.moving))?.path();
        let note = disk::read(&path, NOTE_BYTES_MAX)?.and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
        let note = note.ok_or_else(|| AdapterError::Other(format!("{} is no note of a move", path.display())))?;
        carry_out(layout, outgoing, &note)?;
        if let Some(key) = path.file_stem().and_then(|stem| stem.to_str()) {
            remove(&layout.sealed.join(format!("{key}.lt")))?;
        }
        remove(&path)?;
    }
    Ok(())
}

fn carry_out(layout: &Layout, outgoing: &Path, note: &Note) -> Result<(), AdapterError> {
    let folder = layout.root.join(&note.to);
    for (entry, changed) in &note.entries {
        let from = outgoing.join(entry);
        if fs::symlink_metadata(&from).is_ok() && changed_at(&from) == *changed {
            disk::rename(&from, &free_name(&folder, entry))?;
        }
    }
    disk::sync_folder(outgoing)
}

/// A name that nothing stands under yet: the same drop may be refused more than once.
fn free_name(folder: &Path, entry: &str) -> PathBuf {
    let numbered = (2..=u32::MAX).map(|number| folder.join(format!("{entry} ({number})")));
    let names = std::iter::once(folder.join(entry)).chain(numbered);
    names.into_iter().find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| folder.join(entry))
}

/// The name of a drop, cut so that what is put behind it still fits into a file name.
fn short(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_BYTES_MAX)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}

fn changed_at(path: &Path) -> u64 {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn remove(path: &Path) -> Result<(), AdapterError> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(disk::at(path)(fault)),
        _ => Ok(()),
    }
}

fn reason(refusal: &Refusal) -> String {
    format!(
        "{code}\n\nTiếng Việt: {vi}\n\nEnglish: {en}\n",
        code = refusal.reason,
        vi = refusal.in_words(Language::Vi),
        en = refusal.in_words(Language::En)
    )
}
