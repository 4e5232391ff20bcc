//! The loop that walks what is due: claims fairly, within bounds, and settles each walk on its own.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use gateway_model::id::GatewayId;
use gateway_model::{Timestamp, limits};
use gateway_store::StoreError;
use gateway_store::claim::{Claim, LaneHead, Lease, Leased, ReturnLease, Work};
use gateway_store::rows::{EnvelopeSeq, ReturnRow};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::gate::{Passage, Sign};
use crate::lane::{Destination, Party, Place};
use crate::leased::{self, Account, Ledger};
use crate::schedule::{Plan, Scheduler};
use crate::steps::deliver::Load;
use crate::steps::receipt;
use crate::{Core, Engine, spans};

/// How long the loop sleeps at most: leases of a process that died are found by looking.
const TICK: Duration = Duration::from_secs(1);
/// Lanes looked at first; more when those are all closed.
const LANES_LOOKED_AT: usize = 1_024;
/// Lanes looked at, at most.
const LANES_LOOKED_AT_MAX: usize = 65_536;
/// After a look at work that cannot be taken: a flood of envelopes for a closed gate does not buy a look for each.
const REST: Duration = Duration::from_millis(20);
/// Pause after a look, for each lane beyond the first thousand: a huge look is not repeated at once.
const PAUSE_PER_LANE: Duration = Duration::from_micros(2);
/// Claims in a row before the loop looks up.
const CLAIMS_MAX: usize = 16;

/// Walks what is due.
pub struct Worker {
    engine: Arc<Core>,
    scheduler: Scheduler,
    /// Turns among the recipients of broadcasts.
    broadcasts: Scheduler,
    tasks: JoinSet<Done>,
    leased: Ledger,
    /// An adapter may have room again.
    room: Arc<Notify>,
}

/// A piece of work that goes out in one call.
enum Errand {
    Deliver(Load),
    Return { to: GatewayId, rows: Vec<(ReturnRow, ReturnLease)>, lease_until: Timestamp },
}

struct Done {
    destination: Destination,
    account: Account,
    rows: usize,
    sign: Sign,
    began: Timestamp,
}

/// What a look at the store led to.
struct Filled {
    claimed: usize,
    /// Due work that cannot be taken now.
    blocked: usize,
    looked_at: usize,
}

impl Worker {
    /// A worker for `engine`; one at a time.
    pub fn new(engine: &Engine) -> Self {
        Self::of(engine.core.clone())
    }

    pub(crate) fn of(engine: Arc<Core>) -> Self {
        let (scheduler, broadcasts, leased) = (Scheduler::default(), Scheduler::default(), Ledger::default());
        Self { engine, scheduler, broadcasts, tasks: JoinSet::new(), leased, room: Arc::default() }
    }

    /// Walks until `shutdown`; then waits for what is under way as long as the settings allow. What is cut off then is due again when its
    /// lease runs out.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut trust = self.engine.trust.changes();
        let _listening = self.listen();
        loop {
            let (wake, rest) = match self.fill().await {
                Ok(filled) => (self.next_look(&filled).await, filled.claimed == 0 && filled.blocked > 0),
                Err(error) => {
                    self.engine.metrics.store_fault();
                    tracing::warn!(%error, "no work could be taken from the store");
                    (self.engine.clock.steady().plus(TICK), true)
                }
            };
            let (engine, room) = (self.engine.clone(), self.room.clone());
            let rested = engine.clock.steady().plus(if rest { REST } else { Duration::ZERO });
            let woken = async {
                if rest {
                    engine.clock.sleep_until(rested).await;
                }
                tokio::select! {
                    () = engine.store.woken() => {}
                    () = room.notified() => {}
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.finish_until_gain() => {}
                () = woken => {}
                changed = trust.changed() => {
                    if changed.is_ok() {
                        engine.gates().try_all_now(engine.clock.steady());
                    }
                }
                () = engine.clock.sleep_until(wake) => {}
            }
        }
        self.drain().await;
    }

