//! From the indexes to the rows: what an index has beyond what the records ask of it. Where the numbers agree there is nothing to look for, since
//! every record has been found in its index already.

mod files;

use std::collections::BTreeSet;

use bytes::Bytes;
use gateway_model::state::DeliveryStatus;
use gateway_store::claim::Lane;
use gateway_store::rows::DeliveryRow;
use gateway_store::soundness::FindingCode;
use gateway_store::soundness::tally::Tally;
use redis::Value;

use super::fields::{self, Kept, ROWS, scan};
use super::walk::{Mode, Walk};
use super::{Way, rebuild};
use crate::answer::{bytes, list, optional, score, text};
use crate::failure::Failure;
use crate::keys::{Place, read_return, read_seq};
use crate::plan::{Plan, word};
use crate::rows::{Known, WayBack};

/// Looks from every index.
pub(super) async fn look(walk: &mut Walk<'_>) -> Result<(), Failure> {
    ids(walk).await?;
    deliveries(walk).await?;
    for status in DeliveryStatus::ALL {
        statuses(walk, status).await?;
    }
    finished(walk).await?;
    leases(walk).await?;
    files::look(walk).await?;
    parts(walk).await
}

impl Walk<'_> {
    /// Tells of what an index has too much, and takes it out.
    pub(super) async fn stray(&mut self, place: String, words: impl IntoIterator<Item = Bytes>) -> Result<(), Failure> {
        self.find(FindingCode::IndexStray, place, "");
        if self.mode == Mode::Mend {
            let mut plan = Plan::default();
            plan.command(words);
            self.store.mend(&plan).await?;
        }
        Ok(())
    }
}

/// Reads the whole memory of duplicates.
async fn ids(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let key = walk.store.keys.one("ids");
    let (mut cursor, mut count) = (0, 0);
    let mut broken = Vec::new();
    loop {
        let (next, found) = scan(walk.store, redis::cmd("HSCAN"), &key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let (field, row) = (bytes(pair[0].clone())?, bytes(pair[1].clone())?);
            match Known::decode_all(&row) {
                Ok(all) => count += all.len() as u64,
                Err(_) => broken.push(field),
            }
        }
        if next == 0 {
            break;
        }
        cursor = next;
    }
    // Every entry that a record asks for has been told, and put right: what is broken after that is asked for by none.
    for field in broken {
        match walk.mode {
            Mode::Look => walk.find(FindingCode::IndexWrong, format!("ids: {}", hex(&field)), "its row is damaged"),
            Mode::Mend => {
                walk.stray(format!("ids: {}", hex(&field)), [word("HDEL"), key.clone(), field]).await?;
            }
        }
    }
    if count != walk.counted.envelopes { stray_ids(walk, &key).await } else { Ok(()) }
}

