//! Brings the parts that the peer lacks, from where a broken upload stopped.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapters_sdk::Delivery;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, Stream};
use gateway_model::{Digest, limits};
use proto::v1;
use proto::v1::relay_service_upload_part_request::Frame;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{Semaphore, oneshot};

use crate::fault::Fault;
use crate::link::Link;

/// A part of up to so many bytes is small.
const SMALL_BYTES_MAX: u64 = limits::INLINE_BYTES_MAX as u64;

/// Turns of uploads on one connection: small parts never wait for large ones, which may take hours on a thin line.
pub(crate) struct Turns {
    small: Semaphore,
    large: Semaphore,
}

impl Turns {
    /// So many of each kind at once.
    pub(crate) fn new(uploads_max: usize) -> Self {
        let turns = || Semaphore::new(uploads_max.clamp(1, Semaphore::MAX_PERMITS));
        Self { small: turns(), large: turns() }
    }

    fn of(&self, size: u64) -> &Semaphore {
        if size <= SMALL_BYTES_MAX { &self.small } else { &self.large }
    }
}

/// Bytes of parts that have been given to the connection: whoever waits sees that it goes on.
pub(crate) type Progress = Arc<AtomicU64>;

/// Uploads whatever part of `delivery` the peer does not have from us.
pub(crate) async fn bring_parts(
    link: &Link,
    delivery: &Delivery,
    turns: &Turns,
    chunk_bytes: usize,
    progress: &Progress,
) -> Result<(), Fault> {
    let sizes: BTreeMap<Digest, u64> = delivery.envelope.parts.iter().map(|part| (part.digest, part.size)).collect();
    if sizes.is_empty() {
        return Ok(());
    }
    let sha256 = sizes.keys().map(|digest| Bytes::copy_from_slice(&digest.0)).collect();
    let question = v1::RelayServiceMissingPartsRequest { sha256 };
    let answer = link.client.clone().missing_parts(question).await.map_err(|status| Fault::from_status(&status))?;
    for missing in answer.into_inner().missing {
        let digest = Digest::from_slice(&missing.sha256);
        let Some((digest, &size)) = digest.and_then(|digest| Some((digest, sizes.get(&digest)?))) else {
            return Err(Fault::Unreachable("the peer misses a part that it was not asked about".to_owned()));
        };
        // A peer that claims more than there is starts again.
        let offset = if missing.received < size { missing.received } else { 0 };
        let turn = turns.of(size - offset).acquire().await;
        let _turn = turn.map_err(|_| Fault::Unreachable("the relay is closed".to_owned()))?;
        let header = v1::PartHeader { sha256: missing.sha256, size, offset };
        bring_part(link, delivery, header, digest, chunk_bytes, progress).await?;
    }
    Ok(())
}

async fn bring_part(
    link: &Link,
    delivery: &Delivery,
    header: v1::PartHeader,
    digest: Digest,
    chunk_bytes: usize,
    progress: &Progress,
) -> Result<(), Fault> {
    let left = header.size - header.offset;
    let opened = delivery.parts.open(&digest, header.offset).await;
    let source = opened.map_err(|fault| Fault::Source(fault.to_string()))?;
    let (broken, breaks) = oneshot::channel();
    let chunk_bytes = chunk_bytes.clamp(1, limits::CHUNK_BYTES_MAX);
    let progress = progress.clone();
    let frames = frames(Frames { header: Some(header), source, left, chunk_bytes, broken: Some(broken), progress });
    let mut client = link.client.clone();
    // A stream of requests cannot carry an error: when our side breaks, the whole call is dropped, which resets it.
    tokio::select! {
        answered = client.upload_part(frames) => answered.map(drop).map_err(|status| Fault::from_status(&status)),
        Ok(fault) = breaks => Err(Fault::Source(fault.to_string())),
    }
}

struct Frames {
    header: Option<v1::PartHeader>,
    source: Box<dyn AsyncRead + Send + Unpin>,
    left: u64,
    chunk_bytes: usize,
    broken: Option<oneshot::Sender<io::Error>>,
    progress: Progress,
}

/// The header, then chunks until nothing is left. HTTP/2 asks for the next one only when there is room.
fn frames(state: Frames) -> impl Stream<Item = v1::RelayServiceUploadPartRequest> + Send {
    stream::unfold(state, async |mut state| {
        if let Some(header) = state.header.take() {
            return Some((v1::RelayServiceUploadPartRequest { frame: Some(Frame::Header(header)) }, state));
        }
        if state.left == 0 {
            return None;
        }
        match next_chunk(&mut state).await {
            Ok(chunk) => Some((v1::RelayServiceUploadPartRequest { frame: Some(Frame::Chunk(chunk)) }, state)),
            Err(fault) => {
                if state.broken.take().is_some_and(|broken| broken.send(fault).is_ok()) {
                    // The call is about to be dropped; an end of the stream here would look like a short part.
                    std::future::pending::<()>().await;
                }
                None
            }
        }
    })
}

async fn next_chunk(state: &mut Frames) -> io::Result<Bytes> {
    let want = state.chunk_bytes.min(usize::try_from(state.left).unwrap_or(usize::MAX));
    let mut chunk = BytesMut::zeroed(want);
    state.source.read_exact(&mut chunk).await?;
    state.left -= want as u64;
    state.progress.fetch_add(want as u64, Ordering::Relaxed);
    Ok(chunk.freeze())
}
