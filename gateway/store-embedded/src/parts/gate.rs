//! Several processes on one folder: who touches a part and who removes one take turns, and an upload has one writer.
//!
//! All of it rests on locks of whole files (`flock`), which the system gives back when a process ends, however it ends. NFS 4 carries them from
//! machine to machine.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use gateway_model::id::GatewayId;
use gateway_store::parts::PartError;

use super::room::Room;
use super::{failed, sync};
use crate::batch::lock;
use crate::held;

/// Name of the file that is locked, beside the folders of the parts.
const NAME: &str = "lock";
/// Says whose parts these are.
const OWNER: &str = "gateway";
const OWNER_NEW: &str = "gateway.new";
/// A name is shown up to here.
const OWNER_CHARACTERS_MAX: usize = 100;
/// A turn takes as long as a few files; who waits longer than this waits for a process that has stopped.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// `flock` has no time limit of its own, so it is asked again.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// An upload file that is replaced each time that it is opened is somebody else's.
const OPENS_MAX: usize = 3;

/// The lock of a folder of parts, and what this process has under way there.
pub(super) struct Gate {
    file: File,
    path: PathBuf,
    /// A thread holds this for as long as it holds the lock of the file: locks belong to the open file, which all threads share.
    room: Mutex<Room>,
}

/// What a turn is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Parts are touched, or become whole; other processes may do the same.
    Touching,
    /// Parts are removed: nobody touches one meanwhile.
    Removing,
}

/// The right to touch, or to remove, until it is dropped.
pub(super) struct Turn<'a> {
    /// Given back first.
    _held: Held<'a>,
    pub(super) room: MutexGuard<'a, Room>,
}

struct Held<'a>(&'a Gate);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.file.unlock() {
            tracing::error!(path = %self.0.path.display(), %error, "the lock of the parts cannot be given back");
        }
    }
}

impl Gate {
    /// Makes the file, and takes one turn: a file system without locks is told of at the start.
    pub(super) fn open(folder: &Path) -> Result<Self, PartError> {
        let path = folder.join(NAME);
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|source| failed(&path, source))?;
        let gate = Self { file, path, room: Mutex::default() };
        gate.turn(For::Touching)?;
        Ok(gate)
    }

    /// What is under way here; no turn.
    pub(super) fn room(&self) -> MutexGuard<'_, Room> {
        lock(&self.room)
    }

    /// Waits for a turn, among threads and processes.
    ///
    /// # Errors
    /// [`PartError::Busy`] when another process keeps it.
    pub(super) fn turn(&self, purpose: For) -> Result<Turn<'_>, PartError> {
        let room = self.room();
        let until = Instant::now() + WAIT_MAX;
        loop {
            let taken = match purpose {
                For::Touching => self.file.try_lock_shared(),
                For::Removing => self.file.try_lock(),
            };
            match taken {
                Ok(()) => return Ok(Turn { _held: Held(self), room }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(ASK_EVERY),
                Err(TryLockError::WouldBlock) => return Err(PartError::Busy),
                Err(TryLockError::Error(source)) => return Err(failed(&self.path, source)),
            }
        }
    }
}

impl Gate {
    /// Writes whose parts these are, or finds out that they are another gateway's.
    pub(super) fn claim(&self, folder: &Path, gateway: &GatewayId) -> Result<(), PartError> {
        let _turn = self.turn(For::Removing)?;
        let path = folder.join(OWNER);
        let owner = match fs::read_to_string(&path) {
            Ok(owner) => owner,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.write_owner(&path, folder, gateway),
            Err(source) => return Err(failed(&path, source)),
        };
        if owner == gateway.as_str() {
            return Ok(());
        }
        let owner: String = owner.chars().take(OWNER_CHARACTERS_MAX).collect();
        let what = format!("these are the parts of the gateway \"{owner}\": give this one a `parts.path` of its own");
        Err(PartError::File { path, source: io::Error::new(io::ErrorKind::PermissionDenied, what) })
    }

    /// The file has its name only when it is whole.
    fn write_owner(&self, path: &Path, folder: &Path, gateway: &GatewayId) -> Result<(), PartError> {
        let new = folder.join(OWNER_NEW);
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(gateway.as_str().as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&new, path)).map_err(|source| failed(path, source))?;
        sync(folder)
    }
}

/// Opens an upload file for one writer; `None` when there is none and none is to be made.
///
/// # Errors
/// [`PartError::Busy`] when another process writes it.
pub(super) fn open_upload(path: &Path, create: bool) -> Result<Option<File>, PartError> {
    for _ in 0..OPENS_MAX {
        let file = match File::options().read(true).append(true).create(create).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(path, source)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PartError::Busy),
            Err(TryLockError::Error(source)) => return Err(failed(path, source)),
        }
        // It may have become the whole part, or gone, between opening and locking.
        if is_at(&file, path).map_err(|source| failed(path, source))? {
            return Ok(Some(file));
        }
    }
    Err(PartError::Busy)
}

/// The same for who is to write: who is just giving it up is waited for.
///
/// # Errors
/// [`PartError::Busy`] when another process goes on writing it.
pub(super) fn open_upload_soon(path: &Path, create: bool) -> Result<Option<File>, PartError> {
    let begun = Instant::now();
    loop {
        match open_upload(path, create) {
            Err(PartError::Busy) if begun.elapsed() < held::MOMENT => std::thread::sleep(held::LOOK),
            opened => return opened,
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
