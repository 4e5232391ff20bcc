//! The walk of an envelope: accept, verify, store; then route, deliver, receipt.
//!
//! [`Engine::submit`] is the first half: it answers after the envelope is durable. `Engine::walk` is the second: it takes what is due one
//! hand-over further, and settles. Between them stands only the store: nothing is remembered that a crash could lose. The rest of this
//! room: [`worker`] decides what is walked next ([`schedule`] is fair, [`gate`] closes what does not answer, [`retry`] spreads the waits);
//! [`sweep`] tidies; [`operate`] is what a person sees and moves; [`trust`], [`clock`] and [`entropy`] are arguments.

mod account;
pub mod audit;
pub mod bulk;
pub mod clock;
pub mod door;
mod door_trouble;
pub mod entropy;
pub mod events;
pub mod gate;
mod hold;
pub mod incident;
pub mod lane;
mod leased;
pub mod metrics;
mod nodes;
pub mod operate;
pub mod pace;
pub mod pause;
mod pick_up;
pub mod quota;
pub mod refusals;
pub mod retry;
pub mod schedule;
pub mod settings;
pub mod spans;
pub mod steps;
pub mod stuck;
pub mod sweep;
mod tally;
pub mod trust;
pub mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapters_sdk::relay::RelayAdapters;
use adapters_sdk::{Adapter, Settled};
use bytes::Bytes;
use gateway_evidence::{Event, EventKind, Receipt};
use gateway_model::agency::Hop;
use gateway_model::day::Day;
use gateway_model::id::{AgencyId, EnvelopeKey, GatewayId};
use gateway_model::working_time::WorkingTime;
use gateway_model::{Digest, Refusal, Timestamp};
use gateway_store::Store;
use gateway_store::claim::{NewReturn, ReturnWhat};
use gateway_store::parts::PartStore;
use gateway_store::record::Recorded;
use gateway_store::rows::{EnvelopeRow, EnvelopeSeq};
use gateway_verify::Snapshot;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::events::Events;
use crate::gate::{Gates, Sign};
use crate::lane::{Destination, Party};
use crate::metrics::Metrics;
use crate::operate::Operate;
use crate::quota::QuotaBook;
use crate::refusals::Refusals;
use crate::settings::Settings;
use crate::steps::{accept, deliver, receipt, repeat, route, store, verify};
use crate::trust::TrustHolder;
use crate::worker::Worker;

/// The engine of one gateway. Clones are handles to the same.
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
}

/// What an engine is made of.
pub struct EngineParts {
    /// This gateway.
    pub gateway: GatewayId,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where attachments are kept.
    pub parts: Arc<dyn PartStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Trust.
    pub trust: TrustHolder,
    /// Where envelopes go.
    pub adapters: AdapterTable,
    /// Bounds and times.
    pub settings: Settings,
    /// What is counted.
    pub metrics: Metrics,
}

/// The adapters of this gateway.
#[derive(Clone, Default)]
pub struct AdapterTable {
    /// Which adapter serves an agency.
    pub by_agency: HashMap<AgencyId, String>,
    /// The adapters by their names in the configuration.
    pub by_name: HashMap<String, Arc<dyn Adapter>>,
    /// The relays to other gateways; `None` when there are none.
    pub relay: Option<Arc<dyn RelayAdapters>>,
}

/// An envelope at the door.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Serialized `SignedEnvelope`, byte for byte as it came.
    pub signed: Bytes,
    /// Who brings it.
    pub hop: Hop,
    /// Small parts that came along; kept as if the hop had uploaded them.
    pub inline: Vec<Bytes>,
    /// What a gateway says about its hop; `None` from a system.
    pub relay: Option<RelayFacts>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// What a gateway says about its hop.
#[derive(Clone, Debug)]
pub struct RelayFacts {
    /// The recipients that this gateway is to serve.
    pub recipients: Vec<AgencyId>,
    /// Gateways passed so far, the caller last.
    pub hops: Vec<GatewayId>,
    /// The first gateway's ACCEPTED receipt, serialized.
    pub first_accepted: Option<Bytes>,
}

/// Accepted and durable.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Sender and envelope id.
    pub key: EnvelopeKey,
    /// SHA-256 of the envelope bytes.
    pub digest: Digest,
    /// Its number here.
    pub seq: EnvelopeSeq,
    /// The ACCEPTED receipt; the first one when `duplicate`.
    pub receipt: Receipt,
    /// True when nothing was new.
    pub duplicate: bool,
}

