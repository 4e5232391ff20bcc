//! Hands what the land office says to a one-stop desk, as the callback that a land system would make.
//!
//! Only the configured land office is believed. Result files go by link or by value. `{"Result": 1}` is success; a desk that says 0 says
//! no more than that, so it is asked a few times more before the land office gets its refusal. One that was asked before and says that it has
//! the callback already took it then. When the news is that the land office did not take a file, its code is free again: the desk may hand the
//! file in once more, as it is or mended.

use adapters_sdk::outbound::{OutboundError, Request, Response};
use adapters_sdk::{AdapterError, Delivery, Outcome, Scope};
use gateway_model::envelope::Part;
use gateway_model::{Digest, Reason, Refusal, limits};
use http::{HeaderValue, Method, Uri, header};

use super::ToDesk;
use crate::event::{self, EventFile, LandEvent};
use crate::journal::{Asked, Case, Stage};
use crate::outgoing::Files;
use crate::to_land::{content, is_about_the_call, later, part_bytes};
use crate::vocabulary::{self, Callback, CallbackAnswer, CallbackName, TapTin, malformed};

/// How often a desk that answers 0 is asked.
const NOES_MAX: u32 = 5;
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

pub(super) async fn deliver(side: &ToDesk, delivery: &Delivery) -> Outcome {
    let Some(id) = delivery.ids.first().map(ToString::to_string) else {
        return later(Reason::AdapterFailed, "the delivery names no recipient");
    };
    if delivery.key.sender != side.role.land_office {
        let detail = format!("the desk takes callbacks from {} alone", side.role.land_office);
        return Outcome::Refused { reason: Reason::AdapterRefused, detail };
    }
    let (mut callback, files) = match read(delivery).await {
        Ok(read) => read,
        Err(outcome) => return outcome,
    };
    let _turn = side.state.turns.take(callback.file_code()).await;
    if side.state.journal.is_settled(&id) {
        return Outcome::Taken { receipt: None };
    }
    let mut values = Files::new();
    if let Err(fault) = put_files(side, delivery, &mut callback, &files, &mut values).await {
        return fault;
    }
    // Before the desk is asked: should its answer be lost, the next one is read in that light.
    let asked = match side.state.journal.ask(&id, delivery.envelope.created_at).await {
        Ok(asked) => asked,
        Err(fault) => return later(Reason::AdapterFailed, &fault.to_string()),
    };
    let answered = ask(side, delivery, &callback, values).await;
    let outcome = judge(side, &id, asked, answered).await;
    match outcome {
        Outcome::Taken { .. } => match settle(side, delivery, &callback, id).await {
            Ok(()) => outcome,
            Err(fault) => later(Reason::AdapterFailed, &fault.to_string()),
        },
        outcome => outcome,
    }
}

async fn settle(side: &ToDesk, delivery: &Delivery, callback: &Callback, id: String) -> Result<(), AdapterError> {
    let (journal, at) = (&side.state.journal, delivery.envelope.created_at);
    if let Some(file) = refused_file(side, delivery, callback) {
        journal.keep(Case { stage: Stage::Refused, at: at.seconds(), ..file }).await?;
    }
    side.state.noes.forget(&id);
    journal.settle(id, at).await
}

/// The file that the land office did not take, when that is the news.
fn refused_file(side: &ToDesk, delivery: &Delivery, callback: &Callback) -> Option<Case> {
    let envelope = &delivery.envelope;
    let is_refusal = envelope.case.as_ref().is_some_and(|case| case.step == event::REFUSED_STEP);
    let file = side.state.journal.case(callback.file_code())?;
    let is_about_it = envelope.in_reply_to.as_ref().is_none_or(|answered| answered.id.to_string() == file.envelope);
    (is_refusal && is_about_it && callback.name() == CallbackName::KetThucHoSo).then_some(file)
}

