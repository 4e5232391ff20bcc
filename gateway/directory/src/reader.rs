//! Reads TOML tables key by key and remembers every fault with its line, so that all are reported together.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{Fault, FaultKind};
use crate::shape::Shape;

/// A TOML text, its place on disk, and the faults found in it so far.
pub(crate) struct Document<'t> {
    pub path: &'t Path,
    text: &'t str,
    line_starts: Vec<usize>,
    faults: RefCell<Vec<Fault>>,
}

impl<'t> Document<'t> {
    /// Parses `text`, which stands in the file `path`.
    pub fn parse(path: &'t Path, text: &'t str) -> (Self, Spanned<DeTable<'t>>) {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let document = Self { path, text, line_starts, faults: RefCell::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            document.fault(error.span().unwrap_or(0..0), "", FaultKind::Syntax(error.message().replace('\n', ", ")));
        }
        (document, table)
    }

    /// Remembers a fault.
    pub fn fault(&self, span: Range<usize>, key: &str, kind: FaultKind) {
        self.fault_at_line(self.line(span.start), key, kind);
    }

    /// Remembers a fault of a line.
    pub fn fault_at_line(&self, line: usize, key: &str, kind: FaultKind) {
        self.faults.borrow_mut().push(Fault { file: self.path.to_owned(), line, key: key.to_owned(), kind });
    }

    /// The line of a byte, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset.min(self.text.len()))
    }

    /// Every fault, in the order of the text.
    pub fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.line);
        faults
    }
}

/// A table of a document. Keys that are asked for are known; `finish` reports the rest.
pub(crate) struct Table<'d> {
    document: &'d Document<'d>,
    entries: &'d DeTable<'d>,
    span: Range<usize>,
    name: &'static str,
    asked: RefCell<Vec<&'static str>>,
}

impl<'d> Table<'d> {
    /// The table at the root.
    pub fn root(document: &'d Document<'d>, table: &'d Spanned<DeTable<'d>>) -> Self {
        Self::new(document, table.get_ref(), table.span(), "")
    }

    fn new(document: &'d Document<'d>, entries: &'d DeTable<'d>, span: Range<usize>, name: &'static str) -> Self {
        Self { document, entries, span, name, asked: RefCell::default() }
    }

    /// The line where it begins.
    pub fn line(&self) -> usize {
        self.document.line(self.span.start)
    }

    /// Whether a key stands.
    pub fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// A text of a shape, if it stands.
    pub fn text<T>(&self, key: &'static str, shape: &Shape<T>) -> Option<T> {
        self.read(key, |text| shaped(text, shape))
    }

    /// A text of a shape that must stand.
    pub fn need<T>(&self, key: &'static str, shape: &Shape<T>) -> Option<T> {
        self.need_read(key, |text| shaped(text, shape))
    }

    /// Texts of a shape; none when the key does not stand.
    pub fn texts<T>(&self, key: &'static str, shape: &Shape<T>) -> Vec<T> {
        self.read_all(key, |text| shaped(text, shape))
    }

    /// What `read` makes of a text, if it stands.
    pub fn read<T>(&self, key: &'static str, read: impl Fn(&str) -> Result<T, FaultKind>) -> Option<T> {
        self.value(key).and_then(|value| self.read_value(key, value, &read))
    }

    /// What `read` makes of a text that must stand.
    pub fn need_read<T>(&self, key: &'static str, read: impl Fn(&str) -> Result<T, FaultKind>) -> Option<T> {
        if self.value(key).is_none() {
            self.document.fault(self.span.clone(), &self.key(key), FaultKind::Missing);
        }
        self.read(key, read)
    }

    /// What `read` makes of each text of a list.
    pub fn read_all<T>(&self, key: &'static str, read: impl Fn(&str) -> Result<T, FaultKind>) -> Vec<T> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_kind(key, value, "a list of strings");
            return Vec::new();
        };
        items.iter().filter_map(|item| self.read_value(key, item, &read)).collect()
    }

    /// A yes or no; no when the key does not stand.
    pub fn flag(&self, key: &'static str) -> bool {
        let Some(value) = self.value(key) else { return false };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_kind(key, value, "true or false");
            false
        })
    }

    /// A whole number above zero, if it stands.
    pub fn number(&self, key: &'static str) -> Option<u64> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_kind(key, value, "a whole number");
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|&number| number > 0);
        if number.is_none() {
            let kind = FaultKind::Value { value: integer.to_string(), wanted: "a whole number above zero" };
            self.document.fault(value.span(), &self.key(key), kind);
        }
        number
    }

    /// A whole number above zero that must stand.
    pub fn need_number_to(&self, key: &'static str, max: u32, wanted: &'static str) -> Option<u32> {
        if !self.has(key) {
            self.document.fault(self.span.clone(), &self.key(key), FaultKind::Missing);
        }
        self.number_to(key, max, wanted)
    }

    /// A whole number above zero and not above `max`, if it stands.
    pub fn number_to(&self, key: &'static str, max: u32, wanted: &'static str) -> Option<u32> {
        let number = self.number(key)?;
        let fits = u32::try_from(number).ok().filter(|&number| number <= max);
        if fits.is_none()
            && let Some(value) = self.value(key)
        {
            let kind = FaultKind::Value { value: number.to_string(), wanted };
            self.document.fault(value.span(), &self.key(key), kind);
        }
        fits
    }

    /// The tables of `[[key]]`, in order.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_kind(key, value, "tables headed by [[ ]]");
            return Vec::new();
        };
        let table = |item: &'d Spanned<DeValue<'d>>| match item.get_ref().as_table() {
            Some(entries) => Some(Table::new(self.document, entries, item.span(), key)),
            None => {
                self.wrong_kind(key, item, "a table headed by [[ ]]");
                None
            }
        };
        items.iter().filter_map(table).collect()
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        let asked = self.asked.take();
        for key in self.entries.keys().filter(|key| !asked.contains(&key.get_ref().as_ref())) {
            let kind = FaultKind::UnknownKey(nearest(key.get_ref(), &asked));
            self.document.fault(key.span(), &self.key(key.get_ref()), kind);
        }
    }

    fn value(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.entries.get(key)
    }

    fn read_value<T>(
        &self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        read: &impl Fn(&str) -> Result<T, FaultKind>,
    ) -> Option<T> {
        let outcome = match value.get_ref() {
            DeValue::String(text) => read(text),
            DeValue::Datetime(instant) => read(&instant.to_string()),
            other => Err(FaultKind::Kind { wanted: "a string", found: other.type_str() }),
        };
        outcome.map_err(|kind| self.document.fault(value.span(), &self.key(key), kind)).ok()
    }

    fn wrong_kind(&self, key: &'static str, value: &Spanned<DeValue<'_>>, wanted: &'static str) {
        let kind = FaultKind::Kind { wanted, found: value.get_ref().type_str() };
        self.document.fault(value.span(), &self.key(key), kind);
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

fn shaped<T>(text: &str, shape: &Shape<T>) -> Result<T, FaultKind> {
    (shape.parse)(text).ok_or_else(|| FaultKind::Value { value: text.chars().take(80).collect(), wanted: shape.wanted })
}

/// The known key with the fewest edits, when it is near enough to be meant.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let near = known.iter().map(|&candidate| (edits(key, candidate), candidate)).min()?;
    (near.0 <= near.1.len().max(key.len()).div_ceil(2)).then_some(near.1)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
