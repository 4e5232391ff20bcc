//! Merkle tree arithmetic of RFC 9162 section 2.1: roots, inclusion and consistency, growing from a frontier without reading old leaves.

use gateway_model::Digest;

use crate::EvidenceError;

/// Nodes in the longest proof that can be.
pub const PROOF_NODES_MAX: usize = 64;

/// The hash of a leaf: SHA-256(0x00 || leaf).
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::of_pieces(&[&[0x00], leaf])
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_pieces(&[&[0x01], &left.0, &right.0])
}

/// The root over leaf hashes.
pub fn root(hashes: &[Digest]) -> Digest {
    Growth::new(0, &[], hashes).root()
}

/// A tree grown by some leaves, with just the nodes that the growth needs: the old frontier and what is new.
///
/// The frontier of a tree of `size` leaves are the roots of its perfect subtrees, the largest first: one for each bit set in `size`.
pub struct Growth {
    size: u64,
    /// Complete nodes, by level from the leaves upwards.
    levels: Vec<Level>,
    /// The incomplete subtree at the right edge of each level; `None` where there is none.
    ragged: Vec<Option<Digest>>,
}

/// Neighbouring complete nodes of one level.
struct Level {
    first: u64,
    nodes: Vec<Digest>,
}

impl Level {
    fn node(&self, index: u64) -> Option<&Digest> {
        self.nodes.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }
}

impl Growth {
    /// Grows the tree of `size` leaves with this frontier by `hashes`. The frontier has one node for each bit set in `size`.
    pub fn new(size: u64, frontier: &[Digest], hashes: &[Digest]) -> Self {
        debug_assert_eq!(frontier.len(), size.count_ones() as usize, "one frontier node a bit of the size");
        let grown = size + hashes.len() as u64;
        let mut smallest_first = frontier.iter().rev();
        let mut levels = Vec::with_capacity(height(grown));
        let mut above: Vec<Digest> = hashes.to_vec();
        for level in 0..height(grown) {
            let old = size >> level;
            let mut nodes = Vec::with_capacity(above.len() + 1);
            // An odd count of old nodes leaves the last one without its sibling: it is a frontier node, and the new ones pair with it.
            nodes.extend((old & 1 == 1).then(|| smallest_first.next().copied()).flatten());
            nodes.append(&mut above);
            above = nodes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(Level { first: old & !1, nodes });
        }
        let ragged = ragged(grown, &levels);
        Self { size: grown, levels, ragged }
    }

    /// Leaves after the growth.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root after the growth.
    pub fn root(&self) -> Digest {
        match self.ragged.last() {
            Some(Some(root)) => *root,
            // Only the empty tree has no node at all.
            Some(None) | None => Digest::of(b""),
        }
    }

    /// The frontier after the growth, the largest subtree first.
    pub fn frontier(&self) -> Vec<Digest> {
        let tops = self.levels.iter().enumerate().rev();
        let last = |(level, nodes): (usize, &Level)| {
            let count = self.size >> level;
            (count & 1 == 1).then(|| nodes.node(count - 1).copied()).flatten()
        };
        tops.filter_map(last).collect()
    }

    /// The inclusion proof of one of the new leaves (RFC 9162 section 2.1.3.1), the sibling nearest to the leaf first.
    pub fn inclusion(&self, index: u64) -> Vec<Digest> {
        let sibling = |(level, nodes): (usize, &Level)| {
            let (place, complete) = ((index >> level) ^ 1, self.size >> level);
            match place.cmp(&complete) {
                std::cmp::Ordering::Less => nodes.node(place).copied(),
                std::cmp::Ordering::Equal => self.ragged[level],
                std::cmp::Ordering::Greater => None,
            }
        };
        self.levels.iter().enumerate().filter_map(sibling).collect()
    }
}

/// Levels of complete nodes in a tree of `size` leaves.
fn height(size: u64) -> usize {
    (u64::BITS - size.leading_zeros()) as usize
}

