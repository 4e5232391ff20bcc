//! The write-ahead log: kept short, moved into the database.

use rusqlite::Connection;

use super::{Unwritten, Writer};
use crate::failure::{Failure, Trouble};

/// Bytes in the write-ahead log before they are moved into the database while the disk has less than its reserve.
const CHECKPOINT_BYTES_WHEN_FULL: usize = 512 * 1024;

impl Writer {
    /// Bytes in the write-ahead log that are too many. Below the reserve it is soon written from its beginning again instead of growing.
    fn checkpoint_due(&self) -> usize {
        if self.was_full { self.checkpoint_bytes.min(CHECKPOINT_BYTES_WHEN_FULL) } else { self.checkpoint_bytes }
    }

    /// Keeps the write-ahead log short: the mover takes the bulk of it while commits go on, what is left goes between two commits.
    pub(super) fn tend_log(&mut self) {
        let due = self.checkpoint_due();
        if self.shared.failure().is_some() {
            return;
        }
        if self.mover.is_moving() {
            // Commits wait when they write faster than a slow disk takes it.
            let is_far_ahead = self.unchecked_bytes >= 2 * due;
            let ended = if is_far_ahead { Some(self.mover.wait()) } else { self.mover.ended() };
            match ended {
                Some(Ok(())) => self.checkpoint(),
                Some(Err(failure)) => self.not_moved(&failure),
                None => {}
            }
        } else if self.unchecked_bytes >= due {
            // Where room is scarce the log is short, and begins anew at once.
            if self.was_full || !self.mover.begin() {
                self.checkpoint();
            }
        }
    }

    /// Moves what the write-ahead log holds into the database, between two commits.
    fn checkpoint(&mut self) {
        match checkpoint(&self.connection, "PASSIVE") {
            Ok(Progress::Whole) => self.unchecked_bytes = 0,
            // A reader still looks at an old page: what is left goes with the next one.
            Ok(Progress::Part) => self.unchecked_bytes = self.checkpoint_due() / 2,
            Err(failure) => self.not_moved(&failure),
        }
    }

    fn not_moved(&mut self, failure: &Failure) {
        if failure.trouble() == Trouble::Full {
            self.unchecked_bytes = self.checkpoint_due() / 2;
            self.shared.release_ballast();
            tracing::warn!(file = %self.path.display(), "the disk is full: the write-ahead log grows until there is room");
        } else {
            self.die(failure, Unwritten::Surely);
        }
    }
}

/// How far a checkpoint came.
#[derive(PartialEq, Eq)]
pub(crate) enum Progress {
    Whole,
    Part,
}

/// Moves the write-ahead log into the database.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<Progress, Failure> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, frames, moved): (i64, i64, i64) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(if busy == 0 && frames == moved { Progress::Whole } else { Progress::Part })
}
