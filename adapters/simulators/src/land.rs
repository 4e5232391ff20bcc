//! A land system: takes files over HTTP, works on them when told, and calls the one-stop side back.
//!
//! It does what the two products in the field do: files come whole in JSON, a file that comes again is answered "already exists" with
//! `success = false`, callbacks carry a shared code in the URL, results are links that lead back to it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::response::Response;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

mod record;
pub(crate) mod web;

pub use record::{LandFile, LandPaper, Register, Supplement};

/// What goes wrong with the next call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LandFault {
    /// It takes so long.
    Slow(Duration),
    /// It fails with status 500 and does nothing.
    Fails,
    /// It does what was asked, and the answer is lost.
    LosesAnswer,
    /// A proxy shows its page instead, and nothing is done.
    Page,
    /// It says that it has the file already.
    SaysAlreadyExists,
    /// It refuses, with a code of its own.
    Refuses(String),
}

/// The answer to a callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Called {
    /// HTTP status.
    pub status: u16,
    /// `Result`; -1 when there was none.
    pub result: i64,
    /// `Message`.
    pub message: String,
}

/// A running land system. Dropping it ends it; what it keeps stays in its folder.
#[derive(Debug)]
pub struct LandSystem {
    office: Arc<Office>,
    server: web::Server,
}

#[derive(Debug)]
struct Office {
    path: PathBuf,
    register: Mutex<Register>,
    faults: Mutex<VecDeque<LandFault>>,
    changed: tokio::sync::watch::Sender<u64>,
}

