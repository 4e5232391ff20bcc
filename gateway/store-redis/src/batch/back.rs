//! Receipts on their way back: how their leases end.

use gateway_store::Conflict;
use gateway_store::settle::{ReturnState, SettleReturn};

use super::{Batch, Done};
use crate::failure::Failure;
use crate::keys::{return_field, return_item};

impl Batch<'_> {
    pub(super) fn settle_returns(&mut self, settles: &[SettleReturn]) -> Result<Done, Failure> {
        for settle in settles {
            let kept = self.view.returns.get(&settle.lease.id.0).and_then(Option::as_ref).ok_or(Conflict::Stale)?;
            if kept.lease != Some(settle.lease.token) {
                return Err(Conflict::Stale.into());
            }
        }
        for settle in settles {
            self.settle_return(settle);
        }
        Ok(Done::ReturnsSettled)
    }

    fn settle_return(&mut self, settle: &SettleReturn) {
        let id = settle.lease.id.0;
        let Some(Some(kept)) = self.view.returns.get_mut(&id) else { return };
        let item = return_item(id);
        kept.lease = None;
        kept.row.attempts = kept.row.attempts.saturating_add(1);
        (kept.row.wake, kept.row.reason) = match &settle.to {
            ReturnState::Done => (None, None),
            ReturnState::Waiting { due, reason } => (Some(*due), Some(*reason)),
            ReturnState::Held { reason } => (None, Some(*reason)),
        };
        self.plan.rest_on_lease(item.clone(), settle.lease.token);
        self.plan.unset(self.keys.one("leases"), item.clone());
        self.plan.wake(self.keys, &kept.row.lane, item, kept.row.wake);
        if settle.to == ReturnState::Done {
            self.plan.unset(self.keys.one("back"), return_field(id));
            self.view.head.returns = self.view.head.returns.saturating_sub(1);
            self.view.returns.insert(id, None);
        } else {
            self.plan.set(self.keys.one("back"), return_field(id), kept.row.encode());
        }
    }
}
