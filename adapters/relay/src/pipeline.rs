//! The long-lived stream: many envelopes in flight, answers in any order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::v1;
use proto::v1::relay_response::Result as Answered;
use proto::v1::relay_service_client::RelayServiceClient;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::fault::Fault;

/// Requests between the callers and HTTP/2, which has buffers of its own.
const QUEUE_MAX: usize = 16;

/// One `Relay` stream.
pub(crate) struct Pipeline {
    requests: mpsc::Sender<v1::RelayRequest>,
    pending: Arc<Pending>,
    permits: Semaphore,
    sequence: AtomicU64,
    reader: JoinHandle<()>,
}

impl Pipeline {
    /// Opens the stream with at most `in_flight_max` envelopes on it. Every answer counts up `answers`.
    pub(crate) fn open(client: RelayServiceClient<Channel>, in_flight_max: usize, answers: Arc<AtomicU64>) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let pending = Arc::new(Pending { state: Mutex::new(State::Open(HashMap::new())), answers });
        let reader = tokio::spawn(read(client, ReceiverStream::new(queue), pending.clone()));
        let permits = Semaphore::new(in_flight_max.clamp(1, Semaphore::MAX_PERMITS));
        Self { requests, pending, permits, sequence: AtomicU64::new(1), reader }
    }

    /// Sends one envelope and waits for its answer.
    ///
    /// # Cancellation
    /// The answer is then dropped when it comes; the same envelope may be sent again.
    pub(crate) async fn call(&self, mut request: v1::RelayRequest) -> Result<Answered, Fault> {
        let _permit = self.permits.acquire().await.map_err(|_| self.pending.fault())?;
        request.sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let waiting = self.pending.register(request.sequence)?;
        self.requests.send(request).await.map_err(|_| self.pending.fault())?;
        waiting.answer().await
    }

    /// Whether the stream still stands.
    pub(crate) fn is_open(&self) -> bool {
        !self.requests.is_closed() && matches!(*self.pending.lock(), State::Open(_))
    }

    /// Resolves when the stream takes no more.
    pub(crate) async fn closed(&self) {
        self.requests.closed().await;
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads answers until the stream ends; then everyone who waits is told.
async fn read(
    mut client: RelayServiceClient<Channel>,
    requests: ReceiverStream<v1::RelayRequest>,
    pending: Arc<Pending>,
) {
    let fault = match client.relay(requests).await {
        Err(status) => Fault::from_status(&status),
        Ok(response) => {
            let mut answers = response.into_inner();
            loop {
                match answers.message().await {
                    Ok(Some(answer)) => pending.resolve(answer),
                    Ok(None) => break Fault::Unreachable("the peer ended the stream".to_owned()),
                    Err(status) => break Fault::from_status(&status),
                }
            }
        }
    };
    *pending.lock() = State::Closed(fault);
}

/// Who waits for which answer.
struct Pending {
    state: Mutex<State>,
    answers: Arc<AtomicU64>,
}

enum State {
    Open(HashMap<u64, oneshot::Sender<Option<Answered>>>),
    Closed(Fault),
}

impl Pending {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(self: &Arc<Self>, sequence: u64) -> Result<Waiting, Fault> {
        match &mut *self.lock() {
            State::Closed(fault) => Err(fault.clone()),
            State::Open(waiting) => {
                let (sender, receiver) = oneshot::channel();
                waiting.insert(sequence, sender);
                Ok(Waiting { sequence, receiver, pending: self.clone() })
            }
        }
    }

    /// An answer that nobody waits for any more is dropped: its caller gave up, and will ask again.
    fn resolve(&self, answer: v1::RelayResponse) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let waiting = match &mut *self.lock() {
            State::Open(waiting) => waiting.remove(&answer.sequence),
            State::Closed(_) => None,
        };
        if let Some(waiting) = waiting
            && waiting.send(answer.result).is_err()
        {
            tracing::debug!(sequence = answer.sequence, "an answer came after its caller had gone");
        }
    }

    fn fault(&self) -> Fault {
        match &*self.lock() {
            State::Closed(fault) => fault.clone(),
            State::Open(_) => Fault::Unreachable("the stream broke".to_owned()),
        }
    }
}

/// One who waits; leaves the map when dropped.
struct Waiting {
    sequence: u64,
    receiver: oneshot::Receiver<Option<Answered>>,
    pending: Arc<Pending>,
}

impl Waiting {
    async fn answer(mut self) -> Result<Answered, Fault> {
        match (&mut self.receiver).await {
            Ok(Some(answered)) => Ok(answered),
            Ok(None) => Err(Fault::Unreachable("the peer's answer is empty".to_owned())),
            Err(_) => Err(self.pending.fault()),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let State::Open(waiting) = &mut *self.pending.lock() {
            waiting.remove(&self.sequence);
        }
    }
}
