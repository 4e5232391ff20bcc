//! What the demo says, in Vietnamese and English.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use gateway_model::language::Language;

use crate::outln;

/// Prints the story's lines with the time since its beginning.
pub struct Narrator {
    language: Language,
    since: Instant,
    colour: bool,
}

impl Narrator {
    /// Starts the clock.
    pub fn new(language: Language) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { language, since: Instant::now(), colour }
    }

    /// The language it speaks.
    pub fn language(&self) -> Language {
        self.language
    }

    /// A heading of the story.
    pub fn step(&self, vi: &str, en: &str) {
        let text = self.language.pick(vi, en);
        let seconds = self.number(format!("{:5.1}", self.since.elapsed().as_secs_f64()));
        if self.colour { outln!("\n\x1b[1m[{seconds}s] {text}\x1b[0m") } else { outln!("\n[{seconds}s] {text}") }
    }

    /// How long something took, as the language writes numbers.
    pub fn duration(&self, took: Duration) -> String {
        self.number(format!("{took:.1?}"))
    }

    fn number(&self, text: String) -> String {
        match self.language {
            Language::Vi => text.replace('.', ","),
            Language::En => text,
        }
    }

    /// A line below a heading.
    pub fn line(&self, text: impl std::fmt::Display) {
        outln!("         {text}");
    }

    /// Something that was checked and holds.
    pub fn proved(&self, vi: &str, en: &str) {
        let text = self.language.pick(vi, en);
        if self.colour { outln!("       \x1b[32m✓\x1b[0m {text}") } else { outln!("       ✓ {text}") }
    }
}