    /// Walks everything that is due now, waits for it, and tells how many rows were taken: for simulation and tests.
    ///
    /// # Errors
    /// [`StoreError`] when no work can be taken.
    pub async fn turn(&mut self) -> Result<usize, StoreError> {
        let mut rows = 0;
        loop {
            let filled = self.fill().await?;
            rows += filled.claimed;
            match self.tasks.join_next().await {
                Some(done) => {
                    self.finish_all(done);
                }
                None if filled.claimed == 0 => return Ok(rows),
                None => {}
            }
        }
    }

    /// Listens to every adapter for as long as what it gives back lives.
    fn listen(&self) -> JoinSet<()> {
        let adapters = self.engine.adapters.by_name.values().cloned();
        adapters
            .map(|adapter| {
                let room = self.room.clone();
                async move {
                    loop {
                        adapter.room_changed().await;
                        room.notify_one();
                    }
                }
            })
            .collect()
    }

    /// Claims and starts as much due work as there is room for.
    async fn fill(&mut self) -> Result<Filled, StoreError> {
        let mut filled = Filled { claimed: 0, blocked: 0, looked_at: 0 };
        if self.engine.trust.usable(self.engine.clock.now()).is_err() {
            // Nobody trusts an expired directory: nothing leaves by it. The door says so too.
            filled.blocked = 1;
            return Ok(filled);
        }
        for _ in 0..CLAIMS_MAX {
            if self.leased.left(&self.engine) == (0, 0) {
                filled.blocked = filled.blocked.max(1);
                break;
            }
            let now = self.engine.clock.steady();
            let heads = self.look(now).await?;
            let plan = self.plan(&heads, now);
            (filled.blocked, filled.looked_at) = (plan.blocked, heads.len());
            if plan.lanes.is_empty() {
                break;
            }
            let probed = self.probes(&plan.lanes, now);
            let lease_until = now.plus(self.engine.settings.lease);
            let claimed = self.engine.store.claim_due(Claim { lanes: plan.lanes, now, lease_until }).await;
            let started = claimed.map(|leased| self.start(leased));
            self.forget_probes(probed, started.as_ref().map(|(_, parties)| parties).ok(), now);
            let (rows, _) = started?;
            filled.claimed += rows;
            if rows == 0 {
                break;
            }
        }
        self.engine.metrics.leases(self.leased.total());
        Ok(filled)
    }

    /// What to claim: pushed work, parts of broadcasts and work that is taken have bounds of their own.
    fn plan(&mut self, heads: &[LaneHead], now: Timestamp) -> Plan {
        let (ledger, engine) = (&self.leased, &self.engine);
        let (mut pushed, mut taken, mut broadcast) = (Vec::new(), Vec::new(), Vec::new());
        for head in heads.iter().cloned() {
            match Place::of(&head.lane) {
                Some(place) if leased::taker(engine, &place.destination).is_some() => taken.push(head),
                Some(place) if place.is_broadcast => broadcast.push(head),
                _ => pushed.push(head),
            }
        }
        let (push_left, take_left) = ledger.left(engine);
        let space = |destination: &Destination| ledger.space(engine, destination, now);
        let mut plan = self.scheduler.plan(&pushed, push_left, space);
        let singles: usize = plan.lanes.iter().map(|(_, rows)| rows).sum();
        // What a broadcast brings to an agency waits while there is something else for it: then nothing is planned twice into one room.
        let busy: HashSet<Destination> =
            plan.lanes.iter().filter_map(|(lane, _)| Some(Place::of(lane)?.destination)).collect();
        let rest = |destination: &Destination| match busy.contains(destination) {
            true => 0.into(),
            false => space(destination),
        };
        let broadcast_left = ledger.left_for_broadcasts(engine).min(push_left.saturating_sub(singles));
        if broadcast_left == 0 {
            plan.blocked += broadcast.len();
        }
        plan.add(self.broadcasts.plan(&broadcast, broadcast_left, rest));
        plan.add(self.scheduler.plan(&taken, take_left, space));
        plan
    }

