//! Requests to the store, each within its time, and the bounds of what is kept there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, TryStreamExt as _};
use futures::{StreamExt as _, TryFutureExt as _};
use gateway_model::{Digest, Timestamp};
use gateway_store::parts::PartError;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload};

use crate::failure::{NoAnswer, failed};
use crate::found::Found;
use crate::names::{Object, Place, Prefix};

/// Bytes of a piece: what an upload holds in memory at most, and loses when its node is killed.
pub(crate) const PIECE_BYTES: usize = 2 * 1024 * 1024;
/// For a request with all its repetitions, or a page of a list.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);
/// Objects that one request deletes.
const DELETED_AT_ONCE: usize = 1_000;
/// Objects of one part, of all its owners.
const OBJECTS_MAX: usize = 100_000;

/// What stands in objects that only have to be there: some stores take no empty ones.
const MARK: &[u8] = b"lienthong parts 1\n";

/// Where the objects are.
pub(crate) struct Objects {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Prefix,
    pub(crate) now: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Objects {
    /// Puts an object that only has to be there.
    pub(crate) async fn mark(&self, place: &Place, object: &Object) -> Result<(), PartError> {
        self.put(place, object, PutPayload::from_static(MARK)).await
    }

    /// Puts an object; over one of the same name.
    pub(crate) async fn put(&self, place: &Place, object: &Object, payload: PutPayload) -> Result<(), PartError> {
        let path = self.prefix.object(place, object);
        self.within(&path, self.store.put(&path, payload).map_ok(drop)).await
    }

    /// Everything about a part.
    pub(crate) async fn found(&self, digest: &Digest) -> Result<Found, PartError> {
        self.list(&self.prefix.of_digest(digest)).await
    }

    /// Everything about an upload.
    pub(crate) async fn found_at(&self, place: &Place) -> Result<Found, PartError> {
        self.list(&self.prefix.of_place(place)).await
    }

    /// Whether somebody may be removing an upload.
    pub(crate) async fn is_condemned(&self, place: &Place) -> Result<bool, PartError> {
        Ok(!self.list(&self.prefix.tombstones(place)).await?.uploads.is_empty())
    }

    async fn list(&self, under: &Path) -> Result<Found, PartError> {
        let mut found = Found::default();
        let mut all = self.stream(under, self.store.list(Some(under)));
        let mut objects = 0;
        while let Some(meta) = all.try_next().await? {
            objects += 1;
            if objects > OBJECTS_MAX {
                return Err(failed(under, std::io::Error::other("more objects than a part may have")));
            }
            if let Some((place, object)) = self.prefix.read(&meta.location) {
                found.add(place, object, &meta);
            }
        }
        Ok(found)
    }

    /// Everything behind `after`, in the order of the names.
    pub(crate) fn all_behind(&self, after: Option<&Digest>) -> BoxStream<'_, Result<ObjectMeta, PartError>> {
        let under = self.prefix.all();
        let listed = match after {
            Some(after) => self.store.list_with_offset(Some(&under), &self.prefix.behind(after)),
            None => self.store.list(Some(&under)),
        };
        self.stream(&under, listed)
    }

    fn stream<'a>(
        &'a self,
        under: &Path,
        listed: BoxStream<'a, object_store::Result<ObjectMeta>>,
    ) -> BoxStream<'a, Result<ObjectMeta, PartError>> {
        let under = under.clone();
        let next = move |mut listed: BoxStream<'a, object_store::Result<ObjectMeta>>| {
            let under = under.clone();
            async move {
                match tokio::time::timeout(REQUEST_TIME_MAX, listed.next()).await {
                    Ok(None) => Ok(None),
                    Ok(Some(Ok(meta))) => Ok(Some((meta, listed))),
                    Ok(Some(Err(error))) => Err(failed(&under, error)),
                    Err(_) => Err(failed(&under, NoAnswer)),
                }
            }
        };
        futures::stream::try_unfold(listed, next).boxed()
    }

    /// The bytes of a small object; `None` when it is not there.
    pub(crate) async fn get(&self, place: &Place, object: &Object) -> Result<Option<Bytes>, PartError> {
        let path = self.prefix.object(place, object);
        let got = async {
            match self.store.get(&path).await {
                Ok(got) => got.bytes().await.map(Some),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.within(&path, got).await
    }

    /// Whether an object is there.
    pub(crate) async fn is_there(&self, place: &Place, object: &Object) -> Result<bool, PartError> {
        let path = self.prefix.object(place, object);
        let asked = async {
            match self.store.head(&path).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::NotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.within(&path, asked).await
    }

    /// Deletes objects; those that are not there are no fault.
    pub(crate) async fn delete(&self, place: &Place, objects: Vec<Object>) -> Result<(), PartError> {
        let at = self.prefix.of_place(place);
        let paths: Vec<Path> = objects.iter().map(|object| self.prefix.object(place, object)).collect();
        for batch in paths.chunks(DELETED_AT_ONCE) {
            let locations: Vec<_> = batch.iter().cloned().map(Ok).collect();
            let deleted = self.store.delete_stream(futures::stream::iter(locations).boxed());
            let none_left = deleted.try_for_each(|_| async { Ok(()) });
            self.within(&at, none_left).await?;
        }
        Ok(())
    }

    async fn within<T>(
        &self,
        path: &Path,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, PartError> {
        match tokio::time::timeout(REQUEST_TIME_MAX, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(path, error)),
            Err(_) => Err(failed(path, NoAnswer)),
        }
    }
}
