//! How agencies are written in packages: codes, names and, for our own, the key that seals for them.

use std::path::Path;

use adapters_sdk::seal::Sealer;
use adapters_sdk::seal::config::SealConfig;
use adapters_sdk::settings::Settings;
use adapters_sdk::{AdapterError, ConfigFault, PrepareContext};
use gateway_model::id::AgencyId;
use toml::{Table, Value};

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
    /// Certificate and key, for agencies whose system sends.
    pub seal: Option<SealConfig>,
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
    let seal = read_seal(table, base).map_err(|problem| format!("{agency}: {problem}"))?;
    Ok(OrganConfig { name: text("name")?.unwrap_or_default(), agency, codes, seal })
}

/// What is not about the agency itself is about its seal: the keys of `adapters_sdk::seal::config`.
fn read_seal(table: &Table, base: &Path) -> Result<Option<SealConfig>, String> {
    let own = ["agency", "codes", "name"];
    let keys: Table = table.iter().filter(|(key, _)| !own.contains(&key.as_str())).map(pair).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let mut settings = Settings::new(&keys);
    let seal = SealConfig::read(&mut settings, base);
    settings.finish(seal).map(Some).map_err(|faults| {
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        format!("{} (keys of an agency: {}, and those of its seal)", told.join("; "), own.join(", "))
    })
}

fn pair((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
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
            let sealer = config.seal.as_ref().map(SealConfig::open).transpose()?;
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

    /// The code by which packages name an agency, whatever it is called here.
    pub(crate) fn written<'a>(&'a self, code: &'a str) -> &'a str {
        self.find(code).map_or(code, OrganAtWork::code)
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
    let of_one = |config: &OrganConfig| {
        let faults = config.seal.as_ref().map(SealConfig::check).unwrap_or_default();
        let named = |fault: ConfigFault| ConfigFault {
            key: "organ".to_owned(),
            problem: format!("{}: {fault}", config.agency),
        };
        faults.into_iter().map(named).collect::<Vec<_>>()
    };
    configs.iter().flat_map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<OrganConfig, String> {
        read_one(&Value::Table(text.parse().unwrap()), Path::new("/etc/lienthong"))
    }

    #[test]
    fn an_agency_seals_with_a_key_file_or_a_token_and_every_fault_names_it() {
        let file = read("agency = \"h99\"\ncodes = [\"H99\"]\ncertificate = \"a.pem\"\nkey = \"a.key\"").unwrap();
        assert_eq!(file.seal.unwrap().certificate, Path::new("/etc/lienthong/a.pem"));
        let token = "agency = \"h99\"\ncertificate = \"a.pem\"\nmodule = \"/m.so\"\ntoken = \"t\"\nkey_label = \"k\"\npin_file = \"p\"";
        assert!(read(token).unwrap().seal.is_some());
        assert_eq!(read("agency = \"h99\"").unwrap().seal, None);
        for (text, told) in [
            ("agency = \"h99\"\ncertificate = \"a.pem\"", "h99: key: is missing"),
            ("agency = \"h99\"\nkey = \"a.key\"", "h99: certificate: is missing"),
            ("agency = \"h99\"\ncode = \"H99\"", "code: is not known here"),
            ("codes = []", "without `agency`"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
