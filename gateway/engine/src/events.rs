//! Tells that something happened to an envelope, so that whoever watches it reads the store again.

use gateway_store::rows::EnvelopeSeq;
use tokio::sync::broadcast;

/// How many notices a slow watcher may be behind before it is told to read again from where it stands.
const NOTICES_KEPT: usize = 4_096;

/// Spreads notices. They carry no facts: the store has them.
#[derive(Clone, Debug)]
pub struct Events {
    notices: broadcast::Sender<EnvelopeSeq>,
}

/// What a watcher learns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Something happened to this envelope.
    Happened(EnvelopeSeq),
    /// Some notices were missed: anything may have happened.
    Missed,
    /// The engine is gone.
    Ended,
}

/// Receives notices.
#[derive(Debug)]
pub struct Notices(broadcast::Receiver<EnvelopeSeq>);

impl Events {
    pub(crate) fn new() -> Self {
        Self { notices: broadcast::Sender::new(NOTICES_KEPT) }
    }

    /// Notices from now on. Subscribe first, then read the store: then nothing falls between.
    pub fn subscribe(&self) -> Notices {
        Notices(self.notices.subscribe())
    }

    pub(crate) fn tell(&self, envelope: EnvelopeSeq) {
        // Nobody listening is the ordinary case.
        if self.notices.receiver_count() > 0 && self.notices.send(envelope).is_err() {
            tracing::trace!("the last watcher left");
        }
    }
}

impl Notices {
    /// The next notice.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn next(&mut self) -> Notice {
        match self.0.recv().await {
            Ok(envelope) => Notice::Happened(envelope),
            Err(broadcast::error::RecvError::Lagged(_)) => Notice::Missed,
            Err(broadcast::error::RecvError::Closed) => Notice::Ended,
        }
    }

    /// Waits until something may have happened to `envelope`. False when the engine is gone.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn about(&mut self, envelope: EnvelopeSeq) -> bool {
        loop {
            match self.next().await {
                Notice::Happened(seq) if seq == envelope => break,
                Notice::Happened(_) => {}
                Notice::Missed => break,
                Notice::Ended => return false,
            }
        }
        self.forget_waiting();
        true
    }

    /// What was told until now is seen by whoever reads the store after this: a reading for each of very many notices would tell nothing more.
    fn forget_waiting(&mut self) {
        use broadcast::error::TryRecvError::Lagged;
        while let Ok(_) | Err(Lagged(_)) = self.0.try_recv() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_hears_of_its_envelope_only() {
        let events = Events::new();
        let mut notices = events.subscribe();
        events.tell(EnvelopeSeq(1));
        events.tell(EnvelopeSeq(2));
        assert!(notices.about(EnvelopeSeq(2)).await);
        drop(events);
        assert!(!notices.about(EnvelopeSeq(2)).await);
    }

    #[tokio::test]
    async fn a_watcher_hears_once_of_what_happened_before_it_listened() {
        let events = Events::new();
        let mut notices = events.subscribe();
        for _ in 0..NOTICES_KEPT * 2 {
            events.tell(EnvelopeSeq(1));
        }
        assert!(notices.about(EnvelopeSeq(1)).await);
        let again = tokio::select! {
            biased;
            again = notices.about(EnvelopeSeq(1)) => again,
            () = tokio::task::yield_now() => false,
        };
        assert!(!again, "nothing happened since");
        events.tell(EnvelopeSeq(1));
        assert!(notices.about(EnvelopeSeq(1)).await);
    }

    #[tokio::test]
    async fn a_watcher_that_was_too_slow_is_told_to_read_again() {
        let events = Events::new();
        let mut notices = events.subscribe();
        for seq in 0..=NOTICES_KEPT as u64 {
            events.tell(EnvelopeSeq(seq));
        }
        assert_eq!(notices.next().await, Notice::Missed);
    }
}
