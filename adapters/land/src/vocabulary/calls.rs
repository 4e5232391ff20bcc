//! What a one-stop desk says to a land system: a file, its supplement, its result handed to the citizen.

use serde::{Deserialize, Serialize};

use super::{Moment, lenient};

/// The calls of a one-stop desk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CallName {
    /// Takes a file in.
    TiepNhan,
    /// The supplement has come.
    CapNhatBoSung,
    /// The result has been handed to the citizen.
    CapNhatTraKetQua,
}

impl CallName {
    /// Every call.
    pub const ALL: [Self; 3] = [Self::TiepNhan, Self::CapNhatBoSung, Self::CapNhatTraKetQua];

    /// The name in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TiepNhan => "tiepnhan",
            Self::CapNhatBoSung => "capnhattrangthaibosunghoso",
            Self::CapNhatTraKetQua => "capnhattrangthaitraketquahoso",
        }
    }

    /// Reads the name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.as_str().eq_ignore_ascii_case(text))
    }
}

/// `tiepnhan`: a file for the land system.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the fields carry the systems' own names; domain words, listed in one place")]
pub struct TiepNhan {
    #[serde(default, deserialize_with = "lenient::flag")]
    pub la_quy_trinh_cap_tinh: bool,
    #[serde(default, deserialize_with = "lenient::text")]
    pub tinh_id: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub huyen_id: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub xa_id: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub nguoi_tiep_nhan: String,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_tiep_nhan: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_hen_tra: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::nested")]
    pub thong_tin_nguoi_nop_don: ThongTinNguoiNopDon,
    #[serde(default, deserialize_with = "lenient::nested")]
    pub thong_tin_quy_trinh: ThongTinQuyTrinh,
    #[serde(default, deserialize_with = "lenient::list")]
    pub thong_tin_thua_dat: Vec<ThongTinThuaDat>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub danh_sach_giay_to_dinh_kem: Vec<GiayTo>,
}

/// Who hands the file in.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct ThongTinNguoiNopDon {
    #[serde(default, deserialize_with = "lenient::text")]
    pub ho_ten: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_chung_minh: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub dia_chi_chi_tiet: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_dien_thoai: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub email: String,
}

/// The procedure.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct ThongTinQuyTrinh {
    #[serde(default, deserialize_with = "lenient::text")]
    pub ma_quy_trinh: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub ten_quy_trinh: String,
}

/// A parcel of land.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct ThongTinThuaDat {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_thu_tu_thua: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_hieu_ban_do: String,
    #[serde(default, deserialize_with = "lenient::area")]
    pub dien_tich: f64,
    #[serde(default, deserialize_with = "lenient::text")]
    pub dia_chi_chi_tiet: String,
}

/// A paper of the file, with its scan where there is one.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct GiayTo {
    #[serde(default, deserialize_with = "lenient::text")]
    pub ten_giay_to: String,
    #[serde(default, deserialize_with = "lenient::count")]
    pub so_ban_chinh: u32,
    #[serde(default, deserialize_with = "lenient::count")]
    pub so_ban_sao: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap_tin: Option<TapTin>,
}

/// A file by value: its name, and its bytes in base64, or what stands for bytes that were put aside (see the crate's `body`).
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct TapTin {
    #[serde(default, alias = "Name", deserialize_with = "lenient::text")]
    pub name: String,
    #[serde(default, alias = "Data", deserialize_with = "lenient::data")]
    pub data: String,
}

/// `capnhattrangthaibosunghoso`: the supplement has come.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct CapNhatBoSung {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_hen_tra_moi: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub ghi_chu: String,
    #[serde(default, deserialize_with = "lenient::list")]
    pub danh_sach_giay_to_bo_sung: Vec<GiayTo>,
}

/// `capnhattrangthaitraketquahoso`: the result has been handed to the citizen.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct CapNhatTraKetQua {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_tra: Option<Moment>,
}
