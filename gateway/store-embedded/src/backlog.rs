//! What waits, counted by lane from the index alone, and the first rows of one lane.

use std::collections::HashMap;
use std::sync::Arc;

use gateway_store::backlog::LaneLoad;
use gateway_store::claim::Lane;
use gateway_store::rows::{DeliverySummary, EnvelopeRow};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::failure::Failure;
use crate::rows::{self, envelope_of};

/// Counts what waits in each lane.
pub(crate) fn lane_loads(connection: &Connection) -> Result<Vec<LaneLoad>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT lane.name, waits.rows FROM (
            SELECT lane AS id, count(*) AS rows FROM delivery INDEXED BY delivery_due WHERE wake IS NOT NULL GROUP BY lane
            UNION ALL
            SELECT lane AS id, count(*) AS rows FROM way_back INDEXED BY way_back_due WHERE wake IS NOT NULL GROUP BY lane
        ) AS waits JOIN lane ON lane.id = waits.id",
    )?;
    let mut found = statement.query([])?;
    let mut loads = Vec::new();
    while let Some(row) = found.next()? {
        let (name, rows): (String, i64) = (row.get(0)?, row.get(1)?);
        loads.push(LaneLoad { lane: Lane::new(name), rows: rows.unsigned_abs() });
    }
    Ok(loads)
}

/// The deliveries of a lane, the earliest wake-up first.
pub(crate) fn waiting_in(connection: &Connection, lane: &Lane, limit: usize) -> Result<Vec<DeliverySummary>, Failure> {
    let mut number = connection.prepare_cached("SELECT id FROM lane WHERE name = ?1")?;
    let Some(lane) = number.query_row([lane.as_str()], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT key FROM delivery INDEXED BY delivery_due WHERE lane = ?1 AND wake IS NOT NULL ORDER BY wake, key LIMIT ?2",
    )?;
    let keys: Vec<i64> = statement
        .query_map(params![lane, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut envelopes: HashMap<i64, Arc<EnvelopeRow>> = HashMap::new();
    let mut waiting = Vec::with_capacity(keys.len());
    for key in keys {
        let missing = |what: &str| Failure::Damaged(format!("{what} {} is missing", envelope_of(key)));
        let delivery = rows::delivery_at(connection, key)?.ok_or_else(|| missing("a delivery of envelope"))?.row;
        let seq = envelope_of(key);
        let envelope = match envelopes.get(&seq) {
            Some(envelope) => envelope.clone(),
            None => {
                let row = Arc::new(rows::envelope_at(connection, seq)?.ok_or_else(|| missing("envelope"))?);
                envelopes.insert(seq, row.clone());
                row
            }
        };
        waiting.push(DeliverySummary { delivery, envelope });
    }
    Ok(waiting)
}
