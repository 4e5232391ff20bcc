//! What a land system's callback becomes: a case event that any agency can read, with the callback itself in a part.
//!
//! | callback | step of the case | content | code or state |
//! |---|---|---|---|
//! | `ChuyenHoSo` | `chuyen-ho-so` | Status | `MaTrangThai` as it is; `CHUYEN_HO_SO` when there is none |
//! | `YeuCauBoSungHoSo` | `yeu-cau-bo-sung` | Status | `TAM_DUNG` when `LaTamDung` (the clock stops), else `YEU_CAU_BO_SUNG` |
//! | `NhanBoSungHoSo` | `nhan-bo-sung` | Dossier | state `TIEP_TUC` (the clock goes on), `due_on` = `NgayHenTraMoi` |
//! | `GuiKetQuaThue` | `ket-qua-thue` | Status | `KET_QUA_THUE` |
//! | `KetThucHoSo` | `ket-thuc` | Status | `HOAN_THANH` when `TrangThaiKetThuc` is 0, else `TRA_LAI` |
//! | none: the land system did not take it | `tu-choi` | Status | `TU_CHOI`; for a desk `KetThucHoSo` (a file) or `ChuyenHoSo` (more about one) |
//!
//! The part `su-kien.json` (role `land-event`) keeps the callback in the systems' own words, raw values and all:
//! `{"schema": "lienthong.land-event.v1", "call": "ChuyenHoSo", "body": {…}, "files": [{"index": 0, "name": "…", "sha256": "…"}]}`. Links are
//! taken out, because they lead into the land system's own network; `files` says which part stands for which file of the body.

use adapters_sdk::seal::describe::{Content, display_name, media_type};
use gateway_model::envelope::{ContentKind, Envelope, Part};
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Refusal, Timestamp, limits};
use proto::v1;
use serde::{Deserialize, Serialize};

use crate::land_case::unreadable;
use crate::vocabulary::{
    Callback, CallbackName, ChuyenHoSo, GuiKetQuaThue, KetThucHoSo, Moment, NhanBoSungHoSo, TepKetQua, ThongBaoThue,
    YeuCauBoSungHoSo, malformed,
};

/// Name of the part.
pub const PART_NAME: &str = "su-kien.json";
/// Role of the part.
pub const PART_ROLE: &str = "land-event";
/// Schema of the part.
pub const SCHEMA: &str = "lienthong.land-event.v1";
/// Bytes of the part.
pub const PART_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The clock stops.
pub const PAUSED: &str = "TAM_DUNG";
/// More is asked for, and the clock goes on meanwhile.
pub const SUPPLEMENT_ASKED: &str = "YEU_CAU_BO_SUNG";
/// The clock goes on.
pub const RESUMED: &str = "TIEP_TUC";
/// A hand-over that names no state.
pub const HANDED_OVER: &str = "CHUYEN_HO_SO";
/// Tax notices.
pub const TAX_NOTICE: &str = "KET_QUA_THUE";
/// The file is done.
pub const DONE: &str = "HOAN_THANH";
/// The file is returned undone.
pub const RETURNED: &str = "TRA_LAI";
/// The land system did not take it.
pub const REFUSED: &str = "TU_CHOI";
/// Step of the case for what was not taken.
pub const REFUSED_STEP: &str = "tu-choi";

/// A callback on its way, with the parts that stand for its files.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct LandEvent {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Name of the callback.
    pub call: String,
    /// The callback, without links and bytes of files.
    pub body: serde_json::Value,
    /// Its files.
    #[serde(default)]
    pub files: Vec<EventFile>,
}

/// A file of a callback: a part of the same envelope.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct EventFile {
    /// Its place among the files of the callback.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Its digest in hexadecimal.
    pub sha256: String,
}

impl LandEvent {
    /// The event of a callback whose files are these parts.
    pub fn new(mut callback: Callback, files: Vec<EventFile>) -> Self {
        for slot in callback.files() {
            slot.link.clear();
            *slot.value = None;
        }
        let call = callback.name().as_str().to_owned();
        Self { schema: SCHEMA.to_owned(), call, body: callback.to_json(), files }
    }

