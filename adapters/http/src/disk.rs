//! Files that are on the disk when a write returns.

use std::path::Path;

use adapters_sdk::AdapterError;
pub(crate) use adapters_sdk::disk::{at, make_folder, replace, run};

/// Reads a file of at most `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, AdapterError> {
    let too_long = || AdapterError::Other(format!("{} has more than {bytes_max} bytes", path.display()));
    adapters_sdk::disk::read(path, bytes_max)?.ok_or_else(too_long)
}

/// The same as text.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, AdapterError> {
    let bytes = read(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|_| AdapterError::Other(format!("{} is no text", path.display())))
}
