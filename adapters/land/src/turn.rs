//! One at a time for each file code: what comes later for the same file waits its turn, other files go on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

type Places = Arc<Mutex<HashMap<String, Arc<Lock<()>>>>>;

/// The turns of all file codes that are at hand.
#[derive(Clone, Default)]
pub(crate) struct Turns(Places);

/// One's turn; the next one's begins when this is dropped.
pub(crate) struct Turn {
    code: String,
    held: Option<OwnedMutexGuard<()>>,
    places: Places,
}

impl Turns {
    /// Waits for the turn.
    ///
    /// # Cancellation
    /// Harmless: who stops waiting gives up the place.
    pub(crate) async fn take(&self, code: &str) -> Turn {
        let lock = self.lock(code);
        let mut turn = Turn { code: code.to_owned(), held: None, places: self.0.clone() };
        turn.held = Some(lock.lock_owned().await);
        turn
    }

    fn lock(&self, code: &str) -> Arc<Lock<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(code.to_owned()).or_default().clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.held.take());
        if places.get(&self.code).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            places.remove(&self.code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_file_waits_another_does_not_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.take("A-1").await;
        let other = turns.take("B-2").await;
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take("A-1").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop((first, other));
        waiting.await.unwrap();
        let given_up = turns.take("A-1").await;
        assert!(futures::FutureExt::now_or_never(turns.take("A-1")).is_none());
        drop(given_up);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
