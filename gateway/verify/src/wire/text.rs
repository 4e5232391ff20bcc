//! Rules for texts that people will read: one spelling (NFC), a bound, and nothing that hides or reorders what is
//! shown.

use gateway_model::limits;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Whether a text may have line breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lines {
    /// One line.
    One,
    /// Line breaks and tabs are allowed.
    Many,
}

/// Checks a text of an envelope.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_text(text: &str, bytes_max: usize, lines: Lines) -> Result<(), &'static str> {
    if text.len() > bytes_max {
        return Err("it is too long");
    }
    if is_plain(text) {
        return Ok(());
    }
    if text.chars().any(|c| is_hidden(c) && !(lines == Lines::Many && matches!(c, '\n' | '\t'))) {
        return Err("it has control or bidirectional characters");
    }
    if is_nfc(text) { Ok(()) } else { Err("it is not in Unicode normalization form C") }
}

/// Checks the display name of a part. It is never used as a file name; it could still fool somebody who does.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_part_name(name: &str) -> Result<(), &'static str> {
    if name.trim().is_empty() {
        return Err("it is empty");
    }
    if name.len() > limits::PART_NAME_CHARS_MAX && name.chars().count() > limits::PART_NAME_CHARS_MAX {
        return Err("it is too long");
    }
    if name.bytes().any(|byte| matches!(byte, b'/' | b'\\')) || name == "." || name == ".." {
        return Err("it has a path");
    }
    check_text(name, usize::MAX, Lines::One)
}

fn is_nfc(text: &str) -> bool {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => text.chars().nfc().eq(text.chars()),
    }
}

/// Whether a text has printable ASCII, U+00C0 to U+02FF and U+1E00 to U+1EFF only: Latin with all that Vietnamese needs.
/// Nothing there is hidden, combines or decomposes. Nearly every text here is such, and looking each character up in
/// tables would cost more than checking a signature; this looks at bytes, many at a time.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let after = bytes.get(1..).unwrap_or_default();
    // ASCII, continuation bytes, the first bytes of U+00C0 to U+02FF, and the first byte of U+1000 to U+1FFF, of which
    // the second byte tells the rest. Two loops without a way out early: the compiler turns them into wide instructions.
    let is_known = |byte: u8| matches!(byte, 0x20..=0x7e | 0x80..=0xbf | 0xc3..=0xcb) | (byte == 0xe1);
    let is_latin = |byte: u8, next: u8| (byte != 0xe1) | matches!(next, 0xb8..=0xbb);
    bytes.iter().fold(true, |plain, &byte| plain & is_known(byte))
        && bytes.iter().zip(after).fold(true, |plain, (&byte, &next)| plain & is_latin(byte, next))
}

/// Control characters, line and paragraph separators, bidirectional controls, and characters of no width that hide
/// differences.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' |
            '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_name_has_no_path_and_nothing_hidden() {
        for good in ["Đơn đăng ký.pdf", "Trích lục bản đồ (tờ 12).pdf", "a..b.txt", ".ẩn"] {
            assert_eq!(check_part_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(limits::PART_NAME_CHARS_MAX + 1);
        let bad = [
            "",
            " ",
            "../etc/passwd",
            "..",
            "a/b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{202e}fdp.exe",
            "a\u{2028}b",
            "e\u{301}.pdf",
            long.as_str(),
        ];
        for name in bad {
            assert!(check_part_name(name).is_err(), "{name:?}");
        }
        assert_eq!(check_part_name(&"ạ".repeat(limits::PART_NAME_CHARS_MAX)), Ok(()), "the bound counts characters");
    }

    #[test]
    fn a_plain_text_would_pass_by_the_tables() {
        let plain = |c: &char| is_plain(&c.to_string());
        for c in (char::MIN..=char::MAX).filter(plain) {
            assert!(!is_hidden(c), "{c:?}");
            assert_eq!(is_nfc_quick(std::iter::once(c)), IsNormalized::Yes, "{c:?}");
            assert_eq!(unicode_normalization::char::canonical_combining_class(c), 0, "{c:?}");
        }
        assert!(is_plain("Trích lục bản đồ địa chính số 12/QĐ"), "what is written here is plain");
        assert!(check_text("Viê\u{323}t", 100, Lines::One).is_err(), "the tables decide about everything else");
        assert!(check_text("Việt 越南", 100, Lines::One).is_ok());
    }

    #[test]
    fn only_a_text_of_many_lines_has_line_breaks() {
        assert!(check_text("một\nhai", 100, Lines::One).is_err());
        assert!(check_text("một\nhai", 100, Lines::Many).is_ok());
        assert!(check_text("một\rhai", 100, Lines::Many).is_err());
        assert!(check_text("một", 3, Lines::One).is_err());
    }
}
