//! Reads typed values out of the layers, section by section, and notes what is wrong where it stands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gateway_model::limits;

use super::draft::{Draft, TlsDraft};
use super::layers::{Layers, Raw};
use super::value::{self, Read};
use super::{
    AdapterConfig, Directory, Fault, Gateway, Limits, Listen, Operate, Quota, Retry, Store, StoreKind, Telemetry,
};
use crate::alarms::{AlarmsConfig, MailConfig, MailTls, WebhookConfig};
use crate::console::ConsoleConfig;

/// Reads typed values out of the layers and notes what is wrong.
pub(super) struct Reader {
    pub layers: Layers,
    pub base: PathBuf,
    /// Every key that has been asked for.
    pub read: BTreeSet<&'static str>,
}

impl Reader {
    pub fn new(layers: Layers) -> Self {
        let base = layers.file.parent().map(Path::to_owned).unwrap_or_default();
        Self { layers, base, read: BTreeSet::new() }
    }

    /// Reads everything, whatever is wrong on the way, so that all faults are seen.
    pub fn draft(&mut self, adapters: Vec<AdapterConfig>) -> Draft {
        let base = self.base.clone();
        let store = self.store();
        Draft {
            gateway: self.gateway(),
            listen: self.listen(),
            console: self.console(),
            operate: self
                .read("operate.two_persons_for_bulk", value::truth)
                .map(|two| Operate { two_persons_for_bulk: two }),
            alarms: self.alarms(),
            tls: self.tls(),
            parts: self.parts(store.as_ref().map(|store| &*store.path)),
            store,
            evidence_key: self.read("evidence.key", value::path(&base)),
            directory: self.directory(),
            limits: self.limits(),
            quota: self.quota(),
            retry: self.retry(),
            telemetry: self.telemetry(),
            places: self.layers.places(),
            base,
            adapters,
        }
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

    fn console(&mut self) -> Option<Option<ConsoleConfig>> {
        let base = self.base.clone();
        let listen = self.read("console.listen", value::optional_address);
        let url = self.read("console.url", value::text);
        let certificate = self.read("console.certificate", value::optional_path(&base));
        let key = self.read("console.key", value::optional_path(&base));
        let (listen, url, certificate, key) = (listen?, url?, certificate?, key?);
        if certificate.is_some() != key.is_some() {
            self.fault("console.certificate", "certificate and key go together".to_owned());
        }
        if !url.is_empty() && !url.starts_with("https://") {
            self.fault("console.url", format!("\"{url}\" does not begin with https://"));
        }
        let Some(listen) = listen else { return Some(None) };
        let url = Some(url).filter(|url| !url.is_empty());
        Some(Some(ConsoleConfig { listen, url, certificate, key }))
    }

    fn alarms(&mut self) -> Option<AlarmsConfig> {
        let (webhook, mail) = (self.webhook(), self.mail());
        Some(AlarmsConfig { webhook: webhook?, mail: mail? })
    }

    /// The inner one is `None` when there is none.
    fn webhook(&mut self) -> Option<Option<WebhookConfig>> {
        let base = self.base.clone();
        let webhook = self.read("alarms.webhook", value::endpoint);
        let secret = self.read("alarms.secret", value::optional_path(&base));
        let roots = self.read("alarms.roots", value::optional_path(&base));
        let private = self.read("alarms.private", value::truth);
        let (webhook, secret, roots, private) = (webhook?, secret?, roots?, private?);
        let Some(webhook) = webhook else { return Some(None) };
        let Some(secret) = secret else {
            self.fault("alarms.secret", "is required with `webhook`".to_owned());
            return None;
        };
        if webhook.scheme_str() == Some("https") && roots.is_none() {
            self.fault("alarms.roots", "is required for https".to_owned());
        }
        Some(Some(WebhookConfig { webhook, secret, roots, private }))
    }

    /// The inner one is `None` when there is none.
    fn mail(&mut self) -> Option<Option<MailConfig>> {
        let base = self.base.clone();
        let server = self.read("alarms.mail_server", value::optional_host_and_port);
        let tls = self.read("alarms.mail_tls", value::mail_tls);
        let roots = self.read("alarms.mail_roots", value::optional_path(&base));
        let from = self.read("alarms.mail_from", value::optional_mailbox);
        let to = self.read("alarms.mail_to", value::mailboxes);
        let user = self.read("alarms.mail_user", value::text);
        let password = self.read("alarms.mail_password", value::optional_path(&base));
        let language = self.read("alarms.mail_language", value::language);
        let (server, tls, roots, from, to) = (server?, tls?, roots?, from?, to?);
        let (user, password, language) = (user?, password?, language?);
        let Some((host, port)) = server else { return Some(None) };
        let from = from.filter(|_| !to.is_empty());
        let Some(from) = from else {
            self.fault("alarms.mail_from", "is required with `mail_server`, and `mail_to` too".to_owned());
            return None;
        };
        if tls != MailTls::None && roots.is_none() {
            self.fault("alarms.mail_roots", "is required unless `mail_tls` is \"none\"".to_owned());
        }
        let login = match (user.is_empty(), password) {
            (true, _) => None,
            (false, Some(password)) if tls != MailTls::None => Some((user, password)),
            (false, _) => {
                let problem = "is required with `mail_user`, and goes over TLS only".to_owned();
                self.fault("alarms.mail_password", problem);
                None
            }
        };
        Some(Some(MailConfig { host, port, tls, roots, from, to, login, language }))
    }

    fn tls(&mut self) -> TlsDraft {
        let base = self.base.clone();
        let certificate = self.read("tls.certificate", value::path(&base));
        let key = self.read("tls.key", value::path(&base));
        let roots = self.read("tls.roots", value::paths(&base));
        let handshake_timeout = self.lowered("tls.handshake_timeout", value::duration, limits::HANDSHAKE_TIME_MAX);
        TlsDraft { certificate, key, roots, handshake_timeout }
    }

    fn store(&mut self) -> Option<Store> {
        let kind = self.read("store.kind", value::store_kind);
        let redis = self.redis();
        let path = self.read("store.path", value::path(&self.base.clone()));
        let free_bytes_min = self.read("store.free_bytes_min", value::bytes);
        let body_retention = self.read("store.body_retention", value::duration);
        let upload_retention = self.read("store.upload_retention", value::duration);
        let kind = match kind? {
            value::Kind::Embedded => StoreKind::Embedded,
            value::Kind::Redis => match redis? {
                Some(redis) => StoreKind::Redis(Box::new(redis)),
                None => {
                    self.fault("redis.addresses", "is required with store.kind = \"redis\"".to_owned());
                    return None;
                }
            },
        };
        Some(Store {
            kind,
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
        let cosigners = self.read("directory.cosigners", value::verifier_keys);
        let refresh = self.read("directory.refresh", value::duration);
        let warn_before = self.read("directory.warn_before", value::duration);
        if file == Some(None) && from_parent == Some(false) {
            self.fault("directory.file", "is required unless `from_parent` is true".to_owned());
        }
        if let (Some(authority), Some(cosigners)) = (&authority, &cosigners)
            && cosigners.contains(authority)
        {
            self.fault(
                "directory.cosigners",
                "names the authority itself: a second person has a key of their own".to_owned(),
            );
        }
        Some(Directory {
            file: file?,
            from_parent: from_parent?,
            authority: authority?,
            cosigners: cosigners?,
            refresh: refresh?,
            warn_before: warn_before?,
        })
    }

    fn limits(&mut self) -> Option<Limits> {
        let part_bytes = self.lowered("limits.part_bytes", value::bytes, limits::PART_BYTES_MAX);
        let connections = self.lowered("limits.connections", value::count, limits::CONNECTIONS_MAX as u32);
        let handshakes = self.lowered("limits.handshakes", value::count, limits::CONNECTIONS_MAX as u32);
        let streams_per_connection =
            self.lowered("limits.streams_per_connection", value::count, limits::STREAMS_PER_CONNECTION_MAX);
        let streams = self.lowered("limits.streams", value::count, 65_536);
        let in_flight_per_stream = self.lowered("limits.in_flight_per_stream", value::count, 4_096);
        let in_flight = self.lowered("limits.in_flight", value::count, 65_536);
        let uploads = self.lowered("limits.uploads", value::count, 4_096);
        let watches = self.lowered("limits.watches", value::count, 65_536);
        let request_timeout = self.read("limits.request_timeout", value::duration);
        Some(Limits {
            part_bytes: part_bytes?,
            connections: connections? as usize,
            handshakes: handshakes? as usize,
            streams_per_connection: streams_per_connection?,
            streams: streams? as usize,
            in_flight_per_stream: in_flight_per_stream? as usize,
            in_flight: in_flight? as usize,
            uploads: uploads? as usize,
            watches: watches? as usize,
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
    pub(super) fn read<T>(&mut self, key: &'static str, parse: impl Fn(&Raw) -> Read<T>) -> Option<T> {
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
    pub(super) fn lowered<T: PartialOrd + std::fmt::Debug>(
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

    pub(super) fn fault(&mut self, key: &str, problem: String) {
        let (file, line) = self.layers.place(key);
        self.layers.faults.push(Fault { file, line, key: key.to_owned(), problem });
    }
}

/// `governor` counts cells in 32 bits.
const BYTES_A_SECOND_MAX: u64 = u32::MAX as u64;
/// Ten seconds of it have to hold the largest request.
const BYTES_A_SECOND_MIN: u64 = 1024 * 1024;
