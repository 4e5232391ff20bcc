//! The way in for adapters that run in this process: like any other door, with the identity of their own system.

use std::sync::Arc;

use adapters_sdk::{Door, NewPart, Submitted, trace};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use gateway_model::agency::Hop;
use gateway_model::{Refusal, Timestamp, limits};
use gateway_store::accept::PartRef;
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::Instrument as _;

use crate::steps::store::part_refusal;
use crate::{Engine, Submission, spans};

/// A door for one hop.
struct EngineDoor {
    engine: Engine,
    hop: Hop,
}

impl Engine {
    /// The way in for an adapter that submits as `hop`.
    pub fn door(&self, hop: Hop) -> Arc<dyn Door> {
        Arc::new(EngineDoor { engine: self.clone(), hop })
    }
}

#[async_trait]
impl Door for EngineDoor {
    async fn upload(&self, part: NewPart, mut bytes: Box<dyn AsyncRead + Send + Unpin>) -> Result<(), Refusal> {
        let parts = &self.engine.core.parts;
        if parts.missing(&self.hop, &[part.digest]).await.map_err(part_refusal)?.is_empty() {
            return Ok(());
        }
        let whole = PartRef { digest: part.digest, size: part.size };
        let mut writer = parts.begin(&self.hop, whole, 0).await.map_err(part_refusal)?;
        let mut chunk = BytesMut::with_capacity(limits::CHUNK_BYTES_MAX);
        while bytes.read_buf(&mut chunk).await.map_err(unreadable)? > 0 {
            writer.write(chunk.split().freeze()).await.map_err(part_refusal)?;
            chunk.reserve(limits::CHUNK_BYTES_MAX);
        }
        writer.finish().await.map_err(part_refusal)
    }

    async fn submit(&self, signed: Bytes) -> Result<Submitted, Refusal> {
        let span = spans::process(self.engine.gateway(), &self.hop);
        let traceparent = Some(trace::follow(&span, None));
        let submission = Submission { signed, hop: self.hop.clone(), inline: Vec::new(), relay: None, traceparent };
        let accepted = self.engine.submit(submission).instrument(span.clone()).await;
        spans::processed(&span, &accepted);
        let accepted = accepted?;
        Ok(Submitted { key: accepted.key, receipt: accepted.receipt.encode(), duplicate: accepted.duplicate })
    }

    fn hop(&self) -> &Hop {
        &self.hop
    }

    fn now(&self) -> Timestamp {
        self.engine.core.clock.now()
    }

    async fn closed(&self) {
        self.engine.core.drained().await;
    }
}

fn unreadable(error: std::io::Error) -> Refusal {
    Refusal::new(gateway_model::Reason::AdapterFailed).saw(error.kind().to_string())
}
