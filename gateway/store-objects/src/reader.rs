//! Reading a part piece by piece: its bytes are hashed as they pass, and a damaged part ends in an error instead of an end.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures::stream::{BoxStream, Stream as _, StreamExt as _, TryStreamExt as _};
use gateway_model::Digest;
use gateway_model::hash::Hasher;
use gateway_store::parts::PartError;
use object_store::ObjectStoreExt as _;
use tokio::io::{AsyncRead, ReadBuf};

use crate::failure::{Damaged, failed};
use crate::names::{Object, Piece, Place};
use crate::store::Shared;

/// First line of a list of pieces: what it is, and its format.
const HEAD: &str = "lienthong parts 1";

/// The list of the pieces of a whole part: a line each.
pub(crate) fn write_list(pieces: &[Piece]) -> String {
    let mut list = HEAD.to_owned();
    for piece in pieces {
        // Writing to a string cannot fail.
        let _ = write!(list, "\n{}.{}", piece.index, piece.writer);
    }
    list
}

fn read_list(bytes: &[u8]) -> Option<Vec<Piece>> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next() != Some(HEAD) {
        return None;
    }
    let piece = |line: &str| {
        let (index, writer) = line.split_once('.')?;
        Some(Piece { index: index.parse().ok()?, writer: writer.to_owned() })
    };
    lines.map(piece).collect()
}

/// Opens a whole part at `offset`; what stands before it is read too, for the digest.
pub(crate) async fn open(shared: Arc<Shared>, digest: Digest, offset: u64) -> Result<Reader, PartError> {
    let found = shared.objects.found(&digest).await?;
    let mut wholes: Vec<_> = found.uploads.iter().filter(|(_, upload)| upload.whole().is_some()).collect();
    // One that may go is the last to be read.
    wholes.sort_by_key(|(_, upload)| upload.is_condemned());
    for (place, upload) in wholes {
        let Some((size, writer)) = upload.whole() else { continue };
        let whole = Object::Whole { size, writer: writer.to_owned() };
        let Some(list) = shared.objects.get(place, &whole).await? else { continue };
        let path = shared.objects.prefix.object(place, &whole);
        let pieces = read_list(&list).ok_or_else(|| failed(&path, Damaged))?;
        let bytes = all(shared.clone(), place.clone(), pieces);
        return Ok(Reader { bytes, now: Bytes::new(), skip: offset, digest, hasher: Some(Hasher::new()) });
    }
    Err(PartError::Unknown)
}

/// The bytes of all pieces; one piece is asked for when the one before it has been read.
fn all(shared: Arc<Shared>, place: Place, pieces: Vec<Piece>) -> BoxStream<'static, io::Result<Bytes>> {
    let one = move |piece: Piece| {
        let path = shared.objects.prefix.object(&place, &Object::Piece(piece));
        let shared = shared.clone();
        async move {
            let got = shared.objects.store.get(&path).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(got.into_stream().map_err(io::Error::other))
        }
    };
    futures::stream::iter(pieces).then(one).try_flatten().boxed()
}

/// A part being read.
pub(crate) struct Reader {
    bytes: BoxStream<'static, io::Result<Bytes>>,
    /// What has come and is not read yet.
    now: Bytes,
    /// Bytes before those that are asked for.
    skip: u64,
    digest: Digest,
    /// `None` once the end has been reached and the digest was right.
    hasher: Option<Hasher>,
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.now.is_empty() && buffer.remaining() > 0 {
            match ready!(Pin::new(&mut this.bytes).poll_next(cx)) {
                Some(bytes) => this.came(bytes?),
                None => return Poll::Ready(this.end()),
            }
        }
        let read = this.now.len().min(buffer.remaining());
        buffer.put_slice(&this.now[..read]);
        this.now.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl Reader {
    fn came(&mut self, bytes: Bytes) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        let skipped = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        self.skip -= skipped as u64;
        self.now = bytes.slice(skipped..);
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        if hasher.finish() == self.digest {
            return Ok(());
        }
        let what = format!("{}: the part is damaged: its bytes do not have its digest", self.digest);
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }
}
