//! What the adapter has to remember over restarts: whose each file is, and what was handed over already.
//!
//! `journal.log` holds one record a line, `<first 8 bytes of its SHA-256 in hexadecimal> <JSON>`, each appended and synced before anything is
//! answered. A later record of the same key replaces the earlier one; what is replaced or too old to matter goes when the file is written
//! anew (whole, then renamed). A line that power loss cut off at the end was never answered and is dropped; any other line that does not
//! have its sum is damage, and the adapter does not start on it. After a failed sync nothing more is written: only a restart helps.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters_sdk::AdapterError;
use gateway_model::{Digest, Timestamp, limits};
use serde::{Deserialize, Serialize};

use crate::disk;

/// How long it is remembered what was handed over, and whose an ended file was: longer than any envelope lives.
const MEMORY: Duration = Duration::from_secs(limits::ENVELOPE_LIFE_MAX.as_secs() + 30 * 86_400);
/// Files and hand-overs remembered at most; beyond it nothing new is taken.
const ENTRIES_MAX: usize = 2_000_000;
/// Bytes of a line.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Lines beyond twice what is alive, at which the file is written anew.
const DEAD_LINES_MAX: usize = 4_096;

/// A file that went to the other side, or came from it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    /// The file code.
    pub file_code: String,
    /// Internal id of the agency to answer.
    pub partner: String,
    /// The id of the envelope with the file.
    pub envelope: String,
    /// Digest of that envelope's bytes; in the other direction, of the call's content.
    pub digest: String,
    /// The agency that issued the code, as written; empty means the sender.
    pub issuer: String,
    /// Code of the procedure.
    pub procedure: String,
    /// How far it is.
    pub stage: Stage,
    /// Seconds since 1970 when this was written.
    pub at: i64,
}

/// How far a file is.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The other side was asked to take it, and may have.
    Asked,
    /// The other side has it.
    Taken,
    /// It is at its end.
    Ended,
    /// The other side will never have it: the code is free again.
    Refused,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Record {
    Case(Case),
    Settled { id: String, at: i64 },
}

/// The journal, shared by both directions of the adapter.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Mutex<Book>>);

struct Book {
    path: PathBuf,
    file: File,
    cases: HashMap<String, Case>,
    settled: HashMap<String, i64>,
    lines: usize,
    broken: bool,
    /// Held as long as the journal is open: two adapters never write one journal.
    _lock: File,
}

impl Journal {
    /// Opens the journal in `folder`, or starts one.
    ///
    /// # Errors
    /// When it is damaged, in use, or cannot be read.
    pub(crate) fn open(folder: &Path, now: Timestamp) -> Result<Self, AdapterError> {
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(disk::at(&lock_path))?;
        if lock.try_lock().is_err() {
            return Err(AdapterError::Other(format!("{} is in use by another adapter", folder.display())));
        }
        let path = folder.join("journal.log");
        let (mut cases, mut settled) = (HashMap::new(), HashMap::new());
        let read = read_lines(&path, |record| match record {
            Record::Case(case) => drop(cases.insert(case.file_code.clone(), case)),
            Record::Settled { id, at } => drop(settled.insert(id, at)),
        })?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(disk::at(&path))?;
        file.set_len(read.bytes).and_then(|()| file.sync_all()).map_err(disk::at(&path))?;
        disk::sync_folder(folder)?;
        let mut book = Book { path, file, cases, settled, lines: read.lines, broken: false, _lock: lock };
        book.compact_if_due(now)?;
        Ok(Self(Arc::new(Mutex::new(book))))
    }

    /// The file of that code; none when the other side has refused it.
    pub(crate) fn case(&self, file_code: &str) -> Option<Case> {
        self.book().cases.get(file_code).filter(|case| case.stage != Stage::Refused).cloned()
    }

    /// Whether `id` was handed over already.
    pub(crate) fn is_settled(&self, id: &str) -> bool {
        self.book().settled.contains_key(id)
    }

    /// How many files are remembered.
    pub(crate) fn len(&self) -> usize {
        self.book().cases.len()
    }

    /// Remembers a file; durable when this returns.
    pub(crate) async fn keep(&self, case: Case) -> Result<(), AdapterError> {
        self.append(Record::Case(case)).await
    }

