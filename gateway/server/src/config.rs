//! The configuration: one TOML file over compiled-in defaults, under the environment; all faults told together.

mod adapter;
mod fault;
mod layers;
mod value;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use gateway_model::limits;
use gateway_model::note::VerifierKey;

pub use adapter::AdapterConfig;
pub use fault::Fault;
pub use layers::{DEFAULT, Origin};

use layers::{Layers, Raw};
use value::Read;

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
    /// `[tls]`
    pub tls: Tls,
    /// `[store]`
    pub store: Store,
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
    /// Folder.
    pub path: PathBuf,
    /// Below this the doors take no more.
    pub free_bytes_min: u64,
    /// How long delivered bodies are kept.
    pub body_retention: Duration,
    /// How long uploads that no envelope names are kept.
    pub upload_retention: Duration,
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
    /// Envelopes in flight on one stream.
    pub in_flight_per_stream: usize,
    /// Envelopes in flight over all doors.
    pub in_flight: usize,
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
        let mut reader = Reader::new(Layers::read(text, file, environment));
        let (adapters, faults) = adapter::read(&reader.layers.adapters, &reader.base, &reader.layers.file);
        reader.layers.faults.extend(faults);
        if let Err(faults) = crate::app::prepare_all(&adapters) {
            reader.layers.faults.extend(faults);
        }
        let config = reader.config(adapters);
        let mut faults = reader.layers.faults;
        faults.sort();
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults),
        }
    }

    /// Every key with its value and origin, for `config show --origin`. Faulty values are shown too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn show(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<Shown>, Vec<Fault>> {
        let layers = Layers::read(&read_file(path)?, path, environment);
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

/// Reads typed values out of the layers and notes what is wrong.
struct Reader {
    layers: Layers,
    base: PathBuf,
    read: BTreeSet<&'static str>,
}

impl Reader {
    fn new(layers: Layers) -> Self {
        let base = layers.file.parent().map(Path::to_owned).unwrap_or_default();
        Self { layers, base, read: BTreeSet::new() }
    }

    /// Reads everything before it decides, so that all faults are seen.
    fn config(&mut self, adapters: Vec<AdapterConfig>) -> Option<Config> {
        let (gateway, listen, tls) = (self.gateway(), self.listen(), self.tls());
        let (store, directory) = (self.store(), self.directory());
        let evidence_key = self.read("evidence.key", value::path(&self.base.clone()));
        let (limits, quota, retry, telemetry) = (self.limits(), self.quota(), self.retry(), self.telemetry());
        Some(Config {
            base: self.base.clone(),
            file: self.layers.file.clone(),
            gateway: gateway?,
            listen: listen?,
            tls: tls?,
            store: store?,
            evidence_key: evidence_key?,
            directory: directory?,
            limits: limits?,
            quota: quota?,
            retry: retry?,
            telemetry: telemetry?,
            adapters,
        })
    }

    fn gateway(&mut self) -> Option<Gateway> {
        let id = self.read("gateway.id", value::gateway_id);
        let language = self.read("gateway.language", value::language);
        let drain = self.read("gateway.drain", value::duration);
        Some(Gateway { id: id?, language: language?, drain: drain? })
    }

    fn listen(&mut self) -> Option<Listen> {
        let doors = self.read("listen.doors", value::address);
        let admin = self.read("listen.admin", value::address);
        let keepalive = self.read("listen.keepalive", value::duration);
        let keepalive_timeout = self.read("listen.keepalive_timeout", value::duration);
        let listen =
            Listen { doors: doors?, admin: admin?, keepalive: keepalive?, keepalive_timeout: keepalive_timeout? };
        if listen.doors == listen.admin && listen.doors.port() != 0 {
            self.fault("listen.admin", "is the address of the doors; the admin port needs its own".to_owned());
        }
        Some(listen)
    }

    fn tls(&mut self) -> Option<Tls> {
        let base = self.base.clone();
        let certificate = self.read("tls.certificate", value::path(&base));
        let key = self.read("tls.key", value::path(&base));
        let roots = self.read("tls.roots", value::paths(&base));
        let handshake_timeout = self.lowered("tls.handshake_timeout", value::duration, limits::HANDSHAKE_TIME_MAX);
        Some(Tls { certificate: certificate?, key: key?, roots: roots?, handshake_timeout: handshake_timeout? })
    }

    fn store(&mut self) -> Option<Store> {
        let path = self.read("store.path", value::path(&self.base.clone()));
        let free_bytes_min = self.read("store.free_bytes_min", value::bytes);
        let body_retention = self.read("store.body_retention", value::duration);
        let upload_retention = self.read("store.upload_retention", value::duration);
        Some(Store {
            path: path?,
            free_bytes_min: free_bytes_min?,
            body_retention: body_retention?,
            upload_retention: upload_retention?,
        })
    }

