//! The behaviours that every store has to show, on a real Redis and on a real Cluster.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used)]

mod server;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use async_trait::async_trait;
use gateway_model::Timestamp;
use gateway_model::note::NoteSigner;
use gateway_store::Store;
use gateway_store_conformance::Backend;
use gateway_store_conformance::suite::RETRY_MAX;
use gateway_store_redis::{OpenOptions, RedisStore, Server};
use server::{Cluster, Redis};

/// A place of its own in a server that tests share.
struct Shared<T> {
    running: Arc<T>,
    server: fn(&T) -> Server,
    prefix: String,
}

static PREFIXES: AtomicU64 = AtomicU64::new(0);
static REDIS: Mutex<Weak<Redis>> = Mutex::new(Weak::new());
static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl<T> Shared<T> {
    fn new(running: Arc<T>, server: fn(&T) -> Server) -> Self {
        Self { running, server, prefix: format!("test-{}", PREFIXES.fetch_add(1, Ordering::Relaxed)) }
    }

    fn options(&self, signer: NoteSigner) -> OpenOptions {
        server::options((self.server)(&self.running), &self.prefix, signer)
    }
}

#[async_trait]
impl<T: Send + Sync> Backend for Shared<T> {
    async fn open(&self, signer: NoteSigner) -> Arc<dyn Store> {
        Arc::new(RedisStore::open(self.options(signer)).await.unwrap())
    }

    async fn open_at(&self, signer: NoteSigner, now: Timestamp) -> Arc<dyn Store> {
        let options = OpenOptions { now: Some(now), retry_max: RETRY_MAX, ..self.options(signer) };
        Arc::new(RedisStore::open(options).await.unwrap())
    }
}

mod single {
    use super::*;

    gateway_store_conformance::store_suite!(Shared::new(server::shared(&REDIS, Redis::durable), |redis: &Redis| {
        Server::single(redis.address())
    }));
}

mod cluster {
    use super::*;

    gateway_store_conformance::store_suite!(Shared::new(server::shared(&CLUSTER, Cluster::start), Cluster::server));
}
