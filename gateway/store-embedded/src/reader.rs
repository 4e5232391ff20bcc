//! Connections that only read, a few of them, on the blocking pool.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use gateway_store::StoreError;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::batch::lock;
use crate::failure::Failure;

/// The connections.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    connections: u32,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, connections: Vec<Connection>) -> Self {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { path, idle: Arc::new(Mutex::new(connections)), permits, connections: count }
    }

    /// Runs `read` on one of the connections.
    ///
    /// # Cancellation
    /// The read goes on to its end; nobody hears of it.
    pub(crate) async fn read<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let closed = || StoreError::Unavailable { what: "the store is closed".to_owned() };
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| closed())?;
        let (idle, path) = (self.idle.clone(), self.path.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection =
                lock(&idle).pop().ok_or_else(|| StoreError::Unavailable { what: "the store is closed".to_owned() })?;
            let result = read(&connection).map_err(|failure| failure.answer(&path));
            lock(&idle).push(connection);
            result
        });
        let broke =
            |error: tokio::task::JoinError| StoreError::Unavailable { what: format!("a read did not end: {error}") };
        reading.await.map_err(broke)?
    }

    /// Waits for the reads under way and closes the connections.
    pub(crate) async fn close(&self) {
        let under_way = self.permits.acquire_many(self.connections).await;
        self.permits.close();
        drop(under_way);
        lock(&self.idle).clear();
    }
}
