//! Names of files for parts. A part's own name is display metadata of a stranger: little of it reaches the disk.

/// Bytes of a file name, well below the 255 that file systems take.
const NAME_BYTES_MAX: usize = 120;
/// Characters of an extension that are kept when the rest is cut.
const EXTENSION_CHARS_MAX: usize = 8;

/// `NN-name`: letters of Vietnamese and other Latin scripts, digits and a little punctuation; everything else becomes `_`.
pub(super) fn file_name(number: usize, display_name: &str) -> String {
    let name: String = display_name.chars().map(|c| if is_kept(c) { c } else { '_' }).collect();
    // A leading dot hides a file, a trailing dot or space misleads some systems.
    let name = name.trim_matches(|c: char| matches!(c, '.' | ' ' | '_' | '-'));
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.chars().count() <= EXTENSION_CHARS_MAX => (stem, format!(".{extension}")),
        _ => (name, String::new()),
    };
    let mut stem = stem.to_owned();
    while stem.len() + extension.len() > NAME_BYTES_MAX {
        stem.pop();
    }
    let stem = if stem.is_empty() { "part" } else { &stem };
    format!("{number:02}-{stem}{extension}")
}

fn is_kept(c: char) -> bool {
    let is_latin = matches!(c, '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}') && c.is_alphabetic();
    c.is_ascii_alphanumeric() || is_latin || matches!(c, '.' | '-' | '_' | ' ' | '(' | ')' | ',' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_has_no_path_no_control_characters_and_no_surprises() {
        let check = |display: &str, expected: &str| assert_eq!(file_name(1, display), expected, "{display:?}");
        check("Đơn đăng ký biến động.pdf", "01-Đơn đăng ký biến động.pdf");
        check("../../etc/passwd", "01-etc_passwd");
        check("..\\..\\a.exe", "01-a.exe");
        check("/etc/shadow", "01-etc_shadow");
        check("a\0b\nc.pdf", "01-a_b_c.pdf");
        check("hồ\u{202E}sơfdp.exe", "01-hồ_sơfdp.exe");
        check(".bashrc", "01-bashrc");
        check("x.pdf. . ", "01-x.pdf");
        check("$(rm -rf ~);`id`|*?.pdf", "01-(rm -rf _)__id____.pdf");
        check("", "01-part");
        check("...", "01-part");
        check("CON", "01-CON");
        check("文書.pdf", "01-pdf");
    }

    #[test]
    fn a_long_name_is_cut_at_a_character_and_keeps_its_extension() {
        let name = file_name(7, &format!("{}.pdf", "ữ".repeat(255)));
        assert!(name.len() <= NAME_BYTES_MAX + 3 && name.starts_with("07-ữ") && name.ends_with("ữ.pdf"), "{name}");
        let name = file_name(7, &format!("a.{}", "b".repeat(300)));
        assert_eq!(name.len(), NAME_BYTES_MAX + 3);
    }
}
