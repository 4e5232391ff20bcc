//! Every text of the console, in Vietnamese and English: a word without both does not compile.
//!
//! Words are Vietnamese first, as clerks use them; codes stay as they are in both languages.

use gateway_model::language::Language;

/// A text in both languages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word {
    /// Tiếng Việt.
    pub vi: &'static str,
    /// English.
    pub en: &'static str,
}

impl Word {
    /// The text in the reader's language.
    pub(crate) const fn of(self, language: Language) -> &'static str {
        match language {
            Language::Vi => self.vi,
            Language::En => self.en,
        }
    }
}

/// Declares words: `NAME = "tiếng Việt", "English";`.
macro_rules! words {
    ($($name:ident = $vi:literal, $en:literal;)*) => {
        $(pub(crate) const $name: $crate::words::Word = $crate::words::Word { vi: $vi, en: $en };)*

        /// Every word of this module.
        #[cfg(test)]
        pub(crate) const ALL: &[$crate::words::Word] = &[$($name),*];
    };
}

pub(crate) mod act;
pub(crate) mod bulk;
pub(crate) mod fault;
pub(crate) mod flow;
pub(crate) mod frame;
pub(crate) mod health;
pub(crate) mod list;
pub(crate) mod state;
pub(crate) mod statistics;
pub(crate) mod stuck;
pub(crate) mod timeline;
pub(crate) mod trust;

#[cfg(test)]
mod tests {
    use unicode_normalization::is_nfc;

    use super::*;

    const MODULES: [&[Word]; 12] = [
        act::ALL,
        bulk::ALL,
        fault::ALL,
        flow::ALL,
        frame::ALL,
        health::ALL,
        list::ALL,
        state::ALL,
        statistics::ALL,
        stuck::ALL,
        timeline::ALL,
        trust::ALL,
    ];

    #[test]
    fn every_word_is_there_in_both_languages_and_composed() {
        for word in MODULES.concat() {
            for text in [word.vi, word.en] {
                assert!(!text.trim().is_empty(), "{word:?}");
                assert!(is_nfc(text), "{word:?}");
            }
            assert!(word.en.is_ascii() || word.en.chars().all(|c| c.is_ascii() || "…–→·≤".contains(c)), "{word:?}");
        }
    }

    #[test]
    fn one_thing_has_one_name_in_vietnamese() {
        let second_names = ["cổng liên thông", "cổng kết nối", "bộ nối", "bộ chuyển đổi", "bộ điều hợp", "chứng chỉ"];
        for word in MODULES.concat() {
            let text = word.vi.to_lowercase();
            assert!(!second_names.iter().any(|name| text.contains(name)), "{word:?}");
            assert_eq!(text.matches("chứng thư").count(), text.matches("chứng thư số").count(), "{word:?}");
        }
    }
}