/// The incomplete subtree at the right edge of each level, and on top the root.
fn ragged(size: u64, levels: &[Level]) -> Vec<Option<Digest>> {
    let mut edge = None;
    let mut edges = Vec::with_capacity(levels.len() + 1);
    edges.push(edge);
    for (level, nodes) in levels.iter().enumerate() {
        let complete = size >> level;
        let left = (complete & 1 == 1).then(|| nodes.node(complete - 1)).flatten();
        edge = match (left, edge) {
            (Some(left), Some(right)) => Some(node_hash(left, &right)),
            // A subtree without a sibling stands for its parent.
            (Some(alone), None) => Some(*alone),
            (None, edge) => edge,
        };
        edges.push(edge);
    }
    edges
}

/// Checks an inclusion proof (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`EvidenceError::NotIncluded`].
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Digest,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), EvidenceError> {
    if index >= size || proof.len() > PROOF_NODES_MAX {
        return Err(EvidenceError::NotIncluded);
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(EvidenceError::NotIncluded);
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(EvidenceError::NotIncluded) }
}

/// The proof that the tree of the first `old_size` leaves is the beginning of the tree of the first `new_size` (RFC 9162 section 2.1.4.1).
///
/// # Errors
/// [`EvidenceError::OutOfRange`] unless `old_size <= new_size <= hashes.len()`.
pub fn consistency(old_size: u64, new_size: u64, hashes: &[Digest]) -> Result<Vec<Digest>, EvidenceError> {
    let place = |size: u64| usize::try_from(size).map_err(|_| EvidenceError::OutOfRange);
    let (old, new) = (place(old_size)?, place(new_size)?);
    let leaves = hashes.get(..new).filter(|_| old <= new).ok_or(EvidenceError::OutOfRange)?;
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    subproof(old, leaves, Side::WholeOld, &mut proof);
    Ok(proof)
}

/// Whether a subtree's root is the old root itself, which the verifier knows.
#[derive(Clone, Copy)]
enum Side {
    WholeOld,
    Inner,
}

/// SUBPROOF of RFC 9162: `old` leaves within `leaves`. As deep as the tree is high.
fn subproof(old: usize, leaves: &[Digest], side: Side, proof: &mut Vec<Digest>) {
    if old == leaves.len() {
        if let Side::Inner = side {
            proof.push(root(leaves));
        }
        return;
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    if old <= split {
        subproof(old, left, side, proof);
        proof.push(root(right));
    } else {
        subproof(old - split, right, Side::Inner, proof);
        proof.push(root(left));
    }
}

/// Checks a consistency proof (RFC 9162 section 2.1.4.2).
///
/// # Errors
/// [`EvidenceError::NotConsistent`].
pub fn verify_consistency(
    (old_size, old_root): (u64, &Digest),
    (new_size, new_root): (u64, &Digest),
    proof: &[Digest],
) -> Result<(), EvidenceError> {
    let holds = match old_size {
        _ if old_size > new_size || proof.len() > PROOF_NODES_MAX + 1 => false,
        0 => proof.is_empty() && *old_root == Digest::of(b""),
        _ if old_size == new_size => proof.is_empty() && old_root == new_root,
        _ => roots_of_consistency(old_size, new_size, old_root, proof) == Some((*old_root, *new_root)),
    };
    if holds { Ok(()) } else { Err(EvidenceError::NotConsistent) }
}

/// The old and the new root that a consistency proof leads to, for `0 < old_size < new_size`.
fn roots_of_consistency(old_size: u64, new_size: u64, old_root: &Digest, proof: &[Digest]) -> Option<(Digest, Digest)> {
    // An old tree that is one perfect subtree starts from its own root, which the proof leaves out.
    let (first, rest) = if old_size.is_power_of_two() { (old_root, proof) } else { proof.split_first()? };
    let (mut place, mut last) = (old_size - 1, new_size - 1);
    while place & 1 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return None;
        }
        if place & 1 == 1 || place == last {
            (old, new) = (node_hash(sibling, &old), node_hash(sibling, &new));
            while place & 1 == 0 && place != 0 {
                (place, last) = (place >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    (last == 0).then_some((old, new))
}

#[cfg(test)]
mod tests;
