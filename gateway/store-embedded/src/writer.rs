//! The one thread that writes: many steps, one transaction, one checkpoint signature, one fsync.
//!
//! It takes what waits in the queue, applies every step in one transaction, appends all leaves at once, commits, advances the log, and then
//! answers everybody. A step that conflicts writes nothing and spoils nothing. When the transaction fails for another reason, the steps are
//! tried one by one, so that only the one at fault is refused; when the disk fails, nothing is ever tried again: after a failed sync
//! the page cache cannot be believed, and only a restart tells what is there.

mod log;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gateway_evidence::{Batch as Leaves, Log};
use gateway_store::StoreError;
use gateway_store::accept::Accepted;
use gateway_store::change::Changed;
use gateway_store::settle::Settled;
use rusqlite::Connection;

use crate::batch::{Batch, Done, LaneNumbers, lock};
use crate::evidence::{self, signed};
use crate::failure::{Failure, Trouble};
use crate::head::{Acknowledged, Head};
use crate::mover::Mover;
use crate::queue::{Answer, Inbox, Request, Step};
use crate::rows::sequence;
use crate::shared::Shared;
use crate::sought::Behind;
use crate::work::Effects;

#[cfg(test)]
pub(crate) use log::Progress;
pub(crate) use log::checkpoint;

/// Steps in one transaction.
const BATCH_STEPS_MAX: usize = 512;
/// Bytes in one transaction, roughly.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Pages that even the smallest commit rewrites, in bytes.
const COMMIT_BYTES: usize = 10 * 8 * 1024;

/// The thread's own.
pub(crate) struct Writer {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) log: Log,
    pub(crate) head: Head,
    pub(crate) acknowledged: Acknowledged,
    pub(crate) lanes: LaneNumbers,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Inbox,
    pub(crate) mover: Mover,
    /// Bytes written to the write-ahead log between two checkpoints of the database, roughly.
    pub(crate) checkpoint_bytes: usize,
    pub(crate) unchecked_bytes: usize,
    /// Whether the disk had less than its reserve at the last look.
    pub(crate) was_full: bool,
    /// How far the search index is.
    pub(crate) behind: Behind,
    /// Whether a commit has set a wake-up that nobody has been told of.
    pub(crate) has_woken: bool,
}

/// Why no step of a transaction has an answer of its own.
enum Abort {
    /// Nothing was written; the steps can be tried one by one.
    Failed(Failure),
    /// The disk failed; nothing was written.
    Dead(StoreError),
}

type Answers = Vec<Result<Answer, StoreError>>;

impl Writer {
    /// Serves until nobody can send any more, or the store is closed.
    pub(crate) fn run(mut self) {
        let mut requests = Vec::with_capacity(BATCH_STEPS_MAX);
        while self.inbox.take(&mut requests, BATCH_STEPS_MAX, BATCH_BYTES_MAX) {
            let bytes: usize = requests.iter().map(|request| request.step.bytes()).sum();
            self.serve(&mut requests);
            self.unchecked_bytes += bytes + bytes / 4 + COMMIT_BYTES;
            self.index();
            self.tend_log();
        }
        self.finish();
    }

    /// Writes the next run of the search index when enough is there for it. Everybody has been answered; nothing that was promised depends on it.
    fn index(&mut self) {
        // A transaction that is still open is a mutant's.
        if self.was_full || !self.behind.is_due(self.head.envelopes) || !self.connection.is_autocommit() {
            return;
        }
        let mut behind = self.behind;
        let written = execute(&self.connection, "BEGIN IMMEDIATE")
            .map_err(Failure::from)
            .and_then(|()| behind.write_run(&self.connection))
            .and_then(|()| execute(&self.connection, "COMMIT").map_err(Failure::from));
        match written {
            Ok(()) => self.behind = behind,
            Err(failure) => {
                self.roll_back(failure, &Effects::default());
                self.behind.given_up = true;
                tracing::error!(file = %self.path.display(), "the search index is not written any more until the next start; searches take longer");
            }
        }
    }

    fn note_acknowledged(&mut self, commits: i64) -> std::io::Result<()> {
        #[cfg(feature = "mutants")]
        if crate::mutants::answers_before_commit() {
            // It would refuse to start after the loss; here the harness is to see the loss itself.
            return Ok(());
        }
        self.acknowledged.write(commits.unsigned_abs())
    }

    #[cfg(not(feature = "mutants"))]
    fn end_transaction(&self) -> rusqlite::Result<()> {
        execute(&self.connection, "COMMIT")
    }

    #[cfg(feature = "mutants")]
    fn end_transaction(&self) -> rusqlite::Result<()> {
        // This mutant commits only after it has answered.
        if crate::mutants::answers_before_commit() { Ok(()) } else { execute(&self.connection, "COMMIT") }
    }

