//! Indexes that are tables, and counters: against the records, in both directions. The engine's own indexes are compared by the engine.

use gateway_store::soundness::tally::Tally;
use gateway_store::soundness::{FindingCode, Report};
use rusqlite::{Connection, Row, params};

use crate::failure::Failure;
use crate::head::Head;
use crate::{rows, sought};

/// Checks all of them. The rows of records have been read already: what cannot be read here is an index.
pub(super) fn check(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    counters(connection, report)?;
    open_deliveries(connection, report)?;
    let all: [(&str, Look); 3] = [("finished", finished), ("part", parts), ("sought", search)];
    for (name, look) in all {
        match look(connection, report) {
            Ok(()) => {}
            Err(Failure::Sql(error)) => report.find(FindingCode::IndexWrong, name, error.to_string()),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

type Look = fn(&Connection, &mut Report) -> Result<(), Failure>;

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
        read(row, report)?;
    }
    Ok(())
}

fn counters(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let head = Head::read(connection)?;
    let counters = [
        ("waiting deliveries", head.waiting, "SELECT count(*) FROM delivery NOT INDEXED WHERE status = 0"),
        ("forwarded deliveries", head.forwarded, "SELECT count(*) FROM delivery NOT INDEXED WHERE status = 1"),
        ("held deliveries", head.held, "SELECT count(*) FROM delivery NOT INDEXED WHERE status = 4"),
        ("receipts on their way back", head.returns, "SELECT count(*) FROM way_back NOT INDEXED"),
    ];
    for (what, kept, sql) in counters {
        let counted: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        if counted != kept {
            report.find(FindingCode::CounterWrong, format!("head: {what}"), format!("{counted} counted, {kept} kept"));
        }
    }
    Ok(())
}

fn open_deliveries(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let wrong = "SELECT seq, open, final_at, (SELECT count(*) FROM delivery
            WHERE key >= (envelope.seq << 13) AND key < ((envelope.seq + 1) << 13) AND status IN (0, 1, 4)) AS counted
        FROM envelope NOT INDEXED WHERE open <> counted OR (open = 0 AND final_at IS NULL)";
    each(connection, report, wrong, |row, report| {
        let (seq, open, counted): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let seen = format!("{counted} deliveries are open, it says {open}");
        report.find(FindingCode::CounterWrong, format!("envelope {seq}: open deliveries"), seen);
        Ok(())
    })
}

fn finished(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let missing = "SELECT seq FROM envelope JOIN body ON body.envelope = envelope.seq
        WHERE open = 0 AND NOT EXISTS (SELECT 1 FROM finished WHERE at = final_at AND finished.envelope = envelope.seq)";
    each(connection, report, missing, |row, report| {
        report.find(FindingCode::IndexMissing, format!("finished: envelope {}", row.get::<_, i64>(0)?), "");
        Ok(())
    })?;
    let stray = "SELECT envelope FROM finished
        WHERE NOT EXISTS (SELECT 1 FROM envelope WHERE seq = finished.envelope AND open = 0 AND final_at = finished.at)";
    each(connection, report, stray, |row, report| {
        report.find(FindingCode::IndexStray, format!("finished: envelope {}", row.get::<_, i64>(0)?), "");
        Ok(())
    })
}

/// Parts that kept bodies name. Where the sums differ although each is found, there is one too many.
fn parts(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    let (mut named, mut kept) = (Tally::default(), Tally::default());
    let mut exists = connection.prepare("SELECT 1 FROM part WHERE digest = ?1 AND envelope = ?2")?;
    let bodies = "SELECT seq, parts FROM envelope NOT INDEXED WHERE seq IN (SELECT envelope FROM body)";
    each(connection, report, bodies, |row, report| {
        let seq: i64 = row.get(0)?;
        let mut parts = rows::decode_parts(row.get_ref(1)?.as_blob()?).unwrap_or_default();
        parts.sort_unstable_by_key(|part| part.digest);
        parts.dedup_by_key(|part| part.digest);
        for part in parts {
            named.add(&[&part.digest.0, &seq.to_be_bytes()]);
            if !exists.exists(params![&part.digest.0[..], seq])? {
                report.find(FindingCode::IndexMissing, format!("part: {} of envelope {seq}", part.digest), "");
            }
        }
        Ok(())
    })?;
    each(connection, report, "SELECT digest, envelope FROM part", |row, _| {
        let envelope: i64 = row.get(1)?;
        kept.add(&[row.get_ref(0)?.as_blob()?, &envelope.to_be_bytes()]);
        Ok(())
    })?;
    if kept != named && kept.count() >= named.count() {
        let seen = format!("{} lines, {} asked for", kept.count(), named.count());
        report.find(FindingCode::IndexStray, "part", seen);
    }
    Ok(())
}

/// The search index: what it has too much does no harm, since all that it leads to is looked at.
fn search(connection: &Connection, report: &mut Report) -> Result<(), Failure> {
    // Stores of the first two formats have none.
    if !connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'sought'")?.exists([])? {
        return Ok(());
    }
    let mut exists = connection.prepare("SELECT 1 FROM sought WHERE run = ?1 AND word = ?2 AND key = ?3")?;
    let mut runs = sought::runs(connection)?;
    runs.reverse();
    let mut last = 0;
    for run in runs {
        let place = format!("run: envelopes {} to {}", run.first, run.last);
        if run.first != last + 1 || run.last < run.first {
            report.find(FindingCode::IndexWrong, place.clone(), format!("the one before it ends at {last}"));
        }
        last = run.last;
        let (right, entries) = sought::expected(connection, run.first, run.last)?;
        if right != run {
            report.find(FindingCode::IndexWrong, place.clone(), "it says other times");
        }
        for (word, key) in entries {
            if !exists.exists([run.first, word, key])? {
                let seen = format!("a word of envelope {}", rows::envelope_of(key));
                report.find(FindingCode::IndexMissing, format!("sought: {place}"), seen);
            }
        }
    }
    Ok(())
}
