//! The one task of a node that writes: many steps, one checkpoint signature, one script, one wait for the disk.
//!
//! It takes what waits in the queue, reads what the steps need to know in one question, decides, appends all leaves, and commits by a script
//! that does nothing unless the head still has the version on which everything was decided. Another node's commit in between therefore costs
//! a second try and nothing else: no node leads, and the log of all of them is one. Redis syncs its append-only file before it answers.
//!
//! When the answer to a commit does not come, the writer waits for Redis to be back and asks for the nonce that every commit leaves under the
//! name of its node. What was not committed is fenced off by an empty commit, so that a script which is still on its way finds another
//! version; then it is tried again. Only when Redis stays away the callers are told that it cannot be said.

use std::sync::Arc;
use std::time::Duration;

use gateway_evidence::{Batch as Leaves, Log};
use gateway_store::StoreError;
use gateway_store::accept::Accepted;
use gateway_store::change::Changed;
use gateway_store::rows::EnvelopeSeq;
use gateway_store::settle::Settled;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::batch::{Batch, BodyNumbers, Done, Written};
use crate::codec::Damaged;
use crate::commit::{Committed, Committer};
use crate::evidence;
use crate::failure::Failure;
use crate::head::Head;
use crate::load;
use crate::queue::{Answer, Request, Step};
use crate::shared::Shared;

/// Steps in one commit.
const BATCH_STEPS_MAX: usize = 512;
/// Bytes in one commit, roughly.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The task's own.
pub(crate) struct Writer {
    pub(crate) committer: Committer,
    pub(crate) log: Log,
    /// The newest head that was seen.
    pub(crate) head: Head,
    pub(crate) bodies: BodyNumbers,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: mpsc::Receiver<Request>,
    /// The longest that a batch is tried again because other nodes came first.
    pub(crate) patience: Duration,
}

type Answers = Vec<Result<Answer, StoreError>>;

/// How one try of a batch ended.
enum Try {
    Answered(Answers),
    /// Another node came first.
    Again,
    /// Nothing was written.
    Failed(Failure),
    /// It cannot be said whether it was written.
    Unknown(String),
}

impl Writer {
    /// Serves until nobody can send any more.
    pub(crate) async fn run(mut self) {
        let mut requests: Vec<Request> = Vec::with_capacity(BATCH_STEPS_MAX);
        while let Some(first) = self.inbox.recv().await {
            let mut bytes = first.step.bytes();
            requests.push(first);
            while requests.len() < BATCH_STEPS_MAX && bytes < BATCH_BYTES_MAX {
                let Ok(next) = self.inbox.try_recv() else { break };
                bytes += next.step.bytes();
                requests.push(next);
            }
            let steps: Vec<&Step> = requests.iter().map(|request| &request.step).collect();
            let answers = match self.shared.is_full() {
                true => self.take_nothing_new(&steps).await,
                false => self.take(&steps).await,
            };
            for (request, answer) in requests.drain(..).zip(answers) {
                // Whoever does not wait any more reads back by id.
                request.answer.send(answer).ok();
            }
        }
    }

    /// Refuses what is new and takes the rest: what has room is for what was accepted before.
    async fn take_nothing_new(&mut self, steps: &[&Step]) -> Answers {
        let others: Vec<&Step> = steps.iter().copied().filter(|step| !step.is_accept()).collect();
        let mut answers = Box::pin(self.take(&others)).await.into_iter();
        let unanswered = || Err(StoreError::Unknown { what: "the step was not answered".to_owned() });
        let answer = |step: &&Step| match step.is_accept() {
            true => Err(StoreError::Full),
            false => answers.next().unwrap_or_else(unanswered),
        };
        steps.iter().map(answer).collect()
    }

