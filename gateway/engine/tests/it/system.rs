//! A department's system that does what the test says, and a gateway around it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters_sdk::relay::RelayAdapters;
use adapters_sdk::{Adapter, Delivery, Health, LeaseHold, LeaseLost, Outcome, Room, Scope};
use async_trait::async_trait;
use bytes::Bytes;
use gateway_engine::clock::{Clock, ManualClock};
use gateway_engine::entropy::SeededEntropy;
use gateway_engine::metrics::Metrics;
use gateway_engine::settings::Settings;
use gateway_engine::trust::TrustHolder;
use gateway_engine::worker::Worker;
use gateway_engine::{Accepted, AdapterTable, Engine, EngineParts, Submission};
use gateway_evidence::{Event, EventKind};
use gateway_model::agency::Hop;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeKey};
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Refusal};
use gateway_store::faulty::{Faults, FaultyStore};
use gateway_store::memory::{MemoryParts, MemoryStore};
use gateway_store::rows::{DeliveryRow, DeliverySummary};
use gateway_store_conformance::fixture::log_signer;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::world::{START, WORLD, agency_id, desk, envelope, gateway, key};

/// What a system does at its next call.
#[derive(Clone, Debug)]
pub enum Answer {
    Take,
    /// Takes it, but the answer is lost: it hangs until the deadline.
    TakeAndHang,
    Defer(Reason, Scope),
    Wait(Duration),
    Refuse(Reason),
    Panic,
    Hang,
    /// Extends its lease by this much, and hangs.
    Keep(Duration),
    /// Nobody is there after all: gives it back, and has no more room.
    PutBack,
}

/// A system that takes everything once, unless it is told otherwise.
#[derive(Default)]
pub struct FakeSystem {
    answers: Mutex<VecDeque<Answer>>,
    always: Mutex<HashMap<EnvelopeKey, Answer>>,
    down: Mutex<bool>,
    taken: Mutex<BTreeMap<DeliveryId, Digest>>,
    calls: Mutex<Vec<EnvelopeKey>>,
    /// How much it takes at one time; `None` says nothing about it.
    room: Mutex<Option<usize>>,
    leases: Mutex<Vec<Arc<dyn LeaseHold>>>,
    extended: watch::Sender<Vec<Result<Duration, LeaseLost>>>,
}

impl FakeSystem {
    /// Takes so much at one time from now on.
    pub fn set_room(&self, room: usize) {
        *self.room.lock().unwrap() = Some(room);
    }

    /// The leases of all calls.
    pub fn leases(&self) -> Vec<Arc<dyn LeaseHold>> {
        self.leases.lock().unwrap().clone()
    }

    /// What the extensions of leases were answered.
    pub fn extended(&self) -> watch::Receiver<Vec<Result<Duration, LeaseLost>>> {
        self.extended.subscribe()
    }

