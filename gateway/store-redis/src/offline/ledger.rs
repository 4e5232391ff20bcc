//! The evidence log: every leaf in order, its proof, its checkpoint, and the envelope whose history names it.

use gateway_store::soundness::FindingCode;
use gateway_store::soundness::log::LogWalk;
use gateway_store::soundness::tally::Tally;
use redis::Pipeline;

use super::fields::{self, LINES};
use super::walk::Walk;
use super::{Offline, Way};
use crate::answer::optional;
use crate::failure::Failure;
use crate::keys::{leaf_field, note_field};
use crate::rows::{Event, Leaf};
use crate::{codec::Damaged, evidence};

/// Grows the log anew, and compares the envelopes of its leaves with the histories.
pub(super) async fn check(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let (size, key) = (walk.head.log.size(), walk.store.key.clone());
    let mut log = LogWalk::new(&key);
    let mut named = Tally::default();
    while log.next() < size {
        let from = log.next();
        let indexes: Vec<u64> = (from..size.min(from + LINES as u64)).collect();
        for (index, leaf) in indexes.iter().zip(leaves(walk.store, &indexes).await?) {
            let leaf = match leaf {
                Ok(leaf) => leaf,
                Err(damaged) => {
                    // What comes after it proves nothing without it.
                    walk.find(FindingCode::RecordDamaged, damaged.what, "");
                    return Ok(());
                }
            };
            if leaf.envelope != 0 {
                named.add(&[&index.to_be_bytes(), &leaf.envelope.to_be_bytes()]);
            }
            if log.leaf(&leaf.event, &leaf.proof, leaf.tree_size) {
                let note = note(walk.store, log.next()).await?;
                log.close(note.as_deref(), &mut walk.report);
            }
        }
    }
    log.end(&walk.head.log, walk.head.note.as_deref(), &mut walk.report);
    let mut beyond = redis::cmd("HEXISTS");
    beyond.arg(&walk.store.keys.log(size)[..]).arg(&leaf_field(size)[..]);
    if walk.store.link.ask::<u64>(Way::Read, &beyond).await? > 0 {
        walk.find(FindingCode::CommitsLost, format!("leaf {size}"), "the log goes on behind its end");
    }
    if named != walk.counted.leaves {
        compare(walk).await?;
    }
    Ok(())
}

/// Leaves by their indexes.
pub(super) async fn leaves(store: &Offline, indexes: &[u64]) -> Result<Vec<Result<Leaf, Damaged>>, Failure> {
    let mut questions = Pipeline::new();
    for index in indexes {
        questions.cmd("HGET").arg(&store.keys.log(*index)[..]).arg(&leaf_field(*index)[..]);
    }
    let mut leaves = Vec::with_capacity(indexes.len());
    for (index, row) in indexes.iter().zip(store.link.ask_all(Way::Read, &questions).await?) {
        let damaged = |_| Damaged::at(format!("leaf {index}"));
        leaves.push(Leaf::decode(*index, &optional(row)?.unwrap_or_default()).map_err(damaged));
    }
    Ok(leaves)
}

/// The signed checkpoint over so many leaves; `None` when it is missing or damaged.
pub(super) async fn note(store: &Offline, size: u64) -> Result<Option<std::sync::Arc<str>>, Failure> {
    let mut question = redis::cmd("HGET");
    question.arg(&store.keys.log(size.saturating_sub(1))[..]).arg(&note_field(size)[..]);
    let row: Option<Vec<u8>> = store.link.ask(Way::Read, &question).await?;
    Ok(row.and_then(|row| evidence::read_note(size, &row.into()).ok()))
}

/// Something is wrong: finds out which histories name leaves that are not theirs.
async fn compare(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let before = walk.report.count();
    for page in fields::pages(walk.head.envelopes, fields::ENVELOPES) {
        for found in fields::envelopes(walk.store, page).await? {
            let Ok(kept) = found.kept else { continue };
            for positions in fields::positions(&kept.state) {
                let lines = fields::lines(walk.store, found.seq, positions).await?;
                let own = lines.into_iter().flatten().filter_map(|line| match line {
                    Event::Own(leaf) => Some(leaf),
                    Event::Foreign(_) => None,
                });
                for leaf in leaves(walk.store, &own.collect::<Vec<_>>()).await?.into_iter().flatten() {
                    if leaf.envelope != found.seq {
                        let seen = format!("the history of envelope {} names it, it is about another", found.seq);
                        walk.find(FindingCode::LogBroken, format!("leaf {}", leaf.index), seen);
                    }
                }
            }
        }
    }
    if walk.report.count() == before {
        walk.find(FindingCode::LogBroken, "the histories of the envelopes", "leaves about envelopes stand in none");
    }
    Ok(())
}
