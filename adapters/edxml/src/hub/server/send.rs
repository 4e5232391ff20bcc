//! `sendEdoc`: a package of the system is brought in, and what will not do is answered and kept for the operator.

use std::sync::Arc;

use adapters_sdk::{AdapterError, Door, disk};
use axum::body::Body;
use bytes::Bytes;
use gateway_model::language::Language;
use gateway_model::{Digest, Refusal};
use http::{Request, StatusCode, header};

use super::super::{Answer, SentItem};
use super::guard::Call;
use super::operations::{Answered, no};
use super::{HubServer, multipart};
use crate::format::local_time_text;
use crate::intake::{In, NotIn};
use crate::quarantine;

/// What the framing of a multipart adds at most.
const FRAME_BYTES_MAX: u64 = 64 * 1024;
/// Recipients of one package that the list of what was sent names.
const LISTED_MAX: usize = 64;

pub(super) async fn send(
    hub: &Arc<HubServer>,
    call: &Call,
    request: Request<Body>,
    door: &dyn Door,
) -> Result<Answered, AdapterError> {
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
    let _room = hub.room.take(said.unwrap_or(hub.intake.limits.package_bytes_max)).await?;
    let package = match read_package(hub, request).await {
        Ok(package) => package,
        Err(refused) => return Ok(refused),
    };
    let digest = Digest::of(&package).to_string();
    if !call.parameters.text("hash-file").eq_ignore_ascii_case(&digest) {
        let words = "hash-file không phải SHA-256 của gói tin / hash-file is not the SHA-256 of the package";
        return Ok(no("HASH_FILE", words));
    }
    let from = call.parameters.text("from").to_owned();
    // The same package again gets the same answer: nothing here needs to be kept from being repeated.
    let brought = hub.intake.bring(package.clone(), Some(from.clone()), door).await?;
    let done = match brought {
        Ok(done) => done,
        Err(NotIn::Defect(fault)) => {
            put_away(hub, from, package, quarantine::of_fault(&fault)).await;
            let (vi, en) = (fault.defect.message(Language::Vi), fault.defect.message(Language::En));
            return Ok(no(fault.defect.code(), &format!("{vi} / {en} ({})", fault.place)));
        }
        Err(NotIn::Refused(refusal)) => {
            put_away(hub, from, package, quarantine::of_refusal(&refusal)).await;
            return Ok(no(refusal.reason.code(), &both(&refusal)));
        }
        Err(NotIn::Busy(refusal)) => {
            let answer = Answer::fail(refusal.reason.code(), both(&refusal));
            return Ok((StatusCode::SERVICE_UNAVAILABLE, answer).into());
        }
    };
    if !done.is_repeat {
        let (hub, items) = (hub.clone(), sent_items(&done, &local_time_text(door.now())));
        disk::run(move || items.into_iter().try_for_each(|item| hub.sent.push(item))).await??;
    }
    Ok((StatusCode::OK, Answer { doc_id: Some(done.envelope_id), ..Answer::ok() }).into())
}

fn sent_items(done: &In, sent_time: &str) -> Vec<SentItem> {
    let item = |to: &String| SentItem {
        sender_doc_id: done.told.document_id.clone(),
        receiver_doc_id: done.envelope_id.clone(),
        from_code: done.told.from.clone(),
        to_code: to.clone(),
        notation: done.told.code.clone(),
        sent_time: sent_time.to_owned(),
        send_status: "done".to_owned(),
        ..SentItem::default()
    };
    done.told.to.iter().take(LISTED_MAX).map(item).collect()
}

/// Keeps a package that was refused for good where the operator finds it, under the code of the agency that sent it. The system hears of it
/// by the answer and still has it: when it cannot be kept, that has to do.
async fn put_away(hub: &HubServer, from: String, package: Bytes, reason: String) {
    let quarantine = hub.quarantine.clone();
    let kept = disk::run(move || quarantine.keep_if_room(&from, &package, &reason)).await;
    if let Err(fault) | Ok(Err(fault)) = kept {
        tracing::error!(%fault, "a refused package cannot be put into quarantine");
    }
}

/// Both languages: whether a clerk or a technician reads it, nobody knows.
fn both(refusal: &Refusal) -> String {
    format!("{} / {}", refusal.in_words(Language::Vi), refusal.in_words(Language::En))
}

async fn read_package(hub: &HubServer, request: Request<Body>) -> Result<Bytes, Answered> {
    let bytes_max = hub.intake.limits.package_bytes_max;
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let is_form = content_type.to_ascii_lowercase().starts_with("multipart/");
    let room = usize::try_from(bytes_max + if is_form { FRAME_BYTES_MAX } else { 0 }).unwrap_or(usize::MAX);
    let too_large = |_| {
        let words = format!("gói tin lớn hơn {bytes_max} byte hoặc bị ngắt / the package has more bytes, or broke off");
        Answered::from((StatusCode::PAYLOAD_TOO_LARGE, Answer::fail("EDXML_TOO_LARGE", words)))
    };
    let body = axum::body::to_bytes(request.into_body(), room).await.map_err(too_large)?;
    if !is_form {
        return Ok(body);
    }
    match multipart::file(&content_type, &body) {
        Some(file) => Ok(body.slice_ref(file)),
        None => Err(no("MULTIPART", "biểu mẫu không có tệp / the form has no file")),
    }
}
