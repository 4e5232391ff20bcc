//! Deliver: hands an envelope over to an adapter, under a deadline, and never believes more than the adapter says.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::{Adapter, Delivery, Outcome, PartSource, Scope, trace};
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use gateway_evidence::{Event, Receipt};
use gateway_model::id::AgencyId;
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Timestamp};
use gateway_store::claim::Lease;
use gateway_store::parts::PartStore;
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use gateway_verify::Snapshot;
use tokio::io::AsyncRead;
use tracing::Span;

use crate::gate::Sign;
use crate::hold::Hold;
use crate::lane::{Destination, Place};
use crate::steps::route::{Decision, Instead};
use crate::steps::verify;
use crate::{Core, spans};

/// Leased deliveries of one envelope that go the same way.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) place: Place,
    pub(crate) envelope: Arc<EnvelopeRow>,
    pub(crate) signed: Bytes,
    pub(crate) lease_until: Timestamp,
    pub(crate) rows: Vec<(DeliveryRow, Lease)>,
}

/// What was tried, and what it led to.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) result: Result,
    /// The other party: adapter or gateway; empty when nobody was asked.
    pub(crate) counterpart: String,
}

/// What a walk led to.
#[derive(Clone)]
pub(crate) enum Result {
    /// The other side was asked.
    Asked(Outcome),
    /// Nobody was asked.
    Instead(Instead),
}

impl Load {
    /// The rows, and a load without them to share them out again.
    pub(crate) fn unpack(mut self) -> (Vec<(DeliveryRow, Lease)>, Self) {
        let rows = std::mem::take(&mut self.rows);
        (rows, self)
    }

    /// The same load with one row.
    pub(crate) fn with(&self, row: DeliveryRow, lease: Lease) -> Self {
        Self { rows: vec![(row, lease)], ..self.clone() }
    }

    /// The recipients, as the sender named them.
    pub(crate) fn named(&self) -> Vec<AgencyId> {
        self.rows.iter().map(|(row, _)| row.recipient.named.clone()).collect()
    }

    /// The number of this attempt, from 1.
    pub(crate) fn attempt(&self) -> u32 {
        self.rows.iter().map(|(row, _)| row.attempts).max().unwrap_or(0).saturating_add(1)
    }
}

impl Attempt {
    /// What the attempt taught about its destination.
    pub(crate) fn sign(&self) -> Sign {
        match &self.result {
            Result::Instead(_) => Sign::Nothing,
            Result::Asked(Outcome::Deferred { reason, detail, retry_after, scope: Scope::Destination }) => {
                Sign::Down { reason: *reason, detail: detail.clone(), retry_after: *retry_after }
            }
            // A breakdown inside of the adapter, or before it was asked, says nothing about the system behind it; nor does a worker that
            // did not come, or did not come back.
            Result::Asked(Outcome::Deferred {
                reason:
                    Reason::AdapterPanicked
                    | Reason::StoreUnavailable
                    | Reason::NotPickedUp
                    | Reason::WorkerSilent
                    | Reason::Draining,
                ..
            }) => Sign::Nothing,
            Result::Asked(_) => Sign::Answered,
        }
    }

    fn instead(instead: Instead) -> Self {
        Self { result: Result::Instead(instead), counterpart: String::new() }
    }
}

/// Carries a decision out: asks the other side when it is to be handed over.
pub(crate) async fn carry_out(
    engine: &Core,
    snapshot: &Snapshot,
    decision: Decision,
    load: &Load,
) -> (Attempt, Option<Hold>) {
    if let Decision::Instead(instead) = decision {
        return (Attempt::instead(instead), None);
    }
    let Some((adapter, counterpart)) = adapter(engine, &load.place.destination) else {
        return (Attempt::instead(Instead::Hold(Reason::AdapterMissing)), None);
    };
    let (began, hold) = (engine.clock.steady(), Hold::of(engine, load));
    let result = match prepare(engine, snapshot, load, &hold).await {
        Ok(delivery) => Result::Asked(ask(engine, adapter.as_ref(), &delivery, &hold).await),
        Err(result) => result,
    };
    hold.end();
    let attempt = Attempt { result, counterpart };
    tell(engine, load, &attempt, engine.clock.steady().since(began));
    (attempt, Some(hold))
}

/// The adapter of a destination, and its name.
pub(crate) fn adapter(engine: &Core, destination: &Destination) -> Option<(Arc<dyn Adapter>, String)> {
    match destination {
        Destination::Agency(agency) => {
            let name = engine.adapters.by_agency.get(agency)?;
            engine.adapters.by_name.get(name).map(|adapter| (adapter.clone(), name.clone()))
        }
        Destination::Gateway(gateway) => {
            let relay = engine.adapters.relay.as_ref()?.to(gateway)?;
            Some((relay, gateway.to_string()))
        }
        Destination::Awaiting(_) | Destination::Nowhere | Destination::Receipts(_) => None,
    }
}

