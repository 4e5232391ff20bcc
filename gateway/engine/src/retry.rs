//! How long to wait before the next attempt. Pure: randomness is an argument.

use std::time::Duration;

/// Bounds of the waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The first wait, at most.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after `failures` failed attempts (from 1): doubles each time up to the longest, and lies anywhere in the upper half of that
    /// (`unit` from 0 to 1), so that what failed together does not come back together.
    pub fn wait(&self, failures: u32, unit: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1_u32 << doublings).min(self.longest);
        whole.mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0)
    }

    /// The wait when the other side said how long: never earlier than it asked, nor than its own wait, so that a side which always says "one
    /// second" is not hammered; a wish beyond the longest wait is cut to it, so that nobody can put a delivery off for ever.
    pub fn wait_asked(&self, failures: u32, asked: Option<Duration>, unit: f64) -> Duration {
        let own = self.wait(failures, unit);
        match asked {
            Some(asked) => own.max(asked.min(self.longest).mul_f64(1.0 + unit.clamp(0.0, 1.0) / 10.0)),
            None => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(3_600) };

    #[test]
    fn waits_double_from_five_seconds_to_an_hour() {
        let longest: Vec<u64> = (1..=12).map(|failures| BACKOFF.wait(failures, 1.0).as_secs()).collect();
        assert_eq!(longest, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
        assert_eq!(BACKOFF.wait(u32::MAX, 1.0), Duration::from_secs(3_600));
    }

    #[test]
    fn jitter_spreads_a_wait_over_its_upper_half() {
        assert_eq!(BACKOFF.wait(3, 0.0), Duration::from_secs(10));
        assert_eq!(BACKOFF.wait(3, 0.5), Duration::from_secs(15));
    }

    #[test]
    fn a_wish_of_the_other_side_is_honoured_but_bounded() {
        assert_eq!(BACKOFF.wait_asked(1, Some(Duration::from_secs(30)), 0.0), Duration::from_secs(30));
        assert_eq!(BACKOFF.wait_asked(1, Some(Duration::from_secs(30)), 1.0), Duration::from_secs(33));
        assert!(BACKOFF.wait_asked(1, Some(Duration::from_secs(u64::MAX / 4)), 1.0) <= Duration::from_secs(3_960));
    }

    #[test]
    fn a_side_that_always_says_one_second_is_asked_less_and_less_often() {
        assert_eq!(BACKOFF.wait_asked(9, Some(Duration::from_secs(1)), 0.0), Duration::from_secs(640));
    }
}
