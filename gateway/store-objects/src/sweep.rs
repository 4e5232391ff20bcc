//! Removing an upload: a tombstone first, then a look whether anybody relies on it, then the bytes.

use std::time::Duration;

use gateway_store::parts::PartError;

use crate::found::{Upload, is_tombstone};
use crate::names::{Object, Place, new_id};
use crate::objects::Objects;

/// Why an upload is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// Nobody has touched it for longer than this, by the clock of the store.
    Stale(Duration),
    /// It is not whole, and never will be needed.
    Unfinished,
}

/// Removes an upload unless there is a reason that it stays. Gives the bytes freed; `None` when it stays.
///
/// # Cancellation
/// Leaves a tombstone: nobody relies on the upload any more, and a later sweep removes it.
pub(crate) async fn remove(objects: &Objects, place: &Place, why: Why) -> Result<Option<u64>, PartError> {
    let own = Object::Gone(new_id());
    objects.mark(place, &own).await?;
    let Some(upload) = objects.found_at(place).await?.uploads.remove(place) else { return Ok(None) };
    // Another sweep has been faster.
    let Some(condemned_at) = upload.objects.get(&own).map(|kept| kept.put) else { return Ok(None) };
    let stays = match why {
        Why::Stale(age) => {
            let others = upload.objects.iter().filter(|(object, _)| !is_tombstone(object));
            others.map(|(_, kept)| kept.put).max().is_some_and(|touched| condemned_at.since(touched) <= age)
        }
        Why::Unfinished => upload.whole().is_some(),
    };
    if stays {
        objects.delete(place, vec![own]).await?;
        return Ok(None);
    }
    delete(objects, place, upload).await.map(Some)
}

/// In this order: without the list of its pieces it is no part any more, and the tombstones stand until nothing else does.
async fn delete(objects: &Objects, place: &Place, upload: Upload) -> Result<u64, PartError> {
    let (mut wholes, mut others, mut tombstones) = (Vec::new(), Vec::new(), Vec::new());
    let mut freed = 0;
    for (object, kept) in upload.objects {
        match object {
            Object::Whole { .. } => wholes.push(object),
            Object::Piece(_) => {
                freed += kept.bytes;
                others.push(object);
            }
            Object::Owner(_) | Object::Going(_) => others.push(object),
            Object::Gone(_) => tombstones.push(object),
        }
    }
    for batch in [wholes, others, tombstones] {
        objects.delete(place, batch).await?;
    }
    Ok(freed)
}
