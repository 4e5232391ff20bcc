//! Takes a one-stop desk's calls in, as if this were the land system: each becomes a sealed envelope to the land office.
//!
//! Success is answered only when the gateway has the envelope durably. The same file again is answered as the products do: "already exists",
//! and success; another file under the same code is told apart from it and refused.

use std::path::Path;
use std::sync::Arc;

use adapters_sdk::Door;
use adapters_sdk::seal::describe::{Content, Description, display_name};
use async_trait::async_trait;
use axum::Router;
use axum::body::Body as HttpBody;
use axum::response::Response;
use gateway_model::envelope::{Case as EnvelopeCase, Part, Priority, Reference};
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Reason, Refusal, limits};
use http::StatusCode;
use serde::Serialize;

use super::ToDesk;
use crate::body::{Aside, Body, BodyError};
use crate::config::BODY_BOUNDS;
use crate::event::{self, plain};
use crate::front::{self, Take};
use crate::hand_in::{Handed, Parcel};
use crate::journal::{Case, Stage};
use crate::land_case::{self, LandCase, Paper, PaperFile};
use crate::to_land::{HANDED_OUT, SUPPLEMENT};
use crate::vocabulary::{
    Answer, CallName, CapNhatBoSung, CapNhatTraKetQua, GiayTo, Moment, Status, TiepNhan, check_file_code,
};

/// Papers of one call.
const PAPERS_MAX: usize = limits::PARTS_MAX - 1;

/// Calls while the gateway's door is open.
struct Calls {
    side: Arc<ToDesk>,
    door: Arc<dyn Door>,
}

pub(super) fn router(side: Arc<ToDesk>, door: Arc<dyn Door>) -> Router {
    let code = side.state.code.clone();
    front::router(code, Arc::new(Calls { side, door }))
}

/// A call that was read, with its files.
struct Read {
    case: LandCase,
    content: Content,
    step: &'static str,
    procedure: String,
    asides: Vec<Aside>,
    parts: Vec<Part>,
    id: EnvelopeId,
}

