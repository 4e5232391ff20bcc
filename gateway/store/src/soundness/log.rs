//! Grows an evidence log anew from its leaves: every proof, every signed checkpoint, and the state in the end.

use gateway_evidence::merkle::{Growth, leaf_hash};
use gateway_evidence::{Checkpoint, LogState};
use gateway_model::Digest;
use gateway_model::note::VerifierKey;

use super::{FindingCode, Report};

/// Leaves that one checkpoint may bring. A batch of a store is far smaller.
const LEAVES_OF_A_CHECKPOINT_MAX: usize = 65_536;

/// Walks a log from its first leaf on. Keeps the leaves of one batch, never more.
#[derive(Debug)]
pub struct LogWalk<'a> {
    key: &'a VerifierKey,
    size: u64,
    frontier: Vec<Digest>,
    batch: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    hash: Digest,
    proof: Vec<Digest>,
    tree_size: u64,
}

impl<'a> LogWalk<'a> {
    /// Starts before the first leaf; `key` has signed the checkpoints.
    pub fn new(key: &'a VerifierKey) -> Self {
        Self { key, size: 0, frontier: Vec::new(), batch: Vec::new() }
    }

    /// The index of the leaf that comes next.
    pub fn next(&self) -> u64 {
        self.size + self.batch.len() as u64
    }

    /// Takes the next leaf. True when it is the last of its batch: then [`LogWalk::close`] has to follow.
    pub fn leaf(&mut self, event: &[u8], proof: &[Digest], tree_size: u64) -> bool {
        self.batch.push(Leaf { hash: leaf_hash(event), proof: proof.to_vec(), tree_size });
        self.next() >= tree_size || self.batch.len() >= LEAVES_OF_A_CHECKPOINT_MAX
    }

    /// Takes the signed checkpoint over all leaves so far; `None` when it is missing.
    pub fn close(&mut self, note: Option<&str>, report: &mut Report) {
        let hashes: Vec<Digest> = self.batch.iter().map(|leaf| leaf.hash).collect();
        let growth = Growth::new(self.size, &self.frontier, &hashes);
        let (size, root) = (growth.size(), growth.root());
        for (index, leaf) in (self.size..).zip(&self.batch) {
            let place = || format!("leaf {index}");
            if leaf.tree_size != size {
                let seen = format!("it names a tree of {} leaves, its batch ends at {size}", leaf.tree_size);
                report.find(FindingCode::LogBroken, place(), seen);
            } else if leaf.proof != growth.inclusion(index) {
                report.find(FindingCode::LogBroken, place(), "its inclusion proof is not the one of the tree");
            }
        }
        report.leaves += self.batch.len() as u64;
        (self.size, self.frontier) = (size, growth.frontier());
        self.batch.clear();
        self.check_note(note, size, root, report);
    }

    fn check_note(&self, note: Option<&str>, size: u64, root: Digest, report: &mut Report) {
        let place = format!("checkpoint over {size} leaves");
        let Some(note) = note else { return report.find(FindingCode::RecordMissing, place, "") };
        match Checkpoint::open(note, self.key.name(), std::slice::from_ref(self.key)) {
            Ok(checkpoint) if checkpoint.size == size && checkpoint.root == root => {}
            Ok(_) => report.find(FindingCode::CheckpointInvalid, place, "its root is not the one of the leaves"),
            Err(error) => report.find(FindingCode::CheckpointInvalid, place, error.to_string()),
        }
    }

    /// Ends the walk: the state that the store goes on from, and its newest checkpoint, have to be those of the leaves.
    pub fn end(mut self, state: &LogState, newest: Option<&str>, report: &mut Report) {
        if !self.batch.is_empty() {
            self.close(None, report);
        }
        if state.size() != self.size || state.frontier() != self.frontier {
            let seen = format!("the leaves make a tree of {}, the state says one of {}", self.size, state.size());
            report.find(FindingCode::LogBroken, "state of the log", seen);
        }
        match newest {
            Some(note) => self.check_newest(note, state, report),
            None if state.size() > 0 => report.find(FindingCode::RecordMissing, "newest checkpoint", ""),
            None => {}
        }
    }

    fn check_newest(&self, note: &str, state: &LogState, report: &mut Report) {
        let place = "newest checkpoint";
        match Checkpoint::open(note, self.key.name(), std::slice::from_ref(self.key)) {
            Ok(checkpoint) if checkpoint.size == state.size() && checkpoint.root == state.root() => {}
            Ok(_) => report.find(FindingCode::CheckpointInvalid, place, "it is not the one of the log's state"),
            Err(error) => report.find(FindingCode::CheckpointInvalid, place, error.to_string()),
        }
    }
}
