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
/// The key that names the agencies, in a gateway's configuration and in faults about them.
const AGENCIES: &str = "agencies";

/// Prepares `table` as the configuration of `kind`, opens the adapter and works until `shutdown` resolves. Relative paths start from
/// `base`. The agencies are those that the gateway says the queue holds.
///
/// The table may stand as in a gateway's configuration: its `name` and `system` are taken, the queue's name where there are none, and its
/// `agencies` have to be those of the queue.
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
    let mut served = Served::read(table, base, &settings.queue);
    // What is wrong whatever the gateway says is told even when the gateway is away.
    let wrong = served.faults(kind);
    let agencies = tokio::select! {
        biased;
        () = &mut shutdown => return Ok(()),
        agencies = agencies(client.clone(), &settings.queue) => agencies,
        () = tokio::time::sleep(TELL_TIME_MAX), if !wrong.is_empty() => {
            return Err(misconfigured(client, &settings, &info, wrong).await);
        }
    };
    served.check_agencies(agencies, &settings.queue);
    let prepared = match kind.prepare(&served.table, &served.context) {
        Ok(prepared) if served.faults.is_empty() => prepared,
        Ok(_) => return Err(misconfigured(client, &settings, &info, served.faults).await),
        Err(faults) => {
            served.faults.extend(faults);
            return Err(misconfigured(client, &settings, &info, served.faults).await);
        }
    };
    let faults = prepared.check();
    if !faults.is_empty() {
        return Err(misconfigured(client, &settings, &info, faults).await);
    }
    let adapter = Prepared::open(prepared).await?;
    Worker { settings, info, client }.run(adapter, shutdown).await
}

/// Tells the gateway of a configuration that cannot even be read, as far as the gateway can be reached, and gives what the process ends
/// with.
pub async fn refuse(settings: &WorkerSettings, info: &WorkerInfo, faults: Vec<ConfigFault>) -> WorkerError {
    match link::client(settings) {
        Ok(client) => misconfigured(client, settings, info, faults).await,
        Err(broken) => broken.into(),
    }
}

/// The kind's own table, and what a gateway's configuration says beside it.
struct Served {
    table: toml::Table,
    context: PrepareContext,
    faults: Vec<ConfigFault>,
}

impl Served {
    /// The queue stands in for the system, which the gateway knows by the certificate.
    fn read(table: &toml::Table, base: PathBuf, queue: &str) -> Self {
        let (mut table, mut faults) = (table.clone(), Vec::new());
        let mut fault = |key: &str, problem: &str| {
            faults.push(ConfigFault { key: key.to_owned(), problem: problem.to_owned() });
        };
        let name = match table.remove("name") {
            Some(toml::Value::String(name)) if !name.is_empty() => name,
            None => queue.to_owned(),
            Some(_) => {
                fault("name", "is no text");
                queue.to_owned()
            }
        };
        let system = match table.remove("system") {
            None => SystemId::parse(queue).ok(),
            Some(value) => {
                let system = value.as_str().and_then(|text| SystemId::parse(text).ok());
                if system.is_none() {
                    fault("system", "is no id of a system");
                }
                system
            }
        };
        let agencies = table.remove(AGENCIES).map(|value| {
            let parse = |value: &toml::Value| value.as_str().and_then(|text| AgencyId::parse(text).ok());
            let named: Option<Vec<AgencyId>> = value.as_array().and_then(|list| list.iter().map(parse).collect());
            named.filter(|named| !named.is_empty())
        });
        if agencies == Some(None) {
            fault(AGENCIES, "is no list of agency ids in quotes");
        }
        let agencies = agencies.flatten().unwrap_or_default();
        Self { table, context: PrepareContext { name, base, agencies, system }, faults }
    }

    /// What is wrong as far as can be said now: whom the queue serves is not known before the gateway has answered.
    fn faults(&self, kind: &dyn AdapterKind) -> Vec<ConfigFault> {
        let mut found = kind.prepare(&self.table, &self.context).err().unwrap_or_default();
        if self.context.agencies.is_empty() {
            found.retain(|fault| fault.key != AGENCIES);
        }
        self.faults.iter().cloned().chain(found).collect()
    }

    /// Takes the queue's agencies; the configuration may name them and no others, because the worker gets what is for any of them.
    fn check_agencies(&mut self, mut of_queue: Vec<AgencyId>, queue: &str) {
        if of_queue.is_empty() {
            return;
        }
        let mut named = std::mem::take(&mut self.context.agencies);
        self.context.agencies.clone_from(&of_queue);
        named.sort();
        of_queue.sort();
        if !named.is_empty() && named != of_queue {
            let has: Vec<&str> = of_queue.iter().map(AgencyId::as_str).collect();
            let problem = format!("are not those of the queue {queue}, which holds what is for {}", has.join(", "));
            self.faults.push(ConfigFault { key: AGENCIES.to_owned(), problem });
        }
    }
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
