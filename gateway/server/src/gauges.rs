//! What is read anew at every scrape: the store's counts, what waits for whom, and when trust ends.

mod flow;
mod trust;

use std::collections::HashMap;

use gateway_engine::Engine;
use gateway_model::id::AgencyId;
use gateway_store::query::Counts;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use self::flow::Flow;
use self::trust::Trust;

/// Read from the store and the directory at every scrape.
pub(crate) struct Gauges {
    stored: Stored,
    flow: Flow,
    trust: Trust,
}

#[derive(Clone, Default)]
struct Stored {
    envelopes: Gauge,
    waiting: Gauge,
    forwarded: Gauge,
    held: Gauge,
    returns: Gauge,
    evidence_gap: Gauge,
    log_size: Gauge,
    free_bytes: Gauge,
}

impl Gauges {
    /// Registers every gauge under its name. `adapters` are their names by the agencies that they serve.
    pub(crate) fn register(registry: &mut Registry, adapters: HashMap<AgencyId, String>) -> Self {
        Self {
            stored: Stored::register(registry),
            flow: Flow::register(registry, adapters),
            trust: Trust::register(registry),
        }
    }

    /// Looks. What cannot be read keeps its last number, and the log says so.
    pub(crate) async fn look(&mut self, engine: &Engine) {
        match engine.store().counts().await {
            Ok(counts) => self.stored.take(&counts),
            Err(error) => tracing::warn!(%error, "the store cannot be counted"),
        }
        let Some(snapshot) = engine.trust().current() else { return };
        if let Err(refusal) = self.flow.look(engine, snapshot.directory()).await {
            tracing::warn!(%refusal, "what waits cannot be counted");
        }
        self.trust.look(snapshot, engine.clock().now()).await;
    }
}

impl Stored {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register("lienthong_envelopes", "Envelopes kept", gauges.envelopes.clone());
        registry.register(
            "lienthong_deliveries_waiting",
            "Deliveries that wait for an attempt",
            gauges.waiting.clone(),
        );
        registry.register(
            "lienthong_deliveries_forwarded",
            "Deliveries whose final receipt is awaited",
            gauges.forwarded.clone(),
        );
        registry.register("lienthong_deliveries_held", "Deliveries that need a person", gauges.held.clone());
        registry.register("lienthong_receipts_waiting", "Receipts on their way back", gauges.returns.clone());
        registry.register(
            "lienthong_evidence_gap",
            "Hand-overs whose proof is not yet with everybody: final receipts awaited here, and receipts still to be brought back",
            gauges.evidence_gap.clone(),
        );
        registry.register("lienthong_log_leaves", "Leaves in the evidence log", gauges.log_size.clone());
        registry.register_with_unit(
            "lienthong_store_free",
            "Bytes free on the disk of the store",
            Unit::Bytes,
            gauges.free_bytes.clone(),
        );
        gauges
    }

    fn take(&self, counts: &Counts) {
        set(&self.envelopes, counts.envelopes);
        set(&self.waiting, counts.waiting);
        set(&self.forwarded, counts.forwarded);
        set(&self.held, counts.held);
        set(&self.returns, counts.returns);
        set(&self.evidence_gap, counts.forwarded.saturating_add(counts.returns));
        set(&self.log_size, counts.log_size);
        set(&self.free_bytes, counts.free_bytes);
    }
}

fn set(gauge: &Gauge, number: u64) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}
