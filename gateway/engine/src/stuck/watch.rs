//! Looks again and again, opens and closes incidents, and gives an alarm at the beginning of each and at its end: once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::incident::Alarm;
use crate::pace::Sample;
use crate::stuck::others;
use crate::{Core, pick_up, stuck};

/// Between two looks at least.
const EVERY: Duration = Duration::from_secs(2);
/// A look that takes long is not repeated at once: at most this share of the time is spent looking.
const SHARE: u32 = 20;
/// Between two looks at most, so that ten seconds is always time enough to see.
const EVERY_MAX: Duration = Duration::from_secs(8);

/// How long a node that is gone keeps the duty of opening and closing incidents.
const DUTY: Duration = Duration::from_secs(30);

/// Looks until `shutdown`.
pub(crate) async fn run(engine: &Core, shutdown: CancellationToken) {
    loop {
        let began = engine.clock.steady();
        if let Err(error) = look_once(engine).await {
            tracing::warn!(%error, "could not look at what is stuck");
        }
        let took = engine.clock.steady().since(began);
        let next = began.plus((took * SHARE).clamp(EVERY, EVERY_MAX));
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = engine.clock.sleep_until(next) => {}
        }
    }
}

/// One look, with what follows from it.
pub(crate) async fn look_once(engine: &Core) -> Result<(), gateway_store::StoreError> {
    // Decided before this start, or at another node.
    engine.pauses.load(engine.store.as_ref()).await?;
    pick_up::look(engine).await?;
    let board = engine.board.replace(stuck::look(engine).await?);
    if lead(engine).await? {
        let whole = others::with_others(engine, &board).await?;
        match engine.book.learn(engine, &whole).await {
            Ok(alarms) => alarms.iter().for_each(|alarm| tell(engine, alarm)),
            Err(error) => {
                // What could not be kept has not begun: the next look reads what was kept, and finds it anew.
                engine.book.lead(false);
                return Err(error);
            }
        }
    }
    others::tell(engine, &board).await?;
    engine.metrics.stuck(&board.groups);
    engine.pace.learn(Sample {
        at: engine.clock.steady(),
        accepted: engine.tally.accepted(),
        delivered: engine.tally.delivered(),
        free_bytes: engine.store.counts().await?.free_bytes,
    });
    Ok(())
}

/// Whether the incidents are this node's to open and to close. Of several nodes one has that duty; when it is gone another goes on with what it
/// had kept.
async fn lead(engine: &Core) -> Result<bool, gateway_store::StoreError> {
    let leads = engine.store.duty("incidents", DUTY).await?;
    if !leads || !engine.book.leads() {
        engine.book.load(engine.store.as_ref()).await?;
    }
    if engine.book.lead(leads) {
        // What an earlier process, or another node, could not tell waits.
        engine.alarms.send_modify(|changes| *changes += 1);
    }
    Ok(leads)
}

/// To the log always; to everybody else by whoever tells what waits.
fn tell(engine: &Core, alarm: &Alarm) {
    let incident = &alarm.incident;
    let must_act = incident.key.must_act.as_ref().map_or("", gateway_model::id::AgencyId::as_str);
    let (cause, destination, id) = (incident.key.cause.as_str(), &incident.key.destination, &incident.id);
    match alarm.is_end {
        false => {
            tracing::error!(incident = %id, cause, reason = %incident.reason, destination, must_act, count = incident.count_max, "an incident began");
        }
        true => tracing::error!(incident = %id, cause, destination, must_act, "an incident ended"),
    }
    engine.alarms.send_modify(|changes| *changes += 1);
}
