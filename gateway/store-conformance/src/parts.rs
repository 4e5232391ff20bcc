//! Attachments: resumed where they broke off, kept under what they are, seen by nobody else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::agency::Hop;
use gateway_model::id::SystemId;
use gateway_model::{Digest, Timestamp, limits};
use gateway_store::accept::PartRef;
use gateway_store::parts::{Missing, PartError, PartFault, PartStore};
use tokio::io::AsyncReadExt as _;

/// What a backend gives to the suite of parts: a place that is empty at first.
#[async_trait]
pub trait PartBackend: Send + Sync {
    /// Opens the parts at this backend's place; what was kept there before is there again.
    async fn open(&self) -> Arc<dyn PartStore>;

    /// The backend's own time.
    fn now(&self) -> Timestamp;

    /// Makes everything that is kept look as if it had been touched this much earlier.
    async fn age(&self, span: Duration);
}

/// The bytes that are uploaded here.
const BYTES: &[u8] = "Kính gửi: Ủy ban nhân dân huyện. Kèm theo tờ trình này là trích lục bản đồ địa chính.".as_bytes();
/// After this long without a touch a part counts as stale here.
const STALE: Duration = Duration::from_secs(3_600);

/// What was uploaded is read back, from anywhere.
pub async fn an_uploaded_part_is_read_back_from_any_offset(backend: impl PartBackend) {
    let parts = backend.open().await;
    upload(&*parts, &desk("a"), BYTES).await;
    assert_eq!(read(&*parts, &part(BYTES).digest, 0).await, BYTES);
    assert_eq!(read(&*parts, &part(BYTES).digest, 7).await, BYTES[7..]);
    assert_eq!(read(&*parts, &part(BYTES).digest, BYTES.len() as u64).await, b"");
    assert!(parts.missing(&desk("a"), &[part(BYTES).digest]).await.unwrap().is_empty());
    assert!(parts.check(&desk("a"), &[part(BYTES)]).await.unwrap().is_empty());
}

/// An empty attachment is an attachment.
pub async fn an_empty_part_is_a_part(backend: impl PartBackend) {
    let parts = backend.open().await;
    parts.begin(&desk("a"), part(b""), 0).await.unwrap().finish().await.unwrap();
    assert_eq!(read(&*parts, &part(b"").digest, 0).await, b"");
    assert!(parts.check(&desk("a"), &[part(b"")]).await.unwrap().is_empty());
}

/// A line that breaks costs what was under way, not what had arrived.
pub async fn a_broken_upload_goes_on_where_it_stopped(backend: impl PartBackend) {
    let parts = backend.open().await;
    let mut writer = parts.begin(&desk("a"), part(BYTES), 0).await.unwrap();
    writer.write(Bytes::from_static(&BYTES[..10])).await.unwrap();
    writer.write(Bytes::from_static(&BYTES[10..20])).await.unwrap();
    drop(writer);
    let digest = part(BYTES).digest;
    assert_eq!(parts.missing(&desk("a"), &[digest]).await.unwrap(), [Missing { digest, received: 20 }]);
    assert!(matches!(parts.open(&digest, 0).await.err(), Some(PartError::Unknown)), "the beginning is no part");
    let mut writer = parts.begin(&desk("a"), part(BYTES), 20).await.unwrap();
    writer.write(Bytes::from_static(&BYTES[20..])).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(read(&*parts, &digest, 0).await, BYTES);
}

/// An upload goes on where it stopped or starts again, and nowhere else.
pub async fn an_upload_at_another_offset_is_told_where_it_stopped(backend: impl PartBackend) {
    let parts = backend.open().await;
    let refused = parts.begin(&desk("a"), part(BYTES), 5).await.err();
    assert!(matches!(refused, Some(PartError::Offset { received: 0 })), "{refused:?}");
    let mut writer = parts.begin(&desk("a"), part(BYTES), 0).await.unwrap();
    writer.write(Bytes::from_static(&BYTES[..10])).await.unwrap();
    drop(writer);
    for offset in [9, 11] {
        let refused = parts.begin(&desk("a"), part(BYTES), offset).await.err();
        assert!(matches!(refused, Some(PartError::Offset { received: 10 })), "{refused:?}");
    }
    upload(&*parts, &desk("a"), BYTES).await;
    assert_eq!(read(&*parts, &part(BYTES).digest, 0).await, BYTES, "from the start again");
}