    fn serve(&mut self, requests: &mut Vec<Request>) {
        let answers = self.take(requests);
        for (request, answer) in requests.drain(..).zip(answers) {
            // Whoever does not wait any more reads back by id.
            request.answer.send(answer).ok();
        }
        // After the answers: what is to be delivered next does not keep anybody waiting.
        if std::mem::take(&mut self.has_woken) {
            self.shared.wake();
        }
        #[cfg(feature = "mutants")]
        crate::mutants::commit_late(&self.connection);
    }

    fn take(&mut self, requests: &[Request]) -> Answers {
        if let Some(what) = self.shared.failure() {
            return requests.iter().map(|_| Err(StoreError::Unavailable { what: what.clone() })).collect();
        }
        let steps: Vec<&Step> = requests.iter().map(|request| &request.step).collect();
        self.was_full = self.shared.is_full_for_writer();
        if self.was_full { self.take_nothing_new(&steps) } else { self.take_steps(&steps) }
    }

    /// Refuses what is new and takes the rest: what has room is for what was accepted before.
    fn take_nothing_new(&mut self, steps: &[&Step]) -> Answers {
        let others: Vec<&Step> = steps.iter().copied().filter(|step| !step.is_accept()).collect();
        let mut answers = self.take_steps(&others).into_iter();
        let unanswered = || Err(StoreError::Unknown { what: "the step was not answered".to_owned() });
        let answer = |step: &&Step| match step.is_accept() {
            true => Err(StoreError::Full),
            false => answers.next().unwrap_or_else(unanswered),
        };
        steps.iter().map(answer).collect()
    }

    fn take_steps(&mut self, steps: &[&Step]) -> Answers {
        match self.commit(steps) {
            Ok(answers) => answers,
            Err(Abort::Dead(error)) => steps.iter().map(|_| Err(copy(&error))).collect(),
            Err(Abort::Failed(failure)) if failure.trouble() == Trouble::Full && self.shared.release_ballast() => {
                self.take_nothing_new(steps)
            }
            Err(Abort::Failed(failure)) if steps.len() <= 1 => {
                steps.iter().map(|_| Err(failure.answer(&self.path))).collect()
            }
            Err(Abort::Failed(failure)) => {
                tracing::warn!(steps = steps.len(), error = %failure, "a batch was not written: its steps are tried one by one");
                steps.iter().flat_map(|step| self.take_steps(std::slice::from_ref(step))).collect()
            }
        }
    }

