//! What a worker has at hand: one task a delivery, its lease, and how its outcome reaches the gateway.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use gateway_model::outcome::{Outcome, Scope};
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::Effect;
use super::envelope;
use super::journal::{Journal, Memory};
use super::link::{BackOff, Client, cut, refusal, span, wire_span};
use super::parts::LeasedParts;
use super::session::Session;
use crate::lease::{LeaseHold, LeaseLost, Settled};
use crate::{Adapter, Delivery, trace};

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// What is taken for a lease whose time the gateway does not tell.
const LEASE_UNKNOWN: Duration = Duration::from_secs(30);

/// What every delivery needs.
pub(super) struct Bench {
    pub adapter: Arc<dyn Adapter>,
    pub client: Client,
    pub session: Arc<Session>,
    pub journal: Journal,
    pub effect: Effect,
    pub queue: String,
    pub leases: Leases,
}

/// The leases at hand, by delivery id.
#[derive(Clone, Default)]
pub(super) struct Leases(Arc<Mutex<HashMap<String, Arc<Lease>>>>);

/// One lease at hand.
pub(super) struct Lease {
    pub reference: v1::LeaseReference,
    /// When it ends unless it is extended.
    ends: watch::Sender<Instant>,
    /// The first end by our clock and by the gateway's: the two clocks need not agree.
    first_end: (Instant, Option<prost_types::Timestamp>),
    /// Somebody else has the delivery by now.
    lost: CancellationToken,
    /// The task has let go of it.
    done: CancellationToken,
    /// What became of the attempt, once that is known.
    settled: watch::Sender<Option<Settled>>,
}

impl Leases {
    /// Every lease at hand.
    pub(super) fn all(&self) -> Vec<Arc<Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes a lease into the hand. The one before it for the same delivery is given; it has to be let go first.
    fn take(&self, lease: Arc<Lease>) -> Option<Arc<Lease>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lease.reference.delivery_id.clone(), lease)
    }

    fn let_go(&self, lease: &Arc<Lease>) {
        let mut leases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if leases.get(&lease.reference.delivery_id).is_some_and(|at_hand| Arc::ptr_eq(at_hand, lease)) {
            leases.remove(&lease.reference.delivery_id);
        }
        lease.done.cancel();
    }
}

impl Lease {
    pub(super) fn new(leased: &v1::LeasedDelivery) -> Arc<Self> {
        let remaining = span(leased.lease_remaining).unwrap_or(LEASE_UNKNOWN);
        let reference =
            v1::LeaseReference { delivery_id: leased.delivery_id.clone(), lease_token: leased.lease_token.clone() };
        let first_end = (Instant::now() + remaining, leased.lease_expires_at);
        let (ends, _) = watch::channel(first_end.0);
        let (settled, _) = watch::channel(None);
        let (lost, done) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Self { reference, ends, first_end, lost, done, settled })
    }

    /// The gateway says that it holds until `expires_at`, by its own clock.
    pub(super) fn extended(&self, expires_at: Option<prost_types::Timestamp>) {
        let instant = |at: prost_types::Timestamp| Timestamp::from_parts(at.seconds, at.nanos);
        let longer = match (expires_at.and_then(instant), self.first_end.1.and_then(instant)) {
            (Some(now), Some(first)) => self.first_end.0 + now.since(first),
            (None, _) | (_, None) => return,
        };
        self.ends.send_if_modified(|known| {
            let is_later = longer > *known;
            *known = longer.max(*known);
            is_later
        });
    }

    /// The gateway says that somebody else has it, or nobody.
    pub(super) fn lose(&self) {
        self.lost.cancel();
    }

    /// Resolves when the lease no longer holds: by the gateway's word, or because nobody extended it.
    async fn gone(&self) {
        let mut ends = self.ends.subscribe();
        loop {
            let end = *ends.borrow_and_update();
            tokio::select! {
                () = self.lost.cancelled() => return,
                () = tokio::time::sleep_until(end) => return,
                _ = ends.changed() => {}
            }
        }
    }

    fn left(&self) -> Duration {
        self.ends.borrow().saturating_duration_since(Instant::now())
    }
}

#[async_trait::async_trait]
impl LeaseHold for Lease {
    /// The worker's heartbeats extend it; an adapter only learns whether it still holds.
    async fn extend(&self, _span: Duration) -> Result<Duration, LeaseLost> {
        match self.left() {
            _ if self.lost.is_cancelled() => Err(LeaseLost),
            Duration::ZERO => Err(LeaseLost),
            left => Ok(left),
        }
    }

