//! Notes that an adapter keeps for a while, one file each: those that are too old to matter are removed once a day, beside the work.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{AdapterError, disk};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(86_400);

/// Looks at the folders, now and then once a day, and removes what has not changed for `older_than`. Never ends: run it beside the adapter's
/// own work, so that a start does not wait for it.
///
/// # Cancellation
/// A look that has begun goes on to its end.
pub async fn daily(folders: Vec<PathBuf>, older_than: Duration) -> Infallible {
    loop {
        let looked = folders.clone();
        let done = disk::run(move || looked.iter().try_for_each(|folder| forget(folder, older_than)));
        if let Err(fault) | Ok(Err(fault)) = done.await {
            tracing::warn!(%fault, "what is too old cannot be removed now");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes what has not changed for `older_than`, in the folder and those inside of it.
fn forget(folder: &Path, older_than: Duration) -> Result<(), AdapterError> {
    for entry in fs::read_dir(folder).map_err(disk::at(folder))? {
        let entry = entry.map_err(disk::at(folder))?;
        let path = entry.path();
        // What somebody else has removed meanwhile is gone.
        let Ok(metadata) = entry.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if metadata.is_dir() {
            forget(&path, older_than)?;
        } else if age.is_some_and(|age| age > older_than) {
            match fs::remove_file(&path) {
                Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(disk::at(&path)(fault)),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let note = |name: &str, days: u64| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
            path
        };
        let (old, young) = (note("aa/old", 11), note("ab/young", 9));
        forget(folder.path(), Duration::from_secs(10 * 86_400)).unwrap();
        assert_eq!((old.exists(), young.exists()), (false, true));
        assert!(forget(&folder.path().join("none"), Duration::ZERO).is_err());
    }
}
