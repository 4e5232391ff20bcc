//! The register of files (sổ theo dõi hồ sơ, form 07): which files came in where, when they are due, when they ended; and their counts.
//!
//! It is a read model: everything in it follows from the evidence log and the envelopes, leaf by leaf, and it says itself up to which leaf. What
//! does not fit the program any more, or is damaged, is deleted and followed anew from the first leaf; nothing else in the gateway depends on it.
//!
//! The bodies of envelopes are forgotten after their retention. What a body told of its file is therefore kept here as *words*, in the bytes of
//! whoever follows; only a register that is rebuilt after that has lost them.
//!
//! Every call blocks on the disk.

mod count;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gateway_model::id::{AgencyId, EnvelopeKey};
use gateway_model::{Digest, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

pub use count::{Counts, Dimension, Query, Row};

/// Its file in the folder of the store.
pub const DATABASE: &str = "register.db";

/// The register in a folder. It is opened at the first call, and again after it was damaged.
#[derive(Debug)]
pub struct Register {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

/// A file, as far as is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its code, which is not unique by itself.
    pub file_code: String,
    /// The desk that received it from the citizen.
    pub issuer: AgencyId,
    /// Code of its procedure; empty when nobody said it.
    pub procedure_code: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it is due; `None` when nothing says so, and while the clock stands still before that.
    pub due_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Up to where the evidence log has been followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// Index of the next leaf to read.
    pub next: u64,
    /// Hash of the leaf before it, by which the log is known again; `None` before the first.
    pub last: Option<Digest>,
}

/// What some leaves changed: kept all at once, with the place in the log, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The files that were looked at again; all that was kept under these codes is replaced.
    pub file_codes: Vec<String>,
    /// What stands under them now.
    pub files: Vec<File>,
    /// Words of envelopes, to be had when their bodies are gone.
    pub words: Vec<(EnvelopeKey, Vec<u8>)>,
    /// Up to where the log has been followed with this.
    pub cursor: Cursor,
}

/// Why the register could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The disk, or the database.
    #[error("{path}: {source}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: rusqlite::Error,
    },
    /// The file.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: std::io::Error,
    },
    /// It was damaged and has been deleted: it is to be followed anew.
    #[error("{path} was damaged and has been deleted: {what}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was seen.
        what: String,
    },
    /// The batch does not begin where the register ends.
    #[error("the register stands at leaf {stands}, the batch begins at leaf {begins}")]
    Moved {
        /// Next leaf of the register.
        stands: u64,
        /// First leaf of the batch.
        begins: u64,
    },
}

impl Register {
    /// The register in the folder of a store. Touches nothing yet.
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(DATABASE), connection: Mutex::new(None) }
    }

    /// Up to where the log has been followed.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn cursor(&self) -> Result<Cursor, RegisterError> {
        self.with(|connection| read_cursor(connection))
    }

    /// Forgets everything, to be followed anew.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn clear(&self) -> Result<(), RegisterError> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        *held = None;
        schema::delete(&self.path)
    }

    /// Keeps what the leaves from `begins` on changed, and the new place in the log, in one transaction.
    ///
    /// # Errors
    /// [`RegisterError::Moved`] when the register does not stand at `begins`; [`RegisterError`].
    pub fn put(&self, begins: u64, batch: &Batch) -> Result<(), RegisterError> {
        let stands = self.with(|connection| {
            let transaction = connection.transaction()?;
            let stands = read_cursor(&transaction)?.next;
            if stands == begins {
                write(&transaction, batch)?;
                transaction.commit()?;
            }
            Ok(stands)
        })?;
        if stands == begins { Ok(()) } else { Err(RegisterError::Moved { stands, begins }) }
    }

    /// The words of envelopes, of those that have any.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn words(&self, envelopes: &[EnvelopeKey]) -> Result<HashMap<EnvelopeKey, Vec<u8>>, RegisterError> {
        self.with(|connection| {
            let mut read = connection.prepare_cached("SELECT words FROM told WHERE sender = ?1 AND envelope = ?2")?;
            let mut found = HashMap::new();
            for key in envelopes {
                let words = read.query_row(params![key.sender.as_str(), key.id.to_string()], |row| row.get(0));
                if let Some(words) = words.optional()? {
                    found.insert(key.clone(), words);
                }
            }
            Ok(found)
        })
    }

    /// Of each list of file codes the nearest due time of a file that is still open; `None` when none of them has one.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn nearest_due(&self, lists: &[Vec<String>]) -> Result<Vec<Option<Timestamp>>, RegisterError> {
        self.with(|connection| {
            let mut read = connection
                .prepare_cached("SELECT min(due_at) FROM file WHERE file_code = ?1 AND finished_at IS NULL")?;
            let mut nearest = Vec::with_capacity(lists.len());
            for codes in lists {
                let mut first: Option<i64> = None;
                for code in codes {
                    let due: Option<i64> = read.query_row([code], |row| row.get(0))?;
                    first = [first, due].into_iter().flatten().min();
                }
                nearest.push(first.map(Timestamp::from_micros));
            }
            Ok(nearest)
        })
    }

    /// Counts files by one thing. Rows come by key.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn statistics(&self, query: &Query, now: Timestamp) -> Result<Vec<Row>, RegisterError> {
        self.with(|connection| count::rows(connection, query, now))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, RegisterError> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => schema::open(&self.path)?,
        };
        let done = work(&mut connection);
        match done {
            Err(source) if schema::is_damage(&source) => {
                drop(connection);
                schema::delete(&self.path)?;
                Err(RegisterError::Damaged { path: self.path.clone(), what: source.to_string() })
            }
            done => {
                *held = Some(connection);
                done.map_err(|source| RegisterError::Database { path: self.path.clone(), source })
            }
        }
    }
}

fn read_cursor(connection: &Connection) -> rusqlite::Result<Cursor> {
    connection.query_row("SELECT next, last FROM follows", [], |row| {
        let last: Option<[u8; 32]> = row.get(1)?;
        Ok(Cursor { next: row.get::<_, i64>(0)?.unsigned_abs(), last: last.map(Digest) })
    })
}

fn write(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    let mut forget = connection.prepare_cached("DELETE FROM file WHERE file_code = ?1")?;
    for code in &batch.file_codes {
        forget.execute([code])?;
    }
    let mut keep = connection.prepare_cached("INSERT OR REPLACE INTO file VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for file in &batch.files {
        keep.execute(params![
            file.file_code,
            file.issuer.as_str(),
            file.procedure_code,
            file.received_at.micros(),
            file.due_at.map(Timestamp::micros),
            file.finished_at.map(Timestamp::micros),
        ])?;
    }
    let mut tell = connection.prepare_cached("INSERT OR REPLACE INTO told VALUES (?1, ?2, ?3)")?;
    for (key, words) in &batch.words {
        tell.execute(params![key.sender.as_str(), key.id.to_string(), words])?;
    }
    let (next, last) = (i64::try_from(batch.cursor.next).unwrap_or(i64::MAX), batch.cursor.last);
    let last = last.map(|digest| *digest.as_bytes());
    connection.execute("UPDATE follows SET next = ?1, last = ?2", params![next, last])?;
    Ok(())
}
