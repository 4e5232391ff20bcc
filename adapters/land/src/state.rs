//! What both directions of the adapter work with: the journal, the folders, the agency's seal, the way out.
//!
//! ```text
//! <state>/journal.log     whose each file is, what was handed over
//! <state>/aside/          files being taken in; emptied at every start
//! <state>/sealed/         envelopes sealed and perhaps submitted already: a repeat has the same bytes
//! <state>/quarantine/     calls that could not be taken on, each with its reason, for a person to look at
//! <state>/results/        files that are served by link
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::noes::Noes;
use adapters_sdk::outbound::Outbound;
use adapters_sdk::quarantine::{Keep, RefusedCall};
use adapters_sdk::seal::Sealer;
use adapters_sdk::{AdapterError, ConfigFault, Door};
use gateway_model::id::AgencyId;
use gateway_model::{Refusal, Timestamp};
use tokio::sync::watch;

use crate::code::{SharedCode, read_code};
use crate::config::Config;
use crate::disk;
use crate::journal::Journal;
use crate::turn::Turns;

/// The adapter's own things.
pub(crate) struct State {
    /// The agency that is served.
    pub agency: AgencyId,
    /// What is remembered.
    pub journal: Journal,
    /// One at a time for each file.
    pub turns: Turns,
    /// How often the other side has said no.
    pub noes: Noes,
    /// The gateway's door, while it is open.
    pub door: watch::Sender<Option<Arc<dyn Door>>>,
    /// The agency's key.
    pub sealer: Arc<Sealer>,
    /// Life of envelopes made here.
    pub expires_in: Duration,
    /// The way out.
    pub outbound: Outbound,
    /// How long one call may take.
    pub call_time_max: Duration,
    /// Where calls go.
    pub url: String,
    /// What callers know.
    pub code: SharedCode,
    folder: PathBuf,
}

impl State {
    /// Makes the folders and reads what the configuration names.
    pub(crate) fn open(config: &Config, now: Timestamp) -> Result<Self, AdapterError> {
        let folder = config.state.clone();
        for name in ["aside", "sealed", "quarantine", "results"] {
            disk::make_folder(&folder.join(name))?;
        }
        disk::sync_folder(&folder)?;
        let journal = Journal::open(&folder, now)?;
        disk::clear_folder(&folder.join("aside"))?;
        Ok(Self {
            agency: config.agency.clone(),
            journal,
            turns: Turns::default(),
            noes: Noes::default(),
            door: watch::Sender::new(None),
            sealer: Arc::new(config.seal.open()?),
            expires_in: config.expires_in,
            outbound: config.outbound.open()?,
            call_time_max: config.outbound.bounds.total_time_max,
            url: config.url.clone(),
            code: SharedCode::read(&config.code)?,
            folder,
        })
    }

    /// Files being taken in.
    pub(crate) fn aside(&self) -> PathBuf {
        self.folder.join("aside")
    }

    /// Files that are served by link.
    pub(crate) fn results(&self) -> PathBuf {
        self.folder.join("results")
    }

    /// The sealed envelope of that id.
    pub(crate) fn sealed(&self, id: &str) -> PathBuf {
        self.folder.join("sealed").join(format!("{id}.lt"))
    }

    /// Whether the journal can be written and the disk takes a file now.
    pub(crate) fn probe(&self) -> Result<(), AdapterError> {
        self.journal.check()?;
        let path = self.folder.join("aside").join("probe");
        disk::replace(&path, b"probe")?;
        disk::remove(&path)
    }

    /// Where such calls are kept.
    pub(crate) fn quarantined(&self) -> PathBuf {
        self.folder.join("quarantine")
    }

    /// Keeps a call that could not be taken on, where a person finds it. The same call is kept once; what there is no room for is answered and
    /// logged, but not kept.
    pub(crate) async fn quarantine(&self, call: &'static str, body: &[u8], refusal: &Refusal, now: Timestamp) {
        let folder = self.quarantined();
        let (body, refusal) = (body.to_vec(), refusal.clone());
        let kept =
            disk::run(move || RefusedCall { call, body: &body, refusal: &refusal, at: now }.keep(&folder, Keep::Whole))
                .await;
        match kept.and_then(|kept| kept) {
            Ok(Some(digest)) => tracing::warn!(call, %digest, "a call could not be taken on and is in quarantine"),
            Ok(None) => tracing::error!(call, "the quarantine is full: look at it"),
            Err(fault) => tracing::error!(call, %fault, "a call could not be taken on, nor put into quarantine"),
        }
    }
}

/// What keeps the files that the configuration names from being used.
pub(crate) fn check(config: &Config) -> Vec<ConfigFault> {
    let fault = |key: &str, fault: AdapterError| ConfigFault { key: key.to_owned(), problem: fault.to_string() };
    let mut faults = config.outbound.check();
    faults.extend(read_code(&config.code).err().map(|broken| fault("code", broken)));
    faults.extend(config.seal.check());
    faults.extend(config.tls.as_ref().and_then(|tls| tls.check().err()).map(|broken| fault("listen_tls", broken)));
    match &config.role {
        crate::config::Role::ToLandSystem(role) => {
            let unread = role.authorization.as_ref().and_then(|path| disk::read(path, 8 * 1024).err());
            faults.extend(unread.map(|broken| fault("authorization", broken)));
        }
        crate::config::Role::ToOneStop(role) => {
            faults.extend(read_code(&role.url_code).err().map(|broken| fault("url_code", broken)));
        }
    }
    faults
}