async fn stray_ids(walk: &mut Walk<'_>, key: &Bytes) -> Result<(), Failure> {
    let mut cursor = 0;
    loop {
        let (next, found) = scan(walk.store, redis::cmd("HSCAN"), key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let (field, row) = (bytes(pair[0].clone())?, bytes(pair[1].clone())?);
            let Ok(all) = Known::decode_all(&row) else { continue };
            let mut right = Vec::new();
            for known in &all {
                let found = fields::envelopes(walk.store, known.seq..=known.seq).await?.pop();
                let kept = found.and_then(|found| found.kept.ok());
                let is_of = |kept: &Kept| kept.row.key.id.0[..] == field[..] && kept.row.key.sender == known.sender;
                if kept.is_some_and(|kept| is_of(&kept)) && !right.contains(known) {
                    right.push(known.clone());
                }
            }
            if right.len() != all.len() {
                let place = format!("ids: {}", hex(&field));
                match right.is_empty() {
                    true => walk.stray(place, [word("HDEL"), key.clone(), field]).await?,
                    false => {
                        walk.find(FindingCode::IndexStray, place, "");
                        if walk.mode == Mode::Mend {
                            let mut plan = Plan::default();
                            plan.set(key.clone(), field, Known::encode_all(&right));
                            walk.store.mend(&plan).await?;
                        }
                    }
                }
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

async fn deliveries(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let key = walk.store.keys.one("dids");
    if fields::count(walk.store, redis::cmd("HLEN"), &key).await? == walk.counted.deliveries {
        return Ok(());
    }
    let mut cursor = 0;
    loop {
        let (next, found) = scan(walk.store, redis::cmd("HSCAN"), &key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let (id, place) = (bytes(pair[0].clone())?, Place::read(&bytes(pair[1].clone())?));
            let row = match place {
                Ok(place) => row_at(walk, place).await?,
                Err(_) => None,
            };
            if row.is_none_or(|row| row.id.0[..] != id[..]) {
                walk.stray(format!("dids: {}", hex(&id)), [word("HDEL"), key.clone(), id]).await?;
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

async fn statuses(walk: &mut Walk<'_>, status: DeliveryStatus) -> Result<(), Failure> {
    let key = walk.store.keys.status(status.number());
    let expected = walk.counted.statuses[usize::from(status.number())];
    if fields::count(walk.store, redis::cmd("ZCARD"), &key).await? == expected {
        return Ok(());
    }
    let mut after = Bytes::from_static(b"-");
    loop {
        let mut question = redis::cmd("ZRANGEBYLEX");
        question.arg(&key[..]).arg(&after[..]).arg("+").arg("LIMIT").arg(0).arg(ROWS);
        let members = list(walk.store.link.ask(Way::Read, &question).await?)?;
        let Some(last) = members.last() else { return Ok(()) };
        after = [b"(", &bytes(last.clone())?[..]].concat().into();
        for member in members {
            let member = bytes(member)?;
            let row = match Place::read_newest_first(&member) {
                Ok(place) => row_at(walk, place).await?,
                Err(_) => None,
            };
            if row.is_none_or(|row| row.state.status() != status) {
                let place = format!("status:{}: {}", status.number(), String::from_utf8_lossy(&member));
                walk.stray(place, [word("ZREM"), key.clone(), member]).await?;
            }
        }
    }
}

async fn finished(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let key = walk.store.keys.one("finished");
    if fields::count(walk.store, redis::cmd("ZCARD"), &key).await? == walk.counted.finished {
        return Ok(());
    }
    let mut cursor = 0;
    loop {
        let (next, found) = scan(walk.store, redis::cmd("ZSCAN"), &key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let member = bytes(pair[0].clone())?;
            let found = match read_seq(&member) {
                Ok(seq) => fields::envelopes(walk.store, seq..=seq).await?.pop(),
                Err(_) => None,
            };
            // One whose body is gone may stand there: it waits for nothing either.
            if found.and_then(|found| found.kept.ok()).is_none_or(|kept| kept.state.final_at.is_none()) {
                let place = format!("finished: envelope {}", String::from_utf8_lossy(&member));
                walk.stray(place, [word("ZREM"), key.clone(), member]).await?;
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// A lease on what does not wake.
async fn leases(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let key = walk.store.keys.one("leases");
    let mut cursor = 0;
    loop {
        let (next, found) = scan(walk.store, redis::cmd("HSCAN"), &key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let item = bytes(pair[0].clone())?;
            if lane_of(walk, &item).await?.is_none() {
                let place = format!("leases: {}", String::from_utf8_lossy(&item));
                walk.stray(place, [word("HDEL"), key.clone(), item]).await?;
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// Counts of digests have to be those of the bodies that are kept; one that is missing altogether has been told already.
async fn parts(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let key = walk.store.keys.one("parts");
    let (mut cursor, mut tally) = (0, Tally::default());
    loop {
        let (next, found) = scan(walk.store, redis::cmd("HSCAN"), &key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let times = text(pair[1].clone())?.parse().unwrap_or(0);
            tally.add_times(&[&bytes(pair[0].clone())?], times);
        }
        if next == 0 {
            break;
        }
        cursor = next;
    }
    if tally != walk.counted.parts {
        let seen = format!("{} names counted, {} kept", walk.counted.parts.count(), tally.count());
        walk.find(FindingCode::CounterWrong, "parts: how many kept bodies name each part", seen);
        if walk.mode == Mode::Mend {
            rebuild::parts(walk.store, walk.head.envelopes).await?;
        }
    }
    Ok(())
}

/// Names of marks that are not there.
pub(super) async fn mark_names(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let (marks, names) = (walk.store.keys.one("marks"), walk.store.keys.one("marknames"));
    let mut cursor = 0;
    loop {
        let (next, found) = scan(walk.store, redis::cmd("ZSCAN"), &names, cursor).await?;
        for pair in found.chunks_exact(2) {
            let name = bytes(pair[0].clone())?;
            let mut question = redis::cmd("HEXISTS");
            question.arg(&marks[..]).arg(&name[..]);
            if walk.store.link.ask::<u64>(Way::Read, &question).await? == 0 {
                let place = format!("marknames: {}", String::from_utf8_lossy(&name));
                walk.stray(place, [word("ZREM"), names.clone(), name]).await?;
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// What the hash of an envelope has beyond its rows: foreign receipts that are in no history, and rows behind the last one.
pub(super) async fn fields_of(walk: &mut Walk<'_>, kept: &Kept) -> Result<(), Failure> {
    let (seq, key) = (kept.row.seq.0, walk.store.keys.envelope(kept.row.seq.0));
    let mut known = BTreeSet::new();
    for positions in fields::positions(&kept.state) {
        for line in fields::lines(walk.store, seq, positions).await?.into_iter().flatten() {
            if let crate::rows::Event::Foreign(receipt) = line
                && let Ok(receipt) = gateway_evidence::Receipt::decode(&receipt)
            {
                known.insert(crate::keys::foreign_field(&receipt.leaf_hash()));
            }
        }
    }
    let mut cursor = 0;
    loop {
        let (next, found) = scan(walk.store, redis::cmd("HSCAN"), &key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let field = bytes(pair[0].clone())?;
            let place = || format!("envelope {seq}: field {}", hex(&field));
            match field.first() {
                Some(b'f') if !known.contains(&field) => {
                    walk.stray(place(), [word("HDEL"), key.clone(), field.clone()]).await?;
                }
                Some(b'd' | b'e') if is_behind(&field, kept) => {
                    walk.find(FindingCode::RecordDamaged, place(), "it stands behind the last one");
                }
                Some(_) | None => {}
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

fn is_behind(field: &[u8], kept: &Kept) -> bool {
    let number = std::str::from_utf8(&field[1..]).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
    match field.first() {
        Some(b'd') => number.is_none_or(|place| place >= kept.state.places),
        Some(_) | None => number.is_none_or(|position| position > kept.state.events),
    }
}

async fn row_at(walk: &Walk<'_>, place: Place) -> Result<Option<DeliveryRow>, Failure> {
    Ok(fields::deliveries(walk.store, &[place]).await?.pop().and_then(Result::ok))
}

/// The lane in which an item wakes; `None` when it does not, or is not there.
async fn lane_of(walk: &Walk<'_>, item: &Bytes) -> Result<Option<Lane>, Failure> {
    match item.split_first() {
        Some((b'd', place)) => {
            let Ok(place) = Place::read(place) else { return Ok(None) };
            Ok(row_at(walk, place).await?.filter(|row| row.wake.is_some()).map(|row| row.lane))
        }
        Some((b'r', field)) => {
            let Ok(id) = read_return(field) else { return Ok(None) };
            let mut question = redis::cmd("HGET");
            question.arg(&walk.store.keys.one("back")[..]).arg(field);
            let row = optional(walk.store.link.ask::<Value>(Way::Read, &question).await?)?;
            let row = row.and_then(|row| WayBack::decode(id, &row).ok());
            Ok(row.filter(|row| row.wake.is_some()).map(|row| row.lane))
        }
        Some(_) | None => Ok(None),
    }
}

/// Looks from a lane: what wakes there, and when the first one does.
async fn lane(walk: &mut Walk<'_>, lane: &Lane, has_strays: bool) -> Result<(), Failure> {
    let key = walk.store.keys.lane(lane);
    if has_strays {
        stray_items(walk, lane, &key).await?;
    }
    first_wake(walk, lane, &key).await
}

async fn stray_items(walk: &mut Walk<'_>, lane: &Lane, key: &Bytes) -> Result<(), Failure> {
    let mut cursor = 0;
    loop {
        let (next, found) = scan(walk.store, redis::cmd("ZSCAN"), key, cursor).await?;
        for pair in found.chunks_exact(2) {
            let item = bytes(pair[0].clone())?;
            if lane_of(walk, &item).await?.as_ref() != Some(lane) {
                let place = format!("lane:{}: {}", lane.as_str(), String::from_utf8_lossy(&item));
                walk.stray(place, [word("ZREM"), key.clone(), item]).await?;
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

async fn first_wake(walk: &mut Walk<'_>, lane: &Lane, key: &Bytes) -> Result<(), Failure> {
    let lanes = walk.store.keys.one("lanes");
    let (mut first, mut told) = (redis::cmd("ZRANGE"), redis::cmd("ZSCORE"));
    first.arg(&key[..]).arg(0).arg(0).arg("WITHSCORES");
    told.arg(&lanes[..]).arg(lane.as_str());
    let first = list(walk.store.link.ask(Way::Read, &first).await?)?.into_iter().nth(1).map(score).transpose()?;
    let told = match walk.store.link.ask::<Value>(Way::Read, &told).await? {
        Value::Nil => None,
        told => Some(score(told)?),
    };
    let code = match (first, told) {
        (first, told) if first == told => return Ok(()),
        (Some(_), None) => FindingCode::IndexMissing,
        (None, _) => FindingCode::IndexStray,
        (Some(_), Some(_)) => FindingCode::IndexWrong,
    };
    walk.find(code, format!("lanes: {}", lane.as_str()), "");
    if walk.mode == Mode::Mend {
        let mut plan = Plan::default();
        let name = Bytes::copy_from_slice(lane.as_str().as_bytes());
        match first {
            Some(first) => plan.put(lanes, first, name),
            None => plan.take(lanes, name),
        }
        walk.store.mend(&plan).await?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
