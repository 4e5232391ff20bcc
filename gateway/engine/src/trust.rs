//! The trust in force: one immutable snapshot, swapped atomically, never replaced by an older one.

use std::sync::Arc;

use gateway_model::{Reason, Refusal, Timestamp};
use gateway_verify::Snapshot;
use tokio::sync::watch;

/// Holds the snapshot. Clones share it.
#[derive(Clone)]
pub struct TrustHolder {
    current: watch::Sender<Option<Arc<Snapshot>>>,
}

impl TrustHolder {
    /// Starts with `snapshot`, or with none until the first is loaded.
    pub fn new(snapshot: Option<Arc<Snapshot>>) -> Self {
        Self { current: watch::Sender::new(snapshot) }
    }

    /// Puts `snapshot` in force. The same version again changes nothing.
    ///
    /// # Errors
    /// [`Reason::DirectoryOlder`] when a newer one is in force.
    pub fn replace(&self, snapshot: Arc<Snapshot>) -> Result<(), Refusal> {
        let version = snapshot.directory().version();
        let mut older = None;
        self.current.send_if_modified(|current| {
            let in_force = current.as_ref().map_or(0, |current| current.directory().version());
            if version < in_force {
                older = Some(in_force);
            }
            let newer = current.is_none() || version > in_force;
            if newer {
                *current = Some(snapshot);
            }
            newer
        });
        match older {
            Some(in_force) => {
                Err(Refusal::new(Reason::DirectoryOlder).saw(format!("version {version}, in force is {in_force}")))
            }
            None => Ok(()),
        }
    }

    /// The snapshot in force, if any; it may have expired.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.borrow().clone()
    }

    /// The snapshot in force.
    ///
    /// # Errors
    /// [`Reason::DirectoryMissing`], [`Reason::DirectoryExpired`].
    pub fn usable(&self, now: Timestamp) -> Result<Arc<Snapshot>, Refusal> {
        let snapshot = self.current().ok_or(Reason::DirectoryMissing)?;
        let expires_at = snapshot.directory().expires_at();
        if now < expires_at {
            Ok(snapshot)
        } else {
            Err(Refusal::new(Reason::DirectoryExpired).saw(format!("since {expires_at}")))
        }
    }

    /// Tells each change.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.current.subscribe()
    }
}

impl std::fmt::Debug for TrustHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.current().map(|snapshot| snapshot.directory().version());
        f.debug_struct("TrustHolder").field("version", &version).finish()
    }
}
