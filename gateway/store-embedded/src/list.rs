//! Deliveries by filter, page by page, with a bound on how many rows one page looks at.
//!
//! The filter picks the shortest way to candidates that there is (an envelope id, a file code, a word of the search index, a rare status, what has
//! a wake-up), in the runs of the time that is asked for; whatever it does not settle is looked at row by row, newest envelope first. A page that has looked at [`ROWS_LOOKED_AT_MAX`] rows ends there, with
//! the token to go on: it may then hold fewer rows than asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use gateway_model::limits;
use gateway_model::state::DeliveryStatus;
use gateway_store::query::{Page, PageToken, Query};
use gateway_store::rows::{DeliverySummary, EnvelopeRow};
use rusqlite::{CachedStatement, Connection, params};

use crate::failure::Failure;
use crate::rows::{self, delivery_key, envelope_of, place_of};
use crate::sought::{self, Run, Word};

/// Rows that one page looks at.
const ROWS_LOOKED_AT_MAX: usize = 20_000;
/// Rows with a wake-up that are sorted in memory rather than searched for.
const ROWS_SORTED_MAX: i64 = 50_000;

/// Reads one page. `open` says how many rows have a wake-up, about.
pub(crate) fn list(connection: &Connection, query: &Query, open: i64) -> Result<Page<DeliverySummary>, Failure> {
    let limit = query.limit.clamp(1, limits::PAGE_ROWS_MAX as usize);
    let mut source = Source::of(connection, query, open)?;
    let mut envelope: Option<Arc<EnvelopeRow>> = None;
    let (mut rows, mut last_row, mut last_looked_at, mut looked_at) = (Vec::new(), None, None, 0);
    while let Some(key) = source.next()? {
        if query.after.is_some_and(|after| !is_behind(key, after)) {
            continue;
        }
        if looked_at == ROWS_LOOKED_AT_MAX {
            return Ok(Page { rows, next: last_looked_at });
        }
        looked_at += 1;
        if let Some(summary) = look_at(connection, query, key, &mut envelope)? {
            if rows.len() == limit {
                return Ok(Page { rows, next: last_row });
            }
            rows.push(summary);
            last_row = Some(token(key));
        }
        last_looked_at = Some(token(key));
    }
    Ok(Page { rows, next: None })
}

/// Where candidates come from: keys of deliveries, newest envelope first, the deliveries of one envelope in order.
struct Source<'a> {
    ways: Ways<'a>,
    /// Where candidates may still be, the newest first.
    spans: VecDeque<Span>,
    /// What has been told of the first span: candidates below this key are left.
    below: i64,
    /// Deliveries of the envelope, or of the run, under way.
    ready: VecDeque<i64>,
}

enum Ways<'a> {
    /// Keys that are known, in order.
    Known,
    /// Envelopes of the newest deliveries, found step by step.
    Newest(Newest<'a>),
    /// Those that the search index names; where it has no run yet, the newest.
    Sought { word: i64, is_of_delivery: bool, of_run: CachedStatement<'a>, newest: Newest<'a> },
}

struct Newest<'a> {
    newest: CachedStatement<'a>,
    of_one: CachedStatement<'a>,
}

/// Envelopes that follow one another, as keys of deliveries.
struct Span {
    /// The first.
    from: i64,
    /// The one behind the last.
    below: i64,
    /// Number of the run.
    run: i64,
    /// Whether the search index has them.
    is_run: bool,
}

