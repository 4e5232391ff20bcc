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
    if name.chars().count() > limits::PART_NAME_CHARS_MAX {
        return Err("it is too long");
    }
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        return Err("it has a path");
    }
    check_text(name, usize::MAX, Lines::One)
}

fn is_nfc(text: &str) -> bool {
    // Nearly every text here: looking each character up in the tables would cost as much as checking a signature.
    if text.chars().all(is_always_composed) {
        return true;
    }
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => text.chars().nfc().eq(text.chars()),
    }
}

/// Latin with all that Vietnamese needs: in these blocks nothing combines and nothing decomposes under NFC.
fn is_always_composed(c: char) -> bool {
    matches!(c, '\0'..='\u{2ff}' | '\u{1e00}'..='\u{1eff}')
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
    fn what_passes_without_the_tables_would_pass_by_them() {
        for c in (char::MIN..=char::MAX).filter(|&c| is_always_composed(c)) {
            assert_eq!(is_nfc_quick(std::iter::once(c)), IsNormalized::Yes, "{c:?}");
            assert_eq!(unicode_normalization::char::canonical_combining_class(c), 0, "{c:?}");
        }
        assert!(!is_nfc("Viê\u{323}t"), "the tables decide about everything else");
        assert!(is_nfc("Việt 越南"));
    }

    #[test]
    fn only_a_text_of_many_lines_has_line_breaks() {
        assert!(check_text("một\nhai", 100, Lines::One).is_err());
        assert!(check_text("một\nhai", 100, Lines::Many).is_ok());
        assert!(check_text("một\rhai", 100, Lines::Many).is_err());
        assert!(check_text("một", 3, Lines::One).is_err());
    }
}
