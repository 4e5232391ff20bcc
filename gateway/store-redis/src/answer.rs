//! Answers of Redis taken apart, each by the shape that is expected of it.

use bytes::Bytes;
use redis::Value;

use crate::codec::Damaged;

/// A list; what is not there is an empty one.
pub(crate) fn list(value: Value) -> Result<Vec<Value>, Damaged> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        _ => Err(odd()),
    }
}

/// A list of a known length.
pub(crate) fn fixed<const N: usize>(value: Value) -> Result<[Value; N], Damaged> {
    list(value)?.try_into().map_err(|_| odd())
}

/// Bytes, or nothing.
pub(crate) fn optional(value: Value) -> Result<Option<Bytes>, Damaged> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::Nil => Ok(None),
        _ => Err(odd()),
    }
}

/// Bytes.
pub(crate) fn bytes(value: Value) -> Result<Bytes, Damaged> {
    optional(value)?.ok_or_else(odd)
}

/// Text.
pub(crate) fn text(value: Value) -> Result<String, Damaged> {
    String::from_utf8(bytes(value)?.to_vec()).map_err(|_| odd())
}

/// A number.
pub(crate) fn number(value: Value) -> Result<u64, Damaged> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| odd()),
        _ => Err(odd()),
    }
}

/// The score of a member: a wake-up in microseconds.
pub(crate) fn score(value: Value) -> Result<i64, Damaged> {
    #[allow(clippy::cast_possible_truncation)]
    // A score is a whole number of microseconds; beyond 2^53 it is the nearest one.
    let read = |text: String| text.parse::<f64>().ok().map(|score| score as i64);
    match value {
        #[allow(clippy::cast_possible_truncation)] // The same.
        Value::Double(score) => Ok(score as i64),
        other => read(text(other)?).ok_or_else(odd),
    }
}

fn odd() -> Damaged {
    Damaged::at("an answer of Redis")
}
