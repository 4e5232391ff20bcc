//! The shared code in callers' URLs: read from a file, compared in constant time, shown nowhere.

use std::path::Path;

use adapters_sdk::AdapterError;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use gateway_model::Digest;

use crate::disk;

/// Characters of a shared code, at least: fewer could be tried out.
const CODE_CHARS_MIN: usize = 16;
/// Bytes of a file with a shared code.
const CODE_BYTES_MAX: u64 = 512;

/// A code that a caller has to know. Only its digest is kept, and nothing shows it.
#[derive(Clone)]
pub(crate) struct SharedCode(Digest);

impl SharedCode {
    /// Reads the code from the first line of a file.
    ///
    /// # Errors
    /// When there is none, or one that could be tried out.
    pub(crate) fn read(path: &Path) -> Result<Self, AdapterError> {
        read_code(path).map(|code| Self(Digest::of(code.as_bytes())))
    }

    /// Whether `code` is it; takes the same time whatever is different.
    pub(crate) fn fits(&self, code: &str) -> bool {
        verify_slices_are_equal(&self.0.0, &Digest::of(code.as_bytes()).0).is_ok()
    }
}

impl std::fmt::Debug for SharedCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedCode")
    }
}

/// The code in a file: its first line.
pub(crate) fn read_code(path: &Path) -> Result<String, AdapterError> {
    let bytes = disk::read(path, CODE_BYTES_MAX)?;
    let wrong = |problem: &str| AdapterError::Other(format!("{}: {problem}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no text"))?;
    let code = text.lines().next().unwrap_or_default().trim();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if code.len() < CODE_CHARS_MIN || !code.bytes().all(fits) {
        return Err(wrong("holds no code of at least 16 letters, digits and -._~ on its first line"));
    }
    Ok(code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_from_its_file_fits_only_itself_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        std::fs::write(&path, "hai-tram-linh-mot-9f\nsecond line\n").unwrap();
        let code = SharedCode::read(&path).unwrap();
        assert!(code.fits("hai-tram-linh-mot-9f"));
        for wrong in ["", "hai-tram-linh-mot-9", "hai-tram-linh-mot-9f\n", "HAI-TRAM-LINH-MOT-9F"] {
            assert!(!code.fits(wrong), "{wrong:?}");
        }
        assert_eq!(format!("{code:?}"), "SharedCode");
        for bad in ["short", "", "has spaces inside of it", "có dấu tiếng Việt trong mã"] {
            std::fs::write(&path, bad).unwrap();
            let told = SharedCode::read(&path).unwrap_err().to_string();
            assert!(told.contains("16 letters") && (bad.is_empty() || !told.contains(bad)), "{told}");
        }
    }
}
