//! Remembers which deliveries the system has taken, so that a repeat after a crash has no second effect.
//!
//! The file `taken.journal` has a line per delivery, `<delivery id> <SHA-256 of the envelope> <unix seconds>`, appended and synced before
//! the gateway is told. A line that a crash cut short is dropped at the next start. What is older than the retention goes when the file is
//! written anew, which happens when more than half of it is old.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway_model::{Digest, Timestamp};

use crate::AdapterError;

/// How long a delivery is remembered: longer than any gateway tries.
pub const RETENTION: Duration = Duration::from_secs(90 * 86_400);
/// Deliveries remembered; the oldest are forgotten first.
const ENTRIES_MAX: usize = 500_000;
/// Bytes of the file: lines of at most 200 bytes, twice over.
const FILE_BYTES_MAX: u64 = 2 * 200 * ENTRIES_MAX as u64;
/// Lines below which the file is not written anew.
const LINES_MIN: usize = 1_000;

/// What is remembered about a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// Nothing.
    New,
    /// The system has it.
    Taken,
    /// The system has another envelope under this id.
    OtherBody,
}

/// The table. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Mutex<Table>>,
}

struct Table {
    taken: HashMap<String, (Digest, i64)>,
    lines: usize,
    disk: Option<Disk>,
}

struct Disk {
    folder: PathBuf,
    file: File,
    /// Held as long as the table lives: two processes never share a folder.
    lock: File,
}

impl Drop for Disk {
    /// Closing alone would leave the lock with a child process that has been forked and does not run its own program yet.
    fn drop(&mut self) {
        if let Err(fault) = self.lock.unlock() {
            tracing::warn!(%fault, "the lock of the state folder ends with this process only");
        }
    }
}

impl Journal {
    /// A table that ends with the process.
    pub fn in_memory() -> Self {
        Self { inner: Arc::new(Mutex::new(Table { taken: HashMap::new(), lines: 0, disk: None })) }
    }

    /// Opens the table in `folder`, which is made when it is missing.
    ///
    /// # Errors
    /// When the folder cannot be used, or another process uses it.
    pub fn open(folder: &Path, now: Timestamp) -> Result<Self, AdapterError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| AdapterError::File { path, source }
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(AdapterError::Other(format!("{} belongs to another worker that runs", folder.display())));
            }
            Err(TryLockError::Error(source)) => return Err(at(&lock_path)(source)),
        }
        let path = journal(folder);
        let (taken, lines, whole) = read(&path).map_err(at(&path))?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
        file.set_len(whole).and_then(|()| file.sync_all()).map_err(at(&path))?;
        sync_folder(folder).map_err(at(folder))?;
        let mut table = Table { taken, lines, disk: Some(Disk { folder: folder.to_owned(), file, lock }) };
        table.forget_old(now).map_err(at(&path))?;
        Ok(Self { inner: Arc::new(Mutex::new(table)) })
    }

    /// What is remembered about `delivery`.
    pub fn recall(&self, delivery: &str, digest: Digest) -> Memory {
        let table = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match table.taken.get(delivery) {
            None => Memory::New,
            Some((known, _)) if *known == digest => Memory::Taken,
            Some(_) => Memory::OtherBody,
        }
    }

    /// Remembers that the system has `delivery`; durable when this returns `Ok`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn remember(&self, delivery: &str, digest: Digest, now: Timestamp) -> io::Result<()> {
        let (inner, delivery) = (self.inner.clone(), delivery.to_owned());
        let written = tokio::task::spawn_blocking(move || {
            let mut table = inner.lock().unwrap_or_else(PoisonError::into_inner);
            table.append(delivery, digest, now)
        });
        written.await.map_err(io::Error::other)?
    }
}

impl Table {
    fn append(&mut self, delivery: String, digest: Digest, now: Timestamp) -> io::Result<()> {
        if let Some(disk) = &mut self.disk {
            disk.file.write_all(line(&delivery, digest, now.seconds()).as_bytes())?;
            disk.file.sync_data()?;
        }
        self.lines += 1;
        self.taken.insert(delivery, (digest, now.seconds()));
        self.forget_old(now)
    }

    fn forget_old(&mut self, now: Timestamp) -> io::Result<()> {
        let is_due =
            self.lines >= LINES_MIN && (self.lines > 2 * self.taken.len() || self.lines.is_multiple_of(LINES_MIN));
        if !is_due && self.taken.len() <= ENTRIES_MAX {
            return Ok(());
        }
        let oldest = now.minus(RETENTION).seconds();
        self.taken.retain(|_, (_, at)| *at >= oldest);
        if self.taken.len() > ENTRIES_MAX {
            let mut times: Vec<i64> = self.taken.values().map(|(_, at)| *at).collect();
            times.sort_unstable();
            // Leaves room, so that this is not done again at the next one.
            let kept_from = times[times.len() - ENTRIES_MAX / 10 * 9];
            self.taken.retain(|_, (_, at)| *at >= kept_from);
        }
        if self.lines > 2 * self.taken.len() { self.write_anew() } else { Ok(()) }
    }

