//! The doors: gRPC services over the engine, each with its own authorisation.

pub mod adapter;
mod deadline;
pub mod directory;
mod fit;
mod follow;
mod gates;
pub mod operate;
mod pace;
mod pipeline;
mod places;
pub mod relay;
pub mod submit;
mod upload;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adapters_relay::RelayPeers;
use adapters_sdk::trace;
use adapters_worker::Queues;
use bytes::Bytes;
use gateway_console::SignedIn;
use gateway_engine::Engine;
use gateway_model::agency::{Hop, OperatorRole};
use gateway_model::directory::{Directory, Party};
use gateway_model::id::{AgencyId, GatewayId, OperatorId, SystemId};
use gateway_model::language::Language;
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_verify::Snapshot;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

pub use self::places::Place;
use self::places::{Crowded, Places};
use crate::config::Limits;
use crate::console::ConsoleLinks;
use crate::directory_source::KeptDirectory;
use crate::errors;
use crate::metrics::DoorMetrics;
use crate::quota::DoorQuota;
use crate::register::FileRegister;
use crate::tls::Peer;

/// What all doors share. Clones are handles to the same.
#[derive(Clone)]
pub struct Doors(Arc<Shared>);

struct Shared {
    parts: DoorParts,
    places: Places,
}

/// What holds a place for longer than one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasting {
    /// A stream of envelopes: it holds the answers that its caller has not read.
    Stream,
    /// An upload: it holds a file open.
    Upload,
    /// A watch: it reads the store again and again.
    Watch,
    /// A worker that waits for deliveries.
    Lease,
    /// A download: it holds a file open.
    Download,
}

/// What doors are made of.
pub struct DoorParts {
    /// What is behind them.
    pub engine: Engine,
    /// Language of answers when the caller does not say.
    pub language: Language,
    /// Bounds.
    pub limits: Limits,
    /// Quotas of what is not an envelope.
    pub quota: DoorQuota,
    /// What is counted.
    pub metrics: DoorMetrics,
    /// Cancelled when the gateway takes no more.
    pub draining: CancellationToken,
    /// The serialized signed directory in force, with its version.
    pub directory: watch::Receiver<Option<(u64, Bytes)>>,
    /// Names of the adapters, by the agencies that they serve.
    pub adapters: HashMap<AgencyId, String>,
    /// Kinds of the adapters by their names.
    pub adapter_kinds: BTreeMap<String, String>,
    /// The queues of the workers.
    pub queues: Queues,
    /// The other gateways; `None` when this one speaks with nobody.
    pub peers: Option<Arc<RelayPeers>>,
    /// Who is signed in to the console; `None` when there is none.
    pub console: Option<Arc<ConsoleLinks>>,
    /// The register of files.
    pub register: FileRegister,
    /// When this gateway's own TLS certificate ends.
    pub tls_expires_at: Option<Timestamp>,
    /// Where the last good directory lies, and who signs it.
    pub kept_directory: KeptDirectory,
}

impl std::ops::Deref for Doors {
    type Target = DoorParts;

    fn deref(&self) -> &DoorParts {
        &self.0.parts
    }
}

/// Who calls, found anew on every request: a registration that ends, ends at once.
#[derive(Clone)]
pub struct Caller {
    /// The party behind the certificate.
    pub party: Party,
    /// Its language.
    pub language: Language,
    /// The trace that it continues.
    pub traceparent: Option<String>,
    /// The directory by which it was found.
    pub snapshot: Arc<Snapshot>,
    /// Where it calls from; where the browser is, for whoever is signed in to the console.
    pub address: SocketAddr,
    /// How long it waits for the answer, when it says so.
    patience: Option<Duration>,
    /// Its connection; `None` for whoever is signed in to the console.
    peer: Option<Peer>,
}

impl Doors {
    /// Puts the doors together.
    pub fn new(parts: DoorParts) -> Self {
        let places = Places::new(&parts.limits);
        Self(Arc::new(Shared { parts, places }))
    }

    /// Takes a place for the caller; it is given back when it is dropped.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when the caller has all of its own, or all are taken.
    pub fn place(&self, lasting: Lasting, party: &Party) -> Result<Place, Refusal> {
        self.0.places.take(lasting, party).map_err(|crowded| {
            let what = match lasting {
                Lasting::Stream => "streams",
                Lasting::Upload => "uploads",
                Lasting::Watch => "watches",
                Lasting::Lease => "waiting workers",
                Lasting::Download => "downloads",
            };
            let seen = match crowded {
                Crowded::Own => format!("too many {what} of {party} at the same time"),
                Crowded::All => format!("too many {what} at the same time"),
            };
            Refusal::new(Reason::Overloaded).saw(seen).retry_after(CROWDED_WAIT)
        })
    }

