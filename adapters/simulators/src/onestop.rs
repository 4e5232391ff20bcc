//! A one-stop desk: hands files in as if to a land system, takes the callbacks, and fetches the result files.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::land::{sha256, web};

/// What goes wrong with the next callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeskFault {
    /// It says no, with `Result` 0.
    SaysNo,
    /// It fails with status 500.
    Fails,
    /// It takes the callback, and the answer is lost.
    LosesAnswer,
    /// A proxy shows its page instead.
    Page,
    /// It says no, because it has the callback already.
    SaysAlreadyExists,
}

/// A callback as the desk took it.
#[derive(Clone, PartialEq, Debug)]
pub struct Callback {
    /// Its name.
    pub name: String,
    /// Its JSON.
    pub body: Value,
    /// The files that came with it, by link or by value.
    pub files: Vec<DeskFile>,
}

/// A file that came with a callback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeskFile {
    /// What it is.
    pub label: String,
    /// SHA-256 of its bytes, in hexadecimal; empty when it could not be fetched.
    pub sha256: String,
    /// HTTP status of the link; 0 by value.
    pub status: u16,
}

/// The answer to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// HTTP status.
    pub http: u16,
    /// `status.success`.
    pub success: bool,
    /// `status.code`.
    pub code: String,
    /// `status.message`.
    pub message: String,
}

/// A file to hand in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewFile {
    /// File code.
    pub code: String,
    /// Name of the applicant.
    pub applicant: String,
    /// Papers: what it is, name of the scan, its bytes.
    pub papers: Vec<(String, String, Vec<u8>)>,
}

/// A running desk. Dropping it ends it.
#[derive(Debug)]
pub struct OneStop {
    desk: Arc<Desk>,
    server: web::Server,
    code: String,
}

#[derive(Debug)]
struct Desk {
    code: String,
    callbacks: Mutex<Vec<Callback>>,
    refused: Mutex<u32>,
    faults: Mutex<VecDeque<DeskFault>>,
    changed: tokio::sync::watch::Sender<u64>,
}

