//! Who this worker is to the gateway at present: registered once, and again when the gateway has forgotten it.

use std::time::Duration;

use gateway_model::{Reason, Refusal};
use proto::v1;
use tokio::sync::{Mutex, watch};

use super::link::{BackOff, Client, cut, refusal, span};
use super::{RETRY_FIRST, RETRY_LONGEST, WorkerError, WorkerInfo, WorkerSettings};
use crate::ConfigFault;

/// Version of the protocol that this worker speaks.
const PROTOCOL_VERSION: u32 = 1;
const HEARTBEAT_SHORTEST: Duration = Duration::from_millis(50);
const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(10);

/// A registered worker.
pub(super) struct Session {
    client: Client,
    introduction: v1::RegisterRequest,
    worker_id: watch::Sender<String>,
    /// One registers at a time, whoever notices first.
    renewing: Mutex<()>,
    /// How often leases are extended.
    pub heartbeat_every: Duration,
}

impl Session {
    /// Registers; a gateway that is away is waited for.
    pub(super) async fn begin(client: Client, introduction: v1::RegisterRequest) -> Result<Self, WorkerError> {
        let registered = register(&client, &introduction).await?;
        let heartbeat_every = span(registered.heartbeat_every).unwrap_or(HEARTBEAT_DEFAULT).max(HEARTBEAT_SHORTEST);
        let (worker_id, _) = watch::channel(registered.worker_id);
        Ok(Self { client, introduction, worker_id, renewing: Mutex::new(()), heartbeat_every })
    }

    /// The worker id at present.
    pub(super) fn id(&self) -> String {
        self.worker_id.borrow().clone()
    }

    /// The worker id, as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<String> {
        self.worker_id.subscribe()
    }

    /// Registers again because the gateway does not know `forgotten`; does nothing when somebody has done so by now.
    pub(super) async fn renew(&self, forgotten: &str) -> Result<(), WorkerError> {
        let _renewing = self.renewing.lock().await;
        if *self.worker_id.borrow() == forgotten {
            let registered = register(&self.client, &self.introduction).await?;
            self.worker_id.send_replace(registered.worker_id);
        }
        Ok(())
    }
}

/// What a worker says of itself.
pub(super) fn introduction(
    settings: &WorkerSettings,
    info: &WorkerInfo,
    problems: &[ConfigFault],
) -> v1::RegisterRequest {
    use v1::AdapterCapability::{Deliver, Parts, Submit};
    let submit = info.submits.then_some(Submit);
    let capabilities = [Some(Deliver), Some(Parts), submit].into_iter().flatten().map(i32::from).collect();
    let problem =
        |fault: &ConfigFault| v1::ConfigProblem { key: cut(&fault.key, 128), problem: cut(&fault.problem, 512) };
    v1::RegisterRequest {
        queue: settings.queue.clone(),
        info: Some(v1::AdapterInfo {
            name: cut(&info.name, 64),
            version: cut(&info.version, 64),
            protocol_versions: vec![PROTOCOL_VERSION],
            capabilities,
            config_schema: info.config_schema.clone(),
        }),
        instance: cut(&settings.instance, 128),
        problems: problems.iter().map(problem).collect(),
    }
}

async fn register(client: &Client, introduction: &v1::RegisterRequest) -> Result<v1::RegisterResponse, WorkerError> {
    let mut back_off = BackOff::new(RETRY_FIRST, RETRY_LONGEST);
    loop {
        let fault = match client.clone().register(introduction.clone()).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => refusal(&status),
        };
        if is_for_good(&fault) {
            return Err(WorkerError::Refused(fault));
        }
        tracing::warn!(%fault, "this worker cannot register now");
        tokio::time::sleep(back_off.wait(fault.retry_after)).await;
    }
}

/// Whether somebody has to change something here. An unknown certificate becomes a known one when the directory is renewed.
fn is_for_good(fault: &Refusal) -> bool {
    matches!(
        fault.reason,
        Reason::WorkerMisconfigured
            | Reason::QueueUnknown
            | Reason::WorkerProtocolUnsupported
            | Reason::RequestMalformed
    )
}
