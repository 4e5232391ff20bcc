//! The worker's loop against a small door over real mTLS: crashes, lost leases, a gateway that restarts, draining.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use futures::FutureExt as _;
use gateway_model::Digest;
use gateway_model::outcome::{Outcome, Scope};
use prost::Message;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::{AdapterKind, Delivery, Door, Health, NewPart, PrepareContext, Prepared};

mod gateway;
mod lost;

use gateway::Gateway;

/// A system that counts what it was handed, and can be held up.
struct System {
    effects: Mutex<Vec<String>>,
    parts: Mutex<HashMap<String, Vec<u8>>>,
    begun: Notify,
    /// Each hand-over takes one; none left: it waits.
    permits: Semaphore,
    answer: Mutex<Outcome>,
    health: Mutex<Health>,
    sent: Mutex<Option<(Bytes, Vec<u8>)>>,
    receipts: Mutex<Vec<Bytes>>,
}

impl System {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            effects: Mutex::default(),
            parts: Mutex::default(),
            begun: Notify::new(),
            permits: Semaphore::new(permits),
            answer: Mutex::new(Outcome::Taken { receipt: None }),
            health: Mutex::new(Health::Up),
            sent: Mutex::default(),
            receipts: Mutex::default(),
        })
    }

    fn effects(&self) -> Vec<String> {
        self.effects.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Adapter for System {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        self.begun.notify_one();
        self.permits.acquire().await.unwrap().forget();
        let id = delivery.ids[0].to_string();
        for part in &delivery.envelope.parts {
            let mut bytes = Vec::new();
            let read = delivery.parts.open(&part.digest, 0).await.unwrap().read_to_end(&mut bytes).await;
            if let Err(fault) = read {
                let detail = fault.to_string();
                let reason = Reason::AdapterFailed;
                return Outcome::Deferred { reason, detail, retry_after: None, scope: Scope::Delivery };
            }
            self.parts.lock().unwrap().insert(part.name.clone(), bytes);
        }
        assert!(!delivery.envelope.from.contains("panic"), "asked to break down");
        self.effects.lock().unwrap().push(id);
        self.answer.lock().unwrap().clone()
    }

    async fn check(&self) -> Health {
        self.health.lock().unwrap().clone()
    }

    async fn receive(&self, door: Arc<dyn Door>) -> Result<(), AdapterError> {
        let sent = self.sent.lock().unwrap().clone();
        if let Some((signed, part)) = sent {
            let new = NewPart { digest: Digest::of(&part), size: part.len() as u64 };
            door.upload(new, Box::new(std::io::Cursor::new(part.clone()))).await.unwrap();
            // The second time the gateway has it, and no byte is read.
            door.upload(new, Box::new(tokio::io::empty())).await.unwrap();
            let first = door.submit(signed.clone()).await.unwrap();
            let again = door.submit(signed).await.unwrap();
            assert!(!first.duplicate && again.duplicate);
            self.receipts.lock().unwrap().push(first.receipt);
        }
        door.closed().await;
        Ok(())
    }
}

