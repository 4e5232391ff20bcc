//! Keeps the newest good directory in force: from a file, or from the gateway above; the last good one stays on disk.
//!
//! What is not good (unsigned, older, inconsistent, unreadable) changes nothing: an alarm is raised once, and again when it is over.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use gateway_directory::{DIRECTORY_BYTES_MAX, Expiry, Opened};
use gateway_engine::clock::Clock;
use gateway_engine::trust::TrustHolder;
use gateway_model::id::GatewayId;
use gateway_model::{Digest, Reason, Refusal, Timestamp};
use gateway_store::Store;
use gateway_verify::Snapshot;
use prometheus_client::metrics::gauge::Gauge;
use proto::v1;
use proto::v1::directory_service_client::DirectoryServiceClient;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Directory};
use crate::dial;

mod share;

/// Name of the last good directory in the folder of the store.
pub const KEPT: &str = "directory.last";

/// Time to fetch a directory from the gateway above.
const FETCH_TIME_MAX: Duration = Duration::from_secs(120);

/// Between two looks at what other nodes of this gateway have.
const NODES_EVERY: Duration = Duration::from_millis(700);

/// Why a directory was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The authority did not sign it, it is older, or it does not hold together.
    #[error("{origin}: {refusal}")]
    Refused {
        /// Where it came from.
        origin: String,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// Its trust cannot be read.
    #[error("{origin}: {}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Trust {
        /// Where it came from.
        origin: String,
        /// Every fault.
        faults: Vec<gateway_verify::trust::TrustFault>,
    },
    /// The gateway above does not give it.
    #[error("{parent} does not give its directory: {message}")]
    Parent {
        /// Which gateway.
        parent: GatewayId,
        /// What it said.
        message: String,
    },
    /// The directory does not register a gateway above this one.
    #[error("the directory in force names no gateway above {0}")]
    NoParent(GatewayId),
}

/// What a source is made of.
pub struct SourceParts {
    /// This gateway.
    pub gateway: GatewayId,
    /// Where directories come from.
    pub config: Directory,
    /// Folder of the store.
    pub folder: PathBuf,
    /// TLS for calling the gateway above.
    pub tls: Arc<rustls::ClientConfig>,
    /// Where the snapshot is put in force.
    pub trust: TrustHolder,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// 1 while the directory cannot be refreshed.
    pub failing: Gauge,
    /// Where other nodes of this gateway lay theirs.
    pub store: Arc<dyn Store>,
}

/// The last good directory, for whoever checks something by it offline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptDirectory {
    /// Where it lies, as its authority signed it.
    pub file: PathBuf,
    /// Verification key of the authority, "name+hash+base64".
    pub authority: String,
}

impl KeptDirectory {
    /// Where a gateway with this configuration keeps it: a whole path, for whoever does not know where the gateway was started.
    pub fn of(config: &Config) -> Self {
        let kept = config.store.path.join(KEPT);
        let authority = config.directory.authority.to_string();
        Self { file: std::path::absolute(&kept).unwrap_or(kept), authority }
    }
}

/// The source.
pub struct DirectorySource {
    parts: SourceParts,
    kept: PathBuf,
    in_force: Option<(u64, Digest)>,
    published: watch::Sender<Option<(u64, Bytes)>>,
    file_seen: Option<FileState>,
    /// The file as it was seen was refused: it is not read again, and its alarm stays until another directory is in force.
    file_refused: bool,
    alarmed: Alarms,
    warned: Option<(u64, Stage)>,
    /// The version of another node that was no good: it is not read again.
    refused_of_nodes: Option<u64>,
}

type FileState = (Option<SystemTime>, u64);

/// Which source has raised its alarm.
#[derive(Clone, Copy, Default, Debug)]
struct Alarms {
    file: bool,
    parent: bool,
}

/// How near the end of a directory is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Soon,
    Expired,
}

/// A directory that may be put in force.
struct Candidate {
    opened: Opened,
    bytes: Bytes,
    origin: String,
}

impl DirectorySource {
    /// Starts with nothing in force.
    pub fn new(parts: SourceParts) -> Self {
        let kept = parts.folder.join(KEPT);
        let published = watch::Sender::new(None);
        Self {
            parts,
            kept,
            in_force: None,
            published,
            file_seen: None,
            file_refused: false,
            alarmed: Alarms::default(),
            warned: None,
            refused_of_nodes: None,
        }
    }

    /// The serialized signed directory in force, with its version, for DirectoryService.
    pub fn published(&self) -> watch::Receiver<Option<(u64, Bytes)>> {
        self.published.subscribe()
    }

