//! How agencies are written in packages: codes, names and, for our own, the key that seals for them.

use std::path::{Path, PathBuf};

use adapters_sdk::seal::Sealer;
use adapters_sdk::settings::Settings;
use adapters_sdk::{AdapterError, ConfigFault, PrepareContext};
use gateway_model::id::AgencyId;
use toml::Value;

use adapters_sdk::disk;

/// Agencies that one adapter may name.
const ORGANS_MAX: usize = 10_000;

/// One agency as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrganConfig {
    /// Internal id.
    pub agency: AgencyId,
    /// Codes by which packages name it, the one to write first.
    pub codes: Vec<String>,
    /// Name in lists and packages.
    pub name: String,
    /// Certificate and key in PEM, for agencies whose system sends.
    pub seal: Option<(PathBuf, PathBuf)>,
}

/// Reads `[[adapter.organ]]`.
pub(crate) fn read(settings: &mut Settings<'_>, context: &PrepareContext) -> Vec<OrganConfig> {
    let values = settings.list("organ").unwrap_or_default();
    if values.len() > ORGANS_MAX {
        settings.fault("organ", &format!("names more than {ORGANS_MAX} agencies"));
        return Vec::new();
    }
    let mut organs: Vec<OrganConfig> = Vec::new();
    for value in values {
        match read_one(value, &context.base) {
            Ok(organ) if organs.iter().any(|other| shares_name(other, &organ)) => {
                settings.fault("organ", &format!("names {} or one of its codes twice", organ.agency));
            }
            Ok(organ) => organs.push(organ),
            Err(problem) => settings.fault("organ", &problem),
        }
    }
    for agency in &context.agencies {
        if !organs.iter().any(|organ| organ.agency == *agency) {
            organs.push(OrganConfig { agency: agency.clone(), codes: Vec::new(), name: String::new(), seal: None });
        }
    }
    organs
}

fn shares_name(one: &OrganConfig, other: &OrganConfig) -> bool {
    one.agency == other.agency || one.codes.iter().any(|code| other.codes.contains(code))
}

fn read_one(value: &Value, base: &Path) -> Result<OrganConfig, String> {
    let table = value.as_table().ok_or("has an entry that is no table")?;
    let known = ["agency", "codes", "name", "certificate", "key"];
    if let Some(unknown) = table.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("has an unknown key {unknown}; known: {}", known.join(", ")));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(format!("has a {key} that is no text")),
    };
    let agency = text("agency")?.ok_or("has an entry without `agency`")?;
    let agency = AgencyId::parse(&agency).map_err(|fault| format!("agency {agency}: {fault}"))?;
    let codes = match table.get("codes") {
        None => Vec::new(),
        Some(Value::Array(codes)) => codes
            .iter()
            .map(|code| code.as_str().filter(|code| !code.is_empty()).map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| format!("{agency}: codes are texts"))?,
        Some(_) => return Err(format!("{agency}: codes are a list of texts")),
    };
    let seal = match (text("certificate")?, text("key")?) {
        (Some(certificate), Some(key)) => Some((base.join(certificate), base.join(key))),
        (None, None) => None,
        _ => return Err(format!("{agency}: a certificate needs its key, and a key its certificate")),
    };
    Ok(OrganConfig { name: text("name")?.unwrap_or_default(), agency, codes, seal })
}

/// An agency at work.
pub(crate) struct OrganAtWork {
    pub agency: AgencyId,
    pub codes: Vec<String>,
    pub name: String,
    pub sealer: Option<Sealer>,
    /// Whether the adapter serves it.
    pub is_served: bool,
}

/// The agencies by their names.
pub(crate) struct Organs {
    list: Vec<OrganAtWork>,
    by_name: std::collections::HashMap<String, usize>,
}

impl Organs {
    /// Reads the keys.
    pub(crate) fn open(configs: &[OrganConfig], served: &[AgencyId]) -> Result<Self, AdapterError> {
        let mut list = Vec::new();
        let mut by_name = std::collections::HashMap::new();
        for (index, config) in configs.iter().enumerate() {
            let sealer = config.seal.as_ref().map(|(certificate, key)| read_sealer(certificate, key)).transpose()?;
            let names = config.codes.iter().cloned().chain([config.agency.to_string()]);
            by_name.extend(names.map(|name| (name, index)));
            list.push(OrganAtWork {
                agency: config.agency.clone(),
                codes: config.codes.clone(),
                name: config.name.clone(),
                sealer,
                is_served: served.contains(&config.agency),
            });
        }
        Ok(Self { list, by_name })
    }

    /// The agency that a package means by `code`.
    pub(crate) fn find(&self, code: &str) -> Option<&OrganAtWork> {
        self.by_name.get(code).and_then(|index| self.list.get(*index))
    }

    /// The same, only when the adapter serves it.
    pub(crate) fn served(&self, code: &str) -> Option<&OrganAtWork> {
        self.find(code).filter(|organ| organ.is_served)
    }

    /// One name for an agency whatever it is called: its internal id where it is known.
    pub(crate) fn canonical<'a>(&'a self, code: &'a str) -> &'a str {
        self.find(code).map_or(code, |organ| organ.agency.as_str())
    }

    /// The agency's name for readers; empty when it is not known.
    pub(crate) fn name(&self, code: &str) -> String {
        self.find(code).map(|organ| organ.name.clone()).unwrap_or_default()
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[OrganAtWork] {
        &self.list
    }
}

impl OrganAtWork {
    /// The code to write.
    pub(crate) fn code(&self) -> &str {
        self.codes.first().map_or(self.agency.as_str(), String::as_str)
    }
}

/// What keeps the keys from being used.
pub(crate) fn check(configs: &[OrganConfig]) -> Vec<ConfigFault> {
    let sealed = configs.iter().filter_map(|config| config.seal.as_ref());
    let broken = sealed.filter_map(|(certificate, key)| read_sealer(certificate, key).err());
    broken.map(|fault| ConfigFault { key: "organ".to_owned(), problem: fault.to_string() }).collect()
}

fn read_sealer(certificate: &Path, key: &Path) -> Result<Sealer, AdapterError> {
    const PEM_BYTES_MAX: u64 = 1024 * 1024;
    let read = |path: &Path| {
        let too_large = || AdapterError::Other(format!("{} is too large for a PEM file", path.display()));
        disk::read(path, PEM_BYTES_MAX)?.ok_or_else(too_large)
    };
    Sealer::from_pem(&read(certificate)?, &read(key)?)
        .map_err(|fault| AdapterError::Other(format!("{} with {}: {fault}", certificate.display(), key.display())))
}
