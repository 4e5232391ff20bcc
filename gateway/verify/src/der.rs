//! A strict, forward-only reader of DER: definite minimal lengths, one-byte tags, no recursion of its own, no trailing
//! bytes unnoticed.

use gateway_model::Timestamp;

mod time;

/// Universal BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// Universal INTEGER.
pub const INTEGER: u8 = 0x02;
/// Universal BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// Universal OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// Universal NULL.
pub const NULL: u8 = 0x05;
/// Universal OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// Universal ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// Universal UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// Universal GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// Universal SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// Universal SET.
pub const SET: u8 = 0x31;

/// The tag `[number]`, constructed.
pub const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The tag `[number]`, primitive.
pub const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// Why bytes are not the DER that was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DerError {
    /// The bytes end inside an element.
    #[error("the bytes end inside an element")]
    Truncated,
    /// A length is indefinite, not minimal, or larger than four bytes can say.
    #[error("a length is not definite and minimal")]
    Length,
    /// Another tag was expected here.
    #[error("tag {found:#04x} stands where {expected:#04x} is expected")]
    Tag {
        /// What was expected.
        expected: u8,
        /// What stands there.
        found: u8,
    },
    /// A tag number above 30.
    #[error("a tag has more than one byte")]
    LongTag,
    /// Bytes follow where nothing may.
    #[error("bytes follow where nothing may")]
    Trailing,
    /// A value is not in its one DER form.
    #[error("a {0} is not in its DER form")]
    Value(&'static str),
    /// More elements than the bound.
    #[error("more than {0} elements")]
    TooMany(usize),
}

