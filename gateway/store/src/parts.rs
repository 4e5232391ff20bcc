//! Attachments: content-addressed, stored once, kept apart from the database.

use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::agency::Hop;
use gateway_model::{Digest, Timestamp};
use tokio::io::AsyncRead;

use crate::accept::PartRef;

/// Keeps parts. "Is this digest here?" is answered only about what the same hop uploaded.
#[async_trait]
pub trait PartStore: Send + Sync {
    /// Which of `digests` the owner has not fully uploaded, with the bytes already here of a broken upload.
    ///
    /// # Errors
    /// [`PartError`].
    async fn missing(&self, owner: &Hop, digests: &[Digest]) -> Result<Vec<Missing>, PartError>;

    /// Starts or goes on with an upload. `offset` is what [`PartStore::missing`] told, or 0 to start again. A part that somebody has fully
    /// uploaded stays readable meanwhile.
    ///
    /// # Errors
    /// [`PartError::Offset`], [`PartError::Full`], [`PartError`].
    async fn begin(&self, owner: &Hop, part: PartRef, offset: u64) -> Result<Box<dyn PartWriter>, PartError>;

    /// Makes sure that each of `parts` was uploaded by `owner` with exactly this size, and protects them from sweeping until an envelope
    /// names them.
    ///
    /// # Errors
    /// [`PartError`].
    async fn check(&self, owner: &Hop, parts: &[PartRef]) -> Result<Vec<PartFault>, PartError>;

    /// Reads a part from `offset`.
    ///
    /// # Errors
    /// [`PartError::Unknown`], [`PartError`].
    async fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn AsyncRead + Send + Unpin>, PartError>;

    /// Up to `limit` parts and broken uploads not touched since `before`: candidates for removal, in a stable order from `after`.
    ///
    /// # Errors
    /// [`PartError`].
    async fn stale(&self, before: Timestamp, after: Option<Digest>, limit: usize) -> Result<Vec<Digest>, PartError>;

    /// Removes parts; those touched since `before` stay. Returns the bytes freed.
    ///
    /// # Errors
    /// [`PartError`].
    async fn remove(&self, digests: &[Digest], before: Timestamp) -> Result<u64, PartError>;

    /// Waits until what broken uploads have left in memory is put away. Nothing more is asked of the store after it.
    async fn close(&self) {}
}

/// An upload under way. Dropping it keeps what has been written, so that it can go on later.
#[async_trait]
pub trait PartWriter: Send {
    /// Appends a chunk.
    ///
    /// # Errors
    /// [`PartError::TooLong`], [`PartError::Full`], [`PartError`].
    async fn write(&mut self, chunk: Bytes) -> Result<(), PartError>;

    /// Checks size and digest and makes the part durable (file and folder). With too few bytes the upload can go on later; with another
    /// digest what was written is removed.
    ///
    /// # Errors
    /// [`PartError::TooShort`], [`PartError::DigestMismatch`], [`PartError`].
    async fn finish(self: Box<Self>) -> Result<(), PartError>;
}

/// A part that is not fully here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Its digest.
    pub digest: Digest,
    /// Bytes already here.
    pub received: u64,
}

/// A part that an envelope cannot name yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartFault {
    /// Not uploaded by this owner.
    Missing(Digest),
    /// Uploaded with another size.
    OtherSize {
        /// Which.
        digest: Digest,
        /// Its real size.
        actual: u64,
    },
}

/// Why a part cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The upload does not go on where it stopped.
    #[error("the upload stopped at byte {received}")]
    Offset {
        /// Bytes here.
        received: u64,
    },
    /// More bytes than said.
    #[error("more bytes than said")]
    TooLong,
    /// Fewer bytes than said.
    #[error("only {received} bytes came")]
    TooShort {
        /// Bytes that came.
        received: u64,
    },
    /// The bytes are others than said.
    #[error("the bytes have another digest")]
    DigestMismatch,
    /// Another call is uploading it for the same owner, here or at another node.
    #[error("another upload of the same part is under way")]
    Busy,
    /// No such part.
    #[error("there is no such part")]
    Unknown,
    /// The disk is full.
    #[error("the disk of the parts is full")]
    Full,
    /// The store of the parts is elsewhere, and does not answer, or not as it should.
    #[error("the store of the parts is not available: {what}: {source}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
