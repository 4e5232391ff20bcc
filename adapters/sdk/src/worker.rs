//! Runs any adapter as a process of its own: it pulls deliveries from its gateway over one outbound mTLS connection, and brings envelopes
//! in over the same.
//!
//! One loop leases as many deliveries as there are free slots, one task works on each, one pulse extends their leases and tells how the
//! system is. A lease that is lost takes its work with it. What the system has taken is written down before the gateway is told
//! ([`journal`]), so that a repeat after a crash has no second effect. When the process is asked to end, it takes nothing more, finishes
//! what is at hand within [`WorkerSettings::drain_time_max`] and gives the rest back. The process contract is told in [`environment`].

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_model::agency::Hop;
use gateway_model::id::SystemId;
use gateway_model::{Reason, Refusal};
use proto::v1;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod door;
mod envelope;
pub mod environment;
pub mod journal;
mod kind;
mod link;
mod parts;
mod pulse;
mod session;
mod work;

pub use kind::{refuse, run_kind};

use crate::outbound::Origin;
use crate::outbound::tls::{Identity, TlsSetupError};
use crate::{Adapter, AdapterError, ConfigFault, trace};
use door::RemoteDoor;
use journal::Journal;
use link::{BackOff, Client, cut, refusal, wire_span};
use session::{Session, introduction};
use work::{Bench, Lease, Leases, now};

/// Longest wait of a Lease call, when the gateway allows as much.
const LEASE_WAIT: Duration = Duration::from_secs(30);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// Where a worker works, and its bounds.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// The gateway's door.
    pub gateway: Origin,
    /// The queue it takes from.
    pub queue: String,
    /// CA certificates in PEM that the gateway is checked against.
    pub roots_pem: Vec<u8>,
    /// The worker's own identity.
    pub identity: Identity,
    /// Folder for what it must remember; without one it remembers until it ends.
    pub state: Option<PathBuf>,
    /// A proxy that opens tunnels.
    pub proxy: Option<Origin>,
    /// Tells this process from others, for the operator.
    pub instance: String,
    /// Deliveries at hand at one time, 1 to 64.
    pub deliveries_max: usize,
    /// How long it finishes what is at hand when it is asked to end.
    pub drain_time_max: Duration,
}

impl WorkerSettings {
    /// Settings with the usual bounds.
    pub fn new(gateway: Origin, queue: String, roots_pem: Vec<u8>, identity: Identity) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let instance = cut(&format!("{}-{}", host.trim(), std::process::id()), 128);
        Self {
            gateway,
            queue,
            roots_pem,
            identity,
            state: None,
            proxy: None,
            instance,
            deliveries_max: 8,
            drain_time_max: Duration::from_secs(30),
        }
    }

    /// Reads the process's environment.
    ///
    /// # Errors
    /// Every fault found.
    pub fn from_environment() -> Result<Self, Vec<ConfigFault>> {
        environment::read(|name| std::env::var(name).ok())
    }
}

/// What kind of adapter a worker runs.
#[derive(Clone, Debug)]
pub struct WorkerInfo {
    /// Name, such as `folder`.
    pub name: String,
    /// Version.
    pub version: String,
    /// JSON Schema of its configuration; may be empty.
    pub config_schema: String,
    /// Whether it brings envelopes in.
    pub submits: bool,
    /// What a second hand-over of the same delivery does.
    pub effect: Effect,
}

/// What handing the same delivery over twice does to the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing new: the system, or the adapter, knows the delivery id.
    Repeatable,
    /// A second effect: the worker remembers what was taken, in [`WorkerSettings::state`].
    Once,
}

/// Why a worker ended otherwise than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its configuration, or its environment, will not do.
    #[error("{}", faults_in_words(.0))]
    Misconfigured(Vec<ConfigFault>),
    /// Its certificates will not do.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The gateway will not have it.
    #[error("the gateway refuses this worker: {0}")]
    Refused(Refusal),
    /// The adapter cannot work.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
}

impl WorkerError {
    /// The process's exit code: 78 (EX_CONFIG) where somebody has to change something, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Misconfigured(_) | Self::Tls(_) | Self::Refused(_) => 78,
            Self::Adapter(_) => 1,
        }
    }
}

