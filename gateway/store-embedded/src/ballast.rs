//! A file that only takes room, so that there is some to give back when the disk is full.
//!
//! # What it guarantees
//! SQLite needs a few pages even to settle a delivery, and the index of its write-ahead log to start at all. The file `ballast` holds real
//! blocks for them: bytes that neither a sparse file nor a compressing file system can save, synced before they count.
//!
//! * While it is there, a disk that somebody else fills to the last byte leaves the store as many bytes as the ballast has: it is released
//!   before a batch or a start when less than its size is free, and at once when a write finds no room; then the write is tried again.
//! * From then on nothing is accepted, so that only deliveries, settlements, purges and starts use what was released. Below
//!   the reserve the write-ahead log is moved into the database early and its blocks are written again, so what a settlement costs is its event.
//! * It is put back, and the door opened, when the reserve and the ballast fit again with room to spare. Nobody has to do anything.
//!
//! # What it cannot guarantee
//! A process that goes on writing takes what was released as well, and a file system that keeps deleted blocks in a snapshot releases
//! nothing. Then steps are refused as on any full disk and nothing is lost: a disk of its own is better than any ballast.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Its name in the folder of the store.
pub(crate) const BALLAST: &str = "ballast";
const CHUNK_BYTES: usize = 64 * 1024;
/// Where the bytes start from: any number but zero.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The file, and whether it is there.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    bytes: u64,
    free_bytes_min: u64,
    is_whole: AtomicBool,
}

impl Ballast {
    /// Finds the ballast of an earlier start; puts it there when there is room, and releases it when there is little. Without `bytes` there
    /// is none, and it is always whole.
    pub(crate) fn open(folder: &Path, bytes: u64, free_bytes_min: u64) -> io::Result<Self> {
        let path = folder.join(BALLAST);
        let found = match fs::metadata(&path) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let is_whole = bytes == 0 || found == Some(bytes);
        let ballast = Self { path, bytes, free_bytes_min, is_whole: AtomicBool::new(is_whole) };
        if found.is_some_and(|found| found != bytes || bytes == 0) {
            // Another size was configured, or a crash left a part of it.
            remove(&ballast.path)?;
        }
        ballast.tend(free_bytes(folder)?);
        Ok(ballast)
    }

    /// Bytes that have to be free for the door to be open.
    pub(crate) fn accepting_from(&self) -> u64 {
        let spare = self.bytes.saturating_mul(2);
        match self.is_whole() {
            true => self.free_bytes_min.max(self.bytes),
            false => self.free_bytes_min.max(spare).saturating_add(self.bytes),
        }
    }

    /// Releases it or puts it back, as the room on the disk asks for. Blocks; only the opening and the writer call it.
    pub(crate) fn tend(&self, free_bytes: u64) {
        if self.is_whole() && free_bytes < self.bytes {
            self.release();
        } else if !self.is_whole() && free_bytes >= self.accepting_from() {
            self.put_back();
        }
    }

    /// Gives its room back; tells whether there was any to give.
    pub(crate) fn release(&self) -> bool {
        if self.bytes == 0 || !self.is_whole.swap(false, Ordering::SeqCst) {
            return false;
        }
        match remove(&self.path) {
            Ok(()) => {
                tracing::error!(file = %self.path.display(), bytes = self.bytes, "the disk is full: the ballast is released for what is under way, nothing new is accepted");
                true
            }
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "the disk is full and the ballast cannot be released: free some space");
                false
            }
        }
    }

    fn put_back(&self) {
        match write(&self.path, self.bytes) {
            Ok(()) => {
                self.is_whole.store(true, Ordering::SeqCst);
                tracing::info!(file = %self.path.display(), bytes = self.bytes, "the ballast is in place");
            }
            Err(error) => {
                tracing::error!(file = %self.path.display(), %error, "the ballast cannot be put in place: nothing is accepted until it can");
                if let Err(error) = remove(&self.path) {
                    tracing::error!(file = %self.path.display(), %error, "what was written of the ballast stays");
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::SeqCst)
    }
}

/// Bytes that are free where a folder is.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Writes bytes without a pattern, so that they take the blocks that they pretend to.
fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut chunk = [0; CHUNK_BYTES];
    let (mut state, mut left) = (SEED, bytes);
    while left > 0 {
        for word in chunk.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let length = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        file.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            // A file system that writes a name's removal elsewhere may have no room even for that; its blocks it can give back.
            File::options().write(true).open(path)?.set_len(0)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    // Whatever does not go as it has to fails the test there and then.
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    const SIZE: u64 = 256 * 1024 + 7;

    #[test]
    fn it_takes_real_blocks_and_gives_them_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::open(folder.path(), SIZE, 0).unwrap();
        let metadata = fs::metadata(folder.path().join(BALLAST)).unwrap();
        assert_eq!(metadata.len(), SIZE);
        assert!(metadata.blocks() * 512 >= SIZE, "{} blocks", metadata.blocks());
        assert!(ballast.release());
        assert!(!folder.path().join(BALLAST).exists());
        assert!(!ballast.release(), "there is nothing left to give");
    }

    #[test]
    fn once_released_the_door_needs_more_room_than_before() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::open(folder.path(), SIZE, 0).unwrap();
        assert_eq!(ballast.accepting_from(), SIZE);
        ballast.tend(SIZE);
        assert!(ballast.is_whole());
        ballast.tend(SIZE - 1);
        assert!(!ballast.is_whole());
        assert_eq!(ballast.accepting_from(), 3 * SIZE);
        ballast.tend(3 * SIZE - 1);
        assert!(!ballast.is_whole(), "it would be released again at once");
        ballast.tend(3 * SIZE);
        assert!(ballast.is_whole());
        assert_eq!(fs::metadata(folder.path().join(BALLAST)).unwrap().len(), SIZE);
    }

    #[test]
    fn the_reserve_stands_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = 100 * SIZE;
        let ballast = Ballast::open(folder.path(), SIZE, reserve).unwrap();
        assert_eq!(ballast.accepting_from(), reserve);
        assert!(ballast.release());
        assert_eq!(ballast.accepting_from(), reserve + SIZE);
    }

    #[test]
    fn one_of_another_size_or_cut_by_a_crash_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BALLAST);
        for left_behind in [0, 1, SIZE + 1] {
            fs::write(&path, vec![1; usize::try_from(left_behind).unwrap()]).unwrap();
            assert!(Ballast::open(folder.path(), SIZE, 0).unwrap().is_whole());
            assert_eq!(fs::metadata(&path).unwrap().len(), SIZE);
        }
        let none = Ballast::open(folder.path(), 0, 0).unwrap();
        assert!(none.is_whole() && !none.release());
        assert_eq!(none.accepting_from(), 0);
        assert!(!path.exists(), "none is wanted any more");
    }

    #[test]
    fn without_room_it_waits() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::open(folder.path(), SIZE, u64::MAX).unwrap();
        assert!(!ballast.is_whole());
        assert!(!folder.path().join(BALLAST).exists());
    }
}
