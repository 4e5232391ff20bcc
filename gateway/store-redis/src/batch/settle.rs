//! Ends leases: the new state, the leaf and the receipts for the way back.

use gateway_store::Conflict;
use gateway_store::settle::{Attempted, Settle};

use super::{Batch, Done, Move, check_returns};
use crate::failure::Failure;

impl Batch<'_> {
    pub(super) fn settle(&mut self, settle: &Settle) -> Result<Done, Failure> {
        check_returns(&settle.returns, settle.leaf.is_some(), settle.foreign.is_some())?;
        let envelope = self.check_leases(settle)?;
        let to = Move {
            at: settle.at,
            state: &settle.to,
            wake: settle.wake,
            lane: settle.lane.as_ref(),
            serving: settle.serving.as_ref(),
        };
        for lease in &settle.leases {
            if let Some(kept) = self.view.delivery_mut(lease.delivery) {
                let item = kept.place.item();
                if settle.attempted == Attempted::Yes {
                    kept.row.attempts = kept.row.attempts.saturating_add(1);
                }
                self.plan.rest_on_lease(item, lease.token);
            }
            self.move_delivery(lease.delivery, &to)?;
        }
        // What the other gateway said was known before what this one made of it.
        if let Some(foreign) = &settle.foreign {
            self.keep_foreign(envelope, foreign)?;
        }
        let leaf = settle.leaf.as_ref().map(|leaf| self.leaf(envelope, leaf)).transpose()?;
        self.keep_returns(&settle.returns, leaf, settle.foreign.as_ref());
        Ok(Done::Settled { leaf })
    }

    /// All leases hold, or none is touched. Gives the envelope.
    fn check_leases(&self, settle: &Settle) -> Result<u64, Conflict> {
        let mut envelope = None;
        for lease in &settle.leases {
            let kept = self.view.delivery(lease.delivery).ok_or(Conflict::Stale)?;
            if kept.lease != Some(lease.token) {
                return Err(Conflict::Stale);
            }
            envelope.get_or_insert(kept.place.envelope);
        }
        envelope.ok_or(Conflict::Stale)
    }
}
