//! Writing and reading the stream: record by record, never more than one in memory.

use std::io::{self, Read, Write};

use gateway_model::Digest;
use gateway_model::hash::Hasher;

use super::codec::{decode, encode};
use super::record::Record;
use super::{ArchiveError, Order};

const MAGIC: &[u8; 8] = b"LThstore";
const VERSION: u32 = 1;
/// Kind of the last record.
const END: u8 = 255;
/// Bytes of the end record: kind, count, digest.
const END_BYTES: usize = 1 + 8 + 32;
const SUM_BYTES: usize = 8;
/// Bytes of the largest record: an envelope with eight signatures, or a mark, and room.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Writes an archive.
pub struct Writer<W> {
    to: W,
    hasher: Hasher,
    order: Order,
    records: u64,
    bytes: u64,
}

/// What was written, or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Records, without the end.
    pub records: u64,
    /// Bytes, with the end.
    pub bytes: u64,
    /// SHA-256 over everything before the end.
    pub digest: Digest,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    ///
    /// # Errors
    /// [`ArchiveError::Stream`].
    pub fn new(to: W) -> Result<Self, ArchiveError> {
        let mut writer = Self { to, hasher: Hasher::new(), order: Order::new(), records: 0, bytes: 0 };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_be_bytes())?;
        Ok(writer)
    }

    /// Writes the next record.
    ///
    /// # Errors
    /// [`ArchiveError::Misplaced`], [`ArchiveError::TooLarge`], [`ArchiveError::Stream`].
    pub fn write(&mut self, record: &Record) -> Result<(), ArchiveError> {
        self.order.admit(record)?;
        let content = encode(record);
        if content.len() > RECORD_BYTES_MAX {
            return Err(ArchiveError::TooLarge { bytes: content.len() });
        }
        let sum = sum(self.records, &content);
        self.put(&length(content.len()))?;
        self.put(&content)?;
        self.put(&sum)?;
        self.records += 1;
        Ok(())
    }

    /// Writes the end record and gives the stream back. Nothing is synced.
    ///
    /// # Errors
    /// [`ArchiveError::Misplaced`] when something is missing; [`ArchiveError::Stream`].
    pub fn finish(mut self) -> Result<(W, Written), ArchiveError> {
        self.order.end()?;
        let digest = self.hasher.finish();
        let mut end = vec![END];
        end.extend_from_slice(&self.records.to_be_bytes());
        end.extend_from_slice(&digest.0);
        for piece in [&length(end.len())[..], &end, &sum(self.records, &end)] {
            self.to.write_all(piece)?;
            self.bytes += piece.len() as u64;
        }
        self.to.flush()?;
        Ok((self.to, Written { records: self.records, bytes: self.bytes, digest }))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.to.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Reads an archive. What it gives has been checked: each record by its checksum and its place, the whole by its end.
pub struct Reader<R> {
    from: R,
    hasher: Hasher,
    order: Order,
    records: u64,
    bytes: u64,
    ended: Option<Written>,
}

impl<R: Read> Reader<R> {
    /// Starts reading.
    ///
    /// # Errors
    /// [`ArchiveError::NotAnArchive`], [`ArchiveError::Newer`], [`ArchiveError::Stream`].
    pub fn new(from: R) -> Result<Self, ArchiveError> {
        let mut reader = Self { from, hasher: Hasher::new(), order: Order::new(), records: 0, bytes: 0, ended: None };
        let (mut magic, mut version) = ([0; 8], [0; 4]);
        reader.take(&mut magic).map_err(not_an_archive)?;
        if magic != *MAGIC {
            return Err(ArchiveError::NotAnArchive);
        }
        reader.take(&mut version).map_err(not_an_archive)?;
        reader.hasher.update(&magic);
        reader.hasher.update(&version);
        match u32::from_be_bytes(version) {
            VERSION => Ok(reader),
            0 => Err(ArchiveError::NotAnArchive),
            found => Err(ArchiveError::Newer { found, known: VERSION }),
        }
    }

    /// The next record; `None` once the end has come and holds.
    ///
    /// # Errors
    /// [`ArchiveError::Cut`], [`ArchiveError::Damaged`], [`ArchiveError::Misplaced`], [`ArchiveError::Stream`].
    pub fn read(&mut self) -> Result<Option<Record>, ArchiveError> {
        if self.ended.is_some() {
            return Ok(None);
        }
        let damaged = ArchiveError::Damaged { record: self.records };
        let mut head = [0; 4];
        self.take_whole(&mut head)?;
        let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
        if !(1..=RECORD_BYTES_MAX).contains(&length) {
            return Err(damaged);
        }
        let (mut content, mut kept) = (vec![0; length], [0; SUM_BYTES]);
        self.take_whole(&mut content)?;
        self.take_whole(&mut kept)?;
        if sum(self.records, &content) != kept {
            return Err(damaged);
        }
        if content[0] == END {
            return self.end(&content).map(|()| None);
        }
        [&head[..], &content, &kept].into_iter().for_each(|piece| self.hasher.update(piece));
        let record = decode(&content.into()).ok_or(damaged)?;
        self.order.admit(&record)?;
        self.records += 1;
        Ok(Some(record))
    }

    /// What was read; `None` before the end.
    pub fn ended(&self) -> Option<Written> {
        self.ended
    }

    fn end(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        let damaged = ArchiveError::Damaged { record: self.records };
        let digest = std::mem::replace(&mut self.hasher, Hasher::new()).finish();
        let mut expected = vec![END];
        expected.extend_from_slice(&self.records.to_be_bytes());
        expected.extend_from_slice(&digest.0);
        if content.len() != END_BYTES || content != expected {
            return Err(damaged);
        }
        self.order.end()?;
        let mut more = [0; 1];
        if self.from.read(&mut more)? != 0 {
            return Err(ArchiveError::Misplaced { record: self.records, what: "something follows the end" });
        }
        self.ended = Some(Written { records: self.records, bytes: self.bytes, digest });
        Ok(())
    }

    fn take(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(into)?;
        self.bytes += into.len() as u64;
        Ok(())
    }

    fn take_whole(&mut self, into: &mut [u8]) -> Result<(), ArchiveError> {
        let records = self.records;
        self.take(into).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Cut { records },
            _ => ArchiveError::Stream(error),
        })
    }
}

fn not_an_archive(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::NotAnArchive,
        _ => ArchiveError::Stream(error),
    }
}

/// Everything that is written is far below four gibibytes: [`RECORD_BYTES_MAX`].
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// The number is in it, so that a record which is missing or doubled is seen where it stands.
fn sum(record: u64, content: &[u8]) -> [u8; SUM_BYTES] {
    let digest = Digest::of_pieces(&[&record.to_be_bytes(), content]);
    let mut first = [0; SUM_BYTES];
    first.copy_from_slice(&digest.0[..SUM_BYTES]);
    first
}

#[cfg(test)]
mod tests;
