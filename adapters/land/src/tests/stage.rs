//! An adapter with the system behind it, and the gateway's door in front.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use adapters_sdk::{Adapter, Delivery, Outcome, PrepareContext};
use adapters_simulators::land::LandSystem;
use adapters_simulators::onestop::OneStop;
use gateway_model::id::{AgencyId, SystemId};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::Land;
use crate::config::Config;
use crate::fixture::{MemoryDoor, write_seal};

/// What callers of the adapter have in their URL.
pub(super) const CODE: &str = "ma-chung-cua-truc-lien-thong-01";
/// What the desk wants in its URL.
pub(super) const DESK_CODE: &str = "ma-chung-cua-mot-cua-0001";

pub(super) fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// An adapter at work, and its door.
pub(super) struct Stage {
    pub folder: TempDir,
    pub door: Arc<MemoryDoor>,
    pub adapter: Arc<Land>,
    serving: JoinHandle<()>,
    config: String,
    agency: &'static str,
}

impl Stage {
    pub(super) fn of_land(land: &LandSystem, extra: &str) -> Self {
        let config = format!(
            "role = \"to-land-system\"\nurl = \"{}\"\nprovince = \"99\"\ndistrict = \"30\"\ncommune = \"01\"\n{extra}\n\
             outbound = {{ allow = [{{ origin = \"{}\", private = true }}, \"http://127.0.0.2:80\"], time_max = \"5s\" }}\n",
            land.url(),
            land.origin()
        );
        Self::open(config, "h99.21")
    }

    pub(super) fn of_desk(desk: &OneStop, results: &str) -> Self {
        let config = format!(
            "role = \"to-one-stop\"\nurl = \"{}\"\nland_office = \"h99.21\"\nurl_code = \"desk.code\"\n{results}\n\
             outbound = {{ allow = [{{ origin = \"{}\", private = true }}], time_max = \"5s\" }}\n",
            desk.url(),
            desk.origin()
        );
        Self::open(config, "h99.30.01")
    }

    fn open(config: String, agency: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_seal(folder.path());
        std::fs::write(folder.path().join("land.code"), CODE).unwrap();
        std::fs::write(folder.path().join("desk.code"), DESK_CODE).unwrap();
        let config = format!(
            "kind = \"land\"\nlisten = \"127.0.0.1:0\"\ncode = \"land.code\"\nstate = \"state\"\n\
             seal = {{ certificate = \"agency.pem\", key = \"agency.key\" }}\n{config}"
        );
        let door = MemoryDoor::new();
        let (adapter, serving) = start(&config, agency, folder.path(), door.clone());
        Self { folder, door, adapter, serving, config, agency }
    }

    /// As after `kill -9`: nothing in memory is left.
    pub(super) async fn restart(self) -> Self {
        let Self { folder, door, adapter, serving, config, agency } = self;
        serving.abort();
        assert!(serving.await.is_err_and(|ended| ended.is_cancelled()));
        drop(adapter);
        let (adapter, serving) = start(&config, agency, folder.path(), door.clone());
        Self { folder, door, adapter, serving, config, agency }
    }

    /// The adapter's URL with its code.
    pub(super) fn base(&self) -> String {
        format!("{}/{CODE}", self.origin())
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.adapter.listener.address())
    }

    pub(super) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        self.adapter.deliver(delivery).await
    }

    /// Names of the files in a folder of its state.
    pub(super) fn kept(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("state").join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn start(config: &str, agency: &str, base: &Path, door: Arc<MemoryDoor>) -> (Arc<Land>, JoinHandle<()>) {
    let context = PrepareContext {
        name: "land".into(),
        base: base.to_owned(),
        agencies: vec![AgencyId::parse(agency).unwrap()],
        system: Some(SystemId::parse("sys").unwrap()),
    };
    let config = Config::read(&config.parse().unwrap(), &context).unwrap();
    assert_eq!(crate::state::check(&config), []);
    let adapter = Arc::new(Land::open(config).unwrap());
    let serving = tokio::spawn({
        let adapter = adapter.clone();
        async move { adapter.receive(door).await.unwrap() }
    });
    (adapter, serving)
}

pub(super) fn taken() -> Outcome {
    Outcome::Taken { receipt: None }
}

/// The kind of an outcome in a word, with its scope.
pub(super) fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Taken { .. } => "taken",
        Outcome::Deferred { scope: adapters_sdk::Scope::Destination, .. } => "down",
        Outcome::Deferred { scope: adapters_sdk::Scope::Delivery, .. } => "later",
        Outcome::Refused { .. } => "refused",
    }
}
