//! Files that are there whole or not at all, and last.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use adapters_sdk::AdapterError;
pub(crate) use adapters_sdk::disk::{at, rename, replace, run, sync_folder};

/// Makes a folder with its parents, readable by nobody else, and makes its name last.
pub(crate) fn make_folder(folder: &Path) -> Result<(), AdapterError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
    sync_folder(folder.parent().unwrap_or(folder))
}

/// Empties a folder of files that broken attempts left.
pub(crate) fn clear_folder(folder: &Path) -> Result<(), AdapterError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(())
}

/// Reads a file of at most `max` bytes; `None` when there is none.
pub(crate) fn read_if_there(path: &Path, max: u64) -> Result<Option<Vec<u8>>, AdapterError> {
    let file = match File::open(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(at(path))?,
    };
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(at(path))?;
    if bytes.len() as u64 > max {
        return Err(AdapterError::Other(format!("{} has more than {max} bytes", path.display())));
    }
    Ok(Some(bytes))
}

/// Reads a file of at most `max` bytes that has to be there.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, AdapterError> {
    let missing = || AdapterError::File { path: path.to_owned(), source: io::ErrorKind::NotFound.into() };
    read_if_there(path, max)?.ok_or_else(missing)
}

/// Removes a file; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> Result<(), AdapterError> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(at(path)(fault)),
        _ => Ok(()),
    }
}
