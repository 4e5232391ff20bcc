//! Changes one delivery from outside of a lease; a lease in flight on it never settles.

use gateway_store::Conflict;
use gateway_store::change::Change;

use super::{Batch, Done, Move, check_returns};
use crate::failure::Failure;

impl Batch<'_> {
    pub(super) fn change(&mut self, change: &Change) -> Result<Done, Failure> {
        let kept = self.view.delivery(change.delivery).ok_or(Conflict::Unknown)?;
        let envelope = kept.place.envelope;
        if !change.expect.contains(&kept.row.state.status()) {
            return Err(Conflict::Status.into());
        }
        check_returns(&change.returns, true, false)?;
        let to = Move {
            at: change.at,
            state: &change.to,
            wake: None,
            lane: change.lane.as_ref(),
            serving: change.serving.as_ref(),
        };
        self.move_delivery(change.delivery, &to)?;
        let leaf = self.leaf(envelope, &change.leaf)?;
        self.keep_returns(&change.returns, Some(leaf), None);
        let delivery = self.view.delivery(change.delivery).ok_or(Conflict::Unknown)?.row.clone();
        Ok(Done::Changed { leaf, delivery: Box::new(delivery) })
    }
}
