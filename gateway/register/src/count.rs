//! Counts of files, each in one column only: early, on time, late, ended without a due day, in work, in work and late.

use gateway_model::Timestamp;
use gateway_model::id::AgencyId;
use rusqlite::{Connection, params};

/// The day of an instant, as people at UTC+7 count them; instants are microseconds.
macro_rules! day {
    ($instant:literal) => {
        concat!("(", $instant, " + 25200000000) / 86400000000")
    };
}

/// Before the due day is early, on it and in time is on time, after the due instant is late.
const COUNTS: &str = concat!(
    "count(*),",
    "count(*) FILTER (WHERE finished_at <= due_at AND ",
    day!("finished_at"),
    " < ",
    day!("due_at"),
    "),",
    "count(*) FILTER (WHERE finished_at <= due_at AND ",
    day!("finished_at"),
    " = ",
    day!("due_at"),
    "),",
    "count(*) FILTER (WHERE finished_at > due_at),",
    "count(*) FILTER (WHERE finished_at IS NOT NULL AND due_at IS NULL),",
    "count(*) FILTER (WHERE finished_at IS NULL AND (due_at IS NULL OR due_at >= ?3)),",
    "count(*) FILTER (WHERE finished_at IS NULL AND due_at < ?3)"
);

/// By what files are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dimension {
    /// The desk that received the file.
    Issuer,
    /// The procedure.
    Procedure,
    /// The month of the receipt at UTC+7, `2026-01`.
    Month,
}

/// Which files are counted.
#[derive(Clone, Debug)]
pub struct Query {
    /// Received at or after.
    pub since: Timestamp,
    /// Received before.
    pub until: Timestamp,
    /// By what.
    pub by: Dimension,
    /// Only files of these desks; `None` means all.
    pub issuers: Option<Vec<AgencyId>>,
}

/// The files of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Agency id, procedure code or month.
    pub key: String,
    /// How many.
    pub counts: Counts,
}

/// Files; `received` is the sum of the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// All of them.
    pub received: u64,
    /// Ended before the due day.
    pub early: u64,
    /// Ended on the due day, in time.
    pub on_time: u64,
    /// Ended late.
    pub late: u64,
    /// Ended, and nothing says when they were due.
    pub ended: u64,
    /// In work, not late.
    pub in_work: u64,
    /// In work, late.
    pub in_work_late: u64,
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.early += other.early;
        self.on_time += other.on_time;
        self.late += other.late;
        self.ended += other.ended;
        self.in_work += other.in_work;
        self.in_work_late += other.in_work_late;
    }
}

pub(crate) fn rows(connection: &Connection, query: &Query, now: Timestamp) -> rusqlite::Result<Vec<Row>> {
    let key = match query.by {
        Dimension::Issuer => "issuer",
        Dimension::Procedure => "procedure",
        Dimension::Month => "strftime('%Y-%m', received_at / 1000000 + 25200, 'unixepoch')",
    };
    let issuers: Option<Vec<&str>> = query.issuers.as_ref().map(|ids| ids.iter().map(AgencyId::as_str).collect());
    let issuers = issuers.map(|ids| serde_json::Value::from(ids).to_string());
    let text = format!(
        "SELECT coalesce({key}, ''), {COUNTS} FROM file WHERE received_at >= ?1 AND received_at < ?2 \
         AND (?4 IS NULL OR issuer IN (SELECT value FROM json_each(?4))) GROUP BY 1 ORDER BY 1"
    );
    let mut statement = connection.prepare_cached(&text)?;
    let span = params![query.since.micros(), query.until.micros(), now.micros(), issuers];
    let rows = statement.query_map(span, |row| {
        let count = |column: usize| row.get::<_, i64>(column).map(i64::unsigned_abs);
        let counts = Counts {
            received: count(1)?,
            early: count(2)?,
            on_time: count(3)?,
            late: count(4)?,
            ended: count(5)?,
            in_work: count(6)?,
            in_work_late: count(7)?,
        };
        Ok(Row { key: row.get(0)?, counts })
    })?;
    rows.collect()
}
