//! How a store is opened, and why it may not be.

use std::path::PathBuf;
use std::time::Duration;

use gateway_model::Timestamp;
use gateway_model::note::NoteSigner;

/// How a store is opened.
#[derive(Debug)]
pub struct OpenOptions {
    /// The folder of the store; made when it is not there.
    pub folder: PathBuf,
    /// Signs the evidence log; its name is the log's origin.
    pub signer: NoteSigner,
    /// Whether a commit waits for the disk.
    pub synchronous: Synchronous,
    /// Below so many free bytes the door is closed and nothing more is accepted; deliveries go on.
    pub free_bytes_min: u64,
    /// Size of the file that only takes room, to be given back when the disk is full: see the head of `src/ballast.rs`. Zero for none.
    pub ballast_bytes: u64,
    /// When it is opened. With it, whatever waits to be tried again and would wake later than `retry_max` from then is due at once: a clock
    /// that ran ahead has set that wake-up. Without it, wake-ups stay as they are.
    pub now: Option<Timestamp>,
    /// The longest span between two attempts.
    pub retry_max: Duration,
    /// Connections for reading.
    pub readers: usize,
    /// Steps that may wait for the writer.
    pub queue_steps_max: usize,
    /// Bytes that may wait for the writer.
    pub queue_bytes_max: usize,
    /// Bytes that go to the write-ahead log, roughly, before they are moved into the database.
    pub checkpoint_bytes: usize,
    /// Bytes of zeros that the write-ahead log gets when the store is opened, so that the sync of a commit has data to write and no new size.
    pub log_bytes_ahead: u64,
}

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Synchronous {
    /// It does.
    Full,
    /// It does not: what was acknowledged is lost with the power. Only for the test that has to see that loss.
    Off,
}

impl OpenOptions {
    /// The ordinary way, in `folder`.
    pub fn new(folder: impl Into<PathBuf>, signer: NoteSigner) -> Self {
        Self {
            folder: folder.into(),
            signer,
            synchronous: Synchronous::Full,
            free_bytes_min: 256 * 1024 * 1024,
            ballast_bytes: 4 * 1024 * 1024,
            now: None,
            retry_max: Duration::from_secs(60 * 60),
            readers: 4,
            queue_steps_max: 4_096,
            queue_bytes_max: 64 * 1024 * 1024,
            checkpoint_bytes: 48 * 1024 * 1024,
            log_bytes_ahead: 0,
        }
    }
}

impl Synchronous {
    pub(crate) fn pragma(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Off => "OFF",
        }
    }
}

/// Why a store cannot be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is locked by another process: stop that gateway, or give this one a folder of its own")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{path} has format {found}, this version knows formats up to {known}: start the newer version, or restore the backup made before the upgrade"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i32,
        /// The newest one known here.
        known: i32,
    },
    /// The database is of something else.
    #[error("{path} is not a store of this gateway: give the store a folder of its own")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The database is gone, but what stands beside it says that it was there.
    #[error(
        "{path} is missing, but {beside} says that a store was here: bring the file back from where it went or from a backup; an empty store is not started in its place"
    )]
    Missing {
        /// The database.
        path: PathBuf,
        /// What stands beside it.
        beside: PathBuf,
    },
    /// An import has not ended.
    #[error(
        "{path} is half imported: `lienthong store import` was stopped before its end; run it again from the beginning, or delete that file"
    )]
    HalfImported {
        /// What the import was writing.
        path: PathBuf,
    },
    /// The database lacks commits that had been acknowledged.
    #[error(
        "{path} ends at commit {found}, but commit {acknowledged} had been acknowledged: the file or its -wal file has been cut, damaged or replaced by an older one; restore both together"
    )]
    Behind {
        /// The database.
        path: PathBuf,
        /// Its last commit.
        found: u64,
        /// The last one acknowledged.
        acknowledged: u64,
    },
    /// What was read is not what was written.
    #[error("{path} is damaged: {what}; run `lienthong store check` on it and restore a backup")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was seen.
        what: String,
    },
    /// The evidence log was signed with another key.
    #[error("the evidence log in {path} was signed by {kept}, not by {given}: configure the key it was made with")]
    LogKeyChanged {
        /// The database.
        path: PathBuf,
        /// Name of the log in the store.
        kept: String,
        /// The key that was given.
        given: String,
    },
    /// A file.
    #[error("{path}: {source}: check that the disk is mounted, writable and not full")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database engine.
    #[error("{path}: {source}: check that the disk is mounted, writable and not full")]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}
