//! Reads what the steps of a batch need to know: mostly in one question, in a second one where the first answer names more rows.

use std::collections::HashSet;

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::id::DeliveryId;
use redis::{Cmd, Value};

use crate::answer::{bytes, fixed, list, optional};
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::head::Head;
use crate::keys::{Keys, Place, read_seq, return_field, seq_text};
use crate::link::{Link, Way};
use crate::queue::{FarItem, Step};
use crate::rows::{EnvelopeState, Known, WayBack, decode_delivery, decode_envelope};
use crate::script::LOAD;
use crate::view::{View, Viewed, ViewedDelivery, ViewedReturn};

/// Asked when no foreign receipt is.
const NO_RECEIPT: Digest = Digest([0; 32]);

/// One thing to be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Question {
    Id(gateway_model::id::EnvelopeId),
    Delivery(DeliveryId, Option<Digest>),
    Envelope(u64, Option<Digest>),
    Return(u64),
    Finished { before: i64, limit: usize },
}

/// Reads for a batch. `known` is the newest head that the writer has seen.
pub(crate) async fn load(link: &Link, keys: &Keys, known: &Head, steps: &[&Step]) -> Result<View, Failure> {
    let mut view = View::new(known.clone());
    let first = distinct(steps.iter().flat_map(|step| questions(step)));
    // Even when nothing is asked: a batch of marks rests on the newest head, too.
    ask(link, keys, &mut view, &first).await?;
    let version = view.head.version;
    let second = distinct(steps.iter().flat_map(|step| more_questions(step, &view)));
    if !second.is_empty() {
        ask(link, keys, &mut view, &second).await?;
    }
    // Another commit between the two: what the first answer said may be over. The commit script would find out as well.
    if view.head.version == version { Ok(view) } else { Err(Failure::Moved) }
}

fn questions(step: &Step) -> Vec<Question> {
    match step {
        Step::Accept(accept) => vec![Question::Id(accept.envelope.key().id)],
        Step::Settle(settle) => {
            let foreign = settle.foreign.as_ref().map(|foreign| foreign.leaf_hash);
            settle.leases.iter().map(|lease| Question::Delivery(lease.delivery, foreign)).collect()
        }
        Step::Change(change) => vec![Question::Delivery(change.delivery, None)],
        Step::Record(record) => {
            let states = record.states.iter().map(|(id, _)| Question::Delivery(*id, None));
            states.chain([Question::Id(record.envelope.id)]).collect()
        }
        Step::Mark(_) => Vec::new(),
        Step::SettleReturns(settles) => settles.iter().map(|settle| Question::Return(settle.lease.id.0)).collect(),
        Step::Purge { before, limit } => vec![Question::Finished { before: before.micros(), limit: *limit }],
        Step::BringBack { items, .. } => {
            let question = |item: &FarItem| match item {
                FarItem::Delivery(id) => Question::Delivery(*id, None),
                FarItem::Return(id) => Question::Return(*id),
            };
            items.iter().map(question).collect()
        }
    }
}

/// What the first answer leads to: the rest of envelopes that are known already, and the rows of a purge.
fn more_questions(step: &Step, view: &View) -> Vec<Question> {
    let known = |key: &gateway_model::id::EnvelopeKey| {
        view.ids.get(&key.id).and_then(|all| all.iter().find(|known| known.sender == key.sender)).map(|known| known.seq)
    };
    match step {
        Step::Accept(accept) => match known(accept.envelope.key()) {
            Some(seq) => {
                let deliveries = accept.deliveries.iter().map(|new| Question::Delivery(new.id, None));
                deliveries.chain([Question::Envelope(seq, None)]).collect()
            }
            None => Vec::new(),
        },
        Step::Record(record) => {
            let foreign = Some(record.foreign.leaf_hash);
            known(&record.envelope).map(|seq| Question::Envelope(seq, foreign)).into_iter().collect()
        }
        Step::Purge { .. } => view.finished.iter().map(|seq| Question::Envelope(*seq, None)).collect(),
        Step::Settle(_) | Step::Change(_) | Step::Mark(_) | Step::SettleReturns(_) | Step::BringBack { .. } => {
            Vec::new()
        }
    }
}

fn distinct(questions: impl Iterator<Item = Question>) -> Vec<Question> {
    let mut seen = HashSet::new();
    questions.filter(|question| seen.insert(*question)).collect()
}

