//! Names and values of a query or a form, read within bounds and written again.

use form_urlencoded::Serializer;
use unicode_normalization::UnicodeNormalization as _;

/// Pairs that are read; more are left out.
const PAIRS_MAX: usize = 64;
/// Characters of a value that are read; the rest is left out.
const VALUE_CHARS_MAX: usize = 1_024;

/// Pairs in order. Names that nobody asks for do no harm.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `a=1&b=2`. Values are trimmed and composed (NFC), as file codes and document numbers are kept.
    pub(crate) fn read(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text).take(PAIRS_MAX);
        Self(pairs.map(|(name, value)| (name.into_owned(), tidy(&value))).collect())
    }

    /// The first value of `name`; empty when there is none.
    pub(crate) fn first(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Every value of `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Only the pairs with these names, without empty values.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, value)| names.contains(&name.as_str()) && !value.is_empty());
        Self(kept.cloned().collect())
    }

    /// The same without `name`.
    pub(crate) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(key, _)| key != name).cloned().collect())
    }

    /// One more pair; an empty value is left out.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The pairs.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address of `path` with these pairs.
    pub(crate) fn address(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.pairs());
        format!("{path}?{}", query.finish())
    }
}

/// The address of `path` with these pairs, empty values left out.
pub(crate) fn address(path: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(Fields::default(), |fields, (name, value)| fields.with(name, value)).address(path)
}

fn tidy(value: &str) -> String {
    value.trim().chars().take(VALUE_CHARS_MAX).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_written_again() {
        let fields = Fields::read("q=7816%2FVPCP-TT%C4%90T&state=held&state=waiting&x=".as_bytes());
        assert_eq!(fields.first("q"), "7816/VPCP-TTĐT");
        assert_eq!(fields.all("state").collect::<Vec<_>>(), ["held", "waiting"]);
        assert_eq!(fields.first("nothing"), "");
        let kept = fields.only(&["q", "x"]);
        assert_eq!(kept.address("/search"), "/search?q=7816%2FVPCP-TT%C4%90T");
        assert_eq!(Fields::default().address("/search"), "/search");
        assert_eq!(address("/t", &[("a", "1&2"), ("b", "")]), "/t?a=1%262");
    }

    #[test]
    fn what_is_too_much_is_left_out_and_text_is_composed() {
        let many: String = (0..1_000).map(|n| format!("n{n}=1&")).collect();
        assert_eq!(Fields::read(many.as_bytes()).pairs().count(), PAIRS_MAX);
        let long = format!("q={}", "x".repeat(100_000));
        assert_eq!(Fields::read(long.as_bytes()).first("q").len(), VALUE_CHARS_MAX);
        let decomposed: String = "q=Đắk Nông".nfd().collect();
        assert_eq!(Fields::read(decomposed.as_bytes()).first("q"), "Đắk Nông");
        assert_eq!(Fields::read(b"%ff=%zz&&&=").first("nothing"), "");
    }
}
