//! How often the other side has said no to a delivery. Attempts at which nobody answered do not count: a system that was down for hours
//! has not refused anything yet.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Deliveries that are counted at one time; beyond it counting starts anew, and they are asked a few times more.
const COUNTED_MAX: usize = 10_000;

/// The counts. They live as long as the process.
#[derive(Default, Debug)]
pub struct Noes(Mutex<HashMap<String, u32>>);

impl Noes {
    /// Counts one more no to a delivery, and gives how many there were with it.
    pub fn count(&self, delivery: &str) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTED_MAX && !counts.contains_key(delivery) {
            counts.clear();
        }
        let count = counts.entry(delivery.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// The delivery is settled.
    pub fn forget(&self, delivery: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delivery_has_its_own_count_and_the_counts_have_a_bound() {
        let noes = Noes::default();
        assert_eq!((noes.count("a"), noes.count("a"), noes.count("b")), (1, 2, 1));
        noes.forget("a");
        assert_eq!(noes.count("a"), 1);
        for number in 0..2 * COUNTED_MAX {
            noes.count(&number.to_string());
        }
        assert!(noes.0.lock().unwrap().len() <= COUNTED_MAX);
    }
}
