//! Walks protobuf bytes along a table: every field known, of its wire type, and standing no more often than it may.

use gateway_model::{Reason, Refusal};

use super::schema::{Count, Field, Kind, Message};

/// Messages inside messages; the tables need three.
const DEPTH_MAX: usize = 8;
/// Field numbers of the tables stay below this.
const FIELD_NUMBERS: usize = 32;

/// Walks `bytes` as one `message`.
///
/// # Errors
/// The first field that is unknown, repeated or malformed, with its path.
pub(super) fn walk(message: &Message, bytes: &[u8]) -> Result<(), Refusal> {
    walk_at(message, bytes, DEPTH_MAX).map_err(Fault::into_refusal)
}

/// A fault and the way to it, put together from the inside outwards.
struct Fault {
    reason: Reason,
    path: String,
    what: &'static str,
}

impl Fault {
    fn malformed(what: &'static str) -> Self {
        Self { reason: Reason::EnvelopeMalformed, path: String::new(), what }
    }

    fn at(mut self, step: &str) -> Self {
        self.path = match self.path.is_empty() {
            true => step.to_owned(),
            false => format!("{step}.{}", self.path),
        };
        self
    }

    fn into_refusal(self) -> Refusal {
        Refusal::new(self.reason).at(self.path).saw(self.what)
    }
}

fn walk_at(message: &Message, bytes: &[u8], depth: usize) -> Result<(), Fault> {
    let depth = depth.checked_sub(1).ok_or_else(|| Fault::malformed("messages are nested too deeply"))?;
    let mut counts = [0u32; FIELD_NUMBERS];
    let mut arm: Option<u32> = None;
    let mut cursor = Cursor { rest: bytes };
    while !cursor.rest.is_empty() {
        let (number, wire_type) = cursor.key()?;
        let Some(field) = message.fields.iter().find(|field| field.number == number) else {
            return Err(Fault {
                reason: Reason::EnvelopeFieldUnknown,
                path: number.to_string(),
                what: "a field that the schema does not have",
            });
        };
        let earlier = usize::try_from(number).ok().and_then(|slot| counts.get_mut(slot));
        let earlier = earlier.ok_or_else(|| Fault::malformed("a field number above the tables"))?;
        let position = *earlier;
        *earlier = position.saturating_add(1);
        let is_second_arm = field.count == Count::OneOf && arm.is_some();
        if field.count != Count::Many && (position > 0 || is_second_arm) {
            return Err(Fault {
                reason: Reason::EnvelopeFieldRepeated,
                path: field.name.to_owned(),
                what: "it may stand once",
            });
        }
        if field.count == Count::OneOf {
            arm = Some(number);
        }
        check_value(field, wire_type, &mut cursor, depth).map_err(|fault| match field.count {
            Count::Many => fault.at(&format!("{}[{position}]", field.name)),
            Count::Once | Count::OneOf => fault.at(field.name),
        })?;
    }
    Ok(())
}

fn check_value(field: &Field, wire_type: WireType, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
    match (&field.kind, wire_type) {
        (Kind::Number, WireType::Varint) => cursor.varint().map(|_| ()),
        (Kind::Small, WireType::Varint) => {
            let value = cursor.varint()?.cast_signed();
            i32::try_from(value).map(|_| ()).map_err(|_| Fault::malformed("a number of more than 32 bits"))
        }
        (Kind::Bytes, WireType::Length) => cursor.length_delimited().map(|_| ()),
        (Kind::Text, WireType::Length) => {
            let text = std::str::from_utf8(cursor.length_delimited()?);
            text.map(|_| ()).map_err(|_| Fault::malformed("a text that is not UTF-8"))
        }
        (Kind::Message(inner), WireType::Length) => walk_at(inner, cursor.length_delimited()?, depth),
        _ => Err(Fault::malformed("another wire type than the field's")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WireType {
    Varint,
    Length,
    Other,
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn key(&mut self) -> Result<(u32, WireType), Fault> {
        let key = u32::try_from(self.varint()?).map_err(|_| Fault::malformed("a field number of more than 29 bits"))?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            2 => WireType::Length,
            1 | 5 => WireType::Other,
            _ => return Err(Fault::malformed("a group, or a wire type that does not exist")),
        };
        match key >> 3 {
            0 => Err(Fault::malformed("field number 0")),
            number => Ok((number, wire_type)),
        }
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for position in 0u32..10 {
            let (&byte, rest) =
                self.rest.split_first().ok_or_else(|| Fault::malformed("the bytes end inside a number"))?;
            self.rest = rest;
            if position == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f).wrapping_shl(position.saturating_mul(7));
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::malformed("a number of more than 64 bits"))
    }

    fn length_delimited(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.varint()?).map_err(|_| Fault::malformed("a length of more than 64 bits"))?;
        let (value, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| Fault::malformed("the bytes end inside a field"))?;
        self.rest = rest;
        Ok(value)
    }
}
