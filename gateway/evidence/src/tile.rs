//! Tiles of a log (C2SP tlog-tiles): a log served as files of up to 256 hashes, so that anyone can mirror it and compare.

use bytes::Bytes;
use gateway_model::Digest;

use crate::{EvidenceError, merkle};

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Tile levels above which no tree can reach.
pub const TILE_LEVELS: u32 = 8;

/// Names a tile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    /// Level: hashes of a tile at level `L` are roots of subtrees of 256 to the power of `L` leaves.
    pub level: u32,
    /// Place among the tiles of its level.
    pub index: u64,
    /// Hashes in it: 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The tile at `level` and `index` of a log of `size` leaves, as wide as the log lets it be; `None` when it would be empty.
    pub fn at(level: u32, index: u64, size: u64) -> Option<Self> {
        let nodes = size.checked_shr(8 * level).unwrap_or(0);
        let width = nodes.saturating_sub(index.checked_mul(TILE_WIDTH)?).min(TILE_WIDTH);
        (level < TILE_LEVELS && width > 0).then_some(Self { level, index, width })
    }

    /// The path under which the tile is served: `tile/<level>/<index>[.p/<width>]`, the index in groups of three digits.
    pub fn path(&self) -> String {
        let mut index = format!("{:03}", self.index % 1_000);
        let mut rest = self.index / 1_000;
        while rest > 0 {
            index = format!("x{:03}/{index}", rest % 1_000);
            rest /= 1_000;
        }
        let partial = if self.width < TILE_WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{}/{index}{partial}", self.level)
    }

    /// The leaves below the tile: index of the first, and how many.
    pub fn leaves(&self) -> Option<(u64, u64)> {
        let span = 1u64.checked_shl(8 * self.level)?;
        Some((self.index.checked_mul(TILE_WIDTH)?.checked_mul(span)?, self.width.checked_mul(span)?))
    }

    /// The content of the tile, from the hashes of [`Tile::leaves`].
    ///
    /// # Errors
    /// [`EvidenceError::OutOfRange`] when these are not that many hashes.
    pub fn content(&self, hashes: &[Digest]) -> Result<Bytes, EvidenceError> {
        let (_, count) = self.leaves().ok_or(EvidenceError::OutOfRange)?;
        if hashes.is_empty() || hashes.len() as u64 != count {
            return Err(EvidenceError::OutOfRange);
        }
        let span = hashes.len() / usize::try_from(self.width).map_err(|_| EvidenceError::OutOfRange)?;
        Ok(hashes.chunks(span).flat_map(|subtree| merkle::root(subtree).0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_the_path_of_the_specification() {
        let tile = |level, index, width| Tile { level, index, width }.path();
        assert_eq!(tile(0, 0, 256), "tile/0/000");
        assert_eq!(tile(1, 67, 256), "tile/1/067");
        assert_eq!(tile(0, 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile(2, 1_000, 17), "tile/2/x001/000.p/17");
    }

    #[test]
    fn the_tiles_of_a_log_cover_its_leaves_and_nothing_else() {
        let size = 256 * 256 + 256 + 3;
        assert_eq!(Tile::at(0, 256, size), Some(Tile { level: 0, index: 256, width: 256 }));
        assert_eq!(Tile::at(0, 257, size), Some(Tile { level: 0, index: 257, width: 3 }));
        assert_eq!(Tile::at(0, 258, size), None);
        assert_eq!(Tile::at(1, 1, size), Some(Tile { level: 1, index: 1, width: 1 }));
        assert_eq!(Tile::at(2, 0, size), Some(Tile { level: 2, index: 0, width: 1 }));
        assert_eq!(Tile::at(3, 0, size), None);
        assert_eq!(Tile::at(TILE_LEVELS, 0, u64::MAX), None);
    }

    #[test]
    fn a_tile_holds_the_roots_of_its_subtrees() {
        let hashes: Vec<Digest> = (0..600u32).map(|n| merkle::leaf_hash(&n.to_be_bytes())).collect();
        let tile = Tile::at(1, 0, 600).unwrap();
        assert_eq!(tile.leaves(), Some((0, 512)));
        let content = tile.content(&hashes[..512]).unwrap();
        assert_eq!(content[..32], merkle::root(&hashes[..256]).0);
        assert_eq!(content[32..], merkle::root(&hashes[256..512]).0);
        assert_eq!(tile.content(&hashes), Err(EvidenceError::OutOfRange));
        let leaves = Tile::at(0, 2, 600).unwrap();
        assert_eq!(leaves.leaves(), Some((512, 88)));
        assert_eq!(leaves.content(&hashes[512..]).unwrap().len(), 88 * 32);
    }
}
