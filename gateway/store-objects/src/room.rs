//! What is under way at this node, and what its owners have uploaded that no envelope names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_model::Digest;
use gateway_store::parts::PartError;
use gateway_store::unnamed::Unnamed;
use tokio_util::sync::CancellationToken;

/// Uploads of this node, by owner and part, and the unnamed bytes.
#[derive(Debug, Default)]
pub(crate) struct Room {
    uploads: Mutex<HashMap<Key, UnderWay>>,
    unnamed: Mutex<Unnamed>,
}

type Key = (String, Digest);

#[derive(Debug)]
struct UnderWay {
    /// Whether it has broken off and its last bytes are being put away.
    is_settling: bool,
    over: CancellationToken,
}

/// Keeps a second upload of the same part by the same owner out.
#[derive(Debug)]
pub(crate) struct Busy {
    room: Arc<Room>,
    key: Key,
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(under_way) = lock(&self.room.uploads).remove(&self.key) {
            under_way.over.cancel();
        }
    }
}

impl Busy {
    /// From now on others wait for its end, which is near.
    pub(crate) fn settle(&self) {
        if let Some(under_way) = lock(&self.room.uploads).get_mut(&self.key) {
            under_way.is_settling = true;
        }
    }
}

impl Room {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`PartError::Busy`].
    pub(crate) async fn enter(self: &Arc<Self>, owner: &str, digest: &Digest) -> Result<Busy, PartError> {
        let key = (owner.to_owned(), *digest);
        loop {
            self.settled(&key).await;
            let mut uploads = lock(&self.uploads);
            match uploads.get(&key).map(|under_way| under_way.is_settling) {
                Some(true) => {}
                Some(false) => return Err(PartError::Busy),
                None => {
                    uploads.insert(key.clone(), UnderWay { is_settling: false, over: CancellationToken::new() });
                    return Ok(Busy { room: self.clone(), key });
                }
            }
        }
    }

    /// Waits until an upload that has broken off is put away; its requests are bounded in time.
    pub(crate) async fn at_rest(&self, owner: &str, digest: &Digest) {
        self.settled(&(owner.to_owned(), *digest)).await;
    }

    async fn settled(&self, key: &Key) {
        let over = lock(&self.uploads).get(key).filter(|under_way| under_way.is_settling).map(|one| one.over.clone());
        if let Some(over) = over {
            over.cancelled().await;
        }
    }

    pub(crate) fn is_busy(&self, owner: &str, digest: &Digest) -> bool {
        lock(&self.uploads).contains_key(&(owner.to_owned(), *digest))
    }

    pub(crate) fn unnamed(&self) -> MutexGuard<'_, Unnamed> {
        lock(&self.unnamed)
    }
}

/// Nothing can break in between: what is behind the lock is whole even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