/// One element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// Its tag byte.
    pub tag: u8,
    /// Its content.
    pub content: &'a [u8],
    /// Tag, length and content.
    pub raw: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next element, whatever it is.
    ///
    /// # Errors
    /// When the next bytes are not one DER element.
    pub fn any(&mut self) -> Result<Element<'a>, DerError> {
        let whole = self.rest;
        let (&tag, after_tag) = whole.split_first().ok_or(DerError::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::LongTag);
        }
        let (length, after_length) = read_length(after_tag)?;
        let (content, rest) = after_length.split_at_checked(length).ok_or(DerError::Truncated)?;
        let (raw, _) = whole.split_at_checked(whole.len().saturating_sub(rest.len())).ok_or(DerError::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, content, raw })
    }

    /// Reads the next element, which has `tag`.
    ///
    /// # Errors
    /// As [`Reader::any`], and when the tag is another one.
    pub fn element(&mut self, tag: u8) -> Result<Element<'a>, DerError> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(DerError::Tag { expected: tag, found: element.tag }) }
    }

    /// Reads the content of the next element, which has `tag`.
    ///
    /// # Errors
    /// As [`Reader::element`].
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], DerError> {
        self.element(tag).map(|element| element.content)
    }

    /// Enters the next element, which has `tag`.
    ///
    /// # Errors
    /// As [`Reader::element`].
    pub fn enter(&mut self, tag: u8) -> Result<Reader<'a>, DerError> {
        self.expect(tag).map(Reader::new)
    }

    /// Reads the next element when it has `tag`.
    ///
    /// # Errors
    /// As [`Reader::any`].
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Ends here.
    ///
    /// # Errors
    /// [`DerError::Trailing`] when something is left.
    pub fn finish(self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::Trailing) }
    }

    /// Reads an OBJECT IDENTIFIER: its content bytes.
    ///
    /// # Errors
    /// As [`Reader::element`], and for an OID that is not in DER form.
    pub fn oid(&mut self) -> Result<&'a [u8], DerError> {
        let content = self.expect(OID)?;
        let mut starts = true;
        for &byte in content {
            if starts && byte == 0x80 {
                return Err(DerError::Value("object identifier"));
            }
            starts = byte & 0x80 == 0;
        }
        if content.is_empty() || !starts { Err(DerError::Value("object identifier")) } else { Ok(content) }
    }

    /// Reads an INTEGER: its content bytes, minimal two's complement.
    ///
    /// # Errors
    /// As [`Reader::element`], and for an integer that is not minimal.
    pub fn integer(&mut self) -> Result<&'a [u8], DerError> {
        let content = self.expect(INTEGER)?;
        match content {
            [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(DerError::Value("integer")),
            _ => Ok(content),
        }
    }

    /// Reads an INTEGER from 0 to 2^31 - 1.
    ///
    /// # Errors
    /// As [`Reader::integer`], and for a negative or larger one.
    pub fn small(&mut self) -> Result<u32, DerError> {
        small_integer(self.integer()?)
    }

    /// Reads a BOOLEAN.
    ///
    /// # Errors
    /// As [`Reader::element`], and for a value other than 0x00 and 0xff.
    pub fn boolean(&mut self) -> Result<bool, DerError> {
        match self.expect(BOOLEAN)? {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(DerError::Value("boolean")),
        }
    }

    /// Reads `BOOLEAN DEFAULT FALSE`, where FALSE may not be written.
    ///
    /// # Errors
    /// As [`Reader::boolean`].
    pub fn flag(&mut self) -> Result<bool, DerError> {
        match self.peek() {
            Some(BOOLEAN) if self.boolean()? => Ok(true),
            Some(BOOLEAN) => Err(DerError::Value("default")),
            _ => Ok(false),
        }
    }

    /// Reads a BIT STRING without unused bits: its bytes.
    ///
    /// # Errors
    /// As [`Reader::element`], and for unused bits.
    pub fn octet_aligned_bits(&mut self) -> Result<&'a [u8], DerError> {
        match self.expect(BIT_STRING)?.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(DerError::Value("bit string")),
        }
    }

    /// Reads a BIT STRING of named bits: bit 0 is the highest of the result, at most 16 are kept.
    ///
    /// # Errors
    /// As [`Reader::element`], and for unused bits that are set.
    pub fn named_bits(&mut self) -> Result<u16, DerError> {
        named_bits(self.expect(BIT_STRING)?)
    }

    /// Reads a UTCTime or a GeneralizedTime in the one form that RFC 5280 allows.
    ///
    /// # Errors
    /// As [`Reader::any`], and for any other form.
    pub fn time(&mut self) -> Result<Timestamp, DerError> {
        let element = self.any()?;
        match element.tag {
            UTC_TIME => time::utc_time(element.content),
            GENERALIZED_TIME => time::generalized_time(element.content),
            found => Err(DerError::Tag { expected: UTC_TIME, found }),
        }
    }

    /// Reads every remaining element, all with `tag`, at most `max`.
    ///
    /// # Errors
    /// As [`Reader::element`], and when there are more.
    pub fn all(mut self, tag: u8, max: usize) -> Result<Vec<Element<'a>>, DerError> {
        let mut elements = Vec::new();
        while !self.is_empty() {
            if elements.len() >= max {
                return Err(DerError::TooMany(max));
            }
            elements.push(self.element(tag)?);
        }
        Ok(elements)
    }
}

/// Reads bytes that are exactly one element with `tag`.
///
/// # Errors
/// As [`Reader::element`], and when bytes follow.
pub fn single(bytes: &[u8], tag: u8) -> Result<Reader<'_>, DerError> {
    let mut reader = Reader::new(bytes);
    let inner = reader.enter(tag)?;
    reader.finish()?;
    Ok(inner)
}

/// Reads bytes that are exactly one element with `tag`: its content.
///
/// # Errors
/// As [`single`].
pub fn single_content(bytes: &[u8], tag: u8) -> Result<&[u8], DerError> {
    let mut reader = Reader::new(bytes);
    let content = reader.expect(tag)?;
    reader.finish()?;
    Ok(content)
}

/// Reads the content of an INTEGER as a number from 0 to 2^31 - 1.
///
/// # Errors
/// For a negative or larger one.
pub fn small_integer(content: &[u8]) -> Result<u32, DerError> {
    let mut bytes = [0u8; 4];
    let start = bytes.len().checked_sub(content.len()).ok_or(DerError::Value("small integer"))?;
    let target = bytes.get_mut(start..).ok_or(DerError::Value("small integer"))?;
    target.copy_from_slice(content);
    match content.first() {
        Some(first) if first & 0x80 == 0 => Ok(u32::from_be_bytes(bytes)),
        _ => Err(DerError::Value("small integer")),
    }
}

