//! Evidence: the Merkle log of a gateway, its signed checkpoints, and receipts that are proofs.
//!
//! Rooms: [`event`] is what a leaf says of an envelope, [`act`] what it says of an operator; [`log`] appends leaves and signs; [`receipt`] is a leaf with its proof and checkpoint, and proves
//! itself offline; [`checkpoint`] is the signed head of a log; [`merkle`] is the arithmetic (RFC 9162); [`tile`] serves a log piece by piece
//! (C2SP tlog-tiles). Nothing here reads or writes: the store keeps what these functions give, in the commit that they describe.

pub mod act;
pub mod checkpoint;
pub mod event;
pub mod log;
pub mod merkle;
pub mod receipt;
pub mod tile;

pub use act::{Act, ActKind};
pub use checkpoint::Checkpoint;
pub use event::{Event, EventKind, RevocationUsed, Verification};
pub use log::{Batch, Log, LogState};
pub use receipt::Receipt;

use gateway_model::note::NoteError;

/// Why a piece of evidence does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Larger than the bound.
    #[error("{what} is larger than its bound")]
    TooLarge {
        /// Which piece.
        what: &'static str,
    },
    /// Not what a gateway writes.
    #[error("{what} is malformed")]
    Malformed {
        /// Which piece or field.
        what: &'static str,
    },
    /// The note of the checkpoint does not open.
    #[error("the checkpoint does not open: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint is of another log.
    #[error("the checkpoint is of another log")]
    OtherOrigin,
    /// The leaf is not in the tree of the checkpoint at its index.
    #[error("the leaf is not in the tree of the checkpoint")]
    NotIncluded,
    /// The event names another gateway than the log it stands in.
    #[error("the event names another gateway than its log")]
    OtherGateway,
    /// The smaller tree is not the beginning of the larger one.
    #[error("the smaller tree is not the beginning of the larger one")]
    NotConsistent,
    /// A position that the tree does not have.
    #[error("the tree has no such position")]
    OutOfRange,
}
