//! The newest refusals at the doors: they leave no row, only this bounded ring that operators can read.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use gateway_model::{Reason, Timestamp, limits};

/// One refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusalRecord {
    /// When.
    pub at: Timestamp,
    /// The hop that sent it.
    pub hop: String,
    /// Why.
    pub reason: Reason,
    /// The field it was about.
    pub field: String,
    /// Claimed envelope id, when it could be read.
    pub envelope_id: Option<String>,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<VecDeque<RefusalRecord>>);

impl Refusals {
    /// Remembers one; the oldest is forgotten when there are too many.
    pub fn remember(&self, record: RefusalRecord) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= limits::REFUSALS_REMEMBERED {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// The newest first, at most `limit`.
    pub fn newest(&self, limit: usize) -> Vec<RefusalRecord> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_bounded_and_shows_the_newest_first() {
        let refusals = Refusals::default();
        for n in 0..limits::REFUSALS_REMEMBERED as i64 + 5 {
            let at = Timestamp::from_seconds(n);
            let (hop, field) = ("system:s".to_owned(), String::new());
            refusals.remember(RefusalRecord { at, hop, reason: Reason::SignatureInvalid, field, envelope_id: None });
        }
        let all = refusals.newest(usize::MAX);
        assert_eq!(all.len(), limits::REFUSALS_REMEMBERED);
        assert_eq!(all[0].at, Timestamp::from_seconds(limits::REFUSALS_REMEMBERED as i64 + 4));
        assert_eq!(refusals.newest(3).len(), 3);
    }
}
