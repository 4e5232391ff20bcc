//! Rows as bytes: each begins with a checksum, so that what has been damaged is named and never served.
//!
//! A row is the first eight bytes of the SHA-256 over its kind and its content, then the content: numbers with the most significant byte
//! first, texts and blobs after their length in four bytes, what may be missing after a byte that says whether it is there.

use gateway_model::hash::Hasher;

const SUM_BYTES: usize = 8;

/// A row is not what was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what} is damaged or missing")]
pub(crate) struct Damaged {
    pub(crate) what: String,
}

impl Damaged {
    pub(crate) fn at(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// Writes one row.
pub(crate) struct Encoder {
    kind: &'static str,
    out: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, out: vec![0; SUM_BYTES] }
    }

    pub(crate) fn byte(mut self, value: u8) -> Self {
        self.out.push(value);
        self
    }

    pub(crate) fn number(mut self, value: u64) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn signed(mut self, value: i64) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        // Everything that comes here is far below the bound of four bytes: `gateway_model::limits`.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(value);
        self
    }

    pub(crate) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn optional<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => write(self.byte(1), value),
            None => self.byte(0),
        }
    }

    pub(crate) fn seal(mut self) -> bytes::Bytes {
        let sum = sum(self.kind, &self.out[SUM_BYTES..]);
        self.out[..SUM_BYTES].copy_from_slice(&sum);
        self.out.into()
    }
}

/// Reads one row.
pub(crate) struct Decoder<'a> {
    kind: &'static str,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Checks the checksum.
    pub(crate) fn open(kind: &'static str, row: &'a [u8]) -> Result<Self, Damaged> {
        match row.split_first_chunk::<SUM_BYTES>() {
            Some((kept, content)) if *kept == sum(kind, content) => Ok(Self { kind, rest: content }),
            Some(_) | None => Err(Damaged::at(kind)),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64, Damaged> {
        let mut value = [0; 8];
        value.copy_from_slice(self.take(8)?);
        Ok(u64::from_be_bytes(value))
    }

    pub(crate) fn small(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.number()?).map_err(|_| self.damaged())
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Damaged> {
        let mut value = [0; 8];
        value.copy_from_slice(self.take(8)?);
        Ok(i64::from_be_bytes(value))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let mut length = [0; 4];
        length.copy_from_slice(self.take(4)?);
        self.take(usize::try_from(u32::from_be_bytes(length)).map_err(|_| self.damaged())?)
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.bytes()?.try_into().map_err(|_| self.damaged())
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.damaged())
    }

    /// A text that is read further.
    pub(crate) fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Damaged> {
        let text = self.text()?;
        parse(text).ok_or_else(|| self.damaged())
    }

    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Option<T>, Damaged> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(self.damaged()),
        }
    }

    /// Nothing may be left.
    pub(crate) fn end<T>(self, row: T) -> Result<T, Damaged> {
        if self.rest.is_empty() { Ok(row) } else { Err(self.damaged()) }
    }

    pub(crate) fn damaged(&self) -> Damaged {
        Damaged::at(self.kind)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }
}

/// The checksum of a row or of a body.
pub(crate) fn sum(kind: &str, content: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = Hasher::new();
    hasher.update(kind.as_bytes());
    hasher.update(&[0]);
    hasher.update(content);
    let mut first = [0; SUM_BYTES];
    first.copy_from_slice(&hasher.finish().0[..SUM_BYTES]);
    first
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_row_is_read_back_as_it_was_written() {
        let row = Encoder::new("row").number(7).text("xã").optional(Some(-3), Encoder::signed).byte(9).seal();
        let mut read = Decoder::open("row", &row).unwrap();
        let values = (read.number().unwrap(), read.text().unwrap(), read.optional(Decoder::signed).unwrap());
        assert_eq!((values, read.byte().unwrap()), ((7, "xã", Some(-3)), 9));
        read.end(()).unwrap();
    }

    #[test]
    fn a_flipped_bit_a_cut_and_another_kind_are_seen() {
        let row = Encoder::new("row").number(7).text("xã").seal();
        for bit in 0..row.len() * 8 {
            let mut flipped = row.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Decoder::open("row", &flipped).is_err(), "bit {bit}");
        }
        for cut in 0..row.len() {
            assert!(Decoder::open("row", &row[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Decoder::open("other", &row).is_err());
    }
}
