//! JSON over HTTP: signed webhooks out, a REST door in, mapped by configuration.
//!
//! Out ([`hook`]): each delivery is a POST whose body a table describes, signed as Standard Webhooks says, parts by value or by link. In
//! (`door`): a system without a signature of its own posts JSON, its own by a table or ours, and the adapter seals for its agency. Calls go only where `[outbound]`
//! says. The routes are described in [`OPENAPI`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use adapters_sdk::listener::Listener;
use adapters_sdk::{
    Adapter, AdapterError, AdapterKind, ConfigFault, Delivery, Door, Health, Outcome, PrepareContext, Prepared,
};
use async_trait::async_trait;
use gateway_model::{Digest, Timestamp};
use tokio::sync::watch;

pub mod config;
mod disk;
mod door;
#[cfg(test)]
mod fixture;
pub mod hook;
mod ledger;
mod link;
mod problem;
mod routes;

use crate::config::Config;
use crate::door::Inward;
use crate::hook::Hook;
use crate::hook::sign::Secret;
use crate::ledger::Ledger;
use crate::link::Links;
use crate::routes::Front;
pub use crate::routes::OPENAPI;

/// Bytes of the file with the token, and how many a token has at least: fewer could be tried out.
const TOKEN_FILE_BYTES_MAX: u64 = 1_024;
const TOKEN_BYTES_MIN: usize = 24;

/// `kind = "http"`.
#[derive(Clone, Copy, Debug)]
pub struct HttpKind;

impl AdapterKind for HttpKind {
    fn name(&self) -> &'static str {
        "http"
    }

    fn prepare(&self, config: &toml::Table, context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>> {
        Ok(Box::new(PreparedHttp { name: context.name.clone(), config: Config::read(config, context)? }))
    }
}

/// A configured adapter that has not touched the world yet.
struct PreparedHttp {
    name: String,
    config: Config,
}

#[async_trait]
impl Prepared for PreparedHttp {
    fn check(&self) -> Vec<ConfigFault> {
        let fault = |key: &str, broken: AdapterError| ConfigFault { key: key.to_owned(), problem: broken.to_string() };
        let mut faults = self.config.outbound.check();
        if let Some(out) = &self.config.out {
            let broken = out.secrets.iter().filter_map(|path| Secret::read(path).err());
            faults.extend(broken.map(|broken| fault("out.secrets", broken)));
        }
        if let Some(inward) = &self.config.inward {
            faults.extend(read_token(inward).err().map(|broken| fault("in.token_file", broken)));
            faults.extend(inward.seal.check());
        }
        if let Some(tls) = self.config.listen.as_ref().and_then(|listen| listen.tls.as_ref()) {
            faults.extend(tls.check().err().map(|broken| fault("listen.certificate", broken)));
        }
        faults
    }

    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError> {
        Ok(Arc::new(Http::open(self.name, self.config).await?))
    }
}

/// The adapter at work.
struct Http {
    hook: Option<Hook>,
    door: watch::Sender<Option<Arc<dyn Door>>>,
    ledger: Option<Ledger>,
    /// The own address is served as long as the adapter lives.
    serving: Option<Serving>,
}

struct Serving {
    address: std::net::SocketAddr,
    task: Mutex<tokio::task::JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).abort();
    }
}

impl Http {
    async fn open(name: String, config: Config) -> Result<Self, AdapterError> {
        let (sender, door) = watch::channel(None);
        let Opened { hook, ledger, front, listener } = disk::run(move || assemble(name, config, door)).await??;
        let serving = listener.map(|listener| {
            let address = listener.address();
            Serving { address, task: Mutex::new(tokio::spawn(serve(listener, front))) }
        });
        if let Some(serving) = &serving {
            tracing::info!(address = %serving.address, "the adapter listens");
        }
        Ok(Self { hook, door: sender, ledger, serving })
    }
}

async fn serve(listener: Listener, front: Arc<Front>) {
    if let Err(fault) = listener.serve(routes::router(front), std::future::pending()).await {
        tracing::error!(%fault, "the adapter's own address cannot be served");
    }
}

