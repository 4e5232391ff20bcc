//! One directory with its parsed trust: what a verification stands on, swapped as a whole.

use gateway_model::directory::Directory;

use crate::trust::{Trust, TrustFault};

/// A directory and the trust that it holds. Immutable but for bounded memories of what has been checked; shared between
/// threads.
#[derive(Debug)]
pub struct Snapshot {
    directory: Directory,
    trust: Trust,
}

impl Snapshot {
    /// Reads the trust of `directory`.
    ///
    /// # Errors
    /// Every fault found.
    pub fn new(directory: Directory) -> Result<Self, Vec<TrustFault>> {
        let content = directory.content();
        let trust = Trust::read(&content.anchors, &content.intermediates, &content.crls)?;
        Ok(Self { directory, trust })
    }

    /// The directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Its trust.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }
}
