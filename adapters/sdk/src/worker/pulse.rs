//! The pulse of a worker: extends leases, and tells how the system behind it is.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gateway_model::Reason;
use proto::v1;
use tokio::sync::watch;

use super::link::{refusal, wire_health};
use super::work::{Bench, Lease};
use crate::Health;

/// Leases in one heartbeat.
const LEASES_MAX: usize = 64;
/// Time for one look at the system.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);
/// How often the system is looked at when heartbeats are more frequent.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Time for the last words to a gateway.
const REPORT_TIME_MAX: Duration = Duration::from_secs(3);

/// Beats for ever. A look at the system that hangs delays no heartbeat.
pub(super) async fn beat(bench: &Bench) -> Infallible {
    let (told, health) = watch::channel(None);
    tokio::join!(look(bench, told), extend(bench, health)).1
}

async fn look(bench: &Bench, told: watch::Sender<Option<Health>>) -> Infallible {
    loop {
        let checked = tokio::time::timeout(CHECK_TIME_MAX, bench.adapter.check()).await;
        let health = checked.unwrap_or_else(|_| Health::Down { cause: "it does not say in time how it is".to_owned() });
        let is_new = told.send_if_modified(|known| {
            let is_new = known.as_ref() != Some(&health);
            *known = Some(health.clone());
            is_new
        });
        if is_new {
            match &health {
                Health::Up => tracing::info!("the system answers"),
                Health::Down { cause } => tracing::warn!(cause, "the system does not answer"),
            }
        }
        tokio::time::sleep(bench.session.heartbeat_every.max(CHECK_EVERY)).await;
    }
}

async fn extend(bench: &Bench, mut health: watch::Receiver<Option<Health>>) -> Infallible {
    loop {
        tokio::select! {
            () = tokio::time::sleep(bench.session.heartbeat_every) => {}
            // A change of the system's health is told at once.
            Ok(()) = health.changed() => {}
        }
        let health = health.borrow_and_update().clone();
        let leases = bench.leases.all();
        if leases.is_empty() {
            // Says nothing about the phase: a worker that drains stays so.
            bench.report(v1::WorkerPhase::Unspecified, health.as_ref()).await;
        }
        for some in leases.chunks(LEASES_MAX) {
            bench.heartbeat(some, health.as_ref()).await;
        }
    }
}

impl Bench {
    async fn heartbeat(&self, leases: &[Arc<Lease>], health: Option<&Health>) {
        let worker_id = self.session.id();
        let request = v1::HeartbeatRequest {
            worker_id: worker_id.clone(),
            leases: leases.iter().map(|lease| lease.reference.clone()).collect(),
            health: health.map(wire_health),
        };
        let mut client = self.client.clone();
        let answer = tokio::time::timeout(self.session.heartbeat_every.max(REPORT_TIME_MAX), client.heartbeat(request));
        let verdicts = match answer.await {
            Ok(Ok(answer)) => answer.into_inner().leases,
            Ok(Err(status)) => return self.was_refused(&worker_id, &status).await,
            Err(_) => return tracing::warn!("the gateway does not answer a heartbeat"),
        };
        for verdict in verdicts {
            let named = leases.iter().find(|lease| lease.reference.delivery_id == verdict.delivery_id);
            match named {
                Some(lease) if verdict.held => lease.extended(verdict.lease_expires_at),
                Some(lease) => lease.lose(),
                None => {}
            }
        }
    }

    /// Says what this worker does, and how its system is.
    pub(super) async fn report(&self, phase: v1::WorkerPhase, health: Option<&Health>) {
        let worker_id = self.session.id();
        let request = v1::ReportStatusRequest {
            worker_id: worker_id.clone(),
            health: health.map(wire_health),
            phase: phase.into(),
        };
        let mut client = self.client.clone();
        match tokio::time::timeout(REPORT_TIME_MAX, client.report_status(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) if phase != v1::WorkerPhase::Unspecified => {
                tracing::info!("the gateway could not be told; leases end by themselves");
            }
            Ok(Err(status)) => self.was_refused(&worker_id, &status).await,
            Err(_) => tracing::warn!("the gateway does not answer a report"),
        }
    }

    async fn was_refused(&self, worker_id: &str, status: &tonic::Status) {
        let fault = refusal(status);
        if fault.reason == Reason::WorkerUnknown {
            if let Err(fault) = self.session.renew(worker_id).await {
                tracing::error!(%fault, "this worker cannot register again");
            }
            return;
        }
        tracing::warn!(%fault, "the gateway does not take a heartbeat");
    }
}
