//! A store that fails on demand: before a durable step, after it, or never, as the test says.
//!
//! Each durable step of the trait is a [`Step`]; each [`Fault`] is what a real backend can do to its caller at that step. The test keeps the
//! [`Faults`] handle and drives it by a queue ([`Faults::next`]) or by a script ([`Faults::script`]), which may draw from a seed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_evidence::Receipt;
use gateway_model::id::{DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::{Digest, Timestamp};
use tokio::sync::Semaphore;

use crate::accept::{Accept, Accepted};
use crate::backlog::LaneLoad;
use crate::change::{Change, Changed};
use crate::claim::{Claim, Lane, LaneHead, Lease, Leased};
use crate::mark::Mark;
use crate::nodes::Use;
use crate::query::{Counts, Page, Query};
use crate::record::{Record, Recorded};
use crate::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EnvelopeSeq, EventRow, LeafRow};
use crate::settle::{Settle, SettleReturn, Settled};
use crate::{Pressure, Store, StoreError};

/// The durable steps of a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// [`Store::accept`].
    Accept,
    /// [`Store::settle`].
    Settle,
    /// [`Store::change`].
    Change,
    /// [`Store::record`].
    Record,
    /// [`Store::mark`].
    Mark,
    /// [`Store::settle_returns`].
    SettleReturns,
    /// [`Store::claim_due`].
    Claim,
    /// [`Store::extend`].
    Extend,
}

impl Step {
    /// Every step: tests of crashes walk this list.
    pub const ALL: [Self; 8] = [
        Self::Accept,
        Self::Settle,
        Self::Change,
        Self::Record,
        Self::Mark,
        Self::SettleReturns,
        Self::Claim,
        Self::Extend,
    ];
}

/// What happens at a step.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing is written: [`StoreError::Unavailable`].
    Unavailable,
    /// Nothing is written: [`StoreError::Full`].
    Full,
    /// Nothing is written, but the caller cannot know: [`StoreError::Unknown`].
    UnknownBefore,
    /// The step is durable, but the caller cannot know: [`StoreError::Unknown`].
    UnknownAfter,
    /// Waits at the gate before the step.
    WaitBefore(Gate),
    /// The step is durable; its answer waits at the gate.
    WaitAfter(Gate),
}

impl Fault {
    /// Every fault that answers with an error.
    pub const ERRORS: [Self; 4] = [Self::Unavailable, Self::Full, Self::UnknownBefore, Self::UnknownAfter];
}

/// A gate that a test opens.
#[derive(Clone, Debug)]
pub struct Gate(Arc<GateInner>);

#[derive(Debug)]
struct GateInner {
    arrivals: Semaphore,
    /// Closed once the gate is open; nobody ever gets a permit.
    barrier: Semaphore,
}

impl Gate {
    /// Makes a closed gate.
    #[allow(clippy::new_without_default)] // A gate that is closed by default would have to be looked up.
    pub fn new() -> Self {
        Self(Arc::new(GateInner { arrivals: Semaphore::new(0), barrier: Semaphore::new(0) }))
    }

    /// Waits until one more call has come to the gate.
    pub async fn arrival(&self) {
        if let Ok(permit) = self.0.arrivals.acquire().await {
            permit.forget();
        }
    }

    /// Opens the gate for good.
    pub fn open(&self) {
        self.0.barrier.close();
    }

    async fn pass(&self) {
        self.0.arrivals.add_permits(1);
        // The barrier has no permits: acquiring ends, with an error, when the gate opens.
        if let Ok(permit) = self.0.barrier.acquire().await {
            permit.forget();
        }
    }
}

/// Decides what happens at each step.
type Script = Box<dyn FnMut(Step) -> Option<Fault> + Send>;

/// The test's hand on a [`FaultyStore`].
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Default)]
struct Plan {
    queued: HashMap<Step, VecDeque<Fault>>,
    script: Option<Script>,
    pressure: Option<Pressure>,
    taken: Vec<(Step, Fault)>,
}

impl Faults {
    /// Lets the next call of `step` that has none yet meet `fault`.
    pub fn next(&self, step: Step, fault: Fault) {
        self.plan().queued.entry(step).or_default().push_back(fault);
    }

    /// Asks `script` at every step that has no fault in the queue.
    pub fn script(&self, script: impl FnMut(Step) -> Option<Fault> + Send + 'static) {
        self.plan().script = Some(Box::new(script));
    }

    /// Answers [`Store::pressure`] with this; `None` asks the store itself.
    pub fn press(&self, pressure: Option<Pressure>) {
        self.plan().pressure = pressure;
    }

    /// Forgets queue, script and pressure: the store works again.
    pub fn heal(&self) {
        let mut plan = self.plan();
        (plan.queued, plan.script, plan.pressure) = (HashMap::new(), None, None);
    }

    /// The faults that were met so far, in order; a test checks that the ones it meant have happened.
    pub fn met(&self) -> Vec<(Step, Fault)> {
        self.plan().taken.clone()
    }

