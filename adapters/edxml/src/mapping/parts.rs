//! What a package brings along: its files, the ZIPs around them where there were any, and its skeleton.

use std::collections::HashSet;

use adapters_sdk::seal::describe;
use bytes::Bytes;
use gateway_model::{Digest, limits};
use proto::v1;
use unicode_normalization::UnicodeNormalization as _;

use crate::format::{Attachment, Defect, Fault, Package, Skeleton};

/// Role of the part that holds a package's skeleton.
pub(crate) const SKELETON_ROLE: &str = "edxml:skeleton";
/// Its media type.
const SKELETON_MEDIA_TYPE: &str = "application/vnd.lienthong.edxml-skeleton";
/// Role of the ZIP around a file.
const WRAPPED_ROLE: &str = "edxml:zip";
/// Characters of a role.
const ROLE_CHARS_MAX: usize = 500;

/// A part with its bytes.
#[derive(Clone, Debug)]
pub(crate) struct CarriedPart {
    /// As the envelope describes it.
    pub part: v1::Part,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// The parts of the envelope that carries `package`, whose bytes are `original`. Equal files are one part.
pub(crate) fn carry(package: Package, original: &[u8]) -> Result<Vec<CarriedPart>, Fault> {
    let attachments = match package {
        Package::Document(document) => document.attachments,
        Package::Status(_) => Vec::new(),
    };
    let texts: Vec<_> = attachments.iter().map(|file| (file.span.clone(), encoded(file))).collect();
    let skeleton = Skeleton::of(original, &texts).encode();
    drop(texts);
    let mut parts = Vec::new();
    let mut seen = HashSet::new();
    let mut push = |name: String, media_type: String, role: String, bytes: Vec<u8>| {
        let digest = Digest::of(&bytes);
        if seen.insert(digest) {
            let size = bytes.len() as u64;
            let part = v1::Part { name, media_type, size, sha256: digest.0.to_vec().into(), role };
            parts.push(CarriedPart { part, digest, bytes: bytes.into() });
        }
    };
    for file in attachments {
        let name = describe::display_name(&file.name);
        if let Some(zip) = file.wrapped {
            let zip_name = describe::display_name(&format!("{}.zip", name.chars().take(250).collect::<String>()));
            push(zip_name, "application/zip".to_owned(), WRAPPED_ROLE.to_owned(), zip);
        }
        push(name.clone(), describe::media_type(&name).to_owned(), role(&file.description), file.file);
    }
    push("edxml.skeleton".to_owned(), SKELETON_MEDIA_TYPE.to_owned(), SKELETON_ROLE.to_owned(), skeleton);
    match parts.len() > limits::PARTS_MAX {
        true => Err(Fault::new(Defect::TooManyAttachments, format!("{} parts", parts.len()))),
        false => Ok(parts),
    }
}

/// The bytes that an attachment's base64 text stands for.
fn encoded(file: &Attachment) -> &[u8] {
    file.wrapped.as_deref().unwrap_or(&file.file)
}

/// The description, unless it would pass for one of ours.
fn role(description: &str) -> String {
    let shown = |c: &char| super::is_shown(*c);
    let text: String = description.nfc().filter(shown).take(ROLE_CHARS_MAX).collect();
    if text.starts_with("edxml:") { String::new() } else { text }
}
