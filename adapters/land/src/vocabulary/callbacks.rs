//! What a land system says to a one-stop desk: hand-overs, pauses, tax notices, the end.

use gateway_model::Refusal;
use serde::{Deserialize, Serialize};

use super::calls::TapTin;
use super::{Moment, check_file_code, lenient, read};

/// The callbacks of a land system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CallbackName {
    /// One officer hands the file over to another.
    ChuyenHoSo,
    /// The citizen has to bring more.
    YeuCauBoSungHoSo,
    /// What was asked for has come.
    NhanBoSungHoSo,
    /// Tax notices.
    GuiKetQuaThue,
    /// The file is at its end.
    KetThucHoSo,
}

impl CallbackName {
    /// Every callback.
    pub const ALL: [Self; 5] =
        [Self::ChuyenHoSo, Self::YeuCauBoSungHoSo, Self::NhanBoSungHoSo, Self::GuiKetQuaThue, Self::KetThucHoSo];

    /// The name in the URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChuyenHoSo => "ChuyenHoSo",
            Self::YeuCauBoSungHoSo => "YeuCauBoSungHoSo",
            Self::NhanBoSungHoSo => "NhanBoSungHoSo",
            Self::GuiKetQuaThue => "GuiKetQuaThue",
            Self::KetThucHoSo => "KetThucHoSo",
        }
    }

    /// Reads the name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.as_str().eq_ignore_ascii_case(text))
    }
}

/// A callback with what it says.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "named like the callbacks themselves")]
pub enum Callback {
    ChuyenHoSo(ChuyenHoSo),
    YeuCauBoSungHoSo(YeuCauBoSungHoSo),
    NhanBoSungHoSo(NhanBoSungHoSo),
    GuiKetQuaThue(GuiKetQuaThue),
    KetThucHoSo(KetThucHoSo),
}

impl Callback {
    /// Reads the JSON of the callback `name`.
    ///
    /// # Errors
    /// When it cannot be read, or names no file.
    pub fn read(name: CallbackName, json: &[u8]) -> Result<Self, Refusal> {
        let callback = match name {
            CallbackName::ChuyenHoSo => Self::ChuyenHoSo(read(json)?),
            CallbackName::YeuCauBoSungHoSo => Self::YeuCauBoSungHoSo(read(json)?),
            CallbackName::NhanBoSungHoSo => Self::NhanBoSungHoSo(read(json)?),
            CallbackName::GuiKetQuaThue => Self::GuiKetQuaThue(read(json)?),
            CallbackName::KetThucHoSo => Self::KetThucHoSo(read(json)?),
        };
        check_file_code(callback.file_code())?;
        Ok(callback)
    }

    /// Which one it is.
    pub fn name(&self) -> CallbackName {
        match self {
            Self::ChuyenHoSo(_) => CallbackName::ChuyenHoSo,
            Self::YeuCauBoSungHoSo(_) => CallbackName::YeuCauBoSungHoSo,
            Self::NhanBoSungHoSo(_) => CallbackName::NhanBoSungHoSo,
            Self::GuiKetQuaThue(_) => CallbackName::GuiKetQuaThue,
            Self::KetThucHoSo(_) => CallbackName::KetThucHoSo,
        }
    }

    /// The file that it is about.
    pub fn file_code(&self) -> &str {
        match self {
            Self::ChuyenHoSo(body) => &body.so_bien_nhan,
            Self::YeuCauBoSungHoSo(body) => &body.so_bien_nhan,
            Self::NhanBoSungHoSo(body) => &body.so_bien_nhan,
            Self::GuiKetQuaThue(body) => &body.so_bien_nhan,
            Self::KetThucHoSo(body) => &body.so_bien_nhan,
        }
    }

    /// What it says, as JSON in the systems' own words. The same callback always gives the same text.
    pub fn to_json(&self) -> serde_json::Value {
        let written = match self {
            Self::ChuyenHoSo(body) => serde_json::to_value(body),
            Self::YeuCauBoSungHoSo(body) => serde_json::to_value(body),
            Self::NhanBoSungHoSo(body) => serde_json::to_value(body),
            Self::GuiKetQuaThue(body) => serde_json::to_value(body),
            Self::KetThucHoSo(body) => serde_json::to_value(body),
        };
        // Plain structures of texts and numbers are always written.
        written.unwrap_or_default()
    }

