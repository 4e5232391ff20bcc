//! How a reader wants pages: language and theme, from the address, a cookie, or the gateway's own language.

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use gateway_model::language::Language;

use crate::fields::Fields;

/// Cookie that names the language.
pub(crate) const LANGUAGE_COOKIE: &str = "__Host-lienthong-language";
/// Cookie that names the theme.
pub(crate) const THEME_COOKIE: &str = "__Host-lienthong-theme";

/// Light or dark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Theme {
    /// As the reader's machine has it.
    Automatic,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// How a reader wants pages, and which page it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    /// Language.
    pub language: Language,
    /// Theme.
    pub theme: Theme,
    /// Path and query of the page: where forms return to.
    pub place: String,
}

impl Theme {
    /// Every theme.
    pub(crate) const ALL: [Self; 3] = [Self::Automatic, Self::Light, Self::Dark];

    /// Its name in cookies and forms.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Reads the name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text)
    }
}

impl Look {
    /// Reads what the request says; `default` is the gateway's language.
    pub(crate) fn of(parts: &Parts, default: Language) -> Self {
        let asked = Fields::read(parts.uri.query().unwrap_or_default().as_bytes());
        let language = language(asked.first("lang")).or_else(|| language(cookie(&parts.headers, LANGUAGE_COOKIE)));
        let theme = Theme::parse(cookie(&parts.headers, THEME_COOKIE)).unwrap_or(Theme::Automatic);
        let place = parts.uri.path_and_query().map_or("/", |place| place.as_str());
        Self { language: language.unwrap_or(default), theme, place: local(place).to_owned() }
    }
}

/// Reads `vi` or `en`.
pub(crate) fn language(text: &str) -> Option<Language> {
    [Language::Vi, Language::En].into_iter().find(|language| language.tag() == text)
}

/// The value of a cookie; empty when there is none.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
}

/// An address within the console; anything else becomes the first page, so that no form leads elsewhere.
pub(crate) fn local(place: &str) -> &str {
    let inside = place.starts_with('/')
        && !place.starts_with("//")
        && place.len() <= 2_048
        && place.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if inside { place } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_nowhere_else() {
        for place in ["/", "/timeline?file_code=a%20b", "/search?q=//x"] {
            assert_eq!(local(place), place);
        }
        let long = format!("/{}", "x".repeat(3_000));
        for place in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nset-cookie: x", &long] {
            assert_eq!(local(place), "/", "{place:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "x=1; __Host-lienthong-theme=dark".parse().unwrap());
        headers.append(header::COOKIE, "theme=light".parse().unwrap());
        assert_eq!(cookie(&headers, THEME_COOKIE), "dark");
        assert_eq!(cookie(&headers, LANGUAGE_COOKIE), "");
    }
}