fn faults_in_words(faults: &[ConfigFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A worker that has not begun yet.
pub struct Worker {
    settings: WorkerSettings,
    info: WorkerInfo,
    client: Client,
}

impl Worker {
    /// A worker by its settings. Opens no connection.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub fn new(settings: WorkerSettings, info: WorkerInfo) -> Result<Self, WorkerError> {
        let client = link::client(&settings)?;
        Ok(Self { settings, info, client })
    }

    /// A worker by the process's environment.
    ///
    /// # Errors
    /// Every fault of the environment.
    pub fn from_environment(info: WorkerInfo) -> Result<Self, WorkerError> {
        Self::new(WorkerSettings::from_environment().map_err(WorkerError::Misconfigured)?, info)
    }

    /// Works until `shutdown` resolves, then drains. A gateway that is away is waited for.
    ///
    /// # Errors
    /// When the gateway will not have this worker, or its state folder cannot be used.
    ///
    /// # Cancellation
    /// Like a crash: leases end by themselves, and what was taken is remembered.
    pub async fn run(
        self,
        adapter: Arc<dyn Adapter>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), WorkerError> {
        let journal = match &self.settings.state {
            Some(folder) => Journal::open(folder, now())?,
            None => Journal::in_memory(),
        };
        if self.settings.state.is_none() && self.info.effect == Effect::Once {
            tracing::warn!("there is no state folder: what was taken is forgotten when this process ends");
        }
        tokio::pin!(shutdown);
        let session = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            session = Session::begin(self.client.clone(), introduction(&self.settings, &self.info, &[])) => session?,
        };
        let bench = Arc::new(Bench {
            adapter,
            client: self.client.clone(),
            session: Arc::new(session),
            journal,
            effect: self.info.effect,
            queue: self.settings.queue.clone(),
            leases: Leases::default(),
        });
        self.serve(bench, shutdown).await
    }

    async fn serve(&self, bench: Arc<Bench>, shutdown: impl Future<Output = ()> + Send) -> Result<(), WorkerError> {
        let closing = CancellationToken::new();
        let hop = SystemId::parse(&self.settings.queue)
            .map_err(|_| WorkerError::Refused(Refusal::new(Reason::QueueUnknown).saw(self.settings.queue.as_str())))?;
        let door =
            Arc::new(RemoteDoor { client: self.client.clone(), hop: Hop::System(hop), closing: closing.clone() });
        let mut tasks = JoinSet::new();
        tokio::pin!(shutdown);
        let pulse = pulse::beat(&bench);
        let receiving = door::receive(bench.adapter.clone(), door);
        tokio::pin!(pulse, receiving);
        let mut is_receiving = true;
        let ended = loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break Ok(()),
                failed = self.take(&bench, &mut tasks) => break failed,
                never = &mut pulse => match never {},
                () = &mut receiving, if is_receiving => is_receiving = false,
            }
        };
        closing.cancel();
        bench.report(v1::WorkerPhase::Draining, None).await;
        let draining = async {
            let finish = async { while tasks.join_next().await.is_some() {} };
            if is_receiving {
                tokio::join!(finish, receiving);
            } else {
                finish.await;
            }
        };
        tokio::select! {
            drained = tokio::time::timeout(self.settings.drain_time_max, draining) => {
                if drained.is_err() {
                    tracing::warn!(at_hand = bench.leases.all().len(), "not all could be finished in time; it is given back");
                }
            }
            never = &mut pulse => match never {},
        }
        tasks.shutdown().await;
        bench.report(v1::WorkerPhase::Leaving, None).await;
        ended
    }

    /// Leases and starts work for ever; ends only when the gateway will not have this worker.
    async fn take(&self, bench: &Arc<Bench>, tasks: &mut JoinSet<()>) -> Result<(), WorkerError> {
        let mut back_off = BackOff::new(RETRY_FIRST, RETRY_LONGEST);
        loop {
            let room = bench.adapter.room_together().left(tasks.len());
            let free = self.settings.deliveries_max.clamp(1, 64).saturating_sub(tasks.len()).min(room);
            if free == 0 {
                tokio::select! {
                    Some(_) = tasks.join_next() => {}
                    () = bench.adapter.room_changed() => {}
                }
                continue;
            }
            let worker_id = bench.session.id();
            let leasing = self.lease(&worker_id, free);
            tokio::pin!(leasing);
            // A call is never broken off for a slot that has become free: what it brings might be on its way.
            let leased = loop {
                tokio::select! {
                    leased = &mut leasing => break leased,
                    Some(_) = tasks.join_next() => {}
                }
            };
            let fault = match leased {
                Ok(deliveries) => {
                    back_off = BackOff::new(RETRY_FIRST, RETRY_LONGEST);
                    for leased in deliveries {
                        let lease = Lease::new(&leased);
                        tasks.spawn(bench.clone().work(leased, lease));
                    }
                    continue;
                }
                Err(fault) => fault,
            };
            if fault.reason == Reason::WorkerUnknown {
                bench.session.renew(&worker_id).await?;
                continue;
            }
            tracing::warn!(%fault, "no work can be taken now");
            tokio::time::sleep(back_off.wait(fault.retry_after)).await;
        }
    }

    async fn lease(&self, worker_id: &str, free: usize) -> Result<Vec<v1::LeasedDelivery>, Refusal> {
        let deliveries_max = u32::try_from(free).unwrap_or(1);
        let request =
            v1::LeaseRequest { worker_id: worker_id.to_owned(), deliveries_max, wait: Some(wire_span(LEASE_WAIT)) };
        let mut client = self.client.clone();
        // A gateway that hangs is told from one that has no work.
        match tokio::time::timeout(LEASE_WAIT + Duration::from_secs(15), client.lease(request)).await {
            Ok(Ok(answer)) => {
                let deliveries = answer.into_inner().deliveries;
                received(&self.settings.queue, &deliveries);
                Ok(deliveries)
            }
            Ok(Err(status)) => Err(refusal(&status)),
            Err(_) => Err(Refusal::new(Reason::PeerUnreachable).saw("the gateway does not answer")),
        }
    }
}

/// The span of what one call brought: each delivery goes on in the trace of its own envelope.
fn received(queue: &str, deliveries: &[v1::LeasedDelivery]) {
    if deliveries.is_empty() {
        return;
    }
    let span = tracing::info_span!(
        parent: None,
        "receive",
        otel.name = format!("receive {queue}"),
        otel.kind = "client",
        messaging.system = "lienthong",
        "messaging.operation.type" = "receive",
        messaging.operation.name = "lease",
        messaging.destination.name = queue,
        messaging.batch.message_count = deliveries.len(),
        trace_id = tracing::field::Empty,
    );
    trace::separate(&span, None);
    for delivery in deliveries {
        trace::link(&span, &delivery.traceparent);
    }
    let _here = span.entered();
    tracing::debug!(deliveries = deliveries.len(), "leased");
}

/// Resolves when the process is asked to end: SIGTERM, or ctrl-c.
pub async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
