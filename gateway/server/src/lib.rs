//! The doors, the configuration and the wiring of a gateway.
//!
//! Read in this order: [`config`] says what is told, [`app`] opens everything and names the concrete stores and adapters, [`mod@run`] runs and
//! ends it; [`tls`] and [`listen`] let callers in, [`doors`] answers them, [`errors`] says how.

pub mod admin;
pub mod app;
pub mod check;
pub mod config;
pub mod dial;
pub mod directory_source;
pub mod doors;
pub mod errors;
pub mod evidence_key;
pub mod listen;
pub mod notice;
pub mod quota;
pub mod run;
pub mod telemetry;
pub mod tls;

pub use app::{App, StartError};
pub use config::Config;
pub use run::RunError;

use tokio_util::sync::CancellationToken;

/// Why `serve` ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The log.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The signals.
    #[error("signals cannot be heard: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs a gateway as a process: sets up the log, starts, serves until SIGTERM or ctrl-c, drains.
///
/// # Errors
/// [`ServeError`]; the process should then end with an error.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let _telemetry = telemetry::install(&config.telemetry, config.gateway.id.as_str())?;
    let app = App::start(config).await?;
    let shutdown = CancellationToken::new();
    let running = app.run(shutdown.clone());
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return Ok(ended?),
        heard = run::signalled() => heard?,
    }
    shutdown.cancel();
    Ok(running.await?)
}
