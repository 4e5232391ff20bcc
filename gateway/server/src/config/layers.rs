//! The three layers of a configuration, the later over the earlier: compiled-in defaults, file, environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, Table, TableLike, Value};

use super::draft::Places;
use super::fault::{Fault, unknown_key};

/// The commented reference, compiled in.
pub const DEFAULT: &str = include_str!("default.toml");

const ENVIRONMENT_PREFIX: &str = "LIENTHONG_";

/// Where a value comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The compiled-in default.
    Default,
    /// A line of the configuration file, from 1.
    File(usize),
    /// An environment variable.
    Environment(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "line {line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// A value as written.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
    /// Anything that no key takes, by its TOML name.
    Other(&'static str),
}

impl std::fmt::Display for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::List(list) => write!(f, "{}", toml::Value::from(list.clone())),
            Self::Other(name) => write!(f, "<{name}>"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub raw: Raw,
    pub origin: Origin,
}

/// One `[[adapter]]` table as written.
#[derive(Clone, Debug)]
pub(super) struct AdapterTable {
    pub line: usize,
    pub table: toml::Table,
    pub lines: BTreeMap<String, usize>,
}

/// All layers in one map from `section.key`.
#[derive(Debug)]
pub(super) struct Layers {
    pub file: PathBuf,
    pub entries: BTreeMap<String, Entry>,
    pub adapters: Vec<AdapterTable>,
    /// Lines of the section headings in the file.
    pub sections: BTreeMap<String, usize>,
    pub faults: Vec<Fault>,
}

impl Layers {
    /// Reads `text`, which stands in `file`, over the defaults, and `environment` over both.
    ///
    /// # Errors
    /// When `text` is no TOML.
    pub fn read(
        text: &str,
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Fault> {
        let mut layers = Self {
            file: file.to_owned(),
            entries: BTreeMap::new(),
            adapters: Vec::new(),
            sections: BTreeMap::new(),
            faults: Vec::new(),
        };
        layers.take_defaults();
        layers.take_file(text)?;
        layers.take_environment(environment);
        Ok(layers)
    }

    /// Where every key stands: in its line, in its variable, or where its section begins.
    pub fn places(&self) -> Places {
        let place = |key: &String| (key.clone(), self.place(key));
        Places { file: self.file.clone(), keys: self.entries.keys().map(place).collect() }
    }

    /// Where `key` stands.
    pub fn place(&self, key: &str) -> (PathBuf, Option<usize>) {
        let heading = key.split('.').next().and_then(|section| self.sections.get(section)).copied();
        match self.entries.get(key).map(|entry| &entry.origin) {
            Some(Origin::File(line)) => (self.file.clone(), Some(*line)),
            Some(Origin::Environment(name)) => (PathBuf::from(name), None),
            Some(Origin::Default) | None => (self.file.clone(), heading),
        }
    }

    fn take_defaults(&mut self) {
        match Document::parse(DEFAULT) {
            Ok(document) => {
                for (section, item) in document.iter() {
                    for (key, value) in item.as_table().into_iter().flat_map(Table::iter) {
                        self.entries
                            .insert(format!("{section}.{key}"), Entry { raw: raw(value), origin: Origin::Default });
                    }
                }
            }
            Err(error) => self.fault(None, "", format!("the compiled-in defaults do not parse: {error}")),
        }
    }

    fn take_file(&mut self, text: &str) -> Result<(), Fault> {
        let document = Document::parse(text).map_err(|error| Fault {
            file: self.file.clone(),
            line: error.span().map(|span| line_of(text, span.start)),
            key: String::new(),
            problem: format!("not TOML: {}; the rest is checked when this is right", error.message()),
        })?;
        for (section, item) in document.iter() {
            let line = key_line(text, document.as_table(), section);
            if section == "adapter" {
                self.take_adapters(text, item, line);
            } else if let Some(table) = item.as_table_like() {
                self.sections.insert(section.to_owned(), line);
                self.take_section(text, section, table, line);
            } else {
                let problem = unknown_key(section, self.entries.keys().map(String::as_str));
                self.fault(Some(line), section, problem);
            }
        }
        Ok(())
    }

    fn take_section(&mut self, text: &str, section: &str, table: &dyn TableLike, heading: usize) {
        for (key, value) in table.iter() {
            let name = format!("{section}.{key}");
            let line = table.key(key).and_then(toml_edit::Key::span).map_or(heading, |span| line_of(text, span.start));
            match self.entries.get_mut(&name) {
                Some(entry) => *entry = Entry { raw: raw(value), origin: Origin::File(line) },
                None => {
                    let problem = unknown_key(&name, self.entries.keys().map(String::as_str));
                    self.fault(Some(line), &name, problem);
                }
            }
        }
    }

    fn take_adapters(&mut self, text: &str, item: &Item, line: usize) {
        let Some(tables) = item.as_array_of_tables() else {
            return self.fault(Some(line), "adapter", "adapters are written as [[adapter]] tables".to_owned());
        };
        for table in tables {
            let heading = table.span().map_or(line, |span| line_of(text, span.start));
            let lines = key_lines(text, table);
            // The same text has just parsed as TOML: going through `toml` again gives the plain values.
            match toml::from_str(&without_spans(table)) {
                Ok(plain) => self.adapters.push(AdapterTable { line: heading, table: plain, lines }),
                Err(error) => self.fault(Some(heading), "adapter", error.message().to_owned()),
            }
        }
    }

    fn take_environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in environment {
            let Some((section, key)) = name.strip_prefix(ENVIRONMENT_PREFIX).and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let key = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
            match self.entries.get_mut(&key) {
                Some(entry) => {
                    let raw = raw_text(&value, &entry.raw);
                    *entry = Entry { raw, origin: Origin::Environment(name) };
                }
                None => {
                    let problem = unknown_key(&key, self.entries.keys().map(String::as_str));
                    self.faults.push(Fault { file: PathBuf::from(name), line: None, key, problem });
                }
            }
        }
    }

    pub fn fault(&mut self, line: Option<usize>, key: &str, problem: String) {
        self.faults.push(Fault { file: self.file.clone(), line, key: key.to_owned(), problem });
    }
}

/// Reads an environment value in the type that the key had before.
fn raw_text(value: &str, like: &Raw) -> Raw {
    match like {
        Raw::Integer(_) => value.parse().map_or_else(|_| Raw::Text(value.to_owned()), Raw::Integer),
        Raw::Boolean(_) => value.parse().map_or_else(|_| Raw::Text(value.to_owned()), Raw::Boolean),
        Raw::List(_) => {
            Raw::List(value.split(',').map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned).collect())
        }
        Raw::Text(_) | Raw::Other(_) => Raw::Text(value.to_owned()),
    }
}

