//! What the folder adapter has laid into a drop folder, read back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use gateway_model::Digest;
use prost::Message as _;
use proto::v1;

/// A delivery in a drop folder.
pub struct Delivered {
    /// Its folder.
    pub folder: PathBuf,
    /// File code; may be empty.
    pub file_code: String,
}

/// Finds the delivery that is wanted in a drop folder.
pub fn find_delivery(folder: &Path, wanted: impl Fn(&Delivered) -> bool) -> Option<Delivered> {
    let entries = std::fs::read_dir(folder.join("incoming")).ok()?;
    entries.flatten().find_map(|entry| {
        let folder = entry.path();
        let signed = v1::SignedEnvelope::decode(Bytes::from(std::fs::read(folder.join("envelope.bin")).ok()?)).ok()?;
        let envelope = v1::Envelope::decode(signed.envelope).ok()?;
        let file_code = envelope.case.map(|case| case.file_code).unwrap_or_default();
        Some(Delivered { folder, file_code }).filter(|delivered| wanted(delivered))
    })
}

/// The digests of the files in a folder.
///
/// # Errors
/// When one cannot be read.
pub fn digests_in(folder: &Path) -> anyhow::Result<BTreeSet<Digest>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries.map(|entry| Ok(Digest::of(&std::fs::read(entry?.path())?))).collect()
}
