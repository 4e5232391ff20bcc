//! Deliveries by filter, page by page, with a bound on how many rows one page looks at.
//!
//! The filter picks the shortest way to candidates that there is (an envelope id, a file code, a rare status, what has a wake-up); whatever
//! it does not settle is looked at row by row, newest envelope first. A page that has looked at [`ROWS_LOOKED_AT_MAX`] rows ends there, with
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

/// Rows that one page looks at.
const ROWS_LOOKED_AT_MAX: usize = 200_000;
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
    /// Deliveries of the envelope under way.
    ready: VecDeque<i64>,
}

enum Ways<'a> {
    /// Keys that are known, in order.
    Known,
    /// Envelopes of the newest deliveries, found step by step.
    Newest { below: i64, newest: CachedStatement<'a>, of_one: CachedStatement<'a> },
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
        if are(&[DeliveryStatus::Waiting, DeliveryStatus::Forwarded]) && open <= ROWS_SORTED_MAX {
            return Self::of_open(connection, below);
        }
        let index = match are(RARE) {
            true => "INDEXED BY delivery_rare WHERE status IN (1, 3, 4, 5, 6) AND",
            false => "WHERE",
        };
        let newest = connection.prepare_cached(&format!("SELECT max(key) FROM delivery {index} key < ?1"))?;
        let of_one = connection
            .prepare_cached(&format!("SELECT key FROM delivery {index} key >= ?1 AND key < ?2 ORDER BY key"))?;
        Ok(Self { ways: Ways::Newest { below, newest, of_one }, ready: VecDeque::new() })
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
        Ok(Self { ways: Ways::Known, ready: keys })
    }

    fn of_open(connection: &'a Connection, below: i64) -> Result<Self, Failure> {
        let mut statement = connection
            .prepare_cached("SELECT key FROM delivery INDEXED BY delivery_due WHERE wake IS NOT NULL AND key < ?1")?;
        let mut keys: Vec<i64> = statement.query_map([below], |row| row.get(0))?.collect::<Result<_, _>>()?;
        keys.sort_unstable_by_key(|key| (std::cmp::Reverse(envelope_of(*key)), place_of(*key)));
        Ok(Self { ways: Ways::Known, ready: keys.into() })
    }

    fn next(&mut self) -> Result<Option<i64>, Failure> {
        if self.ready.is_empty()
            && let Ways::Newest { below, newest, of_one } = &mut self.ways
        {
            let Some(key) = newest.query_row([*below], |row| row.get::<_, Option<i64>>(0))? else { return Ok(None) };
            let first = delivery_key(envelope_of(key), 0);
            for key in of_one.query_map([first, *below], |row| row.get(0))? {
                self.ready.push_back(key?);
            }
            *below = first;
        }
        Ok(self.ready.pop_front())
    }
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
