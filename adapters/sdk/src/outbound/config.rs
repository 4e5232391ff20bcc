//! The `[outbound]` table of an adapter's configuration: the same keys for every adapter.
//!
//! ```toml
//! [outbound]
//! allow = ["https://dms.example", { origin = "https://10.1.2.3:8443", private = true }]
//! roots = "roots.pem"                    # CA certificates for https; the system's own are never used
//! certificate = "client.pem"             # shown to servers that ask; with its key
//! key = "client.key"
//! proxy = "http://proxy.example:3128"    # opens tunnels (CONNECT); absent: none, whatever the environment says
//! time_max = "50s"                       # for a whole exchange
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::tls::Identity;
use super::{AllowList, Allowed, Origin, Outbound, OutboundBounds, OutboundSettings};
use crate::settings::Settings;
use crate::{AdapterError, ConfigFault};

/// Bytes of a PEM file.
const PEM_BYTES_MAX: u64 = 1024 * 1024;
/// Origins of one list.
const ORIGINS_MAX: usize = 64;
const TIME_MIN: Duration = Duration::from_secs(1);
const TIME_MAX: Duration = Duration::from_secs(600);

/// A checked table; no file has been read yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboundConfig {
    /// Where calls may go.
    pub allowed: AllowList,
    /// File of CA certificates.
    pub roots: Option<PathBuf>,
    /// Files of our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The proxy.
    pub proxy: Option<Origin>,
    /// Bounds of every call.
    pub bounds: OutboundBounds,
}

impl OutboundConfig {
    /// Reads the table; relative paths start from `base`.
    pub fn read(settings: &mut Settings<'_>, base: &Path) -> Option<Self> {
        let allowed = read_allowed(settings);
        let roots = settings.text("roots").map(|path| base.join(path));
        let certificate = settings.text("certificate").map(|path| base.join(path));
        let key = settings.text("key").map(|path| base.join(path));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                settings.fault("key", "is missing: a certificate needs its key");
                None
            }
            (None, Some(_)) => {
                settings.fault("certificate", "is missing: a key needs its certificate");
                None
            }
        };
        let proxy = match settings.text("proxy").map(|text| Origin::parse(text).filter(|origin| !origin.is_https)) {
            Some(None) => {
                settings.fault("proxy", "is not of the form http://host:port");
                None
            }
            proxy => proxy.flatten(),
        };
        let bounds = OutboundBounds::default();
        let total_time_max = settings.span("time_max", bounds.total_time_max, TIME_MIN, TIME_MAX)?;
        let idle_time_max = bounds.idle_time_max.min(total_time_max);
        let allowed = allowed?;
        if roots.is_none() && allowed.iter().any(|allowed| allowed.origin.is_https) {
            settings.fault("roots", "is missing: https needs the CA certificates that servers are checked against");
        }
        Some(Self {
            allowed,
            roots,
            identity,
            proxy,
            bounds: OutboundBounds { total_time_max, idle_time_max, ..bounds },
        })
    }

    /// What keeps the files from being used, each fault with its key, as it stands under `[outbound]`.
    pub fn check(&self) -> Vec<ConfigFault> {
        let fault = |key: &str, problem: String| ConfigFault { key: format!("outbound.{key}"), problem };
        let (roots, certificate, key) = self.files();
        let files = [("roots", roots), ("certificate", certificate), ("key", key)];
        let unreadable: Vec<ConfigFault> = files
            .into_iter()
            .filter_map(|(name, path)| read_pem(path?).err().map(|broken| fault(name, broken.to_string())))
            .collect();
        if !unreadable.is_empty() {
            return unreadable;
        }
        self.open().err().map(|broken| fault("roots", broken.to_string())).into_iter().collect()
    }

    /// Reads the files and makes the client.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub fn open(&self) -> Result<Outbound, AdapterError> {
        let roots_pem = self.roots.as_deref().map(read_pem).transpose()?;
        let identity = match &self.identity {
            Some((certificate, key)) => {
                Some(Identity { certificate_pem: read_pem(certificate)?, key_pem: read_pem(key)? })
            }
            None => None,
        };
        let settings = OutboundSettings {
            allowed: self.allowed.clone(),
            roots_pem,
            identity,
            proxy: self.proxy.clone(),
            bounds: self.bounds,
        };
        Outbound::new(settings).map_err(|fault| AdapterError::Other(fault.to_string()))
    }

    fn files(&self) -> (Option<&Path>, Option<&Path>, Option<&Path>) {
        let identity = self.identity.as_ref();
        (
            self.roots.as_deref(),
            identity.map(|(certificate, _)| certificate.as_path()),
            identity.map(|(_, key)| key.as_path()),
        )
    }
}

