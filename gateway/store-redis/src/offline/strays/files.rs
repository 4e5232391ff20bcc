//! What has a key of its own for each name: files and lanes. Their keys are listed, since a name that no record knows is found in no other way.

use std::collections::HashSet;

use bytes::Bytes;
use gateway_store::claim::Lane;
use gateway_store::soundness::FindingCode;
use redis::Value;

use super::super::fields::{self, ROWS};
use super::super::walk::{Mode, Walk};
use super::super::{Way, rebuild};
use super::lane;
use crate::answer::{bytes, fixed, list, text};
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::keys::read_seq;
use crate::plan::word;
use crate::script::SCAN;

/// Looks from the lanes and from the files.
pub(super) async fn look(walk: &mut Walk<'_>) -> Result<(), Failure> {
    let mut lanes: HashSet<Lane> = walk.counted.lanes.clone();
    let mut question = redis::cmd("ZRANGE");
    question.arg(&walk.store.keys.one("lanes")[..]).arg(0).arg(-1);
    for name in list(walk.store.link.ask(Way::Read, &question).await?)? {
        lanes.insert(Lane::new(text(name)?));
    }
    let tag = walk.store.keys.tag().to_owned();
    let (mut cursor, mut filed) = ("0".to_owned(), 0);
    loop {
        let (next, keys) = some_keys(walk, &cursor).await?;
        for key in keys {
            let name = String::from_utf8_lossy(&key[tag.len().min(key.len())..]).into_owned();
            if let Some(name) = name.strip_prefix("lane:") {
                lanes.insert(Lane::new(name));
            } else if name.starts_with("file:") {
                filed += fields::count(walk.store, redis::cmd("LLEN"), &key).await?;
            }
        }
        if next == "0" {
            break;
        }
        cursor = next;
    }
    if filed != walk.counted.filed {
        stray_files(walk, &tag).await?;
    }
    let mut waking = 0;
    for lane in &lanes {
        waking += fields::count(walk.store, redis::cmd("ZCARD"), &walk.store.keys.lane(lane)).await?;
    }
    let mut lanes: Vec<Lane> = lanes.into_iter().collect();
    lanes.sort_unstable();
    for name in &lanes {
        lane(walk, name, waking != walk.counted.waking).await?;
    }
    Ok(())
}

/// Some keys of the store.
async fn some_keys(walk: &Walk<'_>, cursor: &str) -> Result<(String, Vec<Bytes>), Failure> {
    let mut call = SCAN.call(&walk.store.keys.head());
    call.arg(cursor).arg(format!("{}*", walk.store.keys.tag())).arg(ROWS);
    let [next, keys] = fixed(walk.store.link.run(Way::Read, &SCAN, &call).await?)?;
    let keys = list(keys)?.into_iter().map(bytes).collect::<Result<Vec<_>, Damaged>>()?;
    Ok((text(next)?, keys))
}

/// A file names envelopes that are not of it, or one of them twice.
async fn stray_files(walk: &mut Walk<'_>, tag: &str) -> Result<(), Failure> {
    let mut cursor = "0".to_owned();
    loop {
        let (next, keys) = some_keys(walk, &cursor).await?;
        for key in keys {
            let name = String::from_utf8_lossy(&key[tag.len().min(key.len())..]).into_owned();
            if let Some(code) = name.strip_prefix("file:") {
                one_file(walk, &key, code).await?;
            }
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

async fn one_file(walk: &mut Walk<'_>, key: &Bytes, code: &str) -> Result<(), Failure> {
    let mut question = redis::cmd("LRANGE");
    question.arg(&key[..]).arg(0).arg(-1);
    let all = list(walk.store.link.ask::<Value>(Way::Read, &question).await?)?;
    let (mut right, mut last, count) = (Vec::new(), 0, all.len());
    for seq in all {
        let Ok(seq) = read_seq(&bytes(seq)?) else { continue };
        let found = fields::envelopes(walk.store, seq..=seq).await?.pop();
        let kept = found.and_then(|found| found.kept.ok());
        if seq > last && kept.is_some_and(|kept| kept.row.header.file_code == code) {
            right.push(seq);
            last = seq;
        }
    }
    if right.len() == count {
        return Ok(());
    }
    if right.is_empty() {
        return walk.stray(format!("file:{code}"), [word("DEL"), key.clone()]).await;
    }
    walk.find(FindingCode::IndexStray, format!("file:{code}"), "");
    if walk.mode == Mode::Mend {
        rebuild::file(walk.store, code, &[]).await?;
    }
    Ok(())
}