fn leased(number: u8, from: &str, parts: &[&[u8]]) -> v1::LeasedDelivery {
    let part = |bytes: &&[u8]| v1::Part {
        name: format!("{}.bin", bytes.len()),
        media_type: "application/octet-stream".into(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes).0.to_vec().into(),
        role: String::new(),
    };
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let envelope = v1::Envelope {
        id: format!("0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a{number:02x}"),
        from: from.to_owned(),
        to: vec![v1::Recipient { agency: "H99.50".into() }],
        created_at: at(1_791_432_000),
        expires_at: at(1_791_532_000),
        content: Some(v1::envelope::Content::Opaque(v1::Opaque { r#type: "x".into(), body: Bytes::new() })),
        parts: parts.iter().map(part).collect(),
        ..v1::Envelope::default()
    };
    let envelope = v1::SignedEnvelope { envelope: envelope.encode_to_vec().into(), signatures: Vec::new() };
    v1::LeasedDelivery {
        delivery_id: format!("{number:032x}"),
        recipient: "so-tnmt".into(),
        sender: "xa-an-phu".into(),
        envelope: Some(envelope),
        hops: vec!["tinh".into()],
        ..v1::LeasedDelivery::default()
    }
}

fn id(number: u8) -> String {
    format!("{number:032x}")
}

fn info(effect: Effect) -> WorkerInfo {
    let (name, version) = ("test".to_owned(), "1".to_owned());
    WorkerInfo { name, version, config_schema: String::new(), submits: true, effect }
}

/// A worker in a task of its own, and how to ask it to end.
struct Running {
    shutdown: Arc<Notify>,
    task: tokio::task::JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    fn begin(settings: &WorkerSettings, adapter: Arc<System>) -> Self {
        let worker = Worker::new(settings.clone(), info(Effect::Once)).unwrap();
        let shutdown = Arc::new(Notify::new());
        let asked = shutdown.clone();
        Self { shutdown, task: tokio::spawn(worker.run(adapter, async move { asked.notified().await })) }
    }

    async fn end(self) -> Result<(), WorkerError> {
        self.shutdown.notify_one();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.unwrap().unwrap()
    }

    /// As `kill -9` does: nothing is told to anybody.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn a_delivery_is_handed_over_once_with_its_parts_and_completed() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let large: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    gateway.change(|known| {
        known.breaks_after = Some(120_000);
        for part in [&large[..], b"", b"small"] {
            known.parts.insert(Digest::of(part), Bytes::copy_from_slice(part));
        }
        known.waiting.push_back(leased(1, "H99.1", &[&large, b"", b"small"]));
    });
    let system = System::new(9);
    let worker = Running::begin(&settings, system.clone());
    gateway.until("the delivery is completed", |known| known.completed == [id(1)]).await;
    assert_eq!(system.effects(), [id(1)]);
    assert_eq!(system.parts.lock().unwrap()["300000.bin"], large);
    assert_eq!(system.parts.lock().unwrap()["5.bin"], b"small");
    assert_eq!(gateway.known().downloads, [0, 120_000, 240_000, 0], "a broken download goes on where it stopped");
    worker.end().await.unwrap();
    assert_eq!(gateway.known().registered[0].info.as_ref().unwrap().protocol_versions, [1]);
}

#[tokio::test]
async fn a_part_that_has_not_its_digest_is_no_part() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    gateway.change(|known| {
        known.parts.insert(Digest::of(b"right"), Bytes::from_static(b"wrong"));
        known.waiting.push_back(leased(1, "H99.1", &[b"right"]));
    });
    let system = System::new(9);
    let worker = Running::begin(&settings, system.clone());
    gateway.until("it has failed", |known| !known.failed.is_empty()).await;
    assert!(gateway.known().failed[0].retryable && system.effects().is_empty());
    worker.end().await.unwrap();
}

