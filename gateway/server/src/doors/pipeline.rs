//! A pipelined stream: many messages in flight, answers as they become ready, in any order.

use futures::future::{Either, ready};
use futures::stream::{BoxStream, Stream, StreamExt as _};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// What a pipelined method answers with.
pub(super) type Answers<A> = BoxStream<'static, Result<A, Status>>;

/// Bounds of a stream.
pub(super) struct Bounds {
    /// Messages being worked on, and answers that the caller has not read.
    pub in_flight_max: usize,
    /// The stream's place among all streams; given back when the stream ends.
    pub place: OwnedSemaphorePermit,
}

/// Works on each message of `inbound`, on every core, at most so many at a time; no more is read then, so that flow control slows
/// the caller down. Ends after `inbound`, or when the gateway drains: what was read is still answered.
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
    let Bounds { in_flight_max, place } = bounds;
    inbound
        .take_until(draining.cancelled_owned())
        .map(move |message| match message {
            Ok(message) => Either::Left(finished(AbortOnDropHandle::new(tokio::spawn(work(message))))),
            Err(status) => Either::Right(ready(Err(status))),
        })
        .buffer_unordered(in_flight_max)
        .map(move |answer| {
            // The stream owns its place.
            let _held = &place;
            answer
        })
        .boxed()
}

async fn finished<A>(task: AbortOnDropHandle<A>) -> Result<A, Status> {
    // A panic in one message ends the stream: the caller repeats what was not answered.
    task.await.map_err(|error| Status::internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream;
    use tokio::sync::Semaphore;

    use super::*;

    fn bounds(in_flight_max: usize) -> Bounds {
        Bounds { in_flight_max, place: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap() }
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
}
