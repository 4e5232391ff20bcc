//! The store: hands steps to the writer and questions to Redis.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_evidence::Receipt;
use gateway_model::id::{DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::{Digest, Reason, Timestamp};
use gateway_store::accept::{Accept, Accepted};
use gateway_store::backlog::LaneLoad;
use gateway_store::change::{Change, Changed};
use gateway_store::claim::{Claim, Lane, LaneHead, Lease, Leased};
use gateway_store::mark::Mark;
use gateway_store::nodes::Use;
use gateway_store::query::{Counts, Page, Query};
use gateway_store::record::{Record, Recorded};
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EnvelopeSeq, EventRow, LeafRow};
use gateway_store::settle::{ForeignReceipt, Settle, SettleReturn, Settled};
use gateway_store::{Pressure, Store, StoreError};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::keys::Keys;
use crate::link::Link;
use crate::options::{OpenError, OpenOptions};
use crate::queue::{Answer, Queue, Step};
use crate::shared::Shared;
use crate::{claim, evidence, list, offline, open, read, uses};

const RETRY_WHEN_FULL: Duration = Duration::from_secs(30);
const RETRY_WHEN_CROWDED: Duration = Duration::from_secs(1);
const RETRY_WHEN_AWAY: Duration = Duration::from_secs(2);

/// A durable store in Redis, for one node of possibly many.
pub struct RedisStore {
    pub(crate) link: Arc<Link>,
    pub(crate) keys: Keys,
    pub(crate) node: String,
    /// The number of this opening.
    pub(crate) boot: u64,
    pub(crate) shared: Arc<Shared>,
    pub(crate) heard: uses::Heard,
    pub(crate) queue: Mutex<Option<Arc<Queue>>>,
    /// The writer and the keeper.
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RedisStore {
    /// Opens the store, or makes it where there is none. Has to be called inside of a Tokio runtime, which then runs its tasks.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do.
    pub async fn open(options: OpenOptions) -> Result<Self, OpenError> {
        open::open(options).await
    }

    /// Why the store has given up: Redis has lost what it had said to be durable, and nothing is acknowledged until the process has restarted.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure()
    }

    /// Resolves when Redis has lost something. The process should then end with an error: a person has to bring the data back.
    pub async fn failed(&self) -> String {
        self.shared.failed().await
    }

