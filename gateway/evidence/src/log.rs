//! The log of a gateway: appends a batch of leaves at a time, under one signature.
//!
//! [`Log::append`] is pure: it gives what the commit has to keep. [`Log::advance`] is called when the commit is durable; a batch whose
//! commit failed is dropped, and the next one takes its place.

use std::sync::Arc;

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::note::NoteSigner;

use crate::EvidenceError;
use crate::checkpoint::Checkpoint;
use crate::merkle::{Growth, leaf_hash};
use crate::receipt::Receipt;

/// An append-only Merkle log with its signing key. Its origin is the name of the key: the gateway's id.
#[derive(Debug)]
pub struct Log {
    signer: NoteSigner,
    state: LogState,
}

/// All that a log needs to grow: how many leaves it has, and the roots of its perfect subtrees.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogState {
    size: u64,
    frontier: Vec<Digest>,
}

/// Leaves about to be appended, with all that a commit keeps of them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Index of the first leaf.
    pub first_index: u64,
    /// Hash of each leaf.
    pub leaf_hashes: Vec<Digest>,
    /// Receipt of each leaf, final as soon as the commit is durable.
    pub receipts: Vec<Receipt>,
    /// The signed checkpoint that covers them.
    pub checkpoint: Arc<str>,
    /// Its root.
    pub root: Digest,
    /// The log after the batch.
    pub next: LogState,
}

impl Log {
    /// Starts a log without leaves.
    pub fn empty(signer: NoteSigner) -> Self {
        Self { signer, state: LogState::default() }
    }

    /// Opens a log where it stopped.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`] when the state does not hold together.
    pub fn new(signer: NoteSigner, state: LogState) -> Result<Self, EvidenceError> {
        state.checked().map(|state| Self { signer, state })
    }

    /// Goes on to the state after `batch`, which is durable now.
    pub fn advance(&mut self, batch: &Batch) {
        debug_assert_eq!(
            batch.first_index, self.state.size,
            "batches are committed in the order in which they were appended"
        );
        self.state = batch.next.clone();
    }

    /// Goes on from where another node of the same gateway, with the same key, has brought the log.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`] when the state does not hold together; the log stays where it was.
    pub fn resume(&mut self, state: LogState) -> Result<(), EvidenceError> {
        self.state = state.checked()?;
        Ok(())
    }

    /// Where the log stands.
    pub fn state(&self) -> &LogState {
        &self.state
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        self.signer.verifier().name()
    }

    /// The key that signs.
    pub fn signer(&self) -> &NoteSigner {
        &self.signer
    }

    /// Makes the batch that appends `leaves`. Costs about two hashes a leaf and one signature; reads nothing; changes nothing.
    pub fn append(&self, leaves: &[Bytes]) -> Batch {
        let leaf_hashes: Vec<Digest> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let growth = Growth::new(self.state.size, &self.state.frontier, &leaf_hashes);
        let root = growth.root();
        let checkpoint: Arc<str> = self.sign(growth.size(), root).into();
        let receipt = |(index, leaf): (u64, &Bytes)| Receipt {
            event: leaf.clone(),
            leaf_index: index,
            proof: growth.inclusion(index),
            checkpoint: checkpoint.clone(),
        };
        Batch {
            first_index: self.state.size,
            receipts: (self.state.size..).zip(leaves).map(receipt).collect(),
            next: LogState { size: growth.size(), frontier: growth.frontier() },
            leaf_hashes,
            checkpoint,
            root,
        }
    }

    fn sign(&self, size: u64, root: Digest) -> String {
        self.signer.sign(&Checkpoint { origin: self.origin().to_owned(), size, root }.text())
    }
}

impl LogState {
    /// The state of a log of these leaves.
    pub fn of(hashes: &[Digest]) -> Self {
        let growth = Growth::new(0, &[], hashes);
        Self { size: growth.size(), frontier: growth.frontier() }
    }

    /// Reads what [`LogState::encode`] wrote.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let malformed = EvidenceError::Malformed { what: "log state" };
        let (size, frontier) = bytes.split_first_chunk::<8>().ok_or(malformed)?;
        let frontier: Option<Vec<Digest>> = frontier.chunks(32).map(Digest::from_slice).collect();
        Self { size: u64::from_be_bytes(*size), frontier: frontier.ok_or(malformed)? }.checked()
    }

    /// Writes the state: the size as eight bytes, the most significant first, then the frontier.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(8 + 32 * self.frontier.len());
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend(self.frontier.iter().flat_map(|node| node.0));
        out.into()
    }

    /// Leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, the largest first.
    pub fn frontier(&self) -> &[Digest] {
        &self.frontier
    }

    /// The root over all leaves.
    pub fn root(&self) -> Digest {
        Growth::new(self.size, &self.frontier, &[]).root()
    }

    fn checked(self) -> Result<Self, EvidenceError> {
        let holds = self.frontier.len() == self.size.count_ones() as usize;
        if holds { Ok(self) } else { Err(EvidenceError::Malformed { what: "log state" }) }
    }
}

#[cfg(test)]
mod tests;
