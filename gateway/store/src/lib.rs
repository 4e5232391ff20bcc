//! The Store: what every backend keeps, and the contract it keeps it by.
//!
//! Rooms: [`accept`], [`settle`], [`change`], [`record`] are the four durable steps of envelopes, a noun each; [`mark`] keeps what operators
//! decide; [`claim`] is how work is taken; [`rows`], [`query`] and [`backlog`] are what is read back; [`parts`] keeps attachments; [`nodes`] is what nodes of one store tell each other; [`memory`] is the store for simulation and tests;
//! [`faulty`] makes any store fail on demand. [`archive`] is a store as a stream, [`soundness`] what a whole check finds.
//!
//! # Contract
//! 1. When a durable step returns `Ok`, it is on disk: it survives `kill -9` and power loss. It is all or nothing.
//! 2. Every leaf of a step is appended to the evidence log in the same commit; its [`Receipt`] is final.
//! 3. [`Store::accept`] is idempotent per (sender, id, digest): the same digest gives the first receipt, another one
//!    [`Conflict::OtherDigest`], for the whole retention.
//! 4. A lease carries a fencing token that rises with every claim of the row. A settlement with an older token is [`Conflict::Stale`] and
//!    changes nothing; nor does it extend. A row whose lease has run out is due again. Tokens go on rising after a restart; whether leases outlive one is the
//!    backend's own.
//! 5. A settlement clears the old wake-up and sets the new one in the same commit. So does a change, and a record that brings a state.
//! 6. After a failed fsync nothing more is acknowledged: every later step is [`StoreError::Unavailable`] until the process has restarted.
//! 7. Dropping the future of a step does not undo it: the step is either durable or not, and reading back by id tells which.
//! 8. A store that is told at its opening what time it is leaves no work asleep that a clock which ran ahead has put off: a Waiting delivery or
//!    a receipt on its way back whose wake-up lies further ahead than the longest span between two attempts is due then.

pub mod accept;
pub mod archive;
pub mod backlog;
pub mod change;
pub mod claim;
pub mod faulty;
pub mod mark;
pub mod memory;
pub mod nodes;
pub mod parts;
pub mod query;
pub mod record;
pub mod rows;
pub mod settle;
pub mod soundness;
pub mod unnamed;

use async_trait::async_trait;
use gateway_evidence::Receipt;
use gateway_model::id::{DeliveryId, EnvelopeKey};
use gateway_model::{Digest, Reason, Timestamp};

use accept::{Accept, Accepted};
use backlog::LaneLoad;
use change::{Change, Changed};
use claim::{Claim, LaneHead, Lease, Leased};
use mark::Mark;
use nodes::Use;
use query::{Counts, Page, Query};
use record::{Record, Recorded};
use rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EnvelopeSeq, EventRow, LeafRow};
use settle::{Settle, SettleReturn, Settled};