impl LandSystem {
    /// Starts at `address` (port 0 takes a free one) with what `folder` keeps.
    ///
    /// # Errors
    /// When the folder or the address cannot be used.
    pub async fn start(folder: &Path, address: SocketAddr) -> io::Result<Self> {
        let path = folder.join("land-system.json");
        let office = Arc::new(Office {
            register: Mutex::new(Register::read(&path)?),
            path,
            faults: Mutex::default(),
            changed: tokio::sync::watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/api/{call}", post(called))
            .route("/ket-qua/{secret}", get(result_file))
            .layer(DefaultBodyLimit::disable())
            .with_state(office.clone());
        Ok(Self { office, server: web::Server::start(address, router).await? })
    }

    /// Ends it as a crash would, and gives the address for another start.
    pub async fn stop(self) -> SocketAddr {
        let address = self.server.address();
        self.server.stop().await;
        address
    }

    /// `http://host:port`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Where its calls are: `http://host:port/api`.
    pub fn url(&self) -> String {
        format!("{}/api", self.origin())
    }

    /// What it keeps.
    pub fn register(&self) -> Register {
        self.office.register().clone()
    }

    /// A file of its.
    pub fn file(&self, code: &str) -> Option<LandFile> {
        self.office.register().files.get(code).cloned()
    }

    /// Lets the next call go wrong; more than one stand in line.
    pub fn next_call(&self, fault: LandFault) {
        self.office.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Waits until what it keeps fulfils `condition`; false when `patience` ends before.
    pub async fn until(&self, patience: Duration, condition: impl Fn(&Register) -> bool) -> bool {
        let mut changed = self.office.changed.subscribe();
        let fulfilled = changed.wait_for(|_| condition(&self.office.register()));
        tokio::time::timeout(patience, fulfilled).await.is_ok_and(|fulfilled| fulfilled.is_ok())
    }

    /// Puts a result file where a link leads, and gives the link.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn publish(&self, bytes: &[u8]) -> io::Result<String> {
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let mut register = self.office.register();
        register.results.insert(secret.clone(), STANDARD.encode(bytes));
        register.write(&self.office.path)?;
        Ok(format!("{}/ket-qua/{secret}", self.origin()))
    }

    /// Makes any callback: `base` is the one-stop side's URL with the shared code in it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn callback(&self, base: &str, name: &str, body: &Value) -> io::Result<Called> {
        let (status, answer) = web::post(&format!("{base}/{name}"), body).await?;
        Ok(Called {
            status: status.as_u16(),
            result: answer["Result"].as_i64().unwrap_or(-1),
            message: answer["Message"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// `ChuyenHoSo`: one officer hands the file over to another.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn hand_over(&self, base: &str, code: &str, state: &str, note: &str) -> io::Result<Called> {
        let body = json!({
            "SoBienNhan": code, "MaCanBoChuyen": "CB01", "MaCanBoNhan": "CB02", "MaTrangThai": state,
            "NoiDungXuLy": note, "NgayChuyen": "2026-10-09T08:00:00", "HanXuLy": "16/10/2026",
        });
        self.callback(base, "ChuyenHoSo", &body).await
    }

    /// `YeuCauBoSungHoSo`: asks for more; with `pauses` the clock stops.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask_supplement(&self, base: &str, code: &str, note: &str, pauses: bool) -> io::Result<Called> {
        let body = json!({ "SoBienNhan": code, "NgayChoBoSung": "12/10/2026", "LaTamDung": pauses, "GhiChu": note });
        self.callback(base, "YeuCauBoSungHoSo", &body).await
    }

    /// `NhanBoSungHoSo`: the clock goes on, to a new day.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn go_on(&self, base: &str, code: &str, due: &str) -> io::Result<Called> {
        let body = json!({ "SoBienNhan": code, "NgayNhanBoSung": "14/10/2026 10:15", "NgayHenTraMoi": due });
        self.callback(base, "NhanBoSungHoSo", &body).await
    }

    /// `GuiKetQuaThue`: a tax notice, by link.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send_tax_notice(&self, base: &str, code: &str, notice: &[u8]) -> io::Result<Called> {
        let link = self.publish(notice)?;
        let body = json!({ "SoBienNhan": code, "DanhSachThongBaoThue": [{
            "HoTenChu": "Quàng Văn Pản", "LoaiThue": "Lệ phí trước bạ", "SoThongBaoThue": "TB-0099/2026", "DuongDanThongBaoThue": link,
        }] });
        self.callback(base, "GuiKetQuaThue", &body).await
    }

    /// `KetThucHoSo`: the end, with result files by link.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn finish(&self, base: &str, code: &str, results: &[(&str, &[u8])]) -> io::Result<Called> {
        let mut papers = Vec::new();
        for (name, bytes) in results {
            papers.push(json!({ "TenGiayTo": name, "KieuFile": "pdf", "LinkFile": self.publish(bytes)? }));
        }
        let body = json!({
            "SoBienNhan": code, "NgayKetThuc": "2026-10-30T16:00:00+07:00", "TrangThaiKetThuc": 0, "DanhSachGiayToKetQua": papers,
        });
        self.callback(base, "KetThucHoSo", &body).await
    }
}

impl Office {
    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> Option<LandFault> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Does what a call asks, durably, and gives the answer.
    fn work(&self, call: &str, body: &Value) -> io::Result<Value> {
        let code = body["SoBienNhan"].as_str().unwrap_or_default().to_owned();
        let mut register = self.register();
        let answer = match call {
            _ if code.is_empty() => said(false, "400", "SoBienNhan is required"),
            "tiepnhan" => match register.files.get_mut(&code) {
                Some(file) => {
                    file.repeats += 1;
                    said(false, "409", &format!("So bien nhan {code} already exists"))
                }
                None => match file(body) {
                    Err(problem) => said(false, "400", problem),
                    Ok(file) => {
                        register.files.insert(code, file);
                        said(true, "200", "OK")
                    }
                },
            },
            "capnhattrangthaibosunghoso" => {
                match (register.files.get_mut(&code), papers(&body["DanhSachGiayToBoSung"])) {
                    (None, _) => said(false, "404", "no such file"),
                    (_, Err(problem)) => said(false, "400", problem),
                    (Some(file), Ok(papers)) => {
                        file.supplements.push(Supplement {
                            due: text(&body["NgayHenTraMoi"]),
                            note: text(&body["GhiChu"]),
                            papers,
                        });
                        said(true, "200", "OK")
                    }
                }
            }
            "capnhattrangthaitraketquahoso" => match register.files.get_mut(&code) {
                None => said(false, "404", "no such file"),
                Some(file) => {
                    file.returned.push(text(&body["NgayTra"]));
                    said(true, "200", "OK")
                }
            },
            _ => said(false, "404", "no such call"),
        };
        register.write(&self.path)?;
        drop(register);
        self.changed.send_modify(|count| *count += 1);
        Ok(answer)
    }
}

