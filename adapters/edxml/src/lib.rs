//! Document-management systems: edXML packages and statuses, by a drop folder or the document hub's REST door in either role.
//!
//! ```text
//! package ── intake ──▶ sealed envelope ──▶ gateway ──▶ … ──▶ gateway ──▶ handover ──▶ the same package
//! ```
//!
//! [`format`](mod@format) reads and writes packages and knows nothing else. `mapping` says what a package is as an envelope. `intake` and `handover` are the
//! two ways; `ledger` remembers which document is which envelope. The doors are `folder`, [`hub::client`] and [`hub::server`].

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::{
    Absence, Adapter, AdapterError, AdapterKind, ConfigFault, Delivery, Door, Health, Outcome, PrepareContext,
    Prepared, Room, Scope,
};
use adapters_sdk::{disk, forget};
use async_trait::async_trait;
use aws_lc_rs::hmac;
use gateway_model::Reason;
use gateway_model::id::AgencyId;
use tokio::sync::watch;

pub mod config;
mod folder;
pub mod format;
mod handover;
pub mod hub;
mod intake;
mod ledger;
mod mapping;
pub mod organs;
mod quarantine;
mod refused;
mod room;

use crate::config::{Config, DoorConfig};
use crate::folder::DropFolder;
use crate::handover::Handover;
use crate::hub::client::{Calls, HubClient};
use crate::hub::server::HubServer;
use crate::intake::Intake;
use crate::ledger::Ledger;
use crate::organs::Organs;
use crate::quarantine::Quarantine;
use crate::refused::Refused;
use crate::room::Room as Memory;

/// Bytes of a shared secret: shorter ones can be guessed.
const SECRET_BYTES_MIN: usize = 16;
/// Longer ones are a mistake.
const SECRET_BYTES_MAX: u64 = 4 * 1024;
/// A system that has not polled for so long is away.
const UNVISITED_MAX: Duration = Duration::from_secs(600);
/// Working time after which a package that nobody fetched is an incident.
const NOT_PICKED_UP_AFTER: Duration = Duration::from_secs(4 * 3_600);

/// `kind = "edxml"`.
#[derive(Clone, Copy, Debug)]
pub struct EdxmlKind;

impl AdapterKind for EdxmlKind {
    fn name(&self) -> &'static str {
        "edxml"
    }

    fn prepare(&self, config: &toml::Table, context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>> {
        Ok(Box::new(PreparedEdxml { config: Config::read(config, context)? }))
    }
}

/// An adapter that has not touched the world yet.
#[derive(Debug)]
struct PreparedEdxml {
    config: Config,
}

#[async_trait]
impl Prepared for PreparedEdxml {
    fn check(&self) -> Vec<ConfigFault> {
        let mut faults = organs::check(&self.config.organs);
        let secret = match &self.config.door {
            DoorConfig::Folder { .. } => None,
            DoorConfig::HubClient { secret, outbound, .. } => {
                faults.extend(outbound.check());
                Some(secret)
            }
            DoorConfig::HubServer { secret, server } => {
                let broken = server.tls.as_ref().and_then(|tls| tls.check().err());
                let fault = |broken: AdapterError| ConfigFault {
                    key: "hub.certificate".to_owned(),
                    problem: broken.to_string(),
                };
                faults.extend(broken.map(fault));
                Some(secret)
            }
        };
        if let Some(fault) = secret.and_then(|secret| read_secret(secret).err()) {
            faults.push(ConfigFault { key: "hub.secret_file".to_owned(), problem: fault.to_string() });
        }
        faults
    }

    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError> {
        disk::run(move || Edxml::open(self.config).map(|adapter| Arc::new(adapter) as Arc<dyn Adapter>)).await?
    }
}

/// The adapter at work.
struct Edxml {
    ledger: Ledger,
    way: Way,
    refused: Refused,
    quarantine: Quarantine,
    /// How long what was refused and what was sent is kept.
    set_aside_for: Duration,
}

/// Its door.
enum Way {
    Folder(Box<DropFolder>),
    HubClient(Box<HubClient>),
    HubServer(Arc<HubServer>),
}

impl Edxml {
    fn open(config: Config) -> Result<Self, AdapterError> {
        let ledger = Ledger::open(&config.path)?;
        let organs = Arc::new(Organs::open(&config.organs, &config.agencies)?);
        let intake = Arc::new(Intake::new(organs.clone(), ledger.clone(), config.limits, config.expires_in));
        let room = Memory::new(config.limits.package_bytes_max);
        let handover = Arc::new(Handover {
            organs,
            ledger: ledger.clone(),
            limits: config.limits,
            trace_as: config.trace_as,
            room: room.clone(),
        });
        let door = watch::Sender::new(None);
        let refused = Refused { handover: handover.clone(), intake: intake.clone(), door };
        let quarantine = Quarantine::open(&config.path, ledger.working())?;
        let aside = quarantine.clone();
        let way = match config.door {
            DoorConfig::Folder { poll_interval } => {
                Way::Folder(Box::new(DropFolder::open(&config.path, poll_interval, intake, handover, aside)?))
            }
            DoorConfig::HubClient { client, secret, outbound } => {
                let calls = Calls {
                    secret: read_secret(&secret)?,
                    time_max: outbound.bounds.total_time_max,
                    outbound: outbound.open()?,
                };
                Way::HubClient(Box::new(HubClient::new(client, calls, intake, handover, aside)))
            }
            DoorConfig::HubServer { server, secret } => {
                let secret = read_secret(&secret)?;
                let server = HubServer::open(server, intake, handover, room, secret, &config.path, aside)?;
                Way::HubServer(Arc::new(server))
            }
        };
        Ok(Self { ledger, way, refused, quarantine, set_aside_for: config.set_aside_for })
    }

