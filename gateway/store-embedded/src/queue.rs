//! The way to the writer: a bounded queue of steps, each with the place where its answer goes.
//!
//! A step in the queue does not wake the writer at once: its caller first lets its thread run whatever else is ready. What is about to come
//! then comes into the same commit, which costs nearly the same for many steps as for one. When nothing else is ready nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::mpsc as wakes;

use gateway_evidence::Receipt;
use gateway_model::Timestamp;
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
    /// With the checksum of its body.
    Accept(Accept, i64),
    Settle(Settle),
    Change(Change),
    Record(Record),
    Mark(Mark),
    SettleReturns(Vec<SettleReturn>),
    Purge {
        before: Timestamp,
        limit: usize,
    },
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
    bell: Bell,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

/// The writer's end.
pub(crate) struct Inbox {
    requests: mpsc::Receiver<Request>,
    rung: wakes::Receiver<()>,
    /// How often the writer has begun to look into the queue.
    looks: Arc<AtomicU64>,
    /// Whether the last look left something behind, whose ringing may have been heard already.
    is_cut: bool,
}

/// Wakes the writer.
struct Bell {
    ring: wakes::SyncSender<()>,
    looks: Arc<AtomicU64>,
}

/// Owed to the writer by a step that is in the queue: rings when it is dropped, unless the writer has looked into the queue since.
struct Ring<'a> {
    bell: &'a Bell,
    looks: u64,
}

impl Queue {
    pub(crate) fn new(steps_max: usize, bytes_max: usize) -> (Self, Inbox) {
        let (sender, requests) = mpsc::channel(steps_max.max(1));
        let permits = (bytes_max / PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        let ((ring, rung), looks) = (wakes::sync_channel(1), Arc::<AtomicU64>::default());
        let bell = Bell { ring, looks: looks.clone() };
        let queue = Self { requests: sender, bell, bytes: Arc::new(Semaphore::new(permits)), bytes_max: permits };
        (queue, Inbox { requests, rung, looks, is_cut: false })
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
        let ring = self.bell.owed();
        tokio::task::yield_now().await;
        drop(ring);
        let lost = |_| StoreError::Unknown { what: "the writer of the store ended before it answered".to_owned() };
        result.await.map_err(lost)?
    }

    /// Whether the queue is nearly full.
    pub(crate) fn is_crowded(&self) -> bool {
        let steps = self.requests.capacity() * 16 < self.requests.max_capacity();
        steps || self.bytes.available_permits() * 16 < self.bytes_max
    }
}

impl Bell {
    /// Called when the step is in the queue. The two fences make sure that the step is found by every look that is not counted here.
    fn owed(&self) -> Ring<'_> {
        fence(Ordering::SeqCst);
        Ring { bell: self, looks: self.looks.load(Ordering::SeqCst) }
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        // A look that began after the step was in the queue has found it.
        if self.bell.looks.load(Ordering::SeqCst) == self.looks {
            // Full: it has been rung already. Closed: the writer has ended.
            self.bell.ring.try_send(()).ok();
        }
    }
}

impl Inbox {
    /// Waits until there is something to do, and takes it: no more steps and hardly more bytes than may be in one transaction. False when
    /// nobody can send any more.
    pub(crate) fn take(&mut self, requests: &mut Vec<Request>, steps_max: usize, bytes_max: usize) -> bool {
        while requests.is_empty() {
            if !self.is_cut && self.rung.recv().is_err() {
                return false;
            }
            self.looks.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let mut bytes = 0;
            while requests.len() < steps_max && bytes < bytes_max {
                let Ok(next) = self.requests.try_recv() else { break };
                bytes += next.step.bytes();
                requests.push(next);
            }
            self.is_cut = requests.len() >= steps_max || bytes >= bytes_max;
        }
        true
    }
}

impl Step {
    /// Bytes that the step holds, roughly.
    pub(crate) fn bytes(&self) -> usize {
        STEP_BYTES
            + match self {
                Self::Accept(accept, _) => {
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
            }
    }

    pub(crate) fn is_accept(&self) -> bool {
        matches!(self, Self::Accept(..))
    }
}

#[cfg(test)]
mod tests {
    // Whatever does not go as it has to fails the test there and then.
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn step() -> Step {
        Step::Purge { before: Timestamp::from_seconds(0), limit: 1 }
    }

    fn take(inbox: &mut Inbox, steps_max: usize) -> Option<usize> {
        let mut requests = Vec::new();
        inbox.take(&mut requests, steps_max, usize::MAX).then_some(requests.len())
    }

    #[tokio::test]
    async fn steps_that_are_ready_together_are_taken_together() {
        let (queue, mut inbox) = Queue::new(64, 1 << 20);
        let queue = Arc::new(queue);
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..9 {
            let queue = queue.clone();
            callers.spawn(async move { queue.send(step()).await.is_err() });
        }
        drop(queue);
        let writer = std::thread::spawn(move || {
            let taken: Vec<usize> = std::iter::from_fn(|| take(&mut inbox, 5)).collect();
            taken
        });
        assert_eq!(callers.join_all().await, [true; 9], "nobody answered");
        assert_eq!(writer.join().unwrap(), [5, 4], "as many as fit, then the rest without another ringing");
    }

    #[tokio::test]
    async fn a_step_whose_caller_has_gone_is_taken_and_then_nobody_is_left() {
        let (queue, mut inbox) = Queue::new(64, 1 << 20);
        let mut sending = Box::pin(queue.send(step()));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sending.as_mut().poll(&mut context).is_pending(), "it lets others go first");
        drop(sending);
        assert_eq!(take(&mut inbox, 5), Some(1));
        drop(queue);
        assert_eq!(take(&mut inbox, 5), None);
    }
}
