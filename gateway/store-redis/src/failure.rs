//! Why an access to Redis failed, and what that means for a step.

use gateway_store::{Conflict, StoreError};

use crate::codec::Damaged;

/// Why an access failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The step does not fit. Found before anything was written.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A row is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Another commit came between two answers: to be read again.
    #[error("another commit came first")]
    Moved,
    /// The step is larger than the store can number.
    #[error("{0}")]
    Bound(&'static str),
    /// There is no connection, or Redis does not take commands now: nothing was sent, or it was refused as a whole.
    #[error("{0}")]
    Away(String),
    /// The connection broke, or no answer came in time: whether Redis has done it cannot be said.
    #[error("{0}")]
    Broken(String),
    /// Redis has no memory left for it.
    #[error("Redis has reached maxmemory")]
    Full,
    /// Redis refused it: a right that is missing, or a value of another kind under one of our keys.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// The answer to a question, or to a step of which nothing was written.
    pub(crate) fn unwritten(&self) -> StoreError {
        match self {
            Self::Conflict(conflict) => StoreError::Conflict(*conflict),
            Self::Damaged(damaged) => StoreError::Corrupt { what: format!("Redis: {damaged}") },
            Self::Full => StoreError::Full,
            Self::Moved | Self::Bound(_) | Self::Away(_) | Self::Broken(_) | Self::Refused(_) => {
                StoreError::Unavailable { what: format!("Redis: {self}") }
            }
        }
    }
}
