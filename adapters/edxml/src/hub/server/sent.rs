//! The last packages that the system sent, for its own lists: a line of JSON each, appended.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use adapters_sdk::AdapterError;

use super::super::SentItem;
use adapters_sdk::disk;

/// Items of a list.
const ITEMS_MAX: usize = 1_000;
/// Bytes of the file that are read at the start.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The list.
pub(super) struct SentList {
    file: PathBuf,
    items: Mutex<VecDeque<SentItem>>,
}

impl SentList {
    /// Reads the last items and drops older ones from the file.
    pub(super) fn open(state: &Path) -> Result<Self, AdapterError> {
        let file = state.join(".lienthong/sent.jsonl");
        let text = disk::read_if_there(&file, FILE_BYTES_MAX)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // A line that a crash cut short is no item.
        let mut items: VecDeque<SentItem> =
            text.lines().rev().filter_map(|line| serde_json::from_str(line).ok()).take(ITEMS_MAX).collect();
        items.make_contiguous().reverse();
        let mut kept = String::new();
        for item in &items {
            kept.push_str(&line(item)?);
        }
        disk::write_whole(&state.join(".lienthong/working"), &file, kept.as_bytes())?;
        Ok(Self { file, items: Mutex::new(items) })
    }

    /// Adds an item, on the disk first.
    pub(super) fn push(&self, item: SentItem) -> Result<(), AdapterError> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let text = line(&item)?;
        let mut file = OpenOptions::new().append(true).create(true).open(&self.file).map_err(disk::at(&self.file))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(disk::at(&self.file))?;
        items.push_back(item);
        if items.len() > ITEMS_MAX {
            items.pop_front();
        }
        Ok(())
    }

    /// What agencies for which `is_own` sent, the last first.
    pub(super) fn of(&self, is_own: impl Fn(&str) -> bool) -> Vec<SentItem> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.iter().rev().filter(|item| is_own(&item.from_code)).cloned().collect()
    }
}

fn line(item: &SentItem) -> Result<String, AdapterError> {
    serde_json::to_string(item).map(|text| text + "\n").map_err(|fault| AdapterError::Other(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_survives_a_restart_and_a_line_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".lienthong/working")).unwrap();
        let list = SentList::open(folder.path()).unwrap();
        for number in 0..3 {
            list.push(SentItem { sender_doc_id: number.to_string(), from_code: "H99".into(), ..SentItem::default() })
                .unwrap();
        }
        let file = folder.path().join(".lienthong/sent.jsonl");
        let mut text = std::fs::read(&file).unwrap();
        text.extend_from_slice(b"{\"senderDocId\":\"cut");
        std::fs::write(&file, text).unwrap();
        let again = SentList::open(folder.path()).unwrap();
        let ids: Vec<String> = again.of(|code| code == "H99").into_iter().map(|item| item.sender_doc_id).collect();
        assert_eq!(ids, ["2", "1", "0"]);
        assert!(again.of(|code| code == "H98").is_empty());
    }
}
