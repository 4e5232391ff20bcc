//! The evidence log read back: leaves with their proofs, the checkpoints that cover them, and the history of an envelope.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use gateway_evidence::Receipt;
use gateway_store::rows::{EnvelopeSeq, EventRow, EventSource, LeafRow};
use redis::Pipeline;

use crate::answer::{list, optional};
use crate::codec::{Damaged, Decoder, Encoder};
use crate::failure::Failure;
use crate::keys::{Keys, event_field, leaf_field, note_field};
use crate::link::{Link, Way};
use crate::rows::{EnvelopeState, Event, Leaf};

/// Leaves that one question reads.
const LEAVES_IN_A_QUESTION: u64 = 512;
/// Leaves asked for first.
const LEAVES_AT_FIRST: u64 = 8;

/// The leaves `from..from + limit` that are there.
pub(crate) async fn leaves(link: &Link, keys: &Keys, from: u64, limit: usize) -> Result<Vec<Leaf>, Failure> {
    let (mut leaves, end) = (Vec::new(), from.saturating_add(limit as u64));
    // Whoever follows the log mostly asks beyond its end.
    let (mut next, mut step) = (from, LEAVES_AT_FIRST);
    while next < end {
        let until = end.min(next.saturating_add(step));
        step = (step * 4).min(LEAVES_IN_A_QUESTION);
        let indexes: Vec<u64> = (next..until).collect();
        let found = leaves_at(link, keys, &indexes).await?;
        let count = found.len();
        for leaf in found.into_iter().map_while(|leaf| leaf) {
            leaves.push(leaf);
        }
        next = until;
        // The log ends where the first one is missing.
        if leaves.len() as u64 != next - from || count == 0 {
            break;
        }
    }
    Ok(leaves)
}

/// The leaves of the log as others see them.
pub(crate) async fn leaf_rows(link: &Link, keys: &Keys, from: u64, limit: usize) -> Result<Vec<LeafRow>, Failure> {
    let row = |leaf: Leaf| LeafRow {
        index: leaf.index,
        envelope: (leaf.envelope != 0).then_some(EnvelopeSeq(leaf.envelope)),
        bytes: leaf.event,
    };
    Ok(leaves(link, keys, from, limit).await?.into_iter().map(row).collect())
}

/// The receipt of one leaf.
pub(crate) async fn receipt_of(link: &Link, keys: &Keys, index: u64) -> Result<Option<Receipt>, Failure> {
    let Some(leaf) = leaves_at(link, keys, &[index]).await?.pop().flatten() else { return Ok(None) };
    let notes = notes(link, keys, [leaf.tree_size]).await?;
    Ok(Some(receipt(leaf, &notes)?))
}

/// The history of an envelope from a position on.
pub(crate) async fn events_of(
    link: &Link,
    keys: &Keys,
    seq: u64,
    after: u64,
    limit: usize,
) -> Result<Vec<EventRow>, Failure> {
    let mut question = redis::cmd("HGET");
    question.arg(&keys.envelope(seq)[..]).arg("s");
    let state: Option<Vec<u8>> = link.ask(Way::Read, &question).await?;
    let Some(state) = state else { return Ok(Vec::new()) };
    let last = u64::from(EnvelopeState::decode(seq, &state)?.events).min(after.saturating_add(limit as u64));
    let positions: Vec<u32> = (after + 1..=last).filter_map(|position| u32::try_from(position).ok()).collect();
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let mut question = redis::cmd("HMGET");
    question.arg(&keys.envelope(seq)[..]);
    for position in &positions {
        question.arg(&event_field(*position)[..]);
    }
    let mut events = Vec::with_capacity(positions.len());
    for (position, row) in positions.iter().zip(list(link.ask(Way::Read, &question).await?)?) {
        let row = optional(row)?.ok_or_else(|| Damaged::at(format!("event {position} of envelope {seq}")))?;
        events.push((*position, Event::decode(seq, *position, &row)?));
    }
    with_receipts(link, keys, events).await
}