    /// The files that come with it, each with the name a clerk reads.
    pub fn files(&mut self) -> Vec<FileSlot<'_>> {
        match self {
            Self::ChuyenHoSo(body) => TepKetQua::slots("DanhSachTapTin", &mut body.danh_sach_tap_tin),
            Self::KetThucHoSo(body) => TepKetQua::slots("DanhSachGiayToKetQua", &mut body.danh_sach_giay_to_ket_qua),
            Self::GuiKetQuaThue(body) => ThongBaoThue::slots(&mut body.danh_sach_thong_bao_thue),
            Self::YeuCauBoSungHoSo(_) | Self::NhanBoSungHoSo(_) => Vec::new(),
        }
    }
}

/// Where one file of a callback stands: by link, by value, or not at all.
#[derive(Debug)]
pub struct FileSlot<'a> {
    /// The list and the place in it.
    pub field: (&'static str, usize),
    /// What the file is, in words.
    pub label: &'a str,
    /// Its extension, as the system says it.
    pub extension: &'a str,
    /// The address to fetch it from.
    pub link: &'a mut String,
    /// The file itself.
    pub value: &'a mut Option<TapTin>,
}

/// `ChuyenHoSo`: one officer hands the file over to another.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct ChuyenHoSo {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub ma_can_bo_chuyen: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub ma_can_bo_nhan: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub ma_trang_thai: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub noi_dung_xu_ly: String,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_chuyen: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub han_xu_ly: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::list")]
    pub danh_sach_tap_tin: Vec<TepKetQua>,
}

/// `YeuCauBoSungHoSo`: the citizen has to bring more; with `LaTamDung` the clock stops.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct YeuCauBoSungHoSo {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_cho_bo_sung: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub la_tam_dung: bool,
    #[serde(default, deserialize_with = "lenient::text")]
    pub ghi_chu: String,
}

/// `NhanBoSungHoSo`: what was asked for has come; the clock goes on, to a new day.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct NhanBoSungHoSo {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_nhan_bo_sung: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_hen_tra_moi: Option<Moment>,
}

/// `GuiKetQuaThue`: tax notices.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct GuiKetQuaThue {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::list")]
    pub danh_sach_thong_bao_thue: Vec<ThongBaoThue>,
}

/// One tax notice.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct ThongBaoThue {
    #[serde(default, deserialize_with = "lenient::text")]
    pub ho_ten_chu: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub loai_thue: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_thong_bao_thue: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub duong_dan_thong_bao_thue: String,
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "String::is_empty")]
    pub kieu_file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap_tin: Option<TapTin>,
}

/// `KetThucHoSo`: the file is at its end.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct KetThucHoSo {
    #[serde(default, deserialize_with = "lenient::text")]
    pub so_bien_nhan: String,
    #[serde(default, deserialize_with = "lenient::moment")]
    pub ngay_ket_thuc: Option<Moment>,
    #[serde(default, deserialize_with = "lenient::whole")]
    pub trang_thai_ket_thuc: i64,
    /// Why, for a person; the products do not write it, and pass over it.
    #[serde(default, deserialize_with = "lenient::text", skip_serializing_if = "String::is_empty")]
    pub ghi_chu: String,
    #[serde(default, deserialize_with = "lenient::list")]
    pub danh_sach_giay_to_ket_qua: Vec<TepKetQua>,
}

/// A file that a land system gives: by link, as the products do, or by value.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the systems' own names")]
pub struct TepKetQua {
    #[serde(default, deserialize_with = "lenient::text")]
    pub ten_giay_to: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub kieu_file: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub link_file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap_tin: Option<TapTin>,
}

impl TepKetQua {
    fn slots<'a>(list: &'static str, papers: &'a mut [Self]) -> Vec<FileSlot<'a>> {
        let slot = |(at, paper): (usize, &'a mut Self)| FileSlot {
            field: (list, at),
            label: &paper.ten_giay_to,
            extension: &paper.kieu_file,
            link: &mut paper.link_file,
            value: &mut paper.tap_tin,
        };
        papers.iter_mut().enumerate().map(slot).collect()
    }
}

impl ThongBaoThue {
    fn slots(notices: &mut [Self]) -> Vec<FileSlot<'_>> {
        let mut slots = Vec::with_capacity(notices.len());
        for (at, notice) in notices.iter_mut().enumerate() {
            slots.push(FileSlot {
                field: ("DanhSachThongBaoThue", at),
                label: &notice.loai_thue,
                extension: &notice.kieu_file,
                link: &mut notice.duong_dan_thong_bao_thue,
                value: &mut notice.tap_tin,
            });
        }
        slots
    }
}
