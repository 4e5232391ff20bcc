//! Reads an adapter's table of the configuration and gathers every fault, so that all are told together.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::{Table, Value};

use crate::ConfigFault;

/// A table being read. Every key that is asked for is known; [`Settings::finish`] tells of the others.
pub struct Settings<'a> {
    table: &'a Table,
    prefix: String,
    known: BTreeSet<&'static str>,
    faults: Vec<ConfigFault>,
}

impl<'a> Settings<'a> {
    /// Starts reading.
    pub fn new(table: &'a Table) -> Self {
        Self { table, prefix: String::new(), known: BTreeSet::new(), faults: Vec::new() }
    }

    /// A text, `None` when the key is absent.
    pub fn text(&mut self, key: &'static str) -> Option<&'a str> {
        match self.value(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            other => self.wrong(key, &format!("is {}; write a text in quotes", kind(other))),
        }
    }

    /// A text that must be there.
    pub fn required_text(&mut self, key: &'static str) -> Option<&'a str> {
        if !self.table.contains_key(key) {
            self.known.insert(key);
            return self.wrong(key, "is missing");
        }
        self.text(key)
    }

    /// A span such as `"2s"` within `shortest` and `longest`, or `default` when the key is absent.
    pub fn span(
        &mut self,
        key: &'static str,
        default: Duration,
        shortest: Duration,
        longest: Duration,
    ) -> Option<Duration> {
        let Some(value) = self.value(key) else { return Some(default) };
        let Some(span) = value.as_str().and_then(parse_span) else {
            return self
                .wrong(key, "is no span of time; write a number with its unit, such as \"2s\", \"15m\" or \"30d\"");
        };
        if span < shortest || span > longest {
            return self.wrong(key, &format!("is outside of {} to {}", in_words(shortest), in_words(longest)));
        }
        Some(span)
    }

    /// `true` or `false`, or `default` when the key is absent.
    pub fn switch(&mut self, key: &'static str, default: bool) -> Option<bool> {
        match self.value(key) {
            None => Some(default),
            Some(Value::Boolean(is_on)) => Some(*is_on),
            Some(other) => self.wrong(key, &format!("is {}; write true or false", kind(other))),
        }
    }

    /// A whole number within `smallest` and `largest`, or `default` when the key is absent.
    pub fn number(&mut self, key: &'static str, default: u64, smallest: u64, largest: u64) -> Option<u64> {
        let Some(value) = self.value(key) else { return Some(default) };
        match value.as_integer().and_then(|number| u64::try_from(number).ok()) {
            Some(number) if (smallest..=largest).contains(&number) => Some(number),
            _ => self.wrong(key, &format!("is no whole number from {smallest} to {largest}")),
        }
    }

    /// A list, empty when the key is absent.
    pub fn list(&mut self, key: &'static str) -> Option<&'a [Value]> {
        match self.value(key) {
            None => Some(&[]),
            Some(Value::Array(values)) => Some(values),
            Some(other) => self.wrong(key, &format!("is {}; write a list in square brackets", kind(other))),
        }
    }

    /// The table under `key` as it is, for keys that nobody knows beforehand; `None` when it is absent.
    pub fn free_table(&mut self, key: &'static str) -> Option<&'a Table> {
        match self.value(key)? {
            Value::Table(table) => Some(table),
            other => self.wrong(key, &format!("is {}; write a table", kind(other))),
        }
    }

    /// Reads the table under `key` with `read`, `None` when the key is absent.
    pub fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Settings<'a>) -> Option<T>) -> Option<T> {
        let Value::Table(table) = self.value(key)? else { return self.wrong(key, "is no table") };
        let prefix = format!("{}{key}.", self.prefix);
        let mut inner = Settings { table, prefix, known: BTreeSet::new(), faults: Vec::new() };
        let read = read(&mut inner);
        inner.tell_unknown_keys();
        self.faults.append(&mut inner.faults);
        read
    }

    /// Records a fault with `key`.
    pub fn fault(&mut self, key: &'static str, problem: &str) {
        self.faults.push(ConfigFault { key: format!("{}{key}", self.prefix), problem: problem.to_owned() });
    }

    /// Gives what was read, or every fault found.
    ///
    /// # Errors
    /// When there is any fault, unknown keys among them.
    pub fn finish<T>(mut self, read: Option<T>) -> Result<T, Vec<ConfigFault>> {
        self.tell_unknown_keys();
        match read {
            Some(read) if self.faults.is_empty() => Ok(read),
            _ => Err(self.faults),
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.insert(key);
        self.table.get(key)
    }

    fn wrong<T>(&mut self, key: &'static str, problem: &str) -> Option<T> {
        self.fault(key, problem);
        None
    }

    fn tell_unknown_keys(&mut self) {
        for key in self.table.keys().filter(|key| !self.known.contains(key.as_str())) {
            let problem = match self.nearest(key) {
                Some(near) => format!("is not known here; did you mean {near}?"),
                None => format!("is not known here; known: {}", Vec::from_iter(self.known.iter().copied()).join(", ")),
            };
            self.faults.push(ConfigFault { key: format!("{}{key}", self.prefix), problem });
        }
    }

    /// The known key that `key` is probably meant to be: at most a third of it is written otherwise.
    fn nearest(&self, key: &str) -> Option<&'static str> {
        let within = key.chars().count().div_ceil(3);
        let nearest = self.known.iter().copied().min_by_key(|known| distance(key, known))?;
        (distance(key, nearest) <= within).then_some(nearest)
    }
}

/// Reads a span of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().ok()?;
    let milliseconds = match text[digits..].trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn in_words(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{}ms", span.as_millis()),
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        seconds => format!("{seconds}s"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(text) if text.trim().is_empty() => "empty",
        Value::String(_) => "a text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Edits between two keys (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_told_with_its_key_and_an_unknown_key_with_its_nearest() {
        let table: Table =
            "path = 1\npol_interval = \"2s\"\npigeon = true\nwait = \"9d\"\n[seal]\nkey = \"\"".parse().unwrap();
        let mut settings = Settings::new(&table);
        settings.required_text("path");
        settings.required_text("name");
        settings.span("poll_interval", Duration::ZERO, Duration::ZERO, Duration::MAX);
        settings.span("wait", Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3_600));
        settings.table("seal", |seal| seal.required_text("key"));
        let told: Vec<String> = settings.finish(Some(())).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "path: is a number; write a text in quotes",
                "name: is missing",
                "wait: is outside of 1s to 1h",
                "seal.key: is empty; write a text in quotes",
                "pigeon: is not known here; known: name, path, poll_interval, seal, wait",
                "pol_interval: is not known here; did you mean poll_interval?",
            ]
        );
    }

