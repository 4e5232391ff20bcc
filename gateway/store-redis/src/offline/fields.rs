//! Rows of envelopes, some at a time: never more than a page of them is in memory.

use std::ops::RangeInclusive;

use bytes::Bytes;
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use redis::{Cmd, Pipeline, Value};

use super::Offline;
use crate::answer::{fixed, list, optional};
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::keys::{Place, event_field};
use crate::link::Way;
use crate::rows::{EnvelopeState, Event, decode_delivery, decode_envelope};

/// Envelopes that are read together.
pub(super) const ENVELOPES: u64 = 64;
/// Small rows that one question reads.
pub(super) const ROWS: usize = 512;
/// Lines of history that one question reads: a receipt may have some hundred kilobytes.
pub(super) const LINES: usize = 64;
/// Bodies that are read together.
pub(super) const BODIES: usize = 8;

/// An envelope as it stands.
pub(super) struct Kept {
    pub(super) row: EnvelopeRow,
    pub(super) state: EnvelopeState,
}

/// What stands under the number of an envelope.
pub(super) struct Found {
    pub(super) seq: u64,
    pub(super) kept: Result<Kept, Damaged>,
    /// Whether anything is there at all.
    pub(super) is_there: bool,
    /// Fields of its hash.
    pub(super) fields: u64,
}

/// Envelopes by their numbers.
pub(super) async fn envelopes(store: &Offline, seqs: RangeInclusive<u64>) -> Result<Vec<Found>, Failure> {
    let mut questions = Pipeline::new();
    for seq in seqs.clone() {
        let key = store.keys.envelope(seq);
        questions.cmd("HMGET").arg(&key[..]).arg("h").arg("s");
        questions.cmd("HLEN").arg(&key[..]);
    }
    let answers = store.link.ask_all(Way::Read, &questions).await?;
    let mut answers = answers.into_iter();
    let mut found = Vec::new();
    for seq in seqs {
        let rows = answers.next().ok_or_else(|| Damaged::at("an answer of Redis"))?;
        let [row, state] = fixed(rows)?;
        let fields = match answers.next() {
            Some(Value::Int(fields)) => u64::try_from(fields).unwrap_or(0),
            _ => 0,
        };
        let kept = decode(seq, optional(row)?.as_deref(), optional(state)?.as_deref());
        found.push(Found { seq, kept, is_there: fields > 0, fields });
    }
    Ok(found)
}

fn decode(seq: u64, row: Option<&[u8]>, state: Option<&[u8]>) -> Result<Kept, Damaged> {
    let row = decode_envelope(row.unwrap_or_default()).map_err(|_| Damaged::at(format!("envelope {seq}")))?;
    if row.seq.0 != seq {
        return Err(Damaged::at(format!("envelope {seq}")));
    }
    let state = EnvelopeState::decode(seq, state.unwrap_or_default())
        .map_err(|_| Damaged::at(format!("the state of envelope {seq}")))?;
    Ok(Kept { row, state })
}

/// Deliveries by their places.
pub(super) async fn deliveries(
    store: &Offline,
    places: &[Place],
) -> Result<Vec<Result<DeliveryRow, Damaged>>, Failure> {
    let mut questions = Pipeline::new();
    for place in places {
        questions.cmd("HGET").arg(&store.keys.envelope(place.envelope)[..]).arg(&place.field()[..]);
    }
    let mut rows = Vec::with_capacity(places.len());
    for (place, row) in places.iter().zip(store.link.ask_all(Way::Read, &questions).await?) {
        let row = optional(row)?;
        let damaged = |_| Damaged::at(format!("delivery {} of envelope {}", place.place, place.envelope));
        rows.push(decode_delivery(*place, row.as_deref().unwrap_or_default()).map_err(damaged));
    }
    Ok(rows)
}

/// Lines of the history of an envelope.
pub(super) async fn lines(
    store: &Offline,
    seq: u64,
    positions: RangeInclusive<u32>,
) -> Result<Vec<Result<Event, Damaged>>, Failure> {
    let mut question = redis::cmd("HMGET");
    question.arg(&store.keys.envelope(seq)[..]);
    for position in positions.clone() {
        question.arg(&event_field(position)[..]);
    }
    let rows = list(store.link.ask(Way::Read, &question).await?)?;
    let mut lines = Vec::with_capacity(rows.len());
    for (position, row) in positions.zip(rows) {
        let row = optional(row)?;
        let damaged = |_| Damaged::at(format!("event {position} of envelope {seq}"));
        lines.push(Event::decode(seq, position, row.as_deref().unwrap_or_default()).map_err(damaged));
    }
    Ok(lines)
}

/// The numbers from 1 to `last`, in ranges of at most `size`.
pub(super) fn pages(last: u64, size: u64) -> impl Iterator<Item = RangeInclusive<u64>> {
    (0..last.div_ceil(size)).map(move |page| page * size + 1..=last.min((page + 1) * size))
}

/// The positions of a history, in ranges.
pub(super) fn positions(state: &EnvelopeState) -> impl Iterator<Item = RangeInclusive<u32>> + use<> {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    pages(state.events.into(), LINES as u64).map(move |page| small(*page.start())..=small(*page.end()))
}

/// A step of going through a hash or a set: the next cursor and what was found.
pub(super) async fn scan(
    store: &Offline,
    mut question: Cmd,
    key: &Bytes,
    cursor: u64,
) -> Result<(u64, Vec<Value>), Failure> {
    question.arg(&key[..]).arg(cursor).arg("COUNT").arg(ROWS);
    let [next, found] = fixed(store.link.ask(Way::Read, &question).await?)?;
    let next = crate::answer::text(next)?.parse().map_err(|_| Damaged::at("a cursor of Redis"))?;
    Ok((next, list(found)?))
}

/// How many members or fields there are.
pub(super) async fn count(store: &Offline, mut question: Cmd, key: &Bytes) -> Result<u64, Failure> {
    question.arg(&key[..]);
    store.link.ask(Way::Read, &question).await
}
