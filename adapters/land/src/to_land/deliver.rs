//! Hands a delivery to the land system: a new file, its supplement, or the news that the result reached the citizen.
//!
//! Which call it is, the envelope says: step `bo-sung` or state `DA_BO_SUNG` is a supplement, step `tra-ket-qua` or state `DA_TRA_KET_QUA`
//! a result handed out, any other dossier a new file. The journal names the file before the land system is asked, so that a callback that
//! overtakes the answer finds whom to answer; and "already exists" is success only for the envelope that brought the file.

use adapters_sdk::outbound::{Request, RequestBody};
use adapters_sdk::{AdapterError, Delivery, Outcome, Scope};
use gateway_model::{Digest, Reason, Refusal};
use http::{HeaderValue, Method, Uri, header};
use prost::Message as _;
use proto::v1;
use tokio::io::AsyncReadExt as _;

use super::answer::{self, Verdict};
use super::{ToLand, refused};
use crate::journal::{Asked, Case, Stage};
use crate::land_case::{self, LandCase, Paper, PaperFile, Procedure};
use crate::outgoing::Files;
use crate::vocabulary::{CallName, CapNhatBoSung, CapNhatTraKetQua, GiayTo, Moment, check_file_code, malformed};

/// Step and state of a supplement.
pub(crate) const SUPPLEMENT: (&str, &str) = ("bo-sung", "DA_BO_SUNG");
/// Step and state of a result handed to the citizen.
pub(crate) const HANDED_OUT: (&str, &str) = ("tra-ket-qua", "DA_TRA_KET_QUA");
/// A later call is refused for good when the land system has said no so often: it may have overtaken its file.
const OVERTAKING_NOES: u32 = 6;
/// What a clerk at the land office reads beside a supplement that may be there already.
const SENT_AGAIN: &str = "(Gửi lại vì chưa nhận được trả lời lần trước; nếu đã có thì bỏ qua.)";

/// Hands a delivery over. One that is refused is told to whoever sent it before the gateway hears of it: only then is the delivery over.
pub(super) async fn deliver(side: &ToLand, delivery: &Delivery) -> Outcome {
    let Some(id) = delivery.ids.first().map(ToString::to_string) else {
        return later(Reason::AdapterFailed, "the delivery names no recipient");
    };
    let mut words = String::new();
    let outcome = hand_over(side, delivery, &id, &mut words).await;
    match &outcome {
        Outcome::Refused { detail, .. } => {
            if words.is_empty() {
                words = format!("Hệ thống đất đai không nhận / not taken by the land system: {detail}");
            }
            if let Err(fault) = refused::tell(side, delivery, &words).await {
                return later(Reason::AdapterUnavailable, &fault);
            }
        }
        Outcome::Taken { .. } => {}
        Outcome::Deferred { .. } => return outcome,
    }
    side.state.noes.forget(&id);
    outcome
}

/// `words` are what the land system says about a refusal.
async fn hand_over(side: &ToLand, delivery: &Delivery, id: &str, words: &mut String) -> Outcome {
    let mut read = match read(side, delivery).await {
        Ok(read) => read,
        Err(outcome) => return outcome,
    };
    let journal = &side.state.journal;
    let _turn = side.state.turns.take(&read.file_code).await;
    if journal.is_settled(id) {
        return Outcome::Taken { receipt: None };
    }
    let known = journal.case(&read.file_code);
    if let Err(outcome) = check_owner(&read, known.as_ref(), delivery) {
        return outcome;
    }
    if read.call == CallName::TiepNhan && known.is_none() {
        // Before the land system is asked: its first callback may be faster than its answer.
        if let Err(fault) = journal.keep(case(&read.file_code, delivery, Stage::Asked)).await {
            return later(Reason::AdapterFailed, &fault.to_string());
        }
    }
    if let Err(fault) = note_repeat(side, delivery, id, &mut read).await {
        return later(Reason::AdapterFailed, &fault.to_string());
    }
    let verdict = ask(side, delivery, &read).await;
    if let Verdict::Never { words: said, .. } = &verdict {
        words.clone_from(said);
    }
    let outcome = judge(side, &read, known.as_ref(), delivery, verdict);
    if let Some(kept) = kept(&read, known, delivery, &outcome)
        && let Err(fault) = journal.keep(kept).await
    {
        return later(Reason::AdapterFailed, &fault.to_string());
    }
    if outcome != (Outcome::Taken { receipt: None }) {
        return outcome;
    }
    match journal.settle(id.to_owned(), delivery.envelope.created_at).await {
        Ok(()) => outcome,
        Err(fault) => later(Reason::AdapterFailed, &fault.to_string()),
    }
}

