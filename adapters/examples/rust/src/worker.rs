//! What every adapter of this shape needs: its configuration read, its worker run, and deliveries written durably.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use adapters_sdk::settings::Settings;
use adapters_sdk::worker::{Effect, WorkerError, WorkerInfo, WorkerSettings, asked_to_end, refuse, run_kind};
use adapters_sdk::{Adapter, AdapterError, AdapterKind, ConfigFault, Delivery, PrepareContext, Prepared};
use tokio::io::AsyncWriteExt as _;

/// Runs the adapter that `read` makes from its configuration, until SIGTERM.
pub async fn run<A, R>(name: &'static str, read: R) -> ExitCode
where
    A: Adapter + 'static,
    R: Fn(&mut Settings<'_>) -> Option<A> + Send + Sync,
{
    match try_run(&Kind { name, read, makes: PhantomData }).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            failure.exit_code().into()
        }
    }
}

async fn try_run(kind: &dyn AdapterKind) -> Result<(), WorkerError> {
    let settings = WorkerSettings::from_environment().map_err(WorkerError::Misconfigured)?;
    let info = WorkerInfo {
        name: kind.name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_schema: String::new(),
        submits: false,
        effect: Effect::Once,
    };
    let table = match read_configuration() {
        Ok(table) => table,
        Err(fault) => return Err(refuse(&settings, &info, vec![fault]).await),
    };
    run_kind(kind, &table, PathBuf::from("."), settings, info, asked_to_end()).await
}

fn read_configuration() -> Result<toml::Table, ConfigFault> {
    let fault = |problem: &str| ConfigFault { key: "LIENTHONG_CONFIG".to_owned(), problem: problem.to_owned() };
    let Ok(path) = std::env::var("LIENTHONG_CONFIG") else { return Ok(toml::Table::new()) };
    let text = std::fs::read_to_string(path).map_err(|cause| fault(&cause.kind().to_string()))?;
    // The parser's own words would quote the file, and the file may hold secrets.
    text.parse().map_err(|_| fault("is no TOML"))
}

/// An adapter that is made from its configuration.
struct Kind<A, R> {
    name: &'static str,
    read: R,
    makes: PhantomData<fn() -> A>,
}

impl<A, R> AdapterKind for Kind<A, R>
where
    A: Adapter + 'static,
    R: Fn(&mut Settings<'_>) -> Option<A> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, config: &toml::Table, _context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>> {
        let mut settings = Settings::new(config);
        let read = (self.read)(&mut settings);
        Ok(Box::new(Ready(settings.finish(read)?)))
    }
}

struct Ready<A>(A);

#[async_trait::async_trait]
impl<A: Adapter + 'static> Prepared for Ready<A> {
    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError> {
        Ok(Arc::new(self.0))
    }
}

/// Writes the signed envelope and every part of a delivery into a new folder, and makes all of it durable.
pub async fn write_durably(delivery: &Delivery, folder: &Path) -> std::io::Result<()> {
    if tokio::fs::try_exists(folder).await? {
        tokio::fs::remove_dir_all(folder).await?;
    }
    tokio::fs::create_dir_all(folder).await?;
    let mut file = tokio::fs::File::create(folder.join("envelope.bin")).await?;
    file.write_all(&delivery.signed).await?;
    file.sync_all().await?;
    for (number, part) in delivery.envelope.parts.iter().enumerate() {
        let mut file = tokio::fs::File::create(folder.join(format!("part-{:04}", number + 1))).await?;
        // The worker checks the digest: a damaged part ends in an error.
        let mut bytes = delivery.parts.open(&part.digest, 0).await?;
        tokio::io::copy(&mut bytes, &mut file).await?;
        file.sync_all().await?;
    }
    sync(folder).await
}

/// Makes the names in a folder durable.
pub async fn sync(folder: &Path) -> std::io::Result<()> {
    tokio::fs::File::open(folder).await?.sync_all().await
}
