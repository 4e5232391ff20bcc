//! A drop folder: the adapter to copy.
//!
//! Out: each delivery becomes a sub-folder of `incoming/` with the envelope, the receipt, the parts and a summary for a clerk. In: what is
//! dropped into the outgoing folder is submitted, sealed first where it is plain files with a description.
//!
//! ```text
//! <path>/incoming/<delivery id>/   what came: appears whole or not at all; may be moved away or deleted when it has been read
//! <path>/<outgoing>/               what is to go: NAME.lt, or NAME.toml with its files; the describing file comes last
//! <path>/sent/<NAME-…>/            what was accepted, with its receipt; kept for `set_aside_for`
//! <path>/refused/<NAME-…>/         what was not, with the reason in Vietnamese and English
//! <path>/.lienthong/               the adapter's own: work at hand, what was taken, seals made and moves begun
//! ```
//!
//! One process serves a folder at a time ([`adapters_sdk::alone`]): of several nodes with the same shared folder, the others stand by.
//!
//! The rooms are those of every adapter: [`config`] reads and checks, `deliver` hands over, `door` brings in; health is here.

use std::path::PathBuf;
use std::sync::Arc;

use adapters_sdk::alone::Alone;
use adapters_sdk::disk;
use adapters_sdk::seal::config::SealConfig;
use adapters_sdk::{
    Adapter, AdapterError, AdapterKind, ConfigFault, Delivery, Door, Health, Outcome, PrepareContext, Prepared, Room,
};
use async_trait::async_trait;

pub mod config;
mod deliver;
mod door;
#[cfg(test)]
mod fixture;
mod layout;

use crate::config::Config;
use crate::deliver::Incoming;
use crate::door::Outbox;
use crate::layout::Layout;

/// `kind = "folder"`.
#[derive(Clone, Copy, Debug)]
pub struct FolderKind;

impl AdapterKind for FolderKind {
    fn name(&self) -> &'static str {
        "folder"
    }

    fn prepare(&self, config: &toml::Table, context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>> {
        Ok(Box::new(PreparedFolder { config: Config::read(config, context)? }))
    }
}

/// A drop folder that has not been touched yet.
#[derive(Debug)]
struct PreparedFolder {
    config: Config,
}

#[async_trait]
impl Prepared for PreparedFolder {
    fn check(&self) -> Vec<ConfigFault> {
        self.config
            .outgoing
            .as_ref()
            .and_then(|outgoing| outgoing.seal.as_ref())
            .map(SealConfig::check)
            .unwrap_or_default()
    }

    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError> {
        disk::run(move || Folder::open(self.config).map(|folder| Arc::new(folder) as Arc<dyn Adapter>)).await?
    }
}

/// A drop folder at work.
struct Folder {
    layout: Arc<Layout>,
    alone: Arc<Alone>,
    incoming: Incoming,
    outbox: Option<tokio::sync::Mutex<Outbox>>,
}

impl Folder {
    /// Makes the sub-folders, reads the key, and begins to serve unless another process does.
    fn open(config: Config) -> Result<Self, AdapterError> {
        let layout = Arc::new(Layout::open(&config.path)?);
        let alone = Arc::new(Alone::at(layout.served.clone()));
        alone.begin(|| deliver::finish_drafts(&layout))?;
        let outbox = config.outgoing.map(|outgoing| Outbox::open(&layout, outgoing)).transpose()?;
        let incoming = Incoming::new(layout.clone());
        Ok(Self { incoming, layout, alone, outbox: outbox.map(tokio::sync::Mutex::new) })
    }

