//! A brake: while it is on, whoever passes it waits.

use std::sync::Arc;

use tokio::sync::watch;

/// Shared between the point that pulls it and what it stops.
#[derive(Clone)]
pub struct Brake(Arc<watch::Sender<bool>>);

impl Default for Brake {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Brake {
    /// Pulls or releases it.
    pub fn set(&self, on: bool) {
        self.0.send_replace(on);
    }

    /// Returns when it is off.
    pub async fn released(&self) {
        // The sender lives as long as `self`.
        self.0.subscribe().wait_for(|on| !on).await.ok();
    }
}
