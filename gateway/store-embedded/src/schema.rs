//! The tables, and the settings of a connection.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::options::Synchronous;

/// "LThg": what SQLite's `application_id` says of our files.
pub(crate) const APPLICATION_ID: i32 = 0x4c54_6867;
/// Format of the tables; a store with a higher one is refused.
pub(crate) const FORMAT: i32 = 3;
/// Bits of a delivery's key that tell its place among the deliveries of its envelope.
pub(crate) const PLACE_BITS: u32 = 13;
/// Deliveries that one envelope can have.
pub(crate) const PLACES_MAX: i64 = 1 << PLACE_BITS;

const PAGE_BYTES: u32 = 8 * 1024;
const WRITER_CACHE_KIB: i64 = 64 * 1024;
const READER_CACHE_KIB: i64 = 8 * 1024;
const STATEMENTS_CACHED: usize = 64;
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Every table. `sum` is the first eight bytes of the SHA-256 of the row's other columns: what has been damaged is never served.
pub(crate) const TABLES: &str = "
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    commits INTEGER NOT NULL, boot INTEGER NOT NULL, positions INTEGER NOT NULL, ways_back INTEGER NOT NULL,
    envelopes INTEGER NOT NULL, waiting INTEGER NOT NULL, forwarded INTEGER NOT NULL, held INTEGER NOT NULL, returns INTEGER NOT NULL,
    log BLOB NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE TABLE lane (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE envelope (
    seq INTEGER PRIMARY KEY, sender TEXT NOT NULL, id BLOB NOT NULL, digest BLOB NOT NULL,
    received_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, priority INTEGER NOT NULL, kind TEXT NOT NULL,
    file_code TEXT NOT NULL, subject TEXT NOT NULL, code TEXT NOT NULL, arrived_from TEXT, hops TEXT NOT NULL, traceparent TEXT,
    first_accepted BLOB, parts BLOB NOT NULL, accepted_leaf INTEGER NOT NULL, sum INTEGER NOT NULL,
    open INTEGER NOT NULL, final_at INTEGER
) STRICT;
CREATE UNIQUE INDEX envelope_key ON envelope (id, sender);
CREATE INDEX envelope_file ON envelope (file_code) WHERE file_code <> '';
CREATE TABLE body (envelope INTEGER PRIMARY KEY, signed BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE part (digest BLOB NOT NULL, envelope INTEGER NOT NULL, PRIMARY KEY (digest, envelope)) STRICT, WITHOUT ROWID;
CREATE TABLE finished (at INTEGER NOT NULL, envelope INTEGER NOT NULL, PRIMARY KEY (at, envelope)) STRICT, WITHOUT ROWID;
CREATE TABLE delivery (
    key INTEGER PRIMARY KEY, id BLOB NOT NULL, named TEXT NOT NULL, serving TEXT NOT NULL, lane INTEGER NOT NULL, status INTEGER NOT NULL,
    reason TEXT, next TEXT, wake INTEGER, attempts INTEGER NOT NULL, since INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX delivery_id ON delivery (id);
CREATE INDEX delivery_due ON delivery (lane, wake) WHERE wake IS NOT NULL;
CREATE INDEX delivery_rare ON delivery (key) WHERE status IN (1, 3, 4, 5, 6);
CREATE TABLE event (
    leaf INTEGER PRIMARY KEY, envelope INTEGER NOT NULL, position INTEGER NOT NULL, tree_size INTEGER NOT NULL, event BLOB NOT NULL,
    proof BLOB NOT NULL, sum INTEGER NOT NULL
) STRICT;
CREATE INDEX event_of ON event (envelope, position);
CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE foreign_receipt (
    position INTEGER PRIMARY KEY, envelope INTEGER NOT NULL, leaf_hash BLOB NOT NULL, receipt BLOB NOT NULL, sum INTEGER NOT NULL,
    UNIQUE (leaf_hash, envelope)
) STRICT;
CREATE INDEX foreign_receipt_of ON foreign_receipt (envelope, position);
CREATE TABLE way_back (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, lane INTEGER NOT NULL, wake INTEGER, attempts INTEGER NOT NULL, leaf INTEGER,
    foreign_position INTEGER, reason TEXT, sum INTEGER NOT NULL
) STRICT;
CREATE INDEX way_back_due ON way_back (lane, wake) WHERE wake IS NOT NULL;
CREATE TABLE mark (name TEXT PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE run (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, earliest INTEGER NOT NULL, latest INTEGER NOT NULL) STRICT;
CREATE TABLE sought (run INTEGER NOT NULL, word INTEGER NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (run, word, key)) STRICT, WITHOUT ROWID;
";

/// What each format has that the one before it had not: from 1 to 2, and so on. A store of an older format gets them at its opening.
pub(crate) const CHANGES: &[&str] = &[
    "CREATE TABLE mark (name TEXT PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    "CREATE TABLE run (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, earliest INTEGER NOT NULL, latest INTEGER NOT NULL) STRICT;
    CREATE TABLE sought (run INTEGER NOT NULL, word INTEGER NOT NULL, key INTEGER NOT NULL, PRIMARY KEY (run, word, key)) STRICT, WITHOUT ROWID;",
];

/// Opens the connection that writes; makes the file when it is not there.
pub(crate) fn open_writer(path: &Path, synchronous: Synchronous) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous.pragma())?;
    // The writer checkpoints by itself between two commits, so that a failed sync there is seen and not swallowed.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    settle_in(&connection, WRITER_CACHE_KIB)?;
    Ok(connection)
}

/// Opens a database that is only made: without a journal, since it is thrown away unless it becomes whole.
pub(crate) fn open_new(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    settle_in(&connection, WRITER_CACHE_KIB)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    settle_in(&connection, READER_CACHE_KIB)?;
    Ok(connection)
}

fn settle_in(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // No plan depends on what is bound: else SQLite prepares a statement anew each time when a plan might.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(())
}
