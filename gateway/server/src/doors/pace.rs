//! The pace of an upload: who sends nothing, or next to nothing, gives its place back.

use std::time::Duration;

/// How an upload gets on. Only the time spent waiting for its caller counts: quotas and the disk slow nobody out of the door.
#[derive(Debug)]
pub(super) struct Pace {
    stall_max: Duration,
    waited: Duration,
    stalled: Duration,
    bytes: u64,
}

/// The caller is too slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TooSlow {
    /// Nothing came for long.
    Stalled,
    /// What came is not worth a place.
    Crawling,
}

/// Longest time without a byte.
const STALL_MAX: Duration = Duration::from_secs(60);
/// From here on the average counts.
const RATE_FROM: Duration = Duration::from_secs(60);
/// Bytes a second that an upload has on average.
const RATE_MIN: u64 = 1_024;

impl Pace {
    /// Begins; `request_timeout` is the longest wait for anything.
    pub(super) fn new(request_timeout: Duration) -> Self {
        let stall_max = request_timeout.min(STALL_MAX);
        Self { stall_max, waited: Duration::ZERO, stalled: Duration::ZERO, bytes: 0 }
    }

    /// How long the next frame may take.
    pub(super) fn patience(&self) -> Duration {
        self.stall_max.saturating_sub(self.stalled)
    }

    /// `bytes` came after a wait.
    pub(super) fn came(&mut self, bytes: usize, wait: Duration) -> Result<(), TooSlow> {
        self.waited = self.waited.saturating_add(wait);
        self.bytes = self.bytes.saturating_add(bytes as u64);
        // A frame without a byte is no progress.
        self.stalled = if bytes == 0 { self.stalled.saturating_add(wait) } else { Duration::ZERO };
        if self.stalled >= self.stall_max {
            return Err(TooSlow::Stalled);
        }
        let wanted = self.waited.as_secs().saturating_mul(RATE_MIN);
        if self.waited > RATE_FROM && self.bytes < wanted { Err(TooSlow::Crawling) } else { Ok(()) }
    }
}

impl TooSlow {
    /// What the caller is told.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Stalled => "no chunk came",
            Self::Crawling => "slower than 1 KiB a second",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn frames_without_bytes_use_up_the_patience_and_a_byte_gives_it_back() {
        let mut pace = Pace::new(SECOND * 600);
        assert_eq!(pace.patience(), STALL_MAX);
        pace.came(0, SECOND * 50).unwrap();
        assert_eq!(pace.patience(), SECOND * 10);
        pace.came(1, SECOND).unwrap();
        assert_eq!(pace.patience(), STALL_MAX);
        pace.came(0, Duration::from_secs(8)).unwrap();
        assert_eq!(pace.came(0, SECOND * 52), Err(TooSlow::Stalled));
    }

    #[test]
    fn a_shorter_request_time_is_kept() {
        assert_eq!(Pace::new(SECOND).patience(), SECOND);
    }

    #[test]
    fn after_a_minute_a_kibibyte_a_second_is_enough_and_less_is_not() {
        let (mut enough, mut less) = (Pace::new(SECOND * 60), Pace::new(SECOND * 60));
        for second in 1..=600 {
            enough.came(1_024, SECOND).unwrap();
            let result = less.came(1_000, SECOND);
            if second <= 60 {
                result.unwrap();
            } else {
                assert_eq!(result, Err(TooSlow::Crawling), "{second}");
            }
        }
    }
}