    /// Removes what is too old to matter, for as long as this is polled.
    async fn forget(&self) -> Infallible {
        let aside = async {
            match &self.way {
                // What was refused of a folder may be the only copy: it is its sender's to remove. A hub, or a system that called, has its own.
                Way::Folder(folder) => forget::daily(vec![folder.sent()], self.set_aside_for).await,
                Way::HubClient(_) | Way::HubServer(_) => self.quarantine.forget(self.set_aside_for).await,
            }
        };
        tokio::select! {
            never = self.ledger.forget() => never,
            never = aside => never,
        }
    }
}

#[async_trait]
impl Adapter for Edxml {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let outcome = match &self.way {
            Way::Folder(folder) => folder.deliver(delivery).await,
            Way::HubClient(client) => client.deliver(delivery).await,
            Way::HubServer(server) => server.deliver(delivery).await,
        };
        if let Outcome::Refused { detail, .. } = &outcome
            && let Err(detail) = self.refused.tell(delivery, detail).await
        {
            let (reason, scope) = (Reason::AdapterUnavailable, Scope::Delivery);
            return Outcome::Deferred { reason, detail, retry_after: None, scope };
        }
        outcome
    }

    fn quarantine(&self) -> Option<PathBuf> {
        Some(self.quarantine.folder().to_owned())
    }

    async fn check(&self) -> Health {
        let ledger = self.ledger.clone();
        let down = |fault: AdapterError| Health::Down { cause: fault.to_string() };
        if let Err(fault) | Ok(Err(fault)) = disk::run(move || ledger.probe()).await {
            return down(fault);
        }
        match &self.way {
            Way::Folder(folder) => folder.probe().map_or_else(down, |()| Health::Up),
            Way::HubClient(client) => client.health(),
            Way::HubServer(server) => match server.mailbox.unvisited() {
                Some(span) if span > UNVISITED_MAX => {
                    Health::Down { cause: format!("the system has not polled for {} minutes", span.as_secs() / 60) }
                }
                Some(_) | None => Health::Up,
            },
        }
    }

    fn room(&self, agency: &AgencyId) -> Room {
        match &self.way {
            Way::Folder(_) | Way::HubClient(_) => Room::Any,
            Way::HubServer(server) => server.mailbox.room(agency),
        }
    }

    fn room_together(&self) -> Room {
        match &self.way {
            Way::Folder(_) | Way::HubClient(_) => Room::Any,
            Way::HubServer(server) => server.mailbox.room_together(),
        }
    }

    async fn room_changed(&self) {
        match &self.way {
            Way::Folder(_) | Way::HubClient(_) => std::future::pending().await,
            Way::HubServer(server) => server.mailbox.room_changed().await,
        }
    }

    fn absence(&self, _agency: &AgencyId) -> Option<Absence> {
        let Way::HubServer(server) = &self.way else { return None };
        let lasting = server.mailbox.unvisited()?;
        (lasting > UNVISITED_MAX).then(|| Absence {
            reason: Reason::AdapterUnavailable,
            detail: "the document-management system does not poll".to_owned(),
            lasting,
        })
    }

    fn not_picked_up_after(&self) -> Option<Duration> {
        match &self.way {
            Way::Folder(_) | Way::HubClient(_) => None,
            Way::HubServer(_) => Some(NOT_PICKED_UP_AFTER),
        }
    }

    async fn receive(&self, door: Arc<dyn Door>) -> Result<(), AdapterError> {
        let served = async {
            match &self.way {
                Way::Folder(folder) => folder.serve(door.as_ref()).await,
                Way::HubClient(client) => client.serve(door.as_ref()).await,
                Way::HubServer(server) => server.serve(door.clone()).await,
            }
        };
        self.refused.door.send_replace(Some(door.clone()));
        let served = tokio::select! {
            served = served => served,
            never = self.forget() => match never {},
        };
        self.refused.door.send_replace(None);
        served
    }
}

fn read_secret(file: &Path) -> Result<hmac::Key, AdapterError> {
    let wrong = |what: &str| AdapterError::Other(format!("{}: {what}", file.display()));
    let bytes = disk::read(file, SECRET_BYTES_MAX)?.ok_or_else(|| wrong("is too large for a secret"))?;
    let secret = bytes.trim_ascii();
    match secret.len() < SECRET_BYTES_MIN {
        true => Err(wrong("a shared secret has at least 16 bytes")),
        false => Ok(hmac::Key::new(hmac::HMAC_SHA256, secret)),
    }
}
