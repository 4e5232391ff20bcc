//! The store: hands steps to the writer and questions to the readers.

use std::sync::{Arc, Mutex};
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
use gateway_store::query::{Counts, Page, Query};
use gateway_store::record::{Record, Recorded};
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EnvelopeSeq, EventRow, LeafRow};
use gateway_store::settle::{ForeignReceipt, Settle, SettleReturn, Settled};
use gateway_store::{Pressure, Store, StoreError};
use rusqlite::params;

use crate::batch::lock;
use crate::evidence::{self, signed};
use crate::failure::Failure;
use crate::options::{OpenError, OpenOptions};
use crate::queue::{Answer, Queue, Step};
use crate::reader::Readers;
use crate::rows::{self, ENVELOPE_COLUMNS, number};
use crate::shared::Shared;
use crate::{backlog, batch, claim, list, open};

const RETRY_WHEN_FULL: Duration = Duration::from_secs(30);
const RETRY_WHEN_CROWDED: Duration = Duration::from_secs(1);
const RETRY_WHEN_FAILED: Duration = Duration::from_secs(5);
/// Envelopes that one id can name: one per sender.
const SAME_ID_MAX: usize = 1_000;

/// One node's durable store.
pub struct EmbeddedStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Mutex<Option<Arc<Queue>>>,
    pub(crate) readers: Readers,
    pub(crate) writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens the store in a folder, or makes it there; recovers what a crash left. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`OpenError`], each with what to do.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        open::open(options)
    }

    /// Why the store has given up: its disk failed, and nothing is acknowledged until the process has restarted. The text names the file.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure()
    }

    /// Resolves when the disk has failed. The process should then end with an error and be started anew.
    pub async fn failed(&self) -> String {
        self.shared.failed().await
    }

    async fn step(&self, step: Step) -> Result<Answer, StoreError> {
        let queue = lock(&self.queue).clone();
        match queue {
            Some(queue) => queue.send(step).await,
            None => Err(closed()),
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError> {
        let sum = rows::body_sum(accept.envelope.signed());
        match self.step(Step::Accept(accept, sum)).await? {
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

    async fn mark(&self, mark: Mark) -> Result<Option<Receipt>, StoreError> {
        match self.step(Step::Mark(mark)).await? {
            Answer::Marked(receipt) => Ok(receipt),
            other => Err(astray(&other)),
        }
    }

    async fn marks(&self, prefix: &str, limit: usize) -> Result<Vec<(String, Bytes)>, StoreError> {
        let prefix = prefix.to_owned();
        self.readers.read(move |connection| batch::marks(connection, &prefix, limit)).await
    }

    async fn settle_returns(&self, settles: Vec<SettleReturn>) -> Result<(), StoreError> {
        match self.step(Step::SettleReturns(settles)).await? {
            Answer::ReturnsSettled => Ok(()),
            other => Err(astray(&other)),
        }
    }

    async fn claim_due(&self, claim: Claim) -> Result<Vec<Leased>, StoreError> {
        let shared = self.shared.clone();
        self.readers.read(move |connection| claim::claim(connection, &shared.work, &claim)).await
    }

    async fn extend(&self, leases: &[Lease], until: Timestamp) -> Result<(), StoreError> {
        let (shared, leases) = (self.shared.clone(), leases.to_vec());
        self.readers.read(move |connection| claim::extend(connection, &shared.work, &leases, until)).await
    }

    async fn due_lanes(&self, now: Timestamp, limit: usize) -> Result<Vec<LaneHead>, StoreError> {
        let shared = self.shared.clone();
        self.readers.read(move |connection| claim::due_lanes(connection, &shared.work, now, limit)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let shared = self.shared.clone();
        self.readers.read(move |connection| claim::next_due(connection, &shared.work)).await
    }

    async fn woken(&self) {
        self.shared.woken.notified().await;
    }

    async fn find(&self, key: &EnvelopeKey) -> Result<Option<EnvelopeRow>, StoreError> {
        let key = key.clone();
        let sql = format!("SELECT {ENVELOPE_COLUMNS} FROM envelope WHERE id = ?1 AND sender = ?2");
        let found = self
            .envelopes(sql, move |statement, take| take(statement.query(params![&key.id.0[..], key.sender.as_str()])?))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn body(&self, envelope: EnvelopeSeq) -> Result<Option<Bytes>, StoreError> {
        self.readers.read(move |connection| rows::body_of(connection, number(envelope))).await
    }

    async fn deliveries(&self, envelope: EnvelopeSeq) -> Result<Vec<DeliveryRow>, StoreError> {
        let read = move |connection: &_| rows::deliveries_of(connection, number(envelope));
        Ok(self.readers.read(read).await?.into_iter().map(|kept| kept.row).collect())
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliverySummary>, StoreError> {
        self.readers
            .read(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                let Some(kept) = rows::find_delivery(connection, id)? else { return Ok(None) };
                let envelope = rows::envelope_at(connection, rows::envelope_of(kept.key))?;
                snapshot.commit()?;
                let envelope =
                    envelope.ok_or_else(|| Failure::Damaged(format!("the envelope of delivery {id} is missing")))?;
                Ok(Some(DeliverySummary { delivery: kept.row, envelope: Arc::new(envelope) }))
            })
            .await
    }

    async fn events(
        &self,
        envelope: EnvelopeSeq,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.readers
            .read(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                let events = evidence::events_of(connection, number(envelope), after.map_or(-1, signed), limit)?;
                snapshot.commit()?;
                Ok(events)
            })
            .await
    }

    async fn by_file_code(&self, file_code: &str, limit: usize) -> Result<Vec<EnvelopeRow>, StoreError> {
        let (file_code, limit) = (file_code.to_owned(), i64::try_from(limit).unwrap_or(i64::MAX));
        let sql = format!(
            "SELECT {ENVELOPE_COLUMNS} FROM envelope INDEXED BY envelope_file
            WHERE file_code = ?1 AND file_code <> '' ORDER BY seq LIMIT ?2"
        );
        self.envelopes(sql, move |statement, take| take(statement.query(params![file_code, limit])?)).await
    }

    async fn by_envelope_id(&self, id: EnvelopeId) -> Result<Vec<EnvelopeRow>, StoreError> {
        let sql = format!("SELECT {ENVELOPE_COLUMNS} FROM envelope WHERE id = ?1 ORDER BY seq LIMIT {SAME_ID_MAX}");
        self.envelopes(sql, move |statement, take| take(statement.query([&id.0[..]])?)).await
    }

    async fn list(&self, query: &Query) -> Result<Page<DeliverySummary>, StoreError> {
        let (query, counts) = (query.clone(), self.shared.counts());
        let open = signed(counts.waiting.saturating_add(counts.forwarded));
        self.readers
            .read(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                let page = list::list(connection, &query, open)?;
                snapshot.commit()?;
                Ok(page)
            })
            .await
    }

    async fn lane_loads(&self) -> Result<Vec<LaneLoad>, StoreError> {
        self.readers.read(backlog::lane_loads).await
    }

    async fn waiting_in(&self, lane: &Lane, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        let lane = lane.clone();
        self.readers
            .read(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                let rows = backlog::waiting_in(connection, &lane, limit)?;
                snapshot.commit()?;
                Ok(rows)
            })
            .await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(self.shared.counts())
    }

    async fn unreferenced(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let digests = digests.to_vec();
        self.readers
            .read(move |connection| {
                let mut named = connection.prepare_cached("SELECT 1 FROM part WHERE digest = ?1 LIMIT 1")?;
                let mut unreferenced = Vec::new();
                for digest in digests {
                    if !named.exists([&digest.0[..]])? {
                        unreferenced.push(digest);
                    }
                }
                Ok(unreferenced)
            })
            .await
    }

    async fn purge_bodies(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        match self.step(Step::Purge { before, limit }).await? {
            Answer::Purged(count) => Ok(count),
            other => Err(astray(&other)),
        }
    }

    async fn checkpoint(&self) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.shared.checkpoint())
    }

    async fn leaf_hashes(&self, from: u64, limit: usize) -> Result<Vec<Digest>, StoreError> {
        self.readers.read(move |connection| evidence::leaf_hashes(connection, from, limit)).await
    }

    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<LeafRow>, StoreError> {
        self.readers.read(move |connection| evidence::leaves(connection, from, limit)).await
    }

    async fn envelope(&self, seq: EnvelopeSeq) -> Result<Option<EnvelopeRow>, StoreError> {
        self.readers.read(move |connection| rows::envelope_at(connection, number(seq))).await
    }

    async fn envelopes_at(&self, seqs: &[EnvelopeSeq]) -> Result<Vec<EnvelopeRow>, StoreError> {
        let seqs: Vec<i64> = seqs.iter().map(|seq| number(*seq)).collect();
        self.readers
            .read(move |connection| {
                let found = seqs.into_iter().map(|seq| rows::envelope_at(connection, seq));
                found.filter_map(Result::transpose).collect()
            })
            .await
    }

    async fn receipt(&self, leaf_index: u64) -> Result<Option<Receipt>, StoreError> {
        self.readers.read(move |connection| evidence::receipt_of(connection, signed(leaf_index))).await
    }

    fn pressure(&self) -> Pressure {
        let busy = |reason, retry_after| Pressure::Busy { reason, retry_after };
        let queue = lock(&self.queue).clone();
        match queue {
            None => busy(Reason::StoreUnavailable, RETRY_WHEN_FAILED),
            Some(_) if self.shared.failure().is_some() => busy(Reason::StoreUnavailable, RETRY_WHEN_FAILED),
            Some(_) if self.shared.is_full() => busy(Reason::StoreFull, RETRY_WHEN_FULL),
            Some(queue) if queue.is_crowded() => busy(Reason::Overloaded, RETRY_WHEN_CROWDED),
            Some(_) => Pressure::Free,
        }
    }

    async fn close(&self) {
        drop(lock(&self.queue).take());
        let writer = lock(&self.writer).take();
        self.readers.close().await;
        if let Some(writer) = writer {
            let ended = tokio::task::spawn_blocking(move || writer.join().is_ok()).await;
            if !matches!(ended, Ok(true)) {
                tracing::error!("the writer of the store did not end in order");
            }
            self.shared.unlock();
        }
    }
}