    /// Reads the part.
    ///
    /// # Errors
    /// When it is not of this schema, or its body is no callback.
    pub fn read(json: &[u8]) -> Result<(Callback, Vec<EventFile>), Refusal> {
        let event: Self = serde_json::from_slice(json).map_err(|fault| unreadable(PART_NAME, &fault))?;
        if event.schema != SCHEMA {
            return Err(malformed(PART_NAME, "is of another schema"));
        }
        let name = CallbackName::parse(&event.call).ok_or_else(|| malformed("call", "is no callback"))?;
        Ok((Callback::read(name, event.body.to_string().as_bytes())?, event.files))
    }

    /// The part's bytes.
    pub fn write(&self) -> Vec<u8> {
        // Plain texts and numbers are always written.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

/// The step of the case that a callback stands for.
pub fn step(name: CallbackName) -> &'static str {
    match name {
        CallbackName::ChuyenHoSo => "chuyen-ho-so",
        CallbackName::YeuCauBoSungHoSo => "yeu-cau-bo-sung",
        CallbackName::NhanBoSungHoSo => "nhan-bo-sung",
        CallbackName::GuiKetQuaThue => "ket-qua-thue",
        CallbackName::KetThucHoSo => "ket-thuc",
    }
}

/// What a callback says, for readers that know no land system.
pub fn content(callback: &Callback, now: Timestamp) -> Content {
    let at = |moment: Option<Moment>| moment.and_then(|moment| moment.at()).filter(|at| *at <= now).unwrap_or(now);
    let status = |code: &str, description: &str, moment: Option<Moment>| Content::Status {
        code: plain(code),
        description: plain(description),
        at: at(moment),
    };
    match callback {
        Callback::ChuyenHoSo(body) => {
            let code = if body.ma_trang_thai.is_empty() { HANDED_OVER } else { &body.ma_trang_thai };
            status(code, &body.noi_dung_xu_ly, body.ngay_chuyen)
        }
        Callback::YeuCauBoSungHoSo(body) => {
            let code = if body.la_tam_dung { PAUSED } else { SUPPLEMENT_ASKED };
            status(code, &body.ghi_chu, body.ngay_cho_bo_sung)
        }
        Callback::NhanBoSungHoSo(body) => Content::Dossier {
            subject: format!("Đã nhận bổ sung, tiếp tục giải quyết hồ sơ {}", plain(&body.so_bien_nhan)),
            due_on: body.ngay_hen_tra_moi.map(|moment| moment.day()).unwrap_or_default(),
            state: RESUMED.to_owned(),
        },
        Callback::GuiKetQuaThue(body) => {
            let notice = |notice: &ThongBaoThue| format!("{} {}", notice.loai_thue, notice.so_thong_bao_thue);
            let notices: Vec<String> = body.danh_sach_thong_bao_thue.iter().map(notice).collect();
            status(TAX_NOTICE, shortened(&notices.join("; ")), None)
        }
        Callback::KetThucHoSo(body) => {
            let code = if body.trang_thai_ket_thuc == 0 { DONE } else { RETURNED };
            status(code, &body.ghi_chu, body.ngay_ket_thuc)
        }
    }
}

/// As much of a text as a status holds; the callback in its part has all of it.
fn shortened(text: &str) -> &str {
    let end = (0..=text.len().min(limits::TEXT_BYTES_MAX)).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// The callback that an envelope without `su-kien.json` stands for: what a land office's own system, or a clerk, may have sent.
///
/// # Errors
/// When a one-stop desk has no callback for it.
pub fn callback_of(envelope: &Envelope, content: &v1::envelope::Content) -> Result<Callback, Refusal> {
    let so_bien_nhan = envelope.case.as_ref().map(|case| case.file_code.clone()).unwrap_or_default();
    crate::vocabulary::check_file_code(&so_bien_nhan)?;
    let paper = |part: &Part| TepKetQua {
        ten_giay_to: if part.role.is_empty() { part.name.clone() } else { part.role.clone() },
        kieu_file: part.name.rsplit_once('.').map(|(_, extension)| extension.to_owned()).unwrap_or_default(),
        ..TepKetQua::default()
    };
    let papers = || envelope.parts.iter().map(paper).collect::<Vec<_>>();
    let made = Moment::of(envelope.created_at);
    match content {
        v1::envelope::Content::Status(status) => {
            let at = status.at.and_then(|at| Timestamp::from_parts(at.seconds, at.nanos)).and_then(Moment::of).or(made);
            let note = status.description.clone();
            Ok(match status.code.as_str() {
                code @ (PAUSED | SUPPLEMENT_ASKED) => Callback::YeuCauBoSungHoSo(YeuCauBoSungHoSo {
                    so_bien_nhan,
                    ngay_cho_bo_sung: at,
                    la_tam_dung: code == PAUSED,
                    ghi_chu: note,
                }),
                RESUMED => Callback::NhanBoSungHoSo(NhanBoSungHoSo {
                    so_bien_nhan,
                    ngay_nhan_bo_sung: at,
                    ngay_hen_tra_moi: None,
                }),
                TAX_NOTICE => Callback::GuiKetQuaThue(GuiKetQuaThue {
                    so_bien_nhan,
                    danh_sach_thong_bao_thue: envelope.parts.iter().map(tax_notice).collect(),
                }),
                code @ (DONE | RETURNED | REFUSED) => Callback::KetThucHoSo(KetThucHoSo {
                    so_bien_nhan,
                    ngay_ket_thuc: at,
                    trang_thai_ket_thuc: i64::from(code != DONE),
                    ghi_chu: note,
                    danh_sach_giay_to_ket_qua: papers(),
                }),
                code => Callback::ChuyenHoSo(ChuyenHoSo {
                    so_bien_nhan,
                    ma_trang_thai: code.to_owned(),
                    noi_dung_xu_ly: note,
                    ngay_chuyen: at,
                    danh_sach_tap_tin: papers(),
                    ..ChuyenHoSo::default()
                }),
            })
        }
        v1::envelope::Content::Dossier(dossier) if dossier.state == RESUMED => {
            Ok(Callback::NhanBoSungHoSo(NhanBoSungHoSo {
                so_bien_nhan,
                ngay_nhan_bo_sung: made,
                ngay_hen_tra_moi: Moment::from_day(&dossier.due_on),
            }))
        }
        _ => {
            let kind: ContentKind = envelope.content.kind;
            Err(malformed("content", &format!("a one-stop desk has no callback for {}", kind.as_str())))
        }
    }
}

fn tax_notice(part: &Part) -> ThongBaoThue {
    ThongBaoThue { loai_thue: part.role.clone(), ..ThongBaoThue::default() }
}

/// The id of an envelope made from a call: the same content always has the same, a version 8 UUID of its SHA-256.
pub fn envelope_id(file_code: &str, call: &str, content: &serde_json::Value) -> EnvelopeId {
    let content = content.to_string();
    let digest = Digest::of_pieces(&[
        b"lienthong.land.v1\0",
        file_code.as_bytes(),
        b"\0",
        call.as_bytes(),
        b"\0",
        content.as_bytes(),
    ]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    bytes[6] = bytes[6] & 0x0F | 0x80;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    EnvelopeId(bytes)
}

/// The display name of a file that a system calls by what it is and, perhaps, an extension.
pub fn file_name(label: &str, extension: &str) -> String {
    let extension = extension.trim().trim_start_matches('.').to_ascii_lowercase();
    let fits = (1..=8).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let name = plain(label);
    match fits && !name.to_lowercase().ends_with(&format!(".{extension}")) {
        true => display_name(&format!("{}.{extension}", name.replace(['/', '\\'], "-"))),
        false => display_name(&name.replace(['/', '\\'], "-")),
    }
}

/// A part for bytes that are at hand.
pub fn part(name: &str, role: &str, size: u64, digest: Digest) -> Part {
    Part { name: name.to_owned(), media_type: media_type(name).to_owned(), size, digest, role: plain(role) }
}

/// A text without what no gateway takes: on one line, without control and hidden characters.
pub fn plain(text: &str) -> String {
    let hidden = |c: char| {
        matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
    };
    let spaced = text.chars().filter(|&c| !hidden(c)).map(|c| if c.is_control() { ' ' } else { c });
    spaced.collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_791_432_000);

    fn callback(name: CallbackName, json: &str) -> Callback {
        Callback::read(name, json.as_bytes()).unwrap()
    }

    #[test]
    fn a_pause_and_its_end_are_events_that_any_agency_reads() {
        let paused =
            r#"{"SoBienNhan":"A-1","NgayChoBoSung":"01/10/2026","LaTamDung":true,"GhiChu":"Thiếu trích lục\nbản đồ"}"#;
        let Content::Status { code, description, at } = content(&callback(CallbackName::YeuCauBoSungHoSo, paused), NOW)
        else {
            panic!("a pause is a status")
        };
        assert_eq!((code.as_str(), description.as_str()), (PAUSED, "Thiếu trích lục bản đồ"));
        assert_eq!(at.to_string(), "2026-09-30T17:00:00Z");
        let resumed = r#"{"SoBienNhan":"A-1","NgayNhanBoSung":"05/10/2026","NgayHenTraMoi":"09/11/2026"}"#;
        let Content::Dossier { due_on, state, .. } = content(&callback(CallbackName::NhanBoSungHoSo, resumed), NOW)
        else {
            panic!("the new day is the dossier's")
        };
        assert_eq!((due_on.as_str(), state.as_str()), ("2026-11-09", RESUMED));
    }

    #[test]
    fn a_raw_state_stays_as_it_is_and_the_future_is_not_believed() {
        let moved = r#"{"SoBienNhan":"A-1","MaTrangThai":7,"NgayChuyen":"01/01/2040"}"#;
        let said = content(&callback(CallbackName::ChuyenHoSo, moved), NOW);
        assert_eq!(said, Content::Status { code: "7".into(), description: String::new(), at: NOW });
        for (raw, expected) in [("0", DONE), ("2", RETURNED)] {
            let ended = format!(r#"{{"SoBienNhan":"A-1","TrangThaiKetThuc":{raw}}}"#);
            let Content::Status { code, .. } = content(&callback(CallbackName::KetThucHoSo, &ended), NOW) else {
                panic!("an end is a status")
            };
            assert_eq!(code, expected);
        }
    }

    #[test]
    fn very_many_tax_notices_are_one_status_that_a_gateway_takes() {
        let notice = r#"{"LoaiThue":"Thuế thu nhập cá nhân từ chuyển nhượng","SoThongBaoThue":"TB-0099/2026"}"#;
        let many = format!(r#"{{"SoBienNhan":"A-1","DanhSachThongBaoThue":[{}]}}"#, vec![notice; 250].join(","));
        let Content::Status { description, .. } = content(&callback(CallbackName::GuiKetQuaThue, &many), NOW) else {
            panic!("notices are a status")
        };
        assert!((8_000..=limits::TEXT_BYTES_MAX).contains(&description.len()), "{}", description.len());
    }

    #[test]
    fn the_part_keeps_the_callback_without_its_links() {
        let ended = r#"{"SoBienNhan":"A-1","TrangThaiKetThuc":0,
            "DanhSachGiayToKetQua":[{"TenGiayTo":"Giấy chứng nhận","KieuFile":"pdf","LinkFile":"http://10.0.0.5/f?token=secret"}]}"#;
        let file =
            EventFile { index: 0, name: "Giấy chứng nhận.pdf".into(), sha256: Digest::of(b"x").to_string() };
        let event = LandEvent::new(callback(CallbackName::KetThucHoSo, ended), vec![file.clone()]);
        let bytes = event.write();
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
        let (read, files) = LandEvent::read(&bytes).unwrap();
        assert_eq!((read.name(), files), (CallbackName::KetThucHoSo, vec![file]));
        assert!(LandEvent::read(br#"{"schema":"x","call":"ChuyenHoSo","body":{}}"#).is_err());
        assert!(LandEvent::read(br#"{"schema":"lienthong.land-event.v1","call":"Xoa","body":{}}"#).is_err());
    }

    #[test]
    fn the_same_content_has_the_same_id_and_any_other_another() {
        let json = |state: u8| serde_json::json!({ "SoBienNhan": "A-1", "MaTrangThai": state.to_string() });
        let id = envelope_id("A-1", "ChuyenHoSo", &json(3));
        assert_eq!(id, envelope_id("A-1", "ChuyenHoSo", &json(3)));
        assert_ne!(id, envelope_id("A-1", "ChuyenHoSo", &json(4)));
        assert_ne!(id, envelope_id("A-1", "KetThucHoSo", &json(3)));
        assert_ne!(id, envelope_id("A-2", "ChuyenHoSo", &json(3)));
        assert_eq!(id.to_string().as_bytes()[14], b'8', "{id}");
    }

    #[test]
    fn a_file_is_named_after_what_it_is() {
        let check = |label: &str, extension: &str, expected: &str| assert_eq!(file_name(label, extension), expected);
        check("Giấy chứng nhận", "pdf", "Giấy chứng nhận.pdf");
        check("ket-qua.PDF", ".pdf", "ket-qua.PDF");
        check("Thông báo thuế 12/2026", "PDF", "Thông báo thuế 12-2026.pdf");
        check("../../etc/passwd", "", "..-..-etc-passwd");
        check("a", "exe/../x", "a");
    }
}
