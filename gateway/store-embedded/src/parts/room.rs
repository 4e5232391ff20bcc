//! Room for uploads: what is under way has its bytes set aside, and nobody fills the disk with parts that no envelope names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gateway_store::parts::PartError;
use gateway_store::unnamed::Unnamed;

use super::PartLimits;

/// Bytes that an upload writes before it looks at the disk again.
pub(super) const STRIDE: u64 = 4 * 1024 * 1024;

/// What is under way, and what has come that no envelope is known to name.
#[derive(Default)]
pub(crate) struct Room {
    /// Uploads under way, each with the bytes that are still to come.
    uploads: HashMap<PathBuf, u64>,
    /// What no envelope is known to name.
    pub(super) unnamed: Unnamed,
}

impl Room {
    /// Keeps the path for one upload; `false` when another one has it.
    pub(super) fn enter(&mut self, path: &Path) -> bool {
        let is_free = !self.is_busy(path);
        if is_free {
            self.uploads.insert(path.to_owned(), 0);
        }
        is_free
    }

    pub(super) fn leave(&mut self, path: &Path) {
        self.uploads.remove(path);
    }

    pub(super) fn is_busy(&self, path: &Path) -> bool {
        self.uploads.contains_key(path)
    }

    /// Sets the rest of an upload aside, of what is `free` beyond everything set aside before.
    pub(super) fn reserve(&mut self, path: &Path, rest: u64, free: u64, limits: &PartLimits) -> Result<(), PartError> {
        let others = self.uploads.iter().filter(|(other, _)| *other != path).map(|(_, rest)| *rest);
        if others.fold(rest.saturating_add(limits.free_bytes_min), u64::saturating_add) > free {
            return Err(PartError::Full);
        }
        self.uploads.insert(path.to_owned(), rest);
        Ok(())
    }

    /// Whether every upload can take its next stride: something else may have taken the room that was set aside.
    pub(super) fn go_on(&mut self, path: &Path, rest: u64, free: u64, limits: &PartLimits) -> Result<(), PartError> {
        self.uploads.insert(path.to_owned(), rest);
        let strides = self.uploads.values().map(|rest| (*rest).min(STRIDE));
        if strides.fold(limits.free_bytes_min, u64::saturating_add) > free { Err(PartError::Full) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // Whatever does not go as it has to fails the test there and then.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;
    use gateway_model::agency::Hop;
    use gateway_model::id::SystemId;
    use gateway_model::{Digest, Timestamp};
    use gateway_store::accept::PartRef;
    use gateway_store::parts::PartStore as _;
    use gateway_store::unnamed::PART_BYTES_LEAST;

    use super::super::FileParts;
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn opened(limits: PartLimits) -> (tempfile::TempDir, FileParts, Arc<AtomicU64>) {
        let folder = tempfile::tempdir().unwrap();
        let free = Arc::new(AtomicU64::new(100 * MIB));
        let told = free.clone();
        let free_bytes = move |_: &Path| Ok(told.load(Ordering::SeqCst));
        let parts = FileParts::open_on(folder.path(), limits, || Timestamp::from_seconds(1), free_bytes).unwrap();
        (folder, parts, free)
    }

    fn desk(name: &str) -> Hop {
        Hop::System(SystemId::parse(name).unwrap())
    }

    fn part(number: u64, size: u64) -> PartRef {
        PartRef { digest: Digest::of(&number.to_be_bytes()), size }
    }

    #[tokio::test]
    async fn uploads_under_way_leave_the_reserve_alone_together() {
        let limits = PartLimits { free_bytes_min: 50 * MIB, ..PartLimits::default() };
        let (_folder, parts, _) = opened(limits);
        let first = parts.begin(&desk("a"), part(1, 30 * MIB), 0).await.unwrap();
        let refused = parts.begin(&desk("b"), part(2, 30 * MIB), 0).await.err();
        assert!(matches!(refused, Some(PartError::Full)), "{refused:?}");
        let _second = parts.begin(&desk("b"), part(3, 20 * MIB), 0).await.unwrap();
        drop(first);
        let third = parts.begin(&desk("c"), part(4, 30 * MIB), 0).await;
        assert!(third.is_ok(), "what is broken off is not set aside any more");
    }

    #[tokio::test]
    async fn an_upload_stops_when_something_else_takes_the_room() {
        let limits = PartLimits { free_bytes_min: 50 * MIB, ..PartLimits::default() };
        let (_folder, parts, free) = opened(limits);
        let mut writer = parts.begin(&desk("a"), part(1, 20 * MIB), 0).await.unwrap();
        let piece = Bytes::from(vec![7; usize::try_from(STRIDE).unwrap()]);
        writer.write(piece.clone()).await.unwrap();
        free.store(50 * MIB, Ordering::SeqCst);
        let refused = writer.write(piece.clone()).await.err();
        assert!(matches!(refused, Some(PartError::Full)), "{refused:?}");
        free.store(90 * MIB, Ordering::SeqCst);
        writer.write(piece).await.unwrap();
        drop(writer);
        let missing = parts.missing(&desk("a"), &[part(1, 0).digest]).await.unwrap();
        assert_eq!(missing[0].received, 2 * STRIDE, "nothing of the refused piece was written");
    }

    #[tokio::test]
    async fn one_owner_keeps_no_more_unnamed_bytes_than_the_bound() {
        let (limits, bytes) =
            (PartLimits { unnamed_bytes_max: MIB, free_bytes_min: 0, ..PartLimits::default() }, b"whole");
        let (_folder, parts, _) = opened(limits);
        let small = PartRef { digest: Digest::of(bytes), size: bytes.len() as u64 };
        let mut writer = parts.begin(&desk("a"), small, 0).await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        writer.finish().await.unwrap();
        let full = MIB - PART_BYTES_LEAST + 1;
        let refused = parts.begin(&desk("a"), part(2, full), 0).await.err();
        assert!(matches!(refused, Some(PartError::Full)), "{refused:?}");
        assert!(parts.begin(&desk("b"), part(2, full), 0).await.is_ok(), "another owner has room of its own");
        assert!(parts.check(&desk("a"), &[small]).await.unwrap().is_empty());
        drop(parts.begin(&desk("a"), part(2, full), 0).await.unwrap());
        let refused = parts.begin(&desk("a"), part(3, full), 0).await.err();
        assert!(matches!(refused, Some(PartError::Full)), "what is broken off counts");
        assert!(parts.remove(&[part(2, 0).digest], Timestamp::from_seconds(9)).await.is_ok());
        assert!(parts.begin(&desk("a"), part(3, full), 0).await.is_ok(), "what was swept does not");
    }
}