    /// What it does next, call by call.
    pub fn next(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// What it does with this envelope, always.
    pub fn always(&self, key: EnvelopeKey, answer: Answer) {
        self.always.lock().unwrap().insert(key, answer);
    }

    pub fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    /// What it has: the effects, one a delivery id.
    pub fn taken(&self) -> BTreeMap<DeliveryId, Digest> {
        self.taken.lock().unwrap().clone()
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<EnvelopeKey> {
        self.calls.lock().unwrap().clone()
    }

    fn take(&self, delivery: &Delivery) {
        let [id] = delivery.ids[..] else { panic!("a system sees one recipient at a time") };
        let before = self.taken.lock().unwrap().insert(id, delivery.digest);
        assert!(before.is_none_or(|before| before == delivery.digest), "two bodies under one id");
    }

    fn answer(&self, delivery: &Delivery) -> Answer {
        self.calls.lock().unwrap().push(delivery.key.clone());
        if *self.down.lock().unwrap() {
            return Answer::Defer(Reason::AdapterUnavailable, Scope::Destination);
        }
        if let Some(answer) = self.always.lock().unwrap().get(&delivery.key) {
            return answer.clone();
        }
        self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Take)
    }
}

#[async_trait]
impl Adapter for FakeSystem {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        self.leases.lock().unwrap().push(delivery.lease.clone());
        let defer =
            |reason, retry_after, scope| Outcome::Deferred { reason, detail: "told to".to_owned(), retry_after, scope };
        match self.answer(delivery) {
            Answer::Take => {
                self.take(delivery);
                Outcome::Taken { receipt: None }
            }
            Answer::TakeAndHang => {
                self.take(delivery);
                std::future::pending().await
            }
            Answer::Defer(reason, scope) => defer(reason, None, scope),
            Answer::Wait(wait) => defer(Reason::AdapterUnavailable, Some(wait), Scope::Delivery),
            Answer::Refuse(reason) => Outcome::Refused { reason, detail: "told to".to_owned() },
            Answer::Panic => panic!("told to"),
            Answer::Hang => std::future::pending().await,
            Answer::Keep(span) => {
                let extended = delivery.lease.extend(span).await;
                self.extended.send_modify(|all| all.push(extended));
                std::future::pending().await
            }
            Answer::PutBack => {
                self.set_room(0);
                defer(Reason::NotPickedUp, None, Scope::Delivery)
            }
        }
    }

    fn room(&self, _: &AgencyId) -> Room {
        self.room.lock().unwrap().map_or(Room::Any, Room::Of)
    }

    fn not_picked_up_after(&self) -> Option<Duration> {
        self.room.lock().unwrap().map(|_| Duration::from_secs(8 * 3_600))
    }

    async fn check(&self) -> Health {
        Health::Up
    }
}

/// One gateway with a store that fails on demand and a system for every agency.
pub struct Node {
    pub engine: Engine,
    pub clock: Arc<ManualClock>,
    pub system: Arc<FakeSystem>,
    pub faults: Faults,
    pub trust: TrustHolder,
    pub parts: Arc<MemoryParts>,
    memory: Arc<MemoryStore>,
    id: &'static str,
    settings: Settings,
    relay: Option<Arc<dyn RelayAdapters>>,
}

impl Node {
    pub fn new(id: &'static str) -> Self {
        Self::with(id, Settings::default(), None)
    }

    pub fn with(id: &'static str, settings: Settings, relay: Option<Arc<dyn RelayAdapters>>) -> Self {
        Self::at(id, Arc::new(ManualClock::at(START)), settings, relay)
    }

    pub fn at(
        id: &'static str,
        clock: Arc<ManualClock>,
        settings: Settings,
        relay: Option<Arc<dyn RelayAdapters>>,
    ) -> Self {
        let parts = {
            let clock = clock.clone();
            Arc::new(MemoryParts::new(move || clock.now()))
        };
        let memory = Arc::new(MemoryStore::new(log_signer(id)));
        let trust = TrustHolder::new(Some(WORLD.snapshot()));
        let (system, id_) = (Arc::new(FakeSystem::default()), id);
        let (engine, faults) =
            build(id_, &memory, &clock, &parts, &trust, &system, settings, relay.clone(), Metrics::unregistered());
        Self { engine, clock, system, faults, trust, parts, memory, id, settings, relay }
    }

    /// The same process, whose metrics are registered here.
    pub fn counted(&mut self, registry: &mut Registry) {
        let relay = self.relay.clone();
        let (engine, faults) = build(
            self.id,
            &self.memory,
            &self.clock,
            &self.parts,
            &self.trust,
            &self.system,
            self.settings,
            relay,
            Metrics::register(registry),
        );
        (self.engine, self.faults) = (engine, faults);
    }

    /// The process dies and starts again: only what the store keeps is left.
    pub fn restart(&mut self) {
        self.memory = Arc::new(self.memory.reopen());
        self.start();
    }

    /// The process starts again on an empty disk.
    pub fn restart_empty(&mut self) {
        self.memory = Arc::new(MemoryStore::new(log_signer(self.id)));
        self.start();
    }