/// Puts together what the adapter gets, and looks once more at trust that changed since acceptance.
async fn prepare(
    engine: &Core,
    snapshot: &Snapshot,
    load: &Load,
    hold: &Hold,
) -> std::result::Result<Delivery, Result> {
    let receipt = engine.store.receipt(load.envelope.accepted_leaf).await;
    let receipt = receipt.map_err(|error| deferred(Reason::StoreUnavailable, error.to_string()))?;
    let receipt = receipt
        .ok_or_else(|| deferred(Reason::StoreUnavailable, "the receipt of acceptance is not there".to_owned()))?;
    check_trust(engine, snapshot, load, &receipt)?;
    let envelope = verify::read_kept(&load.signed).map_err(|refusal| {
        tracing::error!(envelope_id = %load.envelope.key.id, %refusal, "a kept envelope cannot be read");
        Result::Instead(Instead::Hold(refusal.reason))
    })?;
    let receipt = receipt.encode();
    let header = &load.envelope.header;
    let mut hops = header.hops.clone();
    hops.push(engine.gateway.clone());
    Ok(Delivery {
        ids: load.rows.iter().map(|(row, _)| row.id).collect(),
        recipients: load.rows.iter().map(|(row, _)| row.recipient.clone()).collect(),
        key: load.envelope.key.clone(),
        digest: load.envelope.digest,
        signed: load.signed.clone(),
        envelope,
        first_accepted: header.first_accepted.clone().unwrap_or_else(|| receipt.clone()),
        receipt,
        hops,
        traceparent: trace::of(&Span::current()).or_else(|| header.traceparent.clone()),
        attempt: load.attempt(),
        deadline: hold.deadline(),
        lease: hold.lease(),
        parts: Arc::new(KeptParts(engine.parts.clone())),
    })
}

/// Trust is looked at again only when the directory has changed since acceptance. A person who released it has looked.
fn check_trust(engine: &Core, snapshot: &Snapshot, load: &Load, receipt: &Receipt) -> std::result::Result<(), Result> {
    let stood_on =
        Event::decode(&receipt.event).ok().and_then(|event| event.verification).map(|facts| facts.directory_version);
    let released = |(row, _): &(DeliveryRow, Lease)| {
        matches!(row.state, DeliveryState::Waiting { reason: Some(Reason::TrustChanged), .. })
    };
    if stood_on == Some(snapshot.directory().version()) || load.rows.iter().all(released) {
        return Ok(());
    }
    match verify::trust_withdrawn(engine, snapshot, &load.signed, engine.clock.now()) {
        None => Ok(()),
        Some(refusal) => {
            tracing::warn!(envelope_id = %load.envelope.key.id, %refusal, "trust was withdrawn after acceptance");
            Err(Result::Instead(Instead::Hold(Reason::TrustChanged)))
        }
    }
}

/// Asks the adapter. A panic or a silence is no answer; an answer that comes with the deadline counts.
async fn ask(engine: &Core, adapter: &dyn Adapter, delivery: &Delivery, hold: &Hold) -> Outcome {
    let mut answer = std::pin::pin!(AssertUnwindSafe(adapter.deliver(delivery)).catch_unwind());
    loop {
        let deadline = hold.deadline();
        tokio::select! {
            biased;
            answer = &mut answer => return answer.unwrap_or_else(|_| Outcome::Deferred {
                reason: Reason::AdapterPanicked,
                detail: "the adapter broke down".to_owned(),
                retry_after: None,
                scope: Scope::Delivery,
            }),
            () = engine.clock.sleep_until(deadline) => if hold.deadline() <= deadline {
                return Outcome::Deferred {
                    reason: Reason::AdapterUnavailable,
                    detail: "no answer before the lease ends".to_owned(),
                    retry_after: None,
                    scope: Scope::Destination,
                };
            },
        }
    }
}

fn deferred(reason: Reason, detail: String) -> Result {
    Result::Asked(Outcome::Deferred { reason, detail, retry_after: None, scope: Scope::Delivery })
}

fn tell(engine: &Core, load: &Load, attempt: &Attempt, took: Duration) {
    let (outcome, reason, detail) = match &attempt.result {
        Result::Instead(_) => ("held", None, ""),
        // Nobody was there: not even an attempt.
        Result::Asked(Outcome::Deferred { reason: Reason::NotPickedUp, .. }) => return,
        Result::Asked(Outcome::Taken { .. }) => ("taken", None, ""),
        Result::Asked(Outcome::Deferred { reason, detail, .. }) => ("deferred", Some(*reason), detail.as_str()),
        Result::Asked(Outcome::Refused { reason, detail }) => ("refused", Some(*reason), detail.as_str()),
    };
    engine.metrics.attempted(load.place.destination.kind(), outcome, took);
    let (envelope_id, attempt_number) = (load.envelope.key.id, load.attempt());
    let counterpart = &attempt.counterpart;
    // What an agency's own system says may be about a person: operators read it with the message, the log does not have it.
    let detail = if load.place.destination.gateway().is_some() { detail } else { "" };
    match reason {
        None => tracing::debug!(%envelope_id, attempt = attempt_number, counterpart, outcome, "handed over"),
        Some(reason) => {
            spans::failed(&Span::current(), reason);
            tracing::info!(%envelope_id, attempt = attempt_number, counterpart, outcome, %reason, detail, "not handed over");
        }
    }
}

/// The part store, as adapters see it.
struct KeptParts(Arc<dyn PartStore>);

#[async_trait]
impl PartSource for KeptParts {
    async fn open(&self, digest: &Digest, offset: u64) -> std::io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        self.0.open(digest, offset).await.map_err(std::io::Error::other)
    }
}
