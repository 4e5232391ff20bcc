//! The search index, written behind: which deliveries are of a sender, a recipient, a document number or a hash.
//!
//! Whoever searches must not wait until a million rows have been looked at, and whoever submits must not wait for the pages of an index. So the
//! index comes in *runs*: when enough envelopes are there, all their words go in at once, in the order of the table, which costs a few
//! microseconds an envelope. What is younger than the last run is looked at row by row. A run also says from when until when its envelopes
//! were received.
//!
//! The index promises nothing of its own: what it finds is read and looked at as everything else is, and a store without it only searches longer.

use gateway_model::Digest;
use gateway_model::id::AgencyId;
use rusqlite::{Connection, params};

use crate::failure::Failure;
use crate::rows::{self, delivery_key, envelope_of};
use crate::sum::Sum;

/// Envelopes of one run at most.
const ENVELOPES_MAX: i64 = 1_024;
/// Deliveries of one run, about: an envelope is in one run as a whole, so that a broadcast may exceed it.
const DELIVERIES_MAX: usize = 8_192;

/// What somebody may search for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word<'a> {
    /// Who sent it.
    Sender(&'a AgencyId),
    /// A recipient, as named or as serving.
    Recipient(&'a AgencyId),
    /// Number and notation of a document.
    Code(&'a str),
    /// SHA-256 of the envelope's bytes, or of a part.
    Hash(&'a Digest),
}

impl Word<'_> {
    /// What stands in the index. Two words may have one number: what is found is looked at.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Sender(agency) => Sum::new("sender").text(agency.as_str()).finish(),
            Self::Recipient(agency) => Sum::new("recipient").text(agency.as_str()).finish(),
            Self::Code(code) => Sum::new("code").text(code).finish(),
            Self::Hash(digest) => Sum::new("hash").bytes(&digest.0).finish(),
        }
    }

    /// Whether it leads to single deliveries; the others lead to the first place of an envelope and mean all of it.
    pub(crate) fn is_of_delivery(self) -> bool {
        match self {
            Self::Recipient(_) => true,
            Self::Sender(_) | Self::Code(_) | Self::Hash(_) => false,
        }
    }
}

/// Envelopes that are indexed together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// The first of them.
    pub(crate) first: i64,
    /// The last of them.
    pub(crate) last: i64,
    /// When the first of them was received, by the wall clock, in microseconds.
    pub(crate) earliest: i64,
    /// When the last of them was.
    pub(crate) latest: i64,
}

/// How much is not yet in the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Behind {
    /// The last envelope in the index.
    pub(crate) indexed: i64,
    /// Deliveries that came after it.
    pub(crate) deliveries: usize,
    /// Set when the index could not be written: then it is left as it is until the next start.
    pub(crate) given_up: bool,
}

impl Behind {
    pub(crate) fn read(connection: &Connection) -> Result<Self, Failure> {
        let indexed = connection.query_row("SELECT coalesce(max(last), 0) FROM run", [], |row| row.get(0))?;
        let count = "SELECT count(*) FROM delivery WHERE key >= ?1";
        let deliveries: i64 = connection.query_row(count, [delivery_key(indexed + 1, 0)], |row| row.get(0))?;
        Ok(Self { indexed, deliveries: usize::try_from(deliveries).unwrap_or(usize::MAX), given_up: false })
    }

    /// Whether there is enough for a run.
    pub(crate) fn is_due(&self, envelopes: i64) -> bool {
        !self.given_up && (envelopes - self.indexed >= ENVELOPES_MAX || self.deliveries >= DELIVERIES_MAX)
    }

    /// Writes the next run, in the transaction under way.
    pub(crate) fn write_run(&mut self, connection: &Connection) -> Result<(), Failure> {
        let first = self.indexed + 1;
        let newest: i64 = connection.query_row("SELECT coalesce(max(seq), 0) FROM envelope", [], |row| row.get(0))?;
        let until = newest.min(first + ENVELOPES_MAX - 1);
        let (last, mut entries) = recipients(connection, first, until, DELIVERIES_MAX)?;
        let deliveries = entries.len() / 2;
        let run = add_words(connection, first, last, &mut entries)?;
        entries.sort_unstable();
        entries.dedup();
        let mut insert = connection.prepare_cached("INSERT INTO sought (run, word, key) VALUES (?1, ?2, ?3)")?;
        for (word, key) in entries {
            insert.execute([first, word, key])?;
        }
        connection
            .prepare_cached("INSERT INTO run (first, last, earliest, latest) VALUES (?1, ?2, ?3, ?4)")?
            .execute([run.first, run.last, run.earliest, run.latest])?;
        self.indexed = last;
        self.deliveries = self.deliveries.saturating_sub(deliveries);
        Ok(())
    }
}

