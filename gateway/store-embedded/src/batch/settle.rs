//! Ends leases: the new state, the leaf and the receipts for the way back.

use gateway_store::Conflict;
use gateway_store::settle::{Attempted, ForeignReceipt, Settle};

use super::{Batch, Done, Move, check_returns, key_of};
use crate::evidence;
use crate::failure::Failure;
use crate::rows::{self, Kept};

impl Batch<'_> {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Done, Failure> {
        check_returns(&settle.returns, settle.leaf.is_some(), settle.foreign.is_some())?;
        let mut deliveries = self.take_leases(settle)?;
        let Some(envelope) = deliveries.first().map(|kept| rows::envelope_of(kept.key)) else {
            return Err(Conflict::Stale.into());
        };
        let to = Move {
            at: settle.at,
            state: &settle.to,
            wake: settle.wake,
            lane: settle.lane.as_ref(),
            serving: settle.serving.as_ref(),
        };
        for kept in &mut deliveries {
            if settle.attempted == Attempted::Yes {
                kept.row.attempts = kept.row.attempts.saturating_add(1);
            }
            self.move_delivery(kept, &to)?;
        }
        let foreign = settle.foreign.as_ref().map(|foreign| self.keep_foreign(envelope, foreign)).transpose()?;
        let leaf = settle.leaf.as_ref().map(|leaf| self.leaf(envelope, leaf));
        self.insert_returns(&settle.returns, leaf, foreign)?;
        Ok(Done::Settled { leaf })
    }

    /// Reads the deliveries and takes all of the leases, or none.
    fn take_leases(&mut self, settle: &Settle) -> Result<Vec<Kept>, Failure> {
        let mut deliveries = Vec::with_capacity(settle.leases.len());
        for lease in &settle.leases {
            deliveries.push(rows::find_delivery(self.connection, lease.delivery)?.ok_or(Conflict::Stale)?);
        }
        let mut effects = crate::work::Effects::default();
        let mut work = self.work();
        let taken = settle
            .leases
            .iter()
            .zip(&deliveries)
            .all(|(lease, kept)| work.take(key_of(kept), lease.token, &mut effects));
        if !taken {
            work.drop_effects(&effects);
            return Err(Conflict::Stale.into());
        }
        drop(work);
        self.effects.frozen.append(&mut effects.frozen);
        Ok(deliveries)
    }

    /// Keeps a foreign receipt unless it is here; gives its position.
    pub(super) fn keep_foreign(&mut self, envelope: i64, foreign: &ForeignReceipt) -> Result<i64, Failure> {
        if let Some(position) = evidence::find_foreign(self.connection, envelope, &foreign.leaf_hash)? {
            return Ok(position);
        }
        let position = self.position();
        evidence::insert_foreign(self.connection, envelope, position, foreign)?;
        Ok(position)
    }
}