impl<'a> Source<'a> {
    fn of(connection: &'a Connection, query: &Query, open: i64) -> Result<Self, Failure> {
        let until =
            query.after.map_or(i64::MAX, |after| i64::try_from(after.envelope).unwrap_or(i64::MAX).saturating_add(1));
        if let Some(id) = query.envelope_id {
            return Self::of_envelopes(
                connection,
                "SELECT seq FROM envelope WHERE id = ?1 AND seq < ?2 ORDER BY seq DESC",
                params![&id.0[..], until],
            );
        }
        if let Some(file_code) = query.file_code.as_deref().filter(|code| !code.is_empty()) {
            let sql = "SELECT seq FROM envelope INDEXED BY envelope_file
                WHERE file_code = ?1 AND file_code <> '' AND seq < ?2 ORDER BY seq DESC";
            return Self::of_envelopes(connection, sql, params![file_code, until]);
        }
        let below = if until == i64::MAX { i64::MAX } else { delivery_key(until, 0) };
        let are = |kinds: &[DeliveryStatus]| {
            !query.statuses.is_empty() && query.statuses.iter().all(|status| kinds.contains(status))
        };
        let (narrow, wide) = words(query);
        if narrow.is_none() && are(&[DeliveryStatus::Waiting, DeliveryStatus::Forwarded]) && open <= ROWS_SORTED_MAX {
            return Self::of_open(connection, below);
        }
        let spans = spans(connection, query, until)?;
        let is_rare = are(RARE);
        let ways = match narrow.or(wide.filter(|_| !is_rare)) {
            Some(word) => Ways::Sought {
                word: word.number(),
                is_of_delivery: word.is_of_delivery(),
                of_run: connection.prepare_cached(
                    "SELECT key FROM sought WHERE run = ?1 AND word = ?2 AND key < ?3 ORDER BY key DESC",
                )?,
                newest: Newest::prepare(connection, false)?,
            },
            None => Ways::Newest(Newest::prepare(connection, is_rare)?),
        };
        Ok(Self { ways, spans, below, ready: VecDeque::new() })
    }

    fn known(ready: VecDeque<i64>) -> Self {
        Self { ways: Ways::Known, spans: VecDeque::new(), below: i64::MAX, ready }
    }

    fn of_envelopes(connection: &'a Connection, sql: &str, params: impl rusqlite::Params) -> Result<Self, Failure> {
        let mut keys = VecDeque::new();
        let mut deliveries =
            connection.prepare_cached("SELECT key FROM delivery WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
        let mut statement = connection.prepare_cached(sql)?;
        let mut envelopes = statement.query(params)?;
        while keys.len() < ROWS_LOOKED_AT_MAX
            && let Some(row) = envelopes.next()?
        {
            let seq: i64 = row.get(0)?;
            for key in deliveries.query_map([delivery_key(seq, 0), delivery_key(seq + 1, 0)], |row| row.get(0))? {
                keys.push_back(key?);
            }
        }
        Ok(Self::known(keys))
    }

    fn of_open(connection: &'a Connection, below: i64) -> Result<Self, Failure> {
        let mut statement = connection
            .prepare_cached("SELECT key FROM delivery INDEXED BY delivery_due WHERE wake IS NOT NULL AND key < ?1")?;
        let mut keys: Vec<i64> = statement.query_map([below], |row| row.get(0))?.collect::<Result<_, _>>()?;
        keys.sort_unstable_by_key(|key| (std::cmp::Reverse(envelope_of(*key)), place_of(*key)));
        Ok(Self::known(keys.into()))
    }

    fn next(&mut self) -> Result<Option<i64>, Failure> {
        let Self { ways, spans, below, ready } = self;
        while ready.is_empty()
            && let Some(span) = spans.front()
        {
            let is_done = match ways {
                Ways::Known => true,
                Ways::Sought { word, is_of_delivery, of_run, newest } if span.is_run => {
                    newest.sought(of_run, (span.run, *word, *below), *is_of_delivery, ready)?;
                    true
                }
                Ways::Newest(newest) | Ways::Sought { newest, .. } => newest.step(below, span, ready)?,
            };
            if is_done {
                *below = (*below).min(span.from);
                spans.pop_front();
            }
        }
        Ok(ready.pop_front())
    }
}

impl<'a> Newest<'a> {
    fn prepare(connection: &'a Connection, is_rare: bool) -> Result<Self, Failure> {
        let index = match is_rare {
            true => "INDEXED BY delivery_rare WHERE status IN (1, 3, 4, 5, 6) AND",
            false => "WHERE",
        };
        Ok(Self {
            newest: connection
                .prepare_cached(&format!("SELECT max(key) FROM delivery {index} key >= ?1 AND key < ?2"))?,
            of_one: connection
                .prepare_cached(&format!("SELECT key FROM delivery {index} key >= ?1 AND key < ?2 ORDER BY key"))?,
        })
    }

