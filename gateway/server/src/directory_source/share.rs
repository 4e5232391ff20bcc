//! The directory among the nodes of one gateway: who has a newer one lays it into the store that they share, and the others take it from there.
//!
//! It lies in marks, cut into pieces, and one mark that names them comes last. Whoever takes it checks its signatures like those of any other.

use bytes::{Bytes, BytesMut};
use gateway_directory::{DIRECTORY_BYTES_MAX, Expiry};
use gateway_model::Digest;
use gateway_store::mark::{Mark, VALUE_BYTES_MAX};
use gateway_store::{Store, StoreError};

use super::{DirectorySource, SourceError};

/// The mark that names the newest.
const NEWEST: &str = "directory/newest";
/// Bytes of a piece.
const PIECE_BYTES: usize = VALUE_BYTES_MAX / 2;

/// A directory in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shared {
    version: u64,
    digest: Digest,
    pieces: usize,
}

impl Shared {
    fn mark(&self) -> Mark {
        let value = format!("{} {} {}", self.version, self.digest, self.pieces);
        Mark { name: NEWEST.to_owned(), value: Some(value.into()), leaf: None }
    }

    fn read(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(' ');
        let (version, digest, pieces) = (words.next()?, words.next()?, words.next()?);
        let pieces = pieces.parse().ok().filter(|pieces| *pieces <= DIRECTORY_BYTES_MAX.div_ceil(PIECE_BYTES))?;
        Some(Self { version: version.parse().ok()?, digest: Digest::from_hex(digest)?, pieces })
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        let (version, digest) = (self.version, self.digest);
        (0..self.pieces).map(move |number| format!("directory/{version}/{digest}/{number:04}"))
    }
}

/// The newest that lies in the store.
async fn newest(store: &dyn Store) -> Result<Option<Shared>, StoreError> {
    Ok(store.marks(NEWEST, 1).await?.first().and_then(|(_, value)| Shared::read(value)))
}

/// Reads one; `None` when another has taken its place meanwhile.
async fn fetch(store: &dyn Store, shared: &Shared) -> Result<Option<Bytes>, StoreError> {
    let mut bytes = BytesMut::new();
    for name in shared.names() {
        match store.marks(&name, 1).await?.into_iter().next() {
            Some((_, piece)) => bytes.extend_from_slice(&piece),
            None => return Ok(None),
        }
    }
    let bytes = bytes.freeze();
    Ok((Digest::of(&bytes) == shared.digest).then_some(bytes))
}

/// Lays one into the store, unless there is one that is as new; takes the one before away.
async fn publish(store: &dyn Store, version: u64, bytes: &Bytes) -> Result<(), StoreError> {
    let before = newest(store).await?;
    if before.is_some_and(|before| before.version >= version) {
        return Ok(());
    }
    let shared = Shared { version, digest: Digest::of(bytes), pieces: bytes.len().div_ceil(PIECE_BYTES) };
    for (number, name) in shared.names().enumerate() {
        let from = number * PIECE_BYTES;
        let piece = bytes.slice(from..(from + PIECE_BYTES).min(bytes.len()));
        store.mark(Mark { name, value: Some(piece), leaf: None }).await?;
    }
    store.mark(shared.mark()).await?;
    for name in before.iter().flat_map(Shared::names) {
        store.mark(Mark { name, value: None, leaf: None }).await?;
    }
    Ok(())
}

impl DirectorySource {
    /// Takes a newer one from another node of this gateway, or gives it ours.
    pub(crate) async fn meet_nodes(&mut self) {
        if self.parts.store.node().is_none() {
            return;
        }
        if let Err(error) = self.exchange().await {
            tracing::debug!(%error, "no directory is exchanged with the other nodes at present");
        }
    }

    async fn exchange(&mut self) -> Result<(), StoreError> {
        let store = self.parts.store.clone();
        let shared = newest(store.as_ref()).await?;
        let (theirs, ours) =
            (shared.map_or(0, |shared| shared.version), self.in_force.map_or(0, |(version, _)| version));
        if let Some(shared) = shared.filter(|_| theirs > ours) {
            if self.refused_of_nodes == Some(theirs) {
                return Ok(());
            }
            let Some(bytes) = fetch(store.as_ref(), &shared).await? else { return Ok(()) };
            let taken = match self.open(bytes, "another node".to_owned(), Expiry::Refuse).await {
                Ok(candidate) => self.put_in_force(candidate).await,
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                tracing::error!(%error, version = theirs, "the directory of another node is not taken");
                // What is no good stays so; a disk that is full does not.
                let is_for_good = matches!(error, SourceError::Refused { .. } | SourceError::Trust { .. });
                self.refused_of_nodes = is_for_good.then_some(theirs);
            }
        } else if ours > theirs {
            let published = self.published.borrow().clone();
            if let Some((version, bytes)) = published {
                publish(store.as_ref(), version, &bytes).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_model::note::NoteSigner;
    use gateway_store::memory::MemoryStore;

    /// An Ed25519 key in PKCS#8 with a seed that is nobody's.
    fn signer() -> NoteSigner {
        let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
        der.extend_from_slice(&[7; 32]);
        NoteSigner::from_pkcs8("log", &der).unwrap()
    }

    #[tokio::test]
    async fn what_one_node_lays_into_the_store_another_takes_from_it() {
        let store = MemoryStore::new(signer());
        assert_eq!(newest(&store).await.unwrap(), None);
        let directory = |byte: u8| Bytes::from(vec![byte; PIECE_BYTES + 7]);
        publish(&store, 4, &directory(4)).await.unwrap();
        let four = newest(&store).await.unwrap().unwrap();
        assert_eq!((four.version, fetch(&store, &four).await.unwrap()), (4, Some(directory(4))));
        publish(&store, 3, &directory(3)).await.unwrap();
        assert_eq!(newest(&store).await.unwrap(), Some(four), "never an older one");
        publish(&store, 5, &directory(5)).await.unwrap();
        let five = newest(&store).await.unwrap().unwrap();
        assert_eq!(fetch(&store, &five).await.unwrap(), Some(directory(5)));
        assert_eq!(fetch(&store, &four).await.unwrap(), None, "it was replaced");
        assert_eq!(store.marks("directory/", 100).await.unwrap().len(), 3);
    }
}
