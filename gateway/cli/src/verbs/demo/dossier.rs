//! The papers of an invented land dossier: real files that open in any viewer.

use std::path::{Path, PathBuf};

/// One paper: file name, media type, and what it is for in the words of the procedure.
#[derive(Clone, Debug)]
pub struct Paper {
    /// Where it is.
    pub path: PathBuf,
    /// Media type.
    pub media_type: &'static str,
    /// What it is for.
    pub role: &'static str,
}

/// Writes the papers of a land file of `commune` into `folder`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, file_code: &str, commune: &str) -> std::io::Result<Vec<Paper>> {
    std::fs::create_dir_all(folder)?;
    let papers = [
        (
            "Đơn đăng ký biến động.html",
            "text/html",
            "Đơn đăng ký biến động đất đai",
            application(file_code, commune).into_bytes(),
        ),
        ("Trích lục bản đồ địa chính.svg", "image/svg+xml", "Trích lục bản đồ địa chính", parcel().into_bytes()),
        (
            "Tờ khai lệ phí trước bạ.xml",
            "application/xml",
            "Tờ khai lệ phí trước bạ",
            declaration(file_code).into_bytes(),
        ),
        ("Bản chụp Giấy chứng nhận.bmp", "image/bmp", "Giấy chứng nhận quyền sử dụng đất", scan(1240, 877)),
    ];
    let mut written = Vec::new();
    for (name, media_type, role, bytes) in papers {
        let path = folder.join(name);
        std::fs::write(&path, bytes)?;
        written.push(Paper { path, media_type, role });
    }
    Ok(written)
}

/// The answer: the land office's result, as a page.
pub fn answer(file_code: &str) -> String {
    page(
        "THÔNG BÁO KẾT QUẢ GIẢI QUYẾT HỒ SƠ",
        &format!(
            "<p>Văn phòng đăng ký đất đai đã hoàn thành việc đăng ký biến động theo hồ sơ <b>{file_code}</b>.</p>\
             <p>Đề nghị Bộ phận Một cửa cấp xã trả kết quả cho công dân.</p>"
        ),
    )
}

fn application(file_code: &str, commune: &str) -> String {
    page(
        "ĐƠN ĐĂNG KÝ BIẾN ĐỘNG ĐẤT ĐAI, TÀI SẢN GẮN LIỀN VỚI ĐẤT",
        &format!(
            "<p>Mã hồ sơ: <b>{file_code}</b></p><p>Người sử dụng đất: Nguyễn Văn Mẫu (nhân vật hư cấu)</p>\
             <p>Thửa đất số 118, tờ bản đồ số 24, diện tích 312,5 m², {commune}.</p>\
             <p>Nội dung biến động: nhận chuyển nhượng quyền sử dụng đất.</p>"
        ),
    )
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"vi\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body><h3>CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM<br>Độc lập - Tự do - Hạnh phúc</h3><h2>{title}</h2>\n{body}\n</body></html>\n"
    )
}

fn parcel() -> String {
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 400 300\">\n\
     <title>Trích lục bản đồ địa chính, thửa 118, tờ 24</title>\n\
     <rect width=\"400\" height=\"300\" fill=\"#fdfaf2\"/>\n\
     <path d=\"M80 60 L300 48 L322 214 L96 240 Z\" fill=\"#e7f0dd\" stroke=\"#b03030\" stroke-width=\"3\"/>\n\
     <text x=\"185\" y=\"140\" font-size=\"28\" font-family=\"serif\">118</text>\n\
     <text x=\"165\" y=\"170\" font-size=\"16\" font-family=\"serif\">312,5 m² ONT</text>\n\
     </svg>\n"
        .to_owned()
}

fn declaration(file_code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<toKhai maHoSo=\"{file_code}\">\n  <nguoiNop>Nguyễn Văn Mẫu</nguoiNop>\n  \
         <thuaDat so=\"118\" to=\"24\" dienTich=\"312.5\"/>\n  <giaTri donVi=\"VND\">480000000</giaTri>\n</toKhai>\n"
    )
}

/// A page-sized picture with a paper's texture: about 3 MB, so that the upload is worth watching.
fn scan(width: u32, height: u32) -> Vec<u8> {
    let row = (width * 3).next_multiple_of(4);
    let size = 54 + row * height;
    let mut file = Vec::with_capacity(size as usize);
    file.extend_from_slice(b"BM");
    for word in [size, 0, 54, 40, width, height] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(&[1, 0, 24, 0]);
    file.extend_from_slice(&[0u8; 24]);
    for y in 0..height {
        let start = file.len();
        for x in 0..width {
            let grain = ((x * 7 + y * 13) ^ (x * y / 97)) % 11;
            let frame = x < 30 || y < 30 || x + 30 > width || y + 30 > height;
            let tone = if frame { 150 } else { 235 } + grain as u8;
            file.extend_from_slice(&[tone.saturating_sub(35), tone.saturating_sub(12), tone]);
        }
        file.resize(start + row as usize, 0);
    }
    file
}
