//! The behaviours that every part store has to show.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_model::Timestamp;
use gateway_store::parts::PartStore;
use gateway_store_conformance::PartBackend;
use gateway_store_objects::ObjectParts;
use tokio::sync::Mutex;

use crate::server::{Server, now};

struct Bucket {
    server: Server,
    last: Mutex<Option<Arc<ObjectParts>>>,
}

impl Bucket {
    fn new() -> Self {
        Self { server: Server::start(), last: Mutex::default() }
    }
}

#[async_trait]
impl PartBackend for Bucket {
    async fn open(&self) -> Arc<dyn PartStore> {
        let mut last = self.last.lock().await;
        // As a gateway does when it stops.
        if let Some(last) = last.take() {
            last.close().await;
        }
        let opened = self.server.open().await;
        *last = Some(opened.clone());
        opened
    }

    fn now(&self) -> Timestamp {
        now()
    }

    async fn age(&self, span: Duration) {
        self.server.age(span);
    }
}

gateway_store_conformance::part_suite!(Bucket::new());
