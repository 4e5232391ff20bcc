//! The behaviours that every store and every part store has to show, on files.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gateway_model::Timestamp;
use gateway_model::note::NoteSigner;
use gateway_store::Store;
use gateway_store::parts::PartStore;
use gateway_store_conformance::fixture::START;
use gateway_store_conformance::suite::RETRY_MAX;
use gateway_store_conformance::{Backend, PartBackend};
use gateway_store_embedded::{EmbeddedStore, FileParts, OpenOptions, PartLimits};
use tempfile::TempDir;

struct Embedded(TempDir);

#[async_trait]
impl Backend for Embedded {
    async fn open(&self, signer: NoteSigner) -> Arc<dyn Store> {
        let options = OpenOptions { free_bytes_min: 0, ballast_bytes: 0, ..OpenOptions::new(self.0.path(), signer) };
        Arc::new(EmbeddedStore::open(options).unwrap())
    }

    async fn open_at(&self, signer: NoteSigner, now: Timestamp) -> Arc<dyn Store> {
        let options = OpenOptions { free_bytes_min: 0, ballast_bytes: 0, ..OpenOptions::new(self.0.path(), signer) };
        Arc::new(EmbeddedStore::open(OpenOptions { now: Some(now), retry_max: RETRY_MAX, ..options }).unwrap())
    }
}

struct Parts {
    folder: TempDir,
    /// Microseconds.
    now: Arc<AtomicI64>,
}

#[async_trait]
impl PartBackend for Parts {
    async fn open(&self) -> Arc<dyn PartStore> {
        let now = self.now.clone();
        let limits = PartLimits { free_bytes_min: 0, ..PartLimits::default() };
        let now = move || Timestamp::from_micros(now.load(Ordering::SeqCst));
        Arc::new(FileParts::open(self.folder.path(), limits, now).unwrap())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    async fn age(&self, span: Duration) {
        self.now.fetch_add(i64::try_from(span.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

gateway_store_conformance::store_suite!(Embedded(TempDir::new().unwrap()));
gateway_store_conformance::part_suite!(Parts {
    folder: TempDir::new().unwrap(),
    now: Arc::new(AtomicI64::new(START.micros())),
});
