//! Reads parts of a leased delivery from the gateway: a broken download goes on where it stopped, and the whole has its digest.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use gateway_model::hash::Hasher;
use gateway_model::{Digest, Refusal};
use proto::v1;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, watch};

use super::link::{BackOff, Client, refusal};
use crate::PartSource;

/// Chunks on their way to a reader.
const CHUNKS_AHEAD: usize = 4;
/// Attempts in a row that bring nothing before a download is given up.
const ATTEMPTS_MAX: u32 = 8;

/// The parts of one delivery.
pub(super) struct LeasedParts {
    pub client: Client,
    pub worker_id: watch::Receiver<String>,
    pub lease: v1::LeaseReference,
    pub sizes: HashMap<Digest, u64>,
}

#[async_trait]
impl PartSource for LeasedParts {
    async fn open(&self, digest: &Digest, offset: u64) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let no_such = || io::Error::new(io::ErrorKind::NotFound, "the delivery names no such part");
        let size = *self.sizes.get(digest).ok_or_else(no_such)?;
        let (chunks, received) = mpsc::channel(CHUNKS_AHEAD);
        let download = Download {
            client: self.client.clone(),
            worker_id: self.worker_id.clone(),
            lease: self.lease.clone(),
            digest: *digest,
            size,
            offset: offset.min(size),
            hasher: (offset == 0).then(Hasher::new),
        };
        let task = tokio::spawn(download.run(chunks));
        let left = size.saturating_sub(offset);
        Ok(Box::new(Chunks { received, rest: Bytes::new(), left, _task: AbortOnDrop(task) }))
    }
}

struct Download {
    client: Client,
    worker_id: watch::Receiver<String>,
    lease: v1::LeaseReference,
    digest: Digest,
    size: u64,
    offset: u64,
    /// Set when the whole is read.
    hasher: Option<Hasher>,
}

impl Download {
    async fn run(mut self, chunks: mpsc::Sender<io::Result<Bytes>>) {
        let mut back_off = BackOff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut fruitless = 0;
        while self.offset < self.size {
            let before = self.offset;
            let Err(fault) = self.go_on(&chunks).await else { continue };
            let Some(fault) = fault else { return };
            if self.offset > before {
                (fruitless, back_off) = (0, BackOff::new(Duration::from_millis(100), Duration::from_secs(5)));
            }
            fruitless += 1;
            if !fault.reason.is_retryable() || fruitless >= ATTEMPTS_MAX {
                // A reader that went away needs no answer.
                drop(chunks.send(Err(io::Error::other(fault))).await);
                return;
            }
            tokio::time::sleep(back_off.wait(fault.retry_after)).await;
        }
        let is_whole = self.hasher.take().is_none_or(|hasher| hasher.finish() == self.digest);
        if !is_whole {
            let said = "the bytes of the part are not those of its digest";
            drop(chunks.send(Err(io::Error::new(io::ErrorKind::InvalidData, said))).await);
        }
    }

    /// Downloads until the end or a fault; the inner `None` says that nobody reads any more.
    async fn go_on(&mut self, chunks: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), Option<Refusal>> {
        let request = v1::DownloadPartRequest {
            worker_id: self.worker_id.borrow().clone(),
            lease: Some(self.lease.clone()),
            sha256: Bytes::copy_from_slice(&self.digest.0),
            offset: self.offset,
        };
        let answered = self.client.download_part(request).await;
        let mut stream = answered.map_err(|status| Some(refusal(&status)))?.into_inner();
        while let Some(response) = stream.message().await.map_err(|status| Some(refusal(&status)))? {
            let chunk = response.chunk;
            let too_long = || Refusal::new(gateway_model::Reason::PartSizeMismatch).saw("more bytes than the part has");
            let end = self.offset + chunk.len() as u64;
            if end > self.size {
                return Err(Some(too_long()));
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&chunk);
            }
            self.offset = end;
            chunks.send(Ok(chunk)).await.map_err(|_| None)?;
        }
        if self.offset < self.size {
            return Err(Some(Refusal::new(gateway_model::Reason::PeerUnreachable).saw("the download ended early")));
        }
        Ok(())
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Chunks {
    received: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    /// Bytes that are still to come: an end before them is a fault, never a shorter part.
    left: u64,
    _task: AbortOnDrop,
}

impl AsyncRead for Chunks {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match self.received.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) if self.left == 0 => return Poll::Ready(Ok(())),
                Poll::Ready(None) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(fault)),
                Poll::Ready(Some(Ok(chunk))) => {
                    self.left = self.left.saturating_sub(chunk.len() as u64);
                    self.rest = chunk;
                }
            }
        }
        let count = buffer.remaining().min(self.rest.len());
        buffer.put_slice(&self.rest[..count]);
        self.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}
