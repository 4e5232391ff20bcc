//! What nodes tell each other of their quotas: a stream that is short, because who comes late has nothing to hear.

use std::sync::{Mutex, PoisonError};

use gateway_store::nodes::Use;
use redis::Value;

use crate::answer::{bytes, list, text};
use crate::codec::{Decoder, Encoder};
use crate::failure::Failure;
use crate::keys::Keys;
use crate::link::{Link, Way};

/// Entries that are kept: some minutes of many nodes.
const ENTRIES_KEPT: usize = 2_000;
/// Entries read at once.
const ENTRIES_READ: usize = 1_000;
/// Uses in one entry.
const USES_IN_AN_ENTRY: usize = 1_000;

/// How far this node has heard.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<String>>);

/// Tells what this node has let in, and gives what others have told since the last call.
pub(crate) async fn share(
    link: &Link,
    keys: &Keys,
    node: &str,
    heard: &Heard,
    used: &[Use],
) -> Result<Vec<Use>, Failure> {
    let stream = keys.one("uses");
    let last = heard.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let last = match last {
        Some(last) => last,
        None => newest(link, &stream).await?,
    };
    for used in used.chunks(USES_IN_AN_ENTRY) {
        let mut tell = redis::cmd("XADD");
        tell.arg(&stream[..]).arg("MAXLEN").arg("~").arg(ENTRIES_KEPT).arg("*");
        tell.arg("node").arg(node).arg("uses").arg(&encode(used)[..]);
        link.ask::<Value>(Way::Read, &tell).await?;
    }
    let mut question = redis::cmd("XRANGE");
    question.arg(&stream[..]).arg(format!("({last}")).arg("+").arg("COUNT").arg(ENTRIES_READ);
    let (mut told, mut last) = (Vec::new(), last);
    for entry in list(link.ask(Way::Read, &question).await?)? {
        let (id, teller, uses) = read_entry(entry)?;
        last = id;
        if teller != node {
            told.extend(uses);
        }
    }
    *heard.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    Ok(told)
}

/// The id of the newest entry: what was told before is not heard.
async fn newest(link: &Link, stream: &[u8]) -> Result<String, Failure> {
    let mut question = redis::cmd("XREVRANGE");
    question.arg(stream).arg("+").arg("-").arg("COUNT").arg(1);
    match list(link.ask(Way::Read, &question).await?)?.pop() {
        Some(entry) => Ok(read_entry(entry)?.0),
        None => Ok("0-0".to_owned()),
    }
}

/// The id of an entry, who told it, and what.
fn read_entry(entry: Value) -> Result<(String, String, Vec<Use>), Failure> {
    let [id, fields] = crate::answer::fixed(entry)?;
    let [_, node, _, uses] = crate::answer::fixed(fields)?;
    let uses = bytes(uses)?;
    Ok((text(id)?, text(node)?, decode(&uses)?))
}

fn encode(used: &[Use]) -> bytes::Bytes {
    let entry = Encoder::new("uses").number(used.len() as u64);
    used.iter().fold(entry, |entry, used| entry.text(&used.name).number(used.envelopes).number(used.bytes)).seal()
}

fn decode(entry: &[u8]) -> Result<Vec<Use>, Failure> {
    let mut read = Decoder::open("uses", entry)?;
    let count = read.number()?;
    let mut uses = Vec::new();
    for _ in 0..count.min(USES_IN_AN_ENTRY as u64) {
        uses.push(Use { name: read.text()?.to_owned(), envelopes: read.number()?, bytes: read.number()? });
    }
    Ok(read.end(uses)?)
}
