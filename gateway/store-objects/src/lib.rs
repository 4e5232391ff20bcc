//! Parts in an S3-compatible store, for many nodes: streamed in pieces, whole in one step, swept without a lock.
//!
//! # Format
//! Everything about the part `<digest>` has a name that begins with `<prefix>/<digest>/<upload>/`, where `<upload>` is `<owner>.<id>`: one upload,
//! by one owner, the beginning of the SHA-256 of the hop. Below that:
//!
//! | object | what |
//! |---|---|
//! | `piece/<index>.<writer>` | the bytes from `index` × 2 MiB on; all pieces but the last are full |
//! | `whole.<size>.<writer>` | the pieces of the whole part, by name: putting it makes the part whole |
//! | `owner/<owner>` | another owner has uploaded the same part, or an owner's envelope is about to name it: put again at each touch |
//! | `going/<writer>` | somebody has gone on with a broken upload |
//! | `gone/<sweeper>` | a tombstone: what is in this upload may go at any moment |
//!
//! Beside the parts stand `gateway`, the id of the gateway whose they are, and for a moment of each start `probe/…`.
//!
//! A writer is one call of one node, a sweeper one removal. So no name but `owner/…` is ever written twice: what a writer hashed is what is
//! kept, whoever else uploads the same part, and a late removal takes only what it has seen. A broken upload goes on at any node at the end of
//! what is there: what a connection that breaks, or a node that is killed, costs is at most the piece in hand.
//!
//! # Touching and sweeping
//! An S3-compatible store has no locks, but what was put, or deleted, is seen by whoever asks next. So either side first says what it is about to
//! do and then looks for the other:
//!
//! * Who relies on an upload puts `owner/…` (or `going/…`), then asks for tombstones, then for what it relies on. One tombstone, and it relies on
//!   nothing here: the part counts as not uploaded, and is uploaded anew under another name.
//! * Who removes puts a tombstone, then lists the upload. Something new, and the tombstone goes away again and everything stays. Otherwise
//!   `whole…` goes first and the tombstones last.
//!
//! Of the two, whoever asks second sees the other, so no envelope is accepted whose part is swept. Only the sweeper that put a tombstone takes
//! it away again; that of one that died stays until what is beside it is stale, and the next sweep removes both.
//!
//! # Cost
//! An upload is 5 requests and one for each 2 MiB, a check for an envelope 4 for each of its parts, in an order that must not change; 8 parts are
//! checked at the same time. Reading is 2 requests and one for each 2 MiB.
//!
//! # Clocks
//! Times of objects are those of the store. A removal reckons ages from the time of its own tombstone, so the clocks of the nodes do not matter
//! to it. Candidates are found by the node's clock; that one is off costs time, or a question, and no part.

mod connection;
mod failure;
mod found;
mod names;
mod objects;
mod open;
mod reader;
mod relied;
mod room;
mod store;
mod sweep;
mod upload;

pub use open::{OpenError, Options};
pub use store::ObjectParts;
