//! How values are read that one system writes as text and the other as a number.

use gateway_model::limits;
use serde::{Deserialize, Deserializer, de};
use unicode_normalization::UnicodeNormalization;

use super::Moment;
use super::moment::not_a_day;

/// No count of papers is larger.
const COUNT_MAX: u32 = 100_000;
/// No piece of land has more square metres: the country has fewer.
const AREA_MAX: f64 = 400_000_000_000.0;

/// A value as JSON has it, for those that are read one way or the other.
#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Flag(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    Nothing(()),
}

/// A text; a number is one too, and `null` is empty. In NFC and within the bound of a text.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = match Raw::deserialize(deserializer)? {
        Raw::Text(text) => text.trim().nfc().collect(),
        Raw::Whole(number) => number.to_string(),
        Raw::Number(number) => number.to_string(),
        Raw::Flag(flag) => flag.to_string(),
        Raw::Nothing(()) => String::new(),
    };
    if text.len() > limits::TEXT_BYTES_MAX {
        return Err(de::Error::custom(format!("a text has more than {} bytes", limits::TEXT_BYTES_MAX)));
    }
    Ok(text)
}

/// A flag; 0 and 1 and their texts are flags too, `null` is false.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Raw::deserialize(deserializer)? {
        Raw::Flag(flag) => Ok(flag),
        Raw::Whole(0) | Raw::Nothing(()) => Ok(false),
        Raw::Whole(1) => Ok(true),
        Raw::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" | "" => Ok(false),
            _ => Err(de::Error::custom("a flag is true or false")),
        },
        Raw::Whole(_) | Raw::Number(_) => Err(de::Error::custom("a flag is true or false")),
    }
}

/// How many; absent is none.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let count = whole(deserializer)?;
    u32::try_from(count).ok().filter(|count| *count <= COUNT_MAX).ok_or_else(|| de::Error::custom("no sane count"))
}

/// A whole number; absent is 0.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    match Raw::deserialize(deserializer)? {
        Raw::Whole(number) => Ok(number),
        Raw::Flag(flag) => Ok(i64::from(flag)),
        Raw::Nothing(()) => Ok(0),
        Raw::Text(text) if text.trim().is_empty() => Ok(0),
        Raw::Text(text) => text.trim().parse().map_err(|_| de::Error::custom("a whole number is expected")),
        Raw::Number(_) => Err(de::Error::custom("a whole number is expected")),
    }
}

/// An area in square metres, with a point or a comma before the fraction; absent is 0.
pub(super) fn area<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let area = match Raw::deserialize(deserializer)? {
        Raw::Number(number) => number,
        Raw::Whole(number) => u32::try_from(number).map_or(f64::from(u32::MAX), f64::from),
        Raw::Nothing(()) => 0.0,
        Raw::Text(text) if text.trim().is_empty() => 0.0,
        Raw::Text(text) => {
            text.trim().replace(',', ".").parse().map_err(|_| de::Error::custom("an area is a number"))?
        }
        Raw::Flag(_) => return Err(de::Error::custom("an area is a number")),
    };
    if (0.0..=AREA_MAX).contains(&area) { Ok(area) } else { Err(de::Error::custom("no sane area")) }
}

/// A day that may be absent: `null`, nothing, and the first day of a platform's calendar all mean that.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Moment>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) if text.trim().is_empty() => Ok(None),
        Some(text) => match Moment::parse(&text) {
            Some(moment) => Ok(Some(moment).filter(|moment| !moment.is_none())),
            None => Err(de::Error::custom(not_a_day(&text))),
        },
    }
}

/// A list; `null` is empty.
pub(super) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// The bytes of a file in base64, or what stands for them; `null` is none.
pub(super) fn data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// A structure; `null` is one with nothing in it.
pub(super) fn nested<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
