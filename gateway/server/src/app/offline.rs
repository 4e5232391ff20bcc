//! The store that the configuration names, while no gateway runs on it: checked, mended, moved out and in.

use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use gateway_engine::clock::{Clock, SystemClock};
use gateway_model::Digest;
use gateway_model::note::NoteSigner;
use gateway_store::archive::{ArchiveError, Incoming, MoveError, Reader, Record, Writer};
use gateway_store::parts::{PartError, PartStore};
use gateway_store_redis::{Offline, OpenOptions};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::{StartError, store};
use crate::config::{self, Config, StoreKind};
use crate::evidence_key;

pub use gateway_store::archive::Written;
pub use gateway_store::soundness::{Finding, FindingCode, Rebuilt, Report};

/// Records on their way between a store and a file.
const UNDER_WAY: usize = 16;
/// Bytes of a part that are read at a time.
const PART_BUFFER_BYTES: usize = 256 * 1024;

/// How closely the parts are looked at that kept bodies name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parts {
    /// Whether each is there.
    Names,
    /// Each is read and compared with its digest.
    Bytes,
}

/// Why a verb did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The store cannot be had.
    #[error(transparent)]
    Open(#[from] StartError),
    /// It could not be moved.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// A part cannot be looked at.
    #[error("the parts cannot be read: {0}")]
    Parts(#[from] PartError),
}

/// A store that no gateway runs on.
pub struct OfflineStore {
    kind: Kind,
    folder: PathBuf,
    signer: NoteSigner,
    config: Config,
}

enum Kind {
    Embedded,
    Redis(Box<OpenOptions>),
}

impl OfflineStore {
    /// Finds the store that the configuration names. Takes nothing yet.
    ///
    /// # Errors
    /// When a key or a certificate cannot be read.
    pub fn new(config: &Config) -> Result<Self, OfflineError> {
        let signer = || evidence_key::read(&config.evidence_key, &config.gateway.id).map_err(StartError::from);
        let kind = match &config.store.kind {
            StoreKind::Embedded => Kind::Embedded,
            StoreKind::Redis(redis) => Kind::Redis(Box::new(store::redis_options(config, redis, signer()?)?)),
        };
        Ok(Self { kind, folder: config.store.path.clone(), signer: signer()?, config: config.clone() })
    }

    /// Reads all of it, and tells everything that is wrong. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be had: a gateway runs on it, it is missing, or half imported.
    pub async fn check(&self, parts: Parts) -> Result<Report, OfflineError> {
        let mut report = match &self.kind {
            Kind::Embedded => {
                let (folder, key) = (self.folder.clone(), self.signer.verifier().clone());
                let checking = tokio::task::spawn_blocking(move || gateway_store_embedded::check(&folder, &key));
                checking.await.map_err(StartError::from)?.map_err(StartError::from)?
            }
            Kind::Redis(options) => {
                let offline = Offline::open(options, "check").await.map_err(StartError::from)?;
                let checked = offline.check().await;
                offline.close().await;
                checked.map_err(StartError::from)?
            }
        };
        // The names of parts stand in records: where those are damaged, they are what a person needs first.
        if !report.has_damaged_records {
            self.check_parts(parts, &mut report).await?;
        }
        Ok(report)
    }

    /// Makes every index and counter anew from the records.
    ///
    /// # Errors
    /// As [`OfflineStore::check`]; and when the disk or Redis fails, after which it may be run again.
    pub async fn rebuild(&self) -> Result<Rebuilt, OfflineError> {
        match &self.kind {
            Kind::Embedded => {
                let (folder, key) = (self.folder.clone(), self.signer.verifier().clone());
                let mending = tokio::task::spawn_blocking(move || gateway_store_embedded::rebuild(&folder, &key));
                Ok(mending.await.map_err(StartError::from)?.map_err(StartError::from)?)
            }
            Kind::Redis(options) => {
                let offline = Offline::open(options, "rebuild-index").await.map_err(StartError::from)?;
                let rebuilt = offline.rebuild().await;
                offline.close().await;
                Ok(rebuilt.map_err(StartError::from)?)
            }
        }
    }

    /// Writes all of it as an archive, and gives what it was written to, flushed but not synced.
    ///
    /// # Errors
    /// When the store cannot be had or is damaged, or the archive cannot be written; what was written then has no end.
    pub async fn export<W: Write + Send + 'static>(&self, to: W) -> Result<(W, Written), OfflineError> {
        let (sender, records) = mpsc::channel(UNDER_WAY);
        let writing = tokio::task::spawn_blocking(move || write(to, records));
        let exported = self.send_records(sender).await;
        let (writer, failed) = writing.await.map_err(StartError::from)?;
        // A writer that has failed is why nobody took the rest.
        if let Some(failed) = failed {
            return Err(MoveError::from(failed).into());
        }
        exported?;
        match writer {
            Some(writer) => Ok(writer.finish().map_err(MoveError::from)?),
            None => Err(MoveError::from(ArchiveError::Cut { records: 0 }).into()),
        }
    }

    /// Takes an archive into the store, which has to be empty, and checks what it has written.
    ///
    /// # Errors
    /// When the store is not empty, or the archive is damaged, cut, or of another gateway; nothing of it is left then.
    pub async fn import<R: Read + Send + 'static>(&self, from: R) -> Result<Written, OfflineError> {
        let (sender, mut records) = mpsc::channel(UNDER_WAY);
        let reading = tokio::task::spawn_blocking(move || read(from, &sender));
        let imported = match &self.kind {
            Kind::Embedded => {
                let file = |source| StartError::File { path: self.folder.clone(), source };
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(file)?;
                let (folder, key) = (self.folder.clone(), self.signer.verifier().clone());
                let importing = move || gateway_store_embedded::import(&folder, &key, &mut records);
                tokio::task::spawn_blocking(importing).await.map_err(StartError::from)?
            }
            Kind::Redis(options) => {
                let offline = Offline::open(options, "import").await.map_err(StartError::from)?;
                let imported = offline.import(&mut records).await;
                offline.close().await;
                drop(records);
                imported
            }
        };
        imported?;
        let read = reading.await.map_err(StartError::from)?;
        read.ok_or_else(|| MoveError::from(ArchiveError::Cut { records: 0 }).into())
    }

    async fn send_records(&self, to: mpsc::Sender<Record>) -> Result<(), OfflineError> {
        match &self.kind {
            Kind::Embedded => {
                let (folder, key) = (self.folder.clone(), self.signer.verifier().clone());
                let exporting = move || gateway_store_embedded::export(&folder, &key, &to);
                Ok(tokio::task::spawn_blocking(exporting).await.map_err(StartError::from)??)
            }
            Kind::Redis(options) => {
                let offline = Offline::open(options, "export").await.map_err(StartError::from)?;
                let exported = offline.export(&to).await;
                offline.close().await;
                Ok(exported?)
            }
        }
    }

    /// Looks for each part that a kept body names.
    async fn check_parts(&self, how: Parts, report: &mut Report) -> Result<(), OfflineError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let parts = match &self.config.parts {
            // Opening would make it.
            config::Parts::Folder(folder) if !folder.exists() => None,
            config::Parts::Folder(_) | config::Parts::S3(_) => Some(store::open_parts(&self.config, &clock).await?),
        };
        let (sender, mut records) = mpsc::channel(UNDER_WAY);
        let looking = async {
            let mut named = Vec::new();
            let mut seq = 0;
            while let Some(record) = records.recv().await {
                match record {
                    Record::Envelope { row, .. } => {
                        seq = row.seq.0;
                        named = row.header.parts.iter().map(|part| part.digest).collect();
                    }
                    Record::Body(_) => {
                        for digest in std::mem::take(&mut named) {
                            check_part(parts.as_deref(), &digest, how, seq, report).await?;
                        }
                    }
                    Record::Head(_)
                    | Record::Delivery(_)
                    | Record::Own(_)
                    | Record::Foreign(_)
                    | Record::Loose(_)
                    | Record::Checkpoint { .. }
                    | Record::Return(_)
                    | Record::Mark { .. } => {}
                }
            }
            Ok::<(), OfflineError>(())
        };
        let (sent, looked) = tokio::join!(self.send_records(sender), looking);
        looked?;
        sent
    }
}

