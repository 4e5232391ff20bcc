//! Moves a store in: the records of an archive into a database of their own, which becomes `store.db` only when all has come and holds.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use gateway_evidence::{Checkpoint, Receipt};
use gateway_model::Timestamp;
use gateway_model::note::VerifierKey;
use gateway_store::archive::{Head as ArchivedHead, Incoming, Leaf, MoveError, Record, Return, next};
use gateway_store::claim::Lane;
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::mpsc::Receiver;

use crate::batch::{WayBack, set_mark};
use crate::check::check_all;
use crate::evidence::{self, ABOUT_NO_ENVELOPE, signed};
use crate::export::moved;
use crate::failure::Failure;
use crate::head::{Acknowledged, Head};
use crate::open::{self, ACKNOWLEDGED, DATABASE, IMPORTING, LOCK};
use crate::options::OpenError;
use crate::rows::{self, Kept, delivery_key};
use crate::schema;
use crate::sought::Behind;

/// Takes the records of an archive into the folder of a store that keeps nothing yet, and checks what it has written. Until the end there is no
/// store that a gateway would start on; what an import left that was stopped in the middle is cleared. Blocks: not for a thread that runs tasks.
///
/// # Errors
/// [`MoveError::NotEmpty`] before anything is changed; [`MoveError::OtherLog`], [`MoveError::Archive`], [`MoveError::Damaged`],
/// [`MoveError::Store`], after which nothing of it is left.
pub fn import(folder: &Path, key: &VerifierKey, from: &mut Receiver<Incoming>) -> Result<(), MoveError> {
    let refused = |error: OpenError| MoveError::Store { what: error.to_string() };
    let file = |error: std::io::Error| MoveError::Store { what: format!("{}: {error}", folder.display()) };
    fs::create_dir_all(folder).map_err(file)?;
    let _lock = open::lock(&folder.join(LOCK)).map_err(refused)?;
    empty(folder)?;
    let path = folder.join(IMPORTING);
    remove(&path).map_err(file)?;
    match take_in(&path, key, from) {
        Ok(head) => {
            acknowledge(folder, &head).map_err(file)?;
            fs::rename(&path, folder.join(DATABASE)).map_err(file)?;
            open::sync_folder(folder).map_err(file)
        }
        Err(error) => {
            remove(&path).map_err(file)?;
            Err(error)
        }
    }
}

/// Makes sure that no store is here, or one that has kept nothing.
fn empty(folder: &Path) -> Result<(), MoveError> {
    let not_empty = || MoveError::NotEmpty { what: folder.display().to_string() };
    let path = folder.join(DATABASE);
    if !path.exists() {
        // An import that was stopped just before its end had nothing before it either.
        if folder.join(IMPORTING).exists() {
            return Ok(());
        }
        let traces = [folder.join(ACKNOWLEDGED), open::beside(&path, "-wal")];
        return if traces.iter().any(|trace| open::has_content(trace)) { Err(not_empty()) } else { Ok(()) };
    }
    let connection = schema::open_writer(&path, crate::options::Synchronous::Full);
    let head = connection.map_err(Failure::from).and_then(|connection| {
        let head = Head::read(&connection)?;
        // What is in the write-ahead log must not come over the database that takes its place.
        crate::writer::checkpoint(&connection, "TRUNCATE")?;
        Ok(head)
    });
    match head {
        Ok(head) if (head.envelopes, head.log.size(), head.ways_back) == (0, 0, 0) => {
            let file = |error: std::io::Error| MoveError::Store { what: format!("{}: {error}", folder.display()) };
            remove(&folder.join(ACKNOWLEDGED)).map_err(file)
        }
        Ok(_) | Err(_) => Err(not_empty()),
    }
}

