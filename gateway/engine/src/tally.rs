//! What an operator wants to know of a running process at a glance: how much went in and out, and how long the newest took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Acknowledgements remembered.
const NEWEST: usize = 1_024;

/// Counts since the start; cheap enough for every envelope.
#[derive(Debug)]
pub(crate) struct Tally {
    accepted: AtomicU64,
    delivered: AtomicU64,
    /// The newest acknowledgement times in microseconds, written in turn; 0 where there is none yet.
    newest: Box<[AtomicU64]>,
}

impl Default for Tally {
    fn default() -> Self {
        let newest = (0..NEWEST).map(|_| AtomicU64::new(0)).collect();
        Self { accepted: AtomicU64::new(0), delivered: AtomicU64::new(0), newest }
    }
}

impl Tally {
    /// One more was accepted.
    pub(crate) fn count_accepted(&self, took: Duration) {
        let index = self.accepted.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(index % NEWEST as u64).unwrap_or(0);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        if let Some(newest) = self.newest.get(place) {
            newest.store(micros, Ordering::Relaxed);
        }
    }

    /// So many more were delivered.
    pub(crate) fn count_delivered(&self, rows: usize) {
        self.delivered.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Of the newest, 99 of 100 took at most this; zero before the first.
    pub(crate) fn acknowledge_p99(&self) -> Duration {
        let mut newest: Vec<u64> =
            self.newest.iter().map(|one| one.load(Ordering::Relaxed)).filter(|one| *one > 0).collect();
        newest.sort_unstable();
        let place = (newest.len() * 99).div_ceil(100).saturating_sub(1);
        Duration::from_micros(newest.get(place).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_of_a_hundred_are_not_slower() {
        let tally = Tally::default();
        assert_eq!(tally.acknowledge_p99(), Duration::ZERO);
        (1..=100).for_each(|millis| tally.count_accepted(Duration::from_millis(millis)));
        assert_eq!((tally.accepted(), tally.acknowledge_p99()), (100, Duration::from_millis(99)));
        (0..2 * NEWEST).for_each(|_| tally.count_accepted(Duration::from_millis(5)));
        assert_eq!(tally.acknowledge_p99(), Duration::from_millis(5), "only the newest count");
    }
}
