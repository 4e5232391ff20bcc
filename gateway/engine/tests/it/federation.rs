//! The whole federation from a seed: crashes before and after every durable step, partitions one way and both, lost answers, systems that
//! go down. Afterwards nothing is lost, nothing is there twice, and every receipt has come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use gateway_engine::entropy::{Entropy, SeededEntropy};
use gateway_engine::operate::Action;
use gateway_engine::worker::Worker;
use gateway_evidence::{Checkpoint, Event, EventKind, LogState};
use gateway_model::Reason;
use gateway_model::id::{DeliveryId, EnvelopeKey};
use gateway_model::state::DeliveryStatus;
use gateway_store::faulty::{Fault, Gate};
use gateway_store::query::Query;
use tokio::sync::mpsc;

use crate::simulation::Federation;
use crate::system::{Answer, from_system};
use crate::world::{COMMUNE, DISTRICT, GATEWAYS, PROVINCE, WORLD, agency_id, desk, draft, operator};

/// How many federations are simulated; `LIENTHONG_SEEDS` sets more, `LIENTHONG_SEED` one.
const SEEDS: u64 = 200;
/// Rounds of bad weather.
const STORM: usize = 40;
/// Rounds of good weather in which everything has to end.
const CALM: usize = 600;

/// What the agencies send: where it is submitted, what it is, to whom.
struct Letter {
    at: usize,
    key: EnvelopeKey,
    to: Vec<&'static str>,
    signed: Bytes,
}

static LETTERS: LazyLock<Vec<Letter>> = LazyLock::new(|| {
    let letter = |number: u64, at: usize, from: &str, to: &[&'static str]| {
        let mut draft = draft(number, to);
        draft.from = from.to_owned();
        draft.priority = (1 + number % 5) as i32;
        let key = EnvelopeKey { sender: agency_id(from), id: crate::world::key(number).id };
        Letter { at, key, to: to.to_vec(), signed: WORLD.sign(&draft) }
    };
    vec![
        letter(1, 0, "commune", &["land"]),
        letter(2, 0, "commune", &["land", "tax", "clinic", "ward"]),
        letter(3, 0, "ward", &["clinic"]),
        letter(4, 0, "commune", &["province", "district"]),
        letter(5, 0, "ward", &["commune"]),
        letter(6, 2, "land", &["commune"]),
        letter(7, 2, "land", &["ward", "clinic", "tax"]),
        letter(8, 0, "commune", &["tax"]),
    ]
});

/// What the disk of a gateway that crashes keeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    Keeps,
    /// The mutant: the oracle has to notice.
    Forgets,
}

struct Storm {
    federation: Federation,
    entropy: SeededEntropy,
    seed: u64,
    disk: Disk,
    crashed: mpsc::UnboundedReceiver<usize>,
    crash: mpsc::UnboundedSender<usize>,
    accepted: BTreeSet<usize>,
    crashes: usize,
    calm: bool,
}

impl Storm {
    fn new(seed: u64, disk: Disk) -> Self {
        let (crash, crashed) = mpsc::unbounded_channel();
        let (federation, entropy) = (Federation::new(seed), SeededEntropy::new(seed ^ 0x5eed));
        let storm = Self {
            federation,
            entropy,
            seed,
            disk,
            crashed,
            crash,
            accepted: BTreeSet::new(),
            crashes: 0,
            calm: false,
        };
        (0..GATEWAYS.len()).for_each(|node| storm.frighten(node));
        storm
    }

    /// From now on the store of a gateway fails, and its process dies, as the seed says.
    fn frighten(&self, node: usize) {
        if self.calm {
            return;
        }
        let entropy = SeededEntropy::new(self.entropy.next());
        let crash = self.crash.clone();
        self.federation.nodes[node].faults.script(move |_| {
            let dies = |fault: fn(Gate) -> Fault| {
                // The receiver lives as long as the storm.
                crash.send(node).ok().map(|()| fault(Gate::new()))
            };
            match entropy.below(100) {
                0..=3 => dies(Fault::WaitBefore),
                4..=7 => dies(Fault::WaitAfter),
                8..=13 => Some(Fault::ERRORS[entropy.below(4) as usize].clone()),
                _ => None,
            }
        });
    }

    fn restart(&mut self, node: usize) {
        self.crashes += 1;
        match self.disk {
            Disk::Keeps => self.federation.nodes[node].restart(),
            Disk::Forgets => self.federation.nodes[node].restart_empty(),
        }
        self.federation.net.open(&self.federation.nodes[node].engine);
        self.frighten(node);
    }

