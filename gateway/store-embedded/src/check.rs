//! The whole check, for `store check`: every page, every row, every counter, and the root of the log from its leaves.

use std::fmt;
use std::path::Path;

use gateway_evidence::merkle::Growth;
use gateway_evidence::{Checkpoint, LogState};
use gateway_model::note::VerifierKey;
use rusqlite::{Connection, Row};

use crate::evidence;
use crate::failure::Failure;
use crate::head::Head;
use crate::open::{self, OpenedForCheck};
use crate::options::OpenError;
use crate::rows;

/// Faults that one report names.
const FAULTS_MAX: usize = 1_000;
/// Leaves that are hashed at a time.
const LEAVES_AT_ONCE: usize = 65_536;

/// What a whole check saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// Rows read.
    pub rows: u64,
    /// Leaves hashed.
    pub leaves: u64,
    /// What is wrong, each naming its place; empty when all is well. Ends after the first thousand.
    pub faults: Vec<String>,
}

/// Checks the store in `folder` from end to end. Nothing is changed; no other process may have it open. Takes as long as reading all of it.
///
/// # Errors
/// [`OpenError`] when there is nothing to check: another process has it, it is missing, of a newer format, or no database at all.
pub fn check(folder: &Path, key: &VerifierKey) -> Result<CheckReport, OpenError> {
    let OpenedForCheck { connection, acknowledged, _lock } = open::open_for_check(folder)?;
    let mut report = CheckReport::default();
    let all = [check_pages, check_rows, check_counters, check_leaves];
    for one in all {
        if let Err(failure) = one(&connection, &mut report) {
            report.fault(&failure);
        }
    }
    if let Err(failure) = check_head(&connection, key, acknowledged, &mut report) {
        report.fault(&failure);
    }
    Ok(report)
}

impl CheckReport {
    /// Whether all is well.
    pub fn is_well(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, what: &impl fmt::Display) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what.to_string());
        }
    }
}

fn check_pages(connection: &Connection, report: &mut CheckReport) -> Result<(), Failure> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FAULTS_MAX})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            report.fault(&line);
        }
    }
    Ok(())
}

/// Reads every row of every table that carries a checksum.
fn check_rows(connection: &Connection, report: &mut CheckReport) -> Result<(), Failure> {
    let envelopes = format!("SELECT {} FROM envelope", rows::ENVELOPE_COLUMNS);
    each(connection, report, &envelopes, |row| rows::read_envelope(row).map(drop))?;
    // A lane that is missing makes the name NULL, which no delivery can have.
    let deliveries =
        format!("SELECT {} FROM delivery LEFT JOIN lane ON lane.id = delivery.lane", rows::DELIVERY_COLUMNS);
    each(connection, report, &deliveries, |row| rows::read_delivery(row).map(drop))?;
    each(connection, report, "SELECT envelope FROM body", |row| rows::body_of(connection, row.get(0)?).map(drop))?;
    each(connection, report, "SELECT leaf FROM event", |row| {
        let leaf: i64 = row.get(0)?;
        let missing = || Failure::Damaged(format!("event {leaf}: its checkpoint is missing"));
        evidence::receipt_of(connection, leaf)?.map(drop).ok_or_else(missing)
    })?;
    each(connection, report, "SELECT position FROM foreign_receipt", |row| {
        evidence::foreign_at(connection, row.get(0)?).map(drop)
    })?;
    // A store of the first format has none.
    each(connection, report, "SELECT name FROM sqlite_schema WHERE name = 'mark'", |_| {
        crate::batch::every_mark(connection).map(drop)
    })?;
    each(connection, report, "SELECT id FROM way_back", |row| {
        let id: i64 = row.get(0)?;
        let missing = || Failure::Damaged(format!("way_back {id}: its lane is missing"));
        let (row, _) = crate::batch::WayBack::at(connection, id)?.ok_or_else(missing)?;
        row.with_receipt(connection).map(drop)
    })
}

fn each(
    connection: &Connection,
    report: &mut CheckReport,
    sql: &str,
    mut read: impl FnMut(&Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        report.rows += 1;
        if let Err(failure) = read(row) {
            report.fault(&failure);
        }
    }
    Ok(())
}

fn check_counters(connection: &Connection, report: &mut CheckReport) -> Result<(), Failure> {
    let head = Head::read(connection)?;
    let counters = [
        ("envelopes", head.envelopes, "SELECT count(*) FROM envelope"),
        ("waiting deliveries", head.waiting, "SELECT count(*) FROM delivery NOT INDEXED WHERE status = 0"),
        ("forwarded deliveries", head.forwarded, "SELECT count(*) FROM delivery NOT INDEXED WHERE status = 1"),
        ("held deliveries", head.held, "SELECT count(*) FROM delivery NOT INDEXED WHERE status = 4"),
        ("receipts on their way back", head.returns, "SELECT count(*) FROM way_back"),
        (
            "envelopes with a wrong number of open deliveries",
            0,
            "SELECT count(*) FROM envelope WHERE open <> (SELECT count(*) FROM delivery
                WHERE key >= (envelope.seq << 13) AND key < ((envelope.seq + 1) << 13) AND status IN (0, 1, 4))",
        ),
        (
            "envelopes that end without being finished or purged",
            0,
            "SELECT count(*) FROM envelope JOIN body ON body.envelope = envelope.seq
                WHERE open = 0 AND NOT EXISTS (SELECT 1 FROM finished WHERE at = final_at AND finished.envelope = envelope.seq)",
        ),
    ];
    for (what, kept, sql) in counters {
        let counted: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        if counted != kept {
            report.fault(&format!("{what}: {counted} counted, {kept} kept"));
        }
    }
    Ok(())
}

/// Grows the tree anew from its leaves.
fn check_leaves(connection: &Connection, report: &mut CheckReport) -> Result<(), Failure> {
    let head = Head::read(connection)?;
    let (mut size, mut frontier) = (0, Vec::new());
    loop {
        let hashes = evidence::leaf_hashes(connection, size, LEAVES_AT_ONCE)?;
        if hashes.is_empty() {
            break;
        }
        let growth = Growth::new(size, &frontier, &hashes);
        (size, frontier) = (growth.size(), growth.frontier());
    }
    report.leaves = size;
    let same = |state: &LogState| state.size() == size && state.frontier() == frontier;
    if !same(&head.log) {
        report.fault(&format!(
            "event: the root over {size} leaves is not the one of the log state over {}",
            head.log.size()
        ));
    }
    Ok(())
}

fn check_head(
    connection: &Connection,
    key: &VerifierKey,
    acknowledged: Option<u64>,
    report: &mut CheckReport,
) -> Result<(), Failure> {
    let head = Head::read(connection)?;
    if acknowledged.is_some_and(|commit| commit > head.commits.unsigned_abs()) {
        report.fault(&format!("head: ends at commit {}, but {acknowledged:?} had been acknowledged", head.commits));
    }
    let Some(note) = evidence::newest_checkpoint(connection)? else {
        if head.log.size() > 0 {
            report.fault(&"checkpoint: the newest one is missing");
        }
        return Ok(());
    };
    match Checkpoint::open(&note, key.name(), std::slice::from_ref(key)) {
        Ok(checkpoint) if checkpoint.size == head.log.size() && checkpoint.root == head.log.root() => {}
        Ok(_) => report.fault(&"checkpoint: the newest one does not match the state of the log"),
        Err(error) => report.fault(&format!("checkpoint: {error}")),
    }
    Ok(())
}
