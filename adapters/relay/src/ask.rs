//! Questions to another gateway that move nothing: whether it is there, and what it knows of an envelope or a file.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use adapters_sdk::Outcome;
use gateway_model::Reason;
use gateway_model::id::GatewayId;
use proto::v1;
use tokio::time::timeout;

use crate::RelayPeers;
use crate::deliver::PeerRelay;
use crate::fault::Fault;

/// Why a question got no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct AskFault {
    /// Why.
    pub reason: Reason,
    /// What was seen; at most 256 bytes.
    pub detail: String,
}

impl RelayPeers {
    /// Asks a gateway who it is, within `time`.
    ///
    /// # Errors
    /// [`AskFault`]: the directory does not know it, it does not answer, or another gateway answers.
    ///
    /// # Cancellation
    /// Nothing moves.
    pub async fn ping(&self, gateway: &GatewayId, time: Duration) -> Result<v1::PingResponse, AskFault> {
        within(time, self.peer(gateway)?.ping()).await
    }

    /// Asks a gateway for its part of a trace, within `time`; it is told how long it has, and answers sooner with what it knows.
    ///
    /// # Errors
    /// [`AskFault`].
    ///
    /// # Cancellation
    /// Nothing moves.
    pub async fn trace(
        &self,
        gateway: &GatewayId,
        question: v1::TraceRequest,
        time: Duration,
    ) -> Result<v1::TimelineResponse, AskFault> {
        within(time, self.peer(gateway)?.trace(question, time)).await
    }

    fn peer(&self, gateway: &GatewayId) -> Result<Arc<PeerRelay>, AskFault> {
        let unknown =
            || AskFault { reason: Reason::NotFound, detail: format!("the directory does not know {gateway}") };
        if self.wiring.book.peer(gateway).is_none() {
            return Err(unknown());
        }
        let mut relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(PeerRelay::new(gateway.clone(), self.wiring.clone()));
        Ok(relays.entry(gateway.clone()).or_insert_with(make).clone())
    }
}

async fn within<T>(time: Duration, asking: impl Future<Output = Result<T, Fault>>) -> Result<T, AskFault> {
    let late = || Fault::Unreachable("the peer does not answer in time".to_owned());
    let answered = timeout(time, asking).await.unwrap_or_else(|_| Err(late()));
    answered.map_err(|fault| match fault.outcome() {
        Outcome::Refused { reason, detail } | Outcome::Deferred { reason, detail, .. } => AskFault { reason, detail },
        Outcome::Taken { .. } => AskFault { reason: Reason::PeerUnreachable, detail: String::new() },
    })
}
