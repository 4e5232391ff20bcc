//! Where the adapter keeps what, all on one file system so that a rename is one step.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters_sdk::AdapterError;
use gateway_model::limits;

use adapters_sdk::disk;

/// Names that the watched folder cannot have.
pub(crate) const OWN_FOLDERS: [&str; 3] = ["incoming", "sent", "refused"];

/// How long it is remembered what was taken and what was sealed: longer than any envelope lives.
const MEMORY: Duration = Duration::from_secs(limits::ENVELOPE_LIFE_MAX.as_secs() + 30 * 86_400);

/// The folders.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Configured path.
    pub root: PathBuf,
    /// Deliveries.
    pub incoming: PathBuf,
    /// Accepted drops.
    pub sent: PathBuf,
    /// Refused drops.
    pub refused: PathBuf,
    /// Deliveries and files being written.
    pub working: PathBuf,
    /// One file a delivery, with the digest of its envelope.
    pub taken: PathBuf,
    /// Envelopes sealed and perhaps submitted already.
    pub sealed: PathBuf,
    /// Moves that have begun.
    pub moving: PathBuf,
    /// Locked by the process that serves the folder.
    pub served: PathBuf,
}

impl Layout {
    /// Makes the folders.
    pub(crate) fn open(root: &Path) -> Result<Self, AdapterError> {
        let own = root.join(".lienthong");
        let layout = Self {
            root: root.to_owned(),
            incoming: root.join("incoming"),
            sent: root.join("sent"),
            refused: root.join("refused"),
            working: own.join("working"),
            taken: own.join("taken"),
            sealed: own.join("sealed"),
            moving: own.join("moving"),
            served: own.join("served"),
        };
        // The adapter's own notes are nobody else's to read; who reads deliveries is for the department's group and umask to say.
        fs::create_dir_all(root).map_err(disk::at(root))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&own).map_err(disk::at(&own))?;
        for folder in [&layout.incoming, &layout.working, &layout.taken, &layout.sealed, &layout.moving] {
            fs::create_dir_all(folder).map_err(disk::at(folder))?;
        }
        for folder in [&own, root] {
            disk::sync_folder(folder)?;
        }
        Ok(layout)
    }

    /// Forgets what is too old to matter, for as long as this is polled.
    pub(crate) async fn forget(&self) -> Infallible {
        adapters_sdk::forget::daily(vec![self.taken.clone(), self.sealed.clone()], MEMORY).await
    }

    /// Whether the disk takes a file now.
    pub(crate) fn probe(&self) -> Result<(), AdapterError> {
        let file = self.working.join("probe");
        disk::write(&file, b"probe")?;
        fs::remove_file(&file).map_err(disk::at(&file))?;
        fs::metadata(&self.incoming).map_err(disk::at(&self.incoming)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn sealed_envelopes_are_kept_where_nobody_else_reads() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(folder.path()).unwrap();
        let own = layout.sealed.parent().unwrap();
        assert_eq!(fs::metadata(own).unwrap().permissions().mode() & 0o077, 0);
    }
}
