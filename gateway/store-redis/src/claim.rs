//! Taking due work: which rows, decided by a script in one step; their bodies, read after it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_store::Conflict;
use gateway_store::backlog::LaneLoad;
use gateway_store::claim::{Claim, Lane, LaneHead, Lease, Leased, Work};
use gateway_store::rows::{EnvelopeRow, ReturnId, ReturnRow};
use redis::{Pipeline, Value};

use crate::answer::{bytes, fixed, list, number, score, text};
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::keys::{Keys, Place, read_return, read_seq};
use crate::link::{Link, Way};
use crate::read;
use crate::rows::{EnvelopeState, WayBack, decode_delivery, decode_envelope};
use crate::script::{CLAIM, DUTY, EXTEND};

/// Lanes whose loads are asked for at once.
const LANES_IN_A_QUESTION: usize = 1_000;

/// An envelope with its body, shared between the rows of one claim.
type Envelopes = HashMap<u64, (Arc<EnvelopeRow>, Bytes)>;

/// Leases due work.
pub(crate) async fn claim(link: &Link, keys: &Keys, node: &str, claim: &Claim) -> Result<Vec<Leased>, Failure> {
    if claim.lanes.is_empty() {
        return Ok(Vec::new());
    }
    let mut call = CLAIM.call(&keys.head());
    call.arg(keys.tag()).arg(node).arg(claim.now.micros()).arg(claim.lease_until.micros());
    for (lane, limit) in &claim.lanes {
        call.arg(lane.as_str()).arg(i64::try_from(*limit).unwrap_or(i64::MAX));
    }
    let [items, envelopes] = fixed(link.run(Way::Read, &CLAIM, &call).await?)?;
    let envelopes = with_bodies(link, keys, list(envelopes)?).await?;
    let (mut leased, mut first_failure) = (Vec::new(), None);
    for item in list(items)? {
        match read_item(claim, &envelopes, item) {
            Ok(one) => leased.push(one),
            Err(damaged) => {
                // One damaged row must not hold up the others: it stays leased, and is told again when the lease has run out.
                tracing::error!(error = %damaged, "due work cannot be read");
                first_failure.get_or_insert(damaged);
            }
        }
    }
    match first_failure {
        Some(damaged) if leased.is_empty() => Err(damaged.into()),
        _ => Ok(leased),
    }
}

/// Makes leases run out later.
pub(crate) async fn extend(link: &Link, keys: &Keys, leases: &[Lease], until: Timestamp) -> Result<(), Failure> {
    let mut call = EXTEND.call(&keys.head());
    call.arg(keys.tag()).arg(until.micros());
    for lease in leases {
        call.arg(&lease.delivery.0[..]).arg(lease.token);
    }
    match link.run(Way::Read, &EXTEND, &call).await? {
        Value::Int(1) => Ok(()),
        _ => Err(Conflict::Stale.into()),
    }
}

/// Takes a duty, or keeps it; tells whether the node has it.
pub(crate) async fn duty(link: &Link, keys: &Keys, node: &str, name: &str, span: Duration) -> Result<bool, Failure> {
    let mut call = DUTY.call(&keys.one(&format!("duty:{name}")));
    call.arg(node).arg(u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1));
    Ok(link.run(Way::Read, &DUTY, &call).await? == Value::Int(1))
}

