//! What there is little of: receipts on their way back, marks, and the counters of the head.

use gateway_model::state::DeliveryStatus;
use gateway_store::soundness::FindingCode;

use super::fields;
use super::walk::{Mode, Walk};
use crate::answer::{bytes, text};
use crate::batch::decode_mark;
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::keys::{read_return, return_item};
use crate::offline::entry::Entry;
use crate::plan::Plan;
use crate::rows::WayBack;

/// Reads every receipt on its way back.
pub(super) async fn returns(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let key = walk.store.keys.one("back");
    let (mut cursor, mut entries) = (0, Vec::new());
    // Eight bytes for each: what is under way, never what was.
    let mut seen = std::collections::HashSet::new();
    loop {
        let (next, found) = fields::scan(walk.store, redis::cmd("HSCAN"), &key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let (field, row) = (bytes(pair[0].clone())?, bytes(pair[1].clone())?);
            let id = read_return(&field).unwrap_or(0);
            // A field may come twice.
            if !seen.insert(id) {
                continue;
            }
            walk.report.rows += 1;
            walk.counted.returns += 1;
            let place = format!("receipt on its way back {id}");
            match read_way_back(id, &row) {
                Ok(row) => {
                    if id > walk.head.returns_numbered {
                        let seen = format!("the last number given out is {}", walk.head.returns_numbered);
                        walk.find(FindingCode::RecordDamaged, place, seen);
                    }
                    if let Some(wake) = row.wake {
                        walk.counted.waking += 1;
                        walk.counted.lanes.insert(row.lane.clone());
                        entries.push(Entry::Wake(row.lane, return_item(id), wake));
                    }
                }
                Err(damaged) => walk.find(FindingCode::RecordDamaged, place, damaged.to_string()),
            }
        }
        walk.look_up(&mut entries, 0).await?;
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

fn read_way_back(id: u64, row: &[u8]) -> Result<WayBack, Damaged> {
    let row = WayBack::decode(id, row)?;
    gateway_evidence::Receipt::decode(&row.receipt).map_err(|_| Damaged::at("its receipt"))?;
    Ok(row)
}

/// Reads every mark, and looks for its name.
pub(super) async fn marks(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let (marks, names) = (walk.store.keys.one("marks"), walk.store.keys.one("marknames"));
    let (mut cursor, mut count) = (0, 0);
    loop {
        let (next, found) = fields::scan(walk.store, redis::cmd("HSCAN"), &marks, cursor).await?;
        for pair in found.chunks_exact(2) {
            let (name, row) = (text(pair[0].clone())?, bytes(pair[1].clone())?);
            walk.report.rows += 1;
            count += 1;
            if let Err(damaged) = decode_mark(&name, &row) {
                walk.find(FindingCode::RecordDamaged, format!("mark {name}"), damaged.to_string());
            }
            let mut question = redis::cmd("ZSCORE");
            question.arg(&names[..]).arg(&name);
            let score: Option<f64> = walk.store.link.ask(super::Way::Read, &question).await?;
            if score.is_none() {
                walk.find(FindingCode::IndexMissing, format!("marknames: {name}"), "");
                if walk.mode == Mode::Mend {
                    let mut plan = Plan::default();
                    plan.put(names.clone(), 0, name.into());
                    walk.store.mend(&plan).await?;
                }
            }
        }
        if next == 0 {
            break;
        }
        cursor = next;
    }
    if fields::count(walk.store, redis::cmd("ZCARD"), &names).await? == count {
        Ok(())
    } else {
        super::strays::mark_names(walk).await
    }
}

/// The counters of the head.
pub(super) async fn counters(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let (head, counted) = (&walk.head, &walk.counted);
    let of = |status: DeliveryStatus| counted.statuses[usize::from(status.number())];
    let (waiting, forwarded, held) =
        (of(DeliveryStatus::Waiting), of(DeliveryStatus::Forwarded), of(DeliveryStatus::Held));
    let mut right = head.clone();
    (right.waiting, right.forwarded, right.held, right.returns) = (waiting, forwarded, held, counted.returns);
    let all = [
        ("waiting deliveries", waiting, head.waiting),
        ("forwarded deliveries", forwarded, head.forwarded),
        ("held deliveries", held, head.held),
        ("receipts on their way back", counted.returns, head.returns),
    ];
    for (what, counted, kept) in all {
        if counted != kept {
            walk.find(FindingCode::CounterWrong, format!("head: {what}"), format!("{counted} counted, {kept} kept"));
        }
    }
    if walk.mode == Mode::Mend && right != walk.head {
        // A commit that was decided on the old counters does not fit any more.
        right.version += 1;
        let mut plan = Plan::default();
        plan.command([crate::plan::word("SET"), walk.store.keys.head(), right.encode()]);
        walk.store.mend(&plan).await?;
        walk.head = right;
    }
    Ok(())
}
