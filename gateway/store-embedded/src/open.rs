//! Opening: who else is there, what is there, and whether it is what was left.
//!
//! In this order: the folder is locked; a database that is missing beside traces of a store is refused; format and identity are checked;
//! its length is what its header says; SQLite recovers the write-ahead log; the result must reach the last acknowledged commit, and its log
//! state must match the newest signed checkpoint. Only then a new boot number is committed and the writer starts.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gateway_evidence::{Checkpoint, Log};
use gateway_model::Timestamp;
use gateway_model::note::VerifierKey;
use rusqlite::Connection;

use crate::ballast::{self, BALLAST, Ballast};
use crate::batch::LaneNumbers;
use crate::failure::{Failure, Trouble};
use crate::head::{Acknowledged, Head};
use crate::mover::Mover;
use crate::options::{OpenError, OpenOptions};
use crate::queue::Queue;
use crate::reader::Readers;
use crate::schema::{self, APPLICATION_ID, FORMAT, TABLES};
use crate::shared::Shared;
use crate::sought::Behind;
use crate::store::EmbeddedStore;
use crate::work::Work;
use crate::writer::{self, Writer};
use crate::{ahead, claim, evidence, held, room_ahead};

/// The database.
pub(crate) const DATABASE: &str = "store.db";
/// The database that an import is writing; that it is there says that the import has not ended.
pub(crate) const IMPORTING: &str = "store.importing";
/// Locked for as long as a process has the store.
pub(crate) const LOCK: &str = "lock";
/// Names the last acknowledged commit; that it is there says that a store was here.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
/// Where the parts lie when they lie beside the database.
const PARTS: &str = "parts";
const HEADER_BYTES: usize = 100;
const READERS_MAX: usize = 64;

pub(crate) fn open(options: OpenOptions) -> Result<EmbeddedStore, OpenError> {
    let folder = &options.folder;
    let file = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::File { path, source }
    };
    fs::create_dir_all(folder).map_err(file(folder))?;
    let lock = lock(&folder.join(LOCK))?;
    whole(folder)?;
    let path = folder.join(DATABASE);
    let is_new = check_files(folder, &path)?;
    // Before the database: on a full disk it is what lets it open.
    let ballast =
        Ballast::open(folder, options.ballast_bytes, options.free_bytes_min).map_err(file(&folder.join(BALLAST)))?;
    let connection = open_database(&path, &options, is_new)?;
    if is_new {
        sync_folder(folder).map_err(file(folder))?;
    }
    let acknowledged_path = folder.join(ACKNOWLEDGED);
    let (acknowledged, last) =
        Acknowledged::open(&acknowledged_path).map_err(|source| not_acknowledged(&acknowledged_path, source))?;
    if last.is_none() {
        sync_folder(folder).map_err(file(folder))?;
    }
    let mut head = Head::read(&connection).map_err(|failure| refuse(&path, failure))?;
    check_reached(&path, &head, last)?;
    let checkpoint = check_log(&connection, &path, &head, options.signer.verifier())?;
    raise_boot(&connection, &path, &mut head)?;
    acknowledged.write(head.commits.unsigned_abs()).map_err(file(&acknowledged_path))?;
    move_log_in(&connection, &path)?;
    if let Some(now) = options.now {
        wake_what_lies_too_far_ahead(&connection, &path, now, now.plus(options.retry_max))?;
    }
    if options.log_bytes_ahead > 0 {
        lay_out_log(&path, &options)?;
    }
    start(options, Opened { path, connection, head, acknowledged, checkpoint, ballast, lock })
}

/// All that stands when the checks are over.
struct Opened {
    path: PathBuf,
    connection: Connection,
    head: Head,
    acknowledged: Acknowledged,
    checkpoint: Option<Arc<str>>,
    ballast: Ballast,
    lock: File,
}

fn start(options: OpenOptions, opened: Opened) -> Result<EmbeddedStore, OpenError> {
    let Opened { path, connection, head, acknowledged, checkpoint, ballast, lock } = opened;
    let refuse = |failure| refuse(&path, failure);
    let mut work = Work::new(u32::try_from(head.boot).unwrap_or(u32::MAX));
    claim::open_lanes(&connection, &mut work).map_err(refuse)?;
    let behind = Behind::read(&connection).map_err(refuse)?;
    let mut readers = Vec::new();
    for _ in 0..options.readers.clamp(1, READERS_MAX) {
        readers.push(schema::open_reader(&path).map_err(|error| refuse(error.into()))?);
    }
    let log =
        Log::new(options.signer, head.log.clone()).map_err(|error| refuse(Failure::Damaged(error.to_string())))?;
    let mover = Mover::start(&path, options.synchronous).map_err(refuse)?;
    let shared = Arc::new(Shared::new(options.folder, ballast, work, head.clone(), checkpoint, lock));
    let (queue, inbox) = Queue::new(options.queue_steps_max, options.queue_bytes_max);
    let writer = Writer {
        path: path.clone(),
        connection,
        log,
        head,
        acknowledged,
        lanes: LaneNumbers::default(),
        shared: shared.clone(),
        inbox,
        mover,
        checkpoint_bytes: options.checkpoint_bytes,
        unchecked_bytes: 0,
        was_full: false,
        behind,
        has_woken: false,
    };
    let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run());
    let thread = thread.map_err(|source| OpenError::File { path: path.clone(), source })?;
    Ok(EmbeddedStore {
        shared,
        queue: Mutex::new(Some(Arc::new(queue))),
        readers: Readers::new(path, readers),
        writer: Mutex::new(Some(thread)),
    })
}