    /// Remembers that `id` was handed over; durable when this returns.
    pub(crate) async fn settle(&self, id: String, at: Timestamp) -> Result<(), AdapterError> {
        self.append(Record::Settled { id, at: at.seconds() }).await
    }

    async fn append(&self, record: Record) -> Result<(), AdapterError> {
        let journal = self.clone();
        disk::run(move || journal.book().append(record)).await?
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn append(&mut self, record: Record) -> Result<(), AdapterError> {
        if self.broken {
            return Err(AdapterError::Other(format!("{} failed before; restart the gateway", self.path.display())));
        }
        if self.cases.len() + self.settled.len() >= ENTRIES_MAX {
            return Err(AdapterError::Other(format!("{} is full: {ENTRIES_MAX} entries", self.path.display())));
        }
        let line = line(&record)?;
        self.broken = true;
        self.file.write_all(&line).and_then(|()| self.file.sync_data()).map_err(disk::at(&self.path))?;
        self.broken = false;
        self.lines += 1;
        let now = match record {
            Record::Case(case) => {
                let at = case.at;
                self.cases.insert(case.file_code.clone(), case);
                at
            }
            Record::Settled { id, at } => {
                self.settled.insert(id, at);
                at
            }
        };
        self.compact_if_due(Timestamp::from_seconds(now))
    }

    fn compact_if_due(&mut self, now: Timestamp) -> Result<(), AdapterError> {
        if self.lines <= 2 * (self.cases.len() + self.settled.len()) + DEAD_LINES_MAX {
            return Ok(());
        }
        let oldest = now.minus(MEMORY).seconds();
        let is_over = |case: &Case| matches!(case.stage, Stage::Ended | Stage::Refused);
        self.cases.retain(|_, case| !is_over(case) || case.at >= oldest);
        self.settled.retain(|_, at| *at >= oldest);
        let draft = self.path.with_extension("new");
        let mut file = File::create(&draft).map_err(disk::at(&draft))?;
        let cases = self.cases.values().cloned().map(Record::Case);
        let settled = self.settled.iter().map(|(id, &at)| Record::Settled { id: id.clone(), at });
        for record in cases.chain(settled) {
            file.write_all(&line(&record)?).map_err(disk::at(&draft))?;
        }
        file.sync_all().map_err(disk::at(&draft))?;
        self.broken = true;
        disk::rename(&draft, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path).map_err(disk::at(&self.path))?;
        self.broken = false;
        self.lines = self.cases.len() + self.settled.len();
        Ok(())
    }
}

fn line(record: &Record) -> Result<Vec<u8>, AdapterError> {
    let json = serde_json::to_string(record).map_err(|fault| AdapterError::Other(fault.to_string()))?;
    Ok(format!("{} {json}\n", sum(&json)).into_bytes())
}

fn sum(json: &str) -> String {
    hex::encode(&Digest::of(json.as_bytes()).0[..8])
}

struct Read {
    lines: usize,
    /// Bytes that are whole lines.
    bytes: u64,
}

fn read_lines(path: &Path, mut take: impl FnMut(Record)) -> Result<Read, AdapterError> {
    let file = match File::open(path) {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(Read { lines: 0, bytes: 0 }),
        opened => opened.map_err(disk::at(path))?,
    };
    let mut reader = BufReader::new(file);
    let (mut read, mut bytes) = (Read { lines: 0, bytes: 0 }, Vec::new());
    loop {
        bytes.clear();
        let count = reader.by_ref_line(&mut bytes).map_err(disk::at(path))?;
        let is_torn = bytes.last() != Some(&b'\n') || bytes.contains(&0);
        if count == 0 || (is_torn && reader.fill_buf().map_err(disk::at(path))?.is_empty()) {
            return Ok(read);
        }
        let damaged = || AdapterError::Other(format!("{}, line {}: is damaged", path.display(), read.lines + 1));
        take(parse(&bytes).ok_or_else(damaged)?);
        read.lines += 1;
        read.bytes += count as u64;
    }
}

fn parse(line: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (expected, json) = text.split_once(' ')?;
    if expected == sum(json) { serde_json::from_str(json).ok() } else { None }
}

/// Reads one line of bounded length.
trait BoundedLine {
    fn by_ref_line(&mut self, into: &mut Vec<u8>) -> std::io::Result<usize>;
}

impl<R: BufRead> BoundedLine for R {
    fn by_ref_line(&mut self, into: &mut Vec<u8>) -> std::io::Result<usize> {
        std::io::Read::take(self, LINE_BYTES_MAX as u64).read_until(b'\n', into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_791_432_000);

    fn case(code: &str, stage: Stage) -> Case {
        Case {
            file_code: code.to_owned(),
            partner: "xa-an-phu".to_owned(),
            envelope: "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b".to_owned(),
            digest: String::new(),
            issuer: String::new(),
            procedure: "1.012783".to_owned(),
            stage,
            at: NOW.seconds(),
        }
    }

    #[tokio::test]
    async fn what_was_kept_is_there_after_a_restart_and_two_adapters_cannot_share_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path(), NOW).unwrap();
        journal.keep(case("A-1", Stage::Asked)).await.unwrap();
        journal.keep(case("A-1", Stage::Taken)).await.unwrap();
        journal.settle("d1".to_owned(), NOW).await.unwrap();
        assert!(Journal::open(folder.path(), NOW).err().unwrap().to_string().contains("in use"));
        drop(journal);
        let journal = Journal::open(folder.path(), NOW).unwrap();
        assert_eq!(journal.case("A-1"), Some(case("A-1", Stage::Taken)));
        assert!(journal.is_settled("d1") && !journal.is_settled("d2"));
    }

