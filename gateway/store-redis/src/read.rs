//! The questions: rows by number, by key, by id, by file code, and what hangs on them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::id::{DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow};
use redis::{Cmd, Pipeline, Value};

use crate::answer::{bytes, list, optional, text};
use crate::batch::decode_mark;
use crate::codec::{Damaged, sum};
use crate::failure::Failure;
use crate::head::Head;
use crate::keys::{Keys, Place, read_seq};
use crate::link::{Link, Way};
use crate::rows::{EnvelopeState, Known, decode_delivery, decode_envelope};

/// Deliveries of one envelope that one question reads.
const PLACES_IN_A_QUESTION: u32 = 1_024;

/// The head as it stands.
pub(crate) async fn head(link: &Link, keys: &Keys) -> Result<Head, Failure> {
    let mut question = redis::cmd("GET");
    question.arg(&keys.head()[..]);
    let head: Option<Vec<u8>> = link.ask(Way::Read, &question).await?;
    Ok(Head::decode(&head.ok_or_else(|| Damaged::at("head"))?)?)
}

/// The entries of one envelope id.
pub(crate) async fn known(link: &Link, keys: &Keys, id: EnvelopeId) -> Result<Vec<Known>, Failure> {
    let mut question = redis::cmd("HGET");
    question.arg(&keys.one("ids")[..]).arg(&id.0[..]);
    let row: Option<Vec<u8>> = link.ask(Way::Read, &question).await?;
    Ok(row.map(|row| Known::decode_all(&row)).transpose()?.unwrap_or_default())
}

/// One envelope.
pub(crate) async fn find(link: &Link, keys: &Keys, key: &EnvelopeKey) -> Result<Option<EnvelopeRow>, Failure> {
    let known = known(link, keys, key.id).await?.into_iter().find(|known| known.sender == key.sender);
    let Some(known) = known else { return Ok(None) };
    Ok(envelopes(link, keys, &[known.seq]).await?.pop().flatten())
}