impl OneStop {
    /// Starts at `address` (port 0 takes a free one); callers have to know `code`.
    ///
    /// # Errors
    /// When the address cannot be used, or the code is empty.
    pub async fn start(address: SocketAddr, code: &str) -> io::Result<Self> {
        if code.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the code is empty"));
        }
        let desk = Arc::new(Desk {
            code: code.to_owned(),
            callbacks: Mutex::default(),
            refused: Mutex::default(),
            faults: Mutex::default(),
            changed: tokio::sync::watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/goi-lai/{code}/{name}", post(called_back))
            .layer(DefaultBodyLimit::disable())
            .with_state(desk.clone());
        Ok(Self { desk, server: web::Server::start(address, router).await?, code: code.to_owned() })
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

    /// Where callbacks go, without the code: `http://host:port/goi-lai`.
    pub fn url(&self) -> String {
        format!("{}/goi-lai", self.origin())
    }

    /// The code that callers have to know.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The callbacks so far, in their order.
    pub fn callbacks(&self) -> Vec<Callback> {
        self.desk.callbacks().clone()
    }

    /// How many callbacks came with a wrong code.
    pub fn refused(&self) -> u32 {
        *self.desk.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the next callback go wrong; more than one stand in line.
    pub fn next_callback(&self, fault: DeskFault) {
        self.desk.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Waits until the callbacks fulfil `condition`; false when `patience` ends before.
    pub async fn until(&self, patience: Duration, condition: impl Fn(&[Callback]) -> bool) -> bool {
        let mut changed = self.desk.changed.subscribe();
        let fulfilled = changed.wait_for(|_| condition(&self.desk.callbacks()));
        tokio::time::timeout(patience, fulfilled).await.is_ok_and(|fulfilled| fulfilled.is_ok())
    }

    /// Makes any call: `base` is the land side's URL with the shared code in it.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self, base: &str, name: &str, body: &Value) -> io::Result<Answered> {
        let (http, answer) = web::post(&format!("{base}/{name}"), body).await?;
        let status = &answer["status"];
        Ok(Answered {
            http: http.as_u16(),
            success: status["success"].as_bool().unwrap_or(false),
            code: status["code"].as_str().unwrap_or_default().to_owned(),
            message: status["message"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// `tiepnhan`: hands a file in.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn hand_in(&self, base: &str, file: &NewFile) -> io::Result<Answered> {
        self.call(base, "tiepnhan", &Self::file(file)).await
    }

    /// The JSON of a file, as this desk writes it.
    pub fn file(file: &NewFile) -> Value {
        json!({
            "LaQuyTrinhCapTinh": false, "TinhId": "99", "HuyenId": "30", "XaId": "01", "SoBienNhan": file.code,
            "NguoiTiepNhan": "Lò Thị Mây", "NgayTiepNhan": "08/10/2026 09:30", "NgayHenTra": "02/11/2026",
            "ThongTinNguoiNopDon": {
                "HoTen": file.applicant, "SoChungMinh": "099000000001", "DiaChiChiTiet": "Bản Mới, xã An Phú",
                "SoDienThoai": "0900000000", "Email": "",
            },
            "ThongTinQuyTrinh": { "MaQuyTrinh": "1.012783", "TenQuyTrinh": "Cấp lại Giấy chứng nhận quyền sử dụng đất" },
            "ThongTinThuaDat": [{ "SoThuTuThua": 12, "SoHieuBanDo": "7", "DienTich": "120,5", "DiaChiChiTiet": "Bản Mới" }],
            "DanhSachGiayToDinhKem": papers(&file.papers),
        })
    }

    /// `capnhattrangthaibosunghoso`: the supplement has come.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send_supplement(
        &self,
        base: &str,
        code: &str,
        due: &str,
        added: &[(String, String, Vec<u8>)],
    ) -> io::Result<Answered> {
        let body = json!({
            "SoBienNhan": code, "NgayHenTraMoi": due, "GhiChu": "Đã bổ sung", "DanhSachGiayToBoSung": papers(added),
        });
        self.call(base, "capnhattrangthaibosunghoso", &body).await
    }

    /// `capnhattrangthaitraketquahoso`: the result is with the citizen.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn hand_out(&self, base: &str, code: &str, day: &str) -> io::Result<Answered> {
        let body = json!({ "SoBienNhan": code, "NgayTra": day });
        self.call(base, "capnhattrangthaitraketquahoso", &body).await
    }
}

impl Desk {
    fn callbacks(&self) -> MutexGuard<'_, Vec<Callback>> {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> Option<DeskFault> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Keeps a callback. One that says the same as an earlier one is the same.
    fn keep(&self, callback: Callback) {
        let mut callbacks = self.callbacks();
        if !callbacks.contains(&callback) {
            callbacks.push(callback);
        }
        drop(callbacks);
        self.changed.send_modify(|count| *count += 1);
    }
}

async fn called_back(
    State(desk): State<Arc<Desk>>,
    UrlPath((code, name)): UrlPath<(String, String)>,
    body: Body,
) -> Response {
    let said = |result: u8, message: &str| json!({ "Result": result, "Message": message });
    if code != desk.code {
        *desk.refused.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        return web::json(StatusCode::FORBIDDEN, &said(0, "wrong code"));
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.ok();
    let Some(body) = body.and_then(|body| serde_json::from_slice::<Value>(&body).ok()) else {
        return web::json(StatusCode::OK, &said(0, "no JSON"));
    };
    let fault = desk.next_fault();
    match fault {
        Some(DeskFault::SaysNo) => return web::json(StatusCode::OK, &said(0, "Không nhận")),
        Some(DeskFault::SaysAlreadyExists) => {
            return web::json(StatusCode::OK, &said(0, "Thông tin này đã tồn tại"));
        }
        Some(DeskFault::Fails) => return web::json(StatusCode::INTERNAL_SERVER_ERROR, &said(0, "")),
        Some(DeskFault::Page) => return web::page(),
        Some(DeskFault::LosesAnswer) | None => {}
    }
    let files = files(&body).await;
    desk.keep(Callback { name, body, files });
    match fault {
        Some(_) => web::broken_off(),
        None => web::json(StatusCode::OK, &said(1, "")),
    }
}

/// Fetches what comes by link, and decodes what comes by value.
async fn files(body: &Value) -> Vec<DeskFile> {
    let lists = [
        ("DanhSachTapTin", "TenGiayTo", "LinkFile"),
        ("DanhSachGiayToKetQua", "TenGiayTo", "LinkFile"),
        ("DanhSachThongBaoThue", "LoaiThue", "DuongDanThongBaoThue"),
    ];
    let mut files = Vec::new();
    for (list, label, link) in lists {
        for paper in body[list].as_array().map(Vec::as_slice).unwrap_or_default() {
            let label = paper[label].as_str().unwrap_or_default().to_owned();
            if let Some(data) = paper["TapTin"]["data"].as_str() {
                let sha256 = STANDARD.decode(data).map(|bytes| sha256(&bytes)).unwrap_or_default();
                files.push(DeskFile { label, sha256, status: 0 });
            } else if let Some(link) = paper[link].as_str().filter(|link| !link.is_empty()) {
                let (status, sha256) = match web::get(link).await {
                    Ok((status, bytes)) => (status.as_u16(), sha256(&bytes)),
                    Err(_) => (0, String::new()),
                };
                files.push(DeskFile { label, sha256, status });
            }
        }
    }
    files
}

fn papers(papers: &[(String, String, Vec<u8>)]) -> Vec<Value> {
    let paper = |(name, file_name, bytes): &(String, String, Vec<u8>)| {
        json!({
            "TenGiayTo": name, "SoBanChinh": "1", "SoBanSao": 0,
            "TapTin": { "name": file_name, "data": STANDARD.encode(bytes) },
        })
    };
    papers.iter().map(paper).collect()
}
