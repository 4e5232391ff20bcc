//! Uploads of parts: header, then chunks, straight into the part store; never whole in memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{Stream, StreamExt as _};
use gateway_model::agency::Hop;
use gateway_model::{Digest, Reason, Refusal, limits};
use gateway_store::Pressure;
use gateway_store::accept::PartRef;
use gateway_store::parts::{PartError, PartWriter};
use proto::v1;
use tonic::Status;

use super::pace::{Pace, TooSlow};
use super::{Caller, Doors, Lasting};

/// A frame of either upload.
pub(super) enum Frame {
    Header(v1::PartHeader),
    Chunk(Bytes),
}

/// Takes one part in and gives its size.
///
/// # Cancellation
/// What has been written stays for the caller to go on from.
pub(super) async fn upload(
    doors: &Doors,
    caller: &Caller,
    frames: impl Stream<Item = Result<Option<Frame>, Status>>,
) -> Result<u64, Status> {
    let hop = caller.hop()?;
    let _place = doors.place(Lasting::Upload, &caller.party).map_err(|refusal| caller.status(&refusal))?;
    let mut frames = std::pin::pin!(frames);
    let mut pace = Pace::new(doors.limits.request_timeout);
    let header = match next(caller, &mut pace, &mut frames).await? {
        Some(Frame::Header(header)) => header,
        Some(Frame::Chunk(_)) | None => return Err(caller.status(&malformed("the header comes first"))),
    };
    let (part, offset) = check(doors, &header).map_err(|refusal| caller.status(&refusal))?;
    let mut writer = begin(doors, &hop, part, offset).await.map_err(|refusal| caller.status(&refusal))?;
    while let Some(frame) = next(caller, &mut pace, &mut frames).await? {
        let Frame::Chunk(chunk) = frame else { return Err(caller.status(&malformed("the header comes once"))) };
        if chunk.len() > limits::CHUNK_BYTES_MAX {
            return Err(caller.status(&malformed("a chunk has at most 1 MiB")));
        }
        doors.quota.upload(&caller.party, chunk.len()).await;
        doors.metrics.uploaded(chunk.len());
        writer.write(chunk).await.map_err(|error| caller.status(&refusal(error)))?;
    }
    writer.finish().await.map_err(|error| caller.status(&refusal(error)))?;
    Ok(part.size)
}

/// Tells which parts of the caller's are not here.
pub(super) async fn missing(doors: &Doors, caller: &Caller, digests: &[Bytes]) -> Result<Vec<v1::MissingPart>, Status> {
    let hop = caller.hop()?;
    if digests.len() > limits::PARTS_MAX {
        return Err(caller.status(&malformed("at most 256 digests").at("sha256")));
    }
    let parsed: Result<Vec<Digest>, Refusal> =
        digests.iter().enumerate().map(|(at, bytes)| digest(bytes, at)).collect();
    let parsed = parsed.map_err(|refusal| caller.status(&refusal))?;
    let missing = doors.engine.parts().missing(&hop, &parsed).await.map_err(|error| caller.status(&refusal(error)))?;
    let wire = |missing: gateway_store::parts::Missing| v1::MissingPart {
        sha256: Bytes::copy_from_slice(missing.digest.as_bytes()),
        received: missing.received,
    };
    Ok(missing.into_iter().map(wire).collect())
}

fn digest(bytes: &Bytes, at: usize) -> Result<Digest, Refusal> {
    Digest::from_slice(bytes).ok_or_else(|| Refusal::new(Reason::PartDigestInvalid).at(format!("sha256[{at}]")))
}

fn check(doors: &Doors, header: &v1::PartHeader) -> Result<(PartRef, u64), Refusal> {
    doors.open()?;
    if let Pressure::Busy { reason, retry_after } = doors.engine.store().pressure() {
        return Err(Refusal::new(reason).retry_after(retry_after));
    }
    let digest = Digest::from_slice(&header.sha256)
        .ok_or_else(|| Refusal::new(Reason::PartDigestInvalid).at("header.sha256"))?;
    if header.size > doors.limits.part_bytes {
        let seen = format!("{} bytes, at most {}", header.size, doors.limits.part_bytes);
        return Err(Refusal::new(Reason::PartTooLarge).at("header.size").saw(seen));
    }
    if header.offset > header.size {
        return Err(Refusal::new(Reason::UploadOffset).at("header.offset").saw("is behind the end"));
    }
    Ok((PartRef { digest, size: header.size }, header.offset))
}

async fn begin(doors: &Doors, hop: &Hop, part: PartRef, offset: u64) -> Result<Box<dyn PartWriter>, Refusal> {
    doors.engine.parts().begin(hop, part, offset).await.map_err(refusal)
}

/// The next frame, within its time: a caller that stalls or crawls frees its place.
async fn next(
    caller: &Caller,
    pace: &mut Pace,
    frames: &mut (impl Stream<Item = Result<Option<Frame>, Status>> + Unpin),
) -> Result<Option<Frame>, Status> {
    let slow = |slow: TooSlow| caller.status(&Refusal::new(Reason::DeadlineExceeded).saw(slow.text()));
    let began = Instant::now();
    let frame = match tokio::time::timeout(pace.patience(), frames.next()).await {
        Ok(Some(Ok(Some(frame)))) => frame,
        Ok(Some(Ok(None))) => return Err(caller.status(&malformed("a frame is a header or a chunk"))),
        Ok(Some(Err(status))) => return Err(status),
        Ok(None) => return Ok(None),
        Err(_) => return Err(slow(TooSlow::Stalled)),
    };
    let bytes = match &frame {
        Frame::Header(_) => 0,
        Frame::Chunk(chunk) => chunk.len(),
    };
    pace.came(bytes, began.elapsed()).map_err(slow)?;
    Ok(Some(frame))
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).saw(what)
}

/// The table from the part store's errors to refusals.
fn refusal(error: PartError) -> Refusal {
    match error {
        PartError::Offset { received } => {
            Refusal::new(Reason::UploadOffset).at("header.offset").saw(format!("{received} bytes are here"))
        }
        PartError::TooLong => Refusal::new(Reason::PartSizeMismatch).at("header.size").saw("more bytes came"),
        PartError::TooShort { received } => {
            Refusal::new(Reason::PartSizeMismatch).at("header.size").saw(format!("{received} bytes came"))
        }
        PartError::DigestMismatch => Refusal::new(Reason::PartDigestMismatch).at("header.sha256"),
        PartError::Busy => {
            Refusal::new(Reason::Overloaded).saw("another upload of the same part is under way").retry_after(BUSY_WAIT)
        }
        PartError::Unknown => Refusal::new(Reason::NotFound),
        PartError::Full => Refusal::new(Reason::StoreFull),
        PartError::File { path, source } => {
            tracing::error!(path = %path.display(), error = %source, "a part cannot be kept");
            Refusal::new(Reason::StoreUnavailable)
        }
        PartError::Unavailable { what, source } => {
            tracing::warn!(%what, error = %source, "the store of the parts is not available");
            Refusal::new(Reason::StoreUnavailable).retry_after(AWAY_WAIT)
        }
    }
}

const BUSY_WAIT: Duration = Duration::from_secs(1);
const AWAY_WAIT: Duration = Duration::from_secs(5);
