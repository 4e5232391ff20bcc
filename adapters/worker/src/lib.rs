//! The queue of the workers: deliveries that out-of-process adapters pull through the gateway's door.
//!
//! [`WorkerKind`] makes a [`Queue`] of each `[[adapter]]` of kind `worker` and keeps it in [`Queues`], where the door finds it. A queue
//! belongs to one system; the engine leases a delivery for it only while one of that system's workers waits. [`session`] knows the workers,
//! [`queue`] joins them with the [`mailbox`](adapters_sdk::mailbox).

pub mod config;
pub mod queue;
pub mod session;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapters_sdk::{Adapter, AdapterError, AdapterKind, ConfigFault, PrepareContext, Prepared};
use async_trait::async_trait;
use gateway_model::id::SystemId;

use crate::config::Config;
use crate::queue::QueueAdapter;
pub use crate::queue::{LeaseError, Queue};
pub use crate::session::{WorkerInfo, WorkerView};

/// The kind `worker`.
#[derive(Clone, Default)]
pub struct WorkerKind {
    /// Where its queues are found.
    pub queues: Queues,
}

/// The queues of one gateway, by name. Clones share them.
#[derive(Clone, Default)]
pub struct Queues(Arc<Mutex<BTreeMap<String, Arc<Queue>>>>);

impl AdapterKind for WorkerKind {
    fn name(&self) -> &'static str {
        "worker"
    }

    fn prepare(&self, config: &toml::Table, context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>> {
        let config = Config::read(config, context)?;
        Ok(Box::new(PreparedQueue { config, queues: self.queues.clone() }))
    }
}

struct PreparedQueue {
    config: Config,
    queues: Queues,
}

#[async_trait]
impl Prepared for PreparedQueue {
    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError> {
        let queue = Arc::new(Queue::new(self.config));
        self.queues.queues().insert(queue.config().name.clone(), queue.clone());
        Ok(Arc::new(QueueAdapter(queue)))
    }
}

impl Queues {
    /// The queues of a system.
    pub fn of(&self, system: &SystemId) -> Vec<Arc<Queue>> {
        self.queues().values().filter(|queue| queue.config().system == *system).cloned().collect()
    }

    /// A queue of a system by its name.
    pub fn named(&self, system: &SystemId, name: &str) -> Option<Arc<Queue>> {
        self.queues().get(name).filter(|queue| queue.config().system == *system).cloned()
    }

    /// The queue of a system where this worker is registered; it was just heard of.
    pub fn of_worker(&self, system: &SystemId, worker: &str) -> Option<Arc<Queue>> {
        self.of(system).into_iter().find(|queue| queue.knows(worker))
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Queue>> {
        self.queues().values().cloned().collect()
    }

    /// Resolves when no worker holds anything.
    pub async fn idle(&self) {
        for queue in self.all() {
            queue.mailbox().idle().await;
        }
    }

    /// Hands nothing out any more and gives everything up.
    pub fn close(&self) {
        for queue in self.all() {
            queue.mailbox().close();
        }
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
