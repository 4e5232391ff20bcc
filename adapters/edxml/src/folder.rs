//! The drop folder: packages are files.
//!
//! ```text
//! <path>/outgoing/*.edxml    what the system sends; taken when it has not changed between two looks
//! <path>/sent/               what was accepted; kept for `set_aside_for`
//! <path>/quarantine/         what will not do, with NAME.reason.txt; its sender takes it away
//! <path>/incoming/<delivery id>.edxml    what comes for the system: there whole or not at all; may be moved away
//! <path>/.lienthong/drafts/  what is about to come
//! ```
//!
//! What comes is written as a draft, noted as taken, and then renamed. A draft with a note is whole and only waits for its rename, at the next
//! attempt or the next start: a process that dies between any two of these steps makes nothing appear twice, though the system may have
//! moved it away by then.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use adapters_sdk::{AdapterError, Delivery, Door, Outcome};
use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_model::id::DeliveryId;

use crate::format::{Defect, Fault};
use crate::handover::{Handover, Stop};
use crate::intake::{Intake, NotIn};
use crate::ledger::{Ledger, Settlement};
use crate::quarantine::{self, Quarantine};
use adapters_sdk::disk;

/// Files of one look.
const FILES_MAX: usize = 10_000;
/// Packages that are written at one time, by their delivery.
const LANES: usize = 16;
/// Longest pause after the gateway said that it is busy, unless it asks for more.
const PAUSE: Duration = Duration::from_secs(5);

/// The folder at work.
pub(crate) struct DropFolder {
    path: PathBuf,
    poll_interval: Duration,
    intake: Arc<Intake>,
    handover: Arc<Handover>,
    quarantine: Quarantine,
    watch: tokio::sync::Mutex<Watch>,
    lanes: Arc<[Mutex<()>; LANES]>,
}

/// Size and time of the last change: another file under the same name has others.
type Look = (u64, Option<SystemTime>);

/// What the files looked like at the last look.
#[derive(Default)]
struct Watch {
    seen: HashMap<PathBuf, Look>,
    /// Files that wait for a person, and were told of.
    waiting: HashSet<PathBuf>,
    paused_until: Option<Timestamp>,
}

impl DropFolder {
    /// Makes the sub-folders.
    pub(crate) fn open(
        path: &Path,
        poll_interval: Duration,
        intake: Arc<Intake>,
        handover: Arc<Handover>,
        quarantine: Quarantine,
    ) -> Result<Self, AdapterError> {
        for name in ["outgoing", "sent", "incoming", ".lienthong/drafts"] {
            disk::make_folder(&path.join(name))?;
        }
        finish_drafts(path, &intake.ledger)?;
        let watch = tokio::sync::Mutex::default();
        let lanes = Arc::new(std::array::from_fn(|_| Mutex::new(())));
        Ok(Self { path: path.to_owned(), poll_interval, intake, handover, quarantine, watch, lanes })
    }

    /// Where packages are that the gateway has.
    pub(crate) fn sent(&self) -> PathBuf {
        self.path.join("sent")
    }

