//! A pipelined stream: many messages in flight, answers as they become ready, in any order.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{Either, ready};
use futures::stream::{BoxStream, Stream, StreamExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::Place;

/// What a pipelined method answers with.
pub(super) type Answers<A> = BoxStream<'static, Result<A, Status>>;

/// Bounds of a stream.
pub(super) struct Bounds {
    /// Messages being worked on, and answers that the caller has not read.
    pub in_flight_max: usize,
    /// The stream's place among all streams; given back when the stream ends.
    pub place: Place,
    /// Longest time with nothing in flight and no message.
    pub idle_max: Duration,
}

/// A stream without a message for so long ends: its caller opens another when it has something to say.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(300);

/// Works on each message of `inbound`, on every core, at most so many at a time; no more is read then, so that flow control slows
/// the caller down. Ends after `inbound`, when the gateway drains, or when nothing has happened for long: what was read is still answered.
///
/// # Cancellation
/// A caller that leaves aborts what is in flight: each message has happened or not, and a repeat tells.
pub(super) fn pipelined<M, A, F>(
    inbound: impl Stream<Item = Result<M, Status>> + Send + 'static,
    bounds: Bounds,
    draining: CancellationToken,
    work: impl Fn(M) -> F + Send + 'static,
) -> Answers<A>
where
    M: Send + 'static,
    A: Send + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let Bounds { in_flight_max, place, idle_max } = bounds;
    let activity = Arc::new(Activity::begin());
    let (read, answered) = (activity.clone(), activity.clone());
    inbound
        .take_until(draining.cancelled_owned())
        .take_until(Box::pin(async move { activity.idle(idle_max).await }))
        .map(move |message| {
            read.read();
            match message {
                Ok(message) => Either::Left(finished(AbortOnDropHandle::new(tokio::spawn(work(message))))),
                Err(status) => Either::Right(ready(Err(status))),
            }
        })
        .buffer_unordered(in_flight_max)
        .map(move |answer| {
            // The stream owns its place.
            let _held = &place;
            answered.answered();
            answer
        })
        .boxed()
}

/// What is under way on a stream, and when something last happened.
struct Activity(Mutex<(usize, Instant)>);

impl Activity {
    fn begin() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }

    fn read(&self) {
        self.change(|in_flight| in_flight.saturating_add(1));
    }

    fn answered(&self) {
        self.change(|in_flight| in_flight.saturating_sub(1));
    }

    fn change(&self, step: impl FnOnce(usize) -> usize) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (step(now.0), Instant::now());
    }

    /// Resolves when nothing has been in flight and no message has come for so long.
    async fn idle(&self, idle_max: Duration) {
        loop {
            let (in_flight, last) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let end = last + idle_max;
            if in_flight == 0 && end <= Instant::now() {
                return;
            }
            // With something in flight nothing ends, however long ago it was read.
            tokio::time::sleep_until(if in_flight == 0 { end } else { Instant::now() + idle_max }).await;
        }
    }
}

async fn finished<A>(task: AbortOnDropHandle<A>) -> Result<A, Status> {
    // A panic in one message ends the stream: the caller repeats what was not answered.
    task.await.map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream;
    use gateway_model::directory::Party;
    use gateway_model::id::GatewayId;
    use tokio::sync::Semaphore;

    use super::super::{Lasting, Places};
    use super::*;

    fn bounds(in_flight_max: usize) -> Bounds {
        let limits = crate::config::Limits {
            part_bytes: 1,
            connections: 1,
            handshakes: 1,
            streams_per_connection: 1,
            streams: 1,
            in_flight_per_stream: 1,
            in_flight: 1,
            uploads: 1,
            watches: 1,
            request_timeout: IDLE_MAX,
        };
        let party = Party::Gateway(GatewayId::parse("gw-a").unwrap());
        let place = Places::new(&limits).take(Lasting::Stream, &party).unwrap();
        Bounds { in_flight_max, place, idle_max: IDLE_MAX }
    }

    #[tokio::test]
    async fn answers_come_as_they_become_ready_and_no_more_than_the_bound_is_in_flight() {
        let (running, peak, gate) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let work = {
            let (running, peak, gate) = (running.clone(), peak.clone(), gate.clone());
            move |message: usize| {
                let (running, peak, gate) = (running.clone(), peak.clone(), gate.clone());
                async move {
                    peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if message == 0 {
                        gate.acquire().await.unwrap().forget();
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    message
                }
            }
        };
        let inbound = stream::iter((0..100).map(Ok::<_, Status>));
        let mut answers = pipelined(inbound, bounds(4), CancellationToken::new(), work);
        let first = answers.next().await.unwrap().unwrap();
        assert_ne!(first, 0, "the slow message does not hold up the others");
        gate.add_permits(1);
        let rest: Vec<_> = answers.map(Result::unwrap).collect().await;
        assert_eq!(rest.len(), 99);
        assert!(peak.load(Ordering::SeqCst) <= 4);
    }

    #[tokio::test]
    async fn when_the_gateway_drains_what_was_read_is_answered_and_the_stream_ends() {
        let draining = CancellationToken::new();
        let inbound = stream::iter([Ok(1)]).chain(stream::pending());
        let mut answers = pipelined(inbound, bounds(4), draining.clone(), |message: u32| async move { message });
        assert_eq!(answers.next().await.unwrap().unwrap(), 1);
        draining.cancel();
        assert!(answers.next().await.is_none());
    }
    #[tokio::test]
    async fn a_stream_that_says_nothing_for_long_ends_after_what_is_in_flight() {
        let gate = Arc::new(Semaphore::new(0));
        let idle_max = Duration::from_millis(20);
        let inbound = stream::iter([Ok(7)]).chain(stream::pending());
        let work = {
            let gate = gate.clone();
            move |message: u32| {
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    message
                }
            }
        };
        let mut answers = pipelined(inbound, Bounds { idle_max, ..bounds(4) }, CancellationToken::new(), work);
        let early = tokio::time::timeout(idle_max * 5, answers.next()).await;
        assert!(early.is_err(), "what is in flight keeps the stream");
        gate.add_permits(1);
        assert_eq!(answers.next().await.unwrap().unwrap(), 7);
        let end = tokio::time::timeout(Duration::from_secs(20), answers.next()).await.unwrap();
        assert!(end.is_none(), "then silence ends it");
    }
}