    fn start(&mut self) {
        let relay = self.relay.clone();
        let (engine, faults) = build(
            self.id,
            &self.memory,
            &self.clock,
            &self.parts,
            &self.trust,
            &self.system,
            self.settings,
            relay,
            Metrics::unregistered(),
        );
        (self.engine, self.faults) = (engine, faults);
    }

    /// Submits envelope number `number` from the commune's system.
    pub async fn submit(&self, number: u64, to: &[&str]) -> Result<Accepted, Refusal> {
        self.submit_bytes(envelope(number, to)).await
    }

    pub async fn submit_bytes(&self, signed: Bytes) -> Result<Accepted, Refusal> {
        self.engine.submit(from_system(signed, desk())).await
    }

    /// Walks everything that is due; lets waiting deadlines pass. How many rows were taken.
    pub async fn walk(&self) -> usize {
        Worker::new(&self.engine).turn().await.unwrap()
    }

    /// Lets time pass in steps and walks at each.
    pub async fn pass(&self, time: Duration) {
        let step = Duration::from_secs(5);
        let mut worker = Worker::new(&self.engine);
        for _ in 0..(time.as_secs() / step.as_secs()) {
            self.clock.advance(step);
            worker.turn().await.unwrap();
        }
    }

    /// The deliveries of envelope number `number`.
    pub async fn rows(&self, number: u64) -> Vec<DeliveryRow> {
        let row = self.engine.store().find(&key(number)).await.unwrap().expect("the envelope is here");
        self.engine.store().deliveries(row.seq).await.unwrap()
    }

    /// The state of the only delivery of envelope number `number`.
    pub async fn state(&self, number: u64) -> DeliveryState {
        self.rows(number).await[0].state.clone()
    }

    /// The kinds of all events of envelope number `number`, own and foreign, in their order.
    pub async fn story(&self, number: u64) -> Vec<(String, EventKind)> {
        self.events(number).await.into_iter().map(|event| (event.gateway.to_string(), event.kind)).collect()
    }

    pub async fn events(&self, number: u64) -> Vec<Event> {
        let row = self.engine.store().find(&key(number)).await.unwrap().expect("the envelope is here");
        let events = self.engine.store().events(row.seq, None, 1_000).await.unwrap();
        events.iter().map(|line| Event::decode(&line.receipt.event).unwrap()).collect()
    }

    pub async fn summary(&self, number: u64, to: &str) -> DeliverySummary {
        let id = DeliveryId::new(&key(number), &agency_id(to));
        self.engine.store().delivery(id).await.unwrap().unwrap()
    }
}

/// A submission by a system.
pub fn from_system(signed: Bytes, hop: Hop) -> Submission {
    Submission { signed, hop, inline: Vec::new(), relay: None, traceparent: None }
}

#[allow(clippy::too_many_arguments, reason = "a process is made of many parts")]
pub fn build(
    id: &str,
    memory: &Arc<MemoryStore>,
    clock: &Arc<ManualClock>,
    parts: &Arc<MemoryParts>,
    trust: &TrustHolder,
    system: &Arc<FakeSystem>,
    settings: Settings,
    relay: Option<Arc<dyn RelayAdapters>>,
    metrics: Metrics,
) -> (Engine, Faults) {
    let (store, faults) = FaultyStore::new(memory.clone());
    let agencies = WORLD.snapshot();
    let named = agencies.directory().content().agencies.iter();
    let by_agency = named.map(|agency| (agency.id.clone(), "system".to_owned())).collect();
    let adapter: Arc<dyn Adapter> = system.clone();
    let engine = Engine::new(EngineParts {
        gateway: gateway(id),
        store: Arc::new(store),
        parts: parts.clone(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
        trust: trust.clone(),
        adapters: AdapterTable { by_agency, by_name: HashMap::from([("system".to_owned(), adapter)]), relay },
        settings,
        metrics,
    });
    (engine, faults)
}