/// What the steps work with.
pub(crate) struct Core {
    pub(crate) gateway: GatewayId,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) parts: Arc<dyn PartStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) trust: TrustHolder,
    pub(crate) adapters: AdapterTable,
    pub(crate) settings: Settings,
    pub(crate) incidents: pick_up::Incidents,
    pub(crate) pauses: pause::Pauses,
    pub(crate) door_trouble: door_trouble::DoorTrouble,
    pub(crate) board: stuck::BoardHolder,
    pub(crate) book: incident::IncidentBook,
    pub(crate) bulks: bulk::Bulks,
    /// What operators began and what ends by itself.
    pub(crate) tasks: tokio_util::task::TaskTracker,
    pub(crate) tally: tally::Tally,
    pub(crate) pace: pace::Pace,
    pub(crate) started_at: Timestamp,
    /// Counts up whenever an alarm may have begun to wait.
    pub(crate) alarms: tokio::sync::watch::Sender<u64>,
    pub(crate) metrics: Metrics,
    pub(crate) quotas: QuotaBook,
    pub(crate) events: Events,
    pub(crate) refusals: Refusals,
    pub(crate) submissions: Arc<Semaphore>,
    /// One permit a KiB.
    pub(crate) submission_kibibytes: Arc<Semaphore>,
    gates: Mutex<Gates>,
    draining: AtomicBool,
    drained: CancellationToken,
}

impl Engine {
    /// Puts an engine together. Nothing runs until [`Engine::run`].
    pub fn new(parts: EngineParts) -> Self {
        let settings = parts.settings;
        let started_at = parts.clock.now();
        let core = Core {
            quotas: QuotaBook::new(settings.quotas, parts.clock.clone(), parts.store.node().is_some()),
            events: Events::new(),
            refusals: Refusals::default(),
            submissions: Arc::new(Semaphore::new(settings.submissions_max)),
            submission_kibibytes: Arc::new(Semaphore::new(
                (settings.submission_bytes_max / 1024).min(Semaphore::MAX_PERMITS),
            )),
            gates: Mutex::new(Gates::new(settings.gate_backoff)),
            draining: AtomicBool::new(false),
            drained: CancellationToken::new(),
            gateway: parts.gateway,
            store: parts.store,
            parts: parts.parts,
            clock: parts.clock,
            entropy: parts.entropy,
            trust: parts.trust,
            adapters: parts.adapters,
            metrics: parts.metrics,
            incidents: pick_up::Incidents::default(),
            pauses: pause::Pauses::default(),
            door_trouble: door_trouble::DoorTrouble::default(),
            board: stuck::BoardHolder::default(),
            book: incident::IncidentBook::default(),
            bulks: bulk::Bulks::default(),
            tally: tally::Tally::default(),
            pace: pace::Pace::default(),
            started_at,
            tasks: tokio_util::task::TaskTracker::new(),
            alarms: tokio::sync::watch::Sender::new(0),
            settings,
        };
        Self { core: Arc::new(core) }
    }

    /// Takes an envelope in: accept, verify, store. Answers after it is durable.
    ///
    /// # Errors
    /// A [`Refusal`]; nothing is kept then, or it cannot be said: a repeat is harmless and gets the first receipt.
    ///
    /// # Cancellation
    /// The envelope is durable or not; the repeat tells.
    pub async fn submit(&self, submission: Submission) -> Result<Accepted, Refusal> {
        let began = self.core.clock.steady();
        let result = self.core.submit(&submission).await;
        self.core.account(&submission, began, &result);
        result
    }

    /// Records a receipt that another gateway brings back, and passes it on along the way the envelope came. A second time is harmless.
    ///
    /// # Errors
    /// A [`Refusal`]; [`gateway_model::Reason::is_retryable`] tells whether to bring it again.
    pub async fn record_receipt(&self, from: &GatewayId, receipt: &Bytes) -> Result<Recorded, Refusal> {
        receipt::record(&self.core, from, receipt).await
    }

    /// Walks what is due and sweeps, until `shutdown`; then waits for what is under way, within bounds. One call at a time.
    pub async fn run(&self, shutdown: CancellationToken) {
        let worker = Worker::of(self.core.clone());
        let doors = async {
            shutdown.cancelled().await;
            self.drain();
        };
        if let Err(error) = self.core.load_marks().await {
            tracing::error!(%error, "pauses and plans cannot be read yet");
        }
        let watch = stuck::watch::run(&self.core, shutdown.clone());
        let nodes = nodes::follow(&self.core, shutdown.clone());
        tokio::join!(worker.run(shutdown.clone()), sweep::run(&self.core, shutdown.clone()), watch, nodes, doors);
        // Plans that were being carried out end when the gateway drains.
        self.core.tasks.close();
        self.core.tasks.wait().await;
    }

    /// Takes no more submissions from now on; what is accepted is still walked.
    pub fn drain(&self) {
        self.core.draining.store(true, Ordering::Relaxed);
        self.core.drained.cancel();
    }

    /// Looks once at what is stuck, with what follows from it: for simulation and tests.
    ///
    /// # Errors
    /// [`gateway_store::StoreError`].
    pub async fn look(&self) -> Result<(), gateway_store::StoreError> {
        stuck::watch::look_once(&self.core).await
    }

