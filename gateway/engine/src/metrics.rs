//! What the engine counts. Names are declared here and nowhere else; labels are bounded: a kind, a reason, a party, never an id of a message.

use std::time::Duration;

use gateway_model::{Cause, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::stuck::StuckGroup;

type Labels<const N: usize> = [(&'static str, String); N];

/// The engine's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    accepted: Family<Labels<2>, Counter>,
    refused: Family<Labels<1>, Counter>,
    verifications: Family<Labels<1>, Counter>,
    acknowledge: Histogram,
    commits: Family<Labels<1>, Histogram, fn() -> Histogram>,
    attempts: Family<Labels<2>, Counter>,
    attempt: Histogram,
    leases: Gauge,
    gates_closed: Gauge,
    receipts_recorded: Family<Labels<1>, Counter>,
    receipts_returned: Family<Labels<1>, Counter>,
    receipts_overdue: Counter,
    store_faults: Counter,
    swept: Family<Labels<1>, Counter>,
    not_picked_up: Family<Labels<1>, Gauge>,
    stuck: Family<Labels<1>, Gauge>,
    incidents: Family<Labels<1>, Gauge>,
}

impl Metrics {
    /// Registers every metric under its name.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self { acknowledge: times(), attempt: times(), ..Self::unregistered() };
        registry.register(
            "lienthong_submissions_accepted",
            "Envelopes accepted, by hop kind",
            metrics.accepted.clone(),
        );
        registry.register("lienthong_submissions_refused", "Submissions refused, by reason", metrics.refused.clone());
        registry.register_with_unit(
            "lienthong_acknowledge",
            "Time from a submission to its receipt",
            Unit::Seconds,
            metrics.acknowledge.clone(),
        );
        registry.register(
            "lienthong_verifications",
            "Envelopes verified, by result: verified, or the reason of the refusal",
            metrics.verifications.clone(),
        );
        registry.register_with_unit(
            "lienthong_commit",
            "Time until a step was durable: its wait for the writer, the commit and its fsync",
            Unit::Seconds,
            metrics.commits.clone(),
        );
        registry.register("lienthong_attempts", "Attempts to hand over, by kind and outcome", metrics.attempts.clone());
        registry.register_with_unit("lienthong_attempt", "Time of one attempt", Unit::Seconds, metrics.attempt.clone());
        registry.register("lienthong_leases", "Rows under a lease", metrics.leases.clone());
        registry.register("lienthong_gates_closed", "Destinations that do not answer", metrics.gates_closed.clone());
        registry.register(
            "lienthong_receipts_recorded",
            "Receipts of other gateways",
            metrics.receipts_recorded.clone(),
        );
        registry.register("lienthong_receipts_returned", "Receipts brought back", metrics.receipts_returned.clone());
        registry.register("lienthong_receipts_overdue", "Final receipts not in time", metrics.receipts_overdue.clone());
        registry.register(
            "lienthong_store_faults",
            "Steps that the store could not take",
            metrics.store_faults.clone(),
        );
        registry.register("lienthong_swept", "Rows, bodies and parts swept, by kind", metrics.swept.clone());
        registry.register(
            "lienthong_not_picked_up",
            "Agencies served here whose deliveries nobody picks up: 1 while it lasts",
            metrics.not_picked_up.clone(),
        );
        registry.register(
            "lienthong_stuck_deliveries",
            "Deliveries and receipts that need a person, by cause",
            metrics.stuck.clone(),
        );
        registry.register("lienthong_incidents", "Incidents that last, by cause", metrics.incidents.clone());
        metrics
    }

    /// Metrics that nobody reads: for simulation and tests.
    pub fn unregistered() -> Self {
        Self {
            accepted: Family::default(),
            refused: Family::default(),
            verifications: Family::default(),
            acknowledge: Histogram::new([1.0]),
            commits: Family::new_with_constructor(times),
            attempts: Family::default(),
            attempt: Histogram::new([1.0]),
            leases: Gauge::default(),
            gates_closed: Gauge::default(),
            receipts_recorded: Family::default(),
            receipts_returned: Family::default(),
            receipts_overdue: Counter::default(),
            store_faults: Counter::default(),
            swept: Family::default(),
            not_picked_up: Family::default(),
            stuck: Family::default(),
            incidents: Family::default(),
        }
    }

    pub(crate) fn accepted(&self, hop: &'static str, duplicate: bool, took: Duration) {
        let labels = [("hop", hop.to_owned()), ("duplicate", duplicate.to_string())];
        self.accepted.get_or_create(&labels).inc();
        self.acknowledge.observe(took.as_secs_f64());
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.refused.get_or_create(&[("reason", reason.code().to_owned())]).inc();
    }

    /// What verification said of an envelope that was admitted.
    pub(crate) fn verified(&self, reason: Option<Reason>) {
        let result = reason.map_or("verified", |reason| reason.code());
        self.verifications.get_or_create(&[("result", result.to_owned())]).inc();
    }

    pub(crate) fn committed(&self, step: &'static str, took: Duration) {
        self.commits.get_or_create(&[("step", step.to_owned())]).observe(took.as_secs_f64());
    }

    pub(crate) fn attempted(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.attempts.get_or_create(&[("kind", kind.to_owned()), ("outcome", outcome.to_owned())]).inc();
        self.attempt.observe(took.as_secs_f64());
    }

    pub(crate) fn leases(&self, rows: usize) {
        self.leases.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    pub(crate) fn gates_closed(&self, gates: usize) {
        self.gates_closed.set(i64::try_from(gates).unwrap_or(i64::MAX));
    }

    pub(crate) fn receipt_recorded(&self, kind: &'static str) {
        self.receipts_recorded.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    pub(crate) fn receipts_returned(&self, outcome: &'static str, count: usize) {
        self.receipts_returned.get_or_create(&[("outcome", outcome.to_owned())]).inc_by(count as u64);
    }

    pub(crate) fn receipt_overdue(&self) {
        self.receipts_overdue.inc();
    }

    pub(crate) fn store_fault(&self) {
        self.store_faults.inc();
    }

    pub(crate) fn not_picked_up(&self, agency: &str, lasts: bool) {
        self.not_picked_up.get_or_create(&[("agency", agency.to_owned())]).set(i64::from(lasts));
    }

    /// What the last look saw.
    pub(crate) fn stuck(&self, groups: &[StuckGroup]) {
        for cause in Cause::ALL {
            let of_cause = || groups.iter().filter(|group| group.key.cause == cause);
            let labels = [("cause", cause.as_str().to_owned())];
            let rows: u64 = of_cause().map(|group| group.count).sum();
            self.stuck.get_or_create(&labels).set(i64::try_from(rows).unwrap_or(i64::MAX));
            self.incidents.get_or_create(&labels).set(i64::try_from(of_cause().count()).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn swept(&self, what: &'static str, count: usize) {
        if count > 0 {
            self.swept.get_or_create(&[("what", what.to_owned())]).inc_by(count as u64);
        }
    }
}

/// From half a millisecond, which a commit on a good disk takes, to a minute, which is a lease.
fn times() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_named_and_has_its_unit() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.accepted("system", false, Duration::from_millis(3));
        metrics.refused(Reason::SignatureInvalid);
        metrics.verified(Some(Reason::SignatureInvalid));
        metrics.committed("accept", Duration::from_millis(3));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "lienthong_submissions_accepted_total{hop=\"system\",duplicate=\"false\"} 1",
            "lienthong_submissions_refused_total{reason=\"SIGNATURE_INVALID\"} 1",
            "lienthong_acknowledge_seconds_count 1",
            "lienthong_verifications_total{result=\"SIGNATURE_INVALID\"} 1",
            "lienthong_commit_seconds_count{step=\"accept\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
