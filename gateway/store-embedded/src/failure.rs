//! Why an access to the database failed, and what that means for a step.

use std::path::Path;

use gateway_store::{Conflict, StoreError};
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Why an access failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The step does not fit. Found before anything was written.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A row is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// The step is larger than the store can number.
    #[error("{0}")]
    Bound(&'static str),
    /// A file beside the engine's hands.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// The database engine.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
}

/// What kind of trouble the database engine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// The disk is full.
    Full,
    /// What was read is not what was written.
    Damaged,
    /// The disk failed: nothing that comes after can be believed.
    Disk,
    /// Anything else.
    Other,
}

impl From<rusqlite::types::FromSqlError> for Failure {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Sql(error.into())
    }
}

impl Failure {
    pub(crate) fn trouble(&self) -> Trouble {
        match self {
            Self::Conflict(_) | Self::Bound(_) => Trouble::Other,
            Self::Damaged(_) => Trouble::Damaged,
            Self::File(error) if error.kind() == std::io::ErrorKind::StorageFull => Trouble::Full,
            Self::File(_) => Trouble::Disk,
            Self::Sql(error) => trouble_of(error),
        }
    }

    /// The answer to a caller whose step has not been written.
    pub(crate) fn answer(&self, path: &Path) -> StoreError {
        if let Self::Conflict(conflict) = self {
            return StoreError::Conflict(*conflict);
        }
        let what = format!("{}: {self}", path.display());
        match self.trouble() {
            Trouble::Full => StoreError::Full,
            Trouble::Damaged => StoreError::Corrupt { what },
            Trouble::Disk | Trouble::Other => StoreError::Unavailable { what },
        }
    }
}

fn trouble_of(error: &rusqlite::Error) -> Trouble {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::InvalidColumnType(..) => Trouble::Damaged,
        // The index of the write-ahead log could not grow: it lives in a file that is never synced and made anew at each start.
        rusqlite::Error::SqliteFailure(code, _) if code.extended_code == SQLITE_IOERR_SHMSIZE => Trouble::Full,
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Trouble::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Damaged,
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => Trouble::Disk,
            _ => Trouble::Other,
        },
    }
}