    /// All steps in one transaction.
    fn commit(&mut self, steps: &[&Step]) -> Result<Answers, Abort> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let Self { connection, shared, lanes, log, head, .. } = self;
        execute(connection, "BEGIN IMMEDIATE").map_err(|error| Abort::Failed(error.into()))?;
        let changes = connection.total_changes();
        let mut batch = Batch::new(connection, &shared.work, lanes, head.clone());
        let written = write(connection, log, &mut batch, steps, changes);
        let Batch { head, effects, .. } = batch;
        match written {
            Ok(written) => self.make_durable(written, head, &effects),
            Err(failure) => Err(self.roll_back(failure, &effects)),
        }
    }

    fn make_durable(&mut self, written: Written, head: Head, effects: &Effects) -> Result<Answers, Abort> {
        let Written { outcomes, leaves, is_empty } = written;
        if is_empty {
            let rolled_back = self.connection.execute_batch("ROLLBACK");
            rolled_back.map_err(|error| self.die(&error.into(), Unwritten::Surely))?;
            lock(&self.shared.work).drop_effects(effects);
            return Ok(self.answers(outcomes, None));
        }
        if let Err(error) = self.end_transaction() {
            let failure = Failure::Sql(error);
            return match failure.trouble() {
                Trouble::Full => Err(self.roll_back(failure, effects)),
                Trouble::Damaged | Trouble::Disk | Trouble::Other => Err(self.die(&failure, Unwritten::Perhaps)),
            };
        }
        if let Err(source) = self.note_acknowledged(head.commits) {
            let failure =
                Failure::Damaged(format!("the file of acknowledged commits beside it cannot be written: {source}"));
            return Err(self.die(&failure, Unwritten::Perhaps));
        }
        if let Some(leaves) = &leaves {
            self.log.advance(leaves);
        }
        self.head = head;
        self.behind.deliveries += effects.deliveries;
        self.shared.publish(&self.head, leaves.as_ref().map(|leaves| &leaves.checkpoint), effects);
        self.has_woken |= !effects.wakes.is_empty();
        Ok(self.answers(outcomes, leaves.as_ref()))
    }

    fn roll_back(&mut self, failure: Failure, effects: &Effects) -> Abort {
        lock(&self.shared.work).drop_effects(effects);
        self.lanes.drop_new();
        // SQLite may have rolled back by itself already.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            return self.die(&error.into(), Unwritten::Surely);
        }
        match failure.trouble() {
            Trouble::Disk => self.die(&failure, Unwritten::Surely),
            Trouble::Full | Trouble::Damaged | Trouble::Other => Abort::Failed(failure),
        }
    }

    /// Nothing is acknowledged any more.
    fn die(&self, failure: &Failure, unwritten: Unwritten) -> Abort {
        let what = format!("{}: {failure}", self.path.display());
        tracing::error!(file = %self.path.display(), error = %failure, "the disk of the store failed: the gateway has to be restarted");
        self.shared.fail(what.clone());
        Abort::Dead(match unwritten {
            Unwritten::Surely => StoreError::Unavailable { what },
            Unwritten::Perhaps => StoreError::Unknown { what },
        })
    }

    fn answers(&self, outcomes: Vec<Result<Done, StoreError>>, leaves: Option<&Leaves>) -> Answers {
        outcomes.into_iter().map(|outcome| outcome.and_then(|done| self.answer(done, leaves))).collect()
    }

    fn answer(&self, done: Done, leaves: Option<&Leaves>) -> Result<Answer, StoreError> {
        let receipt = |index: u64| {
            let fresh = leaves
                .and_then(|leaves| leaves.receipts.get(usize::try_from(index.checked_sub(leaves.first_index)?).ok()?));
            match fresh {
                Some(receipt) => Ok(receipt.clone()),
                None => evidence::receipt_of(&self.connection, signed(index))
                    .and_then(|found| found.ok_or_else(|| Failure::Damaged(format!("event {index} is missing"))))
                    .map_err(|failure| failure.answer(&self.path)),
            }
        };
        Ok(match done {
            Done::Accepted { seq, leaf, duplicate } => {
                Answer::Accepted(Accepted { seq: sequence(seq), receipt: receipt(leaf)?, duplicate })
            }
            Done::Settled { leaf } => Answer::Settled(Settled { receipt: leaf.map(receipt).transpose()? }),
            Done::Changed { leaf, delivery } => {
                Answer::Changed(Box::new(Changed { receipt: receipt(leaf)?, delivery: *delivery }))
            }
            Done::Recorded(recorded) => Answer::Recorded(recorded),
            Done::Marked { leaf } => Answer::Marked(leaf.map(receipt).transpose()?),
            Done::ReturnsSettled => Answer::ReturnsSettled,
            Done::Purged(count) => Answer::Purged(count),
        })
    }

    /// Closes in order; whatever is left undone is done at the next start.
    fn finish(self) {
        drop(self.inbox);
        let _database = self.mover.stop();
        if self.shared.failure().is_none()
            && let Err(failure) = checkpoint(&self.connection, "TRUNCATE")
        {
            tracing::warn!(file = %self.path.display(), error = %failure, "the write-ahead log stays beside the database");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(file = %self.path.display(), %error, "the database did not close in order");
        }
    }
}

/// Whether a transaction that failed may be in the file all the same.
enum Unwritten {
    Surely,
    Perhaps,
}

/// A transaction that has only to be committed.
struct Written {
    outcomes: Vec<Result<Done, StoreError>>,
    leaves: Option<Leaves>,
    is_empty: bool,
}

/// Applies the steps and appends their leaves.
fn write(
    connection: &Connection,
    log: &Log,
    batch: &mut Batch<'_>,
    steps: &[&Step],
    changes: u64,
) -> Result<Written, Failure> {
    let mut outcomes = Vec::with_capacity(steps.len());
    for step in steps {
        outcomes.push(match batch.apply(step) {
            Ok(done) => Ok(done),
            Err(Failure::Conflict(conflict)) => Err(StoreError::Conflict(conflict)),
            Err(failure) => return Err(failure),
        });
    }
    if batch.leaves.is_empty() && connection.total_changes() == changes {
        return Ok(Written { outcomes, leaves: None, is_empty: true });
    }
    let events: Vec<Bytes> = batch.leaves.iter().map(|leaf| leaf.event.clone()).collect();
    let leaves = (!events.is_empty()).then(|| log.append(&events));
    if let Some(leaves) = &leaves {
        evidence::insert_leaves(connection, &batch.leaves, leaves)?;
        batch.head.log = leaves.next.clone();
    }
    batch.head.commits += 1;
    batch.head.write(connection)?;
    Ok(Written { outcomes, leaves, is_empty: false })
}

/// Executes what is executed again and again.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// One failure answers many.
fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Conflict(conflict) => StoreError::Conflict(*conflict),
        StoreError::Full => StoreError::Full,
        StoreError::Unavailable { what } => StoreError::Unavailable { what: what.clone() },
        StoreError::Unknown { what } => StoreError::Unknown { what: what.clone() },
        StoreError::Corrupt { what } => StoreError::Corrupt { what: what.clone() },
    }
}
