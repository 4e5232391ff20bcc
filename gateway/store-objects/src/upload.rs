//! An upload under way: hashed while it comes, put piece by piece, whole when the list of its pieces is put.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use gateway_model::hash::Hasher;
use gateway_store::accept::PartRef;
use gateway_store::parts::{PartError, PartWriter};
use object_store::PutPayload;

use crate::names::{Object, Piece, Place, new_id};
use crate::objects::{Objects, PIECE_BYTES};
use crate::reader;
use crate::relied;
use crate::room::Busy;
use crate::store::Shared;
use crate::sweep::{self, Why};

/// Broken uploads of one part that one owner may leave: another node may be at one of them.
const BEGUN_MAX: usize = 2;

/// Writes one part for one owner.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    place: Place,
    progress: Progress,
    /// `None` while a call is at it, and after one that failed or was not waited for: the upload then goes on by a new one.
    state: Option<State>,
}

/// What an upload leaves behind when it is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    Nothing,
    Begun,
    Whole,
}

struct State {
    place: Place,
    /// In the name of whatever this call puts.
    writer: String,
    part: PartRef,
    hasher: Hasher,
    received: u64,
    /// Those that are put and full, in order.
    pieces: Vec<Piece>,
    /// What comes after them.
    tail: BytesMut,
    /// The piece that holds the tail, when it is put.
    tail_piece: Option<Piece>,
    busy: Busy,
}

/// Starts, or goes on at `offset`.
pub(crate) async fn begin(shared: Arc<Shared>, owner: &str, part: PartRef, offset: u64) -> Result<Writer, PartError> {
    if part.size > shared.part_bytes_max || offset > part.size {
        return Err(PartError::TooLong);
    }
    let busy = shared.room.enter(owner, &part.digest).await?;
    let mut state = match offset {
        0 => State::new(Place::new(part.digest, owner), part, busy),
        _ => go_on(&shared.objects, owner, part, offset, busy).await?,
    };
    shared.room.unnamed().charge(owner, &part.digest, part.size, shared.unnamed_bytes_max)?;
    state.received = offset;
    Ok(Writer { shared, place: state.place.clone(), progress: Progress::Nothing, state: Some(state) })
}

/// Reads what is there, for the digest; the piece that is not full is kept in hand.
async fn go_on(objects: &Objects, owner: &str, part: PartRef, offset: u64, busy: Busy) -> Result<State, PartError> {
    let found = objects.found(&part.digest).await?;
    let received = found.begun(owner).map(|(_, upload)| upload.received()).max().unwrap_or(0);
    let place = found.begun(owner).find(|(_, upload)| upload.received() == offset).map(|(place, _)| place.clone());
    let place = place.ok_or(PartError::Offset { received })?;
    if !relied::rely_on_beginning(objects, &place).await? {
        return Err(PartError::Offset { received: 0 });
    }
    let now = objects.found_at(&place).await?.uploads.remove(&place).unwrap_or_default();
    if now.received() != offset {
        return Err(PartError::Offset { received: now.received() });
    }
    let mut state = State::new(place, part, busy);
    for (piece, bytes) in now.beginning() {
        let read = objects.get(&state.place, &Object::Piece(piece.clone())).await?;
        let read = read.filter(|read| read.len() as u64 == bytes).ok_or(PartError::Offset { received: 0 })?;
        state.hasher.update(&read);
        if read.len() == PIECE_BYTES {
            state.pieces.push(piece);
        } else {
            state.tail.extend_from_slice(&read);
            state.tail_piece = Some(piece);
        }
    }
    Ok(state)
}

#[async_trait]
impl PartWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), PartError> {
        let mut state = self.state.take().ok_or(PartError::Unknown)?;
        if state.received + chunk.len() as u64 > state.part.size {
            self.state = Some(state);
            return Err(PartError::TooLong);
        }
        self.progress = Progress::Begun;
        state.write(&self.shared.objects, &chunk).await?;
        self.state = Some(state);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), PartError> {
        let state = self.state.take().ok_or(PartError::Unknown)?;
        state.finish(&self.shared).await?;
        self.progress = Progress::Whole;
        Ok(())
    }
}