    fn take(&self, step: Step) -> Option<Fault> {
        let mut plan = self.plan();
        let queued = plan.queued.get_mut(&step).and_then(VecDeque::pop_front);
        let fault = queued.or_else(|| plan.script.as_mut().and_then(|script| script(step)))?;
        plan.taken.push((step, fault.clone()));
        Some(fault)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wraps a store; reading always works.
pub struct FaultyStore {
    store: Arc<dyn Store>,
    faults: Faults,
}

impl FaultyStore {
    /// Wraps `store`; the handle drives it.
    pub fn new(store: Arc<dyn Store>) -> (Self, Faults) {
        let faults = Faults::default();
        (Self { store, faults: faults.clone() }, faults)
    }

    /// Takes a step with the fault that is due.
    async fn step<T>(
        &self,
        step: Step,
        take: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.faults.take(step) {
            None => take.await,
            Some(Fault::Unavailable) => Err(StoreError::Unavailable { what: told(step) }),
            Some(Fault::Full) => Err(StoreError::Full),
            Some(Fault::UnknownBefore) => Err(StoreError::Unknown { what: told(step) }),
            Some(Fault::UnknownAfter) => take.await.and(Err(StoreError::Unknown { what: told(step) })),
            Some(Fault::WaitBefore(gate)) => {
                gate.pass().await;
                take.await
            }
            Some(Fault::WaitAfter(gate)) => {
                let result = take.await;
                gate.pass().await;
                result
            }
        }
    }
}

fn told(step: Step) -> String {
    format!("told to fail at {step:?}")
}

#[async_trait]
impl Store for FaultyStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError> {
        self.step(Step::Accept, self.store.accept(accept)).await
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        self.step(Step::Settle, self.store.settle(settle)).await
    }

    async fn change(&self, change: Change) -> Result<Changed, StoreError> {
        self.step(Step::Change, self.store.change(change)).await
    }

    async fn record(&self, record: Record) -> Result<Recorded, StoreError> {
        self.step(Step::Record, self.store.record(record)).await
    }

    async fn settle_returns(&self, settles: Vec<SettleReturn>) -> Result<(), StoreError> {
        self.step(Step::SettleReturns, self.store.settle_returns(settles)).await
    }

    async fn mark(&self, mark: Mark) -> Result<Option<Receipt>, StoreError> {
        self.step(Step::Mark, self.store.mark(mark)).await
    }

    async fn marks(&self, prefix: &str, limit: usize) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.store.marks(prefix, limit).await
    }

    fn node(&self) -> Option<&str> {
        self.store.node()
    }

    async fn duty(&self, name: &str, span: Duration) -> Result<bool, StoreError> {
        self.store.duty(name, span).await
    }

    async fn share_use(&self, used: Vec<Use>) -> Result<Vec<Use>, StoreError> {
        self.store.share_use(used).await
    }

    async fn claim_due(&self, claim: Claim) -> Result<Vec<Leased>, StoreError> {
        self.step(Step::Claim, self.store.claim_due(claim)).await
    }

    async fn extend(&self, leases: &[Lease], until: Timestamp) -> Result<(), StoreError> {
        self.step(Step::Extend, self.store.extend(leases, until)).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: usize) -> Result<Vec<LaneHead>, StoreError> {
        self.store.due_lanes(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due().await
    }

    async fn woken(&self) {
        self.store.woken().await;
    }

    async fn find(&self, key: &EnvelopeKey) -> Result<Option<EnvelopeRow>, StoreError> {
        self.store.find(key).await
    }

    async fn body(&self, envelope: EnvelopeSeq) -> Result<Option<Bytes>, StoreError> {
        self.store.body(envelope).await
    }

    async fn deliveries(&self, envelope: EnvelopeSeq) -> Result<Vec<DeliveryRow>, StoreError> {
        self.store.deliveries(envelope).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliverySummary>, StoreError> {
        self.store.delivery(id).await
    }

    async fn events(
        &self,
        envelope: EnvelopeSeq,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.store.events(envelope, after, limit).await
    }

    async fn by_file_code(&self, file_code: &str, limit: usize) -> Result<Vec<EnvelopeRow>, StoreError> {
        self.store.by_file_code(file_code, limit).await
    }

    async fn by_envelope_id(&self, id: EnvelopeId) -> Result<Vec<EnvelopeRow>, StoreError> {
        self.store.by_envelope_id(id).await
    }

    async fn list(&self, query: &Query) -> Result<Page<DeliverySummary>, StoreError> {
        self.store.list(query).await
    }

    async fn lane_loads(&self) -> Result<Vec<LaneLoad>, StoreError> {
        self.store.lane_loads().await
    }

    async fn waiting_in(&self, lane: &Lane, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        self.store.waiting_in(lane, limit).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.counts().await
    }

    async fn unreferenced(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.store.unreferenced(digests).await
    }

    async fn purge_bodies(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.store.purge_bodies(before, limit).await
    }

    async fn checkpoint(&self) -> Result<Option<Arc<str>>, StoreError> {
        self.store.checkpoint().await
    }

    async fn leaf_hashes(&self, from: u64, limit: usize) -> Result<Vec<Digest>, StoreError> {
        self.store.leaf_hashes(from, limit).await
    }

    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<LeafRow>, StoreError> {
        self.store.leaves(from, limit).await
    }

    async fn envelope(&self, seq: EnvelopeSeq) -> Result<Option<EnvelopeRow>, StoreError> {
        self.store.envelope(seq).await
    }

    async fn envelopes_at(&self, seqs: &[EnvelopeSeq]) -> Result<Vec<EnvelopeRow>, StoreError> {
        self.store.envelopes_at(seqs).await
    }

    async fn receipt(&self, leaf_index: u64) -> Result<Option<Receipt>, StoreError> {
        self.store.receipt(leaf_index).await
    }

    fn pressure(&self) -> Pressure {
        self.faults.plan().pressure.unwrap_or_else(|| self.store.pressure())
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
