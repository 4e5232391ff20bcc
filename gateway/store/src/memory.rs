//! The store in memory: the whole contract without a disk, for simulation, for tests, and for reading.
//!
//! Each step is one call under one lock: it decides first and writes after, so that a refused step has written nothing. `state` has the
//! rows and the steps, `queue` the wake-ups and leases, `read` the questions, `parts` the attachments.

mod parts;
mod queue;
mod read;
mod state;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_evidence::{Log, Receipt};
use gateway_model::id::{DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::note::NoteSigner;
use gateway_model::{Digest, Reason, Timestamp};
use tokio::sync::Notify;

use crate::accept::{Accept, Accepted};
use crate::backlog::LaneLoad;
use crate::change::{Change, Changed};
use crate::claim::{Claim, Lane, LaneHead, Lease, Leased};
use crate::mark::Mark;
use crate::query::{Counts, Page, Query};
use crate::record::{Record, Recorded};
use crate::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EnvelopeSeq, EventRow, LeafRow};
use crate::settle::{Settle, SettleReturn, Settled};
use crate::{Pressure, Store, StoreError};

pub use parts::MemoryParts;
use state::State;

/// A store in memory.
pub struct MemoryStore {
    kept: Arc<Kept>,
    closed: AtomicBool,
}

/// What outlives a handle, as a disk outlives a process.
struct Kept {
    state: Mutex<State>,
    woken: Notify,
}

impl MemoryStore {
    /// Starts empty, with a log signed by `signer`.
    pub fn new(signer: NoteSigner) -> Self {
        Self::on(Arc::new(Kept { state: Mutex::new(State::new(Log::empty(signer))), woken: Notify::new() }))
    }

    /// Opens what this store keeps anew, as a restarted process does. The old handle stays as it is: open or closed.
    pub fn reopen(&self) -> Self {
        Self::on(self.kept.clone())
    }

    /// The same at `now`: whatever waits to be tried again and would wake later than `retry_max` from then is due at once, since a clock that
    /// ran ahead has set that wake-up.
    pub fn reopen_at(&self, now: Timestamp, retry_max: Duration) -> Self {
        self.state().wake_what_lies_too_far_ahead(now, now.plus(retry_max));
        self.reopen()
    }

    fn on(kept: Arc<Kept>) -> Self {
        // Whoever opens has not heard of any wake-up yet.
        kept.woken.notify_one();
        Self { kept, closed: AtomicBool::new(false) }
    }

    /// Takes a step; work may be due after it.
    fn step<T>(&self, step: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let result = self.read(step);
        if result.is_ok() {
            self.kept.woken.notify_one();
        }
        result
    }

    fn read<T>(&self, read: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.is_closed() {
            return Err(StoreError::Unavailable { what: "the store in memory is closed".to_owned() });
        }
        read(&mut self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.kept.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError> {
        self.step(|state| state.accept(accept))
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        self.step(|state| state.settle(settle))
    }

    async fn change(&self, change: Change) -> Result<Changed, StoreError> {
        self.step(|state| state.change(change))
    }

    async fn record(&self, record: Record) -> Result<Recorded, StoreError> {
        self.step(|state| state.record(record))
    }

    async fn settle_returns(&self, settles: Vec<SettleReturn>) -> Result<(), StoreError> {
        self.step(|state| state.settle_returns(settles))
    }

    async fn mark(&self, mark: Mark) -> Result<Option<Receipt>, StoreError> {
        self.read(|state| state.mark(mark))
    }

    async fn marks(&self, prefix: &str, limit: usize) -> Result<Vec<(String, Bytes)>, StoreError> {
        self.read(|state| Ok(state.marks(prefix, limit)))
    }

    async fn claim_due(&self, claim: Claim) -> Result<Vec<Leased>, StoreError> {
        self.read(|state| state.claim_due(&claim))
    }

    async fn extend(&self, leases: &[Lease], until: Timestamp) -> Result<(), StoreError> {
        self.read(|state| state.extend(leases, until))
    }

    async fn due_lanes(&self, now: Timestamp, limit: usize) -> Result<Vec<LaneHead>, StoreError> {
        self.read(|state| Ok(state.queue().heads(now, limit)))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(|state| Ok(state.queue().next_due()))
    }

    async fn woken(&self) {
        self.kept.woken.notified().await;
    }

    async fn find(&self, key: &EnvelopeKey) -> Result<Option<EnvelopeRow>, StoreError> {
        self.read(|state| Ok(state.find(key)))
    }

    async fn body(&self, envelope: EnvelopeSeq) -> Result<Option<Bytes>, StoreError> {
        self.read(|state| Ok(state.body(envelope)))
    }

    async fn deliveries(&self, envelope: EnvelopeSeq) -> Result<Vec<DeliveryRow>, StoreError> {
        self.read(|state| Ok(state.deliveries(envelope)))
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliverySummary>, StoreError> {
        self.read(|state| Ok(state.delivery(id)))
    }

    async fn events(
        &self,
        envelope: EnvelopeSeq,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.read(|state| Ok(state.events(envelope, after, limit)))
    }

    async fn by_file_code(&self, file_code: &str, limit: usize) -> Result<Vec<EnvelopeRow>, StoreError> {
        self.read(|state| Ok(state.by_file_code(file_code, limit)))
    }

    async fn by_envelope_id(&self, id: EnvelopeId) -> Result<Vec<EnvelopeRow>, StoreError> {
        self.read(|state| Ok(state.by_envelope_id(id)))
    }

    async fn list(&self, query: &Query) -> Result<Page<DeliverySummary>, StoreError> {
        self.read(|state| Ok(state.list(query)))
    }

    async fn lane_loads(&self) -> Result<Vec<LaneLoad>, StoreError> {
        self.read(|state| Ok(state.queue().loads()))
    }

    async fn waiting_in(&self, lane: &Lane, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        self.read(|state| Ok(state.waiting_in(lane, limit)))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(|state| Ok(state.counts()))
    }

    async fn unreferenced(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.read(|state| Ok(state.unreferenced(digests)))
    }

    async fn purge_bodies(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.read(|state| Ok(state.purge_bodies(before, limit)))
    }

    async fn checkpoint(&self) -> Result<Option<Arc<str>>, StoreError> {
        self.read(|state| Ok(state.checkpoint()))
    }

    async fn leaf_hashes(&self, from: u64, limit: usize) -> Result<Vec<Digest>, StoreError> {
        self.read(|state| Ok(state.leaf_hashes(from, limit)))
    }

    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<LeafRow>, StoreError> {
        self.read(|state| Ok(state.leaves(from, limit)))
    }

    async fn envelope(&self, seq: EnvelopeSeq) -> Result<Option<EnvelopeRow>, StoreError> {
        self.read(|state| Ok(state.envelope_row(seq)))
    }

    async fn receipt(&self, leaf_index: u64) -> Result<Option<Receipt>, StoreError> {
        self.read(|state| Ok(state.receipt(leaf_index)))
    }

    fn pressure(&self) -> Pressure {
        match self.is_closed() {
            false => Pressure::Free,
            true => Pressure::Busy { reason: Reason::StoreUnavailable, retry_after: Duration::from_secs(5) },
        }
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}
