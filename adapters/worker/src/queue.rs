//! One queue: the mailbox between the engine and the workers of one system, and what is known about them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adapters_sdk::mailbox::{Mailbox, MailboxSettings, TakeError, Taken};
use adapters_sdk::{Absence, Adapter, Delivery, Health, Outcome, Room};
use async_trait::async_trait;
use gateway_model::Reason;
use gateway_model::id::AgencyId;
use tokio::time::Instant;

use crate::config::Config;
use crate::session::{Sessions, WorkerInfo, WorkerView};

/// Heartbeats in the time of one lease: one or two may get lost.
const HEARTBEATS_PER_LEASE: u32 = 3;
/// A worker that has its hands full is heard of by its heartbeats alone: long before it would count as gone.
const HEARTBEAT_MAX: Duration = Duration::from_secs(30);

/// A queue.
pub struct Queue {
    config: Config,
    mailbox: Mailbox,
    opened: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: Sessions,
    down: Option<Down>,
    last_seen: Option<Instant>,
}

/// The system behind the workers does not answer.
#[derive(Clone, Debug)]
struct Down {
    worker: String,
    detail: String,
    since: Instant,
}

/// Why a worker gets no work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LeaseError {
    /// It is not registered here.
    #[error("the worker is not known")]
    Unknown,
    /// Its own configuration has faults.
    #[error("the worker's configuration has faults")]
    Misconfigured,
    /// Too many wait at the same time.
    #[error("too many calls wait at the same time")]
    Crowded,
    /// Nothing is handed out any more.
    #[error("the queue is closed")]
    Closed,
}

impl Queue {
    /// An empty queue without workers.
    pub(crate) fn new(config: Config) -> Self {
        let mailbox = Mailbox::new(MailboxSettings { lease: config.lease, ..MailboxSettings::default() });
        Self { config, mailbox, opened: Instant::now(), state: Mutex::default() }
    }

    /// How it is configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its shelf.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// How often a worker has to be heard of while it holds work.
    pub fn heartbeat_every(&self) -> Duration {
        (self.config.lease / HEARTBEATS_PER_LEASE).min(HEARTBEAT_MAX)
    }

    /// Takes a worker in and gives its id; `None` when there are as many as may be.
    pub fn register(&self, info: WorkerInfo) -> Option<String> {
        let now = Instant::now();
        let mut state = self.state();
        let id = state.sessions.enter(info, now)?;
        state.last_seen = Some(now);
        self.forget_absent_reporter(&mut state, now);
        Some(id)
    }

    /// Whether the worker is registered here; it was just heard of.
    pub fn knows(&self, worker: &str) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let known = state.sessions.hear(worker, now).is_some();
        if known {
            state.last_seen = Some(now);
        }
        known
    }

    /// Takes deliveries for a worker, at most `max`; waits for the first one.
    ///
    /// # Errors
    /// [`LeaseError`].
    ///
    /// # Cancellation
    /// Nothing is taken.
    pub async fn lease(&self, worker: &str, max: usize, wait: Duration) -> Result<Vec<Taken>, LeaseError> {
        let now = Instant::now();
        {
            let mut state = self.state();
            let session = state.sessions.hear(worker, now).ok_or(LeaseError::Unknown)?;
            if !session.info.problems.is_empty() {
                return Err(LeaseError::Misconfigured);
            }
            if session.draining {
                return Ok(Vec::new());
            }
            state.sessions.wait(worker, true, now);
            self.forget_absent_reporter(&mut state, now);
        }
        let _waiting = Waiting { queue: self, worker };
        let taken = self.mailbox.take(worker, None, max.min(self.config.deliveries_max), wait).await;
        taken.map_err(|error| match error {
            TakeError::Crowded => LeaseError::Crowded,
            TakeError::Closed => LeaseError::Closed,
        })
    }

    /// A worker says how the system behind it is: while it is down nothing is handed out.
    pub fn report(&self, worker: &str, is_up: bool, detail: &str) {
        let now = Instant::now();
        let mut state = self.state();
        let was_down = state.down.is_some();
        state.down = match (is_up, state.down.take()) {
            (true, _) => None,
            (false, down) => {
                let since = down.map_or(now, |down| down.since);
                Some(Down { worker: worker.to_owned(), detail: detail.to_owned(), since })
            }
        };
        if was_down == is_up {
            // Under the lock: of two reports at the same moment the later one is the one that the mailbox keeps to.
            self.mailbox.shut(!is_up);
            let queue = &self.config.name;
            if is_up {
                tracing::info!(queue, "the system behind the workers answers again");
            } else {
                tracing::error!(queue, "the system behind the workers does not answer; what goes there waits");
            }
        }
    }

    /// Whether a worker has said that the system behind it does not answer.
    pub fn is_down(&self) -> bool {
        self.state().down.is_some()
    }

    /// A worker takes no more, or does again.
    pub fn drain(&self, worker: &str, draining: bool) {
        if let Some(session) = self.state().sessions.hear(worker, Instant::now()) {
            session.draining = draining;
        }
    }

    /// A worker leaves: its id is forgotten and what it holds is given to others.
    pub fn leave(&self, worker: &str) {
        let now = Instant::now();
        let mut state = self.state();
        if !state.sessions.leave(worker) {
            return;
        }
        self.forget_absent_reporter(&mut state, now);
        drop(state);
        let given_back = self.mailbox.give_back(worker);
        tracing::info!(queue = self.config.name, given_back, "a worker left");
    }

    /// Its workers.
    pub fn workers(&self) -> Vec<WorkerView> {
        self.state().sessions.view(Instant::now(), |worker| self.mailbox.in_hands_of(worker))
    }

    /// Why nothing is taken at present.
    pub fn absence(&self) -> Option<Absence> {
        let (now, state) = (Instant::now(), self.state());
        if let Some(down) = &state.down {
            let lasting = now.duration_since(down.since);
            return Some(Absence { reason: Reason::AdapterUnavailable, detail: down.detail.clone(), lasting });
        }
        let mut present = state.sessions.present(now).peekable();
        if present.peek().is_none() {
            let since = state.last_seen.unwrap_or(self.opened);
            let detail = match state.last_seen {
                Some(_) => "no worker has called for a while".to_owned(),
                None => "no worker has called since the gateway started".to_owned(),
            };
            return Some(Absence { reason: Reason::WorkerMissing, detail, lasting: now.duration_since(since) });
        }
        let mut problems = Vec::new();
        for (_, session) in present {
            if session.info.problems.is_empty() {
                return None;
            }
            problems.extend(session.info.problems.iter().map(String::as_str));
        }
        let (detail, lasting) = (problems.join("; "), now.duration_since(self.opened));
        Some(Absence { reason: Reason::WorkerMisconfigured, detail, lasting })
    }

    /// A worker that said "down" and went away says nothing any more: others may try.
    fn forget_absent_reporter(&self, state: &mut State, now: Instant) {
        let Some(down) = &state.down else { return };
        if !state.sessions.present(now).any(|(id, _)| id == down.worker) {
            state.down = None;
            self.mailbox.shut(false);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call of a worker waits for as long as this lives.
struct Waiting<'a> {
    queue: &'a Queue,
    worker: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.queue.state();
        state.sessions.wait(self.worker, false, now);
        state.last_seen = Some(now);
    }
}