    /// Puts the newer of the configured file and the last good one in force. An expired one is taken too when there is no better: the doors
    /// then say so.
    ///
    /// # Errors
    /// What is wrong with the configured file, or with the kept one when no file is configured; another one may be in force nevertheless.
    pub async fn load(&mut self) -> Result<(), SourceError> {
        let kept = self.read(&self.kept.clone(), Expiry::Allow).await;
        let kept = match kept {
            Ok(candidate) => self.put_in_force(candidate).await,
            Err(error) => Err(error),
        };
        match self.parts.config.file.clone() {
            Some(file) => {
                self.file_seen = file_state(&file);
                let taken = self.take(&file, Expiry::Allow).await;
                self.remember(&taken);
                taken
            }
            None => kept,
        }
    }

    /// Looks for newer ones until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.parts.config.refresh);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let has_nodes = self.parts.store.node().is_some();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = self.refresh() => {}
                },
                () = tokio::time::sleep(NODES_EVERY), if has_nodes => tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = self.meet_nodes() => {}
                },
            }
            self.warn_of_the_end();
        }
    }

    /// Looks once at every source: one that is bad does not keep from the other.
    pub async fn refresh(&mut self) {
        let file = self.refresh_from_file().await;
        let parent = self.refresh_from_parent().await;
        let file_failing = file.is_err() || self.file_refused;
        self.parts.failing.set(i64::from(file_failing || parent.is_err()));
        if file.is_err() || !file_failing {
            tell(&mut self.alarmed.file, file);
        }
        tell(&mut self.alarmed.parent, parent);
    }

    async fn refresh_from_file(&mut self) -> Result<(), SourceError> {
        let Some(file) = self.parts.config.file.clone() else { return Ok(()) };
        let state = file_state(&file);
        if state.is_some() && state == self.file_seen {
            return Ok(());
        }
        let taken = self.take(&file, Expiry::Refuse).await;
        self.file_seen = state;
        self.remember(&taken);
        self.file_refused = matches!(taken, Err(SourceError::Refused { .. } | SourceError::Trust { .. }));
        taken
    }

    async fn refresh_from_parent(&mut self) -> Result<(), SourceError> {
        if !self.parts.config.from_parent {
            return Ok(());
        }
        match self.fetch().await? {
            Some(candidate) => self.put_in_force(candidate).await,
            None => Ok(()),
        }
    }

    async fn take(&mut self, file: &Path, expiry: Expiry) -> Result<(), SourceError> {
        let candidate = self.read(file, expiry).await?;
        self.put_in_force(candidate).await
    }

    /// What was refused stays refused until the file changes; a disk that failed is asked again.
    fn remember(&mut self, taken: &Result<(), SourceError>) {
        if let Err(SourceError::File { .. }) = taken {
            self.file_seen = None;
        }
    }

    async fn read(&self, file: &Path, expiry: Expiry) -> Result<Candidate, SourceError> {
        let path = file.to_owned();
        let bytes = blocking(move || read_bounded(&path)).await;
        let bytes = bytes.map_err(|source| SourceError::File { path: file.to_owned(), source })?;
        self.open(bytes, file.display().to_string(), expiry).await
    }

    async fn open(&self, bytes: Bytes, origin: String, expiry: Expiry) -> Result<Candidate, SourceError> {
        let (config, now) = (self.parts.config.clone(), self.parts.clock.now());
        let input = bytes.clone();
        let opened = blocking(move || open(&input, &config, now, expiry)).await;
        match opened {
            Ok(opened) => Ok(Candidate { opened, bytes, origin }),
            Err(refusal) => Err(SourceError::Refused { origin, refusal }),
        }
    }

    /// The directory of the gateway above, when it is newer.
    async fn fetch(&self) -> Result<Option<Candidate>, SourceError> {
        let Some(snapshot) = self.parts.trust.current() else { return Ok(None) };
        let directory = snapshot.directory();
        let above = directory.gateway(&self.parts.gateway).and_then(|own| own.parent.as_ref());
        let parent = above.and_then(|id| directory.gateway(id));
        let parent = parent.ok_or_else(|| SourceError::NoParent(self.parts.gateway.clone()))?;
        let failed = |message: String| SourceError::Parent { parent: parent.id.clone(), message };
        let channel = dial::channel(self.parts.tls.clone(), parent).map_err(|error| failed(error.to_string()))?;
        let have_version = directory.version();
        let bytes = tokio::time::timeout(FETCH_TIME_MAX, download(channel, have_version)).await;
        let bytes = bytes
            .map_err(|_| failed("it took too long".to_owned()))?
            .map_err(|status| failed(status.message().to_owned()))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.open(bytes, parent.id.to_string(), Expiry::Refuse).await.map(Some)
    }

    async fn put_in_force(&mut self, candidate: Candidate) -> Result<(), SourceError> {
        let Candidate { opened, bytes, origin } = candidate;
        let (version, digest, expired) = (opened.directory.version(), opened.digest, opened.expired);
        if self.in_force == Some((version, digest)) {
            return Ok(());
        }
        if let Some((in_force, _)) = self.in_force.filter(|(in_force, _)| version <= *in_force) {
            let refusal =
                Refusal::new(Reason::DirectoryOlder).saw(format!("version {version}, in force is {in_force}"));
            return Err(SourceError::Refused { origin, refusal });
        }
        let snapshot = match blocking(move || Snapshot::new(opened.directory)).await {
            Ok(snapshot) => Arc::new(snapshot),
            Err(faults) => return Err(SourceError::Trust { origin, faults }),
        };
        // On disk first: after a restart the gateway never stands on an older one.
        self.keep(bytes.clone()).await?;
        self.parts
            .trust
            .replace(snapshot)
            .map_err(|refusal| SourceError::Refused { origin: origin.clone(), refusal })?;
        self.in_force = Some((version, digest));
        self.file_refused = false;
        self.published.send_replace(Some((version, bytes)));
        tracing::info!(version, %origin, expired, "a directory is in force");
        Ok(())
    }

    async fn keep(&self, bytes: Bytes) -> Result<(), SourceError> {
        let kept = self.kept.clone();
        let result = blocking(move || write_durably(&kept, &bytes)).await;
        result.map_err(|source| SourceError::File { path: self.kept.clone(), source })
    }

    /// One warning before the end of a directory, one alarm at it.
    fn warn_of_the_end(&mut self) {
        let Some(snapshot) = self.parts.trust.current() else { return };
        let (version, expires_at) = (snapshot.directory().version(), snapshot.directory().expires_at());
        let now = self.parts.clock.now();
        let stage = if expires_at <= now {
            Stage::Expired
        } else if expires_at < now.plus(self.parts.config.warn_before) {
            Stage::Soon
        } else {
            return;
        };
        if self.warned.replace((version, stage)) == Some((version, stage)) {
            return;
        }
        match stage {
            Stage::Soon => tracing::warn!(version, %expires_at, "the directory expires soon: issue a new one"),
            Stage::Expired => {
                tracing::error!(version, %expires_at, "the directory has expired: nothing is accepted until a new one is issued");
            }
        }
    }
}

