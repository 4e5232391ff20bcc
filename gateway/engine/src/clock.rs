//! Time as the engine knows it: a wall clock for what people and certificates say, and a steady one for schedules.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use gateway_model::Timestamp;
use tokio::sync::watch;

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock: for events, certificates and expiry. It may jump.
    fn now(&self) -> Timestamp;

    /// The steady clock: the wall time at the start plus what has passed since. For schedules: leases, retries and gates do not follow a
    /// wall clock that jumps.
    fn steady(&self) -> Timestamp;

    /// Resolves when the steady clock has reached `steady`.
    async fn sleep_until(&self, steady: Timestamp);
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    wall_at_start: Timestamp,
}

impl SystemClock {
    /// Starts the steady clock at the wall time of this instant.
    pub fn start() -> Self {
        Self { started: Instant::now(), wall_at_start: wall() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall()
    }

    fn steady(&self) -> Timestamp {
        self.wall_at_start.plus(self.started.elapsed())
    }

    async fn sleep_until(&self, steady: Timestamp) {
        let wait = steady.since(self.wall_at_start);
        match self.started.checked_add(wait) {
            Some(instant) => tokio::time::sleep_until(instant.into()).await,
            None => std::future::pending().await,
        }
    }
}

fn wall() -> Timestamp {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A clock that stands still until it is moved: for simulation and tests.
#[derive(Debug)]
pub struct ManualClock {
    steady: watch::Sender<Timestamp>,
    wall_ahead: Mutex<i64>,
}

impl ManualClock {
    /// Both clocks show `at`.
    pub fn at(at: Timestamp) -> Self {
        Self { steady: watch::Sender::new(at), wall_ahead: Mutex::new(0) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.steady.send_modify(|steady| *steady = steady.plus(by));
    }

    /// Makes the wall clock jump by this many microseconds; the steady one does not follow.
    pub fn jump(&self, micros: i64) {
        let mut ahead = self.wall_ahead.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *ahead = ahead.saturating_add(micros);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let ahead = *self.wall_ahead.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Timestamp::from_micros(self.steady().micros().saturating_add(ahead))
    }

    fn steady(&self) -> Timestamp {
        *self.steady.borrow()
    }

    async fn sleep_until(&self, steady: Timestamp) {
        let mut seen = self.steady.subscribe();
        // The sender lives as long as `self`, so the wait ends only by time.
        if seen.wait_for(|now| *now >= steady).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_steady_clock_gets_there_and_not_when_the_wall_clock_jumps() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_000)));
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move { clock.sleep_until(Timestamp::from_seconds(1_060)).await })
        };
        clock.jump(3_600_000_000);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        assert_eq!(clock.now(), Timestamp::from_seconds(4_600));
        clock.advance(Duration::from_secs(60));
        sleeper.await.unwrap();
        assert_eq!(clock.steady(), Timestamp::from_seconds(1_060));
    }
}
