//! Parts as files: addressed by their digest, stored once, durable before anybody is told.
//!
//! # Format
//! Everything about the part `<digest>` stands in the folder named by the digest's first two digits:
//!
//! | file | what |
//! |---|---|
//! | `<digest>` | the whole part; it came here by a rename after an fsync, so it is complete or not there |
//! | `<digest>.<owner>.upload` | what one owner has sent of it so far; an upload goes on at its end |
//! | `<digest>.<owner>.owner` | empty: this owner has uploaded the whole part |
//!
//! Beside these folders stand `lock` and `gateway`, the id of the gateway whose parts these are.
//!
//! `<owner>` is the beginning of the SHA-256 of the hop. "Is this digest here?" is answered from the owner's own files alone. When a part was
//! last touched is the newest modification time of its files. Nothing is cleaned at the start: a broken upload can go on after it.
//!
//! # Many processes
//! Several processes, on several machines too, may have one folder open, where locks of files hold between them: a local disk, or NFS 4. Each
//! upload file is locked by the one that writes it, and `lock` is taken by all who touch parts, or by one who removes some: see `gate.rs`. A
//! client of NFS may remember for a while what another machine has changed; opening asks the server anew, so a part is opened before it is
//! believed to be there or to be stale, and its folder before it is believed not to be there. The clocks of the machines have to agree to well
//! within the time that uploads are kept.
//!
//! # Why not `object_store`
//! Its local files are written without a sync of file and folder, so what it acknowledges can be gone after power loss; a part that an accepted
//! envelope names must not be.

mod entries;
mod gate;
mod room;
mod upload;
mod verified;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use gateway_model::agency::Hop;
use gateway_model::id::GatewayId;
use gateway_model::{Digest, Timestamp, limits};
use gateway_store::accept::PartRef;
use gateway_store::parts::{Missing, PartError, PartFault, PartStore, PartWriter};
use tokio::io::AsyncRead;

use entries::{Entry, entries, last_touched, timestamp};
use gate::{For, Gate, Turn};

const OWNER_BYTES: usize = 16;
const UPLOAD: &str = "upload";
const OWNER: &str = "owner";

/// Keeps parts in a folder.
pub struct FileParts {
    files: Arc<Files>,
}

/// How much the part store takes.
#[derive(Clone, Copy, Debug)]
pub struct PartLimits {
    /// Bytes of one part.
    pub part_bytes_max: u64,
    /// No upload begins or goes on when it, and all that are under way, would leave fewer bytes free.
    pub free_bytes_min: u64,
    /// Bytes that one owner has begun or uploaded since the start and that no envelope was checked for yet; each part counts for 64 KiB at least.
    pub unnamed_bytes_max: u64,
}

impl Default for PartLimits {
    fn default() -> Self {
        Self {
            part_bytes_max: limits::PART_BYTES_MAX,
            free_bytes_min: 256 * 1024 * 1024,
            unnamed_bytes_max: 4 * 1024 * 1024 * 1024,
        }
    }
}

/// Tells how many bytes are free where a folder is.
type FreeBytes = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// The folder, and what goes on in it.
pub(crate) struct Files {
    folder: PathBuf,
    limits: PartLimits,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    free_bytes: Box<FreeBytes>,
    /// Uploads under way, and turns to touch or to remove, so that a sweep sees every touch.
    gate: Gate,
}

impl FileParts {
    /// Opens the parts in a folder, or makes it; `now` says when something is touched.
    ///
    /// # Errors
    /// [`PartError::File`].
    pub fn open(
        folder: impl Into<PathBuf>,
        limits: PartLimits,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, PartError> {
        Self::open_on(folder, limits, now, free_bytes)
    }

    fn open_on(
        folder: impl Into<PathBuf>,
        limits: PartLimits,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        free_bytes: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static,
    ) -> Result<Self, PartError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|source| failed(&folder, source))?;
        sync(&folder)?;
        if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
            sync(above)?;
        }
        let (now, free_bytes) = (Box::new(now), Box::new(free_bytes));
        let gate = Gate::open(&folder)?;
        Ok(Self { files: Arc::new(Files { folder, limits, now, free_bytes, gate }) })
    }

    /// Makes sure that what lies here are the parts of `gateway`, and nobody else's: a gateway sweeps what its own envelopes do not name.
    ///
    /// # Errors
    /// [`PartError::File`], naming the other gateway.
    pub fn claim(&self, gateway: &GatewayId) -> Result<(), PartError> {
        self.files.gate.claim(&self.files.folder, gateway)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Files) -> Result<T, PartError> + Send + 'static,
    ) -> Result<T, PartError> {
        let files = self.files.clone();
        blocking(move || act(&files)).await
    }
}