    /// Does something in the name of `node`, while anybody may crash. `None` when `node` itself did.
    async fn brave<T>(&mut self, node: usize, work: impl Future<Output = T>) -> Option<T> {
        let mut work = Box::pin(work);
        loop {
            tokio::select! {
                biased;
                Some(who) = self.crashed.recv() => {
                    self.restart(who);
                    if who == node {
                        return None;
                    }
                }
                result = &mut work => return Some(result),
            }
        }
    }

    /// Who has not got a receipt yet sends (again).
    async fn send(&mut self) {
        for (index, letter) in LETTERS.iter().enumerate() {
            if self.accepted.contains(&index) || (!self.calm && self.entropy.below(3) > 0) {
                continue;
            }
            let engine = self.federation.nodes[letter.at].engine.clone();
            let submit = async move { engine.submit(from_system(letter.signed.clone(), desk())).await };
            if let Some(Ok(_)) = self.brave(letter.at, submit).await {
                self.accepted.insert(index);
            }
        }
    }

    async fn walk(&mut self) {
        for node in 0..GATEWAYS.len() {
            let mut worker = Worker::new(&self.federation.nodes[node].engine);
            // A store that fails is met again at the next turn.
            self.brave(node, async move { worker.turn().await.is_ok() }).await;
        }
    }

    fn change_the_weather(&mut self) {
        for (one, other) in [(COMMUNE, DISTRICT), (DISTRICT, PROVINCE)] {
            let (up, down) = (self.entropy.below(4) == 0, self.entropy.below(4) == 0);
            self.federation.net.cut(one, other, up);
            self.federation.net.cut(other, one, down);
        }
        self.federation.net.lose_answers(self.entropy.unit() / 3.0);
        for node in &self.federation.nodes {
            node.system.set_down(self.entropy.below(5) == 0);
            if self.entropy.below(4) == 0 {
                node.system.next(Answer::Panic);
            }
        }
    }

    fn clear_up(&mut self) {
        self.calm = true;
        for (one, other) in [(COMMUNE, DISTRICT), (DISTRICT, PROVINCE)] {
            self.federation.net.cut(one, other, false);
            self.federation.net.cut(other, one, false);
        }
        self.federation.net.lose_answers(0.0);
        for node in &self.federation.nodes {
            node.faults.heal();
            node.system.set_down(false);
        }
    }

    async fn run(&mut self) {
        for _ in 0..STORM {
            self.change_the_weather();
            self.send().await;
            self.walk().await;
            self.federation.clock.advance(Duration::from_secs(1 + self.entropy.below(40)));
        }
        self.clear_up();
        for _ in 0..CALM {
            self.send().await;
            self.walk().await;
            self.release_poison().await;
            if self.is_quiet().await {
                return;
            }
            self.federation.clock.advance(Duration::from_secs(60));
        }
    }

    /// What an adapter broke down on is held; in good weather a person lets it go on.
    async fn release_poison(&self) {
        for node in &self.federation.nodes {
            let query = Query {
                statuses: vec![DeliveryStatus::Held],
                reason: Some(Reason::AdapterPanicked),
                limit: 100,
                ..Query::default()
            };
            for row in node.engine.store().list(&query).await.unwrap().rows {
                let note = "the adapter was mended".to_owned();
                let action = Action { operator: operator(), delivery: row.delivery.id, note };
                node.engine.operate().release(&action).await.unwrap();
            }
        }
    }

    async fn is_quiet(&self) -> bool {
        for node in &self.federation.nodes {
            let counts = node.engine.store().counts().await.unwrap();
            if counts.waiting + counts.forwarded + counts.held + counts.returns > 0 {
                return false;
            }
        }
        self.accepted.len() == LETTERS.len()
    }

