//! The way in for an adapter that runs out of process: the gateway's door for workers behind the same trait.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use gateway_model::agency::Hop;
use gateway_model::id::{AgencyId, EnvelopeId, EnvelopeKey};
use gateway_model::{Reason, Refusal, Timestamp};
use prost::Message;
use proto::v1;
use proto::v1::adapter_service_upload_part_request::Frame;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::link::{Client, refusal};
use super::work::now;
use crate::{Door, NewPart, Submitted};

/// Bytes of one chunk of an upload.
const CHUNK_BYTES: usize = 256 * 1024;

/// The door as a worker has it.
pub(super) struct RemoteDoor {
    pub client: Client,
    /// The queue stands in for the system: the gateway knows the worker by its certificate, and by nothing that it says.
    pub hop: Hop,
    pub closing: CancellationToken,
}

#[async_trait]
impl Door for RemoteDoor {
    async fn upload(&self, part: NewPart, mut bytes: Box<dyn AsyncRead + Send + Unpin>) -> Result<(), Refusal> {
        let sha256 = Bytes::copy_from_slice(&part.digest.0);
        let question = v1::AdapterServiceMissingPartsRequest { sha256: vec![sha256.clone()] };
        let answer = self.client.clone().missing_parts(question).await.map_err(|status| refusal(&status))?;
        let Some(missing) = answer.into_inner().missing.into_iter().next() else { return Ok(()) };
        // A gateway that claims more than there is starts again.
        let offset = if missing.received < part.size { missing.received } else { 0 };
        skip(&mut bytes, offset).await?;
        let header = v1::PartHeader { sha256, size: part.size, offset };
        let (broken, breaks) = oneshot::channel();
        let frames = frames(Frames { header: Some(header), bytes, left: part.size - offset, broken: Some(broken) });
        let mut client = self.client.clone();
        // A stream of requests cannot carry an error: when our side breaks, the whole call is dropped, which resets it.
        tokio::select! {
            answered = client.upload_part(frames) => answered.map(drop).map_err(|status| refusal(&status)),
            Ok(fault) = breaks => Err(fault),
        }
    }

    async fn submit(&self, signed: Bytes) -> Result<Submitted, Refusal> {
        let envelope = v1::SignedEnvelope::decode(signed)
            .map_err(|fault| Refusal::new(Reason::EnvelopeMalformed).saw(fault.to_string()))?;
        let request = v1::SubmitRequest { envelope: Some(envelope), inline_parts: Vec::new() };
        let request = v1::AdapterServiceSubmitRequest { request: Some(request) };
        let answer = self
            .client
            .clone()
            .submit(crate::trace::carry(request))
            .await
            .map_err(|status| refusal(&status))?
            .into_inner();
        let strange =
            || Refusal::new(Reason::PeerUnreachable).saw("the gateway's answer has no receipt that can be read");
        let answer = answer.response.ok_or_else(strange)?;
        let receipt = answer.receipt.ok_or_else(strange)?;
        let event = v1::Event::decode(receipt.event.clone()).map_err(|_| strange())?;
        let key = EnvelopeKey {
            sender: AgencyId::parse(&event.sender).map_err(|_| strange())?,
            id: EnvelopeId::parse(&event.envelope_id).map_err(|_| strange())?,
        };
        Ok(Submitted { key, receipt: receipt.encode_to_vec().into(), duplicate: answer.duplicate })
    }

    fn hop(&self) -> &Hop {
        &self.hop
    }

    fn now(&self) -> Timestamp {
        now()
    }

    async fn closed(&self) {
        self.closing.cancelled().await;
    }
}

async fn skip(bytes: &mut (dyn AsyncRead + Send + Unpin), count: u64) -> Result<(), Refusal> {
    let skipped = tokio::io::copy(&mut bytes.take(count), &mut tokio::io::sink()).await;
    match skipped {
        Ok(skipped) if skipped == count => Ok(()),
        _ => Err(own_fault("the part cannot be read up to where its upload stopped")),
    }
}

/// A part that its own adapter cannot read now.
fn own_fault(said: &str) -> Refusal {
    Refusal::new(Reason::AdapterFailed).saw(said)
}

struct Frames {
    header: Option<v1::PartHeader>,
    bytes: Box<dyn AsyncRead + Send + Unpin>,
    left: u64,
    broken: Option<oneshot::Sender<Refusal>>,
}

/// The header, then chunks until nothing is left. HTTP/2 asks for the next one only when there is room.
fn frames(frames: Frames) -> impl Stream<Item = v1::AdapterServiceUploadPartRequest> + Send + 'static {
    stream::unfold(frames, |mut frames| async move {
        let frame = match frames.header.take() {
            Some(header) => Frame::Header(header),
            None if frames.left == 0 => return None,
            None => {
                let wanted = usize::try_from(frames.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                let mut chunk = BytesMut::zeroed(wanted);
                let read = frames.bytes.read(&mut chunk).await.unwrap_or(0);
                if read == 0 {
                    let broken = frames.broken.take()?;
                    // The call is being dropped when nobody listens.
                    drop(broken.send(own_fault("the part ends early or cannot be read")));
                    return std::future::pending().await;
                }
                chunk.truncate(read);
                frames.left -= read as u64;
                Frame::Chunk(chunk.freeze())
            }
        };
        Some((v1::AdapterServiceUploadPartRequest { frame: Some(frame) }, frames))
    })
}

/// Serves the other direction until the worker drains; what breaks is started again after a pause.
pub(super) async fn receive(adapter: Arc<dyn crate::Adapter>, door: Arc<RemoteDoor>) {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(10);
    loop {
        match adapter.receive(door.clone()).await {
            Ok(()) => return,
            Err(fault) => tracing::error!(%fault, "the way in has stopped; it is started again"),
        }
        tokio::select! {
            () = door.closed() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
