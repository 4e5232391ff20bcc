//! How objects are named, and what a name says.

use gateway_model::Digest;
use gateway_model::agency::Hop;
use object_store::path::Path;
use uuid::Uuid;

const OWNER_BYTES: usize = 16;

/// Where one upload stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    /// Of the part.
    pub(crate) digest: Digest,
    /// Who began it.
    pub(crate) owner: String,
    id: String,
}

/// What the last part of a name says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Object {
    Piece(Piece),
    Whole { size: u64, writer: String },
    Owner(String),
    Going(String),
    Gone(String),
}

/// Which piece, and who wrote it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Piece {
    pub(crate) index: u32,
    pub(crate) writer: String,
}

/// The beginning of every name.
#[derive(Clone, Debug)]
pub(crate) struct Prefix(String);

/// An owner, as names have it.
pub(crate) fn owner_name(owner: &Hop) -> String {
    hex::encode(&Digest::of(owner.to_string().as_bytes()).0[..OWNER_BYTES])
}

/// A name that nobody has had, among those about one part. Short: some stores make names of files of it.
pub(crate) fn new_id() -> String {
    let (one, other) = Uuid::new_v4().as_u64_pair();
    format!("{:016x}", one ^ other)
}

impl Place {
    pub(crate) fn new(digest: Digest, owner: &str) -> Self {
        Self { digest, owner: owner.to_owned(), id: new_id() }
    }
}

impl Prefix {
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.trim_matches('/').to_owned())
    }

    pub(crate) fn all(&self) -> Path {
        Path::from(self.0.as_str())
    }

    pub(crate) fn of_digest(&self, digest: &Digest) -> Path {
        Path::from(format!("{}/{digest}", self.0))
    }

    /// What every name of `digest` stands before, and no name of a later one does.
    pub(crate) fn behind(&self, digest: &Digest) -> Path {
        Path::from(format!("{}/{digest}0", self.0))
    }

    pub(crate) fn of_place(&self, place: &Place) -> Path {
        Path::from(format!("{}/{}/{}.{}", self.0, place.digest, place.owner, place.id))
    }

    pub(crate) fn tombstones(&self, place: &Place) -> Path {
        Path::from(format!("{}/gone", self.of_place(place)))
    }

    pub(crate) fn object(&self, place: &Place, object: &Object) -> Path {
        let last = match object {
            Object::Piece(piece) => format!("piece/{:05}.{}", piece.index, piece.writer),
            Object::Whole { size, writer } => format!("whole.{size}.{writer}"),
            Object::Owner(owner) => format!("owner/{owner}"),
            Object::Going(writer) => format!("going/{writer}"),
            Object::Gone(sweeper) => format!("gone/{sweeper}"),
        };
        Path::from(format!("{}/{last}", self.of_place(place)))
    }

    /// Where a start tries what it will need.
    pub(crate) fn probes(&self) -> Path {
        Path::from(format!("{}/probe", self.0))
    }

    /// Where the name of the gateway stands whose parts these are.
    pub(crate) fn owner(&self) -> Path {
        Path::from(format!("{}/gateway", self.0))
    }

    /// `None` for what is not ours.
    pub(crate) fn read(&self, path: &Path) -> Option<(Place, Object)> {
        let rest = path.as_ref().strip_prefix(self.0.as_str())?.strip_prefix('/')?;
        let mut names = rest.split('/');
        let (digest, upload, first, second) = (names.next()?, names.next()?, names.next()?, names.next());
        if names.next().is_some() {
            return None;
        }
        let (owner, id) = upload.split_once('.')?;
        let place = Place { digest: Digest::from_hex(digest)?, owner: owner.to_owned(), id: id.to_owned() };
        let object = match (first, second) {
            ("piece", Some(name)) => {
                let (index, writer) = name.split_once('.')?;
                Object::Piece(Piece { index: index.parse().ok()?, writer: writer.to_owned() })
            }
            ("owner", Some(owner)) => Object::Owner(owner.to_owned()),
            ("going", Some(writer)) => Object::Going(writer.to_owned()),
            ("gone", Some(sweeper)) => Object::Gone(sweeper.to_owned()),
            (whole, None) => {
                let (size, writer) = whole.strip_prefix("whole.")?.split_once('.')?;
                Object::Whole { size: size.parse().ok()?, writer: writer.to_owned() }
            }
            (_, Some(_)) => return None,
        };
        Some((place, object))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // Whatever does not go as it has to fails the test there and then.

    use super::*;

    #[test]
    fn every_name_is_read_back_and_nothing_else_is_ours() {
        let prefix = Prefix::new("hub/parts");
        let place = Place::new(Digest::of(b"x"), "a0");
        let whole = Object::Whole { size: 7, writer: new_id() };
        let piece = Object::Piece(Piece { index: 12, writer: new_id() });
        for object in [whole, piece, Object::Owner("b".into()), Object::Going("c".into()), Object::Gone("d".into())] {
            let path = prefix.object(&place, &object);
            assert_eq!(prefix.read(&path), Some((place.clone(), object)), "{path}");
            assert!(path > prefix.of_digest(&place.digest) && path < prefix.behind(&place.digest), "{path}");
        }
        for other in ["hub/parts/probe/1", "hub/parts/gateway", "hub/partsx/y", "hub/parts/zz/a.b/gone/c", "other"] {
            assert_eq!(prefix.read(&Path::from(other)), None, "{other}");
        }
    }
}