/// A supplement has no id of its own in this vocabulary: one that was sent before, and may have arrived, says so to the clerk who reads it.
async fn note_repeat(side: &ToLand, delivery: &Delivery, id: &str, read: &mut Read) -> Result<(), AdapterError> {
    if read.call != CallName::CapNhatBoSung {
        return Ok(());
    }
    if side.state.journal.ask(id, delivery.envelope.created_at).await? == Asked::Again {
        read.case.note = format!("{} {SENT_AGAIN}", read.case.note).trim().to_owned();
    }
    Ok(())
}

/// What is to be remembered of the file after an attempt.
fn kept(read: &Read, known: Option<Case>, delivery: &Delivery, outcome: &Outcome) -> Option<Case> {
    let is_own = known.as_ref().is_none_or(|known| known.envelope == delivery.key.id.to_string());
    match (outcome, read.call, known) {
        (Outcome::Taken { .. }, CallName::TiepNhan, _) => Some(case(&read.file_code, delivery, Stage::Taken)),
        (Outcome::Taken { .. }, CallName::CapNhatTraKetQua, Some(known)) => {
            Some(Case { stage: Stage::Ended, at: made_at(delivery), ..known })
        }
        (Outcome::Refused { .. }, CallName::TiepNhan, _) if is_own => {
            Some(case(&read.file_code, delivery, Stage::Refused))
        }
        _ => None,
    }
}

/// What an envelope asks of the land system.
struct Read {
    call: CallName,
    file_code: String,
    case: LandCase,
}

async fn read(side: &ToLand, delivery: &Delivery) -> Result<Read, Outcome> {
    let refused = |refusal: Refusal| Outcome::Refused { reason: Reason::AdapterRefused, detail: refusal.to_string() };
    let envelope = &delivery.envelope;
    let content = content(delivery).ok_or_else(|| later(Reason::AdapterFailed, "the kept envelope cannot be read"))?;
    let step = envelope.case.as_ref().map(|case| case.step.as_str()).unwrap_or_default();
    let call = call(step, &content).map_err(refused)?;
    let file_code = envelope.case.as_ref().map(|case| case.file_code.clone()).unwrap_or_default();
    check_file_code(&file_code).map_err(refused)?;
    let mut case = match envelope.parts.iter().find(|part| part.role == land_case::PART_ROLE) {
        Some(part) if part.size > land_case::PART_BYTES_MAX => {
            return Err(refused(malformed(land_case::PART_NAME, "is larger than 1 MiB")));
        }
        Some(part) => {
            let bytes = part_bytes(delivery, &part.digest, land_case::PART_BYTES_MAX).await;
            let bytes = bytes.map_err(|fault| later(Reason::StoreUnavailable, &fault.kind().to_string()))?;
            let case = LandCase::read(&bytes).map_err(refused)?;
            if case.file_code != file_code {
                return Err(refused(malformed(land_case::PART_NAME, "is about another file than the envelope")));
            }
            case
        }
        None => case_of(delivery, &content),
    };
    let named = case.named_files();
    if named.iter().any(|digest| envelope.parts.iter().all(|part| part.digest != *digest)) {
        return Err(refused(malformed(land_case::PART_NAME, "names a file that is no part of the envelope")));
    }
    case.file_code.clone_from(&file_code);
    case.place.get_or_insert_with(|| side.role.place.clone());
    Ok(Read { call, file_code, case })
}