#[async_trait]
impl PartStore for FileParts {
    async fn missing(&self, owner: &Hop, digests: &[Digest]) -> Result<Vec<Missing>, PartError> {
        let (owner, digests) = (owner_name(owner), digests.to_vec());
        self.blocking(move |files| {
            digests.iter().filter_map(|digest| files.missing(&owner, digest).transpose()).collect()
        })
        .await
    }

    async fn begin(&self, owner: &Hop, part: PartRef, offset: u64) -> Result<Box<dyn PartWriter>, PartError> {
        let (files, owner) = (self.files.clone(), owner_name(owner));
        let upload = blocking(move || upload::begin(files, &owner, part, offset)).await?;
        Ok(Box::new(upload))
    }

    async fn check(&self, owner: &Hop, parts: &[PartRef]) -> Result<Vec<PartFault>, PartError> {
        let (owner, parts) = (owner_name(owner), parts.to_vec());
        self.blocking(move |files| files.check_all(&owner, &parts)).await
    }

    async fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn AsyncRead + Send + Unpin>, PartError> {
        let digest = *digest;
        let reader = self.blocking(move |files| verified::open(&files.whole(&digest), digest, offset)).await?;
        Ok(Box::new(reader))
    }

    async fn stale(&self, before: Timestamp, after: Option<Digest>, limit: usize) -> Result<Vec<Digest>, PartError> {
        self.blocking(move |files| files.stale(before, after, limit)).await
    }

    async fn remove(&self, digests: &[Digest], before: Timestamp) -> Result<u64, PartError> {
        let digests = digests.to_vec();
        self.blocking(move |files| digests.iter().map(|digest| files.remove(digest, before)).sum()).await
    }
}

impl Files {
    fn missing(&self, owner: &str, digest: &Digest) -> Result<Option<Missing>, PartError> {
        if self.length(&self.owned(owner, digest))?.is_some() && self.length(&self.whole(digest))?.is_some() {
            return Ok(None);
        }
        let received = self.length(&self.uploaded(owner, digest))?.unwrap_or(0);
        Ok(Some(Missing { digest: *digest, received }))
    }

    fn check_all(&self, owner: &str, parts: &[PartRef]) -> Result<Vec<PartFault>, PartError> {
        let mut turn = self.gate.turn(For::Touching)?;
        parts.iter().filter_map(|part| self.check(owner, part, &mut turn).transpose()).collect()
    }

    fn check(&self, owner: &str, part: &PartRef, turn: &mut Turn<'_>) -> Result<Option<PartFault>, PartError> {
        let whole = self.whole(&part.digest);
        let opened = match self.length(&self.owned(owner, &part.digest))? {
            Some(_) => open(&whole, File::options().append(true))?,
            None => None,
        };
        let Some(opened) = opened else { return Ok(Some(PartFault::Missing(part.digest))) };
        let actual = opened.metadata().map_err(|source| failed(&whole, source))?.len();
        if actual != part.size {
            return Ok(Some(PartFault::OtherSize { digest: part.digest, actual }));
        }
        self.touch_open(&opened).map_err(|source| failed(&whole, source))?;
        turn.room.unnamed.discharge(owner, &part.digest);
        Ok(None)
    }

    fn stale(&self, before: Timestamp, after: Option<Digest>, limit: usize) -> Result<Vec<Digest>, PartError> {
        let first = after.map_or(0, |after| after.0[0]);
        let mut stale = Vec::new();
        for prefix in first..=u8::MAX {
            let folder = self.folder.join(hex::encode([prefix]));
            for (digest, touched) in last_touched(&folder)? {
                if stale.len() == limit {
                    return Ok(stale);
                }
                if touched < before && after.is_none_or(|after| digest > after) {
                    stale.push(digest);
                }
            }
        }
        Ok(stale)
    }

