//! Forgets bodies that nobody waits for any more. Rows, events and receipts stay.

use gateway_model::Timestamp;
use rusqlite::params;

use super::{Batch, Done};
use crate::failure::Failure;
use crate::rows;

impl Batch<'_> {
    pub(super) fn purge(&mut self, before: Timestamp, limit: usize) -> Result<Done, Failure> {
        let finished: Vec<(i64, i64)> = self
            .connection
            .prepare_cached("SELECT at, envelope FROM finished WHERE at < ?1 ORDER BY at, envelope LIMIT ?2")?
            .query_map(params![before.micros(), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        for (at, envelope) in &finished {
            let deliveries = rows::deliveries_of(self.connection, *envelope)?;
            if deliveries.iter().any(|kept| !kept.row.state.status().is_final()) {
                return Err(Failure::Damaged(format!("finished: envelope {envelope} has open deliveries")));
            }
            self.forget_body(*at, *envelope)?;
        }
        Ok(Done::Purged(finished.len()))
    }

    fn forget_body(&self, at: i64, envelope: i64) -> Result<(), Failure> {
        let row = rows::envelope_at(self.connection, envelope)?
            .ok_or_else(|| Failure::Damaged(format!("finished: envelope {envelope} is missing")))?;
        let mut delete = self.connection.prepare_cached("DELETE FROM part WHERE digest = ?1 AND envelope = ?2")?;
        for part in &row.header.parts {
            delete.execute(params![&part.digest.0[..], envelope])?;
        }
        self.connection.prepare_cached("DELETE FROM body WHERE envelope = ?1")?.execute([envelope])?;
        self.connection
            .prepare_cached("DELETE FROM finished WHERE at = ?1 AND envelope = ?2")?
            .execute([at, envelope])?;
        Ok(())
    }
}
