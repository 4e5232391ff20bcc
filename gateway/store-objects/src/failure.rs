//! What a failed request means for a part.

use std::error::Error;

use gateway_store::parts::PartError;
use object_store::path::Path;

/// The store has no room left.
#[derive(Debug, thiserror::Error)]
#[error("the store of the parts has no room left")]
pub(crate) struct NoRoom;

/// The request took too long, with all its repetitions.
#[derive(Debug, thiserror::Error)]
#[error("no answer in time")]
pub(crate) struct NoAnswer;

/// What is kept cannot be what was put.
#[derive(Debug, thiserror::Error)]
#[error("the list of its pieces cannot be read")]
pub(crate) struct Damaged;

/// What to tell of a failed request about `path`.
pub(crate) fn failed(path: &Path, source: impl Error + Send + Sync + 'static) -> PartError {
    if is_about_room(&source) {
        return PartError::Full;
    }
    PartError::Unavailable { what: path.to_string(), source: Box::new(source) }
}

fn is_about_room(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<NoRoom>() {
            return true;
        }
        next = error.source();
    }
    false
}
