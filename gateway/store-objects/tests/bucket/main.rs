//! Parts in a bucket of a real server: the behaviours of every part store, and what happens when the server or a node dies.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod away;
mod conformance;
mod kills;
mod nodes;
mod server;

use gateway_model::Digest;
use gateway_model::agency::Hop;
use gateway_model::id::SystemId;
use gateway_store::accept::PartRef;
use gateway_store::parts::{PartError, PartStore};
use tokio::io::AsyncReadExt as _;

/// Bytes of a piece.
const PIECE: usize = 2 * 1024 * 1024;

fn desk(name: &str) -> Hop {
    Hop::System(SystemId::parse(name).unwrap())
}

/// Bytes of a part that is like no other.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|place| (place % 251) as u8).collect();
    let stamp = seed.to_be_bytes();
    let end = stamp.len().min(length);
    bytes[..end].copy_from_slice(&stamp[..end]);
    bytes
}

fn part(bytes: &[u8]) -> PartRef {
    PartRef { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

/// Uploads what is missing.
async fn upload(parts: &dyn PartStore, owner: &Hop, bytes: &[u8]) -> Result<(), PartError> {
    let missing = parts.missing(owner, &[part(bytes).digest]).await?;
    let Some(missing) = missing.first() else { return Ok(()) };
    let mut writer = parts.begin(owner, part(bytes), missing.received).await?;
    for chunk in bytes[usize::try_from(missing.received).unwrap()..].chunks(1024 * 1024) {
        writer.write(chunk.to_vec().into()).await?;
    }
    writer.finish().await
}

async fn read(parts: &dyn PartStore, digest: &Digest) -> Vec<u8> {
    let mut bytes = Vec::new();
    parts.open(digest, 0).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}
