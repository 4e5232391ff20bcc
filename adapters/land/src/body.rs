//! Takes the JSON body of a request in with bounded memory: every long text goes to a file of its own, decoded from base64 on the way.
//!
//! Land systems send whole dossiers as base64 inside of JSON, up to hundreds of megabytes. What stays in memory is the JSON without its long
//! texts; in their place stands a mark that nobody outside can guess, and [`Body::file`] gives the file for it. A text that was put aside
//! but stands where no file may stand is a fault of the caller, and so is one that is not base64.

use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters_sdk::AdapterError;
use base64::Engine as _;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use gateway_model::hash::Hasher;
use gateway_model::{Digest, Reason, Refusal, limits};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;

use crate::disk;
use crate::vocabulary::{TapTin, malformed};

mod scan;

use scan::{Piece, Scanner};

/// Bytes of JSON that are kept in memory.
const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Long texts in one body: more than an envelope has parts, so that too many are told as such.
const FILES_MAX: usize = limits::PARTS_MAX + 16;
/// Time without a byte.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Time for a whole body.
const TOTAL_TIME_MAX: Duration = Duration::from_secs(600);

/// Bounds of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BodyBounds {
    /// Bytes of a whole body, as it comes.
    pub body_bytes_max: u64,
    /// Bytes of one file, decoded.
    pub file_bytes_max: u64,
}

/// A file put aside; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Aside {
    path: PathBuf,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256.
    pub digest: Digest,
}

impl Aside {
    /// An empty file to write into, in `folder`.
    pub(crate) async fn create(folder: &Path) -> Result<(tokio::fs::File, PathBuf), AdapterError> {
        let path = folder.join(uuid::Uuid::new_v4().simple().to_string());
        let file = tokio::fs::File::create_new(&path).await.map_err(disk::at(&path))?;
        Ok((file, path))
    }

    /// What was written into `path`.
    pub(crate) fn new(path: PathBuf, size: u64, digest: Digest) -> Self {
        Self { path, size, digest }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What cannot be removed now is cleared at the next start.
        if let Err(fault) = disk::remove(&self.path) {
            tracing::debug!(%fault, "a file put aside could not be removed");
        }
    }
}

/// A body taken in.
#[derive(Debug)]
pub(crate) struct Body {
    json: Vec<u8>,
    mark: String,
    /// Long texts, each a file or what is wrong with it.
    asides: Vec<Option<Result<Aside, Refusal>>>,
}

/// Why a body cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The caller's fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk's.
    #[error(transparent)]
    Disk(#[from] AdapterError),
}

impl Body {
    /// Reads the whole body; long texts go into files in `folder`.
    ///
    /// # Errors
    /// When it is too large, too slow, broken off or no JSON text, or the disk does not take it.
    ///
    /// # Cancellation
    /// Leaves nothing behind but a file that the next start clears.
    pub(crate) async fn take<E: std::fmt::Display>(
        body: impl Stream<Item = Result<Bytes, E>>,
        folder: &Path,
        bounds: BodyBounds,
    ) -> Result<Self, BodyError> {
        let taken = tokio::time::timeout(TOTAL_TIME_MAX, Self::take_all(body, folder, bounds)).await;
        taken.unwrap_or_else(|_| Err(malformed("body", "does not end").into()))
    }

    async fn take_all<E: std::fmt::Display>(
        body: impl Stream<Item = Result<Bytes, E>>,
        folder: &Path,
        bounds: BodyBounds,
    ) -> Result<Self, BodyError> {
        let mut body = std::pin::pin!(body);
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let mut taking = Taking { scanner: Scanner::new(&mark), bounds, folder, asides: Vec::new(), writing: None };
        let mut left = bounds.body_bytes_max;
        loop {
            let next = tokio::time::timeout(IDLE_TIME_MAX, body.next()).await;
            let Some(chunk) = next.map_err(|_| malformed("body", "stopped coming"))? else { break };
            let chunk = chunk.map_err(|_| malformed("body", "broke off"))?;
            left = left.checked_sub(chunk.len() as u64).ok_or_else(|| too_large(bounds.body_bytes_max))?;
            taking.take(&chunk).await?;
        }
        if !taking.scanner.is_whole() {
            return Err(malformed("body", "ends within a text").into());
        }
        let Taking { scanner, asides, .. } = taking;
        Ok(Self { json: scanner.json, mark, asides })
    }

