//! The whole check, for `store check`: every page, every row, every index in both directions, every counter, and the log from its leaves.

mod indexes;

use std::path::Path;

use gateway_model::note::VerifierKey;
use gateway_store::soundness::log::LogWalk;
use gateway_store::soundness::{FindingCode, Report, is_acceptance_of, is_body_of};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::evidence::{self, Line, What};
use crate::failure::Failure;
use crate::head::Head;
use crate::open::{self, OpenedForCheck};
use crate::options::OpenError;
use crate::rows;

/// Lines that the database engine tells of its pages.
const PAGE_FAULTS_MAX: usize = 1_000;

/// Checks the store in `folder` from end to end. Nothing is changed; no other process may have it open. Takes as long as reading all of it.
///
/// # Errors
/// [`OpenError`] when there is nothing to check: another process has it, it is missing, half imported, of a newer format, or no database at all.
pub fn check(folder: &Path, key: &VerifierKey) -> Result<Report, OpenError> {
    let opened = open::open_for_check(folder)?;
    Ok(check_opened(&opened, key))
}

/// Checks a store that is open for it.
pub(crate) fn check_opened(opened: &OpenedForCheck, key: &VerifierKey) -> Report {
    check_all(&opened.connection, opened.acknowledged, key)
}

/// Checks a database.
pub(crate) fn check_all(connection: &Connection, acknowledged: Option<u64>, key: &VerifierKey) -> Report {
    let mut report = Report::default();
    let all = [check_pages, check_envelopes, check_rest, indexes::check];
    for one in all {
        if let Err(failure) = one(connection, &mut report) {
            tell(&mut report, "database", &failure);
        }
    }
    if let Err(failure) = check_log(connection, key, acknowledged, &mut report) {
        tell(&mut report, "head", &failure);
    }
    report
}

/// Tells of a record that cannot be read.
fn tell(report: &mut Report, place: &str, failure: &Failure) {
    match failure {
        Failure::Damaged(what) => report.find(FindingCode::RecordDamaged, what.clone(), ""),
        Failure::Conflict(_) | Failure::Bound(_) | Failure::File(_) | Failure::Sql(_) => {
            report.find(FindingCode::RecordDamaged, place, failure.to_string());
        }
    }
}

fn check_pages(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({PAGE_FAULTS_MAX})"))?;
    let mut rows = statement.query([])?;
    let mut has_broken_index = false;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(()),
            // It looks every row up in every index, and ends at a page of one that it cannot read. The rows are read without them below.
            Err(_) if has_broken_index => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let lines: String = row.get(0)?;
        for line in lines.lines().filter(|line| *line != "ok" && !line.starts_with("***")) {
            let is_of_index = is_of_an_index(connection, line)?;
            has_broken_index |= is_of_index;
            let code = if is_of_index { FindingCode::IndexWrong } else { FindingCode::PageDamaged };
            report.find(code, "store.db", line);
        }
    }
}

/// Whether a line of the engine is about an index, or a table that is made from others.
fn is_of_an_index(connection: &Connection, line: &str) -> Result<bool, Failure> {
    if ["wrong # of entries in index", "non-unique entry in index"].iter().any(|start| line.starts_with(start))
        || line.contains("missing from index")
    {
        return Ok(true);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some("Tree"), Some(root)) = (words.next(), words.next().and_then(|root| root.parse::<i64>().ok())) else {
        return Ok(false);
    };
    let mut select = connection.prepare_cached(
        "SELECT type = 'index' OR name IN ('part', 'finished', 'run', 'sought') FROM sqlite_schema WHERE rootpage = ?1",
    )?;
    Ok(select.query_row([root], |row| row.get(0)).optional()?.unwrap_or(false))
}