/// Reads the content of a BIT STRING of named bits; bit 0 is the highest of the result.
///
/// # Errors
/// For unused bits that are set or more than seven of them.
pub fn named_bits(content: &[u8]) -> Result<u16, DerError> {
    let (&unused, bytes) = content.split_first().ok_or(DerError::Value("bit string"))?;
    let mask = 1u8.checked_shl(u32::from(unused)).filter(|_| unused < 8).ok_or(DerError::Value("bit string"))?;
    match bytes.last() {
        None if unused != 0 => return Err(DerError::Value("bit string")),
        Some(last) if last & mask.saturating_sub(1) != 0 => return Err(DerError::Value("bit string")),
        _ => {}
    }
    let high = bytes.first().copied().unwrap_or(0);
    let low = bytes.get(1).copied().unwrap_or(0);
    Ok(u16::from_be_bytes([high, low]))
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), DerError> {
    let (&first, rest) = bytes.split_first().ok_or(DerError::Truncated)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(DerError::Length);
    }
    let (digits, rest) = rest.split_at_checked(count).ok_or(DerError::Truncated)?;
    let length = digits.iter().fold(0u64, |value, &digit| (value << 8) | u64::from(digit));
    if length < 0x80 || digits.first() == Some(&0) {
        return Err(DerError::Length);
    }
    usize::try_from(length).map(|length| (length, rest)).map_err(|_| DerError::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_one_form() {
        let refuses = |bytes: &[u8], error: DerError| assert_eq!(Reader::new(bytes).any(), Err(error), "{bytes:02x?}");
        refuses(&[0x04, 0x80, 0x00, 0x00], DerError::Length);
        refuses(&[0x04, 0x81, 0x01, 0x00], DerError::Length);
        refuses(&[0x04, 0x82, 0x00, 0x80], DerError::Length);
        refuses(&[0x04, 0x85, 0, 0, 0, 0, 1], DerError::Length);
        refuses(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], DerError::Truncated);
        refuses(&[0x04, 0x02, 0x00], DerError::Truncated);
        refuses(&[0x1f, 0x81, 0x00, 0x00], DerError::LongTag);
        refuses(&[], DerError::Truncated);
    }

    #[test]
    fn an_element_keeps_its_raw_bytes_and_leaves_the_rest() {
        let mut reader = Reader::new(&[0x04, 0x01, 0xaa, 0x05, 0x00]);
        let element = reader.any().unwrap();
        assert_eq!((element.tag, element.content, element.raw), (OCTET_STRING, &[0xaa][..], &[0x04, 0x01, 0xaa][..]));
        assert_eq!(reader.finish(), Err(DerError::Trailing));
    }

    #[test]
    fn values_have_one_form() {
        assert!(Reader::new(&[0x02, 0x02, 0x00, 0x7f]).integer().is_err());
        assert!(Reader::new(&[0x02, 0x02, 0xff, 0x80]).integer().is_err());
        assert!(Reader::new(&[0x02, 0x00]).integer().is_err());
        assert_eq!(Reader::new(&[0x02, 0x02, 0x00, 0x80]).small(), Ok(128));
        assert!(Reader::new(&[0x02, 0x01, 0x80]).small().is_err());
        assert!(Reader::new(&[0x01, 0x01, 0x01]).boolean().is_err());
        assert!(Reader::new(&[0x01, 0x01, 0x00]).flag().is_err(), "a default is not written");
        assert!(Reader::new(&[0x06, 0x02, 0x80, 0x01]).oid().is_err());
        assert!(Reader::new(&[0x06, 0x01, 0x81]).oid().is_err());
        assert!(Reader::new(&[0x03, 0x02, 0x01, 0x01]).named_bits().is_err());
        assert_eq!(Reader::new(&[0x03, 0x02, 0x05, 0xa0]).named_bits(), Ok(0xa000));
    }
}