    /// Serves the other direction, once it is this process's to serve.
    async fn serve(&self, door: &dyn Door) -> Result<(), AdapterError> {
        let layout = self.layout.clone();
        tokio::select! {
            () = door.closed() => return Ok(()),
            begun = self.alone.wait(move || deliver::finish_drafts(&layout)) => begun?,
        }
        match &self.outbox {
            Some(outbox) => outbox.lock().await.serve(door).await,
            None => {
                door.closed().await;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Adapter for Folder {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        self.incoming.deliver(delivery).await
    }

    async fn check(&self) -> Health {
        let layout = self.layout.clone();
        match disk::run(move || layout.probe()).await {
            Ok(Ok(())) => Health::Up,
            Ok(Err(fault)) | Err(fault) => Health::Down { cause: fault.to_string() },
        }
    }

    fn room_together(&self) -> Room {
        self.alone.room()
    }

    async fn room_changed(&self) {
        self.alone.began().await;
    }

    fn quarantine(&self) -> Option<PathBuf> {
        self.outbox.as_ref().map(|_| self.layout.refused.clone())
    }

    async fn receive(&self, door: Arc<dyn Door>) -> Result<(), AdapterError> {
        tokio::select! {
            served = self.serve(door.as_ref()) => served,
            never = self.layout.forget() => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{MemoryDoor, delivery, tree};

    #[tokio::test]
    async fn preparing_touches_nothing_and_opening_makes_a_folder_that_works() {
        let root = tempfile::tempdir().unwrap();
        let context =
            PrepareContext { name: "so-tnmt".into(), base: root.path().to_owned(), agencies: Vec::new(), system: None };
        let prepared = FolderKind.prepare(&"path = \"so-tnmt\"".parse().unwrap(), &context).map_err(drop).unwrap();
        assert!(tree(root.path()).is_empty());
        let adapter = prepared.open().await.unwrap();
        assert_eq!(adapter.check().await, Health::Up);
        assert_eq!(adapter.deliver(&delivery("x", &[])).await, Outcome::Taken { receipt: None });
        assert_eq!(tree(&root.path().join("so-tnmt/incoming")).len(), 4);
    }

    #[test]
    fn checking_tells_every_file_of_the_seal_that_cannot_be_used_and_touches_nothing() {
        let root = tempfile::tempdir().unwrap();
        let context = PrepareContext {
            name: "so-tnmt".into(),
            base: root.path().to_owned(),
            agencies: Vec::new(),
            system: gateway_model::id::SystemId::parse("sys").ok(),
        };
        let table = "path = \"so-tnmt\"\noutgoing = \"out\"\n[seal]\ncertificate = \"a.pem\"\nkey = \"a.key\"";
        let prepared = FolderKind.prepare(&table.parse().unwrap(), &context).map_err(drop).unwrap();
        let keys = || prepared.check().into_iter().map(|fault| fault.key).collect::<Vec<_>>();
        assert_eq!(keys(), ["seal.certificate", "seal.key"]);
        assert!(tree(root.path()).is_empty());
        std::fs::write(root.path().join("a.pem"), "no certificate").unwrap();
        std::fs::write(root.path().join("a.key"), "no key").unwrap();
        assert_eq!(keys(), ["seal.key"], "they are there, but no pair");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_says_which() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "in the way").unwrap();
        let config = Config { path: root.path().join("file/inside"), outgoing: None };
        let fault = Folder::open(config).err().unwrap().to_string();
        assert!(fault.contains("file/inside"), "{fault}");
    }

    #[tokio::test]
    async fn receiving_ends_when_the_door_closes() {
        let root = tempfile::tempdir().unwrap();
        let outgoing = config::Outgoing {
            folder: "outgoing".into(),
            poll_interval: std::time::Duration::from_secs(3_600),
            expires_in: std::time::Duration::from_secs(3_600),
            set_aside_for: std::time::Duration::from_secs(86_400),
            seal: None,
            from: None,
        };
        for outgoing in [None, Some(outgoing)] {
            let folder = Folder::open(Config { path: root.path().to_owned(), outgoing }).unwrap();
            let door = Arc::new(MemoryDoor::new());
            let (received, ()) = tokio::join!(folder.receive(door.clone()), async { door.close() });
            assert!(received.is_ok());
        }
    }
}
