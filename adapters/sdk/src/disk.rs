//! Writes that are on the disk when they return: what adapters keep, they keep through a crash.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::AdapterError;

/// Runs blocking work aside. It ends even when the caller stops waiting.
///
/// # Errors
/// When the work breaks down.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AdapterError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|broken| AdapterError::Other(format!("work on the disk broke off: {broken}")))
}

/// Names the file in an error.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> AdapterError + use<> {
    let path = path.to_owned();
    move |source| AdapterError::File { path, source }
}

/// Writes a file and syncs it; its folder is the caller's to sync.
///
/// # Errors
/// The file's.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

/// Writes a file so that it is there whole or not at all: into `working` first, then renamed.
///
/// # Errors
/// The file's or its folder's.
pub fn write_whole(working: &Path, path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    // Two writers of one file do not meet in one draft.
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", DRAFTS.fetch_add(1, Ordering::Relaxed)));
    let draft = working.join(name);
    write(&draft, bytes)?;
    rename(&draft, path)
}

/// The same for a file that has one writer: its draft stands beside it.
///
/// # Errors
/// The file's or its folder's.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), AdapterError> {
    let draft = path.with_extension("new");
    write(&draft, bytes)?;
    rename(&draft, path)
}

/// Renames and syncs the folder that got the new name.
///
/// # Errors
/// The new name's.
pub fn rename(from: &Path, to: &Path) -> Result<(), AdapterError> {
    fs::rename(from, to).map_err(at(to))?;
    sync_folder(to.parent().unwrap_or(to))
}

/// Makes names in a folder last.
///
/// # Errors
/// The folder's.
pub fn sync_folder(folder: &Path) -> Result<(), AdapterError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Makes a folder with its parents, and makes its name last.
///
/// # Errors
/// The folder's.
pub fn make_folder(folder: &Path) -> Result<(), AdapterError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(at(folder))?;
    sync_folder(folder.parent().unwrap_or(folder))
}

/// Reads a file of at most `max` bytes; `None` when it is longer.
///
/// # Errors
/// The file's.
pub fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, AdapterError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(at(path))?;
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(at(path))?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

/// The same, but `None` also when there is no such file.
///
/// # Errors
/// The file's.
pub fn read_if_there(path: &Path, max: u64) -> Result<Option<Vec<u8>>, AdapterError> {
    match read(path, max) {
        Err(AdapterError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read,
    }
}
