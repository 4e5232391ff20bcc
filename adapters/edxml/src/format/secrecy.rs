//! Marks of secrecy: classified papers are outside of the standard and are refused.
//!
//! A mark is a whole field that says nothing else, an element made for it, or capitals at the head of an abstract. Words such as "bảo mật"
//! or "bí mật nhà nước" in a sentence are no mark.

use unicode_normalization::UnicodeNormalization as _;

use super::fault::{Defect, Fault};
use super::tree::Node;

const MARKS: [&str; 6] = ["mật", "tối mật", "tuyệt mật", "secret", "top secret", "confidential"];
const ELEMENTS: [&str; 8] =
    ["secret", "secrecy", "secrecylevel", "security", "securitylevel", "confidentiality", "domat", "mucdomat"];
const NO_MARK: [&str; 7] = ["", "0", "không", "thường", "none", "normal", "false"];

/// Refuses a package with a mark anywhere.
pub(super) fn check(root: &Node) -> Result<(), Fault> {
    let mut marked = None;
    root.visit(&mut |node| {
        if marked.is_none() && is_marked(node) {
            marked = Some(node.name.clone());
        }
    });
    marked.map_or(Ok(()), |name| Err(Fault::new(Defect::SecrecyMark, name)))
}

fn is_marked(node: &Node) -> bool {
    if node.text.is_empty() || node.text.len() > 8 * 1024 {
        return false;
    }
    let text: String = node.text.nfc().collect();
    let lower = text.to_lowercase();
    if ELEMENTS.contains(&node.name.to_ascii_lowercase().as_str()) {
        return !NO_MARK.contains(&lower.as_str());
    }
    is_mark(&lower) || (matches!(node.name.as_str(), "Subject" | "Content") && begins_with_mark(&text))
}

fn is_mark(lower: &str) -> bool {
    let bare = lower.trim_matches(|c: char| !c.is_alphabetic());
    let bare = ["độ mật", "mức độ mật", "dấu mật"]
        .iter()
        .find_map(|label| bare.strip_prefix(label).and_then(|rest| rest.trim_start().strip_prefix(':')))
        .unwrap_or(bare);
    MARKS.contains(&bare.trim())
}

/// `MẬT - …`, `[TỐI MẬT] …`: the mark is in capitals and stands by itself, in brackets in any letters, or alone on its line.
fn begins_with_mark(text: &str) -> bool {
    let first = text.trim_start();
    let bracketed = first.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let bracketed = bracketed.or_else(|| first.strip_prefix('[').and_then(|rest| rest.split_once(']')));
    let line = first.lines().next().filter(|line| line.len() < first.len());
    if bracketed.map(|(inner, _)| inner).into_iter().chain(line).any(|mark| is_mark(&mark.to_lowercase())) {
        return true;
    }
    let head = text.trim_start_matches(|c: char| !c.is_alphabetic());
    MARKS.iter().any(|mark| {
        let capitals = mark.to_uppercase();
        head.strip_prefix(capitals.as_str()).is_some_and(|rest| {
            let rest = rest.trim_start_matches([' ', '\t', '\u{a0}']);
            rest.is_empty() || rest.starts_with([')', ']', '-', '–', '—', ':', '.', '/', '*'])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::{NAMESPACE, read};

    #[test]
    fn a_mark_is_found_and_a_sentence_about_secrets_is_not() {
        let check = |inner: &str, expected: bool| {
            let root = read(format!("<a xmlns=\"{NAMESPACE}\">{inner}</a>").as_bytes()).unwrap();
            assert_eq!(super::check(&root).is_err(), expected, "{inner}");
        };
        check("<TyperNotation>Mật</TyperNotation>", true);
        check("<TyperNotation>Độ mật: TỐI MẬT</TyperNotation>", true);
        check("<Appendix>(Tuyệt mật)</Appendix>", true);
        check("<Subject>MẬT - Về việc phòng thủ</Subject>", true);
        check("<Subject>[TỐI MẬT] Về việc</Subject>", true);
        check("<Subject>(Mật) Về việc phòng thủ</Subject>", true);
        check("<Subject>[Tuyệt mật] Về việc</Subject>", true);
        check("<Subject>MẬT\nVề việc phòng thủ</Subject>", true);
        check("<Content>Tối mật\r\nNội dung</Content>", true);
        check("<Subject>MẬT\u{a0}- Về việc</Subject>", true);
        check("<Subject>(Bảo mật) Về việc</Subject>", false);
        check("<Subject>Mật ong\nrừng</Subject>", false);
        check("<SecurityLevel>1</SecurityLevel>", true);
        check("<SecurityLevel>0</SecurityLevel>", false);
        check("<Subject>Về việc bảo mật thông tin</Subject>", false);
        check("<Subject>Mật ong rừng U Minh</Subject>", false);
        check("<Subject>MẬT ĐỘ DÂN SỐ năm 2026</Subject>", false);
        check("<Subject>Luật Bảo vệ bí mật nhà nước</Subject>", false);
    }
}