    /// Removes all files of one part, unless one of them has been touched or is being written. Gives the bytes freed.
    fn remove(&self, digest: &Digest, before: Timestamp) -> Result<u64, PartError> {
        let mut turn = self.gate.turn(For::Removing)?;
        let entries = entries(&self.folder_of(digest))?;
        let files: Vec<&Entry> = entries.iter().filter(|entry| entry.digest == *digest).collect();
        if files.iter().any(|entry| entry.touched >= before || turn.room.is_busy(&entry.path)) {
            return Ok(0);
        }
        // Uploads stay locked until they are gone.
        let mut locked = Vec::new();
        for entry in &files {
            let opened = match entry.path.extension().is_some_and(|name| name == UPLOAD) {
                true => gate::open_upload(&entry.path, false),
                false => open(&entry.path, File::options().read(true)),
            };
            let opened = match opened {
                Ok(opened) => opened,
                Err(PartError::Busy) => return Ok(0),
                Err(error) => return Err(error),
            };
            let now =
                opened.as_ref().map(File::metadata).transpose().and_then(|data| data.map(|d| d.modified()).transpose());
            let touched = now.map_err(|source| failed(&entry.path, source))?.map(timestamp);
            if touched.is_some_and(|touched| touched >= before) {
                return Ok(0);
            }
            locked.extend(opened);
        }
        let mut freed = 0;
        for entry in files {
            remove_file(&entry.path)?;
            freed += entry.bytes;
        }
        turn.room.unnamed.forget(digest);
        Ok(freed)
    }

    fn touch_open(&self, file: &File) -> io::Result<()> {
        file.set_modified(system_time((self.now)()))
    }

    fn free_bytes(&self) -> Result<u64, PartError> {
        (self.free_bytes)(&self.folder).map_err(|source| failed(&self.folder, source))
    }

    /// Bytes of a file, if it is there; where it seems not to be, its folder is opened and it is looked for again.
    fn length(&self, path: &Path) -> Result<Option<u64>, PartError> {
        if let Some(bytes) = length(path)? {
            return Ok(Some(bytes));
        }
        let folder = path.parent().unwrap_or(&self.folder);
        match open(folder, File::options().read(true))? {
            Some(_) => length(path),
            None => Ok(None),
        }
    }

    fn whole(&self, digest: &Digest) -> PathBuf {
        self.folder_of(digest).join(digest.to_string())
    }

    fn uploaded(&self, owner: &str, digest: &Digest) -> PathBuf {
        self.folder_of(digest).join(format!("{digest}.{owner}.{UPLOAD}"))
    }

    fn owned(&self, owner: &str, digest: &Digest) -> PathBuf {
        self.folder_of(digest).join(format!("{digest}.{owner}.{OWNER}"))
    }

    fn folder_of(&self, digest: &Digest) -> PathBuf {
        self.folder.join(hex::encode(&digest.0[..1]))
    }
}

fn length(path: &Path) -> Result<Option<u64>, PartError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, source)),
    }
}

/// `None` when it is not there.
fn open(path: &Path, how: &fs::OpenOptions) -> Result<Option<File>, PartError> {
    match how.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path, source)),
    }
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Runs on the blocking pool.
///
/// # Cancellation
/// What has begun is done to its end.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, PartError> + Send + 'static,
) -> Result<T, PartError> {
    let broke = |error: tokio::task::JoinError| failed(Path::new("parts"), io::Error::other(error));
    tokio::task::spawn_blocking(act).await.map_err(broke)?
}

fn owner_name(owner: &Hop) -> String {
    hex::encode(&Digest::of(owner.to_string().as_bytes()).0[..OWNER_BYTES])
}

fn remove_file(path: &Path) -> Result<(), PartError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), PartError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> PartError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PartError::Full,
        _ => PartError::File { path: path.to_owned(), source },
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    let span = Duration::from_micros(at.micros().unsigned_abs());
    let time = if at.micros() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
