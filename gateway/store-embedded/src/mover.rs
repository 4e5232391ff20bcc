//! The second thread of the store: it moves the write-ahead log into the database while the writer goes on committing.
//!
//! SQLite lets one connection move frames while another appends them (a "passive" checkpoint). As long as frames are appended the move is never
//! a whole one, so SQLite neither syncs the database after it nor begins the log anew. The pages that were moved are synced here, through a
//! descriptor that stays open as long as the store has connections: closing any descriptor of the database drops the locks of the whole
//! process. The writer then moves the little that is left between two commits. That last step is the one which ends the log, and its sync, made
//! by SQLite, is the one that counts: nothing here has to be done for what was acknowledged to be there.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::failure::Failure;
use crate::options::Synchronous;
use crate::schema;
use crate::writer;

/// The writer's hold on the thread.
pub(crate) struct Mover {
    orders: SyncSender<()>,
    ends: Receiver<Result<(), Failure>>,
    thread: JoinHandle<()>,
    database: Arc<File>,
    is_moving: bool,
}

impl Mover {
    /// Starts the thread, with a connection of its own.
    pub(crate) fn start(path: &Path, synchronous: Synchronous) -> Result<Self, Failure> {
        let connection = schema::open_writer(path, synchronous)?;
        let database = Arc::new(File::open(path)?);
        let synced = (synchronous == Synchronous::Full).then(|| database.clone());
        let (orders, ordered) = sync_channel(1);
        let (end, ends) = sync_channel(1);
        let serve = move || {
            while ordered.recv().is_ok() {
                if end.send(move_in(&connection, synced.as_deref())).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-mover".to_owned()).spawn(serve)?;
        Ok(Self { orders, ends, thread, database, is_moving: false })
    }

    /// Begins a move; false when there is no thread any more that could.
    pub(crate) fn begin(&mut self) -> bool {
        self.is_moving = self.orders.try_send(()).is_ok();
        self.is_moving
    }

    /// Whether a move has begun of which nobody has heard the end.
    pub(crate) fn is_moving(&self) -> bool {
        self.is_moving
    }

    /// How the move ended, if it has; `None` while it goes on.
    pub(crate) fn ended(&mut self) -> Option<Result<(), Failure>> {
        match self.ends.try_recv() {
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.end(Err(RecvError))),
            Ok(ended) => Some(self.end(Ok(ended))),
        }
    }

    /// Waits for the end of the move.
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        let ended = self.ends.recv();
        self.end(ended)
    }

    fn end(&mut self, ended: Result<Result<(), Failure>, RecvError>) -> Result<(), Failure> {
        self.is_moving = false;
        ended.unwrap_or_else(|RecvError| {
            Err(io::Error::other("the thread that moves the write-ahead log has ended").into())
        })
    }

    /// Waits for the move under way and ends the thread. What it gives back is to be dropped when no connection is open any more.
    pub(crate) fn stop(self) -> Arc<File> {
        let Self { orders, thread, database, .. } = self;
        drop(orders);
        if thread.join().is_err() {
            tracing::error!("the thread that moves the write-ahead log did not end in order");
        }
        database
    }
}

fn move_in(connection: &Connection, synced: Option<&File>) -> Result<(), Failure> {
    writer::checkpoint(connection, "PASSIVE")?;
    synced.map_or(Ok(()), File::sync_data)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_in_the_database_while_the_log_still_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        let connection = schema::open_writer(&path, Synchronous::Full).unwrap();
        connection.execute_batch("CREATE TABLE kept (text TEXT)").unwrap();
        writer::checkpoint(&connection, "TRUNCATE").unwrap();
        let mut mover = Mover::start(&path, Synchronous::Full).unwrap();
        let text = "a land file ".repeat(100_000);
        connection.execute("INSERT INTO kept VALUES (?1)", [&text]).unwrap();
        let has_text = || String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("a land file a land file");
        assert!(!has_text() && !mover.is_moving());

        assert!(mover.begin() && mover.is_moving());
        mover.wait().unwrap();
        assert!(has_text() && !mover.is_moving() && mover.ended().is_none());
        let log = std::fs::metadata(folder.path().join("database-wal")).unwrap().len();
        assert!(log > text.len() as u64, "the log ends by the writer's hand: {log}");
        drop(mover.stop());
    }

    #[test]
    fn a_move_does_not_hold_up_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        let connection = schema::open_writer(&path, Synchronous::Full).unwrap();
        connection.execute_batch("CREATE TABLE kept (number INTEGER)").unwrap();
        let mut mover = Mover::start(&path, Synchronous::Full).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE; INSERT INTO kept VALUES (1)").unwrap();
        assert!(mover.begin());
        mover.wait().unwrap();
        connection.execute_batch("INSERT INTO kept VALUES (2); COMMIT").unwrap();
        assert!(writer::checkpoint(&connection, "PASSIVE").unwrap() == writer::Progress::Whole);
        drop(mover.stop());
    }
}
