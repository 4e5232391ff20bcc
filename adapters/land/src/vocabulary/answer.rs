//! The answers: what a land system says to a call, and what a one-stop desk says to a callback.

use serde::{Deserialize, Serialize};

use super::lenient;

/// `{data, status}`: a land system's answer to a call.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Answer {
    /// Whatever it gives back.
    #[serde(default)]
    pub data: serde_json::Value,
    /// How it went.
    pub status: Status,
}

/// How a call went.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Whether it was done.
    #[serde(deserialize_with = "lenient::flag")]
    pub success: bool,
    /// The system's own code.
    #[serde(default, deserialize_with = "lenient::text")]
    pub code: String,
    /// The system's own type.
    #[serde(default, deserialize_with = "lenient::text", rename = "type")]
    pub kind: String,
    /// When.
    #[serde(default, deserialize_with = "lenient::text")]
    pub time: String,
    /// For a person.
    #[serde(default, deserialize_with = "lenient::text")]
    pub message: String,
}

/// `{Result, Message}`: the answer to a callback.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "PascalCase")]
pub struct CallbackAnswer {
    /// 1: taken; 0: not.
    #[serde(deserialize_with = "lenient::whole")]
    pub result: i64,
    /// For a person.
    #[serde(default, deserialize_with = "lenient::text")]
    pub message: String,
}

/// Whether a message means that the other side has it already, by texts in lower case.
pub(crate) fn says_already_there(texts: &[String], message: &str) -> bool {
    let message = message.to_lowercase();
    texts.iter().any(|text| message.contains(text.as_str()))
}

#[cfg(test)]
mod tests {
    use crate::vocabulary::{Callback, CallbackName, TiepNhan, read};

    use super::*;

    #[test]
    fn a_file_is_read_with_numbers_as_texts_nulls_and_missing_optionals_and_written_in_full() {
        let json = r#"{"LaQuyTrinhCapTinh":"1","TinhId":99,"SoBienNhan":" H99.30.01-261008-0001 ","NgayTiepNhan":"08/10/2026",
            "NgayHenTra":"0001-01-01T00:00:00","ThongTinNguoiNopDon":null,"Moi":{"x":1},
            "ThongTinThuaDat":[{"SoThuTuThua":12,"DienTich":"120,5"}],
            "DanhSachGiayToDinhKem":[{"TenGiayTo":"Đơn","SoBanChinh":"1","TapTin":{"name":"don.pdf","data":"eA=="}}]}"#;
        let file: TiepNhan = read(json.as_bytes()).unwrap();
        assert!(file.la_quy_trinh_cap_tinh);
        assert_eq!((file.tinh_id.as_str(), file.so_bien_nhan.as_str()), ("99", "H99.30.01-261008-0001"));
        assert_eq!(file.ngay_tiep_nhan.unwrap().day(), "2026-10-08");
        assert_eq!(file.ngay_hen_tra, None);
        assert_eq!(file.thong_tin_thua_dat[0].dien_tich, 120.5);
        assert_eq!(file.danh_sach_giay_to_dinh_kem[0].so_ban_chinh, 1);
        let written = serde_json::to_value(&file).unwrap();
        assert_eq!(written["ThongTinThuaDat"][0]["SoThuTuThua"], "12");
        assert_eq!(written["HuyenId"], "", "what the systems still require is always written");
        assert_eq!(read::<TiepNhan>(written.to_string().as_bytes()).unwrap(), file);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_value() {
        let told = |name, json: &str| Callback::read(name, json.as_bytes()).unwrap_err().to_string();
        let said = told(CallbackName::NhanBoSungHoSo, r#"{"SoBienNhan":"A-1","NgayHenTraMoi":"31/02/2026"}"#);
        assert!(said.contains("31/02/2026"), "{said}");
        assert!(told(CallbackName::ChuyenHoSo, r#"{"MaTrangThai":"3"}"#).contains("SoBienNhan"));
        assert!(
            told(CallbackName::KetThucHoSo, r#"{"SoBienNhan":"A-1","TrangThaiKetThuc":"x"}"#).contains("whole number")
        );
        assert!(told(CallbackName::KetThucHoSo, "<html>").starts_with("REQUEST_MALFORMED"));
        let long = format!(r#"{{"SoBienNhan":"{}"}}"#, "9".repeat(200));
        assert!(told(CallbackName::ChuyenHoSo, &long).contains("128 bytes"));
        let text = format!(r#"{{"SoBienNhan":"A-1","NoiDungXuLy":"{}"}}"#, "x".repeat(9_000));
        assert!(told(CallbackName::ChuyenHoSo, &text).contains("8192"));
    }

    #[test]
    fn an_answer_is_read_whatever_the_case_of_its_numbers() {
        let answer: Answer = read(br#"{"status":{"success":"true","code":200,"message":null}}"#).unwrap();
        assert!(answer.status.success);
        assert_eq!(answer.status.code, "200");
        let answer: CallbackAnswer = read(br#"{"Result":"1"}"#).unwrap();
        assert_eq!(answer.result, 1);
        assert!(read::<Answer>(br#"{"data":{}}"#).is_err(), "no status is no success");
    }
}
