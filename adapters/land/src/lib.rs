//! Land systems: their calls and callbacks, both ways, files by value and by link.
//!
//! Land offices and one-stop desks speak one vocabulary over HTTP and JSON: the desk calls `tiepnhan`, `capnhattrangthaibosunghoso` and
//! `capnhattrangthaitraketquahoso`; the land system answers hours to weeks later by `ChuyenHoSo`, `YeuCauBoSungHoSo`, `NhanBoSungHoSo`,
//! `GuiKetQuaThue` and `KetThucHoSo`. The adapter stands on either side, so that desk and land system each believe to talk to the other,
//! and what goes between them is signed, kept and proved.
//!
//! * `role = "to-land-system"`: the agency is the land office. Deliveries become calls; callbacks become envelopes to whoever sent the file.
//! * `role = "to-one-stop"`: the agency is a desk's. Its calls become envelopes to the land office; deliveries become callbacks.
//!
//! What stands between is readable without this adapter: the envelope's case, its content, and one structured part each way,
//! [`land_case`] (`ho-so.json`) and [`event`] (`su-kien.json`). A pause of the clock is the Status `TAM_DUNG`; that it goes on, with a new day,
//! is a Dossier with the state `TIEP_TUC` and its `due_on`.
//!
//! The rooms are those of every adapter: [`config`] reads and checks, `to_land` and `to_one_stop` hand over and take in, health is here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use adapters_sdk::listener::Listener;
use adapters_sdk::{
    Adapter, AdapterError, AdapterKind, ConfigFault, Delivery, Door, Health, Outcome, PrepareContext, Prepared,
};
use async_trait::async_trait;
use gateway_model::Timestamp;

mod body;
mod code;
pub mod config;
mod disk;
pub mod event;
#[cfg(test)]
mod fixture;
mod front;
mod hand_in;
mod journal;
pub mod land_case;
mod outgoing;
mod state;
#[cfg(test)]
mod tests;
mod to_land;
mod to_one_stop;
mod turn;
pub mod vocabulary;

use crate::config::{Config, Role};
use crate::state::State;
use crate::to_land::ToLand;
use crate::to_one_stop::ToDesk;

/// `kind = "land"`.
#[derive(Clone, Copy, Debug)]
pub struct LandKind;

impl AdapterKind for LandKind {
    fn name(&self) -> &'static str {
        "land"
    }

    fn prepare(&self, config: &toml::Table, context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>> {
        Ok(Box::new(PreparedLand { config: Config::read(config, context)? }))
    }
}

/// A land adapter that has touched nothing yet.
#[derive(Debug)]
struct PreparedLand {
    config: Config,
}

#[async_trait]
impl Prepared for PreparedLand {
    fn check(&self) -> Vec<ConfigFault> {
        state::check(&self.config)
    }

    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError> {
        disk::run(move || Land::open(self.config).map(|land| Arc::new(land) as Arc<dyn Adapter>)).await?
    }
}

/// A land adapter at work.
struct Land {
    state: Arc<State>,
    listener: Listener,
    side: Side,
}

enum Side {
    ToLand(Arc<ToLand>),
    ToDesk(Arc<ToDesk>),
}

impl Land {
    /// Makes the folders, reads the journal, the key and the codes, and binds the listener's address.
    fn open(config: Config) -> Result<Self, AdapterError> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let state = Arc::new(State::open(&config, now)?);
        let listener = Listener::bind(config.listen, config.tls.as_ref())?;
        let side = match config.role {
            Role::ToLandSystem(role) => Side::ToLand(Arc::new(ToLand::open(state.clone(), role)?)),
            Role::ToOneStop(role) => Side::ToDesk(Arc::new(ToDesk::open(state.clone(), role)?)),
        };
        tracing::info!(address = %listener.address(), files = state.journal.len(), "the land adapter listens");
        Ok(Self { state, listener, side })
    }
}

#[async_trait]
impl Adapter for Land {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        match &self.side {
            Side::ToLand(side) => side.deliver(delivery).await,
            Side::ToDesk(side) => side.deliver(delivery).await,
        }
    }

    async fn check(&self) -> Health {
        let state = self.state.clone();
        match disk::run(move || state.probe()).await {
            Ok(Ok(())) => Health::Up,
            Ok(Err(fault)) | Err(fault) => Health::Down { cause: fault.to_string() },
        }
    }

    fn quarantine(&self) -> Option<PathBuf> {
        Some(self.state.quarantined())
    }

    async fn receive(&self, door: Arc<dyn Door>) -> Result<(), AdapterError> {
        let router = match &self.side {
            Side::ToLand(side) => side.router(door.clone()),
            Side::ToDesk(side) => side.router(door.clone()),
        };
        self.state.door.send_replace(Some(door.clone()));
        let served = self.listener.serve(router, async move { door.closed().await }).await;
        self.state.door.send_replace(None);
        served
    }
}
