//! The wiring: the only place that names concrete stores and adapters.

pub mod offline;
mod store;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use adapters_edxml::EdxmlKind;
use adapters_folder::FolderKind;
use adapters_http::HttpKind;
use adapters_land::LandKind;
use adapters_relay::{PeerBook, PeerFacts, RelayIdentity, RelayIdentityError, RelayPeers, RelaySettings};
use adapters_sdk::{Adapter, AdapterError, AdapterKind, Kinds, Prepared};
use adapters_worker::{Queues, WorkerKind};
use gateway_engine::clock::{Clock, SystemClock};
use gateway_engine::entropy::SystemEntropy;
use gateway_engine::metrics::Metrics;
use gateway_engine::quota::{Quotas, Rate};
use gateway_engine::retry::Backoff;
use gateway_engine::settings::Settings;
use gateway_engine::trust::TrustHolder;
use gateway_engine::{AdapterTable, Engine, EngineParts};
use gateway_model::Timestamp;
use gateway_model::agency::Hop;
use gateway_model::id::{AgencyId, GatewayId};
use gateway_model::note::VerifierKey;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::alarms::{AlarmsError, Channel};
use crate::check;
use crate::config::{AdapterConfig, Config, Fault};
use crate::console::OpenConsole;
use crate::directory_source::{DirectorySource, KeptDirectory, SourceError, SourceParts};
use crate::doors::{DoorParts, Doors};
use crate::evidence_key::{self, KeyError};
use crate::metrics::DoorMetrics;
use crate::notice::Addresses;
use crate::quota::DoorQuota;
use crate::register::FileRegister;
use crate::run::{self, RunError};
use crate::tls::{Identity, TlsError};

pub(crate) use store::OpenedStore;

/// A gateway that is ready to run: everything is open and bound, nothing is served yet.
pub struct App {
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) store: OpenedStore,
    pub(crate) doors: Doors,
    pub(crate) admin: Admin,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) doors_listener: TcpListener,
    pub(crate) admin_listener: TcpListener,
    pub(crate) console: Option<OpenConsole>,
    pub(crate) alarms: Vec<Channel>,
    pub(crate) source: DirectorySource,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) queues: Queues,
    pub(crate) draining: CancellationToken,
    addresses: Addresses,
}

/// An adapter that brings envelopes in under an identity of its own.
pub(crate) struct Receiver {
    pub(crate) name: String,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) hop: Hop,
}

