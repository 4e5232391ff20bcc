//! Distinguished names compared as RFC 5280 section 7.1 asks: case, white space and the kind of string do not matter.

use crate::der::{DerError, OID, Reader, SEQUENCE, SET};

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;
/// Attributes in one name; real ones have fewer than ten.
const ATTRIBUTES_MAX: usize = 64;

/// A name in the form in which two equal names have equal bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CanonicalName(Box<[u8]>);

impl CanonicalName {
    /// Reads a Name: the whole SEQUENCE with tag and length.
    ///
    /// # Errors
    /// When it is not a Name in DER.
    pub fn read(name: &[u8]) -> Result<Self, DerError> {
        let mut rdns = crate::der::single(name, SEQUENCE)?;
        let mut out = Vec::with_capacity(name.len());
        let mut count = 0usize;
        while !rdns.is_empty() {
            let mut attributes = Vec::new();
            let mut set = rdns.enter(SET)?;
            while !set.is_empty() {
                count = count.saturating_add(1);
                if count > ATTRIBUTES_MAX {
                    return Err(DerError::TooMany(ATTRIBUTES_MAX));
                }
                attributes.push(canonical_attribute(set.enter(SEQUENCE)?)?);
            }
            attributes.sort();
            out.push(b'/');
            put_length(&mut out, attributes.len());
            for attribute in attributes {
                put_length(&mut out, attribute.len());
                out.extend_from_slice(&attribute);
            }
        }
        Ok(Self(out.into_boxed_slice()))
    }

    /// Whether it has no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn canonical_attribute(mut attribute: Reader<'_>) -> Result<Vec<u8>, DerError> {
    let kind = attribute.element(OID)?;
    let value = attribute.any()?;
    attribute.finish()?;
    let mut out = kind.raw.to_vec();
    match text_of(value.tag, value.content) {
        Some(text) => {
            out.push(UTF8_STRING);
            fold(&text, &mut out);
        }
        None => out.extend_from_slice(value.raw),
    }
    Ok(out)
}

/// The text of a directory string of any kind; `None` for other values, which are compared byte for byte.
fn text_of(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING => std::str::from_utf8(content).ok().map(str::to_owned),
        PRINTABLE_STRING | IA5_STRING | VISIBLE_STRING => {
            content.is_ascii().then(|| content.iter().copied().map(char::from).collect())
        }
        TELETEX_STRING => Some(content.iter().copied().map(char::from).collect()),
        BMP_STRING => {
            let units: Vec<u16> = pairs(content)?;
            String::from_utf16(&units).ok()
        }
        UNIVERSAL_STRING => {
            let (chunks, rest) = content.as_chunks::<4>();
            rest.is_empty().then_some(())?;
            chunks.iter().map(|chunk| char::from_u32(u32::from_be_bytes(*chunk))).collect()
        }
        _ => None,
    }
}

fn pairs(content: &[u8]) -> Option<Vec<u16>> {
    let (chunks, rest) = content.as_chunks::<2>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| u16::from_be_bytes(*chunk)).collect())
}

/// Lower case, inner runs of white space as one space, none at the ends.
fn fold(text: &str, out: &mut Vec<u8>) {
    let mut words = text.split(|c: char| c.is_ascii_whitespace()).filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend(first.bytes().map(|b| b.to_ascii_lowercase()));
    }
    for word in words {
        out.push(b' ');
        out.extend(word.bytes().map(|b| b.to_ascii_lowercase()));
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

/// A line a person can read, such as `CN=Sở Tài nguyên, O=…`; best effort, for reports only.
pub fn readable(name: &[u8]) -> String {
    let mut words = Vec::new();
    let Ok(mut rdns) = crate::der::single(name, SEQUENCE) else { return String::new() };
    while let Ok(set) = rdns.expect(SET) {
        let mut attributes = Reader::new(set);
        while let Ok(mut attribute) = attributes.enter(SEQUENCE) {
            let (Ok(kind), Ok(value)) = (attribute.expect(OID), attribute.any()) else { continue };
            let text = text_of(value.tag, value.content).unwrap_or_else(|| hex::encode(value.content));
            let text: String = text.chars().filter(|c| !c.is_control()).take(128).collect();
            words.push(format!("{}={text}", label(kind)));
        }
    }
    words.join(", ")
}

fn label(kind: &[u8]) -> String {
    match kind {
        [0x55, 0x04, 0x03] => "CN".to_owned(),
        [0x55, 0x04, 0x05] => "serialNumber".to_owned(),
        [0x55, 0x04, 0x06] => "C".to_owned(),
        [0x55, 0x04, 0x07] => "L".to_owned(),
        [0x55, 0x04, 0x08] => "ST".to_owned(),
        [0x55, 0x04, 0x0a] => "O".to_owned(),
        [0x55, 0x04, 0x0b] => "OU".to_owned(),
        [0x55, 0x04, 0x0c] => "title".to_owned(),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "emailAddress".to_owned(),
        other => hex::encode(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(tag: u8, text: &str) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let value = wrap(tag, text.as_bytes());
        let attribute = wrap(SEQUENCE, &[&[0x06, 0x03, 0x55, 0x04, 0x03], value.as_slice()].concat());
        wrap(SEQUENCE, &wrap(SET, &attribute))
    }

    #[test]
    fn case_spaces_and_the_kind_of_string_do_not_matter() {
        let one = CanonicalName::read(&name(UTF8_STRING, "Issuing  CA ")).unwrap();
        assert_eq!(one, CanonicalName::read(&name(PRINTABLE_STRING, " issuing ca")).unwrap());
        assert_ne!(one, CanonicalName::read(&name(PRINTABLE_STRING, "issuingca")).unwrap());
    }

    #[test]
    fn a_name_reads_as_a_line() {
        assert_eq!(readable(&name(UTF8_STRING, "Sở\u{7}TN")), "CN=SởTN");
    }
}