fn raw(item: &Item) -> Raw {
    match item.as_value() {
        Some(Value::String(text)) => Raw::Text(text.value().clone()),
        Some(Value::Integer(number)) => Raw::Integer(*number.value()),
        Some(Value::Boolean(truth)) => Raw::Boolean(*truth.value()),
        Some(Value::Array(array)) => {
            let texts: Option<Vec<String>> = array.iter().map(|v| v.as_str().map(str::to_owned)).collect();
            texts.map_or(Raw::Other("array with other things than strings"), Raw::List)
        }
        Some(Value::Float(_)) => Raw::Other("float"),
        Some(Value::Datetime(_)) => Raw::Other("date"),
        Some(Value::InlineTable(_)) | None => Raw::Other("table"),
    }
}

fn without_spans(table: &Table) -> String {
    let mut table = table.clone();
    table.set_position(None);
    toml_edit::DocumentMut::from(table).to_string()
}

/// The lines of the keys, `key.inner` for those of inner tables.
fn key_lines(text: &str, table: &Table) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for (key, item) in table {
        lines.insert(key.to_owned(), key_line(text, table, key));
        for (inner, _) in item.as_table().into_iter().flatten() {
            let span = item.as_table().and_then(|table| table.key(inner)).and_then(toml_edit::Key::span);
            lines.extend(span.map(|span| (format!("{key}.{inner}"), line_of(text, span.start))));
        }
    }
    lines
}

fn key_line(text: &str, table: &Table, key: &str) -> usize {
    let span = table.key(key).and_then(toml_edit::Key::span).or_else(|| table.get(key).and_then(Item::span));
    span.map_or(1, |span| line_of(text, span.start))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