/// The callback that an envelope stands for, and which of its files are which parts.
async fn read(delivery: &Delivery) -> Result<(Callback, Vec<EventFile>), Outcome> {
    let refused = |refusal: Refusal| Outcome::Refused { reason: Reason::AdapterRefused, detail: refusal.to_string() };
    let envelope = &delivery.envelope;
    let (callback, files) = match envelope.parts.iter().find(|part| part.role == event::PART_ROLE) {
        Some(part) if part.size > event::PART_BYTES_MAX => {
            return Err(refused(malformed(event::PART_NAME, "is larger than 4 MiB")));
        }
        Some(part) => {
            let bytes = part_bytes(delivery, &part.digest, event::PART_BYTES_MAX).await;
            let bytes = bytes.map_err(|fault| later(Reason::StoreUnavailable, &fault.kind().to_string()))?;
            LandEvent::read(&bytes).map_err(refused)?
        }
        None => {
            let content = content(delivery);
            let content = content.ok_or_else(|| later(Reason::AdapterFailed, "the kept envelope cannot be read"))?;
            let callback = event::callback_of(envelope, &content).map_err(refused)?;
            let file = |(index, part): (usize, &Part)| EventFile {
                index,
                name: part.name.clone(),
                sha256: part.digest.to_string(),
            };
            (callback, envelope.parts.iter().enumerate().map(file).collect())
        }
    };
    let written = envelope.case.as_ref().map(|case| case.file_code.as_str());
    if written.is_some_and(|written| written != callback.file_code()) {
        return Err(refused(malformed(event::PART_NAME, "is about another file than the envelope")));
    }
    if files.len() > limits::PARTS_MAX || files.iter().any(|file| find(delivery, file).is_none()) {
        return Err(refused(malformed(event::PART_NAME, "names a file that is no part of the envelope")));
    }
    Ok((callback, files))
}

fn find<'a>(delivery: &'a Delivery, file: &EventFile) -> Option<&'a Part> {
    let digest = Digest::from_hex(&file.sha256)?;
    delivery.envelope.parts.iter().find(|part| part.digest == digest)
}

/// Puts the files into the callback, by link or by value.
async fn put_files(
    side: &ToDesk,
    delivery: &Delivery,
    callback: &mut Callback,
    files: &[EventFile],
    values: &mut Files,
) -> Result<(), Outcome> {
    let mut places = Vec::with_capacity(files.len());
    for file in files {
        let Some(part) = find(delivery, file) else { continue };
        let link = match &side.links {
            None => None,
            Some(links) => Some(links.put(delivery, &file.name, part).await?),
        };
        places.push((file, part, link));
    }
    let mut slots = callback.files();
    for (file, part, link) in places {
        let Some(slot) = slots.get_mut(file.index) else { continue };
        match link {
            Some(link) => *slot.link = link,
            None => {
                let data = values.put(part.digest, part.size);
                *slot.value = Some(TapTin { name: file.name.clone(), data });
            }
        }
    }
    Ok(())
}

async fn ask(
    side: &ToDesk,
    delivery: &Delivery,
    callback: &Callback,
    values: Files,
) -> Result<Response, OutboundError> {
    let url = format!("{}/{}/{}", side.state.url, side.url_code, callback.name().as_str());
    // What was configured is a URL, and the code has no character that is none in one.
    let url: Uri = url.parse().unwrap_or_default();
    let mut request = Request::new(Method::POST, url);
    request.body = values.into_body(&callback.to_json().to_string(), delivery.parts.clone());
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if delivery.lease.extend(side.state.call_time_max).await.is_err() {
        return Err(OutboundError::Local(std::io::ErrorKind::TimedOut.into()));
    }
    side.state.outbound.send(request).await
}

async fn judge(side: &ToDesk, id: &str, asked: Asked, answered: Result<Response, OutboundError>) -> Outcome {
    let down = |detail: String, retry_after| Outcome::Deferred {
        reason: Reason::AdapterUnavailable,
        detail,
        retry_after,
        scope: Scope::Destination,
    };
    let response = match answered {
        Ok(response) => response,
        Err(OutboundError::Local(fault)) => {
            return later(Reason::AdapterFailed, &format!("a part cannot be read: {}", fault.kind()));
        }
        Err(fault) => return down(fault.to_string(), None),
    };
    let (status, retry_after) = (response.status, response.retry_after());
    let body = match response.collect(ANSWER_BYTES_MAX).await {
        Ok(body) => body,
        Err(fault) => return down(fault.to_string(), None),
    };
    match vocabulary::read::<CallbackAnswer>(&body) {
        Ok(answer) if answer.result == 1 && status.is_success() => Outcome::Taken { receipt: None },
        Ok(answer) if asked == Asked::Again && is_about_the_call(status) && side.has_it(&answer.message) => {
            Outcome::Taken { receipt: None }
        }
        Ok(_) if !is_about_the_call(status) => down(format!("the desk answers {}", status.as_u16()), retry_after),
        Ok(_) if side.state.noes.count(id) < NOES_MAX => later(Reason::AdapterFailed, "the desk answers with Result 0"),
        Ok(_) => {
            let detail = format!("the desk answered {NOES_MAX} times with Result 0");
            Outcome::Refused { reason: Reason::AdapterRefused, detail }
        }
        Err(_) => down(format!("the answer with status {} is not the desk's", status.as_u16()), retry_after),
    }
}