/// Why a gateway does not start, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, with every fault.
    #[error("the configuration has faults:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<Fault>),
    /// The TLS identity.
    #[error("the TLS identity cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// The identity towards other gateways.
    #[error("the TLS identity cannot be used towards other gateways: {0}")]
    Relay(#[from] RelayIdentityError),
    /// The evidence key.
    #[error("the key of the evidence log cannot be used: {0}")]
    Evidence(#[from] KeyError),
    /// The store.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] gateway_store_embedded::OpenError),
    /// The store in Redis.
    #[error("the store cannot be opened: {0}")]
    Redis(#[from] gateway_store_redis::OpenError),
    /// The parts.
    #[error("the parts cannot be opened: {0}")]
    Parts(#[from] gateway_store::parts::PartError),
    /// The bucket of the parts.
    #[error("the bucket of the parts cannot be used: {0}")]
    Bucket(#[from] gateway_store_objects::OpenError),
    /// The directory.
    #[error("there is no directory to stand on: {0}: put a signed directory where `directory.file` says")]
    Directory(#[from] SourceError),
    /// An adapter.
    #[error("adapter \"{name}\" cannot be opened: {source}")]
    Adapter {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: AdapterError,
    },
    /// The webhook or the mail of alarms.
    #[error("alarms cannot be sent: {0}")]
    Alarms(#[from] AlarmsError),
    /// A port.
    #[error("{key} = \"{address}\": {source}: stop what listens there, or give another address")]
    Listen {
        /// Which key.
        key: &'static str,
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the gateway's own.
    #[error("{path}: {source}: check that the disk is mounted, writable and not full")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something of ours broke down.
    #[error("the start broke down: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

impl App {
    /// Opens everything that the configuration names: store, directory, adapters, ports.
    ///
    /// # Errors
    /// [`StartError`], saying what to do.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let identity = Identity::read(&config.tls)?;
        let (tls, client_tls) = (identity.server(&config.tls.certificate)?, identity.client(&config.tls.certificate)?);
        let queues = Queues::default();
        let prepared = prepare_all(&config.adapters, &queues).map_err(StartError::Config)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let signer = evidence_key::read(&config.evidence_key, &config.gateway.id)?;
        let log_key = signer.verifier().clone();
        let (store, parts) = store::open(&config, signer, &clock).await?;
        let mut registry = Registry::default();
        let metrics = DoorMetrics::register(&mut registry);
        let trust = TrustHolder::new(None);
        let source = directory(&config, &trust, &clock, client_tls, &metrics, &store).await?;
        tell_disagreements(&trust, &config, &identity, &log_key);
        let relay = relays(&identity, &trust, &clock)?;
        let (adapters, receivers) = open_adapters(prepared, &config.adapters, relay.clone()).await?;
        let engine = Engine::new(EngineParts {
            gateway: config.gateway.id.clone(),
            store: store.shared(),
            parts,
            clock,
            entropy: Arc::new(SystemEntropy),
            trust,
            adapters,
            settings: settings(&config),
            metrics: Metrics::register(&mut registry),
        });
        metrics.certificate_expires_at(identity.expires_at().map_or(0, Timestamp::seconds));
        let console = OpenConsole::open(&config, &identity).await?;
        let (alarms, draining) = (Channel::open_all(&config.alarms, &config.gateway.id)?, CancellationToken::new());
        let doors = Doors::new(DoorParts {
            engine: engine.clone(),
            language: config.gateway.language,
            limits: config.limits.clone(),
            quota: DoorQuota::new(&config.quota),
            metrics,
            draining: draining.clone(),
            directory: source.published(),
            adapters: served(&config.adapters),
            queues: queues.clone(),
            adapter_kinds: config.adapters.iter().map(|adapter| (adapter.name.clone(), adapter.kind.clone())).collect(),
            peers: Some(relay),
            console: console.as_ref().map(|console| console.links.clone()),
            register: FileRegister::new(&config.store.path),
            tls_expires_at: identity.expires_at(),
            kept_directory: KeptDirectory::of(&config),
        });
        let admin = Admin::new(engine.clone(), registry, served(&config.adapters), draining.clone());
        let (doors_listener, doors_address) = bind("listen.doors", config.listen.doors).await?;
        let (admin_listener, admin_address) = bind("listen.admin", config.listen.admin).await?;
        let console_address = console.as_ref().map(|console| console.address);
        let addresses = Addresses { doors: doors_address, admin: admin_address, console: console_address };
        Ok(Self {
            config,
            engine,
            store,
            doors,
            admin,
            tls,
            doors_listener,
            admin_listener,
            console,
            alarms,
            source,
            receivers,
            queues,
            draining,
            addresses,
        })
    }

    /// Where it serves.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The engine: for tests and tools in the same process.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Serves until `shutdown`, then drains: the doors answer DRAINING, what is in flight finishes within its time, the store closes.
    ///
    /// # Errors
    /// [`RunError`] when something gave up that the gateway cannot do without; the process should then end with an error.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunError> {
        run::run(self, shutdown).await
    }
}

/// The kinds of adapters in this binary that hand over by themselves: inside of a gateway, or as a worker of their own.
pub fn kinds() -> Kinds {
    let kinds: [Box<dyn AdapterKind>; 4] =
        [Box::new(FolderKind), Box::new(EdxmlKind), Box::new(HttpKind), Box::new(LandKind)];
    BTreeMap::from(kinds.map(|kind| (kind.name(), kind)))
}

/// Prepares every adapter without any effect; queues of workers will be found in `queues` once they are open.
///
/// # Errors
/// Every fault of every adapter.
pub fn prepare_all(adapters: &[AdapterConfig], queues: &Queues) -> Result<Vec<Box<dyn Prepared>>, Vec<Fault>> {
    let mut kinds = kinds();
    let worker = WorkerKind { queues: queues.clone() };
    kinds.insert(worker.name(), Box::new(worker));
    let (mut prepared, mut faults) = (Vec::new(), Vec::new());
    for adapter in adapters {
        let Some(kind) = kinds.get(adapter.kind.as_str()) else {
            let known: Vec<&str> = kinds.keys().copied().collect();
            let problem = format!(
                "\"{}\" is no kind; known: {}; the way to other gateways needs no adapter table",
                adapter.kind,
                known.join(", ")
            );
            faults.push(adapter.fault("kind", problem));
            continue;
        };
        match kind.prepare(&adapter.own, &adapter.context()) {
            Ok(one) => prepared.push(one),
            Err(found) => faults.extend(found.into_iter().map(|fault| adapter.fault(&fault.key, fault.problem))),
        }
    }
    if faults.is_empty() { Ok(prepared) } else { Err(faults) }
}

/// Something has to be in force; that the newest could not be taken is only an alarm.
async fn directory(
    config: &Config,
    trust: &TrustHolder,
    clock: &Arc<dyn Clock>,
    tls: Arc<rustls::ClientConfig>,
    metrics: &DoorMetrics,
    store: &OpenedStore,
) -> Result<DirectorySource, StartError> {
    let mut source = DirectorySource::new(SourceParts {
        gateway: config.gateway.id.clone(),
        config: config.directory.clone(),
        folder: config.store.path.clone(),
        tls,
        trust: trust.clone(),
        clock: clock.clone(),
        failing: metrics.directory_failing(),
        store: store.shared(),
    });
    let loaded = source.load().await;
    // A node that is new has it from the others.
    source.meet_nodes().await;
    match loaded {
        Err(error) if trust.current().is_none() => Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "the directory could not be read; the last good one is in force");
            Ok(source)
        }
        Ok(()) => Ok(source),
    }
}

/// The gateway starts nevertheless: a directory that puts it right may be on its way.
fn tell_disagreements(trust: &TrustHolder, config: &Config, identity: &Identity, log_key: &VerifierKey) {
    for fault in trust.current().iter().flat_map(|s| check::standing(s.directory(), config, identity, log_key)) {
        tracing::error!(key = %fault.key, problem = %fault.problem, "the directory and this gateway do not agree");
    }
}

/// The relays to other gateways, found in the directory in force at every call.
fn relays(
    identity: &Identity,
    trust: &TrustHolder,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<RelayPeers>, RelayIdentityError> {
    let (chain, key) = (identity.chain.clone(), identity.key.clone_key());
    let identity = RelayIdentity::new(chain, key, identity.authorities.clone())?;
    let (book, clock) = (Arc::new(Book(trust.clone())), clock.clone());
    Ok(Arc::new(RelayPeers::new(identity, RelaySettings::default(), book, Arc::new(move || clock.now()))))
}

/// The directory in force, as relays read it.
struct Book(TrustHolder);

impl PeerBook for Book {
    fn peer(&self, id: &GatewayId) -> Option<PeerFacts> {
        let snapshot = self.0.current()?;
        let gateway = snapshot.directory().gateway(id)?;
        Some(PeerFacts { address: gateway.address.clone(), tls_certificates: gateway.tls_certificates.clone() })
    }
}

async fn open_adapters(
    prepared: Vec<Box<dyn Prepared>>,
    configs: &[AdapterConfig],
    relay: Arc<RelayPeers>,
) -> Result<(AdapterTable, Vec<Receiver>), StartError> {
    let mut table = AdapterTable { by_agency: served(configs), by_name: HashMap::new(), relay: Some(relay) };
    let mut receivers = Vec::new();
    for (prepared, config) in prepared.into_iter().zip(configs) {
        let opened = prepared.open().await;
        let adapter = opened.map_err(|source| StartError::Adapter { name: config.name.clone(), source })?;
        if let Some(system) = &config.system {
            let (name, hop) = (config.name.clone(), Hop::System(system.clone()));
            receivers.push(Receiver { name, adapter: adapter.clone(), hop });
        }
        table.by_name.insert(config.name.clone(), adapter);
    }
    Ok((table, receivers))
}

fn served(adapters: &[AdapterConfig]) -> HashMap<AgencyId, String> {
    let pairs = adapters
        .iter()
        .flat_map(|adapter| adapter.agencies.iter().map(|agency| (agency.clone(), adapter.name.clone())));
    pairs.collect()
}

/// Binds an address that a key of the configuration names.
pub(crate) async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn settings(config: &Config) -> Settings {
    let rate = Rate {
        envelopes_per_second: at_least_one(u64::from(config.quota.requests_per_second)),
        bytes_per_second: at_least_one(config.quota.bytes_per_second),
    };
    let backoff = Backoff { first: config.retry.first, longest: config.retry.max };
    Settings {
        submissions_max: config.limits.in_flight,
        delivery_backoff: backoff,
        gate_backoff: backoff,
        receipt_overdue_after: config.retry.receipt_overdue,
        body_retention: config.store.body_retention,
        part_retention: config.store.upload_retention,
        drain: config.gateway.drain,
        bulk_needs_two: config.operate.two_persons_for_bulk,
        alarm_channels: config.alarms.channels(),
        quotas: Quotas { system: rate, agency: rate },
        ..Settings::default()
    }
}

fn at_least_one(number: u64) -> std::num::NonZeroU32 {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    std::num::NonZeroU32::new(number).unwrap_or(std::num::NonZeroU32::MIN)
}