#[tokio::test]
async fn outcomes_reach_the_gateway_with_their_code_and_what_is_asked_for() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let system = System::new(9);
    *system.answer.lock().unwrap() = Outcome::Deferred {
        reason: Reason::AdapterUnavailable,
        detail: "it sleeps".into(),
        retry_after: Some(Duration::from_millis(7_500)),
        scope: Scope::Destination,
    };
    gateway.change(|known| known.waiting.push_back(leased(1, "H99.1", &[])));
    let worker = Running::begin(&settings, system.clone());
    gateway.until("the first has failed", |known| known.failed.len() == 1).await;
    *system.answer.lock().unwrap() = Outcome::Refused { reason: Reason::AdapterRefused, detail: "no".into() };
    gateway.change(|known| known.waiting.push_back(leased(2, "H99.1", &[])));
    gateway.until("the second has failed", |known| known.failed.len() == 2).await;
    gateway.change(|known| known.waiting.push_back(leased(3, "panic", &[])));
    gateway.until("the third has failed", |known| known.failed.len() == 3).await;
    let failed = gateway.known().failed.clone();
    assert_eq!(
        (failed[0].code.as_str(), failed[0].retryable, failed[0].system_down),
        ("ADAPTER_UNAVAILABLE", true, true)
    );
    assert_eq!(failed[0].retry_after, Some(wire_span(Duration::from_millis(7_500))));
    assert_eq!(
        (failed[1].code.as_str(), failed[1].retryable, failed[1].detail.as_str()),
        ("ADAPTER_REFUSED", false, "no")
    );
    assert_eq!((failed[2].code.as_str(), failed[2].retryable), ("ADAPTER_PANICKED", true), "the worker lives on");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_crash_between_the_effect_and_its_settlement_has_no_second_effect() {
    let mut gateway = Gateway::new();
    gateway.lease_time = Duration::from_secs(1);
    let (_server, mut settings) = gateway.listen().await;
    let state = tempfile::tempdir().unwrap();
    settings.state = Some(state.path().join("state"));
    let system = System::new(9);
    gateway.change(|known| {
        known.is_away = true;
        known.waiting.push_back(leased(1, "H99.1", &[]));
    });
    let worker = Running::begin(&settings, system.clone());
    gateway.until("the worker tries to complete", |known| !known.late.is_empty()).await;
    worker.kill().await;
    gateway.change(|known| known.is_away = false);
    let worker = Running::begin(&settings, system.clone());
    gateway.until("the repeat is completed", |known| known.completed == [id(1)]).await;
    assert_eq!(system.effects(), [id(1)], "one effect");
    // Another envelope under the same delivery id is no repeat.
    gateway
        .change(|known| known.waiting.push_back(v1::LeasedDelivery { delivery_id: id(1), ..leased(2, "H99.1", &[]) }));
    gateway.until("it is refused", |known| known.failed.len() == 1).await;
    assert_eq!(gateway.known().failed[0].code, "ENVELOPE_ID_REUSED");
    assert_eq!(system.effects().len(), 1);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_crash_before_the_effect_leaves_the_delivery_to_the_next_worker() {
    let mut gateway = Gateway::new();
    gateway.lease_time = Duration::from_secs(1);
    let (_server, settings) = gateway.listen().await;
    let system = System::new(0);
    gateway.change(|known| known.waiting.push_back(leased(1, "H99.1", &[])));
    let worker = Running::begin(&settings, system.clone());
    system.begun.notified().await;
    worker.kill().await;
    system.permits.add_permits(9);
    let worker = Running::begin(&settings, system.clone());
    gateway.until("the repeat is completed", |known| known.completed == [id(1)]).await;
    assert_eq!(system.effects(), [id(1)]);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn heartbeats_keep_the_lease_of_work_that_takes_longer() {
    let mut gateway = Gateway::new();
    gateway.lease_time = Duration::from_millis(600);
    let (_server, settings) = gateway.listen().await;
    let system = System::new(0);
    gateway.change(|known| known.waiting.push_back(leased(1, "H99.1", &[])));
    let worker = Running::begin(&settings, system.clone());
    // Far more heartbeats than one lease time holds.
    gateway.until("heartbeats come", |known| known.heartbeats >= 20).await;
    system.permits.add_permits(1);
    gateway.until("it is completed", |known| known.completed == [id(1)]).await;
    assert!(gateway.known().late.is_empty());
    assert_eq!(system.effects(), [id(1)]);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn work_whose_lease_is_lost_is_dropped_and_the_new_lease_works_alone() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let system = System::new(0);
    gateway.change(|known| known.waiting.push_back(leased(1, "H99.1", &[])));
    let worker = Running::begin(&settings, system.clone());
    system.begun.notified().await;
    gateway.take_back_all();
    system.begun.notified().await;
    gateway
        .until("it is leased again", |known| known.leased.get(&id(1)).is_some_and(|l| l.delivery.attempt == 2))
        .await;
    // Two permits: a first hand-over that had not been dropped would make a second effect.
    system.permits.add_permits(2);
    gateway.until("it is completed", |known| known.completed == [id(1)]).await;
    assert_eq!(system.effects(), [id(1)]);
    assert!(gateway.known().late.is_empty(), "nothing more is said about the lost lease");
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_has_forgotten_the_worker_is_registered_with_again() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let system = System::new(9);
    let worker = Running::begin(&settings, system.clone());
    gateway.until("it is registered", |known| !known.credits.is_empty()).await;
    gateway.change(|known| {
        known.workers.clear();
        known.waiting.push_back(leased(1, "H99.1", &[]));
    });
    gateway.until("it is completed", |known| known.completed == [id(1)]).await;
    assert_eq!(gateway.known().workers, ["w2"]);
    worker.end().await.unwrap();
}

#[tokio::test]
async fn no_more_is_leased_than_there_are_slots() {
    let gateway = Gateway::new();
    let (_server, mut settings) = gateway.listen().await;
    settings.deliveries_max = 3;
    let system = System::new(0);
    gateway.change(|known| known.waiting.extend((1..=7).map(|number| leased(number, "H99.1", &[]))));
    let worker = Running::begin(&settings, system.clone());
    gateway.until("three are leased", |known| known.leased.len() == 3 && known.heartbeats > 3).await;
    assert_eq!(gateway.known().credits, [3], "nobody asks for more while all slots are taken");
    system.permits.add_permits(7);
    gateway.until("all are completed", |known| known.completed.len() == 7).await;
    assert!(gateway.known().credits.iter().all(|credits| (1..=3).contains(credits)));
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_finishes_what_is_at_hand_and_takes_no_more() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let system = System::new(0);
    gateway.change(|known| known.waiting.push_back(leased(1, "H99.1", &[])));
    let worker = Running::begin(&settings, system.clone());
    system.begun.notified().await;
    let ending = tokio::spawn(worker.end());
    gateway.until("it drains", |known| known.phases.contains(&v1::WorkerPhase::Draining)).await;
    gateway.change(|known| known.waiting.push_back(leased(2, "H99.1", &[])));
    system.permits.add_permits(9);
    ending.await.unwrap().unwrap();
    let known = gateway.known();
    assert_eq!((known.completed.as_slice(), known.waiting.len()), ([id(1)].as_slice(), 1));
    assert_eq!(known.phases.last(), Some(&v1::WorkerPhase::Leaving));
}

#[tokio::test]
async fn what_cannot_be_finished_in_time_is_given_back() {
    let gateway = Gateway::new();
    let (_server, mut settings) = gateway.listen().await;
    settings.drain_time_max = Duration::from_millis(300);
    let system = System::new(0);
    gateway.change(|known| known.waiting.push_back(leased(1, "H99.1", &[])));
    let worker = Running::begin(&settings, system.clone());
    system.begun.notified().await;
    worker.end().await.unwrap();
    let known = gateway.known();
    assert!(known.leased.is_empty() && known.waiting.len() == 1 && known.completed.is_empty());
    assert!(system.effects().is_empty());
}

#[tokio::test]
async fn how_the_system_is_reaches_the_gateway_without_any_work() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let system = System::new(0);
    *system.health.lock().unwrap() = Health::Down { cause: "closed".into() };
    let worker = Running::begin(&settings, system.clone());
    gateway.until("it is told", |known| known.health == Some(v1::SystemState::Down)).await;
    worker.end().await.unwrap();
}

#[tokio::test]
async fn an_adapter_brings_envelopes_in_through_the_same_connection() {
    let gateway = Gateway::new();
    let (_server, settings) = gateway.listen().await;
    let part: Vec<u8> = (0..600_000_u32).map(|n| (n / 7) as u8).collect();
    let digest = Digest::of(&part);
    // A broken upload has left its beginning there.
    gateway.change(|known| known.uploaded.insert(digest, part[..100_000].to_vec()));
    let system = System::new(0);
    let signed = leased(1, "H99.50", &[&part]).envelope.unwrap().encode_to_vec();
    *system.sent.lock().unwrap() = Some((signed.into(), part.clone()));
    let worker = Running::begin(&settings, system.clone());
    gateway.until("it is submitted twice", |known| known.submitted.len() == 2).await;
    worker.end().await.unwrap();
    assert_eq!(gateway.known().uploaded[&digest], part);
    assert_eq!(system.receipts.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_gateway_that_is_away_is_waited_for_and_ending_needs_no_gateway() {
    let gateway = Gateway::new();
    let (server, settings) = gateway.listen().await;
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    let worker = Running::begin(&settings, System::new(0));
    assert!(worker.task.is_finished().then_some(()).is_none());
    worker.end().await.unwrap();
}

#[tokio::test]
async fn a_queue_that_is_not_there_ends_the_worker_with_78() {
    let gateway = Gateway::new();
    let (_server, mut settings) = gateway.listen().await;
    settings.queue = "other".to_owned();
    let fault = Running::begin(&settings, System::new(0)).task.await.unwrap().unwrap_err();
    assert!(matches!(&fault, WorkerError::Refused(refusal) if refusal.reason == Reason::QueueUnknown));
    assert_eq!(fault.exit_code(), 78);
}

/// Needs a key `path`, and is opened only when exactly the queue's agency is known.
struct Kind(Arc<System>);

struct Ready(Arc<System>);

impl AdapterKind for Kind {
    fn name(&self) -> &'static str {
        "test"
    }

    fn prepare(&self, config: &toml::Table, context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>> {
        let fault = |key: &str| vec![ConfigFault { key: key.to_owned(), problem: "is missing".to_owned() }];
        config.get("path").ok_or_else(|| fault("path"))?;
        if context.agencies.is_empty() { Err(fault("agencies")) } else { Ok(Box::new(Ready(self.0.clone()))) }
    }
}

#[async_trait::async_trait]
impl Prepared for Ready {
    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn a_kind_runs_with_the_agencies_of_its_queue_and_a_bad_configuration_is_told_to_the_gateway() {
    let gateway = Gateway::new();
    let (server, settings) = gateway.listen().await;
    let system = System::new(9);
    let run = |table: &str, ends: Arc<Notify>| {
        let (table, kind, settings) = (table.parse().unwrap(), Kind(system.clone()), settings.clone());
        async move {
            let shutdown = async move { ends.notified().await };
            run_kind(&kind, &table, "/etc".into(), settings, info(Effect::Once), shutdown).await
        }
    };
    let never = Arc::new(Notify::new());
    let fault = run("pat = 1", never.clone()).await.unwrap_err();
    assert_eq!((fault.exit_code(), fault.to_string().as_str()), (78, "path: is missing"));
    assert_eq!(gateway.known().registered[0].problems[0].key, "path");
    gateway.change(|known| known.waiting.push_back(leased(1, "H99.1", &[])));
    let ends = Arc::new(Notify::new());
    let running = tokio::spawn(run("path = 1", ends.clone()));
    gateway.until("it is completed", |known| known.completed == [id(1)]).await;
    ends.notify_one();
    running.await.unwrap().unwrap();
    let ended = Arc::new(Notify::new());
    ended.notify_one();
    run("path = 1\nname = \"desk\"\nsystem = \"sys\"\nagencies = [\"H99.1\"]", ended).await.unwrap();
    let fault = run("path = 1\nagencies = [\"H99.1\", \"H99.2\"]", never.clone()).await.unwrap_err();
    assert!(fault.to_string().starts_with("agencies: are not those of the queue"), "{fault}");
    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    let fault = run("pat = 1", never).await.unwrap_err();
    assert_eq!(fault.exit_code(), 78, "also when the gateway is away");
    let fault = run("path = 1\nagencies = 7\nsystem = \"a b\"", Arc::new(Notify::new())).await.unwrap_err();
    assert_eq!(fault.to_string(), "system: is no id of a system; agencies: is no list of agency ids in quotes");
    assert!(run("path = 1", Arc::new(Notify::new())).now_or_never().is_none(), "a good one waits for the gateway");
}
