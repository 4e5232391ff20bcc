//! A store as a stream of records, the same from every backend: for moving from one to another, and for keeping.
//!
//! Rooms: [`record`] is what stands in it, [`stream`] how it is written and read, [`order`] in which order, `codec` its bytes.
//!
//! # Format, version 1
//! Eight bytes `LThstore`, then the version in four bytes, the most significant first, as all numbers. Then records, one after another:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of kind and content |
//! | 1 | kind |
//! | … | content, see `src/archive/codec.rs` |
//! | 8 | first bytes of the SHA-256 over the record's number (from 0, eight bytes), kind and content |
//!
//! The last record has kind 255: how many came before it, and the SHA-256 over every byte before it. A stream without it has been cut.
//!
//! The head comes first; then each envelope by its number, followed by its body, its deliveries in order and its history in order; then the
//! leaves that are about no envelope, the signed checkpoints by size, the receipts on their way back by number, and the marks by name.
//!
//! Leases are not in it: what was leased is due. Indexes are not either: whoever reads it makes them from the records. Nor are parts: they are
//! files beside the store, whichever it is.

mod codec;
pub mod order;
pub mod record;
pub mod stream;

pub use order::Order;
pub use record::{Head, Leaf, Record, Return};
pub use stream::{Reader, Writer, Written};

/// What a store that is moved in gets, one after another: the records, then `None`, or why the next one cannot be had.
pub type Incoming = Result<Option<Record>, ArchiveError>;

/// The next record, after so many; `None` at the end. A channel that has closed before the end is a cut.
///
/// # Errors
/// [`ArchiveError`].
pub fn next(incoming: Option<Incoming>, records: u64) -> Incoming {
    incoming.unwrap_or(Err(ArchiveError::Cut { records }))
}

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream itself.
    #[error("the archive cannot be read or written: {0}")]
    Stream(#[from] std::io::Error),
    /// Something else.
    #[error("this is not an archive of a store")]
    NotAnArchive,
    /// A newer version wrote it.
    #[error("the archive has version {found}, this program knows versions up to {known}: use the newer one")]
    Newer {
        /// Its version.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// It ends before its end.
    #[error("the archive is cut: it ends after {records} records, without its end record")]
    Cut {
        /// Whole records before the cut.
        records: u64,
    },
    /// A record is not what was written.
    #[error("record {record} of the archive is damaged")]
    Damaged {
        /// Its number, from 0.
        record: u64,
    },
    /// A record stands where it cannot stand.
    #[error("record {record} of the archive is out of place: {what}")]
    Misplaced {
        /// Its number, from 0.
        record: u64,
        /// What was expected.
        what: &'static str,
    },
    /// A record is larger than any can be.
    #[error("a record has {bytes} bytes, more than any can have")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}

/// Why a store cannot be moved out or in.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Something is kept there already.
    #[error("{what} is not empty: an archive is only taken into an empty store; nothing was changed")]
    NotEmpty {
        /// Which store.
        what: String,
    },
    /// The log of the archive is another gateway's, or was signed with another key.
    #[error("the evidence log of the archive was signed by {kept}, not by {given}: configure the key it was made with")]
    OtherLog {
        /// Name of the log in the archive.
        kept: String,
        /// The key that was given.
        given: String,
    },
    /// The store is damaged, or what the archive says does not hold together.
    #[error("{what}: run `lienthong store check`")]
    Damaged {
        /// Where, and what was seen.
        what: String,
    },
    /// The store failed.
    #[error("{what}")]
    Store {
        /// What failed.
        what: String,
    },
}
