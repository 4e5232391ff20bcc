//! Parts of a delivery under lease, from any offset, never whole in memory.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::Delivery;
use adapters_worker::Queue;
use bytes::Bytes;
use gateway_model::{Digest, Reason, Refusal};
use proto::v1;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::asked::Held;
use crate::doors::pipeline::Answers;
use crate::doors::{Caller, Doors, Place};

const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that wait for their reader.
const CHUNKS_AHEAD: usize = 2;
/// A reader that takes nothing for so long frees its place.
const STALL_MAX: Duration = Duration::from_secs(60);
/// After so many chunks it is looked whether the lease still holds.
const CHUNKS_PER_LOOK: usize = 16;

/// Begins a download.
pub(super) async fn begin(
    doors: &Doors,
    caller: &Caller,
    queue: Arc<Queue>,
    held: Held,
    delivery: &Delivery,
    asked: &v1::DownloadPartRequest,
    place: Place,
) -> Result<Answers<v1::DownloadPartResponse>, Refusal> {
    let digest = Digest::from_slice(&asked.sha256);
    let digest = digest.ok_or_else(|| Refusal::new(Reason::PartDigestInvalid).at("sha256"))?;
    let part = delivery.envelope.parts.iter().find(|part| part.digest == digest);
    let part =
        part.ok_or_else(|| Refusal::new(Reason::NotFound).at("sha256").saw("the envelope names no such part"))?;
    if asked.offset > part.size {
        return Err(Refusal::new(Reason::UploadOffset).at("offset").saw(format!("{} bytes are here", part.size)));
    }
    let source = delivery.parts.open(&digest, asked.offset).await.map_err(|error| {
        tracing::error!(part = %digest, %error, "a part cannot be read");
        Refusal::new(Reason::StoreUnavailable)
    })?;
    let (chunks, answers) = mpsc::channel(CHUNKS_AHEAD);
    let stall_max = doors.limits.request_timeout.min(STALL_MAX);
    let pump = Pump { queue, held, caller: caller.clone(), source, chunks, stall_max };
    tokio::spawn(async move {
        pump.run().await;
        drop(place);
    });
    Ok(Box::pin(ReceiverStream::new(answers)))
}

struct Pump {
    queue: Arc<Queue>,
    held: Held,
    caller: Caller,
    source: Box<dyn AsyncRead + Send + Unpin>,
    chunks: mpsc::Sender<Result<v1::DownloadPartResponse, Status>>,
    stall_max: Duration,
}

impl Pump {
    async fn run(mut self) {
        let mut count = 0_usize;
        loop {
            let next = match self.next(count).await {
                Ok(Some(chunk)) => Ok(v1::DownloadPartResponse { chunk }),
                Ok(None) => return,
                Err(refusal) => Err(self.caller.status(&refusal)),
            };
            let is_last = next.is_err();
            // A reader that is gone, or takes nothing, ends it; it goes on from its offset.
            let sent = tokio::time::timeout(self.stall_max, self.chunks.send(next)).await;
            if is_last || !matches!(sent, Ok(Ok(()))) {
                return;
            }
            count += 1;
        }
    }

    async fn next(&mut self, count: usize) -> Result<Option<Bytes>, Refusal> {
        if count.is_multiple_of(CHUNKS_PER_LOOK) {
            let holds = self.held.token.is_some_and(|token| self.queue.mailbox().held(self.held.id, token).is_ok());
            if !holds {
                return Err(Reason::LeaseLost.into());
            }
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while filled < CHUNK_BYTES {
            let Some(rest) = chunk.get_mut(filled..) else { break };
            match self.source.read(rest).await {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) => {
                    tracing::error!(%error, "a part cannot be read to its end");
                    return Err(Reason::StoreUnavailable.into());
                }
            }
        }
        chunk.truncate(filled);
        Ok((filled > 0).then(|| chunk.into()))
    }
}
