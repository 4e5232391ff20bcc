//! Memory for packages: each takes as much as it may need, and all of them together stay below a bound. Whoever finds none waits its turn.

use std::sync::Arc;

use adapters_sdk::AdapterError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one piece of room.
const PIECE_BYTES: u64 = 64 * 1024;
/// Largest packages that find room beside each other. Each is in memory several times over: as it came, decoded, encoded again.
const LARGEST_MAX: u64 = 2;

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pieces: Arc<Semaphore>,
    all: u32,
}

/// Some of it; given back when the last one who shares it drops it.
pub(crate) type Taken = Arc<OwnedSemaphorePermit>;

impl Room {
    /// Room for a few packages of the largest size, or for many small ones.
    pub(crate) fn new(package_bytes_max: u64) -> Self {
        let pieces = package_bytes_max.saturating_mul(LARGEST_MAX).div_ceil(PIECE_BYTES);
        let all = u32::try_from(pieces).unwrap_or(u32::MAX).max(1);
        Self { pieces: Arc::new(Semaphore::new(usize::try_from(all).unwrap_or(usize::MAX))), all }
    }

    /// Takes room for a package of so many bytes, or all that there is.
    ///
    /// # Cancellation
    /// Nothing is taken.
    pub(crate) async fn take(&self, bytes: u64) -> Result<Taken, AdapterError> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX).clamp(1, self.all);
        let taken = self.pieces.clone().acquire_many_owned(pieces).await;
        taken.map(Arc::new).map_err(|_| AdapterError::Other("the adapter is closing".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn many_small_packages_fit_beside_each_other_and_large_ones_wait() {
        let room = Room::new(1024 * 1024);
        let small: Vec<Taken> = (0..16).map(|_| room.take(1_700).now_or_never().unwrap().unwrap()).collect();
        let large = room.take(1024 * 1024).now_or_never().unwrap().unwrap();
        assert!(room.take(1).now_or_never().is_none());
        let shared = large.clone();
        drop(large);
        assert!(room.take(1).now_or_never().is_none(), "it is still shared");
        drop((small, shared));
        assert!(room.take(u64::MAX).now_or_never().is_some(), "one that is larger than all of it takes all of it");
    }
}
