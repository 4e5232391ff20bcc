//! Broken on purpose, so that the fault harnesses can be shown to catch it. Compiled only with the feature `mutants`, chosen by the
//! environment variable `LIENTHONG_MUTANT`. Never part of a gateway that serves anybody.

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::Connection;

static CHOSEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("LIENTHONG_MUTANT").ok());

/// How late the late commit comes: long enough for a kill to fall between.
const LATE: Duration = Duration::from_millis(40);

/// Answers, then commits: what a kill in between loses was acknowledged.
pub(crate) fn answers_before_commit() -> bool {
    CHOSEN.as_deref() == Some("answer-before-commit")
}

/// Takes a repeat for something new.
pub(crate) fn forgets_duplicates() -> bool {
    CHOSEN.as_deref() == Some("forget-duplicates")
}

/// Ends the transaction that was answered for already.
pub(crate) fn commit_late(connection: &Connection) {
    if answers_before_commit() && !connection.is_autocommit() {
        std::thread::sleep(LATE);
        if let Err(error) = connection.execute_batch("COMMIT") {
            tracing::error!(%error, "the late commit failed");
        }
    }
}
