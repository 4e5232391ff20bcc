//! Where packages go that will not do: the bytes as they came, and beside them the reason in Vietnamese and English. What has a reason, and an
//! old one, is removed once a day; a package without a reason stays, because nobody has been told of it.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapters_sdk::AdapterError;
use gateway_model::language::Language;
use gateway_model::{Digest, Refusal};

use crate::format::Fault;
use adapters_sdk::{disk, forget};

/// Bytes of a package's name that are kept: what is put behind it still fits into a file name.
const NAME_BYTES_MAX: usize = 150;
/// How much is kept of what its sender still has.
const ROOM: Room = Room { files_max: 2_000, bytes_max: 1024 * 1024 * 1024 };
/// Ending of a reason.
const REASON: &str = ".reason.txt";

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Quarantine {
    folder: PathBuf,
    working: PathBuf,
    /// What is old is not removed while the same is put there anew.
    turn: Arc<Mutex<()>>,
}

/// What the folder holds at most.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Packages and reasons together.
    files_max: usize,
    bytes_max: u64,
}

impl Quarantine {
    /// Makes the folder.
    pub(crate) fn open(path: &Path, working: PathBuf) -> Result<Self, AdapterError> {
        let folder = path.join("quarantine");
        disk::make_folder(&folder)?;
        Ok(Self { folder, working, turn: Arc::default() })
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what was put there longer ago than `older_than`, now and then once a day, for as long as this is polled.
    pub(crate) async fn forget(&self, older_than: Duration) -> Infallible {
        let quarantine = self.clone();
        forget::every_day(move || quarantine.sweep(older_than)).await
    }

    /// The age is that of the reason: the package may have any time that its sender gave it. The reason goes last.
    fn sweep(&self, older_than: Duration) -> Result<(), AdapterError> {
        for entry in fs::read_dir(&self.folder).map_err(disk::at(&self.folder))? {
            let reason = entry.map_err(disk::at(&self.folder))?.path();
            let Some(name) = reason.file_name().and_then(|name| name.to_str()?.strip_suffix(REASON)) else { continue };
            let _turn = self.turn();
            if forget::is_older(&reason, older_than) {
                forget::remove(&self.package(name))?;
                forget::remove(&reason)?;
            }
        }
        Ok(())
    }

    /// Keeps a package that its sender still has, for an operator to look at, as long as there is room. Whether it is kept.
    pub(crate) fn keep_if_room(&self, name: &str, package: &[u8], reason: &str) -> Result<bool, AdapterError> {
        self.keep_within(ROOM, name, package, reason)
    }

    fn keep_within(&self, room: Room, name: &str, package: &[u8], reason: &str) -> Result<bool, AdapterError> {
        let digest = Digest::of(package);
        let is_there = self.package(&name_of(name, &digest.to_string())).exists();
        if !is_there && !self.has_room(room, package.len() as u64)? {
            tracing::error!(reason = code_of(reason), sha256 = %digest, "the quarantine is full: look at it");
            return Ok(false);
        }
        self.keep(name, package, reason).map(|()| true)
    }

    fn has_room(&self, room: Room, bytes: u64) -> Result<bool, AdapterError> {
        let (mut files, mut taken) = (0, bytes);
        for entry in fs::read_dir(&self.folder).map_err(disk::at(&self.folder))? {
            let entry = entry.map_err(disk::at(&self.folder))?;
            files += 1;
            taken = entry.metadata().map_or(taken, |metadata| taken.saturating_add(metadata.len()));
        }
        Ok(files < room.files_max && taken <= room.bytes_max)
    }

    /// Keeps a package with its reason; durable when it returns. The same package twice is kept once.
    pub(crate) fn keep(&self, name: &str, package: &[u8], reason: &str) -> Result<(), AdapterError> {
        let digest = Digest::of(package);
        let name = name_of(name, &digest.to_string());
        let _turn = self.turn();
        self.write_reason(&name, reason)?;
        disk::write_whole(&self.working, &self.package(&name), package)?;
        tracing::warn!(reason = code_of(reason), sha256 = %digest, "a package will not do and is in quarantine");
        Ok(())
    }

    /// Moves a file that is too large to be read, with its reason. It gets a name that nothing has.
    pub(crate) fn take_over(&self, file: &Path, name: &str, reason: &str) -> Result<(), AdapterError> {
        let name = name_of(name, &uuid::Uuid::new_v4().simple().to_string());
        let _turn = self.turn();
        self.write_reason(&name, reason)?;
        disk::rename(file, &self.package(&name))?;
        tracing::warn!(reason = code_of(reason), "a package will not do and is in quarantine");
        Ok(())
    }

    /// Keeps the reason for which something is not there at all.
    pub(crate) fn explain(&self, name: &str, reason: &str) -> Result<(), AdapterError> {
        let _turn = self.turn();
        self.write_reason(name, reason)
    }

    fn write_reason(&self, name: &str, reason: &str) -> Result<(), AdapterError> {
        disk::write_whole(&self.working, &self.folder.join(format!("{name}{REASON}")), reason.as_bytes())
    }

    fn package(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.edxml"))
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name for files, of what something is called and what tells it apart.
pub(crate) fn name_of(name: &str, distinction: &str) -> String {
    let fits = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ') { c } else { '_' };
    let stem = name.strip_suffix(".edxml").unwrap_or(name);
    let stem: String = stem.trim_start_matches('.').chars().map(fits).collect();
    format!("{}-{}", cut(&stem), &distinction[..8])
}

/// As much of a name as is kept.
pub(crate) fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_BYTES_MAX)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}

/// The first line of a reason is its code.
fn code_of(reason: &str) -> &str {
    reason.lines().next().unwrap_or_default()
}

/// What is written beside a package that is defect.
pub(crate) fn of_fault(fault: &Fault) -> String {
    fault.report()
}

/// What is written about a package that another hub has, and that cannot be had of it.
pub(crate) fn of_silence(fault: &dyn std::fmt::Display) -> String {
    format!(
        "HUB_PACKAGE_UNREADABLE\n{fault}\n\nTiếng Việt: Trục văn bản liệt kê gói tin này nhưng không giao được, hoặc giao không đúng. Gói tin sẽ \
         được lấy lại sau; hãy báo đơn vị quản lý trục văn bản.\n\nEnglish: The hub lists this package, and does not give it, or not as it is \
         listed. It is fetched again later; tell whoever runs the hub.\n"
    )
}

/// What is written beside a package that the gateway refused.
pub(crate) fn of_refusal(refusal: &Refusal) -> String {
    format!(
        "{}\n\nTiếng Việt: {}\n\nEnglish: {}\n",
        refusal.reason,
        refusal.in_words(Language::Vi),
        refusal.in_words(Language::En)
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn open(folder: &tempfile::TempDir) -> Quarantine {
        let working = folder.path().join("working");
        disk::make_folder(&working).unwrap();
        Quarantine::open(folder.path(), working).unwrap()
    }

    fn names(quarantine: &Quarantine) -> Vec<String> {
        let entries = fs::read_dir(quarantine.folder()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn age(quarantine: &Quarantine, is_meant: impl Fn(&str) -> bool, days: u32) {
        for name in names(quarantine).into_iter().filter(|name| is_meant(name)) {
            let file = fs::File::options().append(true).open(quarantine.folder().join(name)).unwrap();
            file.set_modified(SystemTime::now() - DAY * days).unwrap();
        }
    }

    #[test]
    fn what_was_set_aside_long_ago_goes_with_its_reason_and_nothing_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = open(&folder);
        for (name, days) in [("cũ", 181), ("mới", 179)] {
            quarantine.keep(name, name.as_bytes(), "EDXML_DATE_IMPOSSIBLE").unwrap();
            age(&quarantine, |file| file.starts_with(name), days);
        }
        // Kept today, though its sender wrote it long ago.
        quarantine.keep("hôm nay", b"x", "EDXML_DATE_IMPOSSIBLE").unwrap();
        age(&quarantine, |file| file.starts_with("hôm nay") && file.ends_with(".edxml"), 999);
        fs::write(quarantine.folder().join("chưa rõ.edxml"), "nobody was told").unwrap();
        age(&quarantine, |file| file == "chưa rõ.edxml", 999);
        quarantine.sweep(DAY * 180).unwrap();
        let left = names(&quarantine);
        assert!(left.iter().all(|name| !name.starts_with("cũ")), "{left:?}");
        assert_eq!(left.len(), 5, "{left:?}");
    }

    #[test]
    fn of_what_its_sender_still_has_no_more_is_kept_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = open(&folder);
        let room = Room { files_max: 4, bytes_max: 1_000 };
        let keep = |package: &[u8]| quarantine.keep_within(room, "H99", package, "EDXML_DATE_IMPOSSIBLE").unwrap();
        assert!(!keep(&[b'x'; 1_001]), "larger than all of the room");
        assert!(keep(b"one") && keep(b"two"));
        assert!(!keep(b"three"), "the folder is full");
        assert!(keep(b"one"), "what is there takes no more room");
        assert_eq!(names(&quarantine).len(), 4);
    }
}
