//! Changes one delivery from outside of a lease.

use gateway_store::Conflict;
use gateway_store::change::Change;

use super::{Batch, Done, Move, check_returns, key_of};
use crate::failure::Failure;
use crate::rows::{self, Kept};

impl Batch<'_> {
    pub(super) fn change(&mut self, change: &Change) -> Result<Done, Failure> {
        let mut kept = rows::find_delivery(self.connection, change.delivery)?.ok_or(Conflict::Unknown)?;
        if !change.expect.contains(&kept.row.state.status()) {
            return Err(Conflict::Status.into());
        }
        check_returns(&change.returns, true, false)?;
        self.fence(&kept);
        let to = Move {
            at: change.at,
            state: &change.to,
            wake: None,
            lane: change.lane.as_ref(),
            serving: change.serving.as_ref(),
        };
        self.move_delivery(&mut kept, &to)?;
        let leaf = self.leaf(rows::envelope_of(kept.key), &change.leaf);
        self.insert_returns(&change.returns, Some(leaf), None)?;
        Ok(Done::Changed { leaf, delivery: Box::new(kept.row) })
    }

    /// Makes sure that a lease in flight on this delivery never settles.
    pub(super) fn fence(&mut self, kept: &Kept) {
        let mut effects = std::mem::take(&mut self.effects);
        self.work().freeze(key_of(kept), (&kept.row.lane, kept.lane), kept.row.wake, &mut effects);
        self.effects = effects;
    }
}