    #[test]
    fn switches_numbers_and_lists_have_defaults_and_bounds() {
        let table: Table = "on = 1\nmany = 9\nplaces = \"x\"\nfields = 2\nright = [true, 3]".parse().unwrap();
        let mut settings = Settings::new(&table);
        assert_eq!(settings.switch("absent", true), Some(true));
        assert_eq!(settings.number("none", 7, 1, 8), Some(7));
        assert_eq!(settings.list("nothing").map(<[_]>::len), Some(0));
        assert_eq!(settings.list("right").map(<[_]>::len), Some(2));
        assert_eq!(settings.switch("on", true), None);
        assert_eq!(settings.number("many", 7, 1, 8), None);
        assert!(settings.list("places").is_none() && settings.free_table("fields").is_none());
        let told: Vec<String> = settings.finish(Some(())).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "on: is a number; write true or false",
                "many: is no whole number from 1 to 8",
                "places: is a text; write a list in square brackets",
                "fields: is a number; write a table",
            ]
        );
    }

    #[test]
    fn a_span_is_a_number_with_its_unit() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse_span(text), expected.map(Duration::from_millis), "{text}")
        };
        check("250ms", Some(250));
        check("2s", Some(2_000));
        check("30 d", Some(30 * 86_400_000));
        check("2", None);
        check("-2s", None);
        check("s", None);
        check("99999999999999999999s", None);
    }
}
