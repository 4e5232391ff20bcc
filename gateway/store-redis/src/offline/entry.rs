//! One line of an index, as a record asks for it: what to ask, whether the answer will do, and how to write it.

use bytes::Bytes;
use gateway_model::id::{DeliveryId, EnvelopeId};
use gateway_model::state::DeliveryStatus;
use gateway_model::{Digest, Timestamp};
use gateway_store::claim::Lane;
use gateway_store::soundness::FindingCode;
use redis::{Pipeline, Value};

use crate::answer::{optional, score};
use crate::codec::Damaged;
use crate::keys::{Keys, Place, foreign_field, seq_text};
use crate::plan::{Plan, word};
use crate::rows::Known;

/// One line of an index.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// In `ids`: the memory of duplicates.
    Id(EnvelopeId, Known),
    /// In `file:<code>`.
    File(String, u64),
    /// In `dids`.
    Delivery(DeliveryId, Place),
    /// In `status:<n>`.
    Status(DeliveryStatus, Place),
    /// In `lane:<lane>`.
    Wake(Lane, Bytes, Timestamp),
    /// In `finished`.
    Finished(u64, Timestamp),
    /// Beside the envelope: a foreign receipt that is known.
    Foreign(u64, Digest),
    /// In `parts`: that a kept body names it at all.
    Part(Digest),
}

/// What an index says instead: which kind of finding, and what was seen.
pub(super) type Wrong = (FindingCode, String);

impl Entry {
    /// Adds the two questions of this line.
    pub(super) fn ask(&self, keys: &Keys, to: &mut Pipeline) {
        match self {
            Self::Id(id, _) => to.cmd("HGET").arg(&keys.one("ids")[..]).arg(&id.0[..]),
            Self::File(code, seq) => to.cmd("LPOS").arg(&keys.file(code)[..]).arg(&seq_text(*seq)[..]),
            Self::Delivery(id, _) => to.cmd("HGET").arg(&keys.one("dids")[..]).arg(&id.0[..]),
            Self::Status(status, place) => {
                to.cmd("ZSCORE").arg(&keys.status(status.number())[..]).arg(&place.newest_first()[..])
            }
            Self::Wake(lane, item, _) => to.cmd("ZSCORE").arg(&keys.lane(lane)[..]).arg(&item[..]),
            Self::Finished(seq, _) => to.cmd("ZSCORE").arg(&keys.one("finished")[..]).arg(&seq_text(*seq)[..]),
            Self::Foreign(seq, hash) => to.cmd("HGET").arg(&keys.envelope(*seq)[..]).arg(&foreign_field(hash)[..]),
            Self::Part(digest) => to.cmd("HGET").arg(&keys.one("parts")[..]).arg(&digest.0[..]),
        };
        match self {
            Self::Wake(_, item, _) => to.cmd("HGET").arg(&keys.one("leases")[..]).arg(&item[..]),
            Self::Id(..)
            | Self::File(..)
            | Self::Delivery(..)
            | Self::Status(..)
            | Self::Finished(..)
            | Self::Foreign(..)
            | Self::Part(_) => to.cmd("EXISTS").arg(&keys.head()[..]),
        };
    }

    /// Judges the two answers.
    pub(super) fn judge(&self, answer: Value, lease: Value) -> Result<Option<Wrong>, Damaged> {
        if matches!(answer, Value::Nil) {
            return Ok(Some((FindingCode::IndexMissing, String::new())));
        }
        let wrong = |seen: String| Ok(Some((FindingCode::IndexWrong, seen)));
        match self {
            Self::Id(_, known) => match Known::decode_all(&optional(answer)?.unwrap_or_default()) {
                Ok(all) if all.contains(known) => Ok(None),
                Ok(all) if all.iter().any(|other| other.sender == known.sender) => {
                    wrong("it says another number, digest or leaf".to_owned())
                }
                Ok(_) => Ok(Some((FindingCode::IndexMissing, String::new()))),
                Err(damaged) => wrong(damaged.to_string()),
            },
            Self::Delivery(_, place) => {
                let found = optional(answer)?.unwrap_or_default();
                if found == place.location() { Ok(None) } else { wrong("it leads to another delivery".to_owned()) }
            }
            Self::Wake(lane, _, at) => judge_wake(lane, *at, score(answer)?, optional(lease)?.as_deref()),
            Self::Finished(_, at) => match score(answer)? {
                found if is_same(found, *at) => Ok(None),
                found => wrong(format!("it says {}", Timestamp::from_micros(found))),
            },
            Self::File(..) | Self::Status(..) | Self::Foreign(..) | Self::Part(_) => Ok(None),
        }
    }

    /// Where it stands, for a person.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Id(id, known) => format!("ids: envelope {} ({id} of {})", known.seq, known.sender),
            Self::File(code, seq) => format!("file:{code}: envelope {seq}"),
            Self::Delivery(id, place) => format!("dids: {id} ({place})"),
            Self::Status(status, place) => format!("status:{} ({}): {place}", status.number(), status.as_str()),
            Self::Wake(lane, item, _) => format!("lane:{}: {}", lane.as_str(), String::from_utf8_lossy(item)),
            Self::Finished(seq, _) => format!("finished: envelope {seq}"),
            Self::Foreign(seq, hash) => format!("e: foreign receipt {hash} of envelope {seq}"),
            Self::Part(digest) => format!("parts: {digest}"),
        }
    }

    /// Writes it into an index that does not have it, or has it wrong. What has to be read first is left to the caller: ids, files and parts.
    pub(super) fn write(&self, keys: &Keys, plan: &mut Plan) {
        match self {
            Self::Delivery(id, place) => plan.set(keys.one("dids"), id.0.to_vec(), place.location()),
            Self::Status(status, place) => plan.put(keys.status(status.number()), 0, place.newest_first()),
            Self::Wake(lane, item, at) => {
                plan.put(keys.lane(lane), at.micros(), item.clone());
                plan.unset(keys.one("leases"), item.clone());
            }
            Self::Finished(seq, at) => plan.put(keys.one("finished"), at.micros(), seq_text(*seq)),
            Self::Foreign(seq, hash) => plan.set(keys.envelope(*seq), foreign_field(hash), word("1")),
            Self::Id(..) | Self::File(..) | Self::Part(_) => {}
        }
    }
}

/// What is leased stands in its lane by the end of its lease, and the lease says when it woke.
fn judge_wake(lane: &Lane, at: Timestamp, found: i64, lease: Option<&[u8]>) -> Result<Option<Wrong>, Damaged> {
    let wrong = |seen: &str| Ok(Some((FindingCode::IndexWrong, seen.to_owned())));
    let Some(lease) = lease else {
        let told = || format!("it says {}", Timestamp::from_micros(found));
        return Ok((!is_same(found, at)).then(|| (FindingCode::IndexWrong, told())));
    };
    let text = String::from_utf8_lossy(lease);
    let mut words = text.splitn(4, ':');
    let (Some(_token), Some(_node), Some(wake), Some(name)) = (words.next(), words.next(), words.next(), words.next())
    else {
        return wrong("its lease cannot be read");
    };
    match score(Value::BulkString(wake.as_bytes().to_vec())) {
        Ok(wake) if is_same(wake, at) && name == lane.as_str() => Ok(None),
        Ok(_) | Err(_) => wrong("its lease says another wake-up or lane"),
    }
}

/// A score is a number of 53 bits: beyond it the nearest one.
#[allow(clippy::cast_precision_loss, clippy::float_cmp)] // That is what is compared.
fn is_same(score: i64, at: Timestamp) -> bool {
    score as f64 == at.micros() as f64
}
