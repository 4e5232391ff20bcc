//! Who works on a queue: each worker process has a session, known by an unguessable id, until it leaves or falls silent.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Workers of one queue at one time.
pub const SESSIONS_MAX: usize = 64;
/// A worker that has not been heard of for so long is not counted as there.
pub const SILENT_AFTER: Duration = Duration::from_secs(90);
/// A worker that has not been heard of for so long is forgotten.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);

/// What a worker says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WorkerInfo {
    /// Name of the adapter.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which process.
    pub instance: String,
    /// Faults of its configuration: it takes no work.
    pub problems: Vec<String>,
}

/// A worker, as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerView {
    /// What it says about itself.
    pub info: WorkerInfo,
    /// Since when it is here.
    pub registered: Duration,
    /// How long ago it was heard of.
    pub heard: Duration,
    /// How long ago it last asked for work; zero while it waits for some, `None` when it never has.
    pub polled: Option<Duration>,
    /// Whether it takes no more.
    pub draining: bool,
    /// Deliveries in its hands.
    pub held: usize,
}

/// The sessions of one queue.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    of: HashMap<String, Session>,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) info: WorkerInfo,
    pub(crate) draining: bool,
    registered: Instant,
    heard: Instant,
    polled: Option<Instant>,
    /// Calls that wait right now: a worker that waits is there.
    waiting: usize,
}

impl Sessions {
    /// Takes a worker in; `None` when there are as many as may be.
    pub(crate) fn enter(&mut self, info: WorkerInfo, now: Instant) -> Option<String> {
        self.of.retain(|_, session| session.silence(now) < FORGOTTEN_AFTER);
        if self.of.len() >= SESSIONS_MAX {
            // One that is silent makes room for one that is here.
            let (id, _) = self.of.iter().max_by_key(|(_, session)| session.silence(now))?;
            let id = id.clone();
            self.of.get(&id).filter(|session| session.silence(now) >= SILENT_AFTER)?;
            self.of.remove(&id);
        }
        let id = Uuid::new_v4().simple().to_string();
        let session = Session { info, draining: false, registered: now, heard: now, polled: None, waiting: 0 };
        self.of.insert(id.clone(), session);
        Some(id)
    }

    /// The session of a worker that was just heard of.
    pub(crate) fn hear(&mut self, id: &str, now: Instant) -> Option<&mut Session> {
        let session = self.of.get_mut(id).filter(|session| session.silence(now) < FORGOTTEN_AFTER)?;
        session.heard = now;
        Some(session)
    }

    /// Forgets a worker.
    pub(crate) fn leave(&mut self, id: &str) -> bool {
        self.of.remove(id).is_some()
    }

    /// A call of the worker begins to wait, or ends.
    pub(crate) fn wait(&mut self, id: &str, begins: bool, now: Instant) {
        if let Some(session) = self.of.get_mut(id) {
            session.heard = now;
            session.polled = Some(now);
            session.waiting = if begins { session.waiting + 1 } else { session.waiting.saturating_sub(1) };
        }
    }

    /// The workers that are there.
    pub(crate) fn present(&self, now: Instant) -> impl Iterator<Item = (&str, &Session)> {
        let present = move |(_, session): &(&String, &Session)| session.silence(now) < SILENT_AFTER;
        self.of.iter().filter(present).map(|(id, session)| (id.as_str(), session))
    }

    /// All of them, for an operator; `held` tells how much each has in its hands.
    pub(crate) fn view(&self, now: Instant, held: impl Fn(&str) -> usize) -> Vec<WorkerView> {
        let mut workers: Vec<WorkerView> = self.of.iter().map(|(id, session)| session.view(now, held(id))).collect();
        workers.sort_by(|a, b| a.info.instance.cmp(&b.info.instance));
        workers
    }
}

impl Session {
    fn silence(&self, now: Instant) -> Duration {
        if self.waiting > 0 { Duration::ZERO } else { now.duration_since(self.heard) }
    }

    fn view(&self, now: Instant, held: usize) -> WorkerView {
        let since_poll = |polled| if self.waiting > 0 { Duration::ZERO } else { now.duration_since(polled) };
        WorkerView {
            info: self.info.clone(),
            registered: now.duration_since(self.registered),
            heard: self.silence(now),
            polled: self.polled.map(since_poll),
            draining: self.draining,
            held,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn a_worker_is_there_while_it_calls_or_waits_and_is_forgotten_in_the_end() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let id = sessions.enter(WorkerInfo::default(), start).unwrap();
        assert_eq!(sessions.present(start + SILENT_AFTER).count(), 0);
        sessions.wait(&id, true, start);
        assert_eq!(sessions.present(start + SILENT_AFTER).count(), 1, "it waits");
        sessions.wait(&id, false, start + SILENT_AFTER);
        assert!(sessions.hear(&id, start + SILENT_AFTER + Duration::from_secs(60)).is_some());
        let late = start + SILENT_AFTER + Duration::from_secs(60) + FORGOTTEN_AFTER;
        assert!(sessions.hear(&id, late).is_none(), "it registers again");
    }

    #[test]
    fn an_operator_sees_when_a_worker_last_asked_for_work_and_not_only_that_it_was_heard_of() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let id = sessions.enter(WorkerInfo::default(), start).unwrap();
        let check = |sessions: &Sessions, at: u64, expected: (u64, Option<u64>)| {
            let view = sessions.view(start + Duration::from_secs(at), |of| usize::from(of == id)).remove(0);
            assert_eq!((view.heard.as_secs(), view.polled.map(|polled| polled.as_secs())), expected, "at {at} s");
            assert_eq!(view.held, 1);
        };
        check(&sessions, 5, (5, None));
        sessions.wait(&id, true, start + Duration::from_secs(10));
        check(&sessions, 30, (0, Some(0)));
        sessions.wait(&id, false, start + Duration::from_secs(40));
        assert!(sessions.hear(&id, start + Duration::from_secs(60)).is_some());
        check(&sessions, 70, (10, Some(30)));
    }

    #[test]
    fn a_silent_worker_makes_room_for_a_new_one_and_a_present_one_does_not() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        for _ in 0..SESSIONS_MAX {
            sessions.enter(WorkerInfo::default(), start).unwrap();
        }
        assert_eq!(sessions.enter(WorkerInfo::default(), start), None);
        assert!(sessions.enter(WorkerInfo::default(), start + SILENT_AFTER).is_some());
        assert_eq!(sessions.view(start, |_| 0).len(), SESSIONS_MAX);
    }
}