    /// Lanes with due work. Looks further when what it saw first is all closed: a dead destination may have very many lanes.
    async fn look(&self, now: Timestamp) -> Result<Vec<LaneHead>, StoreError> {
        let mut limit = LANES_LOOKED_AT;
        loop {
            let heads = self.engine.store.due_lanes(now, limit).await?;
            let broadcasts_go_on = self.leased.left_for_broadcasts(&self.engine) > 0;
            let open = |head: &&LaneHead| {
                Place::of(&head.lane).is_some_and(|place| {
                    (broadcasts_go_on || !place.is_broadcast)
                        && self.leased.space(&self.engine, &place.destination, now).left() > 0
                })
            };
            let enough = heads.len() < limit || heads.iter().filter(open).count() >= LANES_LOOKED_AT / 4;
            if enough || limit >= LANES_LOOKED_AT_MAX {
                return Ok(heads);
            }
            limit *= 4;
        }
    }

    /// Marks the closed gates through which this plan sends a probe.
    fn probes(&self, lanes: &[(gateway_store::claim::Lane, usize)], now: Timestamp) -> HashSet<Party> {
        let mut gates = self.engine.gates();
        let parties = lanes.iter().filter_map(|(lane, _)| Place::of(lane)?.destination.party());
        let probed: HashSet<Party> = parties.filter(|party| gates.passage(party, now) == Passage::Probe).collect();
        for party in &probed {
            gates.probe(party);
        }
        probed
    }

    /// A probe for which there was no work after all did not happen.
    fn forget_probes(&self, probed: HashSet<Party>, started: Option<&HashSet<Party>>, now: Timestamp) {
        let mut gates = self.engine.gates();
        for party in probed {
            if !started.is_some_and(|started| started.contains(&party)) {
                gates.learn(&party, Sign::Nothing, now, now, 0.0);
            }
        }
    }

    fn start(&mut self, leased: Vec<Leased>) -> (usize, HashSet<Party>) {
        let rows = leased.len();
        let mut parties = HashSet::new();
        for (destination, errand) in group(leased) {
            parties.extend(destination.party());
            let rows = errand.rows();
            let account = Account::of(&self.engine, &destination, errand.is_broadcast());
            self.leased.add(&destination, &account, rows);
            let (engine, began) = (self.engine.clone(), self.engine.clock.steady());
            self.tasks.spawn(async move {
                let sign = AssertUnwindSafe(errand.run(&engine)).catch_unwind().await;
                let sign = sign.unwrap_or_else(|_| {
                    tracing::error!(destination = destination.kind(), "a walk broke down; its lease runs out");
                    Sign::Nothing
                });
                Done { destination, account, rows, sign, began }
            });
        }
        (rows, parties)
    }

