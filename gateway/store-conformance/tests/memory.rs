//! The store in memory shows every behaviour.

// A test backend: what does not go as it has to fails the test.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gateway_model::Timestamp;
use gateway_model::note::NoteSigner;
use gateway_store::Store;
use gateway_store::memory::{MemoryParts, MemoryStore};
use gateway_store::parts::PartStore;
use gateway_store_conformance::suite::RETRY_MAX;
use gateway_store_conformance::{Backend, PartBackend};

gateway_store_conformance::store_suite!(Memory::default());
gateway_store_conformance::part_suite!(Parts::new());

/// Keeps the store that was opened first, as a disk would.
#[derive(Default)]
struct Memory(Mutex<Option<Arc<MemoryStore>>>);

#[async_trait]
impl Backend for Memory {
    async fn open(&self, signer: NoteSigner) -> Arc<dyn Store> {
        let mut kept = self.0.lock().unwrap();
        let store = match kept.as_ref() {
            Some(store) => store.reopen(),
            None => MemoryStore::new(signer),
        };
        kept.insert(Arc::new(store)).clone()
    }

    async fn open_at(&self, _: NoteSigner, now: Timestamp) -> Arc<dyn Store> {
        let mut kept = self.0.lock().unwrap();
        let store = kept.as_ref().unwrap().reopen_at(now, RETRY_MAX);
        kept.insert(Arc::new(store)).clone()
    }
}

/// Parts with a clock that can be turned forwards.
struct Parts {
    parts: Arc<MemoryParts>,
    now: Arc<AtomicI64>,
}

impl Parts {
    fn new() -> Self {
        let now = Arc::new(AtomicI64::new(0));
        let clock = now.clone();
        Self { parts: Arc::new(MemoryParts::new(move || Timestamp::from_micros(clock.load(Ordering::SeqCst)))), now }
    }
}

#[async_trait]
impl PartBackend for Parts {
    async fn open(&self) -> Arc<dyn PartStore> {
        self.parts.clone()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    async fn age(&self, span: Duration) {
        // Time that passes makes everything older.
        self.now.fetch_add(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }
}