/// Which call an envelope is.
fn call(step: &str, content: &v1::envelope::Content) -> Result<CallName, Refusal> {
    let state = match content {
        v1::envelope::Content::Dossier(dossier) => dossier.state.as_str(),
        v1::envelope::Content::Status(status) => status.code.as_str(),
        _ => return Err(malformed("content", "is neither a dossier nor a status: the land system has no call for it")),
    };
    if step == SUPPLEMENT.0 || state == SUPPLEMENT.1 {
        return Ok(CallName::CapNhatBoSung);
    }
    if step == HANDED_OUT.0 || state == HANDED_OUT.1 {
        return Ok(CallName::CapNhatTraKetQua);
    }
    match content {
        v1::envelope::Content::Dossier(_) => Ok(CallName::TiepNhan),
        _ => Err(malformed("status.code", "is none that the land system has a call for")),
    }
}

/// Whether an envelope brings a file, rather than more about one.
pub(super) fn is_new_file(delivery: &Delivery) -> bool {
    let step = delivery.envelope.case.as_ref().map(|case| case.step.as_str()).unwrap_or_default();
    content(delivery).is_some_and(|content| matches!(call(step, &content), Ok(CallName::TiepNhan)))
}

/// What the envelope itself says, when it brings no `ho-so.json`.
fn case_of(delivery: &Delivery, content: &v1::envelope::Content) -> LandCase {
    let envelope = &delivery.envelope;
    let (due_on, note) = match content {
        v1::envelope::Content::Dossier(dossier) => (Moment::from_day(&dossier.due_on), dossier.subject.clone()),
        v1::envelope::Content::Status(status) => (None, status.description.clone()),
        _ => (None, String::new()),
    };
    let paper = |part: &gateway_model::envelope::Part| Paper {
        name: if part.role.is_empty() { part.name.clone() } else { part.role.clone() },
        originals: 0,
        copies: 1,
        file: Some(PaperFile { name: part.name.clone(), sha256: part.digest.to_string() }),
    };
    let made = Moment::of(envelope.created_at);
    LandCase {
        schema: land_case::SCHEMA.to_owned(),
        received_at: made,
        due_on,
        procedure: envelope
            .case
            .as_ref()
            .map(|case| Procedure { code: case.procedure_code.clone(), name: String::new() }),
        papers: envelope.parts.iter().map(paper).collect(),
        note,
        returned_at: made,
        ..LandCase::default()
    }
}

/// A file belongs to who brought it, and to the envelope that brought it.
fn check_owner(read: &Read, known: Option<&Case>, delivery: &Delivery) -> Result<(), Outcome> {
    let Some(known) = known else { return Ok(()) };
    let refused = |detail: &str| {
        Err(Outcome::Refused { reason: Reason::AdapterRefused, detail: format!("{}: {detail}", read.file_code) })
    };
    if known.partner != delivery.key.sender.as_str() {
        return refused("the file code is in use by a file of another agency");
    }
    let is_same = known.envelope == delivery.key.id.to_string();
    match (read.call, known.stage) {
        (CallName::TiepNhan, Stage::Taken | Stage::Ended | Stage::Refused) if !is_same => {
            refused("the file was taken before with another envelope; send a supplement, or take another file code")
        }
        (CallName::CapNhatBoSung | CallName::CapNhatTraKetQua, Stage::Asked) => {
            Err(later(Reason::AdapterUnavailable, "the file itself has not been taken yet"))
        }
        _ => Ok(()),
    }
}

async fn ask(side: &ToLand, delivery: &Delivery, read: &Read) -> Verdict {
    let url = format!("{}/{}", side.state.url, read.call.as_str());
    let Ok(url) = url.parse::<Uri>() else {
        return Verdict::Later("the configured URL cannot be called".to_owned());
    };
    let mut request = Request::new(Method::POST, url);
    request.body = body(delivery, read);
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(authorization) = &side.authorization {
        request.headers.insert(header::AUTHORIZATION, authorization.clone());
    }
    if delivery.lease.extend(side.state.call_time_max).await.is_err() {
        return Verdict::Later("the lease is lost".to_owned());
    }
    answer::read(&side.role, side.state.outbound.send(request).await).await
}

