//! Puts indexes right, entry by entry, from the records. Nothing of a record is touched, and every step may happen twice: stopped in the middle, the
//! next run goes on.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gateway_model::id::EnvelopeId;
use gateway_store::soundness::Rebuilt;

use super::entry::Entry;
use super::fields::{self, ENVELOPES};
use super::walk::{self, Mode, parts_of};
use super::{Offline, Way};
use crate::answer::{bytes, list};
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::keys::{read_seq, seq_text};
use crate::plan::{Plan, word};
use crate::rows::Known;

/// Looks first, mends only where no record is damaged, and looks again.
pub(super) async fn rebuild(store: &Offline) -> Result<Rebuilt, Failure> {
    let before = walk::walk(store, Mode::Look).await?;
    if before.has_damaged_records {
        return Ok(Rebuilt::Refused(before));
    }
    if before.is_sound() {
        return Ok(Rebuilt::Mended { mended: Vec::new(), more: 0, after: before });
    }
    let mended = walk::walk(store, Mode::Mend).await?;
    store.settle().await?;
    let after = walk::walk(store, Mode::Look).await?;
    Ok(Rebuilt::Mended { mended: mended.findings, more: mended.more, after })
}

/// Writes entries into indexes that do not have them, or have them wrong.
pub(super) async fn mend(store: &Offline, wrong: &[Entry]) -> Result<(), Failure> {
    let mut plan = Plan::default();
    let mut ids: Vec<(EnvelopeId, Known)> = Vec::new();
    let mut files: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for entry in wrong {
        entry.write(&store.keys, &mut plan);
        match entry {
            Entry::Id(id, known) => ids.push((*id, known.clone())),
            Entry::File(code, seq) => files.entry(code).or_default().push(*seq),
            // They are counted anew at the end, all of them.
            Entry::Part(_) => {}
            Entry::Delivery(..) | Entry::Status(..) | Entry::Wake(..) | Entry::Finished(..) | Entry::Foreign(..) => {}
        }
    }
    add_ids(store, &ids, &mut plan).await?;
    store.mend(&plan).await?;
    for (code, seqs) in files {
        file(store, code, &seqs).await?;
    }
    Ok(())
}

/// Adds to the memory of duplicates what it does not have; an entry that cannot be read begins anew.
pub(super) async fn add_ids(store: &Offline, ids: &[(EnvelopeId, Known)], plan: &mut Plan) -> Result<(), Failure> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut question = redis::cmd("HMGET");
    question.arg(&store.keys.one("ids")[..]);
    for (id, _) in ids {
        question.arg(&id.0[..]);
    }
    let rows = list(store.link.ask(Way::Read, &question).await?)?;
    let mut all: BTreeMap<[u8; 16], Vec<Known>> = BTreeMap::new();
    for ((id, _), row) in ids.iter().zip(rows) {
        let row = crate::answer::optional(row)?.unwrap_or_default();
        all.insert(id.0, Known::decode_all(&row).unwrap_or_default());
    }
    for (id, known) in ids {
        let entries = all.entry(id.0).or_default();
        entries.retain(|other| other.seq != known.seq && other.sender != known.sender);
        entries.push(known.clone());
        entries.sort_by_key(|known| known.seq);
    }
    for (id, entries) in all {
        plan.set(store.keys.one("ids"), id.to_vec(), Known::encode_all(&entries));
    }
    Ok(())
}

/// Makes the list of a file anew: what stands in it and is of it, and what is missing.
pub(super) async fn file(store: &Offline, code: &str, missing: &[u64]) -> Result<(), Failure> {
    let key = store.keys.file(code);
    let mut question = redis::cmd("LRANGE");
    question.arg(&key[..]).arg(0).arg(-1);
    let mut seqs: BTreeSet<u64> = missing.iter().copied().collect();
    for seq in list(store.link.ask(Way::Read, &question).await?)? {
        let Ok(seq) = read_seq(&bytes(seq)?) else { continue };
        let found = fields::envelopes(store, seq..=seq).await?.pop();
        if found.and_then(|found| found.kept.ok()).is_some_and(|kept| kept.row.header.file_code == code) {
            seqs.insert(seq);
        }
    }
    let mut plan = Plan::default();
    plan.command([word("DEL"), key.clone()]);
    let seqs: Vec<Bytes> = seqs.into_iter().map(seq_text).collect();
    for seqs in seqs.chunks(fields::ROWS) {
        plan.command([word("RPUSH"), key.clone()].into_iter().chain(seqs.iter().cloned()));
    }
    store.mend(&plan).await
}

/// Counts anew how many kept bodies name each part; the old counts stand until the new ones are whole.
pub(super) async fn parts(store: &Offline, envelopes: u64) -> Result<(), Failure> {
    let (key, new) = (store.keys.one("parts"), store.keys.one("parts.new"));
    let mut plan = Plan::default();
    plan.command([word("DEL"), new.clone()]);
    store.mend(&plan).await?;
    let mut has_any = false;
    for page in fields::pages(envelopes, ENVELOPES) {
        let mut plan = Plan::default();
        for found in fields::envelopes(store, page).await? {
            let kept = found.kept.map_err(|damaged| Damaged::at(damaged.what))?;
            for digest in parts_of(&kept).into_iter().filter(|_| kept.state.body.is_some()) {
                plan.count(new.clone(), digest.0.to_vec(), "1");
                has_any = true;
            }
        }
        store.mend(&plan).await?;
    }
    let mut plan = Plan::default();
    match has_any {
        true => plan.command([word("RENAME"), new, key]),
        false => plan.command([word("DEL"), key]),
    }
    store.mend(&plan).await
}