/// Two calls never write into the same upload.
pub async fn one_upload_of_a_part_is_under_way_at_a_time(backend: impl PartBackend) {
    let parts = backend.open().await;
    let writer = parts.begin(&desk("a"), part(BYTES), 0).await.unwrap();
    let refused = parts.begin(&desk("a"), part(BYTES), 0).await.err();
    assert!(matches!(refused, Some(PartError::Busy)), "{refused:?}");
    let other = parts.begin(&desk("b"), part(BYTES), 0).await;
    assert!(other.is_ok(), "another owner is not in the way");
    drop(writer);
    parts.begin(&desk("a"), part(BYTES), 0).await.unwrap();
}

/// Bytes that are not what they were said to be are not kept.
pub async fn a_part_with_another_digest_is_refused_and_removed(backend: impl PartBackend) {
    let parts = backend.open().await;
    let mut writer = parts.begin(&desk("a"), part(BYTES), 0).await.unwrap();
    let mut other = BYTES.to_vec();
    other[3] ^= 1;
    writer.write(other.into()).await.unwrap();
    let refused = writer.finish().await.err();
    assert!(matches!(refused, Some(PartError::DigestMismatch)), "{refused:?}");
    let digest = part(BYTES).digest;
    assert_eq!(parts.missing(&desk("a"), &[digest]).await.unwrap(), [Missing { digest, received: 0 }]);
    assert!(matches!(parts.open(&digest, 0).await.err(), Some(PartError::Unknown)));
}

/// More bytes than said are refused as soon as they come.
pub async fn a_part_that_is_longer_than_said_is_refused(backend: impl PartBackend) {
    let parts = backend.open().await;
    let mut writer = parts.begin(&desk("a"), part(BYTES), 0).await.unwrap();
    writer.write(Bytes::from_static(BYTES)).await.unwrap();
    let refused = writer.write(Bytes::from_static(b"x")).await.err();
    assert!(matches!(refused, Some(PartError::TooLong)), "{refused:?}");
    drop(writer);
    let digest = part(BYTES).digest;
    assert!(matches!(parts.open(&digest, 0).await.err(), Some(PartError::Unknown)));
    let huge = PartRef { size: limits::PART_BYTES_MAX + 1, ..part(BYTES) };
    let refused = parts.begin(&desk("b"), huge, 0).await.err();
    assert!(matches!(refused, Some(PartError::TooLong)), "{refused:?}");
}

/// A part that ends early is not a part; what came is kept for the rest.
pub async fn a_part_that_ends_early_is_refused_and_can_go_on(backend: impl PartBackend) {
    let parts = backend.open().await;
    let mut writer = parts.begin(&desk("a"), part(BYTES), 0).await.unwrap();
    writer.write(Bytes::from_static(&BYTES[..10])).await.unwrap();
    let refused = writer.finish().await.err();
    assert!(matches!(refused, Some(PartError::TooShort { received: 10 })), "{refused:?}");
    assert!(matches!(parts.open(&part(BYTES).digest, 0).await.err(), Some(PartError::Unknown)));
    let mut writer = parts.begin(&desk("a"), part(BYTES), 10).await.unwrap();
    writer.write(Bytes::from_static(&BYTES[10..])).await.unwrap();
    writer.finish().await.unwrap();
}

/// Nobody learns from the gateway whether somebody else has a document.
pub async fn another_owner_sees_nothing_of_it(backend: impl PartBackend) {
    let parts = backend.open().await;
    upload(&*parts, &desk("a"), BYTES).await;
    let digest = part(BYTES).digest;
    assert_eq!(parts.missing(&desk("b"), &[digest]).await.unwrap(), [Missing { digest, received: 0 }]);
    assert_eq!(parts.check(&desk("b"), &[part(BYTES)]).await.unwrap(), [PartFault::Missing(digest)]);
    upload(&*parts, &desk("b"), BYTES).await;
    assert!(parts.check(&desk("b"), &[part(BYTES)]).await.unwrap().is_empty());
    assert!(parts.check(&desk("a"), &[part(BYTES)]).await.unwrap().is_empty());
}

/// A gateway and a system of the same name are two owners.
pub async fn a_gateway_and_a_system_of_one_name_are_two_owners(backend: impl PartBackend) {
    let parts = backend.open().await;
    upload(&*parts, &desk("a"), BYTES).await;
    let gateway = Hop::Gateway(gateway_model::id::GatewayId::parse("a").unwrap());
    assert_eq!(parts.missing(&gateway, &[part(BYTES).digest]).await.unwrap().len(), 1);
}

