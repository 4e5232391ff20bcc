//! What each owner has uploaded that no envelope is known to name: bounded, so that nobody fills the store of the parts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gateway_model::Digest;

use crate::parts::PartError;

/// What even the smallest part counts for: it costs files, or objects, and a line here.
pub const PART_BYTES_LEAST: u64 = 64 * 1024;

/// What nobody has named after this long is not counted any more: another node may have seen the envelope that names it, and a sweep takes what
/// nobody names.
const COUNTED_FOR: Duration = Duration::from_secs(3_600);

/// By owner: parts begun or uploaded within the last hour and not yet checked for an envelope. Each node counts for itself.
#[derive(Debug, Default)]
pub struct Unnamed {
    kept: HashMap<String, HashMap<Digest, Counted>>,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    bytes: u64,
    since: Instant,
}

impl Unnamed {
    /// Counts a part of so many `bytes` to its owner until an envelope is about to name it.
    ///
    /// # Errors
    /// [`PartError::Full`], when the owner would have more than `bytes_max`.
    pub fn charge(&mut self, owner: &str, digest: &Digest, bytes: u64, bytes_max: u64) -> Result<(), PartError> {
        self.charge_at(owner, digest, bytes, bytes_max, Instant::now())
    }

    fn charge_at(
        &mut self,
        owner: &str,
        digest: &Digest,
        bytes: u64,
        bytes_max: u64,
        since: Instant,
    ) -> Result<(), PartError> {
        let kept = self.kept.entry(owner.to_owned()).or_default();
        kept.retain(|_, counted| since.saturating_duration_since(counted.since) < COUNTED_FOR);
        let others = kept.iter().filter(|(other, _)| *other != digest).map(|(_, counted)| counted.bytes);
        let bytes = bytes.max(PART_BYTES_LEAST);
        if others.fold(bytes, u64::saturating_add) > bytes_max {
            return Err(PartError::Full);
        }
        kept.insert(*digest, Counted { bytes, since });
        Ok(())
    }

    /// An envelope names it, or it is gone.
    pub fn discharge(&mut self, owner: &str, digest: &Digest) {
        if let Some(kept) = self.kept.get_mut(owner) {
            kept.remove(digest);
            if kept.is_empty() {
                self.kept.remove(owner);
            }
        }
    }

    /// A sweep has taken it.
    pub fn forget(&mut self, digest: &Digest) {
        self.kept.retain(|_, kept| {
            kept.remove(digest);
            !kept.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_may_have_seen_named_is_not_counted_for_ever() {
        let (mut unnamed, begun) = (Unnamed::default(), Instant::now());
        let part = |number: u8| Digest([number; 32]);
        unnamed.charge_at("x", &part(1), 900_000, 1_000_000, begun).unwrap();
        let soon = unnamed.charge_at("x", &part(2), 900_000, 1_000_000, begun + COUNTED_FOR / 2);
        assert!(matches!(soon, Err(PartError::Full)));
        unnamed.charge_at("y", &part(2), 900_000, 1_000_000, begun).unwrap();
        unnamed.charge_at("x", &part(2), 900_000, 1_000_000, begun + COUNTED_FOR).unwrap();
        unnamed.discharge("x", &part(2));
        unnamed.charge_at("x", &part(3), 900_000, 1_000_000, begun + COUNTED_FOR).unwrap();
    }
}
