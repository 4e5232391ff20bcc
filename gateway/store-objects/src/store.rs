//! The part store itself: what it answers, from what is listed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use gateway_model::agency::Hop;
use gateway_model::{Digest, Timestamp};
use gateway_store::accept::PartRef;
use gateway_store::parts::{Missing, PartError, PartFault, PartStore, PartWriter};
use tokio::io::AsyncRead;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::found::{Found, Upload};
use crate::names::{Place, owner_name};
use crate::objects::Objects;
use crate::reader;
use crate::relied;
use crate::room::Room;
use crate::sweep::{self, Why};
use crate::upload;

/// Parts that one call asks about at the same time.
const AT_ONCE: usize = 8;

/// Keeps parts in a bucket.
pub struct ObjectParts {
    shared: Arc<Shared>,
    /// When everything was last listed to its end, and how long that is enough.
    listed: Mutex<Option<Instant>>,
    list_every: Duration,
}

/// What calls and uploads share.
pub(crate) struct Shared {
    pub(crate) objects: Objects,
    pub(crate) part_bytes_max: u64,
    pub(crate) unnamed_bytes_max: u64,
    pub(crate) room: Arc<Room>,
    /// Broken uploads whose last bytes are being put away.
    pub(crate) tasks: TaskTracker,
}

impl ObjectParts {
    pub(crate) fn new(objects: Objects, part_bytes_max: u64, unnamed_bytes_max: u64, list_every: Duration) -> Self {
        let (room, tasks) = (Arc::default(), TaskTracker::new());
        let shared = Arc::new(Shared { objects, part_bytes_max, unnamed_bytes_max, room, tasks });
        Self { shared, listed: Mutex::default(), list_every }
    }

    /// The uploads of a part on which `owner` may rely, and the bytes of a broken one.
    async fn own(&self, owner: &str, digest: &Digest) -> Result<Option<Missing>, PartError> {
        self.shared.room.at_rest(owner, digest).await;
        let found = self.shared.objects.found(digest).await?;
        if owned(&found, owner).next().is_some() {
            return Ok(None);
        }
        let received = found.begun(owner).map(|(_, upload)| upload.received()).max().unwrap_or(0);
        Ok(Some(Missing { digest: *digest, received }))
    }

    async fn check_one(&self, owner: &str, part: &PartRef) -> Result<Option<PartFault>, PartError> {
        let objects = &self.shared.objects;
        let found = objects.found(&part.digest).await?;
        for (place, upload, actual) in owned(&found, owner) {
            if actual != part.size {
                return Ok(Some(PartFault::OtherSize { digest: part.digest, actual }));
            }
            let Some((size, writer)) = upload.whole() else { continue };
            if relied::rely_on_whole(objects, place, owner, size, writer).await? {
                self.shared.room.unnamed().discharge(owner, &part.digest);
                return Ok(None);
            }
        }
        Ok(Some(PartFault::Missing(part.digest)))
    }

    async fn remove_one(&self, digest: &Digest, before: Timestamp) -> Result<u64, PartError> {
        let age = (self.shared.objects.now)().since(before);
        let found = self.shared.objects.found(digest).await?;
        let (mut freed, mut is_gone) = (0, true);
        for place in found.uploads.keys() {
            let removed = match self.shared.room.is_busy(&place.owner, digest) {
                true => None,
                false => sweep::remove(&self.shared.objects, place, Why::Stale(age)).await?,
            };
            is_gone &= removed.is_some();
            freed += removed.unwrap_or(0);
        }
        if is_gone {
            self.shared.room.unnamed().forget(digest);
        }
        Ok(freed)
    }

    /// Whether everything was listed so lately that nothing much can have become stale.
    fn is_listed(&self) -> bool {
        let listed = *self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.is_some_and(|listed| listed.elapsed() < self.list_every)
    }
}

/// The whole uploads that are `owner`'s too.
fn owned<'a>(found: &'a Found, owner: &'a str) -> impl Iterator<Item = (&'a Place, &'a Upload, u64)> {
    found.wholes().filter(move |(place, upload, _)| place.owner == owner || upload.owners().contains(owner))
}

#[async_trait]
impl PartStore for ObjectParts {
    async fn missing(&self, owner: &Hop, digests: &[Digest]) -> Result<Vec<Missing>, PartError> {
        let owner = &owner_name(owner);
        let asked = futures::stream::iter(digests.to_vec()).map(|digest| async move { self.own(owner, &digest).await });
        asked.buffered(AT_ONCE).try_filter_map(|missing| async move { Ok(missing) }).try_collect().await
    }

    async fn begin(&self, owner: &Hop, part: PartRef, offset: u64) -> Result<Box<dyn PartWriter>, PartError> {
        Ok(Box::new(upload::begin(self.shared.clone(), &owner_name(owner), part, offset).await?))
    }

    async fn check(&self, owner: &Hop, parts: &[PartRef]) -> Result<Vec<PartFault>, PartError> {
        let owner = &owner_name(owner);
        let asked = futures::stream::iter(parts.to_vec()).map(|part| async move { self.check_one(owner, &part).await });
        asked.buffered(AT_ONCE).try_filter_map(|fault| async move { Ok(fault) }).try_collect().await
    }

    async fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn AsyncRead + Send + Unpin>, PartError> {
        Ok(Box::new(reader::open(self.shared.clone(), *digest, offset).await?))
    }

    /// Lists everything, so not more often than is set: until then there are no candidates.
    async fn stale(&self, before: Timestamp, after: Option<Digest>, limit: usize) -> Result<Vec<Digest>, PartError> {
        if after.is_none() && self.is_listed() {
            return Ok(Vec::new());
        }
        let mut stale: Vec<Digest> = Vec::new();
        let mut all = self.shared.objects.all_behind(after.as_ref());
        let mut found = Found::default();
        loop {
            let next = all.try_next().await?;
            let read = next.as_ref().and_then(|meta| Some((self.shared.objects.prefix.read(&meta.location)?, meta)));
            let digest = found.uploads.keys().next().map(|place| place.digest);
            if next.is_none() || read.as_ref().is_some_and(|((place, _), _)| Some(place.digest) != digest) {
                let is_stale = |upload: &Upload| upload.touched().is_some_and(|touched| touched < before);
                stale.extend(digest.filter(|_| found.uploads.values().any(is_stale)));
                found = Found::default();
            }
            if stale.len() == limit {
                return Ok(stale);
            }
            if let Some(((place, object), meta)) = read {
                found.add(place, object, meta);
            }
            if next.is_none() {
                *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                return Ok(stale);
            }
        }
    }

    async fn remove(&self, digests: &[Digest], before: Timestamp) -> Result<u64, PartError> {
        let mut freed = 0;
        for digest in digests {
            freed += self.remove_one(digest, before).await?;
        }
        Ok(freed)
    }

    async fn close(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests;