impl EmbeddedStore {
    async fn envelopes<Q>(&self, sql: String, query: Q) -> Result<Vec<EnvelopeRow>, StoreError>
    where
        Q: FnOnce(&mut rusqlite::Statement<'_>, &mut Take<'_>) -> Result<(), Failure> + Send + 'static,
    {
        self.readers
            .read(move |connection| {
                let mut found = Vec::new();
                let mut take = |mut rows: rusqlite::Rows<'_>| {
                    while let Some(row) = rows.next()? {
                        found.push(rows::read_envelope(row)?);
                    }
                    Ok(())
                };
                query(&mut *connection.prepare_cached(&sql)?, &mut take)?;
                Ok(found)
            })
            .await
    }
}

type Take<'a> = dyn FnMut(rusqlite::Rows<'_>) -> Result<(), Failure> + 'a;

/// What is kept of another gateway's receipt can be read again.
fn check_foreign(foreign: &ForeignReceipt) -> Result<(), StoreError> {
    let unreadable = |error| StoreError::Corrupt { what: format!("a foreign receipt: {error}") };
    Receipt::decode(&foreign.bytes).map(|_| ()).map_err(unreadable)
}

fn closed() -> StoreError {
    StoreError::Unavailable { what: "the store is closed".to_owned() }
}

/// The writer answered another step than was asked: a fault of ours, and nothing can be said about the step.
fn astray(answer: &Answer) -> StoreError {
    StoreError::Unknown { what: format!("the writer answered another step: {answer:?}") }
}
