//! Three gateways in one process, wired by relays that fail as networks do.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters_sdk::relay::{Relay, RelayAdapters, ReturnFault};
use adapters_sdk::{Adapter, Delivery, Health, Outcome, Scope};
use async_trait::async_trait;
use bytes::Bytes;
use gateway_engine::clock::ManualClock;
use gateway_engine::entropy::{Entropy, SeededEntropy};
use gateway_engine::settings::Settings;
use gateway_engine::worker::Worker;
use gateway_engine::{Engine, RelayFacts, Submission};
use gateway_model::Reason;
use gateway_model::agency::Hop;
use gateway_model::id::GatewayId;
use tokio_util::sync::CancellationToken;

use crate::system::Node;
use crate::world::{GATEWAYS, START, gateway};

/// The wires between the gateways.
#[derive(Clone)]
pub struct Net(Arc<Wires>);

struct Wires {
    doors: Mutex<HashMap<GatewayId, (Engine, CancellationToken)>>,
    cut: Mutex<HashSet<(GatewayId, GatewayId)>>,
    entropy: SeededEntropy,
    lost_answers: Mutex<f64>,
    calls: Mutex<Vec<(GatewayId, GatewayId, usize)>>,
}

impl Net {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Wires {
            doors: Mutex::default(),
            cut: Mutex::default(),
            entropy: SeededEntropy::new(seed),
            lost_answers: Mutex::new(0.0),
            calls: Mutex::default(),
        }))
    }

    /// The gateway has started, again perhaps: calls that were under way at its former life fail.
    pub fn open(&self, engine: &Engine) {
        let door = (engine.clone(), CancellationToken::new());
        if let Some((_, died)) = self.0.doors.lock().unwrap().insert(engine.gateway().clone(), door) {
            died.cancel();
        }
    }

    /// Cuts or mends one direction.
    pub fn cut(&self, from: &str, to: &str, cut: bool) {
        let wire = (gateway(from), gateway(to));
        let mut wires = self.0.cut.lock().unwrap();
        if cut {
            wires.insert(wire)
        } else {
            wires.remove(&wire)
        };
    }

    /// How often an answer is lost after the call was served.
    pub fn lose_answers(&self, share: f64) {
        *self.0.lost_answers.lock().unwrap() = share;
    }

    /// Every relay call: from, to, recipients.
    pub fn calls(&self) -> Vec<(GatewayId, GatewayId, usize)> {
        self.0.calls.lock().unwrap().clone()
    }

    fn reach(&self, from: &GatewayId, to: &GatewayId) -> Option<(Engine, CancellationToken)> {
        if self.0.cut.lock().unwrap().contains(&(from.clone(), to.clone())) {
            return None;
        }
        self.0.doors.lock().unwrap().get(to).cloned()
    }

    fn loses_answer(&self) -> bool {
        self.0.entropy.unit() < *self.0.lost_answers.lock().unwrap()
    }
}

/// All relays of one gateway.
struct Relays {
    from: GatewayId,
    net: Net,
}

impl RelayAdapters for Relays {
    fn to(&self, gateway: &GatewayId) -> Option<Arc<dyn Relay>> {
        Some(Arc::new(FakeRelay { from: self.from.clone(), to: gateway.clone(), net: self.net.clone() }))
    }
}

struct FakeRelay {
    from: GatewayId,
    to: GatewayId,
    net: Net,
}

fn down(reason: Reason) -> Outcome {
    Outcome::Deferred { reason, detail: "the wire".to_owned(), retry_after: None, scope: Scope::Destination }
}

#[async_trait]
impl Adapter for FakeRelay {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let Some((engine, died)) = self.net.reach(&self.from, &self.to) else { return down(Reason::PeerUnreachable) };
        self.net.0.calls.lock().unwrap().push((self.from.clone(), self.to.clone(), delivery.recipients.len()));
        let relay = RelayFacts {
            recipients: delivery.recipients.iter().map(|recipient| recipient.named.clone()).collect(),
            hops: delivery.hops.clone(),
            first_accepted: Some(delivery.first_accepted.clone()),
        };
        let hop = Hop::Gateway(self.from.clone());
        let submission = Submission {
            signed: delivery.signed.clone(),
            hop,
            inline: Vec::new(),
            relay: Some(relay),
            traceparent: None,
        };
        let answer = tokio::select! {
            answer = engine.submit(submission) => answer,
            () = died.cancelled() => return down(Reason::PeerUnreachable),
        };
        if self.net.loses_answer() {
            return down(Reason::PeerUnreachable);
        }
        match answer {
            Ok(accepted) => Outcome::Taken { receipt: Some(accepted.receipt.encode().to_vec()) },
            Err(refusal) if refusal.reason.is_retryable() => down(Reason::PeerBusy),
            Err(refusal) => Outcome::Refused { reason: refusal.reason, detail: refusal.detail },
        }
    }

    async fn check(&self) -> Health {
        Health::Up
    }
}

#[async_trait]
impl Relay for FakeRelay {
    async fn return_receipts(&self, receipts: &[Bytes]) -> Vec<Result<(), ReturnFault>> {
        let unreachable = Err(ReturnFault { reason: Reason::PeerUnreachable, retryable: true });
        let Some((engine, died)) = self.net.reach(&self.from, &self.to) else {
            return vec![unreachable; receipts.len()];
        };
        let mut verdicts = Vec::new();
        for receipt in receipts {
            let verdict = tokio::select! {
                verdict = engine.record_receipt(&self.from, receipt) => verdict,
                () = died.cancelled() => return vec![unreachable; receipts.len()],
            };
            let fault = |refusal: gateway_model::Refusal| {
                let retryable = refusal.reason.is_retryable();
                ReturnFault { reason: refusal.reason, retryable }
            };
            verdicts.push(verdict.map(|_| ()).map_err(fault));
        }
        if self.net.loses_answer() { vec![unreachable; receipts.len()] } else { verdicts }
    }
}

/// The three gateways.
pub struct Federation {
    pub nodes: Vec<Node>,
    pub net: Net,
    pub clock: Arc<ManualClock>,
}

impl Federation {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Settings::default())
    }

    pub fn with(seed: u64, settings: Settings) -> Self {
        let (net, clock) = (Net::new(seed), Arc::new(ManualClock::at(START)));
        let node = |id: &'static str| {
            let relays = Arc::new(Relays { from: gateway(id), net: net.clone() });
            let node = Node::at(id, clock.clone(), settings, Some(relays));
            net.open(&node.engine);
            node
        };
        Self { nodes: GATEWAYS.into_iter().map(node).collect(), net, clock }
    }

    pub fn node(&self, id: &str) -> &Node {
        self.nodes.iter().find(|node| node.engine.gateway().as_str() == id).unwrap()
    }

    /// Every gateway walks until none has anything due.
    pub async fn walk(&self) {
        loop {
            let mut rows = 0;
            for node in &self.nodes {
                rows += node.walk().await;
            }
            if rows == 0 {
                return;
            }
        }
    }

    /// Lets time pass in steps; everybody walks at each.
    pub async fn pass(&self, time: Duration, step: Duration) {
        let mut workers: Vec<Worker> = self.nodes.iter().map(|node| Worker::new(&node.engine)).collect();
        let mut passed = Duration::ZERO;
        while passed < time {
            self.clock.advance(step);
            passed += step;
            for worker in &mut workers {
                worker.turn().await.unwrap();
            }
        }
    }
}
