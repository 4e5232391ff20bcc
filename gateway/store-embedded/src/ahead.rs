//! Wake-ups that a clock which ran ahead has set: at a start they are brought back, so that no work sleeps until a date that was never meant.
//!
//! Nothing that waits to be tried again was ever meant to wait longer than the longest span between two attempts. What is forwarded waits for
//! a date of its own and is left alone. The index of due work is read from its far end, lane by lane: rows that wake in time are not touched.

use gateway_model::Timestamp;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use rusqlite::{Connection, OptionalExtension as _};

use crate::batch::WayBack;
use crate::failure::Failure;
use crate::rows;

/// Rows in one transaction.
const ROWS_MAX: usize = 4_096;

const NEXT_LANE: [&str; 2] = [
    "SELECT lane FROM delivery INDEXED BY delivery_due WHERE lane > ?1 AND wake IS NOT NULL ORDER BY lane LIMIT 1",
    "SELECT lane FROM way_back INDEXED BY way_back_due WHERE lane > ?1 AND wake IS NOT NULL ORDER BY lane LIMIT 1",
];
const FAR_DELIVERIES: &str = "SELECT wake, key FROM delivery INDEXED BY delivery_due
    WHERE lane = ?1 AND (wake, key) > (?2, ?3) AND wake IS NOT NULL AND status = ?4 ORDER BY wake, key LIMIT ?5";
const FAR_RETURNS: &str = "SELECT wake, id FROM way_back INDEXED BY way_back_due
    WHERE lane = ?1 AND (wake, id) > (?2, ?3) AND wake IS NOT NULL AND ?4 = ?4 ORDER BY wake, id LIMIT ?5";

/// Wakes at `now` what would wake after `latest`. Gives how many rows that were.
pub(crate) fn bring_back(connection: &Connection, now: Timestamp, latest: Timestamp) -> Result<usize, Failure> {
    let deliveries = each_lane(connection, NEXT_LANE[0], |lane| {
        bring_back_lane(connection, FAR_DELIVERIES, lane, latest, |key| wake_delivery(connection, key, now))
    })?;
    let returns = each_lane(connection, NEXT_LANE[1], |lane| {
        bring_back_lane(connection, FAR_RETURNS, lane, latest, |id| WayBack::wake_at(connection, id, now))
    })?;
    Ok(deliveries + returns)
}

fn each_lane(
    connection: &Connection,
    next: &str,
    mut act: impl FnMut(i64) -> Result<usize, Failure>,
) -> Result<usize, Failure> {
    let mut next = connection.prepare(next)?;
    let (mut last, mut count) = (i64::MIN, 0);
    while let Some(lane) = next.query_row([last], |row| row.get(0)).optional()? {
        count += act(lane)?;
        last = lane;
    }
    Ok(count)
}

/// In transactions of a bounded size. A damaged row is named and stays as it is: it must not hold up the start.
fn bring_back_lane(
    connection: &Connection,
    far: &str,
    lane: i64,
    latest: Timestamp,
    wake: impl Fn(i64) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let mut far = connection.prepare(far)?;
    let (waiting, limit) = (i64::from(DeliveryStatus::Waiting.number()), i64::try_from(ROWS_MAX).unwrap_or(i64::MAX));
    let (mut last, mut count) = ((latest.micros(), i64::MAX), 0);
    loop {
        let found = far.query_map([lane, last.0, last.1, waiting, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let found: Vec<(i64, i64)> = found.collect::<Result<_, _>>()?;
        let Some(end) = found.last() else { return Ok(count) };
        last = *end;
        let transaction = connection.unchecked_transaction()?;
        for (_, key) in &found {
            match wake(*key) {
                Ok(()) => count += 1,
                Err(Failure::Damaged(what)) => tracing::error!(%what, "a wake-up that lies too far ahead stays"),
                Err(failure) => return Err(failure),
            }
        }
        transaction.commit()?;
    }
}

fn wake_delivery(connection: &Connection, key: i64, now: Timestamp) -> Result<(), Failure> {
    let Some(mut kept) = rows::delivery_at(connection, key)? else { return Ok(()) };
    if let DeliveryState::Waiting { due, .. } = &mut kept.row.state {
        *due = now;
    }
    kept.row.wake = Some(now);
    rows::update_delivery(connection, &kept)
}