    fn directory(&mut self) -> Option<Directory> {
        let file = self.read("directory.file", value::optional_path(&self.base.clone()));
        let from_parent = self.read("directory.from_parent", value::truth);
        let authority = self.read("directory.authority", value::verifier_key);
        let refresh = self.read("directory.refresh", value::duration);
        let warn_before = self.read("directory.warn_before", value::duration);
        if file == Some(None) && from_parent == Some(false) {
            self.fault("directory.file", "is required unless `from_parent` is true".to_owned());
        }
        Some(Directory {
            file: file?,
            from_parent: from_parent?,
            authority: authority?,
            refresh: refresh?,
            warn_before: warn_before?,
        })
    }

    fn limits(&mut self) -> Option<Limits> {
        let part_bytes = self.lowered("limits.part_bytes", value::bytes, limits::PART_BYTES_MAX);
        let connections = self.lowered("limits.connections", value::count, limits::CONNECTIONS_MAX as u32);
        let handshakes = self.lowered("limits.handshakes", value::count, limits::CONNECTIONS_MAX as u32);
        let streams = self.lowered("limits.streams_per_connection", value::count, limits::STREAMS_PER_CONNECTION_MAX);
        let in_flight_per_stream = self.lowered("limits.in_flight_per_stream", value::count, 4_096);
        let in_flight = self.lowered("limits.in_flight", value::count, 65_536);
        let request_timeout = self.read("limits.request_timeout", value::duration);
        Some(Limits {
            part_bytes: part_bytes?,
            connections: connections? as usize,
            handshakes: handshakes? as usize,
            streams_per_connection: streams?,
            in_flight_per_stream: in_flight_per_stream? as usize,
            in_flight: in_flight? as usize,
            request_timeout: request_timeout?,
        })
    }

    fn quota(&mut self) -> Option<Quota> {
        let requests_per_second = self.read("quota.requests_per_second", value::count);
        let bytes_per_second = self.lowered("quota.bytes_per_second", value::bytes, BYTES_A_SECOND_MAX);
        let quota = Quota { requests_per_second: requests_per_second?, bytes_per_second: bytes_per_second? };
        if quota.bytes_per_second < BYTES_A_SECOND_MIN {
            self.fault("quota.bytes_per_second", "at least 1MiB, so that the largest envelope fits".to_owned());
        }
        Some(quota)
    }

    fn retry(&mut self) -> Option<Retry> {
        let first = self.read("retry.first", value::duration);
        let max = self.read("retry.max", value::duration);
        let receipt_overdue = self.read("retry.receipt_overdue", value::duration);
        let retry = Retry { first: first?, max: max?, receipt_overdue: receipt_overdue? };
        if retry.first > retry.max {
            self.fault("retry.first", "is longer than retry.max".to_owned());
        }
        Some(retry)
    }

    fn telemetry(&mut self) -> Option<Telemetry> {
        let log = self.read("telemetry.log", value::log_filter);
        let format = self.read("telemetry.format", value::log_format);
        let otlp = self.read("telemetry.otlp", value::endpoint);
        Some(Telemetry { log: log?, format: format?, otlp: otlp? })
    }

    /// Reads a key; a fault is noted where the value stands.
    fn read<T>(&mut self, key: &'static str, parse: impl Fn(&Raw) -> Read<T>) -> Option<T> {
        self.read.insert(key);
        match self.layers.entries.get(key).map(|entry| parse(&entry.raw)) {
            Some(Ok(value)) => Some(value),
            Some(Err(problem)) => {
                self.fault(key, problem);
                None
            }
            None => {
                self.fault(key, "is missing from the compiled-in defaults".to_owned());
                None
            }
        }
    }

    /// Reads a key that has an upper bound.
    fn lowered<T: PartialOrd + std::fmt::Debug>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&Raw) -> Read<T>,
        bound: T,
    ) -> Option<T> {
        let value = self.read(key, parse)?;
        if value > bound {
            self.fault(key, format!("is above the bound of {bound:?}, which can be lowered but not raised"));
        }
        Some(value)
    }

    fn fault(&mut self, key: &str, problem: String) {
        let origin = self.layers.entries.get(key).map(|entry| entry.origin.clone());
        let heading = key.split('.').next().and_then(|section| self.layers.sections.get(section)).copied();
        let (file, line) = match origin {
            Some(Origin::File(line)) => (self.layers.file.clone(), Some(line)),
            Some(Origin::Environment(name)) => (PathBuf::from(name), None),
            Some(Origin::Default) | None => (self.layers.file.clone(), heading),
        };
        self.layers.faults.push(Fault { file, line, key: key.to_owned(), problem });
    }
}

/// `governor` counts cells in 32 bits.
const BYTES_A_SECOND_MAX: u64 = u32::MAX as u64;
/// Ten seconds of it have to hold the largest request.
const BYTES_A_SECOND_MIN: u64 = 1024 * 1024;

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