fn read_allowed(settings: &mut Settings<'_>) -> Option<AllowList> {
    let values = settings.list("allow")?;
    if values.len() > ORIGINS_MAX {
        settings.fault("allow", &format!("names more than {ORIGINS_MAX} origins"));
        return None;
    }
    let read: Option<Vec<Allowed>> = values.iter().map(read_one).collect();
    if read.is_none() {
        settings.fault(
            "allow",
            "has an entry that is neither \"https://host:port\" nor { origin = \"https://host:port\", private = true }",
        );
    }
    read.map(AllowList::new)
}

fn read_one(value: &Value) -> Option<Allowed> {
    match value {
        Value::String(text) => Some(Allowed { origin: Origin::parse(text)?, is_private: false }),
        Value::Table(table) => {
            let origin = Origin::parse(table.get("origin")?.as_str()?)?;
            let is_private = table.get("private").map_or(Some(false), Value::as_bool)?;
            let is_known = table.keys().all(|key| key == "origin" || key == "private");
            is_known.then_some(Allowed { origin, is_private })
        }
        _ => None,
    }
}

/// A bounded PEM file.
pub(crate) fn read_pem(path: &Path) -> Result<Vec<u8>, AdapterError> {
    use std::io::Read;
    let at = |source| AdapterError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(at)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(at)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(AdapterError::Other(format!("{} is too large for a PEM file", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<OutboundConfig, Vec<String>> {
        let table = text.parse().unwrap();
        let mut settings = Settings::new(&table);
        let read = OutboundConfig::read(&mut settings, Path::new("/etc/lienthong"));
        settings.finish(read).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn origins_are_listed_by_hand_and_private_ones_say_so() {
        let config = read(
            "allow = [\"https://a.example\", { origin = \"http://10.0.0.5:8080\", private = true }]\nroots = \"r.pem\"",
        );
        let config = config.unwrap();
        let told: Vec<_> = config.allowed.iter().map(|a| (a.origin.to_string(), a.is_private)).collect();
        assert_eq!(told, [("https://a.example:443".to_owned(), false), ("http://10.0.0.5:8080".to_owned(), true)]);
        assert_eq!(config.roots.as_deref(), Some(Path::new("/etc/lienthong/r.pem")));
        assert_eq!(config.check()[0].key, "outbound.roots");
    }

    #[test]
    fn every_fault_of_the_table_is_told_with_its_key() {
        let check = |text: &str, expected: &str| {
            let faults = read(text).unwrap_err();
            let keys: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
            assert_eq!(keys.join(","), expected, "{text}: {faults:?}");
        };
        check("allow = [\"https://a.example\"]", "roots");
        check("allow = [\"a.example\"]", "allow");
        check("allow = [\"http://a.example/path\"]", "allow");
        check("allow = [{ origin = \"http://a.example\", privat = true }]", "allow");
        check("allow = [{ origin = \"http://a.example\", private = \"yes\" }]", "allow");
        check("allow = \"http://a.example\"", "allow");
        check("certificate = \"c.pem\"", "key");
        check("key = \"c.key\"", "certificate");
        check("proxy = \"https://proxy.example\"", "proxy");
        check("time_max = \"1h\"", "time_max");
        check("root = \"r.pem\"", "root");
    }
}
