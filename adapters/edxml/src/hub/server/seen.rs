//! Calls that were made, so that one that was overheard is not made again, after a restart neither: `<microseconds> <SHA-256 of its hash>` a
//! line, appended before the call goes on. The file is written anew when as much of it is too old as is not.

use std::collections::{HashSet, VecDeque};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use adapters_sdk::{AdapterError, disk};
use gateway_model::{Digest, Timestamp};

/// Calls remembered; beyond that the door is busy.
const CALLS_MAX: usize = 100_000;
/// Lines beyond twice what is remembered, at which the file is written anew.
const DEAD_LINES_MAX: usize = 100;
/// Bytes of a line at most: the microseconds, the digest, a space and the end.
const LINE_BYTES_MAX: usize = 20 + 64 + 2;
/// Bytes of the file at most.
const FILE_BYTES_MAX: u64 = ((2 * CALLS_MAX + DEAD_LINES_MAX + 1) * LINE_BYTES_MAX) as u64;

/// The calls.
pub(super) struct SeenCalls {
    file: PathBuf,
    working: PathBuf,
    calls_max: usize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    hashes: HashSet<Digest>,
    order: VecDeque<(Timestamp, Digest)>,
    /// Lines of the file; `None` after a write that failed, when the last may be cut short.
    lines: Option<usize>,
}

/// Whether a call was made before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Noted {
    /// It is the first time.
    First,
    /// It was.
    Before,
    /// There are too many calls to remember another one.
    Full,
}

impl SeenCalls {
    /// Reads the calls that an earlier process let in.
    pub(super) fn open(state: &Path) -> Result<Self, AdapterError> {
        Self::open_bounded(state, CALLS_MAX)
    }

    fn open_bounded(state: &Path, calls_max: usize) -> Result<Self, AdapterError> {
        let file = state.join(".lienthong/calls.log");
        let text = match disk::read_if_there(&file, FILE_BYTES_MAX)? {
            None if file.exists() => return Err(AdapterError::Other(format!("{} is too large", file.display()))),
            text => text.unwrap_or_default(),
        };
        let mut seen = Seen::default();
        // A line that a crash cut short is of a call that did not go on.
        for (at, hash) in String::from_utf8_lossy(&text).lines().filter_map(parse) {
            if seen.hashes.insert(hash) {
                seen.order.push_back((at, hash));
            }
        }
        Ok(Self { file, working: state.join(".lienthong/working"), calls_max, seen: Mutex::new(seen) })
    }

    /// Remembers a call made at `now`, on the disk first, and forgets those made before `horizon`.
    pub(super) fn note(&self, hash: Digest, now: Timestamp, horizon: Timestamp) -> Result<Noted, AdapterError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, old)) = seen.order.pop_front_if(|(at, _)| *at < horizon) {
            seen.hashes.remove(&old);
        }
        if seen.hashes.contains(&hash) {
            return Ok(Noted::Before);
        }
        if seen.order.len() >= self.calls_max {
            return Ok(Noted::Full);
        }
        let lines = match seen.lines {
            Some(lines) if lines <= 2 * seen.order.len() + DEAD_LINES_MAX => lines,
            Some(_) | None => self.rewrite(&seen)?,
        };
        seen.lines = None;
        self.append(&line(now, hash))?;
        seen.lines = Some(lines + 1);
        seen.hashes.insert(hash);
        seen.order.push_back((now, hash));
        Ok(Noted::First)
    }

    fn append(&self, line: &str) -> Result<(), AdapterError> {
        let mut file = OpenOptions::new().append(true).open(&self.file).map_err(disk::at(&self.file))?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(disk::at(&self.file))
    }

    /// Writes the file anew with what is remembered; how many lines that are.
    fn rewrite(&self, seen: &Seen) -> Result<usize, AdapterError> {
        let kept: String = seen.order.iter().map(|&(at, hash)| line(at, hash)).collect();
        disk::write_whole(&self.working, &self.file, kept.as_bytes())?;
        Ok(seen.order.len())
    }
}

fn line(at: Timestamp, hash: Digest) -> String {
    format!("{} {hash}\n", at.micros())
}

fn parse(line: &str) -> Option<(Timestamp, Digest)> {
    let (at, hash) = line.split_once(' ')?;
    Some((Timestamp::from_micros(at.parse().ok()?), Digest::from_hex(hash)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_000_000);

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join(".lienthong/working")).unwrap();
        folder
    }

    #[test]
    fn calls_are_known_again_after_a_restart_and_a_line_cut_short() {
        let folder = folder();
        let file = folder.path().join(".lienthong/calls.log");
        let [one, two, three] = [b"1", b"2", b"3"].map(|text| Digest::of(text));
        let calls = SeenCalls::open(folder.path()).unwrap();
        assert_eq!(calls.note(one, NOW, NOW).unwrap(), Noted::First);
        assert_eq!(calls.note(one, NOW, NOW).unwrap(), Noted::Before);
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str(&line(NOW, two)[..30]);
        std::fs::write(&file, text).unwrap();
        for noted in [Noted::First, Noted::Before] {
            let calls = SeenCalls::open(folder.path()).unwrap();
            assert_eq!(calls.note(one, NOW, NOW).unwrap(), Noted::Before);
            assert_eq!(calls.note(two, NOW, NOW).unwrap(), noted);
            assert_eq!(calls.note(three, NOW, NOW).unwrap(), noted);
        }
    }

    #[test]
    fn neither_the_memory_nor_the_file_grows_with_calls_that_are_too_old() {
        let folder = folder();
        let calls = SeenCalls::open_bounded(folder.path(), 2).unwrap();
        let lines = || std::fs::read_to_string(folder.path().join(".lienthong/calls.log")).unwrap().lines().count();
        for second in 0..300_u32 {
            let now = NOW.plus(Duration::from_secs(second.into()));
            let noted = calls.note(Digest::of(&second.to_be_bytes()), now, now).unwrap();
            assert_eq!(noted, Noted::First);
        }
        assert!(lines() <= DEAD_LINES_MAX + 6, "{}", lines());
        let now = NOW.plus(Duration::from_secs(299));
        assert_eq!(calls.note(Digest::of(b"second"), now, now).unwrap(), Noted::First);
        assert_eq!(calls.note(Digest::of(b"third"), now, now).unwrap(), Noted::Full);
    }
}
