//! A request and its answer; bodies are bytes or streams, and every byte of an answer is counted as it is read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gateway_model::Digest;
use gateway_model::hash::Hasher;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::fault::LocalFault;
use super::{Origin, OutboundError};

/// Bytes read from a streamed body at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// One call to make.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to, in full.
    pub url: Uri,
    /// The headers; `host` and the length of the body are added.
    pub headers: HeaderMap,
    /// The body.
    pub body: RequestBody,
    /// For the whole exchange, where it is to be shorter than the client's own bound.
    pub time_max: Option<Duration>,
}

/// What is sent.
pub enum RequestBody {
    /// Bytes in memory; may be empty.
    Bytes(Bytes),
    /// A stream of exactly `size` bytes.
    Stream {
        /// Where from.
        reader: Box<dyn AsyncRead + Send + Unpin>,
        /// How many bytes; more or fewer break the call off.
        size: u64,
    },
}

impl Request {
    /// A call without headers and body.
    pub fn new(method: Method, url: Uri) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: RequestBody::Bytes(Bytes::new()), time_max: None }
    }
}

/// An answer whose body is still to be read.
pub struct Response {
    /// The status. A redirect is an answer like any other: nothing follows it.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    pub(super) origin: Origin,
    pub(super) body: Incoming,
    pub(super) until: Instant,
    pub(super) idle_time_max: Duration,
    pub(super) body_bytes_max: u64,
}

/// What was read into a writer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// How many bytes.
    pub size: u64,
    /// Their SHA-256.
    pub digest: Digest,
}

impl Response {
    /// The answer itself when its status is a success.
    ///
    /// # Errors
    /// [`OutboundError::Status`] otherwise.
    pub fn success(self) -> Result<Self, OutboundError> {
        if self.status.is_success() { Ok(self) } else { Err(OutboundError::Status(self.status.as_u16())) }
    }

    /// How long the other side asks to wait: `retry-after` in seconds; dates are not understood.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
        text.trim().parse().ok().map(Duration::from_secs)
    }

    /// Reads the whole body, at most `bytes_max` and the client's own bound.
    ///
    /// # Errors
    /// When it is larger, late or broken off.
    pub async fn collect(mut self, bytes_max: u64) -> Result<Bytes, OutboundError> {
        let mut collected = BytesMut::new();
        let mut room = self.room(bytes_max)?;
        while let Some(bytes) = self.next(&mut room).await? {
            collected.extend_from_slice(&bytes);
        }
        Ok(collected.freeze())
    }

    /// Reads the body into `writer`, at most `bytes_max` and the client's own bound.
    ///
    /// # Errors
    /// When it is larger, late or broken off, or `writer` fails. `writer` then holds a piece of it.
    pub async fn copy_to(
        mut self,
        writer: &mut (dyn AsyncWrite + Send + Unpin),
        bytes_max: u64,
    ) -> Result<Received, OutboundError> {
        let mut room = self.room(bytes_max)?;
        let (mut hasher, mut size) = (Hasher::new(), 0);
        while let Some(bytes) = self.next(&mut room).await? {
            hasher.update(&bytes);
            size += bytes.len() as u64;
            writer.write_all(&bytes).await.map_err(OutboundError::Local)?;
        }
        writer.flush().await.map_err(OutboundError::Local)?;
        Ok(Received { size, digest: hasher.finish() })
    }

    /// How many bytes may come. A body that says beforehand that it is larger is not begun.
    fn room(&self, bytes_max: u64) -> Result<Room, OutboundError> {
        let bytes_max = bytes_max.min(self.body_bytes_max);
        if self.body.size_hint().lower() > bytes_max {
            return Err(OutboundError::TooLarge { origin: self.origin.clone(), bytes_max });
        }
        Ok(Room { left: bytes_max, bytes_max })
    }

    async fn next(&mut self, room: &mut Room) -> Result<Option<Bytes>, OutboundError> {
        loop {
            let until = self.until.min(Instant::now() + self.idle_time_max);
            let frame = tokio::time::timeout_at(until, self.body.frame()).await;
            let frame = frame.map_err(|_| OutboundError::TimedOut { origin: self.origin.clone() })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|fault| OutboundError::of_call(&self.origin, room.bytes_max, &fault))?;
            let Ok(bytes) = frame.into_data() else { continue };
            let Some(left) = room.left.checked_sub(bytes.len() as u64) else {
                return Err(OutboundError::TooLarge { origin: self.origin.clone(), bytes_max: room.bytes_max });
            };
            room.left = left;
            return Ok(Some(bytes));
        }
    }
}

struct Room {
    left: u64,
    bytes_max: u64,
}

/// When a byte last moved: a long upload is not idle.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    pub(super) fn begin() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// A body on its way out.
pub(super) struct Outgoing {
    source: Source,
    progress: Progress,
}

enum Source {
    Bytes(Option<Bytes>),
    Stream { reader: Box<dyn AsyncRead + Send + Unpin>, left: u64, has_ended: bool },
}

impl Outgoing {
    pub(super) fn new(body: RequestBody, progress: Progress) -> Self {
        let source = match body {
            RequestBody::Bytes(bytes) => Source::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())),
            RequestBody::Stream { reader, size } => Source::Stream { reader, left: size, has_ended: size == 0 },
        };
        Self { source, progress }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = LocalFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.progress.mark();
        let (reader, left, has_ended) = match &mut self.source {
            Source::Bytes(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Stream { has_ended: true, .. } => return Poll::Ready(None),
            Source::Stream { reader, left, has_ended } => (reader, left, has_ended),
        };
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(*left).unwrap_or(CHUNK_BYTES))];
        let mut buffer = ReadBuf::new(&mut chunk);
        match Pin::new(reader).poll_read(cx, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(fault)) => return Poll::Ready(Some(Err(LocalFault(fault)))),
            Poll::Ready(Ok(())) => {}
        }
        let read = buffer.filled().len();
        if read == 0 {
            let short = io::Error::new(io::ErrorKind::UnexpectedEof, "the body is shorter than it was said to be");
            return Poll::Ready(Some(Err(LocalFault(short))));
        }
        *left -= read as u64;
        *has_ended = *left == 0;
        chunk.truncate(read);
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Bytes(bytes) => bytes.is_none(),
            Source::Stream { has_ended, .. } => *has_ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.source {
            Source::Bytes(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Source::Stream { left, .. } => *left,
        })
    }
}
