//! A small writer of DER: enough to make good CMS and X.509 by hand, and every bad one.

use rcgen::date_time_ymd;

use crate::Error;

/// Universal tags.
pub mod tag {
    #![allow(missing_docs)] // The names are those of X.680.
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    pub const ENUMERATED: u8 = 0x0A;
    pub const UTF8_STRING: u8 = 0x0C;
    pub const PRINTABLE_STRING: u8 = 0x13;
    pub const IA5_STRING: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
}

/// Writes one element: tag, length, value.
pub fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match value.len() {
        short @ 0..=0x7F => out.push(short as u8),
        long => {
            let bytes = long.to_be_bytes();
            let used = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
            out.push(0x80 | (bytes.len() - used) as u8);
            out.extend_from_slice(&bytes[used..]);
        }
    }
    out.extend_from_slice(value);
    out
}

/// SEQUENCE of the pieces in their order.
pub fn sequence<P: AsRef<[u8]>>(pieces: &[P]) -> Vec<u8> {
    element(tag::SEQUENCE, &joined(pieces))
}

/// SET OF the pieces, sorted as DER wants.
pub fn set_of<P: AsRef<[u8]>>(pieces: &[P]) -> Vec<u8> {
    element(tag::SET, &sorted(pieces))
}

/// The pieces one after the other, sorted as the DER of a SET OF wants.
pub fn sorted<P: AsRef<[u8]>>(pieces: &[P]) -> Vec<u8> {
    let mut pieces: Vec<&[u8]> = pieces.iter().map(AsRef::as_ref).collect();
    pieces.sort_unstable();
    pieces.concat()
}

/// OBJECT IDENTIFIER from its dotted text.
pub fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().unwrap_or_default()).collect();
    let mut value = Vec::new();
    if let [first, second, rest @ ..] = arcs.as_slice() {
        push_base128(&mut value, first * 40 + second);
        rest.iter().for_each(|&arc| push_base128(&mut value, arc));
    }
    element(tag::OBJECT_IDENTIFIER, &value)
}

/// INTEGER from a non-negative number in big-endian bytes.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let digits = &bytes[bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len())..];
    let mut value = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|&byte| byte >= 0x80) {
        value.push(0);
    }
    value.extend_from_slice(digits);
    element(tag::INTEGER, &value)
}

/// INTEGER from a small number.
pub fn number(value: u8) -> Vec<u8> {
    unsigned(&[value])
}

/// OCTET STRING.
pub fn octets(bytes: &[u8]) -> Vec<u8> {
    element(tag::OCTET_STRING, bytes)
}

/// BIT STRING without unused bits.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], bytes].concat())
}

/// BIT STRING of named bits: trailing zero bits are left out.
pub fn named_bits(set: &[u8]) -> Vec<u8> {
    let Some(&highest) = set.iter().max() else { return element(tag::BIT_STRING, &[0]) };
    let mut value = vec![7 - highest % 8];
    value.resize(usize::from(highest / 8) + 2, 0);
    for &bit in set {
        value[usize::from(bit / 8) + 1] |= 0x80 >> (bit % 8);
    }
    element(tag::BIT_STRING, &value)
}

/// BOOLEAN TRUE.
pub fn yes() -> Vec<u8> {
    element(tag::BOOLEAN, &[0xFF])
}

/// NULL.
pub fn null() -> Vec<u8> {
    element(tag::NULL, &[])
}

/// `[number]` around a whole element, or in place of the tag of a constructed one.
pub fn context(number: u8, inner: &[u8]) -> Vec<u8> {
    element(0xA0 | number, inner)
}

/// `[number] IMPLICIT` in place of the tag of a primitive element.
pub fn context_primitive(number: u8, value: &[u8]) -> Vec<u8> {
    element(0x80 | number, value)
}

/// Time of X.509 and CMS: UTCTime through 2049, GeneralizedTime after.
///
/// # Errors
/// [`Error::Time`] before 1970 and after 9999.
pub fn time(unix_seconds: i64) -> Result<Vec<u8>, Error> {
    let (year, rest) = calendar(unix_seconds)?;
    Ok(match year {
        ..=2049 => element(tag::UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes()),
        _ => element(tag::GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes()),
    })
}

fn calendar(unix_seconds: i64) -> Result<(i32, String), Error> {
    const YEAR_9999_END: i64 = 253_402_300_799;
    let refused = || Error::Time(unix_seconds);
    if unix_seconds > YEAR_9999_END {
        return Err(refused());
    }
    let since = std::time::Duration::from_secs(u64::try_from(unix_seconds).map_err(|_| refused())?);
    let at = date_time_ymd(1970, 1, 1) + since;
    let month = u8::from(at.month());
    let rest = format!("{month:02}{:02}{:02}{:02}{:02}Z", at.day(), at.hour(), at.minute(), at.second());
    Ok((at.year(), rest))
}

fn joined<P: AsRef<[u8]>>(pieces: &[P]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.as_ref().iter().copied()).collect()
}

fn push_base128(out: &mut Vec<u8>, value: u64) {
    let groups = (1..10).take_while(|&group| value >> (7 * group) != 0).count();
    for group in (0..=groups).rev() {
        let more = if group == 0 { 0 } else { 0x80 };
        out.push(more | (value >> (7 * group)) as u8 & 0x7F);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_short_form_when_they_can() {
        assert_eq!(element(tag::OCTET_STRING, &[7; 127])[..2], [0x04, 0x7F]);
        assert_eq!(element(tag::OCTET_STRING, &[7; 128])[..3], [0x04, 0x81, 0x80]);
        assert_eq!(element(tag::OCTET_STRING, &[7; 300])[..4], [0x04, 0x82, 0x01, 0x2C]);
    }

    #[test]
    fn numbers_are_positive_and_minimal() {
        assert_eq!(number(0), [0x02, 0x01, 0x00]);
        assert_eq!(number(0x80), [0x02, 0x02, 0x00, 0x80]);
        assert_eq!(unsigned(&[0, 0, 0x7F]), [0x02, 0x01, 0x7F]);
    }

    #[test]
    fn identifiers_are_those_that_openssl_writes() {
        for dotted in ["1.2.840.113549.1.7.2", "2.5.29.15", "2.999.3", "1.3.101.112"] {
            let expected = openssl::asn1::Asn1Object::from_str(dotted).unwrap();
            assert_eq!(&oid(dotted)[2..], expected.as_slice(), "{dotted}");
        }
    }

    #[test]
    fn named_bits_leave_trailing_zeros_out() {
        assert_eq!(named_bits(&[0, 1]), [0x03, 0x02, 0x06, 0xC0]);
        assert_eq!(named_bits(&[5, 6]), [0x03, 0x02, 0x01, 0x06]);
        assert_eq!(named_bits(&[8]), [0x03, 0x03, 0x07, 0x00, 0x80]);
    }

    #[test]
    fn times_change_their_form_in_2050() {
        assert_eq!(time(2_524_607_999).unwrap(), element(tag::UTC_TIME, b"491231235959Z"));
        assert_eq!(time(2_524_608_000).unwrap(), element(tag::GENERALIZED_TIME, b"20500101000000Z"));
        assert!(matches!(time(-1), Err(Error::Time(-1))));
    }
}
