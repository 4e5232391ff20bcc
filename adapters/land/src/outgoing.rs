//! A JSON body on its way out, with files in base64 that are read and encoded as they go: memory does not follow their size.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adapters_sdk::PartSource;
use adapters_sdk::outbound::RequestBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use gateway_model::Digest;
use gateway_model::hash::Hasher;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that are encoded at once: whole groups of three.
const GROUP_BYTES: usize = 48 * 1024;

/// Texts that stand for files in a JSON body, each with a mark that nothing else in it has.
pub(crate) struct Files {
    mark: String,
    files: Vec<(Digest, u64)>,
}

impl Files {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { mark: uuid::Uuid::new_v4().simple().to_string(), files: Vec::new() }
    }

    /// The text to put where a file's base64 belongs.
    pub(crate) fn put(&mut self, digest: Digest, size: u64) -> String {
        self.files.push((digest, size));
        format!("{}:{};", self.mark, self.files.len() - 1)
    }

    /// The body: `json` with the files in the place of their marks.
    pub(crate) fn into_body(self, json: &str, parts: Arc<dyn PartSource>) -> RequestBody {
        let mut segments = VecDeque::new();
        let mut rest = json;
        while let Some((before, after)) = rest.split_once(&self.mark) {
            let Some((number, after)) = after.split_once(';') else { break };
            let file = number.strip_prefix(':').and_then(|n| n.parse::<usize>().ok()).and_then(|n| self.files.get(n));
            let Some(&(digest, size)) = file else { break };
            segments.push_back(Segment::Text(Bytes::copy_from_slice(before.as_bytes())));
            segments.push_back(Segment::File(digest, size));
            rest = after;
        }
        segments.push_back(Segment::Text(Bytes::copy_from_slice(rest.as_bytes())));
        let size = segments.iter().map(Segment::encoded_size).sum();
        RequestBody::Stream { reader: Box::new(JsonBody { segments, parts, current: Current::Nothing }), size }
    }
}

enum Segment {
    Text(Bytes),
    File(Digest, u64),
}

impl Segment {
    fn encoded_size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File(_, size) => size.div_ceil(3) * 4,
        }
    }
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;

struct JsonBody {
    segments: VecDeque<Segment>,
    parts: Arc<dyn PartSource>,
    current: Current,
}

enum Current {
    Nothing,
    Text(Bytes),
    Opening(BoxFuture<'static, io::Result<Reader>>, Digest, u64),
    Reading(Reading),
}

struct Reading {
    reader: Reader,
    hasher: Option<Hasher>,
    digest: Digest,
    left: u64,
    raw: Vec<u8>,
    encoded: Bytes,
}

impl AsyncRead for JsonBody {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.current {
                Current::Text(text) if text.has_remaining() => {
                    let count = text.len().min(buffer.remaining());
                    buffer.put_slice(&text.split_to(count));
                    return Poll::Ready(Ok(()));
                }
                Current::Opening(opening, digest, size) => {
                    let reader = ready!(opening.as_mut().poll(cx))?;
                    let (hasher, raw) = (Some(Hasher::new()), Vec::with_capacity(GROUP_BYTES));
                    let (digest, left) = (*digest, *size);
                    this.current =
                        Current::Reading(Reading { reader, hasher, digest, left, raw, encoded: Bytes::new() });
                }
                Current::Reading(reading) => {
                    if ready!(reading.poll_fill(cx))? {
                        let count = reading.encoded.len().min(buffer.remaining());
                        buffer.put_slice(&reading.encoded.split_to(count));
                        return Poll::Ready(Ok(()));
                    }
                    this.current = Current::Nothing;
                }
                Current::Nothing | Current::Text(_) => match this.segments.pop_front() {
                    None => return Poll::Ready(Ok(())),
                    Some(Segment::Text(text)) => this.current = Current::Text(text),
                    Some(Segment::File(digest, size)) => {
                        let parts = this.parts.clone();
                        let opening = Box::pin(async move { parts.open(&digest, 0).await });
                        this.current = Current::Opening(opening, digest, size);
                    }
                },
            }
        }
    }
}

impl Reading {
    /// Makes sure that something encoded is at hand; false at the end of the file, whose bytes were the right ones then.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.encoded.has_remaining() {
            return Poll::Ready(Ok(true));
        }
        while self.left > 0 && self.raw.len() < GROUP_BYTES {
            let wanted = (GROUP_BYTES - self.raw.len()).min(usize::try_from(self.left).unwrap_or(GROUP_BYTES));
            let from = self.raw.len();
            self.raw.resize(from + wanted, 0);
            let mut chunk = ReadBuf::new(&mut self.raw[from..]);
            let polled = Pin::new(&mut self.reader).poll_read(cx, &mut chunk);
            let count = chunk.filled().len();
            self.raw.truncate(from + count);
            ready!(polled)?;
            if count == 0 {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a part is shorter than named")));
            }
            self.left -= count as u64;
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.raw);
        }
        let is_over = self.raw.is_empty();
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a part has other bytes than named")));
        }
        self.encoded = STANDARD.encode(&self.raw).into();
        self.raw.clear();
        Poll::Ready(Ok(!is_over))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::fixture::MemoryParts;

    #[tokio::test]
    async fn files_stand_in_base64_where_their_marks_stood_and_the_size_is_said_beforehand() {
        let contents: Vec<Vec<u8>> =
            [0, 1, 2, 3, GROUP_BYTES, GROUP_BYTES + 1, 200_000].map(|size| vec![0xA7; size]).to_vec();
        let slices: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let parts = Arc::new(MemoryParts::of(&slices));
        let mut files = Files::new();
        let texts: Vec<String> =
            contents.iter().map(|bytes| files.put(Digest::of(bytes), bytes.len() as u64)).collect();
        let json = serde_json::json!({ "a": texts, "ghi": "chú; 0:1;" }).to_string();
        let RequestBody::Stream { mut reader, size } = files.into_body(&json, parts) else { panic!("a stream") };
        let mut body = String::new();
        reader.read_to_string(&mut body).await.unwrap();
        assert_eq!(body.len() as u64, size);
        let expected: Vec<String> = contents.iter().map(|bytes| STANDARD.encode(bytes)).collect();
        assert_eq!(body, serde_json::json!({ "a": expected, "ghi": "chú; 0:1;" }).to_string());
    }

    #[tokio::test]
    async fn a_part_with_other_bytes_breaks_the_body_off() {
        let mut files = Files::new();
        let json = format!("[\"{}\"]", files.put(Digest::of(b"these"), 5));
        let mut parts = MemoryParts::default();
        parts.parts.insert(Digest::of(b"these"), Bytes::from_static(b"those"));
        let RequestBody::Stream { mut reader, .. } = files.into_body(&json, Arc::new(parts)) else {
            panic!("a stream")
        };
        assert_eq!(reader.read_to_end(&mut Vec::new()).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
