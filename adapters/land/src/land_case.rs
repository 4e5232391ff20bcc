//! `ho-so.json`: what a land file is, in a small schema of our own that both sides of the adapter write and read.
//!
//! The part has the role `land-case` and the media type `application/json`:
//!
//! ```json
//! {
//!   "schema": "lienthong.land-case.v1",
//!   "file_code": "H99.30.01-261008-0001",
//!   "received_by": "…", "received_at": "2026-10-08T09:30:00+07:00", "due_on": "2026-11-02",
//!   "place": { "province": "99", "district": "30", "commune": "01", "is_provincial": false },
//!   "applicant": { "name": "…", "identity_number": "…", "address": "…", "phone": "…", "email": "…" },
//!   "procedure": { "code": "1.012783", "name": "…" },
//!   "parcels": [ { "number": "12", "map_sheet": "7", "area_m2": 120.5, "address": "…" } ],
//!   "papers": [ { "name": "…", "originals": 1, "copies": 0, "file": { "name": "don.pdf", "sha256": "…" } } ],
//!   "note": "…", "returned_at": "2026-11-02"
//! }
//! ```
//!
//! Everything but `schema` and `file_code` may be absent. A paper's `file` names a part of the same envelope by its digest. In a supplement
//! (step `bo-sung`) `papers` are what was added, `due_on` is the new day and `note` the clerk's; when the result has been handed to the
//! citizen (step `tra-ket-qua`), `returned_at` says when.

use gateway_model::{Digest, Refusal};
use serde::{Deserialize, Serialize};

use crate::vocabulary::{
    CapNhatBoSung, CapNhatTraKetQua, GiayTo, Moment, TapTin, ThongTinNguoiNopDon, ThongTinQuyTrinh, ThongTinThuaDat,
    TiepNhan, malformed,
};

/// Name of the part.
pub const PART_NAME: &str = "ho-so.json";
/// Role of the part.
pub const PART_ROLE: &str = "land-case";
/// Schema of the part.
pub const SCHEMA: &str = "lienthong.land-case.v1";
/// Bytes of the part.
pub const PART_BYTES_MAX: u64 = 1024 * 1024;

/// A land file.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(default)]
pub struct LandCase {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// File code.
    pub file_code: String,
    /// Who took it in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub received_by: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Moment>,
    /// When the result is promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_on: Option<Moment>,
    /// Where the land is, by the land system's own numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Who handed it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applicant: Option<Applicant>,
    /// Which procedure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub procedure: Option<Procedure>,
    /// The parcels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parcels: Vec<Parcel>,
    /// The papers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub papers: Vec<Paper>,
    /// A note of the clerk.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When the result was handed to the citizen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned_at: Option<Moment>,
}

/// Where the land is.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(default)]
pub struct Place {
    /// Number of the province.
    pub province: String,
    /// Number of the district; systems still require it.
    pub district: String,
    /// Number of the commune.
    pub commune: String,
    /// Whether the procedure is a provincial one.
    pub is_provincial: bool,
}

/// Who handed the file in.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(default)]
pub struct Applicant {
    /// Name.
    pub name: String,
    /// Number of the identity card.
    pub identity_number: String,
    /// Address.
    pub address: String,
    /// Telephone.
    pub phone: String,
    /// E-mail.
    pub email: String,
}

/// Which procedure.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(default)]
pub struct Procedure {
    /// Code.
    pub code: String,
    /// Name.
    pub name: String,
}

/// A parcel.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(default)]
pub struct Parcel {
    /// Its number on the sheet.
    pub number: String,
    /// The sheet.
    pub map_sheet: String,
    /// Square metres.
    pub area_m2: f64,
    /// Address.
    pub address: String,
}

/// A paper.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(default)]
pub struct Paper {
    /// What it is.
    pub name: String,
    /// How many originals.
    pub originals: u32,
    /// How many copies.
    pub copies: u32,
    /// Its scan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PaperFile>,
}

/// The scan of a paper: a part of the same envelope.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(default)]
pub struct PaperFile {
    /// Its name.
    pub name: String,
    /// Its digest in hexadecimal.
    pub sha256: String,
}

impl LandCase {
    /// Reads the part.
    ///
    /// # Errors
    /// When it is not of this schema.
    pub fn read(json: &[u8]) -> Result<Self, Refusal> {
        let case: Self = serde_json::from_slice(json).map_err(|fault| unreadable(PART_NAME, &fault))?;
        if case.schema == SCHEMA { Ok(case) } else { Err(malformed(PART_NAME, "is of another schema")) }
    }

    /// The part's bytes. The same case always gives the same.
    pub fn write(&self) -> Vec<u8> {
        // Plain texts and numbers are always written.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The case of a file that a desk hands in; its papers have their files' digests already.
    pub fn of_file(file: &TiepNhan, papers: Vec<Paper>) -> Self {
        let person = &file.thong_tin_nguoi_nop_don;
        Self {
            schema: SCHEMA.to_owned(),
            file_code: file.so_bien_nhan.clone(),
            received_by: file.nguoi_tiep_nhan.clone(),
            received_at: file.ngay_tiep_nhan,
            due_on: file.ngay_hen_tra,
            place: Some(Place {
                province: file.tinh_id.clone(),
                district: file.huyen_id.clone(),
                commune: file.xa_id.clone(),
                is_provincial: file.la_quy_trinh_cap_tinh,
            }),
            applicant: Some(Applicant {
                name: person.ho_ten.clone(),
                identity_number: person.so_chung_minh.clone(),
                address: person.dia_chi_chi_tiet.clone(),
                phone: person.so_dien_thoai.clone(),
                email: person.email.clone(),
            }),
            procedure: Some(Procedure {
                code: file.thong_tin_quy_trinh.ma_quy_trinh.clone(),
                name: file.thong_tin_quy_trinh.ten_quy_trinh.clone(),
            }),
            parcels: file.thong_tin_thua_dat.iter().map(Parcel::of).collect(),
            papers,
            ..Self::default()
        }
    }

    /// The case of a supplement.
    pub fn of_supplement(supplement: &CapNhatBoSung, papers: Vec<Paper>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            file_code: supplement.so_bien_nhan.clone(),
            due_on: supplement.ngay_hen_tra_moi,
            note: supplement.ghi_chu.clone(),
            papers,
            ..Self::default()
        }
    }