async fn ask(link: &Link, keys: &Keys, view: &mut View, questions: &[Question]) -> Result<(), Failure> {
    let mut call = LOAD.call(&keys.head());
    call.arg(keys.tag()).arg(&view.head.version_bytes()[..]);
    for question in questions {
        add(&mut call, question);
    }
    let answers = list(link.run(Way::Write, &LOAD, &call).await?)?;
    let mut answers = answers.into_iter();
    match answers.next().map(optional).transpose()?.flatten() {
        Some(head) if head.is_empty() => {}
        Some(head) => view.head = Head::decode(&head)?,
        None => return Err(Damaged::at("head").into()),
    }
    for question in questions {
        let answer = answers.next().ok_or_else(|| Damaged::at("an answer of Redis"))?;
        take(view, question, answer)?;
    }
    Ok(())
}

fn add(call: &mut Cmd, question: &Question) {
    match question {
        Question::Id(id) => call.arg("I").arg(&id.0[..]),
        Question::Delivery(id, foreign) => call.arg("D").arg(&id.0[..]).arg(&foreign.unwrap_or(NO_RECEIPT).0[..]),
        Question::Envelope(seq, foreign) => {
            call.arg("E").arg(&seq_text(*seq)[..]).arg(&foreign.unwrap_or(NO_RECEIPT).0[..])
        }
        Question::Return(id) => call.arg("B").arg(return_field(*id)),
        Question::Finished { before, limit } => call.arg("P").arg(*before).arg(*limit),
    };
}

fn take(view: &mut View, question: &Question, answer: Value) -> Result<(), Damaged> {
    match question {
        Question::Id(id) => {
            let known = optional(answer)?.map(|row| Known::decode_all(&row)).transpose()?;
            view.ids.insert(*id, known.unwrap_or_default());
        }
        Question::Delivery(id, foreign) => {
            let delivery = match answer {
                Value::Nil => None,
                found => Some(take_delivery(view, *foreign, found)?),
            };
            view.deliveries.insert(*id, delivery);
        }
        Question::Envelope(seq, foreign) => {
            let [state, row, known] = fixed(answer)?;
            keep_state(view, *seq, &bytes(state)?)?;
            view.headers.insert(*seq, decode_envelope(&bytes(row)?)?);
            keep_foreign(view, *seq, *foreign, known)?;
        }
        Question::Return(id) => {
            let [row, lease] = fixed(answer)?;
            let read = |row: Bytes| WayBack::decode(*id, &row);
            let kept = match optional(row)?.map(read).transpose()? {
                Some(row) => Some(ViewedReturn { row, lease: token(lease)? }),
                None => None,
            };
            view.returns.insert(*id, kept);
        }
        Question::Finished { .. } => {
            for seq in list(answer)? {
                view.finished.push(read_seq(&bytes(seq)?)?);
            }
        }
    }
    Ok(())
}

fn take_delivery(view: &mut View, foreign: Option<Digest>, answer: Value) -> Result<ViewedDelivery, Damaged> {
    let [place, state, row, known, lease] = fixed(answer)?;
    let place = Place::read(&bytes(place)?)?;
    keep_state(view, place.envelope, &bytes(state)?)?;
    keep_foreign(view, place.envelope, foreign, known)?;
    let row = decode_delivery(place, &bytes(row)?)?;
    Ok(ViewedDelivery { place, row, lease: token(lease)?, is_changed: false })
}

fn keep_state(view: &mut View, seq: u64, row: &[u8]) -> Result<(), Damaged> {
    let row = EnvelopeState::decode(seq, row)?;
    view.envelopes.insert(seq, Viewed { row, is_changed: false });
    Ok(())
}

fn keep_foreign(view: &mut View, seq: u64, asked: Option<Digest>, answer: Value) -> Result<(), Damaged> {
    let is_known = optional(answer)?.is_some();
    if let Some(leaf_hash) = asked {
        view.foreign.insert((seq, leaf_hash), is_known);
    }
    Ok(())
}

/// The token of a lease: what stands before its first colon.
fn token(lease: Value) -> Result<Option<u64>, Damaged> {
    let Some(lease) = optional(lease)? else { return Ok(None) };
    let damaged = || Damaged::at("a lease");
    let text = std::str::from_utf8(&lease).map_err(|_| damaged())?;
    let token = text.split(':').next().and_then(|token| token.parse().ok());
    token.map(Some).ok_or_else(damaged)
}