    /// The JSON, with marks in the place of long texts.
    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    /// Reads the JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        crate::vocabulary::read(&self.json)
    }

    /// The file that `value` carries: put aside already, or in base64.
    ///
    /// # Errors
    /// When it is not base64, or too large.
    pub(crate) async fn file(
        &mut self,
        field: &str,
        value: &TapTin,
        folder: &Path,
        bounds: BodyBounds,
    ) -> Result<Aside, BodyError> {
        let number = value.data.strip_prefix(&self.mark).and_then(|number| number.strip_prefix(':'));
        if let Some(aside) = number.and_then(|n| n.parse::<usize>().ok()).and_then(|n| self.asides.get_mut(n)) {
            let file = aside.take().ok_or_else(|| malformed(field, "stands twice"))?;
            return file.map_err(|refusal| refusal.at(field).into());
        }
        let engine = scan::engine();
        let text: String = value.data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let bytes = engine.decode(&text).map_err(|_| malformed(field, "is not base64"))?;
        if bytes.len() as u64 > bounds.file_bytes_max {
            return Err(file_too_large(bounds.file_bytes_max).at(field).into());
        }
        let (mut file, path) = Aside::create(folder).await?;
        let aside = Aside::new(path, bytes.len() as u64, Digest::of(&bytes));
        file.write_all(&bytes).await.map_err(disk::at(aside.path()))?;
        file.flush().await.map_err(disk::at(aside.path()))?;
        Ok(aside)
    }

    /// Checks that every text that was put aside was a file that somebody asked for.
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self.asides.iter().all(Option::is_none) {
            true => Ok(()),
            false => Err(malformed("body", "has a text of more than 16 KiB where no file stands")),
        }
    }
}

/// A body on its way in.
struct Taking<'a> {
    scanner: Scanner,
    bounds: BodyBounds,
    folder: &'a Path,
    asides: Vec<Option<Result<Aside, Refusal>>>,
    writing: Option<Writing>,
}

struct Writing {
    file: tokio::fs::File,
    aside: Aside,
    hasher: Hasher,
    fault: Option<Refusal>,
}

impl Taking<'_> {
    async fn take(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        for piece in self.scanner.push(chunk) {
            match piece {
                Piece::Begin => self.begin().await?,
                Piece::Data(bytes) => self.write(&bytes).await?,
                Piece::End { is_base64 } => self.end(is_base64).await?,
            }
        }
        if self.scanner.json.len() > JSON_BYTES_MAX {
            return Err(too_large(JSON_BYTES_MAX as u64).into());
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), BodyError> {
        if self.asides.len() >= FILES_MAX {
            let seen = format!("more than {FILES_MAX} files; {} are allowed", limits::PARTS_MAX - 1);
            return Err(Refusal::new(Reason::PartsTooMany).saw(seen).into());
        }
        let (file, path) = Aside::create(self.folder).await?;
        let aside = Aside::new(path, 0, Digest([0; 32]));
        self.writing = Some(Writing { file, aside, hasher: Hasher::new(), fault: None });
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), BodyError> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        writing.aside.size += bytes.len() as u64;
        if writing.aside.size > self.bounds.file_bytes_max {
            // Told at its field once the whole is read: nothing more of it is kept.
            writing.fault = Some(file_too_large(self.bounds.file_bytes_max));
            return Ok(());
        }
        writing.hasher.update(bytes);
        Ok(writing.file.write_all(bytes).await.map_err(disk::at(writing.aside.path()))?)
    }

    async fn end(&mut self, is_base64: bool) -> Result<(), BodyError> {
        let Some(mut writing) = self.writing.take() else { return Ok(()) };
        writing.file.flush().await.map_err(disk::at(writing.aside.path()))?;
        writing.aside.digest = writing.hasher.finish();
        let fault = if is_base64 { writing.fault } else { Some(malformed("", "is not base64")) };
        self.asides.push(Some(fault.map_or(Ok(writing.aside), Err)));
        Ok(())
    }
}

/// A body is larger than the bound.
fn too_large(max: u64) -> Refusal {
    Refusal::new(Reason::EnvelopeTooLarge).at("body").saw(format!("more than {max} bytes"))
}

/// A file is larger than the bound.
pub(crate) fn file_too_large(max: u64) -> Refusal {
    Refusal::new(Reason::PartTooLarge).saw(format!("more than {max} bytes"))
}

#[cfg(test)]
mod tests;