    /// What is wrong, if anything.
    async fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.is_quiet().await {
            faults.push("something is still under way".to_owned());
        }
        self.compare_systems(&mut faults);
        for (index, letter) in LETTERS.iter().enumerate().filter(|(index, _)| self.accepted.contains(index)) {
            self.check_receipts(index, letter, &mut faults).await;
        }
        self.check_logs(&mut faults).await;
        for fault in &mut faults {
            fault.insert_str(0, &format!("seed {}: ", self.seed));
        }
        faults
    }

    /// Each system has what was meant for it, once, and nothing else.
    fn compare_systems(&self, faults: &mut Vec<String>) {
        let mut expected: BTreeMap<DeliveryId, (usize, String)> = BTreeMap::new();
        for letter in LETTERS.iter() {
            for to in &letter.to {
                let home = WORLD.snapshot().directory().gateway_of(&agency_id(to)).unwrap().id.to_string();
                let home = GATEWAYS.iter().position(|id| *id == home).unwrap();
                expected
                    .insert(DeliveryId::new(&letter.key, &agency_id(to)), (home, format!("{} to {to}", letter.key)));
            }
        }
        for (index, node) in self.federation.nodes.iter().enumerate() {
            let taken = node.system.taken();
            for (id, (home, what)) in &expected {
                match (taken.contains_key(id), *home == index) {
                    (false, true) => faults.push(format!("lost: {what}")),
                    (true, false) => faults.push(format!("at the wrong gateway: {what}")),
                    (true, true) | (false, false) => {}
                }
            }
            let unexpected = taken.keys().filter(|id| !expected.contains_key(id)).count();
            if unexpected > 0 {
                faults.push(format!("{unexpected} unexpected at {}", GATEWAYS[index]));
            }
        }
    }

    /// The first gateway knows of every delivery, by a receipt of the gateway that made it.
    async fn check_receipts(&self, index: usize, letter: &Letter, faults: &mut Vec<String>) {
        let store = self.federation.nodes[letter.at].engine.store();
        let Some(row) = store.find(&letter.key).await.unwrap() else {
            faults.push(format!("letter {index} was accepted and is not there"));
            return;
        };
        for delivery in store.deliveries(row.seq).await.unwrap() {
            if delivery.state.status() != DeliveryStatus::Delivered {
                faults.push(format!("letter {index} to {} is {:?}", delivery.recipient.named, delivery.state));
            }
        }
        let mut proven = BTreeSet::new();
        let snapshot = WORLD.snapshot();
        for known in store.events(row.seq, None, 10_000).await.unwrap() {
            let claimed = Event::decode(&known.receipt.event).unwrap().gateway;
            let keys = &snapshot.directory().gateway(&claimed).unwrap().log_keys;
            let event = known.receipt.verify(claimed.as_str(), keys).unwrap();
            if event.kind == EventKind::Delivered {
                proven.extend(event.recipients.iter().map(ToString::to_string));
            }
        }
        let expected: BTreeSet<String> = letter.to.iter().map(|to| (*to).to_owned()).collect();
        if proven != expected {
            faults.push(format!("letter {index}: deliveries to {proven:?} are proven of {expected:?}"));
        }
    }

    /// The newest checkpoint covers every leaf, and nobody is held.
    async fn check_logs(&self, faults: &mut Vec<String>) {
        for (node, id) in self.federation.nodes.iter().zip(GATEWAYS) {
            let store = node.engine.store();
            let query = Query { statuses: vec![DeliveryStatus::Held], limit: 10, ..Query::default() };
            for row in store.list(&query).await.unwrap().rows {
                faults.push(format!("{id} holds {}: {:?}", row.envelope.key, row.delivery.state));
            }
            let Some(note) = store.checkpoint().await.unwrap() else { continue };
            let snapshot = WORLD.snapshot();
            let keys = &snapshot.directory().gateway(node.engine.gateway()).unwrap().log_keys;
            let checkpoint = Checkpoint::open(&note, id, keys).unwrap();
            let leaves = store.leaf_hashes(0, usize::MAX).await.unwrap();
            if LogState::of(&leaves).root() != checkpoint.root || leaves.len() as u64 != checkpoint.size {
                faults.push(format!("the log of {id} does not match its checkpoint"));
            }
        }
    }
}

fn simulate(seed: u64, disk: Disk) -> (Vec<String>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut storm = Storm::new(seed, disk);
        storm.run().await;
        (storm.faults().await, storm.crashes)
    })
}

fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("LIENTHONG_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("LIENTHONG_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

/// Adapters are told to break down: their backtraces would bury the report.
fn quiet_panics() {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"told to") {
                loud(info);
            }
        }));
    });
}

#[test]
fn whatever_happens_nothing_is_lost_and_nothing_happens_twice() {
    quiet_panics();
    let seeds = seeds();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<(Vec<String>, usize)> = std::thread::scope(|scope| {
        let seeds = &seeds;
        let share = move |first| {
            seeds.iter().skip(first).step_by(threads).map(|&seed| simulate(seed, Disk::Keeps)).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let report: Vec<&String> = results.iter().flat_map(|(faults, _)| faults).collect();
    let crashes: usize = results.iter().map(|(_, crashes)| crashes).sum();
    assert!(report.is_empty(), "repeat one with LIENTHONG_SEED=…\n{report:#?}");
    assert!(crashes > 0, "the storm crashed nobody: it showed nothing");
}

#[test]
fn the_same_storm_finds_a_gateway_that_forgets() {
    quiet_panics();
    let lost = |seed| {
        simulate(seed, Disk::Forgets).0.iter().any(|fault| fault.contains("lost") || fault.contains("is not there"))
    };
    assert!((0..10).any(lost), "gateways with amnesia lost nothing that the oracle saw");
}
