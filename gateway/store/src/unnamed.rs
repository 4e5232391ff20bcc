//! What each owner has uploaded that no envelope is known to name: bounded, so that nobody fills the store of the parts.

use std::collections::HashMap;

use gateway_model::Digest;

use crate::parts::PartError;

/// What even the smallest part counts for: it costs files, or objects, and a line here.
pub const PART_BYTES_LEAST: u64 = 64 * 1024;

/// By owner: parts begun or uploaded since the start of this process and not yet checked for an envelope. Each node counts for itself.
#[derive(Debug, Default)]
pub struct Unnamed {
    kept: HashMap<String, HashMap<Digest, u64>>,
}

impl Unnamed {
    /// Counts a part of so many `bytes` to its owner until an envelope is about to name it.
    ///
    /// # Errors
    /// [`PartError::Full`], when the owner would have more than `bytes_max`.
    pub fn charge(&mut self, owner: &str, digest: &Digest, bytes: u64, bytes_max: u64) -> Result<(), PartError> {
        let kept = self.kept.entry(owner.to_owned()).or_default();
        let others = kept.iter().filter(|(other, _)| *other != digest).map(|(_, bytes)| *bytes);
        let bytes = bytes.max(PART_BYTES_LEAST);
        if others.fold(bytes, u64::saturating_add) > bytes_max {
            return Err(PartError::Full);
        }
        kept.insert(*digest, bytes);
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