/// What a run of these envelopes has to say, as far as it is in order: the run, and its words with where they lead.
pub(crate) fn expected(connection: &Connection, first: i64, last: i64) -> Result<(Run, Vec<(i64, i64)>), Failure> {
    let (_, mut entries) = recipients(connection, first, last, usize::MAX)?;
    let run = add_words(connection, first, last, &mut entries)?;
    Ok((run, entries))
}

/// The words of the envelopes themselves.
fn add_words(connection: &Connection, first: i64, last: i64, entries: &mut Vec<(i64, i64)>) -> Result<Run, Failure> {
    let mut run = Run { first, last, earliest: i64::MAX, latest: i64::MIN };
    let mut select = connection.prepare_cached(
        "SELECT seq, sender, digest, code, parts, received_at FROM envelope WHERE seq BETWEEN ?1 AND ?2",
    )?;
    let mut rows = select.query([first, last])?;
    while let Some(row) = rows.next()? {
        let (key, received_at) = (delivery_key(row.get(0)?, 0), row.get(5)?);
        (run.earliest, run.latest) = (run.earliest.min(received_at), run.latest.max(received_at));
        let mut add = |word: Word<'_>| entries.push((word.number(), key));
        if let Ok(sender) = AgencyId::parse(row.get_ref(1)?.as_str()?) {
            add(Word::Sender(&sender));
        }
        if let Some(digest) = Digest::from_slice(row.get_ref(2)?.as_blob()?) {
            add(Word::Hash(&digest));
        }
        let parts = rows::decode_parts(row.get_ref(4)?.as_blob()?).unwrap_or_default();
        parts.iter().for_each(|part| add(Word::Hash(&part.digest)));
        let code = row.get_ref(3)?.as_str()?;
        if !code.is_empty() {
            add(Word::Code(code));
        }
    }
    Ok(run)
}

/// The recipients of the deliveries from one envelope until another, two words each, and the last envelope of them: an earlier one where there
/// are more than `deliveries_max`.
fn recipients(
    connection: &Connection,
    first: i64,
    until: i64,
    deliveries_max: usize,
) -> Result<(i64, Vec<(i64, i64)>), Failure> {
    let mut select = connection
        .prepare_cached("SELECT key, named, serving FROM delivery WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
    let mut rows = select.query([delivery_key(first, 0), delivery_key(until + 1, 0)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        if entries.len() / 2 >= deliveries_max
            && entries.last().is_some_and(|(_, other)| envelope_of(*other) != envelope_of(key))
        {
            return Ok((envelope_of(key) - 1, entries));
        }
        for column in [1, 2] {
            if let Ok(agency) = AgencyId::parse(row.get_ref(column)?.as_str()?) {
                entries.push((Word::Recipient(&agency).number(), key));
            }
        }
    }
    Ok((until, entries))
}

/// A delivery has another recipient than before: where its run is written already, that one is added.
pub(crate) fn add_recipient(connection: &Connection, key: i64, serving: &AgencyId) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO sought (run, word, key) SELECT first, ?2, ?3 FROM run WHERE first <= ?1 AND last >= ?1
                ORDER BY first DESC LIMIT 1",
        )?
        .execute(params![envelope_of(key), Word::Recipient(serving).number(), key])?;
    Ok(())
}

/// Every run, the newest first.
pub(crate) fn runs(connection: &Connection) -> Result<Vec<Run>, Failure> {
    let mut select = connection.prepare_cached("SELECT first, last, earliest, latest FROM run ORDER BY first DESC")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Run { first: row.get(0)?, last: row.get(1)?, earliest: row.get(2)?, latest: row.get(3)? })
    };
    Ok(select.query_map([], read)?.collect::<Result<_, _>>()?)
}
