//! What happens by the calendar: envelopes that expired while they could not be walked, bodies and parts that nobody needs any more, and
//! held deliveries whose cause has gone with a new directory.

use std::time::Duration;

use gateway_evidence::{Event, EventKind};
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Reason};
use gateway_store::change::Change;
use gateway_store::claim::ReturnWhat;
use gateway_store::query::{PageToken, Query};
use gateway_store::rows::DeliverySummary;
use gateway_store::{Conflict, StoreError};
use tokio_util::sync::CancellationToken;

use crate::lane::{Destination, Place};
use crate::steps::deliver;
use crate::steps::route::{self, Way};
use crate::{Core, Engine};

/// Rows looked at in one step of a sweep.
const ROWS: usize = 500;
/// Steps of one sweep: what is left is for the next.
const STEPS_MAX: usize = 40;
/// Expired rows that can be walked are left to the walk for this long.
const EXPIRY_SLACK: Duration = Duration::from_secs(60);

/// Where the sweeps stand. Forgotten at a restart: they begin anew then.
#[derive(Debug, Default)]
pub struct Sweep {
    expiry_after: Option<PageToken>,
    parts_after: Option<Digest>,
    directory_seen: u64,
}

/// What one sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Deliveries that expired.
    pub expired: usize,
    /// Held deliveries that go on.
    pub resumed: usize,
    /// Bodies forgotten.
    pub bodies: usize,
    /// Parts removed.
    pub parts: usize,
}

/// Sweeps again and again until `shutdown`.
pub(crate) async fn run(engine: &Core, shutdown: CancellationToken) {
    let mut sweep = Sweep::default();
    loop {
        if let Err(error) = sweep.sweep(engine).await {
            tracing::warn!(%error, "a sweep could not finish");
        }
        let next = engine.clock.steady().plus(engine.settings.sweep_every);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = engine.clock.sleep_until(next) => {}
        }
    }
}

impl Sweep {
    /// Sweeps once, within bounds.
    ///
    /// # Errors
    /// [`StoreError`]; what was done stays done.
    pub async fn once(&mut self, engine: &Engine) -> Result<Swept, StoreError> {
        self.sweep(&engine.core).await
    }

    async fn sweep(&mut self, engine: &Core) -> Result<Swept, StoreError> {
        engine.quotas.sweep();
        let swept = Swept {
            expired: self.expire(engine).await?,
            resumed: self.resume(engine).await?,
            bodies: forget_bodies(engine).await?,
            parts: self.remove_parts(engine).await?,
        };
        engine.metrics.swept("expired", swept.expired);
        engine.metrics.swept("resumed", swept.resumed);
        engine.metrics.swept("bodies", swept.bodies);
        engine.metrics.swept("parts", swept.parts);
        Ok(swept)
    }

    /// Expires what is held, or waits behind a closed gate.
    async fn expire(&mut self, engine: &Core) -> Result<usize, StoreError> {
        let mut expired = 0;
        for _ in 0..STEPS_MAX {
            let statuses = vec![DeliveryStatus::Waiting, DeliveryStatus::Held];
            let query = Query { statuses, limit: ROWS, after: self.expiry_after, ..Query::default() };
            let page = engine.store.list(&query).await?;
            let now = engine.clock.now();
            for row in page.rows.iter().filter(|row| row.envelope.header.expires_at.plus(EXPIRY_SLACK) <= now) {
                if may_be_elsewhere(row) {
                    give_up_row(engine, row).await?;
                } else {
                    expired += usize::from(expire_row(engine, row).await?);
                }
            }
            self.expiry_after = page.next;
            if self.expiry_after.is_none() {
                break;
            }
        }
        Ok(expired)
    }

