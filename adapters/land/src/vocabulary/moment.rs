//! A day, with or without the time of day, in Vietnam's local time; the forms in which the systems write it.

use std::fmt;

use gateway_model::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Vietnam has had one zone without summer time since 1975.
const VIETNAM: Offset = Offset::constant(7);
/// No text of a day or an instant is longer.
const TEXT_BYTES_MAX: usize = 40;

/// A day that exists, with or without the time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    day: Date,
    time: Option<Time>,
}

impl Moment {
    /// Reads `dd/MM/yyyy`, `yyyy-MM-dd`, `yyyy/MM/dd`, each with or without a time of day, or ISO 8601 with a zone. `None` for anything
    /// else, and for days that no calendar has.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX || !text.is_ascii() {
            return None;
        }
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            let local = VIETNAM.to_datetime(instant);
            return Some(Self { day: local.date(), time: Some(local.time()) });
        }
        let (day, time) = match text.split_once(['T', ' ']) {
            Some((day, time)) => (day, Some(time.trim())),
            None => (text, None),
        };
        Some(Self { day: parse_day(day)?, time: time.map(parse_time).transpose().ok()? })
    }

    /// The moment of an instant.
    pub fn of(at: Timestamp) -> Option<Self> {
        let local = VIETNAM.to_datetime(jiff::Timestamp::from_second(at.seconds()).ok()?);
        Some(Self { day: local.date(), time: Some(local.time()) })
    }

    /// A whole day, as `yyyy-MM-dd`.
    pub fn from_day(text: &str) -> Option<Self> {
        parse_day(text).map(|day| Self { day, time: None })
    }

    /// The day, as `yyyy-MM-dd`.
    pub fn day(&self) -> String {
        self.day.to_string()
    }

    /// The instant; the first of the day when no time is said.
    pub fn at(&self) -> Option<Timestamp> {
        let local = DateTime::from_parts(self.day, self.time.unwrap_or(Time::midnight()));
        let zoned = TimeZone::fixed(VIETNAM).to_zoned(local).ok()?;
        Some(Timestamp::from_micros(zoned.timestamp().as_microsecond()))
    }

    /// The day that systems write for "none": the first of the calendar of their platform.
    pub fn is_none(&self) -> bool {
        self.day.year() <= 1900
    }
}

fn parse_day(text: &str) -> Option<Date> {
    let pieces: Vec<&str> = text.split(['/', '-']).collect();
    let [first, second, third] = pieces.as_slice() else { return None };
    let (year, month, day) = match (first.len(), third.len()) {
        (4, 1..=2) => (first, second, third),
        (1..=2, 4) => (third, second, first),
        _ => return None,
    };
    Date::new(number(year)?, i8::try_from(number(month)?).ok()?, i8::try_from(number(day)?).ok()?).ok()
}

/// `HH:mm`, `HH:mm:ss` or `HH:mm:ss.fff`, without a zone.
fn parse_time(text: &str) -> Result<Time, ()> {
    let whole = text.split('.').next().unwrap_or_default();
    let mut pieces = whole.split(':').map(|piece| number(piece).and_then(|n| i8::try_from(n).ok()).ok_or(()));
    let (hour, minute) = (pieces.next().ok_or(())??, pieces.next().ok_or(())??);
    let second = pieces.next().unwrap_or(Ok(0))?;
    if pieces.next().is_some() {
        return Err(());
    }
    Time::new(hour, minute, second, 0).map_err(drop)
}

fn number(text: &str) -> Option<i16> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            None => write!(f, "{}", self.day),
            Some(time) => {
                write!(f, "{}T{:02}:{:02}:{:02}+07:00", self.day, time.hour(), time.minute(), time.second())
            }
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(not_a_day(&text)))
    }
}

/// What is wrong with a text that is no day.
pub(super) fn not_a_day(text: &str) -> String {
    let shown: String = text.chars().take(TEXT_BYTES_MAX).collect();
    format!("\"{shown}\" is no day of the calendar; write dd/MM/yyyy, yyyy-MM-dd or ISO 8601 with a zone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_in_every_form_and_written_in_one() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Moment::parse(text).map(|moment| moment.to_string()).as_deref(), expected, "{text}");
        };
        check("08/10/2026", Some("2026-10-08"));
        check("8/10/2026", Some("2026-10-08"));
        check("2026-10-08", Some("2026-10-08"));
        check("2026/10/08", Some("2026-10-08"));
        check("08/10/2026 09:30", Some("2026-10-08T09:30:00+07:00"));
        check("2026-10-08T09:30:15", Some("2026-10-08T09:30:15+07:00"));
        check("2026-10-08T09:30:15.1234567", Some("2026-10-08T09:30:15+07:00"));
        check("2026-10-08T09:30:15+07:00", Some("2026-10-08T09:30:15+07:00"));
        check("2026-10-07T23:30:00Z", Some("2026-10-08T06:30:00+07:00"));
        check(" 2026-10-08 ", Some("2026-10-08"));
        for bad in [
            "30/02/2026",
            "2026-02-30",
            "2026-13-01",
            "00/10/2026",
            "08-10-26",
            "2026-10-08T25:00:00",
            "mai",
            "",
            "2026-10-08T9h",
            "08/10/2026/1",
            "８/10/2026",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn an_instant_is_that_of_vietnam() {
        let at = |text: &str| Moment::parse(text).unwrap().at().unwrap().to_string();
        assert_eq!(at("08/10/2026"), "2026-10-07T17:00:00Z");
        assert_eq!(at("2026-10-08T09:30:00"), "2026-10-08T02:30:00Z");
        let noon = Timestamp::parse("2026-10-08T05:00:00Z").unwrap();
        assert_eq!(Moment::of(noon).unwrap().to_string(), "2026-10-08T12:00:00+07:00");
        assert!(Moment::parse("0001-01-01T00:00:00").unwrap().is_none());
    }
}
