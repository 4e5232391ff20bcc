//! What the writer tells everybody else: counters, the newest checkpoint, wake-ups, and whether the disk has failed.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gateway_store::query::Counts;
use tokio::sync::{Notify, watch};

use crate::ballast::{self, Ballast};
use crate::batch::lock;
use crate::head::Head;
use crate::work::{Effects, Work};

/// Shared between the handle and the writer.
pub(crate) struct Shared {
    folder: PathBuf,
    ballast: Ballast,
    /// Leases and lanes.
    pub(crate) work: Mutex<Work>,
    /// Level-triggered: a commit may have set a wake-up.
    pub(crate) woken: Notify,
    seen: Mutex<Seen>,
    failed: watch::Sender<Option<String>>,
    /// Keeps other processes out for as long as anybody here can write.
    lock_file: Mutex<Option<File>>,
}

struct Seen {
    head: Head,
    checkpoint: Option<Arc<str>>,
}

impl Shared {
    pub(crate) fn new(
        folder: PathBuf,
        ballast: Ballast,
        work: Work,
        head: Head,
        checkpoint: Option<Arc<str>>,
        lock_file: File,
    ) -> Self {
        let woken = Notify::new();
        // Whoever opens has not heard of any wake-up yet.
        woken.notify_one();
        Self {
            folder,
            ballast,
            work: Mutex::new(work),
            woken,
            seen: Mutex::new(Seen { head, checkpoint }),
            failed: watch::Sender::new(None),
            lock_file: Mutex::new(Some(lock_file)),
        }
    }

    /// Shows a durable commit. Whoever waits for work hears of it by [`Shared::wake`].
    pub(crate) fn publish(&self, head: &Head, checkpoint: Option<&Arc<str>>, effects: &Effects) {
        lock(&self.work).publish(effects);
        let mut seen = lock(&self.seen);
        seen.head = head.clone();
        if let Some(checkpoint) = checkpoint {
            seen.checkpoint = Some(checkpoint.clone());
        }
    }

    /// Says that a commit has set a wake-up.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Nothing is acknowledged from now on; the first reason stays.
    pub(crate) fn fail(&self, what: String) {
        self.failed.send_if_modified(|failed| failed.is_none().then(|| *failed = Some(what)).is_some());
    }

    /// Lets other processes in: nobody here writes any more.
    pub(crate) fn unlock(&self) {
        drop(lock(&self.lock_file).take());
    }

    /// Why nothing is acknowledged any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Waits until the disk fails.
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

    pub(crate) fn checkpoint(&self) -> Option<Arc<str>> {
        lock(&self.seen).checkpoint.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        let free_bytes = self.free_bytes().unwrap_or(0);
        let seen = lock(&self.seen);
        let head = &seen.head;
        Counts {
            envelopes: head.envelopes.unsigned_abs(),
            waiting: head.waiting.unsigned_abs(),
            forwarded: head.forwarded.unsigned_abs(),
            held: head.held.unsigned_abs(),
            returns: head.returns.unsigned_abs(),
            log_size: head.log.size(),
            free_bytes,
        }
    }

    /// Whether the disk has less room than is kept for deliveries. A disk that does not answer has none.
    pub(crate) fn is_full(&self) -> bool {
        self.free_bytes().is_none_or(|free| free < self.ballast.accepting_from())
    }

    /// The writer's look before a batch: releases the ballast or puts it back, then tells whether anything may be accepted.
    pub(crate) fn is_full_for_writer(&self) -> bool {
        let Some(free) = self.free_bytes() else { return true };
        let accepting_from = self.ballast.accepting_from();
        self.ballast.tend(free);
        // What it gave back or took is not in what was seen.
        if self.ballast.accepting_from() == accepting_from { free < accepting_from } else { self.is_full() }
    }

    /// Gives the room of the ballast back; tells whether a write that found none is worth another try.
    pub(crate) fn release_ballast(&self) -> bool {
        self.ballast.release()
    }

    fn free_bytes(&self) -> Option<u64> {
        ballast::free_bytes(&self.folder).ok()
    }
}