    /// A new directory may know a way that the old one did not, and a new start may bring an adapter that was missing.
    async fn resume(&mut self, engine: &Core) -> Result<usize, StoreError> {
        let Some(snapshot) = engine.trust.current() else { return Ok(0) };
        let version = snapshot.directory().version();
        if version == self.directory_seen {
            return Ok(0);
        }
        let mut resumed = 0;
        for reason in [
            Reason::RouteMissing,
            Reason::RouteLoop,
            Reason::RecipientEnded,
            Reason::RecipientUnknown,
            Reason::AdapterMissing,
        ] {
            let mut after = None;
            for _ in 0..STEPS_MAX {
                let statuses = vec![DeliveryStatus::Held];
                let query = Query { statuses, reason: Some(reason), limit: ROWS, after, ..Query::default() };
                let page = engine.store.list(&query).await?;
                for row in &page.rows {
                    resumed += usize::from(resume_row(engine, snapshot.directory(), row).await?);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        self.directory_seen = version;
        Ok(resumed)
    }

    /// Removes parts that no envelope names.
    async fn remove_parts(&mut self, engine: &Core) -> Result<usize, StoreError> {
        let before = engine.clock.now().minus(engine.settings.part_retention);
        let stale = match engine.parts.stale(before, self.parts_after, ROWS).await {
            Ok(stale) => stale,
            Err(error) => {
                tracing::warn!(%error, "stale parts cannot be listed");
                return Ok(0);
            }
        };
        self.parts_after = if stale.len() < ROWS { None } else { stale.last().copied() };
        let unreferenced = engine.store.unreferenced(&stale).await?;
        if unreferenced.is_empty() {
            return Ok(0);
        }
        match engine.parts.remove(&unreferenced, before).await {
            Ok(bytes) => tracing::info!(parts = unreferenced.len(), bytes, "removed parts that no envelope names"),
            Err(error) => {
                tracing::warn!(%error, "stale parts cannot be removed");
                return Ok(0);
            }
        }
        Ok(unreferenced.len())
    }
}

async fn forget_bodies(engine: &Core) -> Result<usize, StoreError> {
    let before = engine.clock.now().minus(engine.settings.body_retention);
    let mut forgotten = 0;
    for _ in 0..STEPS_MAX {
        let bodies = engine.store.purge_bodies(before, ROWS).await?;
        forgotten += bodies;
        if bodies < ROWS {
            break;
        }
    }
    Ok(forgotten)
}

/// Whether another gateway may have it after all: then it is not called expired without asking.
fn may_be_elsewhere(row: &DeliverySummary) -> bool {
    let overdue = row.delivery.state.reason() == Some(Reason::ReceiptOverdue);
    let asked = row.delivery.attempts > 0 && row.delivery.state.status() == DeliveryStatus::Waiting;
    let place = Place::of(&row.delivery.lane);
    let to_gateway = place.is_some_and(|place| place.destination.gateway().is_some());
    to_gateway && (overdue || asked)
}

/// The other gateway has not answered for so long that a person has to look.
async fn give_up_row(engine: &Core, row: &DeliverySummary) -> Result<bool, StoreError> {
    let late = engine.clock.now() >= row.envelope.header.expires_at.plus(engine.settings.receipt_grace);
    if !late || row.delivery.state.status() != DeliveryStatus::Waiting {
        return Ok(false);
    }
    let reason = Reason::ReceiptOverdue;
    let event = engine.event(EventKind::Held, &row.envelope, vec![row.delivery.recipient.named.clone()]);
    let change = Change {
        delivery: row.delivery.id,
        expect: vec![DeliveryStatus::Waiting],
        at: engine.clock.now(),
        to: DeliveryState::Held { reason },
        lane: None,
        serving: None,
        leaf: Event { reason: Some(reason), ..event }.encode(),
        returns: engine.way_back(&row.envelope, ReturnWhat::ThisLeaf),
    };
    apply(engine, row, change).await
}

async fn expire_row(engine: &Core, row: &DeliverySummary) -> Result<bool, StoreError> {
    let recipients = vec![row.delivery.recipient.named.clone()];
    let leaf = engine.event(EventKind::Expired, &row.envelope, recipients);
    let change = Change {
        delivery: row.delivery.id,
        expect: vec![row.delivery.state.status()],
        at: engine.clock.now(),
        to: DeliveryState::Expired,
        lane: None,
        serving: None,
        leaf: leaf.encode(),
        returns: engine.way_back(&row.envelope, ReturnWhat::ThisLeaf),
    };
    apply(engine, row, change).await
}

async fn resume_row(
    engine: &Core,
    directory: &gateway_model::directory::Directory,
    row: &DeliverySummary,
) -> Result<bool, StoreError> {
    let now = engine.clock.now();
    let (delivery, envelope) = (&row.delivery, &row.envelope);
    let Some((serving, to)) = way_now(engine, directory, row) else { return Ok(false) };
    let counterpart = match &to {
        Destination::Agency(id) => id.to_string(),
        Destination::Gateway(id) | Destination::Awaiting(id) | Destination::Receipts(id) => id.to_string(),
        Destination::Nowhere => return Ok(false),
    };
    if deliver::adapter(engine, &to).is_none() {
        return Ok(false);
    }
    let event = engine.event(EventKind::Rerouted, envelope, vec![delivery.recipient.named.clone()]);
    let change = Change {
        delivery: delivery.id,
        expect: vec![DeliveryStatus::Held],
        at: now,
        to: DeliveryState::Waiting { due: engine.clock.steady(), reason: None },
        lane: Some(to.lane(envelope.header.priority, &envelope.key.sender)),
        serving: Some(serving),
        leaf: Event { counterpart, ..event }.encode(),
        returns: engine.way_back(envelope, ReturnWhat::ThisLeaf),
    };
    apply(engine, row, change).await
}

/// Who serves now, and the way there, if there is one.
pub(crate) fn way_now(
    engine: &Core,
    directory: &gateway_model::directory::Directory,
    row: &DeliverySummary,
) -> Option<(gateway_model::id::AgencyId, Destination)> {
    use gateway_model::directory::Serving;
    let recipient = &row.delivery.recipient;
    let serving = match directory.serving(&recipient.serving, engine.clock.now()) {
        Serving::Itself => recipient.serving.clone(),
        Serving::Successor(successor) => successor,
        Serving::Ended | Serving::Unknown => return None,
    };
    match route::way(directory, &engine.gateway, &serving, &row.envelope.header.hops) {
        Way::To(to) => Some((serving, to)),
        Way::Nowhere(_) => None,
    }
}

async fn apply(engine: &Core, row: &DeliverySummary, change: Change) -> Result<bool, StoreError> {
    match engine.store.change(change).await {
        Ok(_) => {
            engine.events.tell(row.envelope.seq);
            Ok(true)
        }
        // It moved on by itself meanwhile.
        Err(StoreError::Conflict(Conflict::Status | Conflict::Unknown)) => Ok(false),
        Err(error) => Err(error),
    }
}