    /// The deliveries of the newest envelope of a span, below `below`; true when there is none.
    fn step(&mut self, below: &mut i64, span: &Span, ready: &mut VecDeque<i64>) -> Result<bool, Failure> {
        *below = (*below).min(span.below);
        let Some(key) = self.newest.query_row([span.from, *below], |row| row.get::<_, Option<i64>>(0))? else {
            return Ok(true);
        };
        let first = delivery_key(envelope_of(key), 0);
        for key in self.of_one.query_map([first, *below], |row| row.get(0))? {
            ready.push_back(key?);
        }
        *below = first;
        Ok(false)
    }

    /// What the index names in one run: single deliveries, or all of an envelope's.
    fn sought(
        &mut self,
        of_run: &mut CachedStatement<'a>,
        at: (i64, i64, i64),
        is_of_delivery: bool,
        ready: &mut VecDeque<i64>,
    ) -> Result<(), Failure> {
        let keys: Vec<i64> = of_run.query_map(at, |row| row.get(0))?.collect::<Result<_, _>>()?;
        if is_of_delivery {
            ready.extend(keys);
            ready.make_contiguous().sort_unstable_by_key(|key| (std::cmp::Reverse(envelope_of(*key)), place_of(*key)));
            return Ok(());
        }
        for key in keys {
            let all = [key, delivery_key(envelope_of(key) + 1, 0)];
            for key in self.of_one.query_map(all, |row| row.get(0))? {
                ready.push_back(key?);
            }
        }
        Ok(())
    }
}

/// What the search index can be asked: a word that few envelopes have, and one that many may have.
fn words(query: &Query) -> (Option<Word<'_>>, Option<Word<'_>>) {
    let code = query.code.as_deref().filter(|code| !code.is_empty()).map(Word::Code);
    let recipient = query.recipient.as_ref().map(Word::Recipient);
    (query.digest.as_ref().map(Word::Hash).or(code), recipient.or(query.sender.as_ref().map(Word::Sender)))
}

/// Where to look: behind the last run first, then the runs of the time that is asked for.
fn spans(connection: &Connection, query: &Query, until: i64) -> Result<VecDeque<Span>, Failure> {
    let runs = sought::runs(connection)?;
    let after = runs.first().map_or(0, |run| run.last + 1);
    let tail = Span { from: delivery_key(after, 0), below: i64::MAX, run: after, is_run: false };
    let is_asked_for = |run: &&Run| {
        run.first < until
            && query.since.is_none_or(|since| run.latest >= since.micros())
            && query.until.is_none_or(|until| run.earliest < until.micros())
    };
    let span = |run: &Run| Span {
        from: delivery_key(run.first, 0),
        below: delivery_key(run.last + 1, 0),
        run: run.first,
        is_run: true,
    };
    let asked = runs.iter().filter(is_asked_for).map(span);
    Ok(std::iter::once(tail).chain(asked).collect())
}

const RARE: &[DeliveryStatus] = &[
    DeliveryStatus::Forwarded,
    DeliveryStatus::Refused,
    DeliveryStatus::Held,
    DeliveryStatus::Expired,
    DeliveryStatus::Returned,
];

/// Reads a candidate and its envelope, when it fits.
fn look_at(
    connection: &Connection,
    query: &Query,
    key: i64,
    envelope: &mut Option<Arc<EnvelopeRow>>,
) -> Result<Option<DeliverySummary>, Failure> {
    let missing = |what: &str| Failure::Damaged(format!("{what} {} is missing", envelope_of(key)));
    let delivery = rows::delivery_at(connection, key)?.ok_or_else(|| missing("a delivery of envelope"))?.row;
    if !query.fits_delivery(&delivery) {
        return Ok(None);
    }
    let row = match envelope.take().filter(|row| row.seq == delivery.envelope) {
        Some(row) => row,
        None => Arc::new(rows::envelope_at(connection, envelope_of(key))?.ok_or_else(|| missing("envelope"))?),
    };
    *envelope = Some(row.clone());
    Ok(query.fits_envelope(&row).then_some(DeliverySummary { delivery, envelope: row }))
}

/// Whether a delivery comes after the place where a page ended.
fn is_behind(key: i64, after: PageToken) -> bool {
    let PageToken { envelope, place } = token(key);
    envelope < after.envelope || (envelope == after.envelope && place > after.place)
}

fn token(key: i64) -> PageToken {
    PageToken { envelope: envelope_of(key).unsigned_abs(), place: u32::try_from(place_of(key)).unwrap_or(u32::MAX) }
}