/// A durable store of envelopes, deliveries, receipts and the evidence log.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps a verified envelope with its deliveries and its ACCEPTED leaf.
    ///
    /// When the envelope is there already with the same digest, recipients without a delivery row get one (a relay may bring the rest of a
    /// broadcast later) with the leaf of this call, and a purged body comes back with them; when none is new, nothing is written and the first
    /// receipt comes back.
    ///
    /// # Errors
    /// [`Conflict::OtherDigest`]; [`StoreError`].
    async fn accept(&self, accept: Accept) -> Result<Accepted, StoreError>;

    /// Ends leases: writes the new state, the leaf and the receipts for the way back. All of its leases or none.
    ///
    /// # Errors
    /// [`Conflict::Stale`] when a lease no longer holds; [`StoreError`].
    async fn settle(&self, settle: Settle) -> Result<Settled, StoreError>;

    /// Changes one delivery from outside of a lease: by an operator, a sweep or a new directory. Fences a lease in flight.
    ///
    /// # Errors
    /// [`Conflict::Status`] when the delivery is not in an expected status; [`Conflict::Unknown`]; [`StoreError`].
    async fn change(&self, change: Change) -> Result<Changed, StoreError>;

    /// Records another gateway's receipt about an envelope that is here. Idempotent by the receipt's leaf hash.
    ///
    /// # Errors
    /// [`Conflict::Unknown`] when the envelope is not here; [`StoreError`].
    async fn record(&self, record: Record) -> Result<Recorded, StoreError>;

    /// Ends leases of receipts on their way back, all or none. Writes no leaf: a receipt never earns a receipt.
    ///
    /// # Errors
    /// [`Conflict::Stale`]; [`StoreError`].
    async fn settle_returns(&self, settles: Vec<SettleReturn>) -> Result<(), StoreError>;

    /// Sets or takes away a mark. Gives the receipt of its leaf, when it has one.
    ///
    /// # Errors
    /// [`Conflict::TooLarge`] when name or value are beyond their bounds; [`StoreError`].
    async fn mark(&self, mark: Mark) -> Result<Option<Receipt>, StoreError>;

    /// The marks whose names begin with `prefix`, by name, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn marks(&self, prefix: &str, limit: usize) -> Result<Vec<(String, bytes::Bytes)>, StoreError>;

    /// Takes due work from the named lanes, oldest wake-up first, up to each lane's limit.
    ///
    /// # Errors
    /// [`StoreError`].
    ///
    /// # Cancellation
    /// Work claimed by a dropped future is due again when its lease runs out.
    async fn claim_due(&self, claim: Claim) -> Result<Vec<Leased>, StoreError>;

    /// Makes leases run out at `until` instead; all of them or none, and never earlier than they would. Memory of who works on what, not of
    /// what happened: nothing durable changes.
    ///
    /// # Errors
    /// [`Conflict::Stale`] when a lease no longer holds; [`StoreError`].
    async fn extend(&self, leases: &[Lease], until: Timestamp) -> Result<(), StoreError>;

    /// Lanes that have work due at or before `now`, the longest due first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn due_lanes(&self, now: Timestamp, limit: usize) -> Result<Vec<LaneHead>, StoreError>;

    /// The earliest wake-up, if any. A leased row wakes when its lease runs out.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Resolves when a commit since the last call may have set an earlier wake-up. Level-triggered: a wake-up set between two calls is not
    /// lost. One caller at a time.
    async fn woken(&self);

    /// Finds an envelope.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn find(&self, key: &EnvelopeKey) -> Result<Option<EnvelopeRow>, StoreError>;

    /// Reads the serialized `SignedEnvelope`; `None` once it has been purged.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn body(&self, envelope: EnvelopeSeq) -> Result<Option<bytes::Bytes>, StoreError>;

    /// The deliveries of one envelope.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn deliveries(&self, envelope: EnvelopeSeq) -> Result<Vec<DeliveryRow>, StoreError>;

    /// One delivery with its envelope.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliverySummary>, StoreError>;

    /// This gateway's own events about one envelope and the receipts that came from others, in the order in which they became known here,
    /// from position `after` (exclusive; `None` = from the start).
    ///
    /// # Errors
    /// [`StoreError`].
    async fn events(
        &self,
        envelope: EnvelopeSeq,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError>;

    /// The envelopes with one file code, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn by_file_code(&self, file_code: &str, limit: usize) -> Result<Vec<EnvelopeRow>, StoreError>;

    /// The envelopes with one id, of any sender.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn by_envelope_id(&self, id: gateway_model::id::EnvelopeId) -> Result<Vec<EnvelopeRow>, StoreError>;

    /// Deliveries by filter, in pages: the newest envelope first, the deliveries of one envelope in the order in which they were kept.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, query: &Query) -> Result<Page<DeliverySummary>, StoreError>;

    /// Lanes in which something waits, in any order; work that is leased counts. Reads an index, not the rows.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn lane_loads(&self) -> Result<Vec<LaneLoad>, StoreError>;

    /// Deliveries that wait in a lane, the earliest wake-up first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn waiting_in(&self, lane: &claim::Lane, limit: usize) -> Result<Vec<DeliverySummary>, StoreError>;

    /// A few numbers; cheap enough for every scrape.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Which of `digests` are named by no envelope whose body is still kept.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn unreferenced(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError>;

    /// Forgets the bodies of envelopes whose deliveries were all final before `before`; at most `limit`. Rows, events and receipts stay.
    /// Returns how many were forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn purge_bodies(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// The newest signed checkpoint of the evidence log; `None` while the log is empty.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn checkpoint(&self) -> Result<Option<std::sync::Arc<str>>, StoreError>;

    /// Hashes of leaves `from..from + limit` of the evidence log.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn leaf_hashes(&self, from: u64, limit: usize) -> Result<Vec<Digest>, StoreError>;

    /// The leaves `from..from + limit` of the evidence log with the envelopes that they are about: for whoever follows the log.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<LeafRow>, StoreError>;

    /// One envelope by its number here.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn envelope(&self, seq: EnvelopeSeq) -> Result<Option<EnvelopeRow>, StoreError>;

    /// Envelopes by their numbers here, in the order asked for and without those that are not here. A store that reads many at the cost of
    /// one says so by its own way.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn envelopes_at(&self, seqs: &[EnvelopeSeq]) -> Result<Vec<EnvelopeRow>, StoreError> {
        let mut found = Vec::with_capacity(seqs.len());
        for seq in seqs {
            found.extend(self.envelope(*seq).await?);
        }
        Ok(found)
    }

    /// The receipt of one of this gateway's own leaves.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn receipt(&self, leaf_index: u64) -> Result<Option<Receipt>, StoreError>;

    /// This node's name among those that share the store; `None` where one process has it alone.
    fn node(&self) -> Option<&str> {
        None
    }

    /// Takes a duty that one node has at a time, or keeps it, until `span` from now; tells whether this node has it. A node that does not ask
    /// again in time loses it to the first that does. Where one process has the store alone it has every duty.
    ///
    /// # Errors
    /// [`StoreError`]: then it is not known who has it.
    async fn duty(&self, _name: &str, _span: std::time::Duration) -> Result<bool, StoreError> {
        Ok(true)
    }

    /// Tells the other nodes what this one has let in, and gives what they have told since the last call. Nothing that was told before this node
    /// was opened. What is lost on the way is not told again: quotas are bounds, not books.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn share_use(&self, _used: Vec<Use>) -> Result<Vec<Use>, StoreError> {
        Ok(Vec::new())
    }

    /// Whether the door may take more. Cheap: read before every acceptance.
    fn pressure(&self) -> Pressure;

    /// Stops taking steps, waits for those under way, and closes.
    async fn close(&self);
}

