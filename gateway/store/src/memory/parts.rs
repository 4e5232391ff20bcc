//! Parts in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::agency::Hop;
use gateway_model::{Digest, Timestamp, limits};
use tokio::io::AsyncRead;

use crate::accept::PartRef;
use crate::parts::{Missing, PartError, PartFault, PartStore, PartWriter};

/// Keeps parts in memory.
pub struct MemoryParts {
    kept: Arc<Mutex<BTreeMap<Digest, Kept>>>,
    now: Clock,
}

type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// All that is here of one digest.
struct Kept {
    /// The bytes, once somebody has uploaded all of them.
    whole: Option<Bytes>,
    /// Who has uploaded all of them.
    owners: HashSet<Hop>,
    /// Beginnings, by who is uploading.
    broken: HashMap<Hop, Broken>,
    touched: Timestamp,
}

/// The beginning of an upload.
#[derive(Default)]
struct Broken {
    received: Vec<u8>,
    /// Whether a writer is at it.
    busy: bool,
}

impl MemoryParts {
    /// Starts empty; `now` says when something is touched.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { kept: Arc::default(), now: Arc::new(now) }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Digest, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PartStore for MemoryParts {
    async fn missing(&self, owner: &Hop, digests: &[Digest]) -> Result<Vec<Missing>, PartError> {
        let kept = self.kept();
        let missing = |&digest: &Digest| match kept.get(&digest) {
            Some(kept) if kept.owners.contains(owner) => None,
            Some(kept) => Some(Missing { digest, received: kept.received(owner) }),
            None => Some(Missing { digest, received: 0 }),
        };
        Ok(digests.iter().filter_map(missing).collect())
    }

    async fn begin(&self, owner: &Hop, part: PartRef, offset: u64) -> Result<Box<dyn PartWriter>, PartError> {
        if part.size > limits::PART_BYTES_MAX {
            return Err(PartError::TooLong);
        }
        let mut kept = self.kept();
        let received = kept.get(&part.digest).map_or(0, |kept| kept.received(owner));
        if offset != 0 && offset != received {
            return Err(PartError::Offset { received });
        }
        let touched = (self.now)();
        let kept = kept.entry(part.digest).or_insert_with(|| Kept::new(touched));
        let broken = kept.broken.entry(owner.clone()).or_default();
        if broken.busy {
            return Err(PartError::Busy);
        }
        if offset == 0 {
            broken.received.clear();
        }
        broken.busy = true;
        kept.touched = touched;
        Ok(Box::new(MemoryWriter { kept: self.kept.clone(), now: self.now.clone(), owner: owner.clone(), part }))
    }

    async fn check(&self, owner: &Hop, parts: &[PartRef]) -> Result<Vec<PartFault>, PartError> {
        let (mut kept, touched) = (self.kept(), (self.now)());
        let mut faults = Vec::new();
        for &PartRef { digest, size } in parts {
            let uploaded = kept.get_mut(&digest).filter(|kept| kept.owners.contains(owner));
            match uploaded.map(|kept| (kept.whole_bytes(), kept)) {
                Some((actual, kept)) if actual == size => kept.touched = touched,
                Some((actual, _)) => faults.push(PartFault::OtherSize { digest, actual }),
                None => faults.push(PartFault::Missing(digest)),
            }
        }
        Ok(faults)
    }

    async fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn AsyncRead + Send + Unpin>, PartError> {
        let whole = self.kept().get(digest).and_then(|kept| kept.whole.clone()).ok_or(PartError::Unknown)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        Ok(Box::new(Cursor::new(whole.slice(start..))))
    }

    async fn stale(&self, before: Timestamp, after: Option<Digest>, limit: usize) -> Result<Vec<Digest>, PartError> {
        let kept = self.kept();
        let rest = kept.iter().filter(|(digest, _)| after.is_none_or(|after| **digest > after));
        Ok(rest.filter(|(_, kept)| kept.touched < before).map(|(digest, _)| *digest).take(limit).collect())
    }

    async fn remove(&self, digests: &[Digest], before: Timestamp) -> Result<u64, PartError> {
        let mut kept = self.kept();
        let mut freed = 0;
        for digest in digests {
            if kept.get(digest).is_some_and(|kept| kept.touched < before) {
                freed += kept.remove(digest).map_or(0, |kept| kept.bytes());
            }
        }
        Ok(freed)
    }
}

impl Kept {
    fn new(touched: Timestamp) -> Self {
        Self { whole: None, owners: HashSet::new(), broken: HashMap::new(), touched }
    }

    fn received(&self, owner: &Hop) -> u64 {
        self.broken.get(owner).map_or(0, |broken| broken.received.len() as u64)
    }

    fn whole_bytes(&self) -> u64 {
        self.whole.as_ref().map_or(0, |whole| whole.len() as u64)
    }

    fn bytes(&self) -> u64 {
        self.whole_bytes() + self.broken.keys().map(|owner| self.received(owner)).sum::<u64>()
    }
}

/// An upload under way. What it has written stays when it is dropped.
struct MemoryWriter {
    kept: Arc<Mutex<BTreeMap<Digest, Kept>>>,
    now: Clock,
    owner: Hop,
    part: PartRef,
}

impl MemoryWriter {
    /// Gives `act` all that is here; [`PartError::Unknown`] when a sweep has taken it meanwhile.
    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> Result<T, PartError>) -> Result<T, PartError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get_mut(&self.part.digest).ok_or(PartError::Unknown)?;
        kept.touched = (self.now)();
        act(kept)
    }
}

#[async_trait]
impl PartWriter for MemoryWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PartError> {
        self.with(|kept| {
            let received = &mut kept.broken.get_mut(&self.owner).ok_or(PartError::Unknown)?.received;
            if (received.len() + chunk.len()) as u64 > self.part.size {
                return Err(PartError::TooLong);
            }
            received.extend_from_slice(&chunk);
            Ok(())
        })
    }

    async fn finish(self: Box<Self>) -> Result<(), PartError> {
        self.with(|kept| {
            let received = kept.received(&self.owner);
            if received < self.part.size {
                return Err(PartError::TooShort { received });
            }
            let broken = kept.broken.remove(&self.owner).ok_or(PartError::Unknown)?;
            if received != self.part.size || Digest::of(&broken.received) != self.part.digest {
                return Err(PartError::DigestMismatch);
            }
            kept.whole.get_or_insert(broken.received.into());
            kept.owners.insert(self.owner.clone());
            Ok(())
        })
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broken) = kept.get_mut(&self.part.digest).and_then(|kept| kept.broken.get_mut(&self.owner)) {
            broken.busy = false;
        }
    }
}
