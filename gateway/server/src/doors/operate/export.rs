//! One envelope with all that belongs to it, as it was signed. Content is read here and nowhere else, so it leaves an audit entry first.

use futures::stream::{self, StreamExt as _};
use gateway_model::Refusal;
use gateway_store::rows::EnvelopeRow;
use prost::Message as _;
use proto::v1;
use proto::v1::export_response::Frame;
use tokio::io::AsyncReadExt as _;
use tonic::Status;

use super::super::pipeline::Answers;
use super::super::{Caller, Doors, Lasting};
use gateway_model::Reason;

/// Events told with an envelope.
const EVENTS_MAX: usize = 1_024;
const CHUNK_BYTES: usize = 256 * 1024;

/// Streams it: the envelope, its receipts, its parts.
///
/// # Cancellation
/// A caller that leaves has read what it has read; the audit says that it asked.
pub(super) async fn export(
    doors: &Doors,
    caller: &Caller,
    row: EnvelopeRow,
) -> Result<Answers<v1::ExportResponse>, Refusal> {
    let place = doors.place(Lasting::Download, &caller.party)?;
    let store = doors.engine.store();
    let unavailable = |_| Refusal::new(Reason::StoreUnavailable);
    let signed = store.body(row.seq).await.map_err(unavailable)?;
    let signed = signed.ok_or_else(|| Refusal::new(Reason::NotFound).saw("the body is no longer kept"))?;
    let events = store.events(row.seq, None, EVENTS_MAX).await.map_err(unavailable)?;
    let mut frames = vec![Frame::SignedEnvelope(signed)];
    frames.extend(events.iter().map(|event| Frame::Receipt(event.receipt.to_wire())));
    let head = stream::iter(frames.into_iter().map(|frame| Ok(v1::ExportResponse { frame: Some(frame) })));
    let (parts, doors) = (row.header.parts.clone(), doors.clone());
    let parts = stream::iter(parts).then(move |part| {
        let doors = doors.clone();
        async move { part_frames(doors, part).await }
    });
    let whole = head.chain(parts.flatten()).map(move |frame| {
        // Held until the last frame is gone.
        let _place = &place;
        frame
    });
    Ok(whole.boxed())
}

async fn part_frames(
    doors: Doors,
    part: gateway_store::accept::PartRef,
) -> stream::BoxStream<'static, Result<v1::ExportResponse, Status>> {
    let header = v1::PartHeader { sha256: part.digest.as_bytes().to_vec().into(), size: part.size, offset: 0 };
    debug_assert!(header.encoded_len() < 128);
    let failed = |what: String| stream::iter([Err(Status::data_loss(what))]).boxed();
    let reader = match doors.engine.parts().open(&part.digest, 0).await {
        Ok(reader) => reader,
        Err(error) => return failed(format!("part {}: {error}", part.digest)),
    };
    let first = stream::iter([Ok(v1::ExportResponse { frame: Some(Frame::Part(header)) })]);
    let chunks = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let mut chunk = vec![0; CHUNK_BYTES];
        match reader.read(&mut chunk).await {
            Ok(0) => None,
            Ok(read) => {
                chunk.truncate(read);
                Some((Ok(v1::ExportResponse { frame: Some(Frame::Chunk(chunk.into())) }), Some(reader)))
            }
            Err(error) => Some((Err(Status::data_loss(error.to_string())), None)),
        }
    });
    first.chain(chunks).boxed()
}
