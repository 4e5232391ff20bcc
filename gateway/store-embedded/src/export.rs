//! Moves a store out: every record, in the order of an archive. Ends at the first record that is damaged.

use std::path::Path;

use gateway_model::note::VerifierKey;
use gateway_store::archive::record::token_bound;
use gateway_store::archive::{Head as ArchivedHead, Leaf, MoveError, Record, Return};
use gateway_store::claim::Lane;
use rusqlite::Connection;
use tokio::sync::mpsc::Sender;

use crate::batch::{WayBack, each_mark};
use crate::evidence::{self, ABOUT_NO_ENVELOPE, What};
use crate::failure::Failure;
use crate::head::Head;
use crate::{open, rows};

/// Lines of history that are in memory together.
const LINES: usize = 64;

/// Hands every record of the store in `folder` to `to`, in the order of an archive. Nothing is changed; no other process may have it open.
/// Blocks: not for a thread that runs tasks.
///
/// # Errors
/// [`MoveError::Damaged`], which names the record; [`MoveError::Store`].
pub fn export(folder: &Path, key: &VerifierKey, to: &Sender<Record>) -> Result<(), MoveError> {
    let opened = open::open_for_check(folder).map_err(|error| MoveError::Store { what: error.to_string() })?;
    Export { connection: &opened.connection, to }.run(key.name()).map_err(|failure| moved(folder, &failure))
}

/// Why a move failed, naming the store.
pub(crate) fn moved(folder: &Path, failure: &Failure) -> MoveError {
    let what = format!("{}: {failure}", folder.display());
    match failure {
        Failure::Damaged(_) => MoveError::Damaged { what },
        Failure::Conflict(_) | Failure::Bound(_) | Failure::File(_) | Failure::Sql(_) => MoveError::Store { what },
    }
}

struct Export<'a> {
    connection: &'a Connection,
    to: &'a Sender<Record>,
}

impl Export<'_> {
    fn run(&self, origin: &str) -> Result<(), Failure> {
        let head = Head::read(self.connection)?;
        let note = evidence::newest_checkpoint(self.connection)?;
        self.put(Record::Head(ArchivedHead {
            origin: origin.to_owned(),
            commits: head.commits.unsigned_abs(),
            envelopes: head.envelopes.unsigned_abs(),
            returns_numbered: head.ways_back.unsigned_abs(),
            token_max: token_bound(head.boot.unsigned_abs() << 32),
            log: head.log,
            note,
        }))?;
        self.envelopes()?;
        self.loose_leaves()?;
        self.checkpoints()?;
        self.returns()?;
        self.marks()
    }

    fn put(&self, record: Record) -> Result<(), Failure> {
        self.to.blocking_send(record).map_err(|_| Failure::Bound("nobody takes the archive any more"))
    }

    fn envelopes(&self) -> Result<(), Failure> {
        let sql = format!("SELECT {}, open, final_at FROM envelope NOT INDEXED ORDER BY seq", rows::ENVELOPE_COLUMNS);
        let mut statement = self.connection.prepare(&sql)?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let (seq, open): (i64, i64) = (row.get(0)?, row.get(18)?);
            let final_at: Option<i64> = row.get(19)?;
            // A time that was set before it was opened again is over.
            let final_at = final_at.filter(|_| open == 0).map(gateway_model::Timestamp::from_micros);
            self.put(Record::Envelope { row: rows::read_envelope(row)?, final_at })?;
            if let Some(body) = rows::body_of(self.connection, seq)? {
                self.put(Record::Body(body))?;
            }
            for kept in rows::deliveries_of(self.connection, seq)? {
                self.put(Record::Delivery(kept.row))?;
            }
            self.history(seq)?;
        }
        Ok(())
    }

    fn history(&self, seq: i64) -> Result<(), Failure> {
        let mut after = -1;
        loop {
            let lines = evidence::lines_of(self.connection, seq, after, LINES)?;
            let Some(last) = lines.last() else { return Ok(()) };
            after = last.position;
            for line in lines {
                self.put(match line.what {
                    What::Own { receipt, tree_size } => Record::Own(archived(receipt, tree_size)),
                    What::Foreign(foreign) => Record::Foreign(foreign),
                })?;
            }
        }
    }

    fn loose_leaves(&self) -> Result<(), Failure> {
        let mut statement = self.connection.prepare("SELECT leaf FROM event WHERE envelope = ?1 ORDER BY leaf")?;
        let mut found = statement.query([ABOUT_NO_ENVELOPE])?;
        while let Some(row) = found.next()? {
            let leaf: i64 = row.get(0)?;
            let damaged = || Failure::Damaged(format!("event {leaf}"));
            match evidence::leaf_at(self.connection, leaf)?.ok_or_else(damaged)?.what {
                What::Own { receipt, tree_size } => self.put(Record::Loose(archived(receipt, tree_size)))?,
                What::Foreign(_) => return Err(damaged()),
            }
        }
        Ok(())
    }

    fn checkpoints(&self) -> Result<(), Failure> {
        let mut statement = self.connection.prepare("SELECT size FROM checkpoint ORDER BY size")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let size: i64 = row.get(0)?;
            let missing = || Failure::Damaged(format!("checkpoint {size}"));
            let note = evidence::checkpoint_at(self.connection, size)?.ok_or_else(missing)?;
            self.put(Record::Checkpoint { size: size.unsigned_abs(), note })?;
        }
        Ok(())
    }

    fn returns(&self) -> Result<(), Failure> {
        let mut statement = self.connection.prepare("SELECT id FROM way_back NOT INDEXED ORDER BY id")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let id: i64 = row.get(0)?;
            let missing = || Failure::Damaged(format!("way_back {id}: its lane is missing"));
            let (row, lane): (WayBack, Lane) = WayBack::at(self.connection, id)?.ok_or_else(missing)?;
            let receipt = row.with_receipt(self.connection)?.receipt;
            let WayBack { gateway: to, wake, attempts, reason, .. } = row;
            self.put(Record::Return(Return { id: id.unsigned_abs(), to, lane, wake, attempts, reason, receipt }))?;
        }
        Ok(())
    }

    fn marks(&self) -> Result<(), Failure> {
        // A store of the first format has none.
        if !self.connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'mark'")?.exists([])? {
            return Ok(());
        }
        each_mark(self.connection, |mark| {
            let (name, value) = mark?;
            self.put(Record::Mark { name, value })
        })
    }
}

fn archived(receipt: gateway_evidence::Receipt, tree_size: u64) -> Leaf {
    Leaf { index: receipt.leaf_index, tree_size, event: receipt.event, proof: receipt.proof }
}
