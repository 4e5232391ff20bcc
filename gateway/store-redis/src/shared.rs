//! What the writer and the keeper tell everybody else: room, wake-ups, how far the store has come, and whether Redis has lost something.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

/// Shared between the handle, the writer and the keeper.
pub(crate) struct Shared {
    /// Level-triggered: a commit, here or at another node, may have set a wake-up.
    pub(crate) woken: Notify,
    /// Bytes of memory that Redis has left, as of the last look.
    free_bytes: AtomicU64,
    free_bytes_min: u64,
    /// The newest version of the head that was seen.
    seen: AtomicU64,
    /// The newest version that somebody was answered on.
    acknowledged: AtomicU64,
    failed: watch::Sender<Option<String>>,
}

impl Shared {
    pub(crate) fn new(free_bytes_min: u64, version: u64) -> Self {
        let woken = Notify::new();
        // Whoever opens has not heard of any wake-up yet.
        woken.notify_one();
        Self {
            woken,
            free_bytes: AtomicU64::new(u64::MAX),
            free_bytes_min,
            seen: AtomicU64::new(version),
            acknowledged: AtomicU64::new(version),
            failed: watch::Sender::new(None),
        }
    }

    /// A commit of this node is durable.
    pub(crate) fn acknowledge(&self, version: u64, wakes: bool) {
        self.acknowledged.fetch_max(version, Ordering::AcqRel);
        self.seen.fetch_max(version, Ordering::AcqRel);
        if wakes {
            self.woken.notify_one();
        }
    }

    /// The head has this version: another node may have set a wake-up.
    pub(crate) fn see(&self, version: u64) {
        if self.seen.fetch_max(version, Ordering::AcqRel) < version {
            self.woken.notify_one();
        }
    }

    /// The newest version that somebody was answered on: Redis may never be behind it.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    pub(crate) fn set_free_bytes(&self, free: u64) {
        self.free_bytes.store(free, Ordering::Release);
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Acquire)
    }

    /// Whether Redis has less memory than is kept for deliveries.
    pub(crate) fn is_full(&self) -> bool {
        self.free_bytes() < self.free_bytes_min
    }

    /// Nothing is acknowledged from now on; the first reason stays.
    pub(crate) fn fail(&self, what: String) {
        self.failed.send_if_modified(|failed| failed.is_none().then(|| *failed = Some(what)).is_some());
    }

    /// Why nothing is acknowledged any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Waits until Redis has lost something.
    pub(crate) async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        loop {
            if let Some(what) = failed.borrow_and_update().clone() {
                return what;
            }
            // The sender lives as long as `self`.
            failed.changed().await.ok();
        }
    }
}
