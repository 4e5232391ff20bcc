//! Taking the lock of a file that somebody may hold for one moment more.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

/// A process that is just ending holds its locks for a moment, and so does a child that one is just starting, until it runs its own program.
pub(crate) const MOMENT: Duration = Duration::from_secs(1);
/// Between two attempts: `flock` has no time limit of its own.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Takes the lock, for this opening of the file alone.
///
/// # Errors
/// `WouldBlock` when somebody holds it for longer than a moment; the file's.
pub(crate) fn lock(file: &File) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < MOMENT => std::thread::sleep(LOOK),
            taken => return taken,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn a_lock_that_is_given_back_within_a_moment_is_taken_and_one_that_is_kept_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().write(true).open(file.path()).unwrap();
        let (one, other) = (open(), open());
        lock(&one).unwrap();
        assert!(matches!(lock(&other), Err(TryLockError::WouldBlock)));
        let giving = std::thread::spawn(move || drop(one));
        lock(&other).unwrap();
        giving.join().unwrap();
    }
}
