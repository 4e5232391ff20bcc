//! Uploading parts and submitting an envelope, as an agency's system does it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::hash::Hasher;
use gateway_model::limits::{CHUNK_BYTES_MAX, PARTS_MAX};
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tonic::client::GrpcService;
use tonic::codegen::{Body, StdError};

/// A file that goes along as a part.
#[derive(Clone, Debug)]
pub struct PartFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

impl PartFile {
    /// Measures and hashes a file, a piece at a time.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(path: &Path) -> anyhow::Result<Self> {
        let mut file = tokio::fs::File::open(path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let mut hasher = Hasher::new();
        let mut size = 0u64;
        let mut piece = vec![0u8; CHUNK_BYTES_MAX];
        loop {
            let count = file.read(&mut piece).await.with_context(|| format!("cannot read {}", path.display()))?;
            if count == 0 {
                break;
            }
            hasher.update(&piece[..count]);
            size += count as u64;
        }
        Ok(Self { path: path.to_owned(), size, digest: hasher.finish() })
    }
}

/// A connection on which calls can be made, plain or with an interceptor.
pub trait Calls: GrpcService<tonic::body::Body, Error: Into<StdError>> {}

impl<C: GrpcService<tonic::body::Body, Error: Into<StdError>>> Calls for C {}

/// Uploads those of `parts` that the gateway does not have, each from where a broken upload stopped; tells `progress` of every chunk.
///
/// # Errors
/// When a file cannot be read or the gateway refuses a part.
pub async fn upload_missing<C: Calls>(
    client: &mut SubmitServiceClient<C>,
    parts: &[PartFile],
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<()>
where
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<StdError> + Send,
    C::Future: Send,
{
    for group in parts.chunks(PARTS_MAX) {
        let sha256 = group.iter().map(|part| Bytes::copy_from_slice(part.digest.as_bytes())).collect();
        let missing = client.missing_parts(v1::MissingPartsRequest { sha256 }).await?.into_inner().missing;
        for part in group {
            match missing.iter().find(|m| m.sha256[..] == part.digest.as_bytes()[..]) {
                Some(m) => upload(client, part, m.received, progress).await?,
                None => progress(part.size),
            }
        }
    }
    Ok(())
}

async fn upload<C: Calls>(
    client: &mut SubmitServiceClient<C>,
    part: &PartFile,
    offset: u64,
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<()>
where
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<StdError> + Send,
    C::Future: Send,
{
    let mut file =
        tokio::fs::File::open(&part.path).await.with_context(|| format!("cannot read {}", part.path.display()))?;
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    progress(offset);
    let (send, receive) = tokio::sync::mpsc::channel(4);
    let header = v1::PartHeader { sha256: Bytes::copy_from_slice(part.digest.as_bytes()), size: part.size, offset };
    let feed = async move {
        let frame = |frame| v1::UploadPartRequest { frame: Some(frame) };
        if send.send(frame(v1::upload_part_request::Frame::Header(header))).await.is_err() {
            return Ok(());
        }
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES_MAX / 4);
            if file.read_buf(&mut chunk).await? == 0 {
                return std::io::Result::Ok(());
            }
            progress(chunk.len() as u64);
            if send.send(frame(v1::upload_part_request::Frame::Chunk(chunk.freeze()))).await.is_err() {
                // The gateway has hung up; its answer says why.
                return Ok(());
            }
        }
    };
    let call = client.upload_part(tokio_stream::wrappers::ReceiverStream::new(receive));
    let (fed, answer) = tokio::join!(feed, call);
    fed.with_context(|| format!("cannot read {}", part.path.display()))?;
    answer?;
    Ok(())
}