/// A database and what may stand beside it.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    for path in
        [path.to_owned(), open::beside(path, "-wal"), open::beside(path, "-shm"), open::beside(path, "-journal")]
    {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Before the database is there: it may name more than that has, as long as there is none.
fn acknowledge(folder: &Path, head: &Head) -> std::io::Result<()> {
    remove(&folder.join(ACKNOWLEDGED))?;
    remove_old(folder)?;
    let (acknowledged, _) = Acknowledged::open(&folder.join(ACKNOWLEDGED))?;
    acknowledged.write(head.commits.unsigned_abs())?;
    File::open(folder.join(ACKNOWLEDGED))?.sync_all()
}

/// The store that has kept nothing.
fn remove_old(folder: &Path) -> std::io::Result<()> {
    remove(&folder.join(DATABASE))
}

/// Writes the database, whole and synced, and gives its head.
fn take_in(path: &PathBuf, key: &VerifierKey, from: &mut Receiver<Incoming>) -> Result<Head, MoveError> {
    let failed = |failure: Failure| moved(path, &failure);
    let connection = begin(path).map_err(failed)?;
    let mut import = Import::new(&connection);
    let mut records = 0;
    while let Some(record) = next(from.blocking_recv(), records)? {
        records += 1;
        if let Record::Head(head) = &record {
            same_log(head, key)?;
        }
        import.take(record).map_err(failed)?;
    }
    let head = import.end().map_err(failed)?;
    connection.execute_batch("COMMIT").map_err(|error| failed(error.into()))?;
    let report = check_all(&connection, None, key);
    if let Some(finding) = report.findings.first() {
        let what =
            format!("what was imported does not hold: {}: {} {}", finding.code.code(), finding.place, finding.seen);
        return Err(MoveError::Damaged { what });
    }
    drop(connection);
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| MoveError::Store { what: format!("{}: {error}", path.display()) })?;
    Ok(head)
}

fn same_log(head: &ArchivedHead, key: &VerifierKey) -> Result<(), MoveError> {
    let opens =
        head.note.as_deref().is_none_or(|note| Checkpoint::open(note, key.name(), std::slice::from_ref(key)).is_ok());
    if opens && head.origin == key.name() {
        return Ok(());
    }
    Err(MoveError::OtherLog { kept: head.origin.clone(), given: key.to_string() })
}

/// A new database without a journal: it is nobody's store until it is whole, and is thrown away when it does not become so.
pub(crate) fn begin(path: &Path) -> Result<Connection, Failure> {
    let connection = schema::open_new(path)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(schema::TABLES)?;
    connection.pragma_update(None, "application_id", schema::APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", schema::FORMAT)?;
    Ok(connection)
}

/// Writes the search index as far as it is due.
pub(crate) fn write_runs(connection: &Connection, envelopes: i64) -> Result<(), Failure> {
    let mut behind = Behind::read(connection)?;
    while behind.is_due(envelopes) {
        behind.write_run(connection)?;
    }
    Ok(())
}

struct Import<'a> {
    connection: &'a Connection,
    head: Head,
    lanes: HashMap<Lane, i64>,
    /// The envelope whose deliveries and history are coming.
    current: Option<Current>,
}

struct Current {
    row: EnvelopeRow,
    final_at: Option<Timestamp>,
    places: i64,
    open: i64,
    has_body: bool,
}