/// Whether the door may take more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pressure {
    /// It may.
    Free,
    /// It may not, and why. Reading and delivering go on.
    Busy {
        /// [`Reason::StoreFull`], [`Reason::StoreUnavailable`] or [`Reason::Overloaded`].
        reason: Reason,
        /// When to try again.
        retry_after: std::time::Duration,
    },
}

/// Why a step did not happen.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The step does not fit what is kept. Nothing was written.
    #[error("conflict: {0}")]
    Conflict(#[from] Conflict),
    /// The disk is full. Nothing was written.
    #[error("the disk of the store is full")]
    Full,
    /// The store cannot take steps now. Nothing was written.
    #[error("the store is not available: {what}")]
    Unavailable {
        /// What failed, naming the file.
        what: String,
    },
    /// It cannot be said whether the step happened: read back by id.
    #[error("the store cannot say whether the step happened: {what}")]
    Unknown {
        /// What failed.
        what: String,
    },
    /// What was read is not what was written.
    #[error("the store is corrupt: {what}")]
    Corrupt {
        /// Where, and what was seen.
        what: String,
    },
}

/// How a step does not fit what is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Conflict {
    /// The same sender and id stand for other bytes.
    #[error("the same sender and id stand for other bytes")]
    OtherDigest,
    /// The lease has been taken over.
    #[error("the lease no longer holds")]
    Stale,
    /// The delivery is not in an expected status.
    #[error("the delivery is not in an expected status")]
    Status,
    /// There is no such row.
    #[error("there is no such row")]
    Unknown,
    /// It is larger than may be kept.
    #[error("it is larger than may be kept")]
    TooLarge,
}
