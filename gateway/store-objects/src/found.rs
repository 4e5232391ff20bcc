//! What a list of objects says about a part.

use std::collections::{BTreeMap, HashSet};

use gateway_model::Timestamp;
use object_store::ObjectMeta;

use crate::names::{Object, Piece, Place};
use crate::objects::PIECE_BYTES;

/// Times that one upload is gone on with.
const GONE_ON_MAX: usize = 256;
/// Bytes of pieces that longer ones have replaced, or as many as have been received.
const LEFT_BEHIND_MAX: u64 = 4 * PIECE_BYTES as u64;

/// The uploads of a part.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) uploads: BTreeMap<Place, Upload>,
}

/// All that is there of one upload.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) objects: BTreeMap<Object, Kept>,
}

/// One object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: u64,
    /// By the clock of the store.
    pub(crate) put: Timestamp,
}

impl Found {
    pub(crate) fn add(&mut self, place: Place, object: Object, meta: &ObjectMeta) {
        let put = Timestamp::from_micros(meta.last_modified.timestamp_micros());
        self.uploads.entry(place).or_default().objects.insert(object, Kept { bytes: meta.size, put });
    }

    /// Whole uploads that can be relied on, with their sizes.
    pub(crate) fn wholes(&self) -> impl Iterator<Item = (&Place, &Upload, u64)> {
        let reliable = self.uploads.iter().filter(|(_, upload)| !upload.is_condemned());
        reliable.filter_map(|(place, upload)| upload.whole().map(|(size, _)| (place, upload, size)))
    }

    /// Uploads that `owner` has begun and nobody has finished.
    pub(crate) fn unfinished<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = (&'a Place, &'a Upload)> {
        let own = self.uploads.iter().filter(move |(place, _)| place.owner == owner);
        own.filter(|(_, upload)| upload.whole().is_none() && !upload.is_condemned())
    }

    /// Those of them that can be gone on with.
    pub(crate) fn begun<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = (&'a Place, &'a Upload)> {
        self.unfinished(owner).filter(|(_, upload)| !upload.is_worn_out())
    }
}

impl Upload {
    /// Size of the part and writer of the list of its pieces, when it is whole.
    pub(crate) fn whole(&self) -> Option<(u64, &str)> {
        self.objects.keys().find_map(|object| match object {
            Object::Whole { size, writer } => Some((*size, writer.as_str())),
            Object::Piece(_) | Object::Owner(_) | Object::Going(_) | Object::Gone(_) => None,
        })
    }

    /// Whether there is a tombstone.
    pub(crate) fn is_condemned(&self) -> bool {
        self.objects.keys().any(is_tombstone)
    }

    /// Who has uploaded it, beside the one who began it.
    pub(crate) fn owners(&self) -> HashSet<&str> {
        let owners = self.objects.keys().filter_map(|object| match object {
            Object::Owner(owner) => Some(owner.as_str()),
            Object::Piece(_) | Object::Whole { .. } | Object::Going(_) | Object::Gone(_) => None,
        });
        owners.collect()
    }

    /// The pieces from the first byte on, without a gap. Of two writers' pieces the longer one counts.
    pub(crate) fn beginning(&self) -> Vec<(Piece, u64)> {
        let mut longest: BTreeMap<u32, (u64, &Piece)> = BTreeMap::new();
        for (object, kept) in &self.objects {
            if let Object::Piece(piece) = object {
                let one = longest.entry(piece.index).or_insert((kept.bytes, piece));
                *one = (*one).max((kept.bytes, piece));
            }
        }
        let mut beginning = Vec::new();
        for (place, (index, (bytes, piece))) in longest.into_iter().enumerate() {
            if index as usize != place {
                break;
            }
            beginning.push((piece.clone(), bytes));
            if bytes != PIECE_BYTES as u64 {
                break;
            }
        }
        beginning
    }

    /// Bytes of the beginning.
    pub(crate) fn received(&self) -> u64 {
        self.beginning().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Whether it has been gone on with so often that it is better begun anew: each time leaves something behind.
    fn is_worn_out(&self) -> bool {
        let (mut bytes, mut times) = (0_u64, 0);
        for (object, kept) in &self.objects {
            match object {
                Object::Piece(_) => bytes = bytes.saturating_add(kept.bytes),
                Object::Going(_) => times += 1,
                Object::Whole { .. } | Object::Owner(_) | Object::Gone(_) => {}
            }
        }
        let received = self.received();
        times > GONE_ON_MAX || bytes.saturating_sub(received) > received.max(LEFT_BEHIND_MAX)
    }

    /// When something of it was last put: tombstones count only where there is nothing else.
    pub(crate) fn touched(&self) -> Option<Timestamp> {
        let of = |tombstones: bool| {
            let some = self.objects.iter().filter(move |(object, _)| is_tombstone(object) == tombstones);
            some.map(|(_, kept)| kept.put).max()
        };
        of(false).or(of(true))
    }
}

/// Whether an object says that its upload may go.
pub(crate) fn is_tombstone(object: &Object) -> bool {
    match object {
        Object::Gone(_) => true,
        Object::Piece(_) | Object::Whole { .. } | Object::Owner(_) | Object::Going(_) => false,
    }
}