/// One alarm at the start of a source's incident, one word at its end.
fn tell(alarmed: &mut bool, result: Result<(), SourceError>) {
    let before = std::mem::replace(alarmed, result.is_err());
    match result {
        Ok(()) if before => tracing::info!("the directory can be refreshed again"),
        Ok(()) => {}
        Err(error) if before => tracing::debug!(%error, "the directory is still not refreshed"),
        // A gateway above that does not answer comes back by itself.
        Err(SourceError::Parent { parent, message }) => {
            tracing::warn!(%parent, %message, "the directory is not refreshed from the gateway above");
        }
        Err(error) => tracing::error!(%error, "the directory is not refreshed; the last good one stays in force"),
    }
}

/// Opens a directory, saying in one place by which authority, and who else has to have signed.
pub(crate) fn open(bytes: &[u8], config: &Directory, now: Timestamp, expiry: Expiry) -> Result<Opened, Refusal> {
    let opened = gateway_directory::open_with(bytes, std::slice::from_ref(&config.authority), now, expiry)?;
    opened.check_cosigned(&config.cosigners)?;
    Ok(opened)
}

async fn download(channel: tonic::transport::Channel, have_version: u64) -> Result<Bytes, tonic::Status> {
    let request = v1::FetchDirectoryRequest { have_version };
    let mut chunks = DirectoryServiceClient::new(channel).fetch_directory(request).await?.into_inner();
    let mut bytes = BytesMut::new();
    while let Some(response) = chunks.message().await? {
        if bytes.len() + response.chunk.len() > DIRECTORY_BYTES_MAX {
            return Err(tonic::Status::out_of_range("the directory is larger than its bound"));
        }
        bytes.extend_from_slice(&response.chunk);
    }
    Ok(bytes.freeze())
}

/// Reads a file of at most [`DIRECTORY_BYTES_MAX`] bytes.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    let bound = DIRECTORY_BYTES_MAX as u64 + 1;
    std::fs::File::open(path)?.take(bound).read_to_end(&mut bytes)?;
    if bytes.len() > DIRECTORY_BYTES_MAX {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than any directory"));
    }
    Ok(bytes.into())
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn file_state(path: &Path) -> Option<FileState> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.modified().ok(), metadata.len()))
}

/// Runs work that reads or computes for long off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is never aborted but by the end of the runtime.
            Err(_) => std::future::pending().await,
        },
    }
}