/// The JSON of the call, with the papers' files in base64, streamed.
fn body(delivery: &Delivery, read: &Read) -> RequestBody {
    let mut files = Files::new();
    let mut paper = |paper: &Paper| -> GiayTo {
        let mut told = paper.to_land();
        let part = paper.digest().and_then(|digest| delivery.envelope.parts.iter().find(|part| part.digest == digest));
        if let (Some(file), Some(part)) = (&mut told.tap_tin, part) {
            file.data = files.put(part.digest, part.size);
        }
        told
    };
    let papers: Vec<GiayTo> = read.case.papers.iter().map(&mut paper).collect();
    let written = match read.call {
        CallName::TiepNhan => {
            let mut file = read.case.to_file();
            file.danh_sach_giay_to_dinh_kem = papers;
            serde_json::to_string(&file)
        }
        CallName::CapNhatBoSung => serde_json::to_string(&CapNhatBoSung {
            so_bien_nhan: read.file_code.clone(),
            ngay_hen_tra_moi: read.case.due_on,
            ghi_chu: read.case.note.clone(),
            danh_sach_giay_to_bo_sung: papers,
        }),
        CallName::CapNhatTraKetQua => serde_json::to_string(&CapNhatTraKetQua {
            so_bien_nhan: read.file_code.clone(),
            ngay_tra: read.case.returned_at.or_else(|| Moment::of(delivery.envelope.created_at)),
        }),
    };
    // Plain structures of texts and numbers are always written.
    files.into_body(&written.unwrap_or_default(), delivery.parts.clone())
}

fn judge(side: &ToLand, read: &Read, known: Option<&Case>, delivery: &Delivery, verdict: Verdict) -> Outcome {
    let taken = Outcome::Taken { receipt: None };
    match verdict {
        Verdict::Done => taken,
        Verdict::AlreadyThere => match known {
            // Who else asked for this code before may be the one whose file is there.
            Some(known) if read.call == CallName::TiepNhan && known.envelope != delivery.key.id.to_string() => {
                let detail = format!("{}: the land system has the file from another envelope", read.file_code);
                Outcome::Refused { reason: Reason::AdapterRefused, detail }
            }
            _ => taken,
        },
        Verdict::Never { detail, .. } if read.call != CallName::TiepNhan && may_have_overtaken(side, delivery) => {
            later(Reason::AdapterFailed, &detail)
        }
        Verdict::Never { detail, .. } => Outcome::Refused { reason: Reason::AdapterRefused, detail },
        Verdict::Later(detail) => later(Reason::AdapterFailed, &detail),
        Verdict::Down { reason, detail, retry_after } => {
            Outcome::Deferred { reason, detail, retry_after, scope: Scope::Destination }
        }
    }
}

fn may_have_overtaken(side: &ToLand, delivery: &Delivery) -> bool {
    delivery.ids.first().is_some_and(|id| side.state.noes.count(&id.to_string()) < OVERTAKING_NOES)
}

/// The file of an envelope, as the journal has it.
pub(super) fn case(file_code: &str, delivery: &Delivery, stage: Stage) -> Case {
    let written = delivery.envelope.case.as_ref();
    Case {
        file_code: file_code.to_owned(),
        partner: delivery.key.sender.to_string(),
        envelope: delivery.key.id.to_string(),
        digest: delivery.digest.to_string(),
        issuer: written.map(|case| case.issuer.clone()).unwrap_or_default(),
        procedure: written.map(|case| case.procedure_code.clone()).unwrap_or_default(),
        stage,
        at: made_at(delivery),
    }
}

fn made_at(delivery: &Delivery) -> i64 {
    delivery.envelope.created_at.seconds()
}

/// The content as signed.
pub(crate) fn content(delivery: &Delivery) -> Option<v1::envelope::Content> {
    let signed = v1::SignedEnvelope::decode(delivery.signed.clone()).ok()?;
    v1::Envelope::decode(signed.envelope).ok()?.content
}

/// The bytes of a small part.
pub(crate) async fn part_bytes(delivery: &Delivery, digest: &Digest, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    delivery.parts.open(digest, 0).await?.take(max).read_to_end(&mut bytes).await?;
    match Digest::of(&bytes) == *digest {
        true => Ok(bytes),
        false => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

pub(crate) fn later(reason: Reason, detail: &str) -> Outcome {
    Outcome::Deferred { reason, detail: detail.to_owned(), retry_after: None, scope: Scope::Delivery }
}
