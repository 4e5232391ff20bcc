//! What an adapter keeps for a while: notes of one file each, and what was set aside for a person. What is too old to matter is removed once
//! a day, beside the work.

use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{AdapterError, disk};

/// Between two looks.
pub const EVERY: Duration = Duration::from_secs(86_400);

/// Looks at the folders, now and then once a day, and removes what has not changed for `older_than`. Never ends: run it beside the adapter's
/// own work, so that a start does not wait for it.
///
/// # Cancellation
/// A look that has begun goes on to its end.
pub async fn daily(folders: Vec<PathBuf>, older_than: Duration) -> Infallible {
    every_day(move || folders.iter().try_for_each(|folder| forget(folder, older_than))).await
}

/// The same with a way of looking that is the adapter's own.
///
/// # Cancellation
/// A look that has begun goes on to its end.
pub async fn every_day(look: impl Fn() -> Result<(), AdapterError> + Send + Sync + 'static) -> Infallible {
    let look = Arc::new(look);
    loop {
        let looks = look.clone();
        if let Err(fault) | Ok(Err(fault)) = disk::run(move || looks()).await {
            tracing::warn!(%fault, "what is too old cannot be removed now");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes each folder inside of `place` whose file `mark`, written when the folder was set aside, has not changed for `older_than`. What has
/// no mark stays: its fate is not known yet. The mark goes last.
///
/// # Errors
/// The folder's or that of something in it.
pub fn set_aside(place: &Path, mark: &str, older_than: Duration) -> Result<(), AdapterError> {
    for entry in fs::read_dir(place).map_err(disk::at(place))? {
        let folder = entry.map_err(disk::at(place))?.path();
        let mark = folder.join(mark);
        let is_folder = fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder || !is_older(&mark, older_than) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(disk::at(&folder))? {
            let path = entry.map_err(disk::at(&folder))?.path();
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                fs::remove_dir_all(&path).map_err(disk::at(&path))?;
            } else if path != mark {
                remove(&path)?;
            }
        }
        remove(&mark)?;
        fs::remove_dir(&folder).map_err(disk::at(&folder))?;
    }
    Ok(())
}

/// Whether something is there and has not changed for `older_than`.
pub fn is_older(path: &Path, older_than: Duration) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| has_aged(&metadata, older_than))
}

/// Removes a file; one that somebody else has removed meanwhile is gone.
///
/// # Errors
/// The file's.
pub fn remove(path: &Path) -> Result<(), AdapterError> {
    match fs::remove_file(path) {
        Err(fault) if fault.kind() != ErrorKind::NotFound => Err(disk::at(path)(fault)),
        _ => Ok(()),
    }
}

fn has_aged(metadata: &fs::Metadata, older_than: Duration) -> bool {
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > older_than)
}

/// Removes what has not changed for `older_than`, in the folder and those inside of it.
fn forget(folder: &Path, older_than: Duration) -> Result<(), AdapterError> {
    for entry in fs::read_dir(folder).map_err(disk::at(folder))? {
        let entry = entry.map_err(disk::at(folder))?;
        let path = entry.path();
        // What somebody else has removed meanwhile is gone.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            forget(&path, older_than)?;
        } else if has_aged(&metadata, older_than) {
            remove(&path)?;
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

    #[test]
    fn what_was_set_aside_goes_by_the_age_of_its_mark_and_never_without_one() {
        let place = tempfile::tempdir().unwrap();
        let write = |path: &str, days: u64| {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
        };
        for (folder, days) in [("old", 11), ("young", 9)] {
            write(&format!("{folder}/reason.txt"), days);
            write(&format!("{folder}/paper.pdf"), 999);
            write(&format!("{folder}/inside/scan.pdf"), 999);
        }
        write("unmarked/paper.pdf", 999);
        write("file", 999);
        set_aside(place.path(), "reason.txt", Duration::from_secs(10 * 86_400)).unwrap();
        let mut left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["file", "unmarked", "young"]);
        assert_eq!(fs::read_dir(place.path().join("young")).unwrap().count(), 3);
    }
}
