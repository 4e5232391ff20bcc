//! Receipt: settles what an attempt led to, and what other gateways' receipts bring back.

mod ending;
mod record;
mod returning;

use std::collections::HashSet;

use adapters_sdk::Outcome;
use gateway_evidence::{Event, Receipt};
use gateway_model::Timestamp;
use gateway_model::id::AgencyId;
use gateway_model::state::DeliveryState;
use gateway_store::claim::Lease;
use gateway_store::settle::Settle;
use gateway_store::{Conflict, StoreError};
use gateway_verify::Snapshot;

pub(crate) use record::record;
pub(crate) use returning::bring_back;

use crate::Core;
use crate::steps::deliver::{Attempt, Load, Result};
use ending::Ending;

/// Makes the end of an attempt durable: new state, wake-up, leaf and receipts for the way back in one commit. When the store cannot, the
/// lease runs out and the delivery is walked again. Gives the new state when it is durable for all of the load.
pub(crate) async fn settle(engine: &Core, snapshot: &Snapshot, load: &Load, attempt: Attempt) -> Option<DeliveryState> {
    let (spoken_of, left_out) = share_out(load, &attempt);
    if !spoken_of.rows.is_empty() && !left_out.rows.is_empty() {
        let first = settle_together(engine, snapshot, &spoken_of, attempt.clone()).await;
        let rest = settle_together(engine, snapshot, &left_out, attempt).await;
        return first.filter(|_| rest.is_some());
    }
    settle_together(engine, snapshot, load, attempt).await
}

/// The other side's receipt holds for those that it speaks of, and for nobody else.
fn share_out(load: &Load, attempt: &Attempt) -> (Load, Load) {
    let event = match &attempt.result {
        Result::Asked(Outcome::Taken { receipt: Some(receipt) }) => {
            Receipt::decode(receipt).and_then(|receipt| Event::decode(&receipt.event)).ok()
        }
        Result::Asked(_) | Result::Instead(_) => None,
    };
    let (rows, empty) = load.clone().unpack();
    let named: HashSet<&AgencyId> = event.iter().flat_map(|event| &event.recipients).collect();
    let all = named.is_empty();
    let (spoken_of, left_out) = rows.into_iter().partition(|(row, _)| all || named.contains(&row.recipient.named));
    (Load { rows: spoken_of, ..empty.clone() }, Load { rows: left_out, ..empty })
}

async fn settle_together(engine: &Core, snapshot: &Snapshot, load: &Load, attempt: Attempt) -> Option<DeliveryState> {
    let ending = Ending::of(engine, snapshot, load, attempt);
    let at = engine.clock.now();
    let leases: Vec<Lease> = load.rows.iter().map(|(_, lease)| *lease).collect();
    let settlement_of_all = engine.store.settle(settlement(&ending, leases.clone(), at));
    let settled = match engine.durable("settle", settlement_of_all).await {
        // Somebody moved one of them meanwhile: the others still settle.
        Err(StoreError::Conflict(Conflict::Stale)) if leases.len() > 1 => {
            for lease in leases {
                tell(engine, load, engine.store.settle(settlement(&ending, vec![lease], at)).await.err());
            }
            None
        }
        result => {
            let settled = result.is_ok().then_some(ending.to);
            if settled == Some(DeliveryState::Delivered) {
                engine.tally.count_delivered(load.rows.len());
            }
            if matches!(settled, Some(DeliveryState::Delivered | DeliveryState::Forwarded { .. })) {
                count_taken(engine, load);
            }
            tell(engine, load, result.err());
            settled
        }
    };
    engine.events.tell(load.envelope.seq);
    settled
}

/// The other side has it now.
fn count_taken(engine: &Core, load: &Load) {
    if let Some(party) = load.place.destination.party() {
        engine.pace.count_taken(&party, load.rows.len(), engine.clock.steady());
    }
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