/// Lanes that have work due, the longest due first.
pub(crate) async fn due_lanes(
    link: &Link,
    keys: &Keys,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<LaneHead>, Failure> {
    let mut question = redis::cmd("ZRANGEBYSCORE");
    question.arg(&keys.one("lanes")[..]).arg("-inf").arg(now.micros()).arg("WITHSCORES");
    question.arg("LIMIT").arg(0).arg(i64::try_from(limit).unwrap_or(i64::MAX));
    heads(link.ask(Way::Read, &question).await?)
}

/// The earliest wake-up.
pub(crate) async fn next_due(link: &Link, keys: &Keys) -> Result<Option<Timestamp>, Failure> {
    let mut question = redis::cmd("ZRANGE");
    question.arg(&keys.one("lanes")[..]).arg(0).arg(0).arg("WITHSCORES");
    Ok(heads(link.ask(Way::Read, &question).await?)?.first().map(|head| head.due))
}

/// How much waits in each lane.
pub(crate) async fn lane_loads(link: &Link, keys: &Keys) -> Result<Vec<LaneLoad>, Failure> {
    let mut question = redis::cmd("ZRANGE");
    question.arg(&keys.one("lanes")[..]).arg(0).arg(-1);
    let lanes = list(link.ask(Way::Read, &question).await?)?.into_iter().map(|lane| text(lane).map(Lane::new));
    let lanes: Vec<Lane> = lanes.collect::<Result<_, _>>()?;
    let mut loads = Vec::with_capacity(lanes.len());
    for lanes in lanes.chunks(LANES_IN_A_QUESTION) {
        let mut questions = Pipeline::new();
        for lane in lanes {
            questions.cmd("ZCARD").arg(&keys.lane(lane)[..]);
        }
        for (lane, rows) in lanes.iter().zip(link.ask_all(Way::Read, &questions).await?) {
            let rows = number(rows)?;
            if rows > 0 {
                loads.push(LaneLoad { lane: lane.clone(), rows });
            }
        }
    }
    Ok(loads)
}

/// Places of the deliveries that wait in a lane, the earliest wake-up first.
pub(crate) async fn places_in(link: &Link, keys: &Keys, lane: &Lane, limit: usize) -> Result<Vec<Place>, Failure> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut question = redis::cmd("ZRANGE");
    question.arg(&keys.lane(lane)[..]).arg(0).arg(i64::try_from(limit).unwrap_or(i64::MAX) - 1);
    let mut places = Vec::new();
    for item in list(link.ask(Way::Read, &question).await?)? {
        // A lane has deliveries or receipts on their way back, by whoever names lanes.
        if let Some(place) = bytes(item)?.strip_prefix(b"d") {
            places.push(Place::read(place)?);
        }
    }
    Ok(places)
}

fn heads(answer: Value) -> Result<Vec<LaneHead>, Failure> {
    let mut pairs = list(answer)?.into_iter();
    let mut heads = Vec::new();
    while let (Some(lane), Some(due)) = (pairs.next(), pairs.next()) {
        heads.push(LaneHead { lane: Lane::new(text(lane)?), due: Timestamp::from_micros(score(due)?) });
    }
    Ok(heads)
}

async fn with_bodies(link: &Link, keys: &Keys, answers: Vec<Value>) -> Result<Envelopes, Failure> {
    let mut rows = Vec::with_capacity(answers.len());
    for answer in answers {
        let [seq, state, row] = fixed(answer)?;
        let seq = read_seq(&bytes(seq)?)?;
        match read_envelope(seq, state, row) {
            Ok((state, row)) => rows.push((seq, state, Arc::new(row))),
            Err(damaged) => {
                tracing::error!(envelope = seq, error = %damaged, "the envelope of due work cannot be read")
            }
        }
    }
    let states: Vec<&EnvelopeState> = rows.iter().map(|(_, state, _)| state).collect();
    let bodies = read::bodies(link, keys, &states).await?;
    let mut envelopes = Envelopes::with_capacity(rows.len());
    for ((seq, _, row), body) in rows.iter().zip(bodies) {
        match body {
            Ok(Some(body)) => {
                envelopes.insert(*seq, (row.clone(), body));
            }
            Ok(None) => tracing::error!(envelope = seq, "the body of due work has been forgotten"),
            Err(damaged) => tracing::error!(envelope = seq, error = %damaged, "the body of due work cannot be read"),
        }
    }
    Ok(envelopes)
}

fn read_envelope(seq: u64, state: Value, row: Value) -> Result<(EnvelopeState, EnvelopeRow), Damaged> {
    Ok((EnvelopeState::decode(seq, &bytes(state)?)?, decode_envelope(&bytes(row)?)?))
}

fn read_item(claim: &Claim, envelopes: &Envelopes, answer: Value) -> Result<Leased, Damaged> {
    let [lane, item, token, row] = fixed(answer)?;
    let odd = || Damaged::at("an answer of Redis");
    let lane = usize::try_from(number(lane)?).ok().and_then(|at| claim.lanes.get(at)).ok_or_else(odd)?.0.clone();
    let (item, token, row) = (bytes(item)?, number(token)?, bytes(row)?);
    let work = match item.split_first() {
        Some((b'd', place)) => {
            let place = Place::read(place)?;
            let delivery = decode_delivery(place, &row)?;
            let missing = || Damaged::at(format!("envelope {}", place.envelope));
            let (envelope, signed) = envelopes.get(&place.envelope).ok_or_else(missing)?.clone();
            Work::Deliver { delivery, envelope, signed }
        }
        Some((b'r', id)) => {
            let row = WayBack::decode(read_return(id)?, &row)?;
            let WayBack { id, to, receipt, attempts, .. } = row;
            Work::Return(ReturnRow { id: ReturnId(id), to, receipt, attempts })
        }
        Some(_) | None => return Err(odd()),
    };
    Ok(Leased { lane, token, lease_until: claim.lease_until, work })
}
