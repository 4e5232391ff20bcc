//! A configuration that may have faults: what could be read of it, so that the rest can be checked all the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::Layers;
use super::reader::Reader;
use super::{
    AdapterConfig, Config, Directory, Fault, Gateway, Limits, Listen, Operate, Parts, Quota, Retry, Store, Telemetry,
    Tls,
};
use super::{adapter, read_file};
use crate::alarms::AlarmsConfig;
use crate::console::ConsoleConfig;

/// What could be read. A section is `None` when a value of it could not.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) places: Places,
    pub(crate) base: PathBuf,
    pub(crate) gateway: Option<Gateway>,
    pub(crate) listen: Option<Listen>,
    /// `None` when a value of it could not be read; the inner one says that there is no console.
    pub(crate) console: Option<Option<ConsoleConfig>>,
    pub(crate) operate: Option<Operate>,
    pub(crate) alarms: Option<AlarmsConfig>,
    pub(crate) tls: TlsDraft,
    pub(crate) store: Option<Store>,
    pub(crate) parts: Option<Parts>,
    pub(crate) evidence_key: Option<PathBuf>,
    pub(crate) directory: Option<Directory>,
    pub(crate) limits: Option<Limits>,
    pub(crate) quota: Option<Quota>,
    pub(crate) retry: Option<Retry>,
    pub(crate) telemetry: Option<Telemetry>,
    pub(crate) adapters: Vec<AdapterConfig>,
}

/// `[tls]`, each file for itself.
#[derive(Clone, Debug)]
pub(crate) struct TlsDraft {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) roots: Option<Vec<PathBuf>>,
    pub(crate) handshake_timeout: Option<Duration>,
}

impl Draft {
    /// Loads the file at `path`.
    ///
    /// # Errors
    /// When nothing can be read of it: no file, or no TOML.
    pub(crate) fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        Self::parse(&read_file(path)?, path, environment)
    }

    /// Reads `text`; beside what could be read stand the faults, in the order of the file.
    ///
    /// # Errors
    /// When it is no TOML: that fault alone, since all others would only follow from it.
    pub(crate) fn parse(
        text: &str,
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let layers = Layers::read(text, file, environment).map_err(|fault| vec![fault])?;
        let mut reader = Reader::new(layers);
        let (adapters, faults) = adapter::read(&reader.layers.adapters, &reader.base, &reader.layers.file);
        reader.layers.faults.extend(faults);
        if let Err(faults) = crate::app::prepare_all(&adapters, &adapters_worker::Queues::default()) {
            reader.layers.faults.extend(faults);
        }
        let draft = reader.draft(adapters);
        let mut faults = reader.layers.faults;
        faults.sort();
        Ok((draft, faults))
    }

    /// The whole configuration; `None` when a value is missing.
    pub(crate) fn whole(self) -> Option<Config> {
        let tls = Tls {
            certificate: self.tls.certificate?,
            key: self.tls.key?,
            roots: self.tls.roots?,
            handshake_timeout: self.tls.handshake_timeout?,
        };
        Some(Config {
            base: self.base,
            file: self.places.file.clone(),
            gateway: self.gateway?,
            listen: self.listen?,
            console: self.console?,
            operate: self.operate?,
            alarms: self.alarms?,
            tls,
            store: self.store?,
            parts: self.parts?,
            evidence_key: self.evidence_key?,
            directory: self.directory?,
            limits: self.limits?,
            quota: self.quota?,
            retry: self.retry?,
            telemetry: self.telemetry?,
            adapters: self.adapters,
            places: self.places,
        })
    }
}

impl From<&Config> for Draft {
    fn from(config: &Config) -> Self {
        let Config { tls, .. } = config.clone();
        Self {
            places: config.places.clone(),
            base: config.base.clone(),
            gateway: Some(config.gateway.clone()),
            listen: Some(config.listen.clone()),
            console: Some(config.console.clone()),
            operate: Some(config.operate.clone()),
            alarms: Some(config.alarms.clone()),
            tls: TlsDraft {
                certificate: Some(tls.certificate),
                key: Some(tls.key),
                roots: Some(tls.roots),
                handshake_timeout: Some(tls.handshake_timeout),
            },
            store: Some(config.store.clone()),
            parts: Some(config.parts.clone()),
            evidence_key: Some(config.evidence_key.clone()),
            directory: Some(config.directory.clone()),
            limits: Some(config.limits.clone()),
            quota: Some(config.quota.clone()),
            retry: Some(config.retry.clone()),
            telemetry: Some(config.telemetry.clone()),
            adapters: config.adapters.clone(),
        }
    }
}

/// Where each key stands, for faults that show only when the files behind the keys are read.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The configuration file.
    pub(crate) file: PathBuf,
    /// From `section.key` to its file, or environment variable, and its line.
    pub(crate) keys: BTreeMap<String, (PathBuf, Option<usize>)>,
}

impl Places {
    /// A fault with `key` where it stands.
    pub(crate) fn fault(&self, key: &str, problem: impl Into<String>) -> Fault {
        let (file, line) = self.keys.get(key).cloned().unwrap_or_else(|| (self.file.clone(), None));
        Fault { file, line, key: key.to_owned(), problem: problem.into() }
    }
}
