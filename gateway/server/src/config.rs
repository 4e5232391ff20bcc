//! The configuration: one TOML file over compiled-in defaults, under the environment; all faults told together.

mod adapter;
pub(crate) mod draft;
mod fault;
mod layers;
mod parts;
mod reader;
mod redis;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use gateway_model::note::VerifierKey;

pub use adapter::AdapterConfig;
pub use fault::Fault;
pub use layers::{DEFAULT, Origin};
pub use parts::{Bucket, Parts};
pub use redis::{Redis, Topology};

use crate::alarms::AlarmsConfig;
use crate::console::ConsoleConfig;
use draft::{Draft, Places};
use layers::Layers;

/// Everything that a gateway is told. Paths are absolute or relative to the working folder.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder that relative paths of the file start from.
    pub base: PathBuf,
    /// The configuration file.
    pub file: PathBuf,
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[listen]`
    pub listen: Listen,
    /// `[console]`; `None` when there is none.
    pub console: Option<ConsoleConfig>,
    /// `[operate]`
    pub operate: Operate,
    /// `[alarms]`: who hears of them beside the log.
    pub alarms: AlarmsConfig,
    /// `[tls]`
    pub tls: Tls,
    /// `[store]`
    pub store: Store,
    /// `[parts]`
    pub parts: Parts,
    /// `[evidence]`: file of the log's private key.
    pub evidence_key: PathBuf,
    /// `[directory]`
    pub directory: Directory,
    /// `[limits]`
    pub limits: Limits,
    /// `[quota]`
    pub quota: Quota,
    /// `[retry]`
    pub retry: Retry,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[[adapter]]`
    pub adapters: Vec<AdapterConfig>,
    pub(crate) places: Places,
}

/// Who this gateway is.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its id.
    pub id: GatewayId,
    /// Language of answers when the caller does not say.
    pub language: Language,
    /// How long requests in flight may take to finish at the end.
    pub drain: Duration,
}

/// Where it listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The doors.
    pub doors: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// When a silent connection is asked for a sign of life.
    pub keepalive: Duration,
    /// How long it may take to give one.
    pub keepalive_timeout: Duration,
}

/// What operators are held to.
#[derive(Clone, Debug)]
pub struct Operate {
    /// Whether a plan of many deliveries needs a second person.
    pub two_persons_for_bulk: bool,
}

/// Its TLS identity.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// CA certificates of the other side.
    pub roots: Vec<PathBuf>,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
}

/// Its store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where envelopes are kept.
    pub kind: StoreKind,
    /// Folder: of the embedded store, and of what only this node needs.
    pub path: PathBuf,
    /// Below this the doors take no more.
    pub free_bytes_min: u64,
    /// How long delivered bodies are kept.
    pub body_retention: Duration,
    /// How long uploads that no envelope names are kept.
    pub upload_retention: Duration,
}

/// Where envelopes are kept.
#[derive(Clone, Debug)]
pub enum StoreKind {
    /// In the folder, by this node alone.
    Embedded,
    /// In Redis, by one node or many: `[redis]`.
    Redis(Box<Redis>),
}

/// Where its directory comes from.
#[derive(Clone, Debug)]
pub struct Directory {
    /// A signed directory file.
    pub file: Option<PathBuf>,
    /// Whether newer ones are fetched from the level above.
    pub from_parent: bool,
    /// Who signs directories.
    pub authority: VerifierKey,
    /// Persons of whom one has to have signed too; empty where the authority's signature is enough.
    pub cosigners: Vec<VerifierKey>,
    /// How often to look.
    pub refresh: Duration,
    /// When to warn of the end.
    pub warn_before: Duration,
}

/// Bounds at the doors.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one part.
    pub part_bytes: u64,
    /// Connections.
    pub connections: usize,
    /// Handshakes at the same time.
    pub handshakes: usize,
    /// Streams on one connection.
    pub streams_per_connection: u32,
    /// SubmitMany and Relay streams at the same time.
    pub streams: usize,
    /// Envelopes in flight on one stream.
    pub in_flight_per_stream: usize,
    /// Envelopes in flight over all doors.
    pub in_flight: usize,
    /// Uploads at the same time.
    pub uploads: usize,
    /// Watch streams at the same time.
    pub watches: usize,
    /// Longest time of a request.
    pub request_timeout: Duration,
}

/// Quotas of each system.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Requests a second.
    pub requests_per_second: u32,
    /// Bytes a second.
    pub bytes_per_second: u64,
}

/// When deliveries are tried again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub max: Duration,
    /// When a missing final receipt raises an alarm.
    pub receipt_overdue: Duration,
}

/// What it tells, and where.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// Filter of the log.
    pub log: String,
    /// Format of the log.
    pub format: LogFormat,
    /// Where traces go.
    pub otlp: Option<http::Uri>,
}

/// Format of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// One key as it stands, for `config show --origin`.
#[derive(Clone, Debug)]
pub struct Shown {
    /// `section.key`.
    pub key: String,
    /// Value, as TOML.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl Config {
    /// Loads the file at `path` with overrides from `environment` (such as `std::env::vars()`).
    ///
    /// # Errors
    /// Every fault found, in the order of the file.
    pub fn load(path: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<Fault>> {
        Self::parse(&read_file(path)?, path, environment)
    }

    /// Reads `text`, which stands in `file`. Touches no file.
    ///
    /// # Errors
    /// Every fault found, in the order of the file.
    pub fn parse(
        text: &str,
        file: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        let (draft, faults) = Draft::parse(text, file, environment)?;
        match draft.whole() {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }

    /// Every key with its value and origin, for `config show --origin`. Faulty values are shown too.
    ///
    /// # Errors
    /// When the file cannot be read, or is no TOML.
    pub fn show(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<Shown>, Vec<Fault>> {
        let layers = Layers::read(&read_file(path)?, path, environment).map_err(|fault| vec![fault])?;
        let keys = layers.entries.into_iter().map(|(key, entry)| Shown {
            key,
            value: entry.raw.to_string(),
            origin: entry.origin,
        });
        let adapters = layers.adapters.iter().enumerate().flat_map(|(place, adapter)| {
            adapter.table.iter().map(move |(key, value)| Shown {
                key: format!("adapter[{place}].{key}"),
                value: value.to_string(),
                origin: Origin::File(adapter.lines.get(key).copied().unwrap_or(adapter.line)),
            })
        });
        Ok(keys.chain(adapters).collect())
    }
}

/// A configuration larger than this is not one.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn read_file(path: &Path) -> Result<String, Vec<Fault>> {
    let fault = |problem: String| vec![Fault { file: path.to_owned(), line: None, key: String::new(), problem }];
    let bytes = std::fs::metadata(path).map_err(|error| fault(format!("cannot be read: {error}")))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(fault(format!("has {bytes} bytes; a configuration has at most {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))
}

#[cfg(test)]
mod tests;
