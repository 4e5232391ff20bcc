//! `lienthong adapter run`: a shipped kind of adapter as a worker of its own, away from the gateway.

use std::path::{Path, PathBuf};

use adapters_sdk::ConfigFault;
use adapters_sdk::worker::{Effect, WorkerError, WorkerInfo, WorkerSettings, asked_to_end, refuse, run_kind};
use anyhow::Context as _;
use clap::Args;
use gateway_server::telemetry;

use crate::errln;
use crate::exit::{Exit, Usage};

/// Runs a shipped kind of adapter as a worker.
#[derive(Args, Debug)]
pub struct Run {
    /// Kind of the adapter: folder, edxml, http or land.
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// Its configuration: what stands in its table of a gateway's configuration. Relative paths start from its folder.
    #[arg(long, value_name = "FILE", env = "LIENTHONG_CONFIG")]
    config: PathBuf,
}

impl Run {
    /// Works until SIGTERM. `LIENTHONG_LOG`, `LIENTHONG_LOG_FORMAT` and `LIENTHONG_OTLP` say how it tells of itself, on standard error.
    ///
    /// # Errors
    /// When there is no such kind, or the adapter cannot work. A configuration that will not do is told to the gateway, and is an exit code.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let kinds = gateway_server::app::kinds();
        let Some(kind) = kinds.get(self.kind.as_str()) else {
            let known: Vec<&str> = kinds.keys().copied().collect();
            return Err(Usage(format!("{:?} is no kind; known: {}", self.kind, known.join(", "))).into());
        };
        let telling = telemetry::of_environment(|name| std::env::var(name).ok()).map_err(Usage)?;
        let queue = std::env::var("LIENTHONG_QUEUE").unwrap_or_default();
        // Held until the end, so that the last spans are sent.
        let _telemetry = telemetry::install(&telling, &queue).context("telemetry")?;
        let info = WorkerInfo {
            name: kind.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_schema: String::new(),
            submits: true,
            effect: Effect::Once,
        };
        let base = self.config.parent().unwrap_or(Path::new(".")).to_owned();
        let ended = match (WorkerSettings::from_environment(), self.read()) {
            (Ok(settings), Ok(table)) => run_kind(kind.as_ref(), &table, base, settings, info, asked_to_end()).await,
            (Ok(settings), Err(fault)) => Err(refuse(&settings, &info, vec![fault]).await),
            (Err(faults), table) => Err(WorkerError::Misconfigured(faults.into_iter().chain(table.err()).collect())),
        };
        match ended {
            Ok(()) => Ok(Exit::Success),
            Err(WorkerError::Adapter(failure)) => Err(failure.into()),
            Err(misconfigured) => {
                errln!("lienthong: {misconfigured}");
                Ok(Exit::Misconfigured)
            }
        }
    }

    fn read(&self) -> Result<toml::Table, ConfigFault> {
        let fault = |problem: String| ConfigFault { key: "--config".to_owned(), problem };
        let path = self.config.display();
        let text = std::fs::read_to_string(&self.config)
            .map_err(|cause| fault(format!("{path} cannot be read: {}", cause.kind())))?;
        // The parser's own words would quote the file, and the file may hold secrets.
        text.parse().map_err(|_| fault(format!("{path} is no TOML")))
    }
}