    /// Takes in what ends until something may go that could not before; waits for ever when nothing is under way.
    ///
    /// # Cancellation
    /// Nothing is lost.
    async fn finish_until_gain(&mut self) {
        while let Some(done) = self.tasks.join_next().await {
            if self.finish_all(done) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Whether something may go now that could not before.
    fn finish_all(&mut self, first: Result<Done, tokio::task::JoinError>) -> bool {
        let (mut next, mut gain) = (Some(first), false);
        while let Some(done) = next {
            match done {
                Ok(done) => gain |= self.finish(done),
                // Walks are caught when they panic, and aborted only after the loop.
                Err(error) => tracing::error!(%error, "a walk was lost"),
            }
            next = self.tasks.try_join_next();
        }
        self.engine.metrics.gates_closed(self.engine.gates().closed().len());
        gain
    }

    fn finish(&mut self, done: Done) -> bool {
        self.leased.remove(&done.destination, &done.account, done.rows);
        let gain =
            done.account != Account::Broadcast || self.leased.gains_by_broadcast(&self.engine, &done.destination);
        let Some(party) = done.destination.party() else { return gain };
        let down = matches!(done.sign, Sign::Down { .. });
        let (now, unit) = (self.engine.clock.steady(), self.engine.entropy.unit());
        let mut gates = self.engine.gates();
        let was_open = gates.passage(&party, now) == Passage::Open;
        let opened = gates.learn(&party, done.sign, done.began, now, unit);
        let closed = down && was_open && gates.passage(&party, now) != Passage::Open;
        drop(gates);
        if opened {
            tracing::info!(%party, "answers again");
        }
        if closed {
            tracing::error!(%party, "does not answer; what goes there waits");
        }
        gain || opened
    }

    /// When to look again if nothing happens before.
    async fn next_look(&self, filled: &Filled) -> Timestamp {
        let now = self.engine.clock.steady();
        let pause = PAUSE_PER_LANE
            .saturating_mul(u32::try_from(filled.looked_at.saturating_sub(LANES_LOOKED_AT)).unwrap_or(u32::MAX));
        if !pause.is_zero() {
            self.engine.clock.sleep_until(now.plus(pause)).await;
        }
        let due = self.engine.store.next_due().await.ok().flatten();
        // What is due and cannot be taken is behind a gate or waits for room: it wakes nobody.
        let due = due.filter(|due| *due > now || filled.blocked == 0);
        let probe = self.engine.gates().next_probe().filter(|probe| *probe > now);
        [due, probe].into_iter().flatten().fold(now.plus(TICK), Timestamp::min)
    }

    async fn drain(mut self) {
        let engine = self.engine.clone();
        let deadline = engine.clock.steady().plus(engine.settings.drain);
        while !self.tasks.is_empty() {
            tokio::select! {
                Some(done) = self.tasks.join_next() => {
                    self.finish_all(done);
                }
                () = engine.clock.sleep_until(deadline) => {
                    tracing::warn!(walks = self.tasks.len(), "walks were cut off at shutdown; their leases run out");
                    break;
                }
            }
        }
        self.tasks.shutdown().await;
    }
}

impl Errand {
    fn rows(&self) -> usize {
        match self {
            Self::Deliver(load) => load.rows.len(),
            Self::Return { rows, .. } => rows.len(),
        }
    }

    fn is_broadcast(&self) -> bool {
        matches!(self, Self::Deliver(load) if load.place.is_broadcast)
    }

    async fn run(self, engine: &Core) -> Sign {
        match self {
            Self::Deliver(load) => engine.walk(load).await,
            Self::Return { to, rows, lease_until } => {
                let span = spans::return_receipts(engine, &to, &rows).await;
                receipt::bring_back(engine, &to, rows, lease_until).instrument(span).await
            }
        }
    }
}

/// Puts together what goes out in one call: the recipients of one envelope behind one gateway, and receipts to one gateway. A system's
/// adapter gets one recipient at a time.
fn group(leased: Vec<Leased>) -> Vec<(Destination, Errand)> {
    let mut errands: Vec<(Destination, Errand)> = Vec::new();
    let mut loads: HashMap<(Destination, EnvelopeSeq), usize> = HashMap::new();
    let mut batches: HashMap<GatewayId, usize> = HashMap::new();
    for piece in leased {
        let Some(place) = Place::of(&piece.lane) else { continue };
        match piece.work {
            Work::Deliver { delivery, envelope, signed } => {
                let lease = Lease { delivery: delivery.id, token: piece.token };
                let shared = !matches!(place.destination, Destination::Agency(_));
                let group = (place.destination.clone(), envelope.seq);
                let known = loads.get(&group).filter(|_| shared).and_then(|&index| errands.get_mut(index));
                if let Some((_, Errand::Deliver(load))) = known {
                    load.rows.push((delivery, lease));
                    continue;
                }
                loads.insert(group, errands.len());
                let destination = place.destination.clone();
                let lease_until = piece.lease_until;
                let load = Load { place, envelope, signed, lease_until, rows: vec![(delivery, lease)] };
                errands.push((destination, Errand::Deliver(load)));
            }
            Work::Return(row) => {
                let lease = ReturnLease { id: row.id, token: piece.token };
                let known = batches.get(&row.to).and_then(|&index| errands.get_mut(index));
                if let Some((_, Errand::Return { rows, .. })) = known
                    && rows.len() < limits::RECEIPTS_RETURNED_MAX
                {
                    rows.push((row, lease));
                    continue;
                }
                batches.insert(row.to.clone(), errands.len());
                let to = row.to.clone();
                let errand =
                    Errand::Return { to: to.clone(), rows: vec![(row, lease)], lease_until: piece.lease_until };
                errands.push((Destination::Receipts(to), errand));
            }
        }
    }
    errands
}
