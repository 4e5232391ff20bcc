//! Records another gateway's receipt, once.

use gateway_store::Conflict;
use gateway_store::record::{self, Record, Recorded};
use rusqlite::{OptionalExtension as _, params};

use super::{Batch, Done, Move};
use crate::evidence;
use crate::failure::Failure;
use crate::rows;

impl Batch<'_> {
    pub(super) fn record(&mut self, record: &Record) -> Result<Done, Failure> {
        let envelope = self.envelope_number(record)?.ok_or(Conflict::Unknown)?;
        if evidence::find_foreign(self.connection, envelope, &record.foreign.leaf_hash)?.is_some() {
            return Ok(Done::Recorded(Recorded::Known));
        }
        for (id, state) in &record.states {
            let Some(mut kept) = rows::find_delivery(self.connection, *id)? else { continue };
            if !record::applies(kept.row.state.status(), state.status()) || rows::envelope_of(kept.key) != envelope {
                continue;
            }
            self.fence(&kept);
            // A state that goes on as it is keeps its wake-up: nothing may wait silently.
            let wake = kept.row.wake.filter(|_| kept.row.state.status() == state.status());
            self.move_delivery(&mut kept, &Move { at: record.at, state, wake, lane: None, serving: None })?;
        }
        let foreign = self.keep_foreign(envelope, &record.foreign)?;
        let leaf = self.leaf(envelope, &record.leaf);
        self.insert_returns(&record.returns, Some(leaf), Some(foreign))?;
        Ok(Done::Recorded(Recorded::New))
    }

    fn envelope_number(&self, record: &Record) -> Result<Option<i64>, Failure> {
        let key = &record.envelope;
        let mut select = self.connection.prepare_cached("SELECT seq FROM envelope WHERE id = ?1 AND sender = ?2")?;
        Ok(select.query_row(params![&key.id.0[..], key.sender.as_str()], |row| row.get(0)).optional()?)
    }
}