    /// Writes the package of a delivery.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        for &id in &delivery.ids {
            match self.write(id, delivery).await {
                Ok(()) => {}
                Err(stop) => return stop.outcome(),
            }
        }
        match delivery.ids.is_empty() {
            true => Stop::Envelope.outcome(),
            false => Outcome::Taken { receipt: None },
        }
    }

    async fn write(&self, id: DeliveryId, delivery: &Delivery) -> Result<(), Stop> {
        let (ledger, place, lanes) = (self.intake.ledger.clone(), Place::new(&self.path, id), self.lanes.clone());
        let before = disk::run({
            let (ledger, place) = (ledger.clone(), place.clone());
            move || place.is_taken(id, &ledger)
        });
        if before.await?? {
            return Ok(());
        }
        let outgoing = self.handover.package(delivery).await?;
        let written = disk::run(move || {
            // An attempt that was given up may still be at this place.
            let _turn = lanes[usize::from(id.0[0]) % LANES].lock().unwrap_or_else(PoisonError::into_inner);
            if place.is_taken(id, &ledger)? {
                return Ok(());
            }
            if !place.file.exists() {
                disk::write_whole(&ledger.working(), &place.draft, &outgoing.bytes)?;
            }
            ledger.settle(id, &Settlement::Taken)?;
            place.appear()
        });
        Ok(written.await??)
    }

    /// Looks at the folder again and again until the gateway drains.
    pub(crate) async fn serve(&self, door: &dyn Door) -> Result<(), AdapterError> {
        let mut watch = self.watch.lock().await;
        loop {
            tokio::select! {
                biased;
                () = door.closed() => return Ok(()),
                looked = self.look(&mut watch, door) => looked?,
            }
            tokio::select! {
                () = door.closed() => return Ok(()),
                () = tokio::time::sleep(self.poll_interval) => {}
            }
        }
    }

    async fn look(&self, watch: &mut Watch, door: &dyn Door) -> Result<(), AdapterError> {
        let folder = self.path.join("outgoing");
        let files = disk::run(move || scan(&folder, FILES_MAX)).await??;
        let before = std::mem::take(&mut watch.seen);
        watch.waiting.retain(|file| before.contains_key(file));
        for (file, size, modified) in files {
            let is_same = before.get(&file) == Some(&(size, modified));
            watch.seen.insert(file.clone(), (size, modified));
            if !is_same || watch.paused_until.is_some_and(|until| door.now() < until) {
                continue;
            }
            match self.take(&file, (size, modified), door).await {
                Ok(None) => {}
                Ok(Some(pause)) => watch.paused_until = Some(door.now().plus(pause)),
                // A file of its own that cannot be read or moved now does not stop the others, and is told of once.
                Err(fault @ AdapterError::File { .. }) => {
                    if watch.waiting.insert(file) {
                        tracing::warn!(%fault, "a dropped package waits");
                    }
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Brings one file in. How long to wait when the gateway is busy.
    async fn take(&self, file: &Path, look: Look, door: &dyn Door) -> Result<Option<Duration>, AdapterError> {
        let (path, bytes_max) = (file.to_owned(), self.intake.limits.package_bytes_max);
        let Some(bytes) = disk::run(move || disk::read(&path, bytes_max)).await?? else {
            let fault = Fault::new(Defect::PackageTooLarge, format!("more than {bytes_max} bytes"));
            return self.put_away(file, look, None, quarantine::of_fault(&fault)).await;
        };
        let bytes = Bytes::from(bytes);
        match self.intake.bring(bytes.clone(), None, door).await? {
            Ok(done) => {
                let to = self.sent().join(format!("{}-{}.edxml", stem(file), &done.envelope_id[..8]));
                let from = file.to_owned();
                disk::run(move || carry(&from, look, &to).map(|()| touch(&to))).await??;
                Ok(None)
            }
            Err(NotIn::Busy(refusal)) => {
                tracing::info!(reason = %refusal.reason, "the gateway does not take submissions now");
                Ok(Some(refusal.retry_after.unwrap_or(PAUSE)))
            }
            Err(NotIn::Defect(fault)) => self.put_away(file, look, Some(bytes), quarantine::of_fault(&fault)).await,
            Err(NotIn::Refused(refusal)) => {
                self.put_away(file, look, Some(bytes), quarantine::of_refusal(&refusal)).await
            }
        }
    }

    /// Into quarantine, and only then away; a file too large to be read is moved as it is.
    async fn put_away(
        &self,
        file: &Path,
        look: Look,
        bytes: Option<Bytes>,
        reason: String,
    ) -> Result<Option<Duration>, AdapterError> {
        let (quarantine, file, path) = (self.quarantine.clone(), file.to_owned(), self.path.clone());
        disk::run(move || match bytes {
            Some(bytes) => {
                quarantine.keep(&stem(&file), &bytes, &reason)?;
                let aside = path.join("quarantine").join(format!("{}.aside", uuid::Uuid::new_v4().simple()));
                carry(&file, look, &aside)?;
                if aside.exists() { fs::remove_file(&aside).map_err(disk::at(&aside)) } else { Ok(()) }
            }
            None if look_at(&file)? != look => Ok(()),
            None => quarantine.take_over(&file, &stem(&file), &reason),
        })
        .await??;
        Ok(None)
    }

    /// Whether the disk takes a file now.
    pub(crate) fn probe(&self) -> Result<(), AdapterError> {
        let incoming = self.path.join("incoming");
        fs::metadata(&incoming).map_err(disk::at(&incoming)).map(drop)
    }
}

/// At most so many packages: whatever else lies there does not keep them from being seen.
fn scan(folder: &Path, files_max: usize) -> Result<Vec<(PathBuf, u64, Option<SystemTime>)>, AdapterError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(disk::at(folder))? {
        if files.len() >= files_max {
            break;
        }
        let entry = entry.map_err(disk::at(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link is never followed.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() && !name.starts_with('.') && name.to_lowercase().ends_with(".edxml") {
            files.push((entry.path(), metadata.len(), metadata.modified().ok()));
        }
    }
    files.sort();
    Ok(files)
}

/// Moves a file that was dealt with. What was dropped under its name meanwhile stays, or goes back, and is taken at the next looks.
fn carry(file: &Path, look: Look, to: &Path) -> Result<(), AdapterError> {
    if look_at(file)? != look {
        return Ok(());
    }
    disk::rename(file, to)?;
    disk::sync_folder(file.parent().unwrap_or(file))?;
    if look_at(to)? == look {
        return Ok(());
    }
    let other = || file.with_file_name(format!("{}-{}.edxml", stem(file), uuid::Uuid::new_v4().simple()));
    disk::rename(to, &if file.exists() { other() } else { file.to_owned() })
}

/// What was set aside is as old as that. A file that is not ours to change keeps its own time.
fn touch(file: &Path) {
    let touched = fs::File::open(file).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(fault) = touched {
        tracing::debug!(%fault, "a package that was sent keeps the time of its sender");
    }
}

fn look_at(file: &Path) -> Result<Look, AdapterError> {
    let metadata = fs::symlink_metadata(file).map_err(disk::at(file))?;
    Ok((metadata.len(), metadata.modified().ok()))
}

/// The name without its ending, cut so that what is put behind it still fits into a file name.
fn stem(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    quarantine::cut(&name).to_owned()
}

/// Where one delivery goes.
#[derive(Clone)]
struct Place {
    draft: PathBuf,
    file: PathBuf,
}

impl Place {
    fn new(path: &Path, id: DeliveryId) -> Self {
        let name = format!("{id}.edxml");
        Self { draft: path.join(".lienthong/drafts").join(&name), file: path.join("incoming").join(&name) }
    }

    /// Whether the delivery was taken; what was noted and has not appeared yet appears now.
    fn is_taken(&self, id: DeliveryId, ledger: &Ledger) -> Result<bool, AdapterError> {
        match ledger.settlement(id)? {
            Some(Settlement::Taken) => self.appear().map(|()| true),
            Some(Settlement::Refused(_) | Settlement::Fetched(_) | Settlement::Sending(_)) | None => Ok(false),
        }
    }

    /// Renames the draft, if it is still there, and makes that last.
    fn appear(&self) -> Result<(), AdapterError> {
        match self.draft.exists() {
            true => disk::rename(&self.draft, &self.file),
            false => Ok(()),
        }
    }
}

/// Lets every noted draft of an earlier process appear, and clears away the others.
fn finish_drafts(path: &Path, ledger: &Ledger) -> Result<(), AdapterError> {
    let folder = path.join(".lienthong/drafts");
    for entry in fs::read_dir(&folder).map_err(disk::at(&folder))? {
        let draft = entry.map_err(disk::at(&folder))?.path();
        let id = draft.file_stem().and_then(|stem| stem.to_str()).and_then(DeliveryId::parse);
        let is_noted = match id {
            Some(id) => ledger.settlement(id)? == Some(Settlement::Taken),
            None => false,
        };
        match (id, is_noted) {
            (Some(id), true) => Place::new(path, id).appear()?,
            (Some(_), false) | (None, _) => fs::remove_file(&draft).map_err(disk::at(&draft))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_draft_appears_once_and_one_without_a_note_never() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(folder.path()).unwrap();
        for name in ["incoming", ".lienthong/drafts"] {
            disk::make_folder(&folder.path().join(name)).unwrap();
        }
        let ids = ["1", "2"].map(|digit| DeliveryId::parse(&digit.repeat(32)).unwrap());
        let places = ids.map(|id| Place::new(folder.path(), id));
        for place in &places {
            std::fs::write(&place.draft, "package").unwrap();
        }
        // The process died between the note and the rename of the first, and before the note of the second.
        ledger.settle(ids[0], &Settlement::Taken).unwrap();
        finish_drafts(folder.path(), &ledger).unwrap();
        assert_eq!(places.each_ref().map(|place| place.file.exists()), [true, false]);
        assert_eq!(places.each_ref().map(|place| place.draft.exists()), [false, false]);
        // The system moved it away: nothing comes again.
        std::fs::remove_file(&places[0].file).unwrap();
        places[0].appear().unwrap();
        finish_drafts(folder.path(), &ledger).unwrap();
        assert!(!places[0].file.exists());
    }

    #[test]
    fn packages_are_seen_among_whatever_else_lies_there_and_not_too_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: String| std::fs::write(folder.path().join(name), "x").unwrap();
        (0..20).for_each(|number| write(format!("note-{number}.txt")));
        write(".hidden.edxml".to_owned());
        write("a.EDXML".to_owned());
        assert_eq!(scan(folder.path(), 3).unwrap().len(), 1);
        (0..5).for_each(|number| write(format!("{number}.edxml")));
        assert_eq!(scan(folder.path(), 3).unwrap().len(), 3);
    }

    #[test]
    fn what_was_dropped_meanwhile_under_the_same_name_is_not_moved_away_unread() {
        let folder = tempfile::tempdir().unwrap();
        let (file, to) = (folder.path().join("a.edxml"), folder.path().join("moved.edxml"));
        std::fs::write(&file, "first").unwrap();
        let look = look_at(&file).unwrap();
        std::fs::write(&file, "the second").unwrap();
        carry(&file, look, &to).unwrap();
        assert!(!to.exists() && std::fs::read(&file).unwrap() == b"the second");
        carry(&file, look_at(&file).unwrap(), &to).unwrap();
        assert!(!file.exists() && std::fs::read(&to).unwrap() == b"the second");
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        let name = format!("{}.edxml", "Tờ trình về việc phân bổ ".repeat(7));
        let cut = stem(Path::new(&name));
        assert!(cut.len() <= 150 && cut.len() > 140 && name.starts_with(&cut), "{cut}");
        assert_eq!(stem(Path::new("a.edxml")), "a");
    }
}
