//! The two languages that people read here.

/// Vietnamese or English; the person chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Tiếng Việt.
    Vi,
    /// English.
    En,
}

impl Language {
    /// Picks by an `accept-language` header or a `LANG` value: English when it leads, Vietnamese otherwise.
    pub fn negotiate(header: &str) -> Self {
        let first = header.split([',', ';', '_', '-', '.']).next().unwrap_or_default().trim();
        if first.eq_ignore_ascii_case("en") { Self::En } else { Self::Vi }
    }

    /// BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Vi => "vi",
            Self::En => "en",
        }
    }

    /// Picks one of two texts.
    pub fn pick<'a>(self, vi: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Vi => vi,
            Self::En => en,
        }
    }
}
