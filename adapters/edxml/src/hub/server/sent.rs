//! The last packages that the system sent, for its own lists: a line of JSON each, appended. The file is written anew when as much of it is too
//! old as is not.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    working: PathBuf,
    items_max: usize,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    items: VecDeque<SentItem>,
    /// Lines of the file.
    lines: usize,
}

impl SentList {
    /// Reads the last items and drops older ones from the file.
    pub(super) fn open(state: &Path) -> Result<Self, AdapterError> {
        Self::open_bounded(state, ITEMS_MAX)
    }

    fn open_bounded(state: &Path, items_max: usize) -> Result<Self, AdapterError> {
        let file = state.join(".lienthong/sent.jsonl");
        let text = disk::read_if_there(&file, FILE_BYTES_MAX)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // A line that a crash cut short is no item.
        let mut items: VecDeque<SentItem> =
            text.lines().rev().filter_map(|line| serde_json::from_str(line).ok()).take(items_max).collect();
        items.make_contiguous().reverse();
        let list = Mutex::new(List { lines: 0, items });
        let opened = Self { file, working: state.join(".lienthong/working"), items_max, list };
        opened.rewrite(&mut opened.list())?;
        Ok(opened)
    }

    /// Adds an item, on the disk first.
    pub(super) fn push(&self, item: SentItem) -> Result<(), AdapterError> {
        let mut list = self.list();
        let text = line(&item)?;
        let mut file = OpenOptions::new().append(true).create(true).open(&self.file).map_err(disk::at(&self.file))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(disk::at(&self.file))?;
        list.lines += 1;
        list.items.push_back(item);
        if list.items.len() > self.items_max {
            list.items.pop_front();
        }
        if list.lines > 2 * self.items_max { self.rewrite(&mut list) } else { Ok(()) }
    }

    /// What agencies for which `is_own` sent, the last first.
    pub(super) fn of(&self, is_own: impl Fn(&str) -> bool) -> Vec<SentItem> {
        self.list().items.iter().rev().filter(|item| is_own(&item.from_code)).cloned().collect()
    }

    fn rewrite(&self, list: &mut List) -> Result<(), AdapterError> {
        let mut kept = String::new();
        for item in &list.items {
            kept.push_str(&line(item)?);
        }
        disk::write_whole(&self.working, &self.file, kept.as_bytes())?;
        list.lines = list.items.len();
        Ok(())
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn the_file_does_not_grow_with_what_no_list_shows() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".lienthong/working")).unwrap();
        let list = SentList::open_bounded(folder.path(), 4).unwrap();
        let item = |number: u32| SentItem {
            sender_doc_id: number.to_string(),
            from_code: "H99".into(),
            ..SentItem::default()
        };
        let lines = || std::fs::read_to_string(folder.path().join(".lienthong/sent.jsonl")).unwrap().lines().count();
        for number in 0..30 {
            list.push(item(number)).unwrap();
            assert!(lines() <= 8, "{}", lines());
        }
        let again = SentList::open_bounded(folder.path(), 4).unwrap();
        let ids: Vec<String> = again.of(|_| true).into_iter().map(|item| item.sender_doc_id).collect();
        assert_eq!(ids, ["29", "28", "27", "26"]);
    }
}
