//! A small writer of DER: what one CMS SignedData needs.

use gateway_model::Timestamp;

pub(super) const NULL: u8 = 0x05;
pub(super) const SET: u8 = 0x31;
pub(super) const CONTEXT_0: u8 = 0xA0;
pub(super) const CONTEXT_4: u8 = 0xA4;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// Tag, length, value.
pub(super) fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    if value.len() < 0x80 {
        out.push(value.len() as u8);
    } else {
        let length = value.len().to_be_bytes();
        let used = length.iter().skip_while(|&&byte| byte == 0).count();
        out.push(0x80 | used as u8);
        out.extend_from_slice(&length[length.len() - used..]);
    }
    out.extend_from_slice(value);
    out
}

/// SEQUENCE of the pieces in their order.
pub(super) fn sequence(pieces: &[Vec<u8>]) -> Vec<u8> {
    element(SEQUENCE, &pieces.concat())
}

/// The pieces one after the other, sorted as the DER of a SET OF wants.
pub(super) fn sorted(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut pieces = pieces.to_vec();
    pieces.sort_unstable();
    pieces.concat()
}

/// OCTET STRING.
pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    element(OCTET_STRING, bytes)
}

/// INTEGER below 128.
pub(super) fn small_integer(value: u8) -> Vec<u8> {
    element(INTEGER, &[value])
}

/// INTEGER from a non-negative number in big-endian bytes.
pub(super) fn integer(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|&&byte| byte == 0).count();
    let digits = &big_endian[zeros..];
    let pad: &[u8] = if digits.first().is_none_or(|&byte| byte >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[pad, digits].concat())
}

/// OBJECT IDENTIFIER from the dotted text of a constant.
pub(super) fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').filter_map(|arc| arc.parse().ok()).collect();
    let mut value = Vec::new();
    if let [first, second, rest @ ..] = arcs.as_slice() {
        push_base128(&mut value, first * 40 + second);
        rest.iter().for_each(|&arc| push_base128(&mut value, arc));
    }
    element(OBJECT_IDENTIFIER, &value)
}

/// UTCTime until 2049, GeneralizedTime afterwards (RFC 5652 section 11.3).
pub(super) fn time(at: Timestamp) -> Vec<u8> {
    // RFC 3339 text of whole seconds without its punctuation: YYYYMMDDHHMMSSZ.
    let text: String =
        Timestamp::from_seconds(at.seconds()).to_string().chars().filter(|c| c.is_ascii_digit()).collect();
    match text.get(2..) {
        Some(short) if ("1950".."2050").contains(&&text[..4]) => element(UTC_TIME, format!("{short}Z").as_bytes()),
        _ => element(GENERALIZED_TIME, format!("{text}Z").as_bytes()),
    }
}

fn push_base128(out: &mut Vec<u8>, value: u64) {
    let groups = (u64::BITS - value.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let more = if group == 0 { 0 } else { 0x80 };
        out.push((value >> (7 * group)) as u8 & 0x7F | more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lengths_and_times_have_their_shortest_form() {
        let check = |made: Vec<u8>, expected: &str| assert_eq!(hex(&made), expected);
        check(integer(&[0]), "020100");
        check(integer(&[0, 0, 0x80]), "02020080");
        check(integer(&[0x7f]), "02017f");
        check(oid("1.2.840.113549"), "06062a864886f70d");
        check(oid("2.16.840.1.101"), "060560864801 65".replace(' ', "").as_str());
        check(element(4, &[0; 127])[..2].to_vec(), "047f");
        check(element(4, &[0; 128])[..3].to_vec(), "048180");
        check(element(4, &[0; 256])[..4].to_vec(), "04820100");
        check(time(Timestamp::from_seconds(1_791_443_106)), &format!("170d{}", hex(b"261008070506Z")));
        check(time(Timestamp::from_seconds(2_524_608_000)), &format!("180f{}", hex(b"20500101000000Z")));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
