//! Makes every index anew: the records are copied, table by table and without any index, into a new database, which then takes the place of the old one.
//!
//! So an index that cannot even be read is mended as well, and a crash at any moment leaves the old database or the new one, never half of both.
//! For that time twice the room is needed.

use std::fs::{self, File};
use std::path::Path;

use gateway_model::note::VerifierKey;
use gateway_store::soundness::{Rebuilt, Report};
use rusqlite::Connection;

use crate::check::check_opened;
use crate::failure::Failure;
use crate::head::Head;
use crate::import::{begin, insert_parts, remove, write_runs};
use crate::open::{self, DATABASE, OpenedForCheck};
use crate::options::{OpenError, Synchronous};
use crate::{rows, schema, writer};

/// The database that takes the place of the old one.
const REBUILDING: &str = "store.rebuilding";
/// Tables of records; what is not among them is made from them.
const RECORDS: [&str; 8] =
    ["lane", "envelope", "body", "delivery", "event", "checkpoint", "foreign_receipt", "way_back"];

/// Makes every index and counter anew from the records of the store in `folder`. Refuses, and changes nothing, when a record is damaged. No other
/// process may have it open. Blocks: not for a thread that runs tasks.
///
/// # Errors
/// [`OpenError`], as for a check, and when the disk fails or is full; the store is then as it was.
pub fn rebuild(folder: &Path, key: &VerifierKey) -> Result<Rebuilt, OpenError> {
    let mut opened = open::open_for_check(folder)?;
    let before = check_opened(&opened, key);
    if before.has_damaged_records {
        return Ok(Rebuilt::Refused(before));
    }
    let (path, new) = (folder.join(DATABASE), folder.join(REBUILDING));
    let file = |source| OpenError::File { path: new.clone(), source };
    remove(&new).map_err(file)?;
    let counters = |failure| open::refuse(&path, failure);
    opened.connection = schema::open_writer(&path, Synchronous::Full).map_err(|error| counters(error.into()))?;
    prepare(&opened.connection).map_err(counters)?;
    copy(&opened, &path, &new).map_err(counters)?;
    File::open(&new).and_then(|file| file.sync_all()).map_err(file)?;
    // With the last connection the write-ahead log goes; what it had has been moved in.
    opened.connection = Connection::open_in_memory().map_err(|error| counters(error.into()))?;
    if open::has_content(&open::beside(&path, "-wal")) {
        let source = std::io::Error::other("its write-ahead log is in use");
        return Err(OpenError::File { path, source });
    }
    fs::rename(&new, &path).map_err(file)?;
    open::sync_folder(folder).map_err(file)?;
    opened.connection = schema::open_reader(&path).map_err(|error| counters(error.into()))?;
    let after = check_opened(&opened, key);
    Ok(told(before, after))
}

/// What was wrong before and is not any more.
fn told(before: Report, after: Report) -> Rebuilt {
    let more = before.more;
    let mended = before.findings.into_iter().filter(|finding| !after.findings.contains(finding)).collect();
    Rebuilt::Mended { mended, more, after }
}

/// Today's format, and nothing in the write-ahead log.
fn prepare(connection: &Connection) -> Result<(), Failure> {
    let format: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    open::upgrade(connection, format)?;
    writer::checkpoint(connection, "TRUNCATE").map(drop)
}

fn copy(opened: &OpenedForCheck, path: &Path, new: &Path) -> Result<(), Failure> {
    let head = Head::read(&opened.connection)?;
    let connection = begin(new)?;
    connection.execute_batch("COMMIT")?;
    connection.execute("ATTACH DATABASE ?1 AS old", [path.to_string_lossy()])?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    // In the order of their keys: without an order SQLite would copy the pages of the indexes along, as they are.
    for table in RECORDS {
        let copy = format!("INSERT INTO main.{table} SELECT * FROM old.{table} NOT INDEXED ORDER BY 1");
        connection.execute_batch(&copy)?;
    }
    connection.execute_batch("INSERT INTO main.mark SELECT * FROM old.mark ORDER BY 1")?;
    derive(&connection, head)?;
    connection.execute_batch("COMMIT; DETACH DATABASE old")?;
    Ok(())
}

/// What follows from the records.
fn derive(connection: &Connection, mut head: Head) -> Result<(), Failure> {
    connection.execute_batch(
        "UPDATE main.envelope SET open = (SELECT count(*) FROM main.delivery
            WHERE key >= (envelope.seq << 13) AND key < ((envelope.seq + 1) << 13) AND status IN (0, 1, 4));
        UPDATE main.envelope SET final_at = received_at WHERE open = 0 AND final_at IS NULL;
        INSERT INTO main.finished (at, envelope) SELECT final_at, seq FROM main.envelope
            WHERE open = 0 AND seq IN (SELECT envelope FROM main.body);",
    )?;
    let sql = format!(
        "SELECT {} FROM main.envelope NOT INDEXED WHERE seq IN (SELECT envelope FROM main.body)",
        rows::ENVELOPE_COLUMNS
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        insert_parts(connection, &rows::read_envelope(row)?)?;
    }
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    head.waiting = count("SELECT count(*) FROM main.delivery WHERE status = 0")?;
    head.forwarded = count("SELECT count(*) FROM main.delivery WHERE status = 1")?;
    head.held = count("SELECT count(*) FROM main.delivery WHERE status = 4")?;
    head.returns = count("SELECT count(*) FROM main.way_back")?;
    head.write(connection)?;
    write_runs(connection, head.envelopes)
}
