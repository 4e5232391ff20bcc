//! A running gateway: every task is owned here, watched, and ended in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_engine::Engine;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Receiver};
use crate::config::Config;
use crate::doors::Doors;
use crate::notice::{self, Addresses, State};
use crate::{admin, alarms, console, listen, register};

/// Why a gateway stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The disk of the store failed; nothing was acknowledged after it.
    #[error("the store has failed: {0}: check the disk, or Redis, then start again")]
    StoreFailed(String),
    /// The doors broke down.
    #[error("the doors broke down: {0}")]
    Doors(#[source] tonic::transport::Error),
    /// The admin port broke down.
    #[error("{0}")]
    Admin(#[from] admin::AdminError),
    /// A task ended that should not.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// A task panicked.
    #[error("a task broke down: {0}")]
    Broken(#[from] tokio::task::JoinError),
    /// A file of the gateway's own.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How often health is told and quotas are tidied.
const HOUSEKEEPING: Duration = Duration::from_secs(2);
/// Pause before an adapter's way in is started again.
const RECEIVE_PAUSE: Duration = Duration::from_secs(5);
/// What requests in flight have at least once the doors close.
const CLOSING_TIME_MIN: Duration = Duration::from_secs(1);
/// What the last steps of an end may take beyond the time to drain.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// Serves until `shutdown` or until something gives up; then drains.
pub(crate) async fn run(app: App, shutdown: CancellationToken) -> Result<(), RunError> {
    let (addresses, config, store) = (app.addresses().clone(), Arc::new(app.config.clone()), app.store.clone());
    let (engine, admin, draining) = (app.engine.clone(), app.admin.clone(), app.draining.clone());
    let (queues, closing, stop) = (app.queues.clone(), CancellationToken::new(), CancellationToken::new());
    let mut running = Running::start(app, &config, &closing, &stop);
    tell(&addresses, &config, &engine)?;
    let why = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        failure = store.failed() => Err(RunError::StoreFailed(failure)),
        why = running.ended() => Err(why),
    };
    if let Err(error) = &why {
        tracing::error!(%error, "the gateway gives up");
    }
    notice::tell_systemd(State::Stopping);
    tracing::info!(event = "draining", "draining");
    draining.cancel();
    engine.drain();
    admin.tell_health().await;
    // The doors stay open for workers that finish what they have; nobody gets more.
    let (began, drain) = (Instant::now(), config.gateway.drain);
    if tokio::time::timeout(drain, queues.idle()).await.is_err() {
        tracing::warn!("workers did not finish in time; what they have is delivered again");
    }
    queues.close();
    closing.cancel();
    running.finish(&stop, drain.saturating_sub(began.elapsed()).max(CLOSING_TIME_MIN), drain).await;
    if tokio::time::timeout(CLOSE_TIME_MAX, engine.parts().close()).await.is_err() {
        tracing::warn!("the ends of broken uploads could not be put away in time; they come again");
    }
    if tokio::time::timeout(CLOSE_TIME_MAX, store.close()).await.is_err() {
        tracing::warn!("the store took too long to close; it recovers at the next start");
    }
    if let Err(error) = notice::forget_addresses(&config.store.path) {
        tracing::warn!(%error, "the addresses could not be forgotten");
    }
    tracing::info!(event = "stopped", "stopped");
    why
}

/// Tells the log, harnesses and systemd that the gateway serves.
fn tell(addresses: &Addresses, config: &Config, engine: &Engine) -> Result<(), RunError> {
    let gateway = &config.gateway.id;
    let told = addresses.write(&config.store.path, gateway);
    told.map_err(|source| RunError::File { path: config.store.path.clone(), source })?;
    let directory_version = engine.trust().current().map_or(0, |snapshot| snapshot.directory().version());
    let Addresses { doors, admin, console } = addresses;
    let console = console.map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(event = "serving", %gateway, %doors, %admin, console, directory_version, "serving");
    notice::tell_systemd(State::Ready);
    Ok(())
}

/// The tasks of a running gateway.
struct Running {
    serving: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    walking: tokio::task::JoinHandle<()>,
    rest: JoinSet<Result<&'static str, RunError>>,
}

impl Running {
    fn start(app: App, config: &Arc<Config>, closing: &CancellationToken, stop: &CancellationToken) -> Self {
        let App {
            engine,
            doors,
            admin,
            tls,
            doors_listener,
            admin_listener,
            source,
            receivers,
            draining,
            console,
            alarms,
            ..
        } = app;
        let mut rest: JoinSet<Result<&'static str, RunError>> = JoinSet::new();
        rest.spawn({
            let (admin, stop) = (admin.clone(), stop.clone());
            async move { Ok(admin.serve(admin_listener, stop).await.map(|()| "the admin port")?) }
        });
        rest.spawn({
            let stop = stop.clone();
            async move {
                source.run(stop).await;
                Ok("the directory source")
            }
        });
        if let Some(console) = console {
            let (doors, stop) = (doors.clone(), stop.clone());
            rest.spawn(async move {
                console::serve(console, doors, stop).await;
                Ok("the console")
            });
        }
        for channel in alarms {
            let (engine, stop) = (engine.clone(), stop.clone());
            rest.spawn(async move {
                alarms::send(engine, channel, stop).await;
                Ok("the alarms")
            });
        }
        rest.spawn({
            let (doors, stop) = (doors.clone(), stop.clone());
            async move {
                register::follow(doors, stop).await;
                Ok("the register of files")
            }
        });
        rest.spawn(keep_house(admin, doors.clone(), stop.clone()));
        for receiver in receivers {
            rest.spawn(receive(receiver, engine.clone(), draining.clone()));
        }
        let (config, closing) = (config.clone(), closing.clone());
        let serving = tokio::spawn(async move { listen::serve(doors, doors_listener, tls, &config, closing).await });
        let stop = stop.clone();
        let walking = tokio::spawn(async move { engine.run(stop).await });
        Self { serving, walking, rest }
    }

    /// Resolves when a task ends that should not.
    async fn ended(&mut self) -> RunError {
        tokio::select! {
            ended = &mut self.serving => match ended {
                Ok(Ok(())) => RunError::Ended("the doors"),
                Ok(Err(error)) => RunError::Doors(error),
                Err(error) => error.into(),
            },
            ended = &mut self.walking => ended.map_or_else(Into::into, |()| RunError::Ended("the walk")),
            Some(ended) = self.rest.join_next() => match ended {
                Ok(Ok(name)) => RunError::Ended(name),
                Ok(Err(error)) => error,
                Err(error) => error.into(),
            },
        }
    }

    /// Waits for the doors, then for the walk; what does not finish in time is aborted: it is repeated or walked again.
    async fn finish(mut self, stop: &CancellationToken, serve: Duration, drain: Duration) {
        if !self.serving.is_finished() && tokio::time::timeout(serve, &mut self.serving).await.is_err() {
            tracing::warn!("requests in flight did not finish in time; their callers repeat them");
            self.serving.abort();
        }
        stop.cancel();
        if !self.walking.is_finished() && tokio::time::timeout(drain + CLOSE_TIME_MAX, &mut self.walking).await.is_err()
        {
            tracing::warn!("deliveries in flight did not finish in time; they are walked again");
            self.walking.abort();
        }
        self.rest.shutdown().await;
    }
}

async fn keep_house(admin: admin::Admin, doors: Doors, stop: CancellationToken) -> Result<&'static str, RunError> {
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok("housekeeping"),
            _ = ticks.tick() => {
                admin.tell_health().await;
                doors.quota.sweep();
            }
        }
    }
}

/// Keeps an adapter's way in open until the gateway drains.
async fn receive(receiver: Receiver, engine: Engine, draining: CancellationToken) -> Result<&'static str, RunError> {
    let Receiver { name, adapter, hop } = receiver;
    while !draining.is_cancelled() {
        match adapter.receive(engine.door(hop.clone())).await {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(adapter = %name, %error, "the way in of an adapter broke down; it is started again")
            }
        }
        tokio::select! {
            () = draining.cancelled() => {}
            () = tokio::time::sleep(RECEIVE_PAUSE) => {}
        }
    }
    Ok("the way in of an adapter")
}

/// Resolves at SIGTERM or ctrl-c.
///
/// # Errors
/// When the system does not let us listen for them.
pub async fn signalled() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        result = tokio::signal::ctrl_c() => result,
    }
}
