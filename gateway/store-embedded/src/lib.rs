//! One node's store: SQLite with group commit, parts as files.
//!
//! # Format
//! `store.db` (with `-wal` and `-shm` while it is open) holds the tables of `src/schema.rs`; its `application_id` is `LThg`, its `user_version`
//! the format. `acknowledged` names the last commit that somebody was told of. `lock` is locked for as long as a process has the store.
//! `ballast` only takes room, for the day when the disk is full: see `src/ballast.rs`; it may be left out of a backup.
//! Parts lie in files of their own, see [`FileParts`].
//!
//! * `envelope` is keyed by a rising number, its body stands apart in `body`, so that a purge leaves the row slim. `delivery` is keyed by
//!   envelope number and place: the deliveries of one envelope are neighbours. What is due is one partial index, lane first, then time.
//! * `event` holds a leaf with its proof, `checkpoint` the one signed checkpoint of its batch: a receipt is one read, also for a duplicate.
//! * `head` is one row that every commit rewrites: counters, and the state of the evidence log.
//! * `run` and `sought` are the search index, written behind in runs of about a thousand envelopes: see `src/sought.rs`.
//! * `store.importing` is a database that an import has begun and not ended: no gateway starts beside it. `store.rebuilding` is one that takes the
//!   place of `store.db` when its indexes have been made anew; left over it only takes room.
//! * Every row carries a checksum, except the index's, which only lead to rows. A damaged row is named and never served.
//!
//! # Commit
//! One thread writes. It takes the steps that wait, applies them in one transaction, appends their leaves under one checkpoint signature, and
//! commits with one fsync of the write-ahead log (`synchronous=FULL`); then it answers all of them. See `src/writer.rs`. The log may be laid
//! out with zeros at the start, so that this fsync has no new size to write: see `src/room_ahead.rs`. A second thread moves the log into the
//! database meanwhile, so that no commit waits for the bulk of it: see `src/mover.rs`.
//!
//! # Recovery
//! After a crash SQLite replays the write-ahead log up to the last whole commit. `acknowledged` is written after each commit without a sync of
//! its own: power loss can make it older than the database, nothing but damage can make it newer. A store that ends before it is refused. Leases
//! are kept in memory only, so after a start all work is due at once; fencing tokens begin with the number of the start.
//!
//! After a failed fsync nothing is acknowledged until the process has restarted; [`EmbeddedStore::failed`] tells the server to end.

mod ahead;
mod backlog;
mod ballast;
mod batch;
mod check;
mod claim;
mod evidence;
mod export;
mod failure;
mod head;
mod held;
mod import;
mod list;
mod mover;
#[cfg(feature = "mutants")]
mod mutants;
mod open;
mod options;
mod parts;
mod queue;
mod reader;
mod rebuild;
mod room_ahead;
mod rows;
mod schema;
mod shared;
mod sought;
mod store;
mod sum;
mod work;
mod writer;

pub use check::check;
pub use export::export;
pub use import::import;
pub use options::{OpenError, OpenOptions, Synchronous};
pub use parts::{FileParts, PartLimits};
pub use rebuild::rebuild;
pub use store::EmbeddedStore;