#[async_trait]
impl Take for Calls {
    async fn take(&self, call: &str, body: HttpBody) -> Response {
        let Some(name) = CallName::parse(call) else {
            return self.refuse(&Refusal::new(Reason::NotFound).at("call"));
        };
        let state = &self.side.state;
        let mut body = match Body::take(body.into_data_stream(), &state.aside(), BODY_BOUNDS).await {
            Ok(body) => body,
            Err(fault) => return self.refuse(&fault.into()),
        };
        match self.take_in(name, &mut body).await {
            Ok(Handed::Now) => self.answer(StatusCode::OK, true, "200", "Đã tiếp nhận / Taken".to_owned()),
            Ok(Handed::Before) => {
                self.answer(StatusCode::OK, true, "200", "Hồ sơ đã tồn tại / already exists".to_owned())
            }
            Err(fault) => {
                let refusal = fault.into();
                if !front::is_passing(&refusal) {
                    state.quarantine(name.as_str(), body.json(), &refusal, self.door.now()).await;
                }
                self.refuse(&refusal)
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let status = front::status(refusal);
        let code = match refusal.reason {
            Reason::StateNotAllowed => "409",
            Reason::NotFound => "404",
            _ if status == StatusCode::OK => "400",
            _ => status.as_str(),
        };
        self.answer(status, false, code, front::message(refusal))
    }
}

impl Calls {
    fn answer(&self, status: StatusCode, success: bool, code: &str, message: String) -> Response {
        let time = Moment::of(self.door.now()).map(|moment| moment.to_string()).unwrap_or_default();
        let kind = if success { "success" } else { "error" };
        let said = Status { success, code: code.to_owned(), kind: kind.to_owned(), time, message };
        front::json(status, &Answer { data: serde_json::Value::Null, status: said })
    }

    async fn take_in(&self, name: CallName, body: &mut Body) -> Result<Handed, BodyError> {
        let state = &self.side.state;
        let mut read = read(name, body, &state.aside()).await?;
        let file_code = read.case.file_code.clone();
        let _turn = state.turns.take(&file_code).await;
        let (known, refused) = (state.journal.case(&file_code), state.journal.refused(&file_code));
        check_file(name, &read, known.as_ref(), refused.as_ref())?;
        let content = read.id.to_string();
        match (name, &known, &refused) {
            (CallName::TiepNhan, Some(known), _) => read.id = EnvelopeId::parse(&known.envelope).unwrap_or(read.id),
            (CallName::TiepNhan, None, Some(refused)) => read.id = id_after(&read, refused),
            _ => {}
        }
        let id = read.id;
        let procedure = match &known {
            Some(known) if read.procedure.is_empty() => known.procedure.clone(),
            _ => read.procedure.clone(),
        };
        let stage = if name == CallName::CapNhatTraKetQua { Stage::Ended } else { Stage::Taken };
        let kept = Case {
            file_code,
            partner: self.side.role.land_office.to_string(),
            envelope: known.as_ref().map_or_else(|| id.to_string(), |known| known.envelope.clone()),
            digest: known.as_ref().map_or(content, |known| known.digest.clone()),
            issuer: String::new(),
            procedure: procedure.clone(),
            stage,
            at: self.door.now().seconds(),
        };
        let parcel = self.make(read, procedure, known.as_ref());
        let handed = state.hand_in(self.door.as_ref(), id, async { Ok(parcel) }).await?;
        let is_news = known.is_none_or(|known| name == CallName::CapNhatTraKetQua && known.stage != Stage::Ended);
        if is_news {
            state.journal.keep(kept).await?;
        }
        Ok(handed)
    }

    fn make(&self, read: Read, procedure: String, known: Option<&Case>) -> Parcel {
        let now = self.door.now();
        let text: bytes::Bytes = read.case.write().into();
        let described = event::part(land_case::PART_NAME, land_case::PART_ROLE, text.len() as u64, Digest::of(&text));
        let mut parts = vec![described];
        parts.extend(read.parts);
        let own = self.side.state.agency.to_string();
        let description = Description {
            id: read.id,
            from: own.clone(),
            to: vec![self.side.role.land_office.to_string()],
            created_at: now,
            expires_at: now.plus(self.side.state.expires_in),
            priority: Priority::Normal,
            in_reply_to: known
                .and_then(|known| EnvelopeId::parse(&known.envelope).ok())
                .filter(|first| *first != read.id)
                .map(|id| Reference { sender: own, id, digest: None }),
            supersedes: None,
            case: Some(EnvelopeCase {
                file_code: read.case.file_code.clone(),
                issuer: String::new(),
                procedure_code: plain(&procedure),
                step: read.step.to_owned(),
            }),
            content: read.content,
            parts,
        };
        Parcel { description, asides: read.asides, text }
    }
}

/// A file code stands for one file; more about a file needs the file.
fn check_file(name: CallName, read: &Read, known: Option<&Case>, refused: Option<&Case>) -> Result<(), Refusal> {
    match (name, known) {
        (CallName::TiepNhan, Some(known)) => {
            let id = read.id.to_string();
            // Journals of earlier versions know the envelope alone.
            let is_same = known.digest == id || (known.digest.is_empty() && known.envelope == id);
            let seen = "the file code stands for another file; send a supplement, or take another file code";
            if is_same { Ok(()) } else { Err(Refusal::new(Reason::StateNotAllowed).at("SoBienNhan").saw(seen)) }
        }
        (CallName::CapNhatBoSung | CallName::CapNhatTraKetQua, None) => {
            let seen = match refused {
                Some(_) => "the land office did not take this file; hand it in again",
                None => "no file of this code was taken in here",
            };
            Err(Refusal::new(Reason::NotFound).at("SoBienNhan").saw(seen))
        }
        (CallName::TiepNhan, None) | (CallName::CapNhatBoSung | CallName::CapNhatTraKetQua, Some(_)) => Ok(()),
    }
}

/// A file that is handed in after one of its code was refused is a new one, though it may say the very same.
fn id_after(read: &Read, refused: &Case) -> EnvelopeId {
    let content = serde_json::json!({ "content": read.id.to_string(), "after": refused.envelope });
    event::envelope_id(&read.case.file_code, CallName::TiepNhan.as_str(), &content)
}

async fn read(name: CallName, body: &mut Body, folder: &Path) -> Result<Read, BodyError> {
    match name {
        CallName::TiepNhan => {
            let mut file: TiepNhan = body.read()?;
            check_file_code(&file.so_bien_nhan)?;
            let papers = std::mem::take(&mut file.danh_sach_giay_to_dinh_kem);
            let taken = take_papers("DanhSachGiayToDinhKem", &papers, body, folder).await?;
            let procedure = &file.thong_tin_quy_trinh;
            let subject =
                if procedure.ten_quy_trinh.is_empty() { "Hồ sơ đất đai" } else { &procedure.ten_quy_trinh };
            let content = dossier(subject, &file.so_bien_nhan, file.ngay_hen_tra, "DA_TIEP_NHAN");
            let procedure = procedure.ma_quy_trinh.clone();
            read_done(name, LandCase::of_file(&file, taken.papers), content, "tiep-nhan", procedure, taken.files, body)
        }
        CallName::CapNhatBoSung => {
            let mut supplement: CapNhatBoSung = body.read()?;
            check_file_code(&supplement.so_bien_nhan)?;
            let papers = std::mem::take(&mut supplement.danh_sach_giay_to_bo_sung);
            let taken = take_papers("DanhSachGiayToBoSung", &papers, body, folder).await?;
            let (code, due) = (&supplement.so_bien_nhan, supplement.ngay_hen_tra_moi);
            let content = dossier("Bổ sung", code, due, SUPPLEMENT.1);
            let case = LandCase::of_supplement(&supplement, taken.papers);
            read_done(name, case, content, SUPPLEMENT.0, String::new(), taken.files, body)
        }
        CallName::CapNhatTraKetQua => {
            let returned: CapNhatTraKetQua = body.read()?;
            check_file_code(&returned.so_bien_nhan)?;
            let content = dossier("Đã trả kết quả", &returned.so_bien_nhan, None, HANDED_OUT.1);
            read_done(
                name,
                LandCase::of_return(&returned),
                content,
                HANDED_OUT.0,
                String::new(),
                Files::default(),
                body,
            )
        }
    }
}

fn dossier(what: &str, file_code: &str, due: Option<Moment>, state: &str) -> Content {
    Content::Dossier {
        subject: format!("{}: {}", plain(what), plain(file_code)),
        due_on: due.map(|moment| moment.day()).unwrap_or_default(),
        state: state.to_owned(),
    }
}

fn read_done(
    name: CallName,
    case: LandCase,
    content: Content,
    step: &'static str,
    procedure: String,
    files: Files,
    body: &Body,
) -> Result<Read, BodyError> {
    body.finish()?;
    let json = written(&case);
    let id = event::envelope_id(&case.file_code, name.as_str(), &json);
    Ok(Read { case, content, step, procedure, asides: files.asides, parts: files.parts, id })
}

/// The content of a call: what makes it the same call again. The papers have the digests of their files.
fn written(case: &impl Serialize) -> serde_json::Value {
    // Plain structures of texts and numbers are always written.
    serde_json::to_value(case).unwrap_or_default()
}

#[derive(Default)]
struct Files {
    asides: Vec<Aside>,
    parts: Vec<Part>,
}

struct Taken {
    papers: Vec<Paper>,
    files: Files,
}

/// Takes the papers in: each file once, however often it is named.
async fn take_papers(list: &str, papers: &[GiayTo], body: &mut Body, folder: &Path) -> Result<Taken, BodyError> {
    if papers.len() > PAPERS_MAX {
        let seen = format!("{} papers; {PAPERS_MAX} are allowed", papers.len());
        return Err(Refusal::new(Reason::PartsTooMany).at(list).saw(seen).into());
    }
    let mut taken = Taken { papers: Vec::with_capacity(papers.len()), files: Files::default() };
    for (at, paper) in papers.iter().enumerate() {
        let mut file = None;
        if let Some(value) = paper.tap_tin.as_ref().filter(|value| !value.data.is_empty()) {
            let aside = body.file(&format!("{list}[{at}].TapTin.data"), value, folder, BODY_BOUNDS).await?;
            let name = if value.name.is_empty() { paper.ten_giay_to.as_str() } else { value.name.as_str() };
            let name = display_name(name);
            file = Some(PaperFile { name: name.clone(), sha256: aside.digest.to_string() });
            if taken.files.parts.iter().all(|part| part.digest != aside.digest) {
                taken.files.parts.push(event::part(&name, &paper.ten_giay_to, aside.size, aside.digest));
                taken.files.asides.push(aside);
            }
        }
        taken.papers.push(Paper {
            name: paper.ten_giay_to.clone(),
            originals: paper.so_ban_chinh,
            copies: paper.so_ban_sao,
            file,
        });
    }
    Ok(taken)
}