    /// The case of a result that was handed to the citizen.
    pub fn of_return(returned: &CapNhatTraKetQua) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            file_code: returned.so_bien_nhan.clone(),
            returned_at: returned.ngay_tra,
            ..Self::default()
        }
    }

    /// What a land system is told of a new file; the papers are told apart, with their files.
    pub fn to_file(&self) -> TiepNhan {
        let place = self.place.clone().unwrap_or_default();
        let applicant = self.applicant.clone().unwrap_or_default();
        let procedure = self.procedure.clone().unwrap_or_default();
        TiepNhan {
            la_quy_trinh_cap_tinh: place.is_provincial,
            tinh_id: place.province,
            huyen_id: place.district,
            xa_id: place.commune,
            so_bien_nhan: self.file_code.clone(),
            nguoi_tiep_nhan: self.received_by.clone(),
            ngay_tiep_nhan: self.received_at,
            ngay_hen_tra: self.due_on,
            thong_tin_nguoi_nop_don: ThongTinNguoiNopDon {
                ho_ten: applicant.name,
                so_chung_minh: applicant.identity_number,
                dia_chi_chi_tiet: applicant.address,
                so_dien_thoai: applicant.phone,
                email: applicant.email,
            },
            thong_tin_quy_trinh: ThongTinQuyTrinh { ma_quy_trinh: procedure.code, ten_quy_trinh: procedure.name },
            thong_tin_thua_dat: self.parcels.iter().map(Parcel::to_land).collect(),
            danh_sach_giay_to_dinh_kem: Vec::new(),
        }
    }

    /// The digests of the files that its papers name.
    pub fn named_files(&self) -> Vec<Digest> {
        self.papers.iter().filter_map(Paper::digest).collect()
    }
}

/// Where a part stops being readable; what stands there is the citizen's and is not told.
pub(crate) fn unreadable(part: &str, fault: &serde_json::Error) -> Refusal {
    malformed(part, &format!("cannot be read at line {}, column {}", fault.line(), fault.column()))
}

impl Parcel {
    fn of(parcel: &ThongTinThuaDat) -> Self {
        Self {
            number: parcel.so_thu_tu_thua.clone(),
            map_sheet: parcel.so_hieu_ban_do.clone(),
            area_m2: parcel.dien_tich,
            address: parcel.dia_chi_chi_tiet.clone(),
        }
    }

    fn to_land(&self) -> ThongTinThuaDat {
        ThongTinThuaDat {
            so_thu_tu_thua: self.number.clone(),
            so_hieu_ban_do: self.map_sheet.clone(),
            dien_tich: self.area_m2,
            dia_chi_chi_tiet: self.address.clone(),
        }
    }
}

impl Paper {
    /// The digest of its file.
    pub fn digest(&self) -> Option<Digest> {
        self.file.as_ref().and_then(|file| Digest::from_hex(&file.sha256))
    }

    /// What a land system is told of it; the bytes of the file are put in on the way out.
    pub fn to_land(&self) -> GiayTo {
        let file = |file: &PaperFile| TapTin { name: file.name.clone(), data: String::new() };
        GiayTo {
            ten_giay_to: self.name.clone(),
            so_ban_chinh: self.originals,
            so_ban_sao: self.copies,
            tap_tin: self.file.as_ref().map(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_survives_the_way_through_the_part() {
        let json = r#"{"LaQuyTrinhCapTinh":true,"TinhId":"99","HuyenId":"30","XaId":"01","SoBienNhan":"A-1","NguoiTiepNhan":"Lò Thị Mây",
            "NgayTiepNhan":"08/10/2026 09:30","NgayHenTra":"02/11/2026","ThongTinNguoiNopDon":{"HoTen":"Quàng Văn Pản",
            "SoChungMinh":"099000000001","DiaChiChiTiet":"Bản Mới","SoDienThoai":"0900000000","Email":"a@example.vn"},
            "ThongTinQuyTrinh":{"MaQuyTrinh":"1.012783","TenQuyTrinh":"Cấp lại giấy chứng nhận"},
            "ThongTinThuaDat":[{"SoThuTuThua":"12","SoHieuBanDo":"7","DienTich":120.5,"DiaChiChiTiet":"Bản Mới"}]}"#;
        let file: TiepNhan = crate::vocabulary::read(json.as_bytes()).unwrap();
        let case = LandCase::of_file(&file, Vec::new());
        assert_eq!(LandCase::read(&case.write()).unwrap().to_file(), file);
    }

    #[test]
    fn another_schema_and_impossible_days_are_refused() {
        let check = |json: &str, expected: &str| {
            let told = LandCase::read(json.as_bytes()).unwrap_err().to_string();
            assert!(told.starts_with("REQUEST_MALFORMED at ho-so.json") && told.contains(expected), "{told}");
        };
        check(r#"{"schema":"lienthong.land-case.v9"}"#, "another schema");
        check(r#"{"file_code":"A-1"}"#, "another schema");
        check(r#"{"schema":"lienthong.land-case.v1","due_on":"2026-02-30"}"#, "line 1");
        check("[]", "");
    }
}