    fn write_anew(&mut self) -> io::Result<()> {
        self.lines = self.taken.len();
        let Some(disk) = &mut self.disk else { return Ok(()) };
        let (new, path) = (disk.folder.join("taken.new"), journal(&disk.folder));
        let mut file = File::create(&new)?;
        let lines: String = self.taken.iter().map(|(delivery, (digest, at))| line(delivery, *digest, *at)).collect();
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        sync_folder(&disk.folder)?;
        disk.file = OpenOptions::new().append(true).open(&path)?;
        Ok(())
    }
}

fn journal(folder: &Path) -> PathBuf {
    folder.join("taken.journal")
}

fn line(delivery: &str, digest: Digest, at: i64) -> String {
    format!("{delivery} {digest} {at}\n")
}

/// The entries, the number of lines, and how many bytes of the file are whole lines.
type Found = (HashMap<String, (Digest, i64)>, usize, u64);

fn read(path: &Path) -> io::Result<Found> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok((HashMap::new(), 0, 0)),
        Err(fault) => return Err(fault),
    };
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is larger than this worker writes"));
    }
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let text = std::str::from_utf8(&bytes[..whole]).map_err(io::Error::other)?;
    let mut taken = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let damaged = || {
            let said = format!("line {} is damaged; look at what the system has before removing it", number + 1);
            io::Error::new(io::ErrorKind::InvalidData, said)
        };
        let (delivery, digest, at) = entry(line).ok_or_else(damaged)?;
        taken.insert(delivery, (digest, at));
    }
    Ok((taken, text.lines().count(), whole as u64))
}

fn entry(line: &str) -> Option<(String, Digest, i64)> {
    let mut fields = line.split(' ');
    let entry = (fields.next()?.to_owned(), Digest::from_hex(fields.next()?)?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some(entry)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
impl Journal {
    /// Nothing can be written, or recalled, until `released`: as when a disk takes its time.
    pub(super) fn stall(&self, stalled: &std::sync::mpsc::Sender<()>, released: &std::sync::mpsc::Receiver<()>) {
        let _table = self.inner.lock().unwrap();
        stalled.send(()).unwrap();
        released.recv().unwrap();
    }

    /// Whether nobody writes or looks just now.
    pub(super) fn is_free(&self) -> bool {
        self.inner.try_lock().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_791_432_000);

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[tokio::test]
    async fn what_was_taken_is_known_after_a_restart_and_another_body_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), NOON).unwrap();
        assert_eq!(journal.recall("a1", digest("x")), Memory::New);
        journal.remember("a1", digest("x"), NOON).await.unwrap();
        drop(journal);
        let journal = Journal::open(folder.path(), NOON).unwrap();
        assert_eq!(journal.recall("a1", digest("x")), Memory::Taken);
        assert_eq!(journal.recall("a1", digest("y")), Memory::OtherBody);
        assert_eq!(journal.recall("a2", digest("x")), Memory::New);
    }

    #[tokio::test]
    async fn a_line_that_a_crash_cut_short_is_dropped_and_the_next_one_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), NOON).unwrap();
        journal.remember("a1", digest("x"), NOON).await.unwrap();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(super::journal(folder.path())).unwrap();
        file.write_all(b"a2 0123").unwrap();
        let journal = Journal::open(folder.path(), NOON).unwrap();
        journal.remember("a3", digest("z"), NOON).await.unwrap();
        drop(journal);
        let journal = Journal::open(folder.path(), NOON).unwrap();
        assert_eq!(journal.recall("a1", digest("x")), Memory::Taken);
        assert_eq!(journal.recall("a2", digest("x")), Memory::New);
        assert_eq!(journal.recall("a3", digest("z")), Memory::Taken);
    }

    #[test]
    fn damage_is_told_with_its_line_and_never_taken_for_an_empty_table() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(journal(folder.path()), format!("{}nonsense\n", line("a1", digest("x"), 1))).unwrap();
        let told = Journal::open(folder.path(), NOON).err().unwrap();
        assert!(matches!(told, AdapterError::File { ref source, .. } if source.to_string().contains("line 2")));
    }

    #[test]
    fn a_folder_serves_one_worker_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::open(folder.path(), NOON).unwrap();
        assert!(Journal::open(folder.path(), NOON).is_err());
        drop(first);
        Journal::open(folder.path(), NOON).unwrap();
    }

    #[tokio::test]
    async fn what_is_older_than_the_retention_leaves_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let old: String = (0..LINES_MIN).map(|n| line(&format!("old{n}"), digest("x"), NOON.seconds())).collect();
        fs::write(journal(folder.path()), old).unwrap();
        let later = NOON.plus(RETENTION).plus(Duration::from_secs(1));
        let journal = Journal::open(folder.path(), later).unwrap();
        journal.remember("new", digest("x"), later).await.unwrap();
        assert_eq!(journal.recall("old1", digest("x")), Memory::New);
        assert_eq!(journal.recall("new", digest("x")), Memory::Taken);
        assert_eq!(fs::read_to_string(super::journal(folder.path())).unwrap().lines().count(), 1);
    }
}