    /// The system of an agency served here says that it answers again: what waits behind its closed gate is tried now.
    pub fn answers_again(&self, agency: &AgencyId) {
        self.core.gates().try_now(&Party::Agency(agency.clone()), self.core.clock.steady());
    }

    /// What a person sees and moves.
    pub fn operate(&self) -> Operate {
        Operate::new(self.core.clone())
    }

    /// This gateway.
    pub fn gateway(&self) -> &GatewayId {
        &self.core.gateway
    }

    /// The trust in force; put a new snapshot in force here.
    pub fn trust(&self) -> &TrustHolder {
        &self.core.trust
    }

    /// The store: for reading. What changes it goes through the engine.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.store
    }

    /// The part store: doors upload into it.
    pub fn parts(&self) -> &Arc<dyn PartStore> {
        &self.core.parts
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.core.clock
    }

    /// Notices of what happens to envelopes.
    pub fn events(&self) -> &Events {
        &self.core.events
    }
}

impl Core {
    /// The first half of the walk: accept, verify, store.
    async fn submit(&self, submission: &Submission) -> Result<Accepted, Refusal> {
        let admitted = accept::admit(self, submission)?;
        let verified = verify::verify(self, submission, &admitted);
        self.metrics.verified(verified.as_ref().err().map(|refusal| refusal.reason));
        let verified = match verified {
            Ok(verified) => verified,
            Err(refusal) => return repeat::or_refuse(self, submission, &admitted, refusal).await,
        };
        accept::admit_sender(self, submission, &verified)?;
        let deliveries = route::at_acceptance(self, submission, &admitted, &verified)?;
        if let Err(refusal) = store::keep_parts(self, submission, &verified).await {
            return repeat::or_refuse(self, submission, &admitted, refusal).await;
        }
        store::keep(self, submission, &admitted, &verified, deliveries).await
    }

    /// The second half, for leased deliveries of one envelope: route, deliver, receipt. Tells what it taught about the destination.
    pub(crate) async fn walk(&self, load: deliver::Load) -> Sign {
        let Some(snapshot) = self.trust.current() else { return Sign::Nothing };
        let mut sign = Sign::Nothing;
        for (decision, load) in route::decide(self, &snapshot, load) {
            let span = spans::send(&load);
            sign = sign.or(self.hand_on(&snapshot, decision, load).instrument(span).await);
        }
        sign
    }

    async fn hand_on(&self, snapshot: &Snapshot, decision: route::Decision, load: deliver::Load) -> Sign {
        let (attempt, hold) = deliver::carry_out(self, snapshot, decision, &load).await;
        let sign = attempt.sign();
        let settled = receipt::settle(self, snapshot, &load, attempt).await;
        if let (Some(hold), Some(state)) = (hold, settled) {
            hold.settle(Settled::Committed(state));
        }
        sign
    }

    /// When an agency works: by the directory in force, or by the usual hours.
    pub(crate) fn calendar_of(&self, agency: Option<&AgencyId>, at: Timestamp) -> WorkingTime {
        let snapshot = self.trust.current();
        let directory = snapshot.as_ref().map(|snapshot| snapshot.directory());
        let calendar =
            directory.zip(agency).and_then(|(directory, agency)| directory.calendar_for(agency, Day::of(at)));
        calendar.map_or_else(WorkingTime::default, |calendar| calendar.time.clone())
    }

    /// What operators decided before this start.
    async fn load_marks(&self) -> Result<(), gateway_store::StoreError> {
        self.pauses.load(self.store.as_ref()).await?;
        self.bulks.load(self.store.as_ref()).await
    }

    /// An event about an envelope that is kept here; the caller fills in the rest.
    pub(crate) fn event(&self, kind: EventKind, about: &EnvelopeRow, recipients: Vec<AgencyId>) -> Event {
        Event {
            kind,
            gateway: self.gateway.clone(),
            at: self.clock.now(),
            sender: about.key.sender.clone(),
            envelope_id: about.key.id,
            envelope_digest: about.digest,
            recipients,
            reason: None,
            counterpart: String::new(),
            attempt: 0,
            rests_on: None,
            verification: None,
            note: String::new(),
        }
    }

    /// Brings a receipt back to the gateway that brought the envelope, if one did.
    pub(crate) fn way_back(&self, envelope: &EnvelopeRow, what: ReturnWhat) -> Vec<NewReturn> {
        let to = envelope.header.arrived_from.iter();
        to.map(|to| NewReturn { to: to.clone(), lane: Destination::receipts(to), due: self.clock.steady(), what })
            .collect()
    }

    pub(crate) fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) async fn drained(&self) {
        self.drained.cancelled().await;
    }
}
