//! An upload under way: hashed while it is written, made durable at its end.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::hash::Hasher;
use gateway_store::accept::PartRef;
use gateway_store::parts::{PartError, PartWriter};

use super::gate::{self, For};
use super::room::STRIDE;
use super::{Files, blocking, failed, remove_file, sync};

const READ_BYTES: usize = 256 * 1024;

/// Writes one part for one owner.
pub(super) struct Upload {
    /// `None` while a call is at it, and after a call that was not waited for: the upload then goes on by a new one.
    state: Option<State>,
}

struct State {
    files: Arc<Files>,
    owner: String,
    part: PartRef,
    path: PathBuf,
    owned: PathBuf,
    file: File,
    hasher: Hasher,
    received: u64,
    /// There was room for the bytes up to here.
    room_until: u64,
    _busy: Busy,
}

/// Keeps a second upload of the same part by the same owner out.
struct Busy {
    files: Arc<Files>,
    path: PathBuf,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.files.gate.room().leave(&self.path);
    }
}

/// Starts, or goes on at `offset`.
pub(super) fn begin(files: Arc<Files>, owner: &str, part: PartRef, offset: u64) -> Result<Upload, PartError> {
    if part.size > files.limits.part_bytes_max || offset > part.size {
        return Err(PartError::TooLong);
    }
    let path = files.uploaded(owner, &part.digest);
    if !files.gate.room().enter(&path) {
        return Err(PartError::Busy);
    }
    let busy = Busy { files: files.clone(), path: path.clone() };
    let opened = gate::open_upload_soon(&path, false)?;
    let received = match &opened {
        Some(file) => file.metadata().map_err(|source| failed(&path, source))?.len(),
        None => 0,
    };
    if offset != 0 && offset != received {
        return Err(PartError::Offset { received });
    }
    let free = files.free_bytes()?;
    let mut room = files.gate.room();
    room.reserve(&path, part.size - offset, free, &files.limits)?;
    room.unnamed.charge(owner, &part.digest, part.size, files.limits.unnamed_bytes_max)?;
    drop(room);
    make_folder(&files, &part.digest)?;
    let opened = match opened {
        Some(file) => Some(file),
        None => gate::open_upload_soon(&path, true)?,
    };
    let mut file = opened.ok_or(PartError::Unknown)?;
    let mut hasher = Hasher::new();
    match offset {
        0 => file.set_len(0).map_err(|source| failed(&path, source))?,
        _ => hash_rest(&mut file, &mut hasher, &path)?,
    }
    files.touch_open(&file).map_err(|source| failed(&path, source))?;
    let owned = files.owned(owner, &part.digest);
    let (owner, room_until) = (owner.to_owned(), offset + STRIDE);
    let state = State { files, owner, part, path, owned, file, hasher, received: offset, room_until, _busy: busy };
    Ok(Upload { state: Some(state) })
}

#[async_trait]
impl PartWriter for Upload {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PartError> {
        let mut state = self.state.take().ok_or(PartError::Unknown)?;
        let (state, result) = blocking(move || {
            let result = state.write(&chunk);
            Ok((state, result))
        })
        .await?;
        self.state = Some(state);
        result
    }

    async fn finish(mut self: Box<Self>) -> Result<(), PartError> {
        let state = self.state.take().ok_or(PartError::Unknown)?;
        blocking(move || state.finish()).await
    }
}

impl State {
    fn write(&mut self, chunk: &[u8]) -> Result<(), PartError> {
        let bytes = chunk.len() as u64;
        if self.received + bytes > self.part.size {
            return Err(PartError::TooLong);
        }
        if self.received + bytes > self.room_until {
            let free = self.files.free_bytes()?;
            let rest = self.part.size - self.received;
            self.files.gate.room().go_on(&self.path, rest, free, &self.files.limits)?;
            self.room_until = self.received + bytes.max(STRIDE);
        }
        if let Err(source) = self.file.write_all(chunk) {
            // Part of the chunk may stand in the file: the next upload goes on where it really ends, this one is over.
            let length = self.file.metadata().map(|metadata| metadata.len());
            self.received = length.unwrap_or(self.received);
            self.part.size = self.received;
            return Err(failed(&self.path, source));
        }
        self.hasher.update(chunk);
        self.received += bytes;
        self.files.touch_open(&self.file).map_err(|source| failed(&self.path, source))
    }

    fn finish(self) -> Result<(), PartError> {
        let Self { files, owner, part, path, owned, file, hasher, received, _busy, .. } = self;
        if received < part.size {
            return Err(PartError::TooShort { received });
        }
        let check = if hasher.finish() == part.digest { Ok(()) } else { Err(PartError::DigestMismatch) };
        // After a failed sync nobody knows what is in the file: it goes, and the upload starts anew.
        let kept = check.and_then(|()| file.sync_all().map_err(|source| failed(&path, source)));
        if let Err(error) = kept {
            remove_file(&path)?;
            files.gate.room().unnamed.discharge(&owner, &part.digest);
            return Err(error);
        }
        let turn = files.gate.turn(For::Touching)?;
        files.touch_open(&file).map_err(|source| failed(&path, source))?;
        let whole = files.whole(&part.digest);
        fs::rename(&path, &whole).map_err(|source| failed(&whole, source))?;
        let mark = File::create(&owned).and_then(|mark| files.touch_open(&mark).and_then(|()| mark.sync_all()));
        mark.map_err(|source| failed(&owned, source))?;
        drop(turn);
        sync(&files.folder_of(&part.digest))
    }
}

fn make_folder(files: &Files, digest: &Digest) -> Result<(), PartError> {
    let folder = files.folder_of(digest);
    match fs::create_dir(&folder) {
        Ok(()) => sync(&files.folder),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(failed(&folder, source)),
    }
}

/// Hashes what is left of a file, piece by piece.
pub(super) fn hash_rest(file: &mut File, hasher: &mut Hasher, path: &Path) -> Result<(), PartError> {
    let mut piece = vec![0; READ_BYTES];
    loop {
        match file.read(&mut piece).map_err(|source| failed(path, source))? {
            0 => return Ok(()),
            read => hasher.update(&piece[..read]),
        }
    }
}
