//! `[[adapter]]` tables: the keys that every adapter has, and the rest for its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use adapters_sdk::PrepareContext;
use gateway_model::id::{AgencyId, SystemId};

use super::fault::Fault;
use super::layers::AdapterTable;

/// One adapter as configured.
#[derive(Clone, Debug)]
pub struct AdapterConfig {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Agencies that it serves.
    pub agencies: Vec<AgencyId>,
    /// Identity under which it submits.
    pub system: Option<SystemId>,
    /// The keys of its kind.
    pub own: toml::Table,
    lines: BTreeMap<String, usize>,
    line: usize,
    file: PathBuf,
    base: PathBuf,
}

impl AdapterConfig {
    /// What its kind may know when it prepares.
    pub fn context(&self) -> PrepareContext {
        PrepareContext {
            name: self.name.clone(),
            base: self.base.clone(),
            agencies: self.agencies.clone(),
            system: self.system.clone(),
        }
    }

    /// A fault that the kind found, placed in the file.
    pub fn fault(&self, key: &str, problem: String) -> Fault {
        let first = key.split(['.', '[']).next().unwrap_or(key);
        Fault {
            file: self.file.clone(),
            line: Some(self.lines.get(key).or_else(|| self.lines.get(first)).copied().unwrap_or(self.line)),
            key: format!("adapter \"{}\": {key}", self.name),
            problem,
        }
    }
}

/// Reads the tables; the faults of the ones that cannot be read come back beside the others.
pub(super) fn read(tables: &[AdapterTable], base: &Path, file: &Path) -> (Vec<AdapterConfig>, Vec<Fault>) {
    let mut adapters: Vec<AdapterConfig> = Vec::new();
    let mut faults = Vec::new();
    let (mut names, mut served) = (BTreeSet::new(), BTreeSet::new());
    for table in tables {
        let mut keys = Keys { table, own: table.table.clone(), file, faults: Vec::new() };
        let (name, kind) = (keys.text("name"), keys.text("kind"));
        let (agencies, system) = (keys.agencies(), keys.system());
        if !names.insert(name.clone()) {
            keys.fault("name", format!("\"{name}\" is the name of another adapter too"));
        }
        for agency in &agencies {
            if !served.insert(agency.clone()) {
                keys.fault("agencies", format!("{agency} is served by another adapter too"));
            }
        }
        if keys.faults.is_empty() {
            adapters.push(AdapterConfig {
                name,
                kind,
                agencies,
                system,
                own: keys.own,
                lines: table.lines.clone(),
                line: table.line,
                file: file.to_owned(),
                base: base.to_owned(),
            });
        } else {
            faults.append(&mut keys.faults);
        }
    }
    (adapters, faults)
}

struct Keys<'a> {
    table: &'a AdapterTable,
    own: toml::Table,
    file: &'a Path,
    faults: Vec<Fault>,
}

impl Keys<'_> {
    fn text(&mut self, key: &'static str) -> String {
        match self.own.remove(key) {
            Some(toml::Value::String(text)) if !text.is_empty() => text,
            Some(_) => {
                self.fault(key, "a string that is not empty is expected".to_owned());
                String::new()
            }
            None => {
                self.fault(key, "is required".to_owned());
                String::new()
            }
        }
    }

    fn agencies(&mut self) -> Vec<AgencyId> {
        let written = match self.own.remove("agencies") {
            Some(toml::Value::Array(list)) => list,
            Some(_) => {
                self.fault("agencies", "a list of agency ids is expected".to_owned());
                return Vec::new();
            }
            None => {
                self.fault("agencies", "is required".to_owned());
                return Vec::new();
            }
        };
        let parse = |value: &toml::Value| value.as_str().and_then(|text| AgencyId::parse(text).ok());
        let parsed: Vec<_> = written.iter().map(|value| (value, parse(value))).collect();
        for (value, _) in parsed.iter().filter(|(_, id)| id.is_none()) {
            self.fault("agencies", format!("{value} is not an internal agency id"));
        }
        parsed.into_iter().filter_map(|(_, id)| id).collect()
    }

    fn system(&mut self) -> Option<SystemId> {
        let value = self.own.remove("system")?;
        let system = value.as_str().and_then(|text| SystemId::parse(text).ok());
        if system.is_none() {
            self.fault("system", format!("{value} is not an id of a system"));
        }
        system
    }

    fn fault(&mut self, key: &str, problem: String) {
        self.faults.push(Fault {
            file: self.file.to_owned(),
            line: Some(self.table.lines.get(key).copied().unwrap_or(self.table.line)),
            key: format!("adapter.{key}"),
            problem,
        });
    }
}
