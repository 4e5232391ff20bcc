//! What several nodes of one store do together: each knows within a second what operators decided at another, and what the others have let in.
//!
//! A process that has its store alone has nobody to follow.

use std::time::Duration;

use gateway_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::{Core, quota};

/// Between two looks at what the others did.
const EVERY: Duration = Duration::from_millis(500);

/// Follows the other nodes until `shutdown`.
pub(crate) async fn follow(engine: &Core, shutdown: CancellationToken) {
    if engine.store.node().is_none() {
        return;
    }
    loop {
        if let Err(error) = follow_once(engine).await {
            tracing::debug!(%error, "what other nodes did is not known at present");
        }
        let next = engine.clock.steady().plus(EVERY);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = engine.clock.sleep_until(next) => {}
        }
    }
}

async fn follow_once(engine: &Core) -> Result<(), StoreError> {
    engine.pauses.load(engine.store.as_ref()).await?;
    for used in engine.store.share_use(engine.quotas.used()).await? {
        engine.quotas.charge(&used);
        // Counted after its signature was checked: whatever was wrong with this sender here is put right.
        if let Some(sender) = quota::agency_of(&used) {
            engine.door_trouble.accepted(&sender);
        }
    }
    Ok(())
}
