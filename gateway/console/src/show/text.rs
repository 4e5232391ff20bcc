//! Foreign text, made harmless: escaped, isolated from the direction of what surrounds it, invisible characters made visible.

use std::borrow::Cow;

use maud::{Markup, html};

/// Characters of a text that a page shows.
const SHOWN_CHARS_MAX: usize = 400;
/// A code of more bytes may break over lines.
const LONG_CODE_BYTES: usize = 44;

/// Text from outside.
pub(crate) fn safe(text: &str) -> Markup {
    html! { bdi { (visible(text)) } }
}

/// A code, an id or a digest.
pub(crate) fn code(text: &str) -> Markup {
    html! { code class=[(text.len() > LONG_CODE_BYTES).then_some("long")] { bdi { (visible(text)) } } }
}

/// A long digest by its first digits; the whole of it is what a pointer over it, or a copy, gives.
pub(crate) fn digest(bytes: &[u8]) -> Markup {
    let whole = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect::<String>();
    let head = whole.get(..12).unwrap_or(&whole);
    html! { code title=(whole) { (head) @if head.len() < whole.len() { "…" } } }
}

/// A long id by its first digits; the whole of it is what a pointer over it shows.
pub(crate) fn short_id(id: &str) -> Markup {
    let head: String = visible(id).chars().take(8).collect();
    html! { code title=(visible(id)) { bdi { (head) } @if head.len() < id.len() { "…" } } }
}

/// Code or dash.
pub(crate) fn code_or_dash(text: &str) -> Markup {
    if text.is_empty() { dash() } else { code(text) }
}

/// Text or dash.
pub(crate) fn safe_or_dash(text: &str) -> Markup {
    if text.is_empty() { dash() } else { safe(text) }
}

/// Nothing to show.
pub(crate) fn dash() -> Markup {
    html! { span.quiet { "–" } }
}

/// The text with control and direction characters spelled out, and cut where it is too long for a page. Good for attributes too.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_CHARS_MAX && !text.chars().any(is_tricky) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(4 * SHOWN_CHARS_MAX));
    for (count, character) in text.chars().enumerate() {
        if count >= SHOWN_CHARS_MAX {
            shown.push('…');
            break;
        }
        match character {
            '\n' | '\t' => shown.push(' '),
            tricky if is_tricky(tricky) => shown.push_str(&format!("[U+{:04X}]", u32::from(tricky))),
            plain => shown.push(plain),
        }
    }
    Cow::Owned(shown)
}

/// Control characters, marks of direction, and what has no width.
fn is_tricky(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str) {
        assert_eq!(safe(text).into_string(), format!("<bdi>{shown}</bdi>"));
    }

    #[test]
    fn hostile_text_is_shown_and_does_nothing() {
        check("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;");
        check("\"><img src=x>", "&quot;&gt;&lt;img src=x&gt;");
        check("hợp đồng\u{202e}fdp.exe", "hợp đồng[U+202E]fdp.exe");
        check("a\u{200b}b\u{2066}c\u{feff}\0", "a[U+200B]b[U+2066]c[U+FEFF][U+0000]");
        check("một\nhai", "một hai");
        check("Sở Tài nguyên và Môi trường", "Sở Tài nguyên và Môi trường");
    }

    #[test]
    fn long_text_is_cut() {
        let shown = visible(&"ệ".repeat(10_000)).into_owned();
        assert_eq!(shown.chars().count(), SHOWN_CHARS_MAX + 1);
        assert!(shown.ends_with('…'));
    }
}
