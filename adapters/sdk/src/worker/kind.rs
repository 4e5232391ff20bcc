//! Runs a configured kind of adapter as a worker: `lienthong adapter run`, and any binary of its own.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use gateway_model::id::{AgencyId, SystemId};
use proto::v1;

use super::link::{self, BackOff, Client, refusal};
use super::session::introduction;
use super::{RETRY_FIRST, RETRY_LONGEST, Worker, WorkerError, WorkerInfo, WorkerSettings};
use crate::{AdapterKind, ConfigFault, PrepareContext, Prepared};

/// How long a gateway is waited for that could be told of a configuration that will not do.
const TELL_TIME_MAX: Duration = Duration::from_secs(5);

/// Prepares `table` as the configuration of `kind`, opens the adapter and works until `shutdown` resolves. Relative paths start from
/// `base`. The agencies are those that the gateway says the queue holds.
///
/// # Errors
/// [`WorkerError::Misconfigured`] when the configuration will not do; the gateway has been told then, where it could be.
pub async fn run_kind(
    kind: &dyn AdapterKind,
    table: &toml::Table,
    base: PathBuf,
    settings: WorkerSettings,
    info: WorkerInfo,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), WorkerError> {
    let client = link::client(&settings)?;
    tokio::pin!(shutdown);
    let mut context =
        PrepareContext { name: settings.queue.clone(), base, agencies: Vec::new(), system: system(&settings.queue) };
    // What is wrong whatever the gateway says is told even when the gateway is away.
    let wrong = kind.prepare(table, &context).err();
    let agencies = tokio::select! {
        biased;
        () = &mut shutdown => return Ok(()),
        agencies = agencies(client.clone(), &settings.queue) => agencies,
        () = tokio::time::sleep(TELL_TIME_MAX), if wrong.is_some() => Vec::new(),
    };
    context.agencies = agencies;
    let prepared = match kind.prepare(table, &context) {
        Ok(prepared) => prepared,
        Err(faults) => return Err(misconfigured(client, &settings, &info, faults).await),
    };
    let faults = prepared.check();
    if !faults.is_empty() {
        return Err(misconfigured(client, &settings, &info, faults).await);
    }
    let adapter = Prepared::open(prepared).await?;
    Worker { settings, info, client }.run(adapter, shutdown).await
}

/// The queue stands in for the system, which the gateway knows by the certificate.
fn system(queue: &str) -> Option<SystemId> {
    SystemId::parse(queue).ok()
}

/// The agencies of the queue; a gateway that is away is waited for. A queue that is not the caller's has none: Register says so.
async fn agencies(mut client: Client, queue: &str) -> Vec<AgencyId> {
    let mut back_off = BackOff::new(RETRY_FIRST, RETRY_LONGEST);
    loop {
        let fault = match client.get_info(v1::GetInfoRequest {}).await {
            Ok(answer) => {
                let queues = answer.into_inner().queues;
                let named = queues.into_iter().find(|known| known.queue == queue).map(|known| known.agencies);
                return named.unwrap_or_default().iter().filter_map(|agency| AgencyId::parse(agency).ok()).collect();
            }
            Err(status) => refusal(&status),
        };
        tracing::warn!(%fault, "the gateway does not answer now");
        tokio::time::sleep(back_off.wait(fault.retry_after)).await;
    }
}

/// Tells the gateway, so that its operator sees why no work is taken.
async fn misconfigured(
    mut client: Client,
    settings: &WorkerSettings,
    info: &WorkerInfo,
    faults: Vec<ConfigFault>,
) -> WorkerError {
    let told = tokio::time::timeout(TELL_TIME_MAX, client.register(introduction(settings, info, &faults))).await;
    if !matches!(told, Ok(Ok(_))) {
        tracing::info!("the gateway could not be told of the faults");
    }
    WorkerError::Misconfigured(faults)
}