impl<'a> Import<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self { connection, head: Head::default(), lanes: HashMap::new(), current: None }
    }

    fn take(&mut self, record: Record) -> Result<(), Failure> {
        match record {
            Record::Head(head) => {
                self.head = Head {
                    commits: signed(head.commits),
                    boot: signed(head.token_max >> 32),
                    ways_back: signed(head.returns_numbered),
                    envelopes: signed(head.envelopes),
                    log: head.log,
                    ..Head::default()
                };
                Ok(())
            }
            Record::Envelope { row, final_at } => {
                self.close_envelope()?;
                self.current = Some(Current { row, final_at, places: 0, open: 0, has_body: false });
                Ok(())
            }
            Record::Body(body) => self.body(&body),
            Record::Delivery(row) => self.delivery(row),
            Record::Own(leaf) => {
                let envelope = self.current()?.row.seq;
                self.leaf(rows::number(envelope), leaf)
            }
            Record::Foreign(foreign) => {
                let envelope = rows::number(self.current()?.row.seq);
                self.head.positions += 1;
                evidence::insert_foreign(self.connection, envelope, self.head.positions, &foreign)
            }
            Record::Loose(leaf) => self.leaf(ABOUT_NO_ENVELOPE, leaf),
            Record::Checkpoint { size, note } => evidence::insert_checkpoint(self.connection, size, &note),
            Record::Return(row) => self.way_back(row),
            Record::Mark { name, value } => set_mark(self.connection, &name, &value),
        }
    }

    fn current(&mut self) -> Result<&mut Current, Failure> {
        self.current.as_mut().ok_or_else(|| Failure::Damaged("the archive: it belongs to no envelope".to_owned()))
    }

    fn body(&mut self, body: &[u8]) -> Result<(), Failure> {
        let connection = self.connection;
        let current = self.current()?;
        current.has_body = true;
        let seq = rows::number(current.row.seq);
        rows::insert_body(connection, seq, body, rows::body_sum(body))?;
        insert_parts(connection, &current.row)
    }

    fn delivery(&mut self, row: DeliveryRow) -> Result<(), Failure> {
        let lane = self.lane(&row.lane)?;
        let status = row.state.status();
        let current = self.current()?;
        let key = delivery_key(rows::number(row.envelope), current.places);
        current.places += 1;
        current.open += i64::from(!status.is_final());
        self.head.count(status, 1);
        rows::insert_delivery(self.connection, &Kept { key, lane, row })
    }

    fn leaf(&mut self, envelope: i64, leaf: Leaf) -> Result<(), Failure> {
        self.head.positions += 1;
        let Leaf { index, tree_size, event, proof } = leaf;
        let receipt = Receipt { event, leaf_index: index, proof, checkpoint: "".into() };
        evidence::insert_leaf(self.connection, envelope, self.head.positions, tree_size, &receipt)
    }

    /// The receipt itself stands where it came from: a leaf of the log, or another gateway's receipt.
    fn way_back(&mut self, row: Return) -> Result<(), Failure> {
        let damaged = |what: &str| Failure::Damaged(format!("receipt on its way back {}: {what}", row.id));
        let receipt = Receipt::decode(&row.receipt).map_err(|error| damaged(&error.to_string()))?;
        let index = signed(receipt.leaf_index);
        let own = evidence::receipt_of(self.connection, index)?.filter(|own| *own == receipt);
        let foreign = match own {
            Some(_) => None,
            None => Some(self.foreign(&receipt, &row)?.ok_or_else(|| damaged("it is of no envelope here"))?),
        };
        self.head.returns += 1;
        let way_back = WayBack {
            id: signed(row.id),
            lane: self.lane(&row.lane)?,
            gateway: row.to,
            wake: row.wake,
            attempts: row.attempts,
            leaf: foreign.is_none().then_some(index),
            foreign,
            reason: row.reason,
        };
        way_back.insert(self.connection)
    }

    /// The same receipt, or else one of the same leaf: another proof of the same.
    fn foreign(&self, receipt: &Receipt, row: &Return) -> Result<Option<i64>, Failure> {
        let mut select = self.connection.prepare_cached(
            "SELECT position FROM foreign_receipt WHERE leaf_hash = ?1 ORDER BY receipt <> ?2, position LIMIT 1",
        )?;
        let leaf_hash = receipt.leaf_hash();
        Ok(select.query_row(params![&leaf_hash.0[..], &row.receipt[..]], |row| row.get(0)).optional()?)
    }

    fn lane(&mut self, lane: &Lane) -> Result<i64, Failure> {
        if let Some(number) = self.lanes.get(lane) {
            return Ok(*number);
        }
        self.connection.prepare_cached("INSERT INTO lane (name) VALUES (?1)")?.execute([lane.as_str()])?;
        let number = self.connection.last_insert_rowid();
        self.lanes.insert(lane.clone(), number);
        Ok(number)
    }

    /// Nothing more comes of the envelope.
    fn close_envelope(&mut self) -> Result<(), Failure> {
        let Some(Current { row, final_at, open, has_body, .. }) = self.current.take() else { return Ok(()) };
        let final_at = final_at.map(Timestamp::micros);
        rows::insert_envelope(self.connection, &row, open, final_at)?;
        if let Some(at) = final_at.filter(|_| has_body) {
            let mut insert = self.connection.prepare_cached("INSERT INTO finished (at, envelope) VALUES (?1, ?2)")?;
            insert.execute([at, rows::number(row.seq)])?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<Head, Failure> {
        self.close_envelope()?;
        self.head.write(self.connection)?;
        write_runs(self.connection, self.head.envelopes)?;
        Ok(self.head)
    }
}

/// Notes which parts a kept body names.
pub(crate) fn insert_parts(connection: &Connection, row: &EnvelopeRow) -> Result<(), Failure> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO part (digest, envelope) VALUES (?1, ?2)")?;
    for part in &row.header.parts {
        insert.execute(params![&part.digest.0[..], rows::number(row.seq)])?;
    }
    Ok(())
}
