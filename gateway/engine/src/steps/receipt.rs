//! Receipt: settles what an attempt led to, and what other gateways' receipts bring back.

mod ending;
mod record;
mod returning;

use gateway_model::Timestamp;
use gateway_store::claim::Lease;
use gateway_store::settle::Settle;
use gateway_store::{Conflict, StoreError};
use gateway_verify::Snapshot;

pub(crate) use record::record;
pub(crate) use returning::bring_back;

use crate::Core;
use crate::steps::deliver::{Attempt, Load};
use ending::Ending;

/// Makes the end of an attempt durable: new state, wake-up, leaf and receipts for the way back in one commit. When the store cannot, the
/// lease runs out and the delivery is walked again.
pub(crate) async fn settle(engine: &Core, snapshot: &Snapshot, load: &Load, attempt: Attempt) {
    let ending = Ending::of(engine, snapshot, load, attempt);
    let at = engine.clock.now();
    let leases: Vec<Lease> = load.rows.iter().map(|(_, lease)| *lease).collect();
    match engine.store.settle(settlement(&ending, leases.clone(), at)).await {
        // Somebody moved one of them meanwhile: the others still settle.
        Err(StoreError::Conflict(Conflict::Stale)) if leases.len() > 1 => {
            for lease in leases {
                tell(engine, load, engine.store.settle(settlement(&ending, vec![lease], at)).await.err());
            }
        }
        result => tell(engine, load, result.err()),
    }
    engine.events.tell(load.envelope.seq);
}

fn settlement(ending: &Ending, leases: Vec<Lease>, at: Timestamp) -> Settle {
    Settle {
        leases,
        at,
        to: ending.to.clone(),
        wake: ending.wake,
        lane: ending.lane.clone(),
        serving: ending.serving.clone(),
        attempted: ending.attempted,
        leaf: ending.leaf.as_ref().map(gateway_evidence::Event::encode),
        foreign: ending.foreign.clone(),
        returns: ending.returns.clone(),
    }
}

fn tell(engine: &Core, load: &Load, error: Option<StoreError>) {
    let envelope_id = load.envelope.key.id;
    match error {
        None => {}
        Some(StoreError::Conflict(Conflict::Stale)) => {
            tracing::info!(%envelope_id, "a delivery was moved while it was handed over");
        }
        Some(error) => {
            engine.metrics.store_fault();
            tracing::warn!(%envelope_id, %error, "a walk could not be settled; it is walked again");
        }
    }
}