    #[tokio::test]
    async fn a_line_cut_off_at_the_end_is_dropped_and_damage_anywhere_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.log");
        let journal = Journal::open(folder.path(), NOW).unwrap();
        for code in ["A-1", "A-2", "A-3"] {
            journal.keep(case(code, Stage::Taken)).await.unwrap();
        }
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let journal = Journal::open(folder.path(), NOW).unwrap();
        assert_eq!((journal.len(), journal.case("A-3")), (2, None));
        journal.keep(case("A-4", Stage::Taken)).await.unwrap();
        drop(journal);
        assert_eq!(Journal::open(folder.path(), NOW).unwrap().len(), 3, "the next line stands after the whole ones");
        let mut flipped = whole.clone();
        flipped[40] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert!(Journal::open(folder.path(), NOW).err().unwrap().to_string().contains("line 1: is damaged"));
    }

    #[tokio::test]
    async fn the_file_does_not_grow_with_what_is_replaced_or_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let record = |at: i64| Record::Settled { id: format!("old-{at}"), at };
        let old = NOW.minus(MEMORY).seconds() - 10;
        let lines: Vec<u8> = (0..20).flat_map(|at| line(&record(old - at)).unwrap()).collect();
        let repeated = line(&Record::Case(case("A-1", Stage::Taken))).unwrap().repeat(DEAD_LINES_MAX + 100);
        std::fs::write(folder.path().join("journal.log"), [lines, repeated].concat()).unwrap();
        let journal = Journal::open(folder.path(), NOW).unwrap();
        assert!(!journal.is_settled(&format!("old-{old}")));
        assert_eq!(journal.case("A-1"), Some(case("A-1", Stage::Taken)));
        let bytes = std::fs::metadata(folder.path().join("journal.log")).unwrap().len();
        assert!(bytes < 1_000, "{bytes}");
        journal.keep(case("A-2", Stage::Asked)).await.unwrap();
        drop(journal);
        assert_eq!(Journal::open(folder.path(), NOW).unwrap().len(), 2);
    }

    #[test]
    fn open_files_are_never_forgotten_however_old() {
        let folder = tempfile::tempdir().unwrap();
        let mut long_ago = case("A-1", Stage::Taken);
        long_ago.at = 0;
        let mut ended = case("A-2", Stage::Ended);
        ended.at = 0;
        let lines = [Record::Case(long_ago), Record::Case(ended)].map(|record| line(&record).unwrap());
        std::fs::write(folder.path().join("journal.log"), lines.concat().repeat(DEAD_LINES_MAX)).unwrap();
        let journal = Journal::open(folder.path(), NOW).unwrap();
        assert!(journal.case("A-1").is_some() && journal.case("A-2").is_none());
    }
}