    async fn settled(&self) -> Settled {
        let mut settled = self.settled.subscribe();
        tokio::select! {
            biased;
            Ok(settled) = settled.wait_for(Option::is_some) => settled.clone().unwrap_or(Settled::Lost),
            () = self.done.cancelled() => Settled::Lost,
        }
    }
}

impl Bench {
    /// Works on one delivery until its outcome is settled, or its lease is lost.
    pub(super) async fn work(self: Arc<Self>, leased: v1::LeasedDelivery, lease: Arc<Lease>) {
        if let Some(before) = self.leases.take(lease.clone()) {
            // The gateway has given it out again: whoever works on the old lease stops first, so that one effect is under way at a time.
            before.lose();
            before.done.cancelled().await;
        }
        let place = tracing::info_span!(
            parent: None,
            "process",
            otel.name = format!("process {}", self.queue),
            otel.kind = "consumer",
            otel.status_code = Empty,
            messaging.system = "lienthong",
            "messaging.operation.type" = "process",
            messaging.operation.name = "deliver",
            messaging.destination.name = self.queue,
            messaging.message.id = Empty,
            "error.type" = Empty,
            lienthong.attempt = leased.attempt,
            delivery_id = leased.delivery_id,
            trace_id = Empty,
        );
        // The gateway's own span of this attempt stands above it.
        trace::follow(&place, trace::bounded(&leased.traceparent));
        let working = async {
            let done = tokio::select! {
                biased;
                done = self.outcome(&leased, &lease) => Some(done),
                () = lease.gone() => None,
            };
            let Some((outcome, new)) = done else {
                return tracing::warn!("the lease is lost, the work on it has been dropped");
            };
            // Never dropped half-way: what the system has is written down before the next lease of the delivery looks.
            if let Some(digest) = new
                && let Err(fault) = self.journal.remember(&leased.delivery_id, digest, now()).await
            {
                // The effect has happened: the gateway hears so. Only a crash before it does could repeat the effect now.
                tracing::error!(%fault, "what was taken cannot be written down");
            }
            self.settle(&lease, outcome).await;
        };
        working.instrument(place).await;
        self.leases.let_go(&lease);
    }

    /// What came of it, and the digest of what the system has taken just now and would take twice.
    async fn outcome(&self, leased: &v1::LeasedDelivery, lease: &Arc<Lease>) -> (Outcome, Option<Digest>) {
        let read = match envelope::read(leased) {
            Ok(read) => read,
            Err(refusal) => return (Outcome::Refused { reason: refusal.reason, detail: refusal.field }, None),
        };
        let digest = read.digest;
        Span::current().record("messaging.message.id", tracing::field::display(&read.key.id));
        match self.journal.recall(&leased.delivery_id, digest) {
            Memory::New => {}
            Memory::Taken => {
                tracing::info!("the system has had it before; it is not handed over again");
                return (Outcome::Taken { receipt: None }, None);
            }
            Memory::OtherBody => {
                let detail = "the system has had another envelope under this delivery id".to_owned();
                return (Outcome::Refused { reason: Reason::EnvelopeIdReused, detail }, None);
            }
        }
        let outcome = self.deliver(self.delivery(leased, lease, read)).await;
        let is_new = matches!(outcome, Outcome::Taken { .. }) && self.effect == Effect::Once;
        (outcome, is_new.then_some(digest))
    }

    fn delivery(&self, leased: &v1::LeasedDelivery, lease: &Arc<Lease>, read: envelope::Read) -> Delivery {
        let sizes = read.envelope.parts.iter().map(|part| (part.digest, part.size)).collect();
        let parts = LeasedParts {
            client: self.client.clone(),
            worker_id: self.session.watch(),
            lease: lease.reference.clone(),
            sizes,
        };
        Delivery {
            ids: vec![read.id],
            recipients: vec![read.recipient],
            key: read.key,
            digest: read.digest,
            signed: read.signed,
            envelope: read.envelope,
            receipt: read.receipt,
            first_accepted: read.first_accepted,
            hops: read.hops,
            traceparent: trace::of(&Span::current()).or_else(|| trace::bounded(&leased.traceparent)),
            attempt: leased.attempt.max(1),
            // Heartbeats keep the lease; an adapter may work for as long as the gateway extends it.
            deadline: now().plus(limits::LEASE_EXTENDED_MAX),
            lease: lease.clone(),
            parts: Arc::new(parts),
        }
    }

