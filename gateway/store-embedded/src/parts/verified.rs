//! Reading a part: its bytes are hashed as they pass, and a damaged part ends in an error instead of an end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gateway_model::Digest;
use gateway_model::hash::Hasher;
use gateway_store::parts::PartError;
use tokio::io::{AsyncRead, ReadBuf};

use super::failed;

const READ_BYTES: usize = 256 * 1024;

/// A part being read.
pub(super) struct Verified {
    file: tokio::fs::File,
    path: PathBuf,
    digest: Digest,
    /// `None` once the end has been reached and the digest was right.
    hasher: Option<Hasher>,
}

/// Opens a part at `offset`; what stands before it is read too, for the digest.
pub(super) fn open(path: &Path, digest: Digest, offset: u64) -> Result<Verified, PartError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(PartError::Unknown),
        Err(source) => return Err(failed(path, source)),
    };
    let mut hasher = Hasher::new();
    let mut piece = vec![0; READ_BYTES];
    let mut left = offset;
    while left > 0 {
        let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match file.read(&mut piece[..wanted]).map_err(|source| failed(path, source))? {
            0 => break,
            read => {
                hasher.update(&piece[..read]);
                left -= read as u64;
            }
        }
    }
    Ok(Verified { file: tokio::fs::File::from_std(file), path: path.to_owned(), digest, hasher: Some(hasher) })
}

impl AsyncRead for Verified {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let room = buffer.remaining();
        ready!(Pin::new(&mut this.file).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        if let Some(hasher) = &mut this.hasher {
            hasher.update(read);
        }
        if read.is_empty() && room > 0 {
            return Poll::Ready(this.end());
        }
        Poll::Ready(Ok(()))
    }
}

impl Verified {
    fn end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        if hasher.finish() == self.digest {
            return Ok(());
        }
        let what = format!("{}: the part is damaged: its bytes do not have its digest", self.path.display());
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }
}
