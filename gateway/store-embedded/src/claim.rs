//! Taking due work: which rows, decided under the lock of [`Work`] on one snapshot; what they say, read after it on the same snapshot.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_store::Conflict;
use gateway_store::claim::{Claim, Lane, LaneHead, Lease, Leased};
use gateway_store::rows::EnvelopeRow;
use rusqlite::Connection;

use crate::batch::{WayBack, lock};
use crate::failure::Failure;
use crate::rows;
use crate::work::{Wake, Work, WorkKey};

const DUE_DELIVERIES: &str = "SELECT wake, key FROM delivery INDEXED BY delivery_due
    WHERE lane = ?1 AND wake IS NOT NULL ORDER BY wake, key";
const DUE_RETURNS: &str =
    "SELECT wake, id FROM way_back INDEXED BY way_back_due WHERE lane = ?1 AND wake IS NOT NULL ORDER BY wake, id";
const NEXT_DELIVERY_LANE: &str = "SELECT lane, wake FROM delivery INDEXED BY delivery_due
    WHERE lane > ?1 AND wake IS NOT NULL ORDER BY lane, wake LIMIT 1";
const NEXT_RETURN_LANE: &str = "SELECT lane, wake FROM way_back INDEXED BY way_back_due
    WHERE lane > ?1 AND wake IS NOT NULL ORDER BY lane, wake LIMIT 1";

/// A row under a new lease.
struct Taken {
    lane: Lane,
    key: WorkKey,
    token: u64,
}

/// Leases due work.
pub(crate) fn claim(connection: &Connection, work: &Mutex<Work>, claim: &Claim) -> Result<Vec<Leased>, Failure> {
    let snapshot = connection.unchecked_transaction()?;
    let taken = take(connection, work, claim)?;
    let mut envelopes = HashMap::new();
    let mut leased = Vec::with_capacity(taken.len());
    let mut first_failure = None;
    for Taken { lane, key, token } in taken {
        match read(connection, key, &mut envelopes) {
            Ok(work) => leased.push(Leased { lane, token, lease_until: claim.lease_until, work }),
            Err(failure) => {
                // One damaged row must not hold up the others: it stays leased, and is told again when the lease has run out.
                tracing::error!(lane = lane.as_str(), error = %failure, "due work cannot be read");
                first_failure.get_or_insert(failure);
            }
        }
    }
    snapshot.commit()?;
    match first_failure {
        Some(failure) if leased.is_empty() => Err(failure),
        _ => Ok(leased),
    }
}

/// Makes leases run out later.
pub(crate) fn extend(
    connection: &Connection,
    work: &Mutex<Work>,
    leases: &[Lease],
    until: Timestamp,
) -> Result<(), Failure> {
    let mut held = Vec::with_capacity(leases.len());
    for lease in leases {
        let kept = rows::find_delivery(connection, lease.delivery)?.ok_or(Conflict::Stale)?;
        held.push((WorkKey::Delivery(kept.key), lease.token));
    }
    if lock(work).extend(&held, until) { Ok(()) } else { Err(Conflict::Stale.into()) }
}