    /// Finds the caller; a question is counted against its quota.
    ///
    /// # Errors
    /// The stranger's answer, [`Reason::DirectoryMissing`] or [`Reason::QuotaExceeded`].
    pub fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let language = errors::language(request.metadata(), self.language);
        let caller = match request.extensions().get::<SignedIn>() {
            // The console, in this process: nobody outside can put this there.
            Some(signed_in) => self.signed_in(signed_in, request.metadata(), language)?,
            None => {
                let peer = request.extensions().get::<Peer>().copied().ok_or_else(|| errors::stranger(language))?;
                self.identify(peer, request.metadata(), language)?
            }
        };
        self.quota.ask(&caller.party).map_err(|refusal| caller.status(&refusal))?;
        Ok(caller)
    }

    /// Who signed in is still what the directory says.
    fn signed_in(&self, signed_in: &SignedIn, metadata: &MetadataMap, language: Language) -> Result<Caller, Status> {
        let snapshot = self.engine.trust().current();
        let snapshot = snapshot.ok_or_else(|| errors::status(&Reason::DirectoryMissing.into(), language))?;
        let (party, patience) = (Party::Operator(signed_in.operator.clone()), deadline::patience(metadata));
        Ok(Caller { party, language, traceparent: None, snapshot, address: signed_in.address, patience, peer: None })
    }

    fn identify(&self, peer: Peer, metadata: &MetadataMap, language: Language) -> Result<Caller, Status> {
        let snapshot = self.engine.trust().current();
        let snapshot = snapshot.ok_or_else(|| errors::status(&Reason::DirectoryMissing.into(), language))?;
        let party = snapshot.directory().party(&peer.certificate).cloned().ok_or_else(|| {
            self.metrics.stranger();
            tracing::debug!(peer = %peer.address, certificate = %peer.certificate, "a stranger called");
            errors::stranger(language)
        })?;
        let (traceparent, patience) = (trace::sent_along(metadata), deadline::patience(metadata));
        Ok(Caller { party, language, traceparent, snapshot, address: peer.address, patience, peer: Some(peer) })
    }

    /// Finds the caller of a long stream again.
    ///
    /// # Errors
    /// The stranger's answer when the certificate stands for somebody else by now, or for nobody.
    pub fn again(&self, caller: &Caller) -> Result<Caller, Status> {
        let peer = caller.peer.ok_or_else(|| errors::stranger(caller.language))?;
        let now = self.identify(peer, &MetadataMap::new(), caller.language)?;
        if now.party == caller.party { Ok(now) } else { Err(errors::stranger(caller.language)) }
    }

    /// Runs one request within its time: the gateway's, or the caller's when that is shorter.
    ///
    /// # Errors
    /// The refusal, or [`Reason::DeadlineExceeded`].
    pub async fn within<T>(
        &self,
        caller: &Caller,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Status> {
        let bound = self.limits.request_timeout;
        let time_max = caller.patience.map_or(bound, |patience| patience.min(bound));
        let result = match tokio::time::timeout(time_max, work).await {
            Ok(result) => result,
            Err(_) => Err(Refusal::new(Reason::DeadlineExceeded).saw(seconds(time_max))),
        };
        result.map_err(|refusal| caller.status(&refusal))
    }

    /// Refuses what would start new work while the gateway drains.
    ///
    /// # Errors
    /// [`Reason::Draining`].
    pub fn open(&self) -> Result<(), Refusal> {
        if self.draining.is_cancelled() { Err(Reason::Draining.into()) } else { Ok(()) }
    }
}

impl Caller {
    /// The refusal in the caller's language.
    pub fn status(&self, refusal: &Refusal) -> Status {
        errors::status(refusal, self.language)
    }

    /// The directory in force.
    pub fn directory(&self) -> &Directory {
        self.snapshot.directory()
    }

    /// The caller as a system.
    ///
    /// # Errors
    /// [`Reason::HopNotAllowed`] for anybody else.
    pub fn system(&self) -> Result<&SystemId, Status> {
        match &self.party {
            Party::System(id) => Ok(id),
            Party::Gateway(_) | Party::Operator(_) => Err(self.not_allowed("a system")),
        }
    }

    /// The caller as a gateway.
    ///
    /// # Errors
    /// [`Reason::HopNotAllowed`] for anybody else.
    pub fn gateway(&self) -> Result<&GatewayId, Status> {
        match &self.party {
            Party::Gateway(id) => Ok(id),
            Party::System(_) | Party::Operator(_) => Err(self.not_allowed("a gateway")),
        }
    }

    /// The caller as an operator who may act here in `role`.
    ///
    /// # Errors
    /// [`Reason::OperatorNotAuthorized`] for anybody else.
    pub fn operator(&self, role: OperatorRole, here: &GatewayId) -> Result<&OperatorId, Status> {
        let refuse = |what: String| self.status(&Refusal::new(Reason::OperatorNotAuthorized).saw(what));
        let Party::Operator(id) = &self.party else { return Err(refuse(self.party.to_string())) };
        let operator = self.directory().operator(id).ok_or_else(|| refuse(self.party.to_string()))?;
        if operator.role < role {
            return Err(refuse(format!("{} is needed, {id} is {}", role.as_str(), operator.role.as_str())));
        }
        if !operator.gateways.is_empty() && !operator.gateways.contains(here) {
            return Err(refuse(format!("{id} does not act at {here}")));
        }
        Ok(id)
    }

    /// The caller as a hop: a system or a gateway.
    ///
    /// # Errors
    /// [`Reason::HopNotAllowed`] for an operator.
    pub fn hop(&self) -> Result<Hop, Status> {
        match &self.party {
            Party::System(id) => Ok(Hop::System(id.clone())),
            Party::Gateway(id) => Ok(Hop::Gateway(id.clone())),
            Party::Operator(_) => Err(self.not_allowed("a system or a gateway")),
        }
    }

    fn not_allowed(&self, wanted: &str) -> Status {
        self.status(
            &Refusal::new(Reason::HopNotAllowed).saw(format!("{wanted} is needed, the caller is {}", self.party)),
        )
    }
}

/// When to come again after all places were taken.
const CROWDED_WAIT: Duration = Duration::from_secs(1);

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
