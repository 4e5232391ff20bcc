//! Hands deliveries over: each becomes one folder that appears whole or not at all.
//!
//! The folder is written under `.lienthong/working`, every file synced; then a small file under `.lienthong/taken` notes the digest of the
//! envelope; then the folder is renamed into `incoming/`. A draft with a note is whole and only waits for its rename, at the next attempt or
//! the next start. So the second time is harmless even when the folder has been read and moved away by then, and a process that dies between
//! any two of these steps makes nothing appear twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use adapters_sdk::{AdapterError, Delivery, Outcome, Scope};
use gateway_model::envelope::Part;
use gateway_model::hash::Hasher;
use gateway_model::id::DeliveryId;
use gateway_model::{Digest, Reason, limits};
use prost::Message;
use proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::layout::Layout;
use adapters_sdk::disk;

mod name;
mod summary;

/// Bytes read from a part at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// Bytes of a serialized `SignedEnvelope`, framing included.
pub(crate) const SIGNED_BYTES_MAX: u64 =
    (limits::ENVELOPE_BYTES_MAX + limits::SIGNATURES_MAX * limits::SIGNATURE_BYTES_MAX + 4_096) as u64;

/// Why a delivery stops short.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// Nobody to hand it to: nothing is taken.
    #[error("the delivery names no recipient")]
    NoRecipient,
    /// Another attempt at the same delivery is under way.
    #[error("another attempt is writing the same delivery")]
    AtHand,
    /// The delivery's folder has other bytes.
    #[error("the delivery was taken before with envelope {0}")]
    OtherBytes(Digest),
    /// The department's disk.
    #[error(transparent)]
    Disk(#[from] AdapterError),
    /// The gateway's own copy of a part cannot be read.
    #[error("part {number} cannot be read: {source}")]
    Source {
        /// Its place, from 1.
        number: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The gateway's own copy of a part is not what the envelope says.
    #[error("part {number} does not have the bytes that the envelope names")]
    Part {
        /// Its place, from 1.
        number: usize,
    },
}

impl Stop {
    fn outcome(self) -> Outcome {
        let detail = self.to_string();
        let deferred = |reason, scope| Outcome::Deferred { reason, detail: detail.clone(), retry_after: None, scope };
        match self {
            Self::NoRecipient => deferred(Reason::AdapterFailed, Scope::Delivery),
            Self::AtHand => deferred(Reason::AdapterUnavailable, Scope::Delivery),
            Self::OtherBytes(_) => Outcome::Refused { reason: Reason::AdapterRefused, detail },
            Self::Disk(_) => deferred(Reason::AdapterUnavailable, Scope::Destination),
            Self::Source { .. } => deferred(Reason::StoreUnavailable, Scope::Delivery),
            Self::Part { .. } => deferred(Reason::PartDigestMismatch, Scope::Delivery),
        }
    }
}

/// The `incoming/` side of a drop folder.
pub(crate) struct Incoming {
    layout: Arc<Layout>,
    at_hand: Arc<Mutex<BTreeSet<DeliveryId>>>,
}

impl Incoming {
    pub(crate) fn new(layout: Arc<Layout>) -> Self {
        Self { layout, at_hand: Arc::default() }
    }

    /// Writes the delivery's folder, once per recipient.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        if delivery.ids.is_empty() {
            return Stop::NoRecipient.outcome();
        }
        for &id in &delivery.ids {
            if let Err(stop) = self.write_folder(id, delivery).await {
                return stop.outcome();
            }
        }
        Outcome::Taken { receipt: None }
    }

    async fn write_folder(&self, id: DeliveryId, delivery: &Delivery) -> Result<(), Stop> {
        let claim = Arc::new(Claim::take(&self.at_hand, id).ok_or(Stop::AtHand)?);
        let target = Target::new(&self.layout, id);
        match self.aside(&claim, &target, |target| target.earlier()).await? {
            Some(digest) if digest == delivery.digest => return Ok(()),
            Some(digest) => return Err(Stop::OtherBytes(digest)),
            None => {}
        }
        let texts = summary::texts(delivery, id);
        self.aside(&claim, &target, move |target| target.begin(&texts)).await?;
        for (index, part) in delivery.envelope.parts.iter().enumerate() {
            copy_part(delivery, index, part, &target.draft.join("parts")).await?;
        }
        let digest = delivery.digest;
        match self.aside(&claim, &target, move |target| target.publish(digest)).await? {
            Some(other) if other != digest => Err(Stop::OtherBytes(other)),
            _ => Ok(()),
        }
    }

    /// Runs `work` on the disk. It keeps the claim until it ends, even when this future is dropped: no other attempt meets it half-way.
    async fn aside<T: Send + 'static>(
        &self,
        claim: &Arc<Claim>,
        target: &Target,
        work: impl FnOnce(&Target) -> Result<T, AdapterError> + Send + 'static,
    ) -> Result<T, AdapterError> {
        let (claim, target) = (claim.clone(), target.clone());
        disk::run(move || {
            let done = work(&target);
            drop(claim);
            done
        })
        .await?
    }
}

/// The right to write one delivery's folder, given back when dropped.
struct Claim {
    id: DeliveryId,
    at_hand: Arc<Mutex<BTreeSet<DeliveryId>>>,
}