struct Opened {
    hook: Option<Hook>,
    ledger: Option<Ledger>,
    front: Arc<Front>,
    listener: Option<Listener>,
}

/// Reads every file, makes the folders, binds the address.
fn assemble(
    name: String,
    config: Config,
    door: watch::Receiver<Option<Arc<dyn Door>>>,
) -> Result<Opened, AdapterError> {
    let Config { state, out, listen, inward, outbound } = config;
    let call_time_max = outbound.bounds.total_time_max;
    let outbound = outbound.open()?;
    let working = state.join("working");
    if working.is_dir() {
        // Downloads that a crash left.
        std::fs::remove_dir_all(&working).map_err(disk::at(&working))?;
    }
    disk::make_folder(&working)?;
    let lifetime = listen.as_ref().map_or(Duration::ZERO, |listen| listen.link_lifetime);
    let public_url = listen.as_ref().map(|listen| listen.public_url.clone()).unwrap_or_default();
    let links = Arc::new(Links::new(public_url, lifetime, now));
    let hook = match out {
        None => None,
        Some(out) => {
            let secrets = out.secrets.iter().map(|path| Secret::read(path)).collect::<Result<_, _>>()?;
            let links = listen.is_some().then(|| links.clone());
            Some(Hook { out, secrets, outbound: outbound.clone(), links, call_time_max })
        }
    };
    let token = inward.as_ref().map(read_token).transpose()?;
    let inward = match inward {
        None => None,
        Some(config) => Some(Inward {
            adapter: name,
            ledger: Ledger::open(&state)?,
            sealer: Arc::new(config.seal.open()?),
            config,
            outbound,
            working,
            door,
            sealing: tokio::sync::Mutex::new(()),
        }),
    };
    let bind = |listen: &config::Listen| Listener::bind(listen.address, listen.tls.as_ref());
    let listener = listen.as_ref().map(bind).transpose()?;
    let ledger = inward.as_ref().map(|inward| inward.ledger.clone());
    Ok(Opened { hook, ledger, front: Front::new(token, inward, links), listener })
}

/// Only the digest of the token is kept.
fn read_token(inward: &config::In) -> Result<Digest, AdapterError> {
    let text = disk::read_text(&inward.token_file, TOKEN_FILE_BYTES_MAX)?;
    let token = text.lines().next().unwrap_or_default().trim();
    if token.len() < TOKEN_BYTES_MIN {
        let path = inward.token_file.display();
        return Err(AdapterError::Other(format!(
            "{path}: holds no token of at least {TOKEN_BYTES_MIN} bytes on its first line"
        )));
    }
    Ok(Digest::of(token.as_bytes()))
}

#[async_trait]
impl Adapter for Http {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        match &self.hook {
            Some(hook) => hook.deliver(delivery, now().seconds()).await,
            None => Outcome::Deferred {
                reason: gateway_model::Reason::AdapterMissing,
                detail: "the adapter has no [out]".to_owned(),
                retry_after: None,
                scope: adapters_sdk::Scope::Destination,
            },
        }
    }

    async fn check(&self) -> Health {
        let is_served = |serving: &Serving| !serving.task.lock().unwrap_or_else(PoisonError::into_inner).is_finished();
        if self.serving.as_ref().is_some_and(|serving| !is_served(serving)) {
            return Health::Down { cause: "the adapter's own address is not served any more".to_owned() };
        }
        match &self.hook {
            Some(hook) => hook.check().await,
            None => Health::Up,
        }
    }

    fn quarantine(&self) -> Option<PathBuf> {
        self.ledger.as_ref().map(|ledger| ledger.refused().to_owned())
    }

    async fn receive(&self, door: Arc<dyn Door>) -> Result<(), AdapterError> {
        self.door.send_replace(Some(door.clone()));
        match &self.ledger {
            None => door.closed().await,
            Some(ledger) => tokio::select! {
                () = door.closed() => {}
                never = ledger.forget_old() => match never {},
            },
        }
        self.door.send_replace(None);
        Ok(())
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