/// A store opened for reading all of it.
pub(crate) struct OpenedForCheck {
    pub(crate) connection: Connection,
    pub(crate) acknowledged: Option<u64>,
    pub(crate) _lock: File,
}

pub(crate) fn open_for_check(folder: &Path) -> Result<OpenedForCheck, OpenError> {
    let lock = lock(&folder.join(LOCK))?;
    let path = folder.join(DATABASE);
    whole(folder)?;
    if check_files(folder, &path)? {
        return Err(OpenError::Missing { path, beside: folder.to_owned() });
    }
    let connection = schema::open_reader(&path).map_err(|error| refuse(&path, error.into()))?;
    let acknowledged_path = folder.join(ACKNOWLEDGED);
    let acknowledged =
        Acknowledged::open(&acknowledged_path).map_err(|source| not_acknowledged(&acknowledged_path, source))?.1;
    Ok(OpenedForCheck { connection, acknowledged, _lock: lock })
}

/// What an import has begun and not ended is no store.
fn whole(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join(IMPORTING);
    if path.exists() { Err(OpenError::HalfImported { path }) } else { Ok(()) }
}

pub(crate) fn lock(path: &Path) -> Result<File, OpenError> {
    let file = |source| OpenError::File { path: path.to_owned(), source };
    let lock = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(file)?;
    match held::lock(&lock) {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(file(source)),
    }
}

/// Whether a store is to be made here. Never when anything says that there was one.
pub(crate) fn check_files(folder: &Path, path: &Path) -> Result<bool, OpenError> {
    let missing = |beside: PathBuf| OpenError::Missing { path: path.to_owned(), beside };
    let mut traces = [folder.join(ACKNOWLEDGED), beside(path, "-wal"), folder.join(PARTS)].into_iter();
    if !path.exists() {
        return traces.find(|trace| has_content(trace)).map_or(Ok(true), |trace| Err(missing(trace)));
    }
    let mut header = [0; HEADER_BYTES];
    let mut file = File::open(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    match file.read_exact(&mut header) {
        Ok(()) => check_header(path, &header).and_then(|()| check_length(path, &header)).map(|()| false),
        // A crash while the store was being made leaves an empty file and no trace of anything kept.
        Err(_) if has_content(&folder.join(ACKNOWLEDGED)) => corrupt(path, "it is shorter than its header"),
        Err(_) => Ok(true),
    }
}

fn check_header(path: &Path, header: &[u8; HEADER_BYTES]) -> Result<(), OpenError> {
    let number = |at: usize| i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if !header.starts_with(b"SQLite format 3\0") {
        return corrupt(path, "its first bytes are not those of a database");
    }
    // The tables come in with the first transaction, which may still stand in the write-ahead log alone.
    let (format, application) = (number(60), number(68));
    if (format, application) == (0, 0) && !has_content(&path.with_file_name(ACKNOWLEDGED)) {
        return Ok(());
    }
    if application != APPLICATION_ID {
        return Err(OpenError::NotAStore { path: path.to_owned() });
    }
    check_format(path, format)
}

/// Without a write-ahead log the file is as long as its header says; SQLite would fill a page that lacks its end with zeros.
fn check_length(path: &Path, header: &[u8; HEADER_BYTES]) -> Result<(), OpenError> {
    if has_content(&beside(path, "-wal")) {
        return Ok(());
    }
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let expected = page_bytes * u64::from(pages);
    let length = fs::metadata(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?.len();
    if length < expected { corrupt(path, &format!("it has {length} bytes where {expected} are due")) } else { Ok(()) }
}

fn check_format(path: &Path, found: i32) -> Result<(), OpenError> {
    if found > FORMAT { Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT }) } else { Ok(()) }
}

fn open_database(path: &Path, options: &OpenOptions, is_new: bool) -> Result<Connection, OpenError> {
    let database = |source: rusqlite::Error| refuse(path, Failure::Sql(source));
    let connection = schema::open_writer(path, options.synchronous).map_err(database)?;
    let format: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(database)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(database)?;
    match (application, format) {
        (0, 0) if tables == 0 => create(&connection).map_err(|failure| refuse(path, failure))?,
        (APPLICATION_ID, found) => {
            check_format(path, found)?;
            upgrade(&connection, found).map_err(|failure| refuse(path, failure))?;
        }
        _ => return Err(OpenError::NotAStore { path: path.to_owned() }),
    }
    if is_new {
        writer::checkpoint(&connection, "TRUNCATE").map_err(|failure| refuse(path, failure))?;
    }
    Ok(connection)
}