    async fn take(&mut self, steps: &[&Step]) -> Answers {
        if steps.is_empty() {
            return Answers::new();
        }
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(what) = self.shared.failure() {
                return steps.iter().map(|_| Err(StoreError::Unavailable { what: what.clone() })).collect();
            }
            match self.attempt(steps).await {
                Try::Answered(answers) => return answers,
                Try::Again if Instant::now() < deadline => {}
                Try::Again => {
                    let what = "other nodes have come first for too long".to_owned();
                    return steps.iter().map(|_| Err(StoreError::Unavailable { what: what.clone() })).collect();
                }
                Try::Unknown(what) => {
                    return steps.iter().map(|_| Err(StoreError::Unknown { what: what.clone() })).collect();
                }
                Try::Failed(failure) => return self.answer_failure(steps, &failure).await,
            }
        }
    }

    /// Only the step at fault is refused: the others are tried without it.
    async fn answer_failure(&mut self, steps: &[&Step], failure: &Failure) -> Answers {
        match failure {
            Failure::Full if steps.iter().any(|step| step.is_accept()) => self.take_nothing_new(steps).await,
            Failure::Damaged(_) | Failure::Bound(_) if steps.len() > 1 => {
                tracing::warn!(steps = steps.len(), error = %failure, "a batch was not written: its steps are tried one by one");
                let mut answers = Answers::with_capacity(steps.len());
                for step in steps {
                    answers.append(&mut Box::pin(self.take(std::slice::from_ref(step))).await);
                }
                answers
            }
            Failure::Conflict(_)
            | Failure::Damaged(_)
            | Failure::Moved
            | Failure::Bound(_)
            | Failure::Away(_)
            | Failure::Broken(_)
            | Failure::Full
            | Failure::Refused(_) => steps.iter().map(|_| Err(failure.unwritten())).collect(),
        }
    }

    /// All steps in one commit.
    async fn attempt(&mut self, steps: &[&Step]) -> Try {
        let view = match load::load(&self.committer.link, &self.committer.keys, &self.head, steps).await {
            Ok(view) => view,
            Err(Failure::Moved) => return Try::Again,
            Err(failure) => return Try::Failed(failure),
        };
        if let Err(failure) = self.adopt(&view.head) {
            return Try::Failed(failure);
        }
        let mut batch = Batch::new(&self.committer.keys, view, &mut self.bodies);
        let mut outcomes = Vec::with_capacity(steps.len());
        for step in steps {
            outcomes.push(match batch.apply(step) {
                Ok(done) => Ok(done),
                Err(Failure::Conflict(conflict)) => Err(StoreError::Conflict(conflict)),
                Err(failure) => return Try::Failed(failure),
            });
        }
        let Some(written) = batch.finish(&self.log) else {
            return Try::Answered(self.answers(outcomes, None).await);
        };
        let accepts = steps.iter().any(|step| step.is_accept());
        match self.committer.commit(&written, accepts).await {
            Committed::Yes => {}
            Committed::OtherFirst => return Try::Again,
            Committed::No(failure) => return Try::Failed(failure),
            Committed::Unknown(what) => return Try::Unknown(what),
        }
        let Written { plan, head, leaves, .. } = written;
        if let Some(leaves) = &leaves {
            self.log.advance(leaves);
        }
        self.head = head;
        self.shared.acknowledge(self.head.version, plan.wakes);
        match self.committer.wait_for_replicas().await {
            Ok(()) => Try::Answered(self.answers(outcomes, leaves.as_ref()).await),
            Err(what) => Try::Unknown(what),
        }
    }

    /// Goes on from the head that was read, which another node may have written.
    fn adopt(&mut self, head: &Head) -> Result<(), Failure> {
        let acknowledged = self.shared.acknowledged();
        if head.version < acknowledged || head.origin != self.head.origin {
            let what = format!(
                "Redis stands at commit {}, but commit {acknowledged} had been acknowledged: it has lost what it had said to be durable",
                head.version
            );
            self.shared.fail(what.clone());
            return Err(Failure::Away(what));
        }
        if *head != self.head {
            self.log.resume(head.log.clone()).map_err(|_| Damaged::at("the state of the evidence log"))?;
            self.head = head.clone();
        }
        Ok(())
    }

    async fn answers(&self, outcomes: Vec<Result<Done, StoreError>>, leaves: Option<&Leaves>) -> Answers {
        let mut answers = Answers::with_capacity(outcomes.len());
        for outcome in outcomes {
            answers.push(match outcome {
                Ok(done) => self.answer(done, leaves).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn answer(&self, done: Done, leaves: Option<&Leaves>) -> Result<Answer, StoreError> {
        Ok(match done {
            Done::Accepted { seq, leaf, duplicate } => Answer::Accepted(Accepted {
                seq: EnvelopeSeq(seq),
                receipt: self.receipt(leaf, leaves).await?,
                duplicate,
            }),
            Done::Settled { leaf: Some(leaf) } => {
                Answer::Settled(Settled { receipt: Some(self.receipt(leaf, leaves).await?) })
            }
            Done::Settled { leaf: None } => Answer::Settled(Settled { receipt: None }),
            Done::Changed { leaf, delivery } => {
                let receipt = self.receipt(leaf, leaves).await?;
                Answer::Changed(Box::new(Changed { receipt, delivery: *delivery }))
            }
            Done::Recorded(recorded) => Answer::Recorded(recorded),
            Done::Marked { leaf: Some(leaf) } => Answer::Marked(Some(self.receipt(leaf, leaves).await?)),
            Done::Marked { leaf: None } => Answer::Marked(None),
            Done::ReturnsSettled => Answer::ReturnsSettled,
            Done::Purged(count) => Answer::Purged(count),
            Done::BroughtBack => Answer::BroughtBack,
        })
    }

    /// A receipt of this batch, or one that was written long ago.
    async fn receipt(&self, index: u64, leaves: Option<&Leaves>) -> Result<gateway_evidence::Receipt, StoreError> {
        let fresh = leaves
            .and_then(|leaves| leaves.receipts.get(usize::try_from(index.checked_sub(leaves.first_index)?).ok()?));
        if let Some(receipt) = fresh {
            return Ok(receipt.clone());
        }
        let found = evidence::receipt_of(&self.committer.link, &self.committer.keys, index).await;
        let missing = || StoreError::Corrupt { what: format!("Redis: leaf {index} is missing") };
        found.map_err(|failure| failure.unwritten())?.ok_or_else(missing)
    }
}