/// Lanes that have work due, the longest due first.
pub(crate) fn due_lanes(
    connection: &Connection,
    work: &Mutex<Work>,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<LaneHead>, Failure> {
    let mut work = lock(work);
    let mut heads = Vec::new();
    let mut after = None;
    while heads.len() < limit {
        let Some((next, id, exact)) = work.next_lane(after.as_ref()) else { break };
        if next.0 > now {
            break;
        }
        if !exact {
            // The bound was too early, or is right: either way the lane finds its place again.
            let open_from = open_from(connection, &work, id)?;
            work.set_open(&next.1, id, open_from);
            continue;
        }
        heads.push(LaneHead { due: next.0, lane: next.1.clone() });
        after = Some(next);
    }
    Ok(heads)
}

/// The earliest wake-up.
pub(crate) fn next_due(connection: &Connection, work: &Mutex<Work>) -> Result<Option<Timestamp>, Failure> {
    let mut work = lock(work);
    loop {
        let Some((next, id, exact)) = work.next_lane(None) else { return Ok(None) };
        if exact {
            return Ok(Some(next.0));
        }
        let open_from = open_from(connection, &work, id)?;
        work.set_open(&next.1, id, open_from);
    }
}

/// Finds the lanes with open work: one step in the index per lane, however many rows wait.
pub(crate) fn open_lanes(connection: &Connection, work: &mut Work) -> Result<(), Failure> {
    let mut name = connection.prepare("SELECT name FROM lane WHERE id = ?1")?;
    for sql in [NEXT_DELIVERY_LANE, NEXT_RETURN_LANE] {
        let mut next = connection.prepare(sql)?;
        let mut last = i64::MIN;
        loop {
            let mut rows = next.query([last])?;
            let Some(row) = rows.next()? else { break };
            let (lane_id, wake): (i64, i64) = (row.get(0)?, row.get(1)?);
            let lane: String = name.query_row([lane_id], |row| row.get(0))?;
            work.wake(&Wake { lane: Lane::new(lane), lane_id, at: Timestamp::from_micros(wake) });
            last = lane_id;
        }
    }
    Ok(())
}

fn take(connection: &Connection, work: &Mutex<Work>, claim: &Claim) -> Result<Vec<Taken>, Failure> {
    let mut work = lock(work);
    let mut taken = Vec::new();
    for (lane, limit) in &claim.lanes {
        let Some(id) = work.lane(lane).map(|state| state.id) else { continue };
        let mut due = work.run_out(lane, claim.now, *limit);
        // One more than can be taken, to know the next wake-up of the lane.
        let open = open_rows(connection, &work, id, limit.saturating_add(1))?;
        due.extend(open.iter().filter(|(wake, _)| *wake <= claim.now));
        due.sort_unstable();
        due.truncate(*limit);
        for (wake, key) in &due {
            let Some(token) = work.lease(*key, (lane, id), *wake, claim.lease_until) else { break };
            taken.push(Taken { lane: lane.clone(), key: *key, token });
        }
        let open_from = open.iter().find(|(_, key)| !work.is_held(*key)).map(|(wake, _)| *wake);
        work.set_open(lane, id, open_from);
    }
    Ok(taken)
}

fn open_from(connection: &Connection, work: &Work, lane: i64) -> Result<Option<Timestamp>, Failure> {
    Ok(open_rows(connection, work, lane, 1)?.first().map(|(wake, _)| *wake))
}

/// The first rows of a lane that nobody holds, deliveries and receipts in one order.
fn open_rows(
    connection: &Connection,
    work: &Work,
    lane: i64,
    limit: usize,
) -> Result<Vec<(Timestamp, WorkKey)>, Failure> {
    let mut open = Vec::new();
    for (sql, key) in [(DUE_DELIVERIES, WorkKey::Delivery as fn(i64) -> WorkKey), (DUE_RETURNS, WorkKey::Return)] {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([lane])?;
        let mut found = 0;
        while found < limit
            && let Some(row) = rows.next()?
        {
            let key = key(row.get(1)?);
            if !work.is_held(key) {
                open.push((Timestamp::from_micros(row.get(0)?), key));
                found += 1;
            }
        }
    }
    open.sort_unstable();
    open.truncate(limit);
    Ok(open)
}

type Envelopes = HashMap<i64, (Arc<EnvelopeRow>, Bytes)>;

fn read(
    connection: &Connection,
    key: WorkKey,
    envelopes: &mut Envelopes,
) -> Result<gateway_store::claim::Work, Failure> {
    let missing = |what: &str| Failure::Damaged(format!("{what} of due work {key:?} is missing"));
    match key {
        WorkKey::Return(id) => {
            let (row, _) = WayBack::at(connection, id)?.ok_or_else(|| missing("the row"))?;
            Ok(gateway_store::claim::Work::Return(row.with_receipt(connection)?))
        }
        WorkKey::Delivery(key) => {
            let delivery = rows::delivery_at(connection, key)?.ok_or_else(|| missing("the row"))?.row;
            let seq = rows::envelope_of(key);
            let (envelope, signed) = match envelopes.entry(seq) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let envelope = rows::envelope_at(connection, seq)?.ok_or_else(|| missing("the envelope"))?;
                    let body = rows::body_of(connection, seq)?.ok_or_else(|| missing("the body"))?;
                    new.insert((Arc::new(envelope), body))
                }
            };
            Ok(gateway_store::claim::Work::Deliver { delivery, envelope: envelope.clone(), signed: signed.clone() })
        }
    }
}
