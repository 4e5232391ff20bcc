//! `--lang`: the language of what a person reads; of `adapter new`, the language that the adapter is written in.

use adapters_conformance::scaffold::Tongue;
use gateway_model::language::Language;

/// What `--lang` can name. One type for both, since the one flag stands before and after the verb.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoken {
    /// A language of people.
    Person(Language),
    /// A language of programs.
    Code(Tongue),
}

impl Spoken {
    /// The language of people, when it is one.
    pub fn person(self) -> Option<Language> {
        match self {
            Self::Person(language) => Some(language),
            Self::Code(_) => None,
        }
    }
}

/// Reads a language of people.
///
/// # Errors
/// For anything else.
pub fn person(text: &str) -> Result<Spoken, String> {
    match text {
        "vi" => Ok(Spoken::Person(Language::Vi)),
        "en" => Ok(Spoken::Person(Language::En)),
        other => Err(format!("{other:?} is not a language here; say vi or en")),
    }
}

/// Reads a language of programs, or of people.
///
/// # Errors
/// For anything else.
pub fn any(text: &str) -> Result<Spoken, String> {
    match text {
        "rust" => Ok(Spoken::Code(Tongue::Rust)),
        "python" => Ok(Spoken::Code(Tongue::Python)),
        "java" => Ok(Spoken::Code(Tongue::Java)),
        other => person(other).map_err(|_| format!("{other:?} is not a language here; say rust, python or java")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use clap::Parser as _;

    use crate::Cli;

    use super::*;

    fn language(words: &[&str]) -> Option<Language> {
        Cli::try_parse_from(words).unwrap().lang.and_then(Spoken::person)
    }

    #[test]
    fn one_flag_names_the_readers_language_and_the_adapters() {
        assert_eq!(language(&["lienthong", "--lang", "vi", "explain"]), Some(Language::Vi));
        assert_eq!(language(&["lienthong", "explain", "--lang", "en"]), Some(Language::En));
        assert!(Cli::try_parse_from(["lienthong", "--lang", "rust", "explain"]).is_err());
        assert_eq!(language(&["lienthong", "adapter", "new", "--lang", "rust", "x"]), None);
        assert!(Cli::try_parse_from(["lienthong", "adapter", "new", "--lang", "cobol", "x"]).is_err());
    }
}