/// Envelopes by their numbers, each when it is there.
pub(crate) async fn envelopes(link: &Link, keys: &Keys, seqs: &[u64]) -> Result<Vec<Option<EnvelopeRow>>, Failure> {
    let mut questions = Pipeline::new();
    for seq in seqs {
        questions.cmd("HGET").arg(&keys.envelope(*seq)[..]).arg("h");
    }
    let mut rows = Vec::with_capacity(seqs.len());
    for (seq, row) in seqs.iter().zip(link.ask_all(Way::Read, &questions).await?) {
        let row = optional(row)?.map(|row| decode_envelope(&row)).transpose()?;
        if row.as_ref().is_some_and(|row| row.seq.0 != *seq) {
            return Err(Damaged::at(format!("envelope {seq}")).into());
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The state of one envelope.
pub(crate) async fn state(link: &Link, keys: &Keys, seq: u64) -> Result<Option<EnvelopeState>, Failure> {
    let mut question = redis::cmd("HGET");
    question.arg(&keys.envelope(seq)[..]).arg("s");
    let row: Option<Vec<u8>> = link.ask(Way::Read, &question).await?;
    Ok(row.map(|row| EnvelopeState::decode(seq, &row)).transpose()?)
}

/// The bodies of envelopes: none where it has been purged, a damage where it is not what was written.
pub(crate) async fn bodies(
    link: &Link,
    keys: &Keys,
    states: &[&EnvelopeState],
) -> Result<Vec<Result<Option<Bytes>, Damaged>>, Failure> {
    let kept: Vec<_> = states.iter().filter_map(|state| state.body).collect();
    let question = |key: &Bytes| {
        let mut question = redis::cmd("GET");
        question.arg(&key[..]);
        question
    };
    let questions: Vec<Cmd> = kept.iter().map(|(id, _)| question(&keys.body(*id))).collect();
    let answers = match link.connector.is_cluster() {
        true => link.ask_each(Way::Read, &questions).await?,
        false => {
            let mut all = Pipeline::new();
            for question in questions {
                all.add_command(question);
            }
            link.ask_all(Way::Read, &all).await?
        }
    };
    let mut answers = answers.into_iter();
    let body = |state: &&EnvelopeState| {
        let Some((_, expected)) = state.body else { return Ok(None) };
        let damaged = || Damaged::at(format!("the body of envelope {}", state.seq));
        let body = answers.next().map(optional).transpose()?.flatten().ok_or_else(damaged)?;
        if sum("body", &body) == expected { Ok(Some(body)) } else { Err(damaged()) }
    };
    Ok(states.iter().map(body).collect())
}

/// The body of one envelope.
pub(crate) async fn body(link: &Link, keys: &Keys, seq: u64) -> Result<Option<Bytes>, Failure> {
    let Some(before) = state(link, keys, seq).await? else { return Ok(None) };
    match bodies(link, keys, &[&before]).await?.pop() {
        Some(Ok(body)) => Ok(body),
        // A purge may have come between the two questions.
        Some(Err(damaged)) => match state(link, keys, seq).await? {
            Some(now) if now.body == before.body => Err(damaged.into()),
            Some(_) | None => Ok(None),
        },
        None => Ok(None),
    }
}

/// The deliveries of one envelope, in order.
pub(crate) async fn deliveries(link: &Link, keys: &Keys, seq: u64) -> Result<Vec<DeliveryRow>, Failure> {
    let Some(state) = state(link, keys, seq).await? else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    let mut from = 0;
    while from < state.places {
        let until = state.places.min(from + PLACES_IN_A_QUESTION);
        let places: Vec<Place> = (from..until).map(|place| Place { envelope: seq, place }).collect();
        rows.append(&mut deliveries_at(link, keys, &places).await?);
        from = until;
    }
    Ok(rows)
}

/// Deliveries by their places; one that is missing is damage.
pub(crate) async fn deliveries_at(link: &Link, keys: &Keys, places: &[Place]) -> Result<Vec<DeliveryRow>, Failure> {
    let mut questions = Pipeline::new();
    for place in places {
        questions.cmd("HGET").arg(&keys.envelope(place.envelope)[..]).arg(&place.field()[..]);
    }
    let mut rows = Vec::with_capacity(places.len());
    for (place, row) in places.iter().zip(link.ask_all(Way::Read, &questions).await?) {
        let missing = || Damaged::at(format!("delivery {} of envelope {}", place.place, place.envelope));
        rows.push(decode_delivery(*place, &optional(row)?.ok_or_else(missing)?)?);
    }
    Ok(rows)
}

/// Deliveries with their envelopes, in the order of the places.
pub(crate) async fn summaries(link: &Link, keys: &Keys, places: &[Place]) -> Result<Vec<DeliverySummary>, Failure> {
    let deliveries = deliveries_at(link, keys, places).await?;
    let mut seqs: Vec<u64> = places.iter().map(|place| place.envelope).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let rows = envelopes(link, keys, &seqs).await?;
    let known: HashMap<u64, Arc<EnvelopeRow>> =
        seqs.into_iter().zip(rows).filter_map(|(seq, row)| Some((seq, Arc::new(row?)))).collect();
    let summary = |delivery: DeliveryRow| {
        let envelope = known.get(&delivery.envelope.0).cloned();
        let missing = || Damaged::at(format!("envelope {}", delivery.envelope.0));
        Ok(DeliverySummary { envelope: envelope.ok_or_else(missing)?, delivery })
    };
    deliveries.into_iter().map(summary).collect()
}

/// Where a delivery stands.
pub(crate) async fn place_of(link: &Link, keys: &Keys, id: DeliveryId) -> Result<Option<Place>, Failure> {
    let mut question = redis::cmd("HGET");
    question.arg(&keys.one("dids")[..]).arg(&id.0[..]);
    let place: Option<Vec<u8>> = link.ask(Way::Read, &question).await?;
    Ok(place.map(|place| Place::read(&place)).transpose()?)
}

/// The numbers of the envelopes with one file code, oldest first.
pub(crate) async fn of_file(link: &Link, keys: &Keys, file_code: &str, limit: usize) -> Result<Vec<u64>, Failure> {
    if file_code.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let mut question = redis::cmd("LRANGE");
    question.arg(&keys.file(file_code)[..]).arg(0).arg(i64::try_from(limit).unwrap_or(i64::MAX) - 1);
    let seqs = list(link.ask(Way::Read, &question).await?)?.into_iter();
    seqs.map(|seq| Ok(read_seq(&bytes(seq)?)?)).collect()
}

/// The marks whose names begin with `prefix`, by name.
pub(crate) async fn marks(
    link: &Link,
    keys: &Keys,
    prefix: &str,
    limit: usize,
) -> Result<Vec<(String, Bytes)>, Failure> {
    let mut question = redis::cmd("ZRANGEBYLEX");
    question.arg(&keys.one("marknames")[..]).arg(format!("[{prefix}")).arg([b"(", prefix.as_bytes(), b"\xff"].concat());
    question.arg("LIMIT").arg(0).arg(i64::try_from(limit).unwrap_or(i64::MAX));
    let names = list(link.ask(Way::Read, &question).await?)?.into_iter().map(text);
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut question = redis::cmd("HMGET");
    question.arg(&keys.one("marks")[..]).arg(&names);
    let rows = list(link.ask(Way::Read, &question).await?)?;
    let mut marks = Vec::with_capacity(names.len());
    for (name, row) in names.into_iter().zip(rows) {
        // One that has been taken away between the two questions is no longer there.
        if let Some(row) = optional(row)? {
            let value = decode_mark(&name, &row)?;
            marks.push((name, value));
        }
    }
    Ok(marks)
}

/// Which of `digests` are named by no envelope whose body is still kept.
pub(crate) async fn unreferenced(link: &Link, keys: &Keys, digests: &[Digest]) -> Result<Vec<Digest>, Failure> {
    if digests.is_empty() {
        return Ok(Vec::new());
    }
    let mut question = redis::cmd("HMGET");
    question.arg(&keys.one("parts")[..]);
    for digest in digests {
        question.arg(&digest.0[..]);
    }
    let counts = list(link.ask(Way::Read, &question).await?)?;
    let unnamed = digests.iter().zip(counts).filter(|(_, count)| matches!(count, Value::Nil));
    Ok(unnamed.map(|(digest, _)| *digest).collect())
}