/// Brings a store of an older format up to today's, in one transaction.
pub(crate) fn upgrade(connection: &Connection, found: i32) -> Result<(), Failure> {
    let known = usize::try_from(found.saturating_sub(1)).unwrap_or(0);
    let Some(changes) = schema::CHANGES.get(known..).filter(|changes| !changes.is_empty()) else { return Ok(()) };
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for change in changes {
        connection.execute_batch(change)?;
    }
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.execute_batch("COMMIT")?;
    tracing::info!(from = found, to = FORMAT, "the store has today's format now");
    Ok(())
}

pub(crate) fn create(connection: &Connection) -> Result<(), Failure> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Head::default().write(connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// Nothing that was acknowledged may be missing.
fn check_reached(path: &Path, head: &Head, acknowledged: Option<u64>) -> Result<(), OpenError> {
    let found = head.commits.unsigned_abs();
    match acknowledged {
        Some(acknowledged) if found < acknowledged => {
            Err(OpenError::Behind { path: path.to_owned(), found, acknowledged })
        }
        Some(_) | None => Ok(()),
    }
}

/// The newest checkpoint is signed by our key and says what the log state says.
fn check_log(
    connection: &Connection,
    path: &Path,
    head: &Head,
    key: &VerifierKey,
) -> Result<Option<Arc<str>>, OpenError> {
    let newest = evidence::newest_checkpoint(connection).map_err(|failure| refuse(path, failure))?;
    let Some(note) = &newest else {
        return if head.log.size() == 0 { Ok(None) } else { corrupt(path, "the newest checkpoint is missing") };
    };
    let changed = || {
        let kept = note.lines().next().unwrap_or_default().to_owned();
        OpenError::LogKeyChanged { path: path.to_owned(), kept, given: key.to_string() }
    };
    let checkpoint = Checkpoint::open(note, key.name(), std::slice::from_ref(key)).map_err(|_| changed())?;
    if checkpoint.size != head.log.size() || checkpoint.root != head.log.root() {
        return corrupt(path, "the newest checkpoint does not match the state of the log");
    }
    Ok(newest)
}

/// A new number for every start, so that no fencing token of an earlier one fits.
fn raise_boot(connection: &Connection, path: &Path, head: &mut Head) -> Result<(), OpenError> {
    head.boot += 1;
    head.commits += 1;
    head.write(connection).map_err(|failure| refuse(path, failure))
}

/// On a full disk the write-ahead log stays as it is: it may hold more new pages than there is room for in the database.
fn move_log_in(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match writer::checkpoint(connection, "TRUNCATE") {
        Ok(_) => Ok(()),
        Err(failure) if failure.trouble() == Trouble::Full => {
            tracing::error!(file = %path.display(), "the disk is full: the write-ahead log stays beside the database");
            Ok(())
        }
        Err(failure) => Err(refuse(path, failure)),
    }
}

/// Not where room is scarce: it is for envelopes.
fn lay_out_log(path: &Path, options: &OpenOptions) -> Result<(), OpenError> {
    let log = beside(path, "-wal");
    let file = |source| OpenError::File { path: log.clone(), source };
    let spare = ballast::free_bytes(&options.folder).map_err(file)?.saturating_sub(options.free_bytes_min);
    if spare / 8 < options.log_bytes_ahead {
        Ok(())
    } else {
        room_ahead::lay_out(&log, options.log_bytes_ahead).map_err(file)
    }
}

/// On a full disk it is left for a later start: what can be delivered in time must not wait for it.
fn wake_what_lies_too_far_ahead(
    connection: &Connection,
    path: &Path,
    now: Timestamp,
    latest: Timestamp,
) -> Result<(), OpenError> {
    match ahead::bring_back(connection, now, latest) {
        Ok(0) => Ok(()),
        Ok(count) => {
            tracing::warn!(count, "work would have waited too long: a clock ran ahead; it is due now");
            Ok(())
        }
        Err(failure) if failure.trouble() == Trouble::Full => {
            tracing::error!(file = %path.display(), "the disk is full: work that a fast clock put off stays put off");
            Ok(())
        }
        Err(failure) => Err(refuse(path, failure)),
    }
}

pub(crate) fn has_content(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    if metadata.is_file() {
        return metadata.len() > 0;
    }
    fs::read_dir(path).into_iter().flatten().flatten().any(|entry| has_content(&entry.path()))
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    match folder.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn corrupt<T>(path: &Path, what: &str) -> Result<T, OpenError> {
    Err(OpenError::Corrupt { path: path.to_owned(), what: what.to_owned() })
}

pub(crate) fn not_acknowledged(path: &Path, source: io::Error) -> OpenError {
    match source.kind() {
        io::ErrorKind::InvalidData => OpenError::Corrupt { path: path.to_owned(), what: source.to_string() },
        _ => OpenError::File { path: path.to_owned(), source },
    }
}

pub(crate) fn refuse(path: &Path, failure: Failure) -> OpenError {
    match (failure.trouble(), failure) {
        (Trouble::Full | Trouble::Disk | Trouble::Other, Failure::Sql(source)) => {
            OpenError::Database { path: path.to_owned(), source }
        }
        (_, failure) => OpenError::Corrupt { path: path.to_owned(), what: failure.to_string() },
    }
}