/// Reads every envelope with its body, its deliveries and the leaf of its acceptance.
fn check_envelopes(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let envelopes = format!("SELECT {} FROM envelope NOT INDEXED ORDER BY seq", rows::ENVELOPE_COLUMNS);
    let mut last = 0;
    each(connection, report, &envelopes, |row, report| {
        let seq: i64 = row.get(0)?;
        if seq != last + 1 {
            report.find(FindingCode::RecordMissing, format!("envelope {}", last + 1), "");
        }
        last = seq;
        let envelope = rows::read_envelope(row)?;
        if let Some(body) = rows::body_of(connection, seq)?
            && !is_body_of(&body, &envelope)
        {
            report.find(FindingCode::BodyOther, format!("body of envelope {seq}"), "");
        }
        let leaf = evidence::leaf_at(connection, evidence::signed(envelope.accepted_leaf))?;
        match leaf.map(|line| line.what) {
            Some(What::Own { receipt, .. }) if is_acceptance_of(&receipt.event, &envelope) => {}
            Some(_) | None => {
                let seen = format!("it does not say that envelope {seq} was accepted");
                report.find(FindingCode::LogBroken, format!("event {}", envelope.accepted_leaf), seen);
            }
        }
        Ok(())
    })?;
    let kept = Head::read(connection)?.envelopes;
    if last < kept {
        report.find(FindingCode::RecordMissing, format!("envelope {}", last + 1), format!("the last one is {kept}"));
    }
    // A lane that is missing makes the name NULL, which no delivery can have.
    let deliveries = format!(
        "SELECT {} FROM delivery NOT INDEXED LEFT JOIN lane ON lane.id = delivery.lane ORDER BY delivery.key",
        rows::DELIVERY_COLUMNS
    );
    let mut last = (0, 0);
    each(connection, report, &deliveries, |row, report| {
        let key: i64 = row.get(0)?;
        let here = (rows::envelope_of(key), rows::place_of(key));
        let expected = if here.0 == last.0 { last.1 + 1 } else { 0 };
        last = here;
        if here.1 != expected {
            report.find(FindingCode::RecordMissing, format!("delivery {expected} of envelope {}", here.0), "");
        }
        rows::read_delivery(row).map(drop)
    })
}

/// Reads what else there is, except the log.
fn check_rest(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let bodies = "SELECT envelope, NOT EXISTS (SELECT 1 FROM envelope WHERE seq = body.envelope) FROM body NOT INDEXED";
    each(connection, report, bodies, |row, report| {
        if row.get(1)? {
            let seq: i64 = row.get(0)?;
            report.find(FindingCode::RecordMissing, format!("envelope {seq}"), "its body is there");
        }
        Ok(())
    })?;
    each(connection, report, "SELECT position FROM foreign_receipt NOT INDEXED", |row, _| {
        evidence::foreign_at(connection, row.get(0)?).map(drop)
    })?;
    each(connection, report, "SELECT id FROM way_back NOT INDEXED", |row, _| {
        let id: i64 = row.get(0)?;
        let missing = || Failure::Damaged(format!("way_back {id}: its lane is missing"));
        let (row, _) = crate::batch::WayBack::at(connection, id)?.ok_or_else(missing)?;
        row.with_receipt(connection).map(drop)
    })?;
    // A store of the first format has none.
    let has_marks = "SELECT 1 FROM sqlite_schema WHERE name = 'mark'";
    if connection.prepare(has_marks)?.exists([])? {
        crate::batch::each_mark(connection, |mark| {
            report.rows += 1;
            if let Err(failure) = mark {
                tell(report, "mark", &failure);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn each(
    connection: &Connection,
    report: &mut Report,
    sql: &str,
    mut read: impl FnMut(&Row<'_>, &mut Report) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        report.rows += 1;
        if let Err(failure) = read(row, report) {
            tell(report, "a row", &failure);
        }
    }
    Ok(())
}

/// Grows the tree anew from its leaves; then the head.
fn check_log(
    connection: &Connection,
    key: &VerifierKey,
    acknowledged: Option<u64>,
    report: &mut Report,
) -> Result<(), Failure> {
    let head = Head::read(connection)?;
    if let Some(acknowledged) = acknowledged.filter(|commit| *commit > head.commits.unsigned_abs()) {
        let seen = format!("it ends at commit {}, but {acknowledged} had been acknowledged", head.commits);
        report.find(FindingCode::CommitsLost, "head", seen);
    }
    let mut walk = LogWalk::new(key);
    let mut statement = connection.prepare("SELECT leaf FROM event NOT INDEXED ORDER BY leaf")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let leaf: i64 = row.get(0)?;
        if leaf != evidence::signed(walk.next()) {
            report.find(FindingCode::RecordMissing, format!("event {}", walk.next()), "");
            return Ok(());
        }
        let Some(Line { what: What::Own { receipt, tree_size }, .. }) = evidence::leaf_at(connection, leaf)? else {
            return Err(Failure::Damaged(format!("event {leaf}")));
        };
        report.rows += 1;
        if walk.leaf(&receipt.event, &receipt.proof, tree_size) {
            walk.close(Some(&receipt.checkpoint), report);
        }
    }
    let newest = evidence::newest_checkpoint(connection)?;
    walk.end(&head.log, newest.as_deref(), report);
    Ok(())
}
