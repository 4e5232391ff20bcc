//! `lienthong serve`: runs a gateway until it is asked to stop.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use gateway_server::app::App;
use gateway_server::config::Config;
use gateway_server::{run, telemetry};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Runs a gateway until SIGTERM or Ctrl-C; then drains: the doors close, what is in flight is finished.
#[derive(Args, Debug)]
pub struct Serve {
    /// Configuration file; `lienthong config default` prints the reference.
    #[arg(long, value_name = "FILE", env = "LIENTHONG_CONFIG")]
    config: PathBuf,
    /// Also stops when standard input ends: a process that starts gateways takes them with it, however it dies.
    #[arg(long)]
    stop_with_stdin: bool,
}

impl Serve {
    /// Serves.
    ///
    /// # Errors
    /// When the gateway cannot start, or its disk fails while it runs.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let config = match Config::load(&self.config, std::env::vars()) {
            Ok(config) => config,
            Err(faults) => return Ok(super::check::report(&faults)),
        };
        // Held until the end, so that the last spans are sent.
        let _telemetry = telemetry::install(&config.telemetry, config.gateway.id.as_str()).context("telemetry")?;
        let app = App::start(config).await.context("the gateway cannot start")?;
        let shutdown = CancellationToken::new();
        let asked = shutdown.clone();
        let waiting = tokio::spawn(async move {
            let signalled = run::signalled().await;
            asked.cancel();
            signalled
        });
        if self.stop_with_stdin {
            let closed = shutdown.clone();
            // A thread of its own, since a read of standard input cannot be given up; it ends with the process.
            std::thread::spawn(move || {
                if let Err(cause) = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()) {
                    tracing::warn!(%cause, "standard input broke");
                }
                closed.cancel();
            });
        }
        let ended = app.run(shutdown).await;
        waiting.abort();
        ended.context("the gateway stopped by itself")?;
        Ok(Exit::Success)
    }
}