async fn with_receipts(link: &Link, keys: &Keys, events: Vec<(u32, Event)>) -> Result<Vec<EventRow>, Failure> {
    let own = |(_, event): &(u32, Event)| match event {
        Event::Own(leaf) => Some(*leaf),
        Event::Foreign(_) => None,
    };
    let indexes: Vec<u64> = events.iter().filter_map(own).collect();
    let found = leaves_at(link, keys, &indexes).await?;
    let notes = notes(link, keys, found.iter().flatten().map(|leaf| leaf.tree_size)).await?;
    let mut leaves: HashMap<u64, Leaf> = found.into_iter().flatten().map(|leaf| (leaf.index, leaf)).collect();
    let mut rows = Vec::with_capacity(events.len());
    for (position, event) in events {
        let (receipt, source) = match event {
            Event::Own(index) => {
                let leaf = leaves.remove(&index).ok_or_else(|| Damaged::at(format!("leaf {index}")))?;
                (receipt(leaf, &notes)?, EventSource::Own)
            }
            Event::Foreign(bytes) => {
                let unreadable = |_| Damaged::at(format!("the foreign receipt at {position}"));
                (Receipt::decode(&bytes).map_err(unreadable)?, EventSource::Foreign)
            }
        };
        rows.push(EventRow { position: position.into(), receipt, source });
    }
    Ok(rows)
}

/// Leaves by their indexes, each when it is there.
async fn leaves_at(link: &Link, keys: &Keys, indexes: &[u64]) -> Result<Vec<Option<Leaf>>, Failure> {
    let mut questions = Pipeline::new();
    for index in indexes {
        questions.cmd("HGET").arg(&keys.log(*index)[..]).arg(&leaf_field(*index)[..]);
    }
    let mut leaves = Vec::with_capacity(indexes.len());
    for (index, row) in indexes.iter().zip(link.ask_all(Way::Read, &questions).await?) {
        leaves.push(optional(row)?.map(|row| Leaf::decode(*index, &row)).transpose()?);
    }
    Ok(leaves)
}

type Notes = HashMap<u64, Arc<str>>;

/// The signed checkpoints over trees of these sizes.
async fn notes(link: &Link, keys: &Keys, sizes: impl IntoIterator<Item = u64>) -> Result<Notes, Failure> {
    let mut sizes: Vec<u64> = sizes.into_iter().collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut questions = Pipeline::new();
    for size in &sizes {
        questions.cmd("HGET").arg(&keys.log(size.saturating_sub(1))[..]).arg(&note_field(*size)[..]);
    }
    let mut notes = Notes::with_capacity(sizes.len());
    for (size, row) in sizes.iter().zip(link.ask_all(Way::Read, &questions).await?) {
        let row = optional(row)?.ok_or_else(|| Damaged::at(format!("the checkpoint over {size} leaves")))?;
        notes.insert(*size, read_note(*size, &row)?);
    }
    Ok(notes)
}

/// Writes a signed checkpoint.
pub(crate) fn encode_note(size: u64, note: &str) -> Bytes {
    Encoder::new("note").number(size).text(note).seal()
}

pub(crate) fn read_note(size: u64, row: &Bytes) -> Result<Arc<str>, Damaged> {
    let mut read = Decoder::open("note", row)?;
    if read.number()? != size {
        return Err(read.damaged());
    }
    let note = Arc::from(read.text()?);
    read.end(note)
}

fn receipt(leaf: Leaf, notes: &Notes) -> Result<Receipt, Damaged> {
    let checkpoint = notes.get(&leaf.tree_size).cloned();
    let checkpoint = checkpoint.ok_or_else(|| Damaged::at(format!("the checkpoint over {} leaves", leaf.tree_size)))?;
    Ok(Receipt { event: leaf.event, leaf_index: leaf.index, proof: leaf.proof, checkpoint })
}