    async fn deliver(&self, delivery: Delivery) -> Outcome {
        let delivered = AssertUnwindSafe(self.adapter.deliver(&delivery)).catch_unwind().await;
        delivered.unwrap_or_else(|_| Outcome::Deferred {
            reason: Reason::AdapterPanicked,
            detail: String::new(),
            retry_after: None,
            scope: Scope::Delivery,
        })
    }

    /// Tells the outcome until the gateway has it, or the lease is lost.
    async fn settle(&self, lease: &Arc<Lease>, outcome: Outcome) {
        let mut back_off = BackOff::new(RETRY_FIRST, RETRY_LONGEST);
        if lease.gone().now_or_never().is_some() {
            return tracing::warn!("the lease is lost: nothing is said under it");
        }
        loop {
            let worker_id = self.session.id();
            let fault = match self.tell(&worker_id, lease, &outcome).await {
                Ok((is_settled, state)) => {
                    let state = state.map(|state| state.status().as_str_name()).unwrap_or_default();
                    tracing::info!(is_settled, state, outcome = name(&outcome), "told the gateway");
                    let settled = if is_settled { Settled::Committed(state_after(&outcome)) } else { Settled::Lost };
                    lease.settled.send_replace(Some(settled));
                    return;
                }
                Err(fault) => fault,
            };
            if fault.reason == Reason::WorkerUnknown {
                if let Err(fault) = self.session.renew(&worker_id).await {
                    tracing::error!(%fault, "this worker cannot register again");
                }
            } else if !fault.reason.is_retryable() {
                tracing::error!(%fault, "the gateway does not take the outcome");
                return;
            }
            if !until(lease.gone(), tokio::time::sleep(back_off.wait(fault.retry_after))).await {
                tracing::warn!(%fault, "the lease is lost before the gateway could be told");
                return;
            }
        }
    }

    async fn tell(
        &self,
        worker_id: &str,
        lease: &Arc<Lease>,
        outcome: &Outcome,
    ) -> Result<(bool, Option<v1::DeliveryState>), Refusal> {
        let mut client = self.client.clone();
        let (worker_id, reference) = (worker_id.to_owned(), Some(lease.reference.clone()));
        let fail = |reason: &Reason, detail: &str| v1::FailRequest {
            worker_id: worker_id.clone(),
            lease: reference.clone(),
            code: reason.code().to_owned(),
            detail: cut(detail, 512),
            retryable: false,
            retry_after: None,
            system_down: false,
        };
        let request = match outcome {
            Outcome::Taken { .. } => {
                let request = v1::CompleteRequest { worker_id, lease: reference, reference: String::new() };
                let answer =
                    client.complete(trace::carry(request)).await.map_err(|status| refusal(&status))?.into_inner();
                return Ok((answer.settled, answer.state));
            }
            Outcome::Deferred { reason, detail, retry_after, scope } => v1::FailRequest {
                retryable: true,
                retry_after: retry_after.map(wire_span),
                system_down: *scope == Scope::Destination,
                ..fail(reason, detail)
            },
            Outcome::Refused { reason, detail } => fail(reason, detail),
        };
        let answer = client.fail(trace::carry(request)).await.map_err(|status| refusal(&status))?.into_inner();
        Ok((answer.settled, answer.state))
    }
}

/// Whether `wait` ended before `end` did.
async fn until(end: impl Future<Output = ()>, wait: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = end => false,
        () = wait => true,
    }
}

/// The state that a settled outcome leads to.
fn state_after(outcome: &Outcome) -> DeliveryState {
    match outcome {
        Outcome::Taken { .. } => DeliveryState::Delivered,
        Outcome::Deferred { reason, retry_after, .. } => {
            DeliveryState::Waiting { due: now().plus(retry_after.unwrap_or_default()), reason: Some(*reason) }
        }
        Outcome::Refused { reason, .. } => DeliveryState::Refused { reason: *reason },
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Taken { .. } => "taken",
        Outcome::Deferred { .. } => "deferred",
        Outcome::Refused { .. } => "refused",
    }
}

/// The system's clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