/// An envelope names parts by digest and size; both have to be true.
pub async fn a_check_tells_what_is_missing_and_what_has_another_size(backend: impl PartBackend) {
    let parts = backend.open().await;
    upload(&*parts, &desk("a"), BYTES).await;
    let wrong = PartRef { size: 3, ..part(BYTES) };
    let absent = part(b"absent");
    let faults = parts.check(&desk("a"), &[wrong, absent]).await.unwrap();
    let actual = BYTES.len() as u64;
    assert_eq!(faults, [PartFault::OtherSize { digest: wrong.digest, actual }, PartFault::Missing(absent.digest)]);
}

/// Only what nobody has touched for long may go.
pub async fn a_sweep_finds_and_removes_only_what_has_not_been_touched(backend: impl PartBackend) {
    let parts = backend.open().await;
    upload(&*parts, &desk("a"), BYTES).await;
    let mut writer = parts.begin(&desk("a"), part(b"broken off"), 0).await.unwrap();
    writer.write(Bytes::from_static(b"broken")).await.unwrap();
    drop(writer);
    let mut old = vec![part(BYTES).digest, part(b"broken off").digest];
    old.sort();
    let long_ago = || backend.now().minus(STALE / 2);
    assert!(parts.stale(long_ago(), None, 10).await.unwrap().is_empty());
    assert_eq!(parts.remove(&old, long_ago()).await.unwrap(), 0, "what is touched stays");
    backend.age(STALE).await;
    upload(&*parts, &desk("a"), b"new").await;
    assert_eq!(parts.stale(long_ago(), None, 10).await.unwrap(), old);
    assert_eq!(parts.stale(long_ago(), None, 1).await.unwrap(), old[..1]);
    assert_eq!(parts.stale(long_ago(), Some(old[0]), 10).await.unwrap(), old[1..]);
    let all = [old[0], old[1], part(b"new").digest];
    assert_eq!(parts.remove(&all, long_ago()).await.unwrap(), (BYTES.len() + 6) as u64);
    assert!(matches!(parts.open(&part(BYTES).digest, 0).await.err(), Some(PartError::Unknown)));
    let missing = parts.missing(&desk("a"), &old).await.unwrap();
    assert!(missing.len() == 2 && missing.iter().all(|missing| missing.received == 0));
    assert_eq!(read(&*parts, &part(b"new").digest, 0).await, b"new");
}

/// Between the check and the commit of the envelope a part does not go.
pub async fn a_check_protects_a_part_from_the_sweep(backend: impl PartBackend) {
    let parts = backend.open().await;
    upload(&*parts, &desk("a"), BYTES).await;
    backend.age(STALE).await;
    let long_ago = backend.now().minus(STALE / 2);
    assert!(parts.check(&desk("a"), &[part(BYTES)]).await.unwrap().is_empty());
    assert!(parts.stale(long_ago, None, 10).await.unwrap().is_empty());
    assert_eq!(parts.remove(&[part(BYTES).digest], long_ago).await.unwrap(), 0);
    assert_eq!(read(&*parts, &part(BYTES).digest, 0).await, BYTES);
}

/// A restart forgets neither parts nor beginnings nor owners.
pub async fn parts_and_beginnings_are_there_after_a_restart(backend: impl PartBackend) {
    let parts = backend.open().await;
    upload(&*parts, &desk("a"), BYTES).await;
    let mut writer = parts.begin(&desk("a"), part(b"broken off"), 0).await.unwrap();
    writer.write(Bytes::from_static(b"broken")).await.unwrap();
    drop((writer, parts));
    let parts = backend.open().await;
    assert_eq!(read(&*parts, &part(BYTES).digest, 0).await, BYTES);
    assert!(parts.check(&desk("a"), &[part(BYTES)]).await.unwrap().is_empty());
    assert_eq!(parts.missing(&desk("b"), &[part(BYTES).digest]).await.unwrap().len(), 1);
    let mut writer = parts.begin(&desk("a"), part(b"broken off"), 6).await.unwrap();
    writer.write(Bytes::from_static(b" off")).await.unwrap();
    writer.finish().await.unwrap();
}

/// A system that uploads.
fn desk(name: &str) -> Hop {
    Hop::System(SystemId::parse(name).unwrap())
}

fn part(bytes: &[u8]) -> PartRef {
    PartRef { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

async fn upload(parts: &dyn PartStore, owner: &Hop, bytes: &[u8]) {
    let mut writer = parts.begin(owner, part(bytes), 0).await.unwrap();
    for chunk in bytes.chunks(16) {
        writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn read(parts: &dyn PartStore, digest: &Digest, offset: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    parts.open(digest, offset).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}