impl Claim {
    fn take(at_hand: &Arc<Mutex<BTreeSet<DeliveryId>>>, id: DeliveryId) -> Option<Self> {
        let is_new = at_hand.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        is_new.then(|| Self { id, at_hand: at_hand.clone() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Where one delivery goes.
#[derive(Clone)]
struct Target {
    /// Written here.
    draft: PathBuf,
    /// Published here.
    folder: PathBuf,
    /// Remembered here.
    taken: PathBuf,
    working: PathBuf,
}

impl Target {
    fn new(layout: &Layout, id: DeliveryId) -> Self {
        let name = id.to_string();
        Self {
            draft: layout.working.join(&name),
            folder: layout.incoming.join(&name),
            taken: layout.taken.join(&name[..2]).join(&name),
            working: layout.working.clone(),
        }
    }

    /// The digest of the envelope that was taken under this id before; what was noted and has not appeared yet appears now.
    fn earlier(&self) -> Result<Option<Digest>, AdapterError> {
        if let Some(text) = disk::read_if_there(&self.taken, 64)?
            && let Some(digest) = Digest::from_hex(&String::from_utf8_lossy(&text))
        {
            self.appear()?;
            return Ok(Some(digest));
        }
        if !self.folder.exists() {
            return Ok(None);
        }
        // Published, but the attempt died before it could remember.
        let file = self.folder.join("envelope.bin");
        let signed =
            disk::read(&file, SIGNED_BYTES_MAX)?.and_then(|bytes| v1::SignedEnvelope::decode(bytes.as_slice()).ok());
        let unreadable = || AdapterError::Other(format!("{} is there but is no envelope", file.display()));
        Ok(Some(Digest::of(&signed.ok_or_else(unreadable)?.envelope)))
    }

    /// Starts the draft anew, whatever a broken attempt left.
    fn begin(&self, texts: &[(&'static str, Vec<u8>)]) -> Result<(), AdapterError> {
        if self.draft.exists() {
            fs::remove_dir_all(&self.draft).map_err(disk::at(&self.draft))?;
        }
        let parts = self.draft.join("parts");
        fs::create_dir_all(&parts).map_err(disk::at(&parts))?;
        texts.iter().try_for_each(|(name, bytes)| disk::write(&self.draft.join(name), bytes))
    }

    /// Makes the draft appear in `incoming/`, or finds what another writer made appear before.
    fn publish(&self, digest: Digest) -> Result<Option<Digest>, AdapterError> {
        disk::sync_folder(&self.draft.join("parts"))?;
        disk::sync_folder(&self.draft)?;
        disk::sync_folder(&self.working)?;
        if self.folder.exists() {
            return self.earlier();
        }
        disk::make_folder(self.taken.parent().unwrap_or(&self.taken))?;
        disk::write_whole(&self.working, &self.taken, digest.to_string().as_bytes())?;
        self.appear()?;
        Ok(None)
    }

    /// Renames a noted draft, if there is one, and makes that last.
    fn appear(&self) -> Result<(), AdapterError> {
        match fs::rename(&self.draft, &self.folder) {
            Err(_) if !self.draft.exists() => {}
            // It appeared before, by another writer.
            Err(_) if self.folder.exists() => fs::remove_dir_all(&self.draft).map_err(disk::at(&self.draft))?,
            renamed => renamed.map_err(disk::at(&self.folder))?,
        }
        disk::sync_folder(self.folder.parent().unwrap_or(&self.folder))
    }
}

/// Lets every noted draft of an earlier process appear, and clears away the others.
pub(crate) fn finish_drafts(layout: &Layout) -> Result<(), AdapterError> {
    for entry in fs::read_dir(&layout.working).map_err(disk::at(&layout.working))? {
        let path = entry.map_err(disk::at(&layout.working))?.path();
        let id = path.file_name().and_then(|name| name.to_str()).and_then(DeliveryId::parse);
        if let Some(target) = id.map(|id| Target::new(layout, id)) {
            target.earlier()?;
        }
        let cleared = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match cleared {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => return Err(disk::at(&path)(fault)),
            _ => {}
        }
    }
    Ok(())
}

/// Streams one part into its file and checks size and digest on the way.
async fn copy_part(delivery: &Delivery, index: usize, part: &Part, folder: &Path) -> Result<(), Stop> {
    let number = index + 1;
    let path = folder.join(name::file_name(number, &part.name));
    let unreadable = |source| Stop::Source { number, source };
    let unwritable = |source| Stop::Disk(AdapterError::File { path: path.clone(), source });
    let mut source = delivery.parts.open(&part.digest, 0).await.map_err(unreadable)?;
    let mut file = tokio::fs::File::create_new(&path).await.map_err(unwritable)?;
    let mut hasher = Hasher::new();
    let mut left = part.size;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = source.read(&mut buffer).await.map_err(unreadable)?;
        if count == 0 {
            break;
        }
        left = left.checked_sub(count as u64).ok_or(Stop::Part { number })?;
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).await.map_err(unwritable)?;
    }
    if left > 0 || hasher.finish() != part.digest {
        return Err(Stop::Part { number });
    }
    // A failed write shows at the flush only.
    file.flush().await.map_err(unwritable)?;
    file.sync_all().await.map_err(unwritable)
}

#[cfg(test)]
mod tests;
