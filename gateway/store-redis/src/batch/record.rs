//! Records another gateway's receipt, once.

use gateway_model::Timestamp;
use gateway_model::id::DeliveryId;
use gateway_model::state::DeliveryState;
use gateway_store::Conflict;
use gateway_store::record::{self, Record, Recorded};

use super::{Batch, Done, Move, check_returns};
use crate::failure::Failure;

impl Batch<'_> {
    pub(super) fn record(&mut self, record: &Record) -> Result<Done, Failure> {
        let key = &record.envelope;
        let known = self.view.ids.get(&key.id).and_then(|all| all.iter().find(|known| known.sender == key.sender));
        let envelope = known.ok_or(Conflict::Unknown)?.seq;
        if self.view.foreign.get(&(envelope, record.foreign.leaf_hash)) == Some(&true) {
            return Ok(Done::Recorded(Recorded::Known));
        }
        check_returns(&record.returns, true, true)?;
        for (id, state) in &record.states {
            self.record_state(envelope, *id, state, record.at)?;
        }
        self.keep_foreign(envelope, &record.foreign)?;
        let leaf = self.leaf(envelope, &record.leaf)?;
        self.keep_returns(&record.returns, Some(leaf), Some(&record.foreign));
        Ok(Done::Recorded(Recorded::New))
    }

    /// Applies what a foreign receipt says of a delivery, unless its state stays.
    fn record_state(
        &mut self,
        envelope: u64,
        id: DeliveryId,
        state: &DeliveryState,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let Some(kept) = self.view.delivery(id).filter(|kept| kept.place.envelope == envelope) else { return Ok(()) };
        let status = kept.row.state.status();
        if !record::applies(status, state.status()) {
            return Ok(());
        }
        // A state that goes on as it is keeps its wake-up: nothing may wait silently.
        let wake = kept.row.wake.filter(|_| status == state.status());
        self.move_delivery(id, &Move { at, state, wake, lane: None, serving: None })
    }
}