/// The engine's side of a queue.
pub(crate) struct QueueAdapter(pub(crate) Arc<Queue>);

#[async_trait]
impl Adapter for QueueAdapter {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        self.0.mailbox.deliver(delivery).await
    }

    async fn check(&self) -> Health {
        match self.0.absence() {
            None => Health::Up,
            Some(absence) => Health::Down { cause: format!("{}: {}", absence.reason, absence.detail) },
        }
    }

    fn room(&self, agency: &AgencyId) -> Room {
        self.0.mailbox.room(agency)
    }

    fn room_together(&self) -> Room {
        self.0.mailbox.room_together()
    }

    async fn room_changed(&self) {
        self.0.mailbox.room_changed().await;
    }

    fn absence(&self, _agency: &AgencyId) -> Option<Absence> {
        self.0.absence()
    }

    fn not_picked_up_after(&self) -> Option<Duration> {
        Some(self.0.config.not_picked_up_after)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use std::sync::Barrier;

    use gateway_model::id::SystemId;

    use super::*;
    use crate::session::SILENT_AFTER;

    fn queue(lease: Duration) -> Queue {
        Queue::new(Config {
            name: "so-hoa".to_owned(),
            system: SystemId::parse("sys-so-hoa").unwrap(),
            agencies: vec![agency()],
            lease,
            deliveries_max: 8,
            not_picked_up_after: Duration::from_secs(3_600),
        })
    }

    fn agency() -> AgencyId {
        AgencyId::parse("h99.21").unwrap()
    }

    #[test]
    fn a_worker_that_is_busy_is_heard_of_long_before_it_counts_as_gone() {
        for seconds in [10, 60, 600] {
            let queue = queue(Duration::from_secs(seconds));
            let every = queue.heartbeat_every();
            assert!(every * 2 < SILENT_AFTER && every * 3 <= Duration::from_secs(seconds), "{seconds}: {every:?}");
        }
    }

    /// A log that lets others go first.
    struct SlowLog;

    impl tracing::Subscriber for SlowLog {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            if *event.metadata().level() == tracing::Level::ERROR {
                // The slow log itself: whoever says "up" meanwhile is done before.
                std::thread::sleep(Duration::from_micros(200));
            }
        }

        fn enter(&self, _: &tracing::span::Id) {}

        fn exit(&self, _: &tracing::span::Id) {}
    }

    #[test]
    fn of_reports_at_the_same_moment_the_queue_and_its_mailbox_keep_to_the_same_one() {
        let queue = queue(Duration::from_secs(60));
        let worker = queue.register(WorkerInfo::default()).unwrap();
        // Somebody will come: there is room for one unless nothing is handed out.
        queue.mailbox().attend(&agency(), 1, Duration::from_secs(3_600));
        let together = Barrier::new(2);
        let report = |is_up: bool| {
            for _ in 0..500 {
                together.wait();
                queue.report(&worker, is_up, "");
                together.wait();
                let is_shut = queue.mailbox().room(&agency()) == Room::Of(0);
                assert_eq!(is_shut, queue.is_down());
                together.wait();
            }
        };
        let report = |is_up| tracing::subscriber::with_default(SlowLog, || report(is_up));
        std::thread::scope(|scope| {
            scope.spawn(|| report(true));
            scope.spawn(|| report(false));
        });
    }

    #[test]
    fn a_queue_opens_when_the_worker_that_said_down_leaves() {
        let queue = queue(Duration::from_secs(60));
        let (one, other) = (queue.register(WorkerInfo::default()).unwrap(), queue.register(WorkerInfo::default()));
        queue.mailbox().attend(&agency(), 1, Duration::from_secs(3_600));
        queue.report(&one, false, "bảo trì");
        assert_eq!((queue.is_down(), queue.mailbox().room(&agency())), (true, Room::Of(0)));
        queue.leave(&one);
        assert_eq!((queue.is_down(), queue.mailbox().room(&agency())), (false, Room::Of(1)));
        assert_eq!(queue.workers().len(), usize::from(other.is_some()));
    }
}
