//! The lease of a hand-over, as its adapter holds it: extended in the store, and told when the outcome is durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapters_sdk::{LeaseHold, LeaseLost, Settled};
use async_trait::async_trait;
use gateway_model::{Timestamp, limits};
use gateway_store::claim::Lease;
use gateway_store::{Store, StoreError};
use tokio::sync::watch;

use crate::Core;
use crate::clock::Clock;
use crate::steps::deliver::Load;

/// The engine's end. Whoever drops it without a word tells the adapter that nothing was settled.
pub(crate) struct Hold(Arc<Held>);

/// The adapter's end.
struct Held {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    leases: Vec<Lease>,
    /// Kept back of the lease for settling.
    margin: Duration,
    /// No extension goes beyond.
    latest: Timestamp,
    /// When the adapter has to have answered; `None` once it is too late.
    deadline: Mutex<Option<Timestamp>>,
    settled: watch::Sender<Option<Settled>>,
}

impl Hold {
    /// Holds the leases of a load.
    pub(crate) fn of(engine: &Core, load: &Load) -> Self {
        let (now, margin) = (engine.clock.steady(), engine.settings.lease_margin);
        Self(Arc::new(Held {
            store: engine.store.clone(),
            clock: engine.clock.clone(),
            leases: load.rows.iter().map(|(_, lease)| *lease).collect(),
            margin,
            latest: now.plus(limits::LEASE_EXTENDED_MAX),
            deadline: Mutex::new(Some(load.lease_until.minus(margin).max(now))),
            settled: watch::Sender::new(None),
        }))
    }

    /// For the adapter.
    pub(crate) fn lease(&self) -> Arc<dyn LeaseHold> {
        self.0.clone()
    }

    /// When the adapter has to have answered, as far as it has been extended.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.0.deadline().unwrap_or(Timestamp::MIN)
    }

    /// From now on nothing is extended.
    pub(crate) fn end(&self) {
        *self.0.deadline() = None;
    }

    /// Tells what became of the attempt.
    pub(crate) fn settle(self, settled: Settled) {
        self.0.settled.send_replace(Some(settled));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end();
        self.0.settled.send_if_modified(|settled| {
            let is_open = settled.is_none();
            if is_open {
                *settled = Some(Settled::Lost);
            }
            is_open
        });
    }
}

impl Held {
    fn deadline(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LeaseHold for Held {
    async fn extend(&self, span: Duration) -> Result<Duration, LeaseLost> {
        let now = self.clock.steady();
        let deadline = (*self.deadline()).filter(|deadline| now < *deadline).ok_or(LeaseLost)?;
        let wanted = now.plus(span).min(self.latest);
        if wanted > deadline {
            match self.store.extend(&self.leases, wanted.plus(self.margin)).await {
                Ok(()) => {
                    if let Some(deadline) = self.deadline().as_mut() {
                        *deadline = (*deadline).max(wanted);
                    }
                }
                Err(StoreError::Conflict(_)) => return Err(LeaseLost),
                Err(error) => tracing::warn!(%error, "a lease could not be extended; it holds for as long as it did"),
            }
        }
        let now = self.clock.steady();
        let deadline = (*self.deadline()).filter(|deadline| now < *deadline).ok_or(LeaseLost)?;
        Ok(deadline.since(now))
    }

    async fn settled(&self) -> Settled {
        let mut settled = self.settled.subscribe();
        match settled.wait_for(Option::is_some).await {
            Ok(settled) => settled.clone().unwrap_or(Settled::Lost),
            // The sender lives as long as `self`.
            Err(_) => Settled::Lost,
        }
    }
}
