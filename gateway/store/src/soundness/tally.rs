//! Counts what an index has and what its records ask for, so that both can be compared without being kept.

use gateway_model::hash::Hasher;

/// A sum over a multiset of byte strings: two multisets have the same one only if they are the same, but for a chance of one in 2^64.
///
/// It stands against decay, not against a forger: whoever can write to a store can write its checksums, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    count: u64,
    sum: u64,
}

impl Tally {
    /// Adds one member.
    pub fn add(&mut self, pieces: &[&[u8]]) {
        self.add_times(pieces, 1);
    }

    /// Adds a member `times` over.
    pub fn add_times(&mut self, pieces: &[&[u8]], times: u64) {
        let mut hasher = Hasher::new();
        for piece in pieces {
            hasher.update(&(piece.len() as u64).to_be_bytes());
            hasher.update(piece);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finish().0[..8]);
        self.count = self.count.wrapping_add(times);
        self.sum = self.sum.wrapping_add(u64::from_be_bytes(first).wrapping_mul(times));
    }

    /// Members, each as often as it was added.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_does_not_matter_and_how_often_does() {
        let of = |members: &[&str]| {
            let mut tally = Tally::default();
            members.iter().for_each(|member| tally.add(&[member.as_bytes()]));
            tally
        };
        assert_eq!(of(&["a", "b", "a"]), of(&["b", "a", "a"]));
        assert_ne!(of(&["a", "b", "b"]), of(&["a", "b", "a"]));
        assert_ne!(of(&["a"]), of(&[]));
        let mut twice = Tally::default();
        twice.add_times(&[b"a"], 2);
        assert_eq!((twice, twice.count()), (of(&["a", "a"]), 2));
    }

    #[test]
    fn pieces_are_kept_apart() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.add(&[b"ab", b"c"]);
        other.add(&[b"a", b"bc"]);
        assert_ne!(one, other);
    }
}