    /// Hands a step to the writer. While Redis is away it fails at once.
    pub(crate) async fn step(&self, step: Step) -> Result<Answer, StoreError> {
        if let Some(what) = self.shared.failure() {
            return Err(StoreError::Unavailable { what });
        }
        if let Some(why) = self.link.is_away() {
            return Err(StoreError::Unavailable { what: format!("Redis: {why}") });
        }
        let queue = lock(&self.queue).clone();
        match queue {
            Some(queue) => queue.send(step).await,
            None => Err(StoreError::Unavailable { what: "the store is closed".to_owned() }),
        }
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError> {
        match self.step(Step::Accept(accept)).await? {
            Answer::Accepted(accepted) => Ok(accepted),
            other => Err(astray(&other)),
        }
    }

    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError> {
        settle.foreign.as_ref().map(check_foreign).transpose()?;
        match self.step(Step::Settle(settle)).await? {
            Answer::Settled(settled) => Ok(settled),
            other => Err(astray(&other)),
        }
    }

    async fn change(&self, change: Change) -> Result<Changed, StoreError> {
        match self.step(Step::Change(change)).await? {
            Answer::Changed(changed) => Ok(*changed),
            other => Err(astray(&other)),
        }
    }

    async fn record(&self, record: Record) -> Result<Recorded, StoreError> {
        check_foreign(&record.foreign)?;
        match self.step(Step::Record(record)).await? {
            Answer::Recorded(recorded) => Ok(recorded),
            other => Err(astray(&other)),
        }
    }

    async fn settle_returns(&self, settles: Vec<SettleReturn>) -> Result<(), StoreError> {
        match self.step(Step::SettleReturns(settles)).await? {
            Answer::ReturnsSettled => Ok(()),
            other => Err(astray(&other)),
        }
    }

    async fn mark(&self, mark: Mark) -> Result<Option<Receipt>, StoreError> {
        match self.step(Step::Mark(mark)).await? {
            Answer::Marked(receipt) => Ok(receipt),
            other => Err(astray(&other)),
        }
    }

    async fn marks(&self, prefix: &str, limit: usize) -> Result<Vec<(String, Bytes)>, StoreError> {
        read::marks(&self.link, &self.keys, prefix, limit).await.map_err(unread)
    }

    fn node(&self) -> Option<&str> {
        Some(&self.node)
    }

    async fn duty(&self, name: &str, span: Duration) -> Result<bool, StoreError> {
        claim::duty(&self.link, &self.keys, &self.node, name, span).await.map_err(unread)
    }

    async fn share_use(&self, used: Vec<Use>) -> Result<Vec<Use>, StoreError> {
        uses::share(&self.link, &self.keys, &self.node, &self.heard, &used).await.map_err(unread)
    }

    async fn claim_due(&self, claim: Claim) -> Result<Vec<Leased>, StoreError> {
        claim::claim(&self.link, &self.keys, &self.node, &claim).await.map_err(unread)
    }

    async fn extend(&self, leases: &[Lease], until: Timestamp) -> Result<(), StoreError> {
        claim::extend(&self.link, &self.keys, leases, until).await.map_err(unread)
    }

    async fn due_lanes(&self, now: Timestamp, limit: usize) -> Result<Vec<LaneHead>, StoreError> {
        claim::due_lanes(&self.link, &self.keys, now, limit).await.map_err(unread)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        claim::next_due(&self.link, &self.keys).await.map_err(unread)
    }

    async fn woken(&self) {
        self.shared.woken.notified().await;
    }

    async fn find(&self, key: &EnvelopeKey) -> Result<Option<EnvelopeRow>, StoreError> {
        read::find(&self.link, &self.keys, key).await.map_err(unread)
    }

    async fn body(&self, envelope: EnvelopeSeq) -> Result<Option<Bytes>, StoreError> {
        read::body(&self.link, &self.keys, envelope.0).await.map_err(unread)
    }

    async fn deliveries(&self, envelope: EnvelopeSeq) -> Result<Vec<DeliveryRow>, StoreError> {
        read::deliveries(&self.link, &self.keys, envelope.0).await.map_err(unread)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliverySummary>, StoreError> {
        let found = async {
            let Some(place) = read::place_of(&self.link, &self.keys, id).await? else { return Ok(None) };
            Ok(read::summaries(&self.link, &self.keys, &[place]).await?.pop())
        };
        found.await.map_err(unread)
    }

    async fn events(
        &self,
        envelope: EnvelopeSeq,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        evidence::events_of(&self.link, &self.keys, envelope.0, after.unwrap_or(0), limit).await.map_err(unread)
    }

    async fn by_file_code(&self, file_code: &str, limit: usize) -> Result<Vec<EnvelopeRow>, StoreError> {
        let found = async {
            let seqs = read::of_file(&self.link, &self.keys, file_code, limit).await?;
            read::envelopes(&self.link, &self.keys, &seqs).await
        };
        Ok(found.await.map_err(unread)?.into_iter().flatten().collect())
    }

    async fn by_envelope_id(&self, id: EnvelopeId) -> Result<Vec<EnvelopeRow>, StoreError> {
        let found = async {
            let known = read::known(&self.link, &self.keys, id).await?;
            let seqs: Vec<u64> = known.iter().map(|known| known.seq).collect();
            read::envelopes(&self.link, &self.keys, &seqs).await
        };
        Ok(found.await.map_err(unread)?.into_iter().flatten().collect())
    }

    async fn list(&self, query: &Query) -> Result<Page<DeliverySummary>, StoreError> {
        list::page(&self.link, &self.keys, query).await.map_err(unread)
    }

    async fn lane_loads(&self) -> Result<Vec<LaneLoad>, StoreError> {
        claim::lane_loads(&self.link, &self.keys).await.map_err(unread)
    }

    async fn waiting_in(&self, lane: &Lane, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        let found = async {
            let places = claim::places_in(&self.link, &self.keys, lane, limit).await?;
            read::summaries(&self.link, &self.keys, &places).await
        };
        found.await.map_err(unread)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let head = read::head(&self.link, &self.keys).await.map_err(unread)?;
        Ok(Counts {
            envelopes: head.envelopes,
            waiting: head.waiting,
            forwarded: head.forwarded,
            held: head.held,
            returns: head.returns,
            log_size: head.log.size(),
            free_bytes: self.shared.free_bytes(),
        })
    }

    async fn unreferenced(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        read::unreferenced(&self.link, &self.keys, digests).await.map_err(unread)
    }

    async fn purge_bodies(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        match self.step(Step::Purge { before, limit }).await? {
            Answer::Purged(count) => Ok(count),
            other => Err(astray(&other)),
        }
    }

    async fn checkpoint(&self) -> Result<Option<Arc<str>>, StoreError> {
        Ok(read::head(&self.link, &self.keys).await.map_err(unread)?.note)
    }

    async fn leaf_hashes(&self, from: u64, limit: usize) -> Result<Vec<Digest>, StoreError> {
        let leaves = evidence::leaves(&self.link, &self.keys, from, limit).await.map_err(unread)?;
        Ok(leaves.iter().map(|leaf| gateway_evidence::merkle::leaf_hash(&leaf.event)).collect())
    }

    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<LeafRow>, StoreError> {
        evidence::leaf_rows(&self.link, &self.keys, from, limit).await.map_err(unread)
    }

    async fn envelope(&self, seq: EnvelopeSeq) -> Result<Option<EnvelopeRow>, StoreError> {
        Ok(read::envelopes(&self.link, &self.keys, &[seq.0]).await.map_err(unread)?.pop().flatten())
    }

    async fn envelopes_at(&self, seqs: &[EnvelopeSeq]) -> Result<Vec<EnvelopeRow>, StoreError> {
        let seqs: Vec<u64> = seqs.iter().map(|seq| seq.0).collect();
        Ok(read::envelopes(&self.link, &self.keys, &seqs).await.map_err(unread)?.into_iter().flatten().collect())
    }

    async fn receipt(&self, leaf_index: u64) -> Result<Option<Receipt>, StoreError> {
        evidence::receipt_of(&self.link, &self.keys, leaf_index).await.map_err(unread)
    }

    fn pressure(&self) -> Pressure {
        let busy = |reason, retry_after| Pressure::Busy { reason, retry_after };
        let queue = lock(&self.queue).clone();
        match queue {
            None => busy(Reason::StoreUnavailable, RETRY_WHEN_AWAY),
            Some(_) if self.shared.failure().is_some() || self.link.is_away().is_some() => {
                busy(Reason::StoreUnavailable, RETRY_WHEN_AWAY)
            }
            Some(_) if self.shared.is_full() => busy(Reason::StoreFull, RETRY_WHEN_FULL),
            Some(queue) if queue.is_crowded() => busy(Reason::Overloaded, RETRY_WHEN_CROWDED),
            Some(_) => Pressure::Free,
        }
    }

    async fn close(&self) {
        drop(lock(&self.queue).take());
        let mut tasks = std::mem::take(&mut *lock(&self.tasks)).into_iter();
        // The writer ends when it has answered everybody; only then the way is closed, and the keeper ends.
        if let Some(writer) = tasks.next() {
            join(writer).await;
        }
        // The keeper ends first, so that it does not say anew that this node runs.
        for task in tasks {
            task.abort();
            join(task).await;
        }
        if let Err(failure) = offline::leave(&self.link, &self.keys, &self.node, self.boot).await {
            tracing::warn!(%failure, "Redis cannot be told that this node has ended");
        }
        self.link.close();
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        // The keeper and the writer end by themselves.
        self.link.close();
    }
}

async fn join(task: JoinHandle<()>) {
    if let Err(error) = task.await
        && !error.is_cancelled()
    {
        tracing::error!(%error, "a task of the store broke down");
    }
}

/// Locks; what a panicked holder left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// By value, as `map_err` hands it over.
#[allow(clippy::needless_pass_by_value)]
fn unread(failure: Failure) -> StoreError {
    failure.unwritten()
}

fn astray(answer: &Answer) -> StoreError {
    StoreError::Unknown { what: format!("the writer of the store answered another question: {answer:?}") }
}

fn check_foreign(foreign: &ForeignReceipt) -> Result<(), StoreError> {
    let unreadable = |error| StoreError::Corrupt { what: format!("a foreign receipt: {error}") };
    Receipt::decode(&foreign.bytes).map(|_| ()).map_err(unreadable)
}
