//! The way to the writer: a bounded queue of steps, each with the place where its answer goes.

use std::sync::Arc;

use gateway_evidence::Receipt;
use gateway_model::Timestamp;
use gateway_model::id::DeliveryId;
use gateway_store::StoreError;
use gateway_store::accept::{Accept, Accepted};
use gateway_store::change::{Change, Changed};
use gateway_store::mark::Mark;
use gateway_store::record::{Record, Recorded};
use gateway_store::settle::{Settle, SettleReturn, Settled};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

const PERMIT_BYTES: usize = 1024;
/// Bytes that a step costs besides its blobs, roughly.
const STEP_BYTES: usize = 512;

/// One durable step.
#[derive(Debug)]
pub(crate) enum Step {
    Accept(Accept),
    Settle(Settle),
    Change(Change),
    Record(Record),
    Mark(Mark),
    SettleReturns(Vec<SettleReturn>),
    Purge {
        before: Timestamp,
        limit: usize,
    },
    /// Wakes at `now` what waits to be tried again and would wake too late.
    BringBack {
        now: Timestamp,
        items: Vec<FarItem>,
    },
}

/// Something that wakes too late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FarItem {
    Delivery(DeliveryId),
    Return(u64),
}

/// What became of a step.
#[derive(Debug)]
pub(crate) enum Answer {
    Accepted(Accepted),
    Settled(Settled),
    Changed(Box<Changed>),
    Recorded(Recorded),
    Marked(Option<Receipt>),
    ReturnsSettled,
    Purged(usize),
    BroughtBack,
}

/// A step on its way.
pub(crate) struct Request {
    pub(crate) step: Step,
    pub(crate) answer: oneshot::Sender<Result<Answer, StoreError>>,
    /// Gives the bytes back to the queue when the request is dropped.
    _bytes: OwnedSemaphorePermit,
}

/// The callers' end.
pub(crate) struct Queue {
    requests: mpsc::Sender<Request>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

impl Queue {
    pub(crate) fn new(steps_max: usize, bytes_max: usize) -> (Self, mpsc::Receiver<Request>) {
        let (requests, inbox) = mpsc::channel(steps_max.max(1));
        let permits = (bytes_max / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        (Self { requests, bytes: Arc::new(Semaphore::new(permits)), bytes_max: permits }, inbox)
    }

    /// Hands a step to the writer and waits for what became of it.
    ///
    /// # Cancellation
    /// Before the step is in the queue nothing happens; afterwards it is taken whether or not somebody waits.
    pub(crate) async fn send(&self, step: Step) -> Result<Answer, StoreError> {
        let closed = || StoreError::Unavailable { what: "the store is closed".to_owned() };
        let permits = (step.bytes() / PERMIT_BYTES + 1).min(self.bytes_max);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let bytes = self.bytes.clone().acquire_many_owned(permits).await.map_err(|_| closed())?;
        let (answer, result) = oneshot::channel();
        self.requests.send(Request { step, answer, _bytes: bytes }).await.map_err(|_| closed())?;
        let lost = |_| StoreError::Unknown { what: "the writer of the store ended before it answered".to_owned() };
        result.await.map_err(lost)?
    }

    /// Whether the queue is nearly full.
    pub(crate) fn is_crowded(&self) -> bool {
        let steps = self.requests.capacity() * 16 < self.requests.max_capacity();
        steps || self.bytes.available_permits() * 16 < self.bytes_max
    }
}

impl Step {
    /// Bytes that the step holds, roughly.
    pub(crate) fn bytes(&self) -> usize {
        STEP_BYTES
            + match self {
                Self::Accept(accept) => {
                    accept.envelope.signed().len() + accept.leaf.len() + accept.deliveries.len() * STEP_BYTES
                }
                Self::Settle(settle) => {
                    let leaf = settle.leaf.as_ref().map_or(0, bytes::Bytes::len);
                    let foreign = settle.foreign.as_ref().map_or(0, |foreign| foreign.bytes.len());
                    leaf + foreign + settle.leases.len() * STEP_BYTES
                }
                Self::Change(change) => change.leaf.len(),
                Self::Record(record) => {
                    record.leaf.len() + record.foreign.bytes.len() + record.states.len() * STEP_BYTES
                }
                Self::Mark(mark) => {
                    mark.name.len()
                        + mark.value.as_ref().map_or(0, bytes::Bytes::len)
                        + mark.leaf.as_ref().map_or(0, bytes::Bytes::len)
                }
                Self::SettleReturns(settles) => settles.len() * STEP_BYTES,
                Self::Purge { limit, .. } => limit.saturating_mul(STEP_BYTES),
                Self::BringBack { items, .. } => items.len() * STEP_BYTES,
            }
    }

    pub(crate) fn is_accept(&self) -> bool {
        matches!(self, Self::Accept(..))
    }
}
