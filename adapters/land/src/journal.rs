//! What the adapter has to remember over restarts: whose each file is, and what was handed over already.
//!
//! `journal.log` holds one record a line, `<first 8 bytes of its SHA-256 in hexadecimal> <JSON>`, each appended and synced before anything is
//! answered. A later record of the same key replaces the earlier one; what is replaced or too old to matter goes when the file is written
//! anew (whole, then renamed). A line that power loss cut off at the end was never answered and is dropped; any other line that does not
//! have its sum is damage, and the adapter does not start on it. A line that could not be written, because the disk was full, is cut off
//! before the next one. After a failed sync nothing more is written: only a restart helps.
//!
//! What is about to be handed over is noted as asked; once it is settled, that note is forgotten.

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
    /// Digest of that envelope's bytes; in the other direction, the id that the call's content gives.
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

/// Whether something is asked for the first time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// It is.
    First,
    /// It was asked before, and may have been done.
    Again,
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

/// Whether the file can be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Soundness {
    /// It ends with a whole line.
    Sound,
    /// A line could not be written, and may stand there in part.
    Torn,
    /// What the kernel says of it is no longer true.
    Broken,
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
    /// Bytes that are whole lines.
    bytes: u64,
    soundness: Soundness,
    entries_max: usize,
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
        let read = read_lines(&path, |record| record.enter(&mut cases, &mut settled))?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(disk::at(&path))?;
        file.set_len(read.bytes).and_then(|()| file.sync_all()).map_err(disk::at(&path))?;
        disk::sync_folder(folder)?;
        let (lines, bytes, soundness) = (read.lines, read.bytes, Soundness::Sound);
        let mut book =
            Book { path, file, cases, settled, lines, bytes, soundness, entries_max: ENTRIES_MAX, _lock: lock };
        book.forget(now);
        book.compact_if_due()?;
        Ok(Self(Arc::new(Mutex::new(book))))
    }

    /// The file of that code; none when the other side has refused it.
    pub(crate) fn case(&self, file_code: &str) -> Option<Case> {
        self.book().cases.get(file_code).filter(|case| case.stage != Stage::Refused).cloned()
    }

    /// The file that the other side refused under that code, until another one takes its place.
    pub(crate) fn refused(&self, file_code: &str) -> Option<Case> {
        self.book().cases.get(file_code).filter(|case| case.stage == Stage::Refused).cloned()
    }

    /// Whether it can still be written.
    ///
    /// # Errors
    /// After a failed sync.
    pub(crate) fn check(&self) -> Result<(), AdapterError> {
        let book = self.book();
        match book.soundness {
            Soundness::Sound | Soundness::Torn => Ok(()),
            Soundness::Broken => Err(book.broken()),
        }
    }

    /// Whether `id` was handed over already.
    pub(crate) fn is_settled(&self, id: &str) -> bool {
        self.book().settled.contains_key(id)
    }

    /// Notes that the other side is about to be asked to take `id`; durable when this returns. Whether it was asked before.
    pub(crate) async fn ask(&self, id: &str, at: Timestamp) -> Result<Asked, AdapterError> {
        let asked = asked(id);
        if self.is_settled(&asked) {
            return Ok(Asked::Again);
        }
        self.settle(asked, at).await.map(|()| Asked::First)
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
        self.mend()?;
        let at = record.at();
        if self.entries() >= self.entries_max {
            self.make_room(at)?;
        }
        let line = line(&record)?;
        self.soundness = Soundness::Torn;
        self.file.write_all(&line).map_err(disk::at(&self.path))?;
        self.soundness = Soundness::Broken;
        self.file.sync_data().map_err(disk::at(&self.path))?;
        self.soundness = Soundness::Sound;
        self.lines += 1;
        self.bytes += line.len() as u64;
        record.enter(&mut self.cases, &mut self.settled);
        // The record is there whatever becomes of this.
        if let Err(fault) = self.compact_if_due() {
            tracing::warn!(%fault, "the journal cannot be written anew now");
        }
        Ok(())
    }

    /// Cuts off what a failed write left.
    fn mend(&mut self) -> Result<(), AdapterError> {
        match self.soundness {
            Soundness::Sound => return Ok(()),
            Soundness::Torn => {}
            Soundness::Broken => return Err(self.broken()),
        }
        let file = OpenOptions::new().append(true).open(&self.path).map_err(disk::at(&self.path))?;
        file.set_len(self.bytes).map_err(disk::at(&self.path))?;
        self.soundness = Soundness::Broken;
        file.sync_all().map_err(disk::at(&self.path))?;
        self.file = file;
        self.soundness = Soundness::Sound;
        Ok(())
    }

    /// Forgets what is too old to matter, when there is no room for more.
    fn make_room(&mut self, now: Timestamp) -> Result<(), AdapterError> {
        self.forget(now);
        if self.entries() >= self.entries_max {
            return Err(AdapterError::Other(format!("{} is full: {} entries", self.path.display(), self.entries_max)));
        }
        self.compact()
    }

    fn forget(&mut self, now: Timestamp) {
        let oldest = now.minus(MEMORY).seconds();
        let is_over = |case: &Case| matches!(case.stage, Stage::Ended | Stage::Refused);
        self.cases.retain(|_, case| !is_over(case) || case.at >= oldest);
        self.settled.retain(|_, at| *at >= oldest);
    }

    fn compact_if_due(&mut self) -> Result<(), AdapterError> {
        if self.lines <= 2 * self.entries() + DEAD_LINES_MAX { Ok(()) } else { self.compact() }
    }

    /// Writes the file anew, with what is alive.
    fn compact(&mut self) -> Result<(), AdapterError> {
        let draft = self.path.with_extension("new");
        let written = self.write_alive(&draft);
        if written.is_err() {
            // What was begun takes room on a disk that may be full.
            disk::remove(&draft)?;
        }
        let bytes = written?;
        self.soundness = Soundness::Broken;
        disk::rename(&draft, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path).map_err(disk::at(&self.path))?;
        self.soundness = Soundness::Sound;
        self.lines = self.entries();
        self.bytes = bytes;
        Ok(())
    }

    fn write_alive(&self, draft: &Path) -> Result<u64, AdapterError> {
        let mut file = std::io::BufWriter::new(File::create(draft).map_err(disk::at(draft))?);
        let cases = self.cases.values().cloned().map(Record::Case);
        let settled = self.settled.iter().map(|(id, &at)| Record::Settled { id: id.clone(), at });
        let mut bytes = 0;
        for record in cases.chain(settled) {
            let line = line(&record)?;
            file.write_all(&line).map_err(disk::at(draft))?;
            bytes += line.len() as u64;
        }
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(disk::at(draft))?;
        Ok(bytes)
    }

    fn entries(&self) -> usize {
        self.cases.len() + self.settled.len()
    }

    fn broken(&self) -> AdapterError {
        AdapterError::Other(format!("{} could not be synced; restart the gateway", self.path.display()))
    }
}

impl Record {
    /// Puts it into the place of what it replaces.
    fn enter(self, cases: &mut HashMap<String, Case>, settled: &mut HashMap<String, i64>) {
        match self {
            Self::Case(case) => drop(cases.insert(case.file_code.clone(), case)),
            Self::Settled { id, at } => {
                settled.remove(&asked(&id));
                settled.insert(id, at);
            }
        }
    }

    /// When it was made.
    fn at(&self) -> Timestamp {
        Timestamp::from_seconds(match self {
            Self::Case(case) => case.at,
            Self::Settled { at, .. } => *at,
        })
    }
}

/// The name under which it is noted that `id` was asked.
fn asked(id: &str) -> String {
    format!("asked:{id}")
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
mod tests;
