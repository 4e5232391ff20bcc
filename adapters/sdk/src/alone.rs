//! Who serves a folder: one process at a time. The others stand by, and one of them goes on when it is gone.
//!
//! The right is a lock on a file in the folder, which the system gives back when the process ends, however it ends. So several nodes of one
//! gateway may be set up with the same adapter on the same shared folder.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::{AdapterError, Room, disk};

/// Between two looks whether the process that serves the folder is gone.
const LOOK: Duration = Duration::from_millis(500);

/// The right to serve a folder.
#[derive(Debug)]
pub struct Alone {
    file: PathBuf,
    /// Locked for as long as it is open.
    lock: Mutex<Option<File>>,
    /// The lock is this process's, and what had to be done first is done.
    serves: AtomicBool,
    began: Notify,
}

impl Alone {
    /// The right that `file` stands for; not taken yet. The file is made when it is not there, and stays.
    pub fn at(file: PathBuf) -> Self {
        Self { file, lock: Mutex::default(), serves: AtomicBool::new(false), began: Notify::new() }
    }

    /// Begins to serve if nobody else does: takes the right, then does what has to be done `first`. Tells whether it serves.
    ///
    /// # Errors
    /// The file's, and those of `first`.
    pub fn begin(&self, first: impl FnOnce() -> Result<(), AdapterError>) -> Result<bool, AdapterError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.serves() {
            return Ok(true);
        }
        if lock.is_none() {
            let file = File::options().create(true).truncate(false).write(true).open(&self.file);
            let file = file.map_err(disk::at(&self.file))?;
            match file.try_lock() {
                Ok(()) => *lock = Some(file),
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(source)) => return Err(disk::at(&self.file)(source)),
            }
        }
        first()?;
        self.serves.store(true, Ordering::Release);
        self.began.notify_one();
        Ok(true)
    }

    /// Waits until this process serves: what has to be done first is done when nobody else serves any more.
    ///
    /// # Errors
    /// The file's, and those of `first`.
    ///
    /// # Cancellation
    /// Harmless.
    pub async fn wait(
        self: &Arc<Self>,
        first: impl Fn() -> Result<(), AdapterError> + Clone + Send + 'static,
    ) -> Result<(), AdapterError> {
        if self.serves() {
            return Ok(());
        }
        tracing::info!(file = %self.file.display(), "another process serves this folder: standing by");
        loop {
            let (alone, first) = (self.clone(), first.clone());
            if disk::run(move || alone.begin(first)).await?? {
                tracing::info!(file = %self.file.display(), "the process that served this folder is gone: serving it now");
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether this process serves.
    pub fn serves(&self) -> bool {
        self.serves.load(Ordering::Acquire)
    }

    /// The room of an adapter that serves alone: none while it stands by.
    pub fn room(&self) -> Room {
        if self.serves() { Room::Any } else { Room::Of(0) }
    }

    /// Resolves when this process has begun to serve. One caller at a time.
    pub async fn began(&self) {
        self.began.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_serves_and_the_next_goes_on_when_it_is_gone_and_has_done_what_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let at = || Arc::new(Alone::at(folder.path().join("served")));
        let (one, other) = (at(), at());
        assert_eq!((one.room(), other.room()), (Room::Of(0), Room::Of(0)));
        assert!(one.begin(|| Ok(())).unwrap());
        assert!(!other.begin(|| panic!("nothing is done while another serves")).unwrap());
        assert_eq!((one.room(), other.room()), (Room::Any, Room::Of(0)));
        drop(one);
        assert!(other.begin(|| Err(AdapterError::Other("not yet".into()))).is_err());
        assert!(!other.serves(), "what comes first did not happen");
        other.wait(|| Ok(())).await.unwrap();
        other.began().await;
        assert_eq!(other.room(), Room::Any);
    }
}