impl Drop for Writer {
    /// What has come stays, for the call that goes on with it; what a call that was broken off had in hand does not.
    fn drop(&mut self) {
        if self.progress != Progress::Begun {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (shared, place, mut state) = (self.shared.clone(), self.place.clone(), self.state.take());
        if let Some(state) = &state {
            state.busy.settle();
        }
        let put_away = async move {
            let kept = match &mut state {
                Some(state) => state.put_tail(&shared.objects).await.map(drop),
                None => Ok(()),
            };
            let tidied = tidy(&shared, &place).await;
            if let Err(error) = kept.and(tidied) {
                tracing::warn!(digest = %place.digest, %error, "a broken upload could not be put away");
            }
        };
        self.shared.tasks.spawn_on(put_away, &runtime);
    }
}

/// Keeps of older broken uploads of the same part no more than there may be.
async fn tidy(shared: &Shared, last: &Place) -> Result<(), PartError> {
    let found = shared.objects.found(&last.digest).await?;
    let mut others: Vec<_> = found.unfinished(&last.owner).filter(|(place, _)| *place != last).collect();
    others.sort_by_key(|(_, upload)| std::cmp::Reverse(upload.touched()));
    for (place, _) in others.into_iter().skip(BEGUN_MAX - 1) {
        sweep::remove(&shared.objects, place, Why::Unfinished).await?;
    }
    Ok(())
}

impl State {
    fn new(place: Place, part: PartRef, busy: Busy) -> Self {
        Self {
            place,
            writer: new_id(),
            part,
            hasher: Hasher::new(),
            received: 0,
            pieces: Vec::new(),
            tail: BytesMut::new(),
            tail_piece: None,
            busy,
        }
    }

    async fn write(&mut self, objects: &Objects, chunk: &[u8]) -> Result<(), PartError> {
        self.hasher.update(chunk);
        self.received += chunk.len() as u64;
        let mut rest = chunk;
        while !rest.is_empty() {
            let (fits, behind) = rest.split_at(rest.len().min(PIECE_BYTES - self.tail.len()));
            self.tail.extend_from_slice(fits);
            self.tail_piece = None;
            rest = behind;
            if self.tail.len() == PIECE_BYTES {
                let piece = self.put_tail(objects).await?;
                self.pieces.extend(piece);
                self.tail_piece = None;
            }
        }
        Ok(())
    }

    /// Puts what is in hand, if anything is, and gives the piece that it is.
    async fn put_tail(&mut self, objects: &Objects) -> Result<Option<Piece>, PartError> {
        if self.tail_piece.is_none() && !self.tail.is_empty() {
            let index = u32::try_from(self.pieces.len()).unwrap_or(u32::MAX);
            let piece = Piece { index, writer: self.writer.clone() };
            let payload = PutPayload::from_bytes(std::mem::take(&mut self.tail).freeze());
            objects.put(&self.place, &Object::Piece(piece.clone()), payload).await?;
            self.tail_piece = Some(piece);
        }
        Ok(self.tail_piece.clone())
    }

    async fn finish(mut self, shared: &Shared) -> Result<(), PartError> {
        let objects = &shared.objects;
        let last = self.put_tail(objects).await?;
        if self.received < self.part.size {
            return Err(PartError::TooShort { received: self.received });
        }
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new());
        if hasher.finish() != self.part.digest {
            sweep::remove(objects, &self.place, Why::Unfinished).await?;
            shared.room.unnamed().discharge(&self.place.owner, &self.part.digest);
            return Err(PartError::DigestMismatch);
        }
        self.pieces.extend(last);
        if self.join_another(objects).await? {
            return Ok(());
        }
        let whole = Object::Whole { size: self.part.size, writer: self.writer.clone() };
        let list = reader::write_list(&self.pieces);
        objects.put(&self.place, &whole, PutPayload::from(list)).await?;
        // A sweep may have begun before: then it has seen none, or some, of what was put here.
        let is_condemned = objects.is_condemned(&self.place).await?;
        let there = objects.found_at(&self.place).await?.uploads.remove(&self.place).unwrap_or_default();
        let has = |piece: &Piece| there.objects.contains_key(&Object::Piece(piece.clone()));
        if is_condemned || !there.objects.contains_key(&whole) || !self.pieces.iter().all(has) {
            return Err(PartError::Offset { received: 0 });
        }
        Ok(())
    }

    /// Where the same part is whole already, it is stored once: the owner stands there, and these pieces go.
    async fn join_another(&self, objects: &Objects) -> Result<bool, PartError> {
        let found = objects.found(&self.part.digest).await?;
        for (place, upload, size) in found.wholes() {
            let Some((_, writer)) = upload.whole().filter(|_| size == self.part.size) else { continue };
            if relied::rely_on_whole(objects, place, &self.place.owner, size, writer).await? {
                if *place != self.place {
                    sweep::remove(objects, &self.place, Why::Unfinished).await?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}
