//! Files that are on the disk when a write returns.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use adapters_sdk::AdapterError;
pub(crate) use adapters_sdk::disk::{at, make_folder, run};
use adapters_sdk::disk::{rename, write};

/// Writes a file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    let draft = path.with_extension("new");
    write(&draft, bytes)?;
    rename(&draft, path)
}

/// Reads a file of at most `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, AdapterError> {
    let mut bytes = Vec::new();
    File::open(path).map_err(at(path))?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(at(path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(AdapterError::Other(format!("{} has more than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

/// The same as text.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, AdapterError> {
    let bytes = read(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|_| AdapterError::Other(format!("{} is no text", path.display())))
}
