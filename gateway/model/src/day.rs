//! Days of the calendar, as people at UTC+7 count them.

use std::fmt;

use crate::time::Timestamp;

const SECONDS_PER_DAY: i64 = 86_400;
/// Microseconds of a day: Vietnam has one zone without summer time, so every day has as many.
pub(crate) const MICROS_PER_DAY: i128 = 86_400_000_000;
/// UTC+7.
pub(crate) const UTC_OFFSET_MICROS: i128 = 7 * 3_600_000_000;

/// A day of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// Reads `2026-02-16`. A day has one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let date: jiff::civil::Date = text.parse().ok()?;
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        let day = Self(midnight.as_second().div_euclid(SECONDS_PER_DAY));
        (text.len() == 10 && day.to_string() == text).then_some(day)
    }

    /// The day on which an instant falls.
    pub fn of(at: Timestamp) -> Self {
        let local = i128::from(at.micros()) + UTC_OFFSET_MICROS;
        // Microseconds of 64 bits are 10^8 days.
        Self(i64::try_from(local.div_euclid(MICROS_PER_DAY)).unwrap_or(i64::MAX))
    }

    /// Its midnight; saturates.
    pub fn start(self) -> Timestamp {
        self.at(0)
    }

    /// Later by whole days; saturates.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// How many days after `earlier` this is; negative when it is before.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Monday to Friday.
    pub fn is_weekday(self) -> bool {
        self.monday_based().rem_euclid(7) < 5
    }

    /// Weekdays from a fixed Monday up to this day, this day not counted; negative before that Monday.
    pub(crate) fn weekdays_before(self) -> i128 {
        let day = i128::from(self.monday_based());
        day.div_euclid(7) * 5 + day.rem_euclid(7).min(5)
    }

    /// The instant at so many microseconds of the day; saturates.
    pub(crate) fn at(self, micros: i128) -> Timestamp {
        let instant = i128::from(self.0) * MICROS_PER_DAY + micros - UTC_OFFSET_MICROS;
        let saturated = if instant < 0 { i64::MIN } else { i64::MAX };
        Timestamp::from_micros(i64::try_from(instant).unwrap_or(saturated))
    }

    /// Days since a Monday: the first day of 1970 was a Thursday.
    fn monday_based(self) -> i64 {
        self.0.saturating_add(3)
    }
}

impl fmt::Display for Day {
    /// As [`Day::parse`] reads it; days of no written year as their number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0.saturating_mul(SECONDS_PER_DAY)) {
            Ok(midnight) => write!(f, "{}", midnight.to_zoned(jiff::tz::TimeZone::UTC).date()),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_one_way() {
        for bad in
            ["2026-02-29", "1/3/2026", "", "20260301", "2026-3-1", "2026-03-01T00:00", "2026-W10-1", "-002026-03-01"]
        {
            assert!(Day::parse(bad).is_none(), "{bad}");
        }
        for good in ["2028-02-29", "1970-01-01", "0001-01-01", "9999-12-30"] {
            assert_eq!(Day::parse(good).map(|day| day.to_string()).as_deref(), Some(good));
        }
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_own_zone() {
        let day = Day::parse("2026-03-02").unwrap();
        assert_eq!(day.start().to_string(), "2026-03-01T17:00:00Z");
        assert_eq!(Day::of(day.start()), day);
        assert_eq!(Day::of(Timestamp::from_micros(day.start().micros() - 1)), day.plus(-1));
        assert!(day.is_weekday() && !day.plus(-1).is_weekday() && !day.plus(-2).is_weekday());
    }

    #[test]
    fn the_ends_of_time_have_days_too() {
        assert!(Day::of(Timestamp::MIN) < Day::of(Timestamp::MAX));
        assert!(Day::of(Timestamp::MAX).to_string().starts_with("day "));
        assert_eq!(Day::of(Timestamp::MAX).plus(i64::MAX).start(), Timestamp::MAX);
    }
}
