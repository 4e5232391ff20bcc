//! Working time: how much of a span falls into office hours. Pure: days off and make-up days are arguments.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::time::Timestamp;

const SECONDS_PER_DAY: i64 = 86_400;
/// Vietnam has one zone without summer time.
const UTC_OFFSET_SECONDS: i64 = 7 * 3_600;
/// 07:30–11:30 and 13:30–17:00.
const OFFICE_HOURS: [(i64, i64); 2] = [(27_000, 41_400), (48_600, 61_200)];
/// Beyond this only the end of a span counts.
const DAYS_MAX: i64 = 20 * 366;

/// A day of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(i64);

/// When people work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkingTime {
    utc_offset_seconds: i64,
    /// From and until, in seconds of the day, in order.
    hours: Vec<(i64, i64)>,
    days_off: BTreeSet<Day>,
    make_up_days: BTreeSet<Day>,
}

impl Day {
    /// Reads `2026-02-16`.
    pub fn parse(text: &str) -> Option<Self> {
        let date: jiff::civil::Date = text.parse().ok()?;
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        Some(Self(midnight.as_second().div_euclid(SECONDS_PER_DAY)))
    }

    /// Monday to Friday. The first day of 1970 was a Thursday.
    fn is_weekday(self) -> bool {
        (self.0 + 3).rem_euclid(7) < 5
    }
}

impl Default for WorkingTime {
    /// Office hours without holidays.
    fn default() -> Self {
        Self::office([], [])
    }
}

impl WorkingTime {
    /// Office hours of Vietnamese agencies, 07:30–11:30 and 13:30–17:00 from Monday to Friday at UTC+7, without the days off and with the
    /// make-up days (weekends on which people work for a day off).
    pub fn office(days_off: impl IntoIterator<Item = Day>, make_up_days: impl IntoIterator<Item = Day>) -> Self {
        Self {
            utc_offset_seconds: UTC_OFFSET_SECONDS,
            hours: OFFICE_HOURS.to_vec(),
            days_off: days_off.into_iter().collect(),
            make_up_days: make_up_days.into_iter().collect(),
        }
    }

    /// Whether people work on this day.
    pub fn works_on(&self, day: Day) -> bool {
        !self.days_off.contains(&day) && (day.is_weekday() || self.make_up_days.contains(&day))
    }

    /// How much working time lies between two instants.
    pub fn between(&self, from: Timestamp, until: Timestamp) -> Duration {
        let (from, until) = (self.local(from), self.local(until));
        let last = until.div_euclid(MICROS_PER_DAY);
        let first = from.div_euclid(MICROS_PER_DAY).max(last.saturating_sub(DAYS_MAX));
        let mut worked = 0;
        for day in (first..=last).filter(|day| self.works_on(Day(*day))) {
            let midnight = day.saturating_mul(MICROS_PER_DAY);
            for (begin, end) in &self.hours {
                let begin = midnight.saturating_add(begin * 1_000_000).max(from);
                let end = midnight.saturating_add(end * 1_000_000).min(until);
                worked += end.saturating_sub(begin).max(0);
            }
        }
        Duration::from_micros(u64::try_from(worked).unwrap_or(0))
    }

    fn local(&self, at: Timestamp) -> i64 {
        at.micros().saturating_add(self.utc_offset_seconds * 1_000_000)
    }
}

const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02 is a Monday.
    fn at(text: &str) -> Timestamp {
        Timestamp::parse(&format!("{text}:00+07:00")).unwrap()
    }

    fn check(calendar: &WorkingTime, from: &str, until: &str, minutes: u64) {
        let worked = calendar.between(at(from), at(until));
        assert_eq!(worked, Duration::from_secs(minutes * 60), "{from} to {until}");
    }

    #[test]
    fn only_office_hours_count() {
        let office = WorkingTime::default();
        check(&office, "2026-03-02T08:00", "2026-03-02T09:00", 60);
        check(&office, "2026-03-02T06:00", "2026-03-02T08:00", 30);
        check(&office, "2026-03-02T11:00", "2026-03-02T14:00", 60);
        check(&office, "2026-03-02T00:00", "2026-03-03T00:00", 450);
        check(&office, "2026-03-02T17:00", "2026-03-03T07:30", 0);
        check(&office, "2026-03-02T09:00", "2026-03-02T08:00", 0);
    }

    #[test]
    fn weekends_and_days_off_do_not_count_and_make_up_days_do() {
        check(&WorkingTime::default(), "2026-03-06T16:00", "2026-03-09T08:00", 90);
        let day = |text| Day::parse(text).unwrap();
        let calendar = WorkingTime::office([day("2026-03-09")], [day("2026-03-07")]);
        check(&calendar, "2026-03-06T16:00", "2026-03-07T08:30", 120);
        check(&calendar, "2026-03-08T00:00", "2026-03-10T08:00", 30);
    }

    #[test]
    fn a_day_is_written_in_one_way() {
        assert!(Day::parse("2026-02-29").is_none() && Day::parse("1/3/2026").is_none() && Day::parse("").is_none());
        assert!(Day::parse("2028-02-29").is_some());
    }

    #[test]
    fn the_longest_span_is_counted_within_bounds() {
        let worked = WorkingTime::default().between(Timestamp::MIN, at("2026-03-02T09:00"));
        assert!(worked > Duration::from_secs(20 * 250 * 7 * 3_600));
        assert!(WorkingTime::default().between(Timestamp::MIN, Timestamp::MAX) > Duration::ZERO);
    }
}
