//! The calls and callbacks of the land systems, in their own words: read tolerantly, written strictly.
//!
//! Fields carry the systems' own names (`SoBienNhan`, `NgayHenTraMoi`, …). Reading takes missing optionals, `null`, numbers as strings and
//! strings as numbers, and days as `dd/MM/yyyy`, `yyyy-MM-dd` or ISO 8601 with a zone; unknown fields are passed over. Writing gives every
//! field, numbers as numbers, days as `yyyy-MM-dd` and instants as `yyyy-MM-ddTHH:mm:ss+07:00`.

use gateway_model::{Reason, Refusal};
use serde::de::DeserializeOwned;

mod answer;
mod callbacks;
mod calls;
mod lenient;
mod moment;

pub(crate) use answer::says_already_there;
pub use answer::{Answer, CallbackAnswer, Status};
pub use callbacks::{
    Callback, CallbackName, ChuyenHoSo, GuiKetQuaThue, KetThucHoSo, NhanBoSungHoSo, TepKetQua, ThongBaoThue,
    YeuCauBoSungHoSo,
};
pub use calls::{
    CallName, CapNhatBoSung, CapNhatTraKetQua, GiayTo, TapTin, ThongTinNguoiNopDon, ThongTinQuyTrinh, ThongTinThuaDat,
    TiepNhan,
};
pub use moment::Moment;

/// Bytes of a file code.
pub const FILE_CODE_BYTES_MAX: usize = 128;

/// Reads the JSON of a call.
///
/// # Errors
/// [`Reason::RequestMalformed`] with the place and what would be right.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(json).map_err(|fault| malformed("body", &fault.to_string()))
}

/// A file code that can stand for a file: not empty, of a sane length, on one line.
///
/// # Errors
/// [`Reason::RequestMalformed`].
pub fn check_file_code(code: &str) -> Result<(), Refusal> {
    match code {
        "" => Err(malformed("SoBienNhan", "is missing")),
        code if code.len() > FILE_CODE_BYTES_MAX => {
            Err(malformed("SoBienNhan", &format!("has more than {FILE_CODE_BYTES_MAX} bytes")))
        }
        code if code.chars().any(char::is_control) => Err(malformed("SoBienNhan", "has control characters")),
        _ => Ok(()),
    }
}

/// A refusal about one field of a call.
pub fn malformed(field: &str, problem: &str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).at(field).saw(problem)
}
