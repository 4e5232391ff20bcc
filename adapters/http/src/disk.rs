//! Files that are on the disk when a write returns.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use adapters_sdk::AdapterError;

/// Runs blocking work aside.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AdapterError> {
    let ran = tokio::task::spawn_blocking(work).await;
    ran.map_err(|broken| AdapterError::Other(format!("work on the disk broke off: {broken}")))
}

/// Names the file in an error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> AdapterError + use<> {
    let path = path.to_owned();
    move |source| AdapterError::File { path, source }
}

/// Makes a folder with its parents, and makes its name last.
pub(crate) fn make_folder(folder: &Path) -> Result<(), AdapterError> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    sync_folder(folder.parent().unwrap_or(folder))
}

/// Writes a file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft).map_err(at(&draft))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&draft))?;
    fs::rename(&draft, path).map_err(at(path))?;
    sync_folder(path.parent().unwrap_or(path))
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

fn sync_folder(folder: &Path) -> Result<(), AdapterError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