async fn check_part(
    parts: Option<&dyn PartStore>,
    digest: &Digest,
    how: Parts,
    envelope: u64,
    report: &mut Report,
) -> Result<(), OfflineError> {
    report.parts += 1;
    let place = format!("part {digest} of envelope {envelope}");
    let opened = match parts {
        Some(parts) => parts.open(digest, 0).await,
        None => Err(PartError::Unknown),
    };
    let mut part = match opened {
        Ok(part) => part,
        Err(PartError::Unknown) => {
            report.find(FindingCode::PartMissing, place, "");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if how == Parts::Bytes {
        let mut buffer = vec![0; PART_BUFFER_BYTES];
        loop {
            match part.read(&mut buffer).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    report.find(FindingCode::PartDamaged, place, error.to_string());
                    break;
                }
                // The disk, or the line to the bucket: that says nothing of the part.
                Err(source) => return Err(PartError::File { path: digest.to_string().into(), source }.into()),
            }
        }
    }
    Ok(())
}

/// Writes records until there are no more. Gives the writer, when it could begin, and why it could not go on.
fn write<W: Write>(to: W, mut records: mpsc::Receiver<Record>) -> (Option<Writer<W>>, Option<ArchiveError>) {
    let mut writer = match Writer::new(to) {
        Ok(writer) => writer,
        Err(error) => return (None, Some(error)),
    };
    while let Some(record) = records.blocking_recv() {
        if let Err(error) = writer.write(&record) {
            return (Some(writer), Some(error));
        }
    }
    (Some(writer), None)
}

/// Reads records until the end; what was read, when it came to that.
fn read<R: Read>(from: R, to: &mpsc::Sender<Incoming>) -> Option<Written> {
    let mut reader = match Reader::new(from) {
        Ok(reader) => reader,
        Err(error) => {
            // Whoever would hear of it has given up already.
            to.blocking_send(Err(error)).ok();
            return None;
        }
    };
    loop {
        let record = reader.read();
        let has_more = matches!(record, Ok(Some(_)));
        if to.blocking_send(record).is_err() || !has_more {
            return reader.ended();
        }
    }
}
