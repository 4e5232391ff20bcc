//! Relying on an upload: say so first, look for a sweep then.

use gateway_store::parts::PartError;

use crate::names::{Object, Place, new_id};
use crate::objects::Objects;

/// Makes a whole upload stay for `owner`; `false` when it may go, or has gone.
///
/// The order of the requests is the point: a sweep that does not see `owner/…` has put its tombstone before, and takes that away only after
/// the list of the pieces.
pub(crate) async fn rely_on_whole(
    objects: &Objects,
    place: &Place,
    owner: &str,
    size: u64,
    writer: &str,
) -> Result<bool, PartError> {
    objects.mark(place, &Object::Owner(owner.to_owned())).await?;
    if objects.is_condemned(place).await? {
        return Ok(false);
    }
    objects.is_there(place, &Object::Whole { size, writer: writer.to_owned() }).await
}

/// Makes a broken upload stay while it is gone on with; `false` when it may go. What is there of it has to be listed after this.
pub(crate) async fn rely_on_beginning(objects: &Objects, place: &Place) -> Result<bool, PartError> {
    objects.mark(place, &Object::Going(new_id())).await?;
    Ok(!objects.is_condemned(place).await?)
}