async fn called(State(office): State<Arc<Office>>, UrlPath(call): UrlPath<String>, body: Body) -> Response {
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return web::json(StatusCode::BAD_REQUEST, &said(false, "400", "the body broke off"));
    };
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return web::json(StatusCode::BAD_REQUEST, &said(false, "400", "no JSON"));
    };
    let fault = office.next_fault();
    match &fault {
        Some(LandFault::Slow(time)) => tokio::time::sleep(*time).await,
        Some(LandFault::Fails) => {
            return web::json(StatusCode::INTERNAL_SERVER_ERROR, &said(false, "500", "NullReferenceException"));
        }
        Some(LandFault::Page) => return web::page(),
        Some(LandFault::SaysAlreadyExists) => {
            return web::json(StatusCode::OK, &said(false, "409", "Hồ sơ đã tồn tại"));
        }
        Some(LandFault::Refuses(code)) => {
            return web::json(StatusCode::OK, &said(false, code, "refused"));
        }
        Some(LandFault::LosesAnswer) | None => {}
    }
    match office.work(&call, &body) {
        Ok(_) if fault == Some(LandFault::LosesAnswer) => web::broken_off(),
        Ok(answer) => web::json(StatusCode::OK, &answer),
        Err(fault) => {
            tracing::error!(%fault, "the land system cannot keep what it got");
            web::json(StatusCode::INTERNAL_SERVER_ERROR, &said(false, "500", "the disk failed"))
        }
    }
}

async fn result_file(State(office): State<Arc<Office>>, UrlPath(secret): UrlPath<String>) -> Response {
    let kept = office.register().results.get(&secret).and_then(|base64| STANDARD.decode(base64).ok());
    match kept {
        Some(bytes) => web::file(Bytes::from(bytes)),
        None => web::json(StatusCode::NOT_FOUND, &Value::Null),
    }
}

fn said(success: bool, code: &str, message: &str) -> Value {
    json!({ "data": null, "status": {
        "success": success, "code": code, "type": "", "time": "2026-10-08T09:00:00", "message": message,
    } })
}

/// The systems in the field still want these.
fn file(body: &Value) -> Result<LandFile, &'static str> {
    for required in ["TinhId", "HuyenId", "XaId"] {
        if !body[required].is_string() {
            return Err("TinhId, HuyenId and XaId are required");
        }
    }
    Ok(LandFile {
        applicant: text(&body["ThongTinNguoiNopDon"]["HoTen"]),
        procedure: text(&body["ThongTinQuyTrinh"]["MaQuyTrinh"]),
        due: text(&body["NgayHenTra"]),
        papers: papers(&body["DanhSachGiayToDinhKem"])?,
        ..LandFile::default()
    })
}

fn papers(list: &Value) -> Result<Vec<LandPaper>, &'static str> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter().map(paper).collect()
}

fn paper(paper: &Value) -> Result<LandPaper, &'static str> {
    let (name, file) = (text(&paper["TenGiayTo"]), &paper["TapTin"]);
    if !file.is_object() {
        return Ok(LandPaper { name, ..LandPaper::default() });
    }
    let bytes = STANDARD.decode(file["data"].as_str().unwrap_or_default()).map_err(|_| "data is not base64")?;
    Ok(LandPaper { name, file_name: text(&file["name"]), sha256: sha256(&bytes), size: bytes.len() })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests;
