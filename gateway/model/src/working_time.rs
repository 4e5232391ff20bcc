//! Working time: exact arithmetic over office hours, days off and make-up days. Pure: the calendar is data, now is an argument.
//!
//! **Days and hours of a limit.** Limits are said in working days, and by law one working day is eight working hours; yet the usual office
//! hours are seven and a half a day. Were eight hours of a limit eight hours of the clock, a file taken in at 09:00 with one working day
//! would be due at 09:30 of the next, and half an hour later for each day more, which no appointment slip says. So a limit is counted in
//! working *days*: the same clock time so many working days later. An hour of a limit is an eighth of a day of office hours, whatever those
//! are ([`WorkingTime::allowance`]); eight of them are a working day again, and limits add up.
//!
//! **Where counting begins and ends.** What is taken in after closing counts from the next opening ([`WorkingTime::opens`]). The close of a
//! day and the next opening are one and the same moment of working time; a due time is the later of the two, as "the same clock time" asks
//! ([`WorkingTime::due`]): a file of one day that came at opening is due at the next opening. A due *day* ends at its close, and a day off
//! moves to the next working day ([`WorkingTime::end_of`]).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::day::{Day, MICROS_PER_DAY, UTC_OFFSET_MICROS};
use crate::time::Timestamp;

/// Working hours of a working day, by law.
pub const HOURS_PER_WORKING_DAY: u32 = 8;
/// 07:30–11:30 and 13:30–17:00, the usual hours.
const USUAL_HOURS: [OfficeHours; 2] =
    [OfficeHours { from_minute: 450, until_minute: 690 }, OfficeHours { from_minute: 810, until_minute: 1_020 }];
const MICROS_PER_MINUTE: i128 = 60_000_000;
const MINUTES_PER_DAY: u16 = 24 * 60;
/// More days than any instant has.
const DAYS_MAX: i128 = 400_000_000;

/// One span of office hours, in minutes of the day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfficeHours {
    /// First minute.
    pub from_minute: u16,
    /// Minute after the last.
    pub until_minute: u16,
}

/// When people work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkingTime {
    hours: Vec<OfficeHours>,
    days_off: BTreeSet<Day>,
    make_up_days: BTreeSet<Day>,
    /// Weekdays on which nobody works, and weekend days on which people do, in order.
    missing: Vec<Day>,
    extra: Vec<Day>,
}

/// Why working time does not hold together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkingTimeFault {
    /// There are no office hours, or they are empty, out of order, or not inside of one day.
    Hours,
    /// A day off that is to be worked as well.
    OffAndMadeUp(Day),
}

impl Default for WorkingTime {
    /// The usual hours from Monday to Friday, without days off: what counts where the directory names no calendar.
    fn default() -> Self {
        Self::new(USUAL_HOURS.to_vec(), [], [])
    }
}

impl WorkingTime {
    /// Office hours from Monday to Friday, without the days off and with the make-up days: weekend days on which people work for a day off.
    /// What does not hold together is told by [`WorkingTime::faults`]; a directory with such faults is not opened.
    pub fn new(
        hours: Vec<OfficeHours>,
        days_off: impl IntoIterator<Item = Day>,
        make_up_days: impl IntoIterator<Item = Day>,
    ) -> Self {
        let days_off: BTreeSet<Day> = days_off.into_iter().collect();
        let make_up_days: BTreeSet<Day> = make_up_days.into_iter().collect();
        let missing = days_off.iter().copied().filter(|day| day.is_weekday()).collect();
        let extra = make_up_days.iter().copied().filter(|day| !day.is_weekday() && !days_off.contains(day)).collect();
        Self { hours, days_off, make_up_days, missing, extra }
    }

    /// What does not hold together.
    pub fn faults(&self) -> Vec<WorkingTimeFault> {
        let mut end = 0;
        let mut in_order = !self.hours.is_empty();
        for hours in &self.hours {
            in_order &= end <= hours.from_minute && hours.from_minute < hours.until_minute;
            end = hours.until_minute;
        }
        let hours = (!in_order || end > MINUTES_PER_DAY).then_some(WorkingTimeFault::Hours);
        let both = self.days_off.intersection(&self.make_up_days).copied().map(WorkingTimeFault::OffAndMadeUp);
        hours.into_iter().chain(both).collect()
    }

    /// Office hours of a day, in order.
    pub fn hours(&self) -> &[OfficeHours] {
        &self.hours
    }

    /// Days on which nobody works.
    pub fn days_off(&self) -> &BTreeSet<Day> {
        &self.days_off
    }

    /// Weekend days on which people work instead.
    pub fn make_up_days(&self) -> &BTreeSet<Day> {
        &self.make_up_days
    }

    /// Whether people work on this day.
    pub fn works_on(&self, day: Day) -> bool {
        !self.days_off.contains(&day) && (day.is_weekday() || self.make_up_days.contains(&day))
    }

    /// Office hours of one day.
    pub fn day_length(&self) -> Duration {
        duration(self.day_micros())
    }

    /// How much working time so many hours of a limit are: an hour is an eighth of a day of office hours.
    pub fn allowance(&self, limit_hours: u32) -> Duration {
        duration(self.day_micros() * i128::from(limit_hours) / i128::from(HOURS_PER_WORKING_DAY))
    }

    /// How much working time lies between two instants; nothing when the second is not later.
    pub fn between(&self, from: Timestamp, until: Timestamp) -> Duration {
        duration(self.worked_until(until) - self.worked_until(from))
    }

    /// The first instant at which so much working time after `from` is over: `from` itself for none. Saturates at [`Timestamp::MAX`], also
    /// when nobody ever works.
    pub fn after(&self, from: Timestamp, amount: Duration) -> Timestamp {
        let amount = i128::try_from(amount.as_micros()).unwrap_or(i128::MAX >> 1);
        let length = self.day_micros();
        if amount == 0 || length == 0 {
            return if amount == 0 { from } else { Timestamp::MAX };
        }
        let target = self.worked_until(from) + amount;
        // The day in which it is over has at least a microsecond of it.
        let whole_days = (target - 1).div_euclid(length);
        let Some(day) = self.first_day_beyond(Day::of(from), whole_days) else { return Timestamp::MAX };
        let mut left = target - whole_days * length;
        for (begin, end) in self.spans() {
            if left <= end - begin {
                return day.at(begin + left);
            }
            left -= end - begin;
        }
        Timestamp::MAX
    }

    /// When work begins: `at` itself inside of office hours, else the next opening.
    pub fn opens(&self, at: Timestamp) -> Timestamp {
        let (day, clock) = split(at);
        if self.works_on(day)
            && let Some((begin, _)) = self.spans().find(|(begin, end)| clock < *end && begin < end)
        {
            return day.at(clock.max(begin));
        }
        let next = self.first_working_day(day.plus(1));
        next.zip(self.spans().next()).map_or(Timestamp::MAX, |(day, (begin, _))| day.at(begin))
    }

    /// When something is due that was taken in at `from` and may take so much working time: for whole days the same clock time so many working
    /// days later, counted from the next opening when it came outside of office hours.
    pub fn due(&self, from: Timestamp, allowed: Duration) -> Timestamp {
        self.opens(self.after(self.opens(from), allowed))
    }

    /// When something is due that was taken in at `from` and may take so many days of the calendar: at the close of that day, or of the next
    /// working day. The day of receipt is not counted, and what came after closing counts as of the next opening.
    pub fn due_in_calendar_days(&self, from: Timestamp, days: u32) -> Timestamp {
        self.end_of(Day::of(self.opens(from)).plus(i64::from(days)))
    }

    /// The close of a day, or of the next working day when nobody works on it.
    pub fn end_of(&self, day: Day) -> Timestamp {
        let worked = self.first_working_day(day);
        worked.zip(self.spans().last()).map_or(Timestamp::MAX, |(day, (_, end))| day.at(end))
    }

    /// The due time after the clock stood still from `since` until `until`: as much working time is left afterwards as before. What was due
    /// before the clock stopped stays due.
    pub fn moved(&self, due: Timestamp, since: Timestamp, until: Timestamp) -> Timestamp {
        if due <= since || until <= since {
            return due;
        }
        let moved = self.after(until, self.between(since, due));
        // Of the close of a day and the next opening, which are one, it stays on the side where it was.
        let moved = if self.opens(due) == due { self.opens(moved) } else { moved };
        moved.max(due)
    }

    /// The day itself, or the next on which people work; `None` when there is none.
    fn first_working_day(&self, day: Day) -> Option<Day> {
        self.first_day_beyond(day, self.days_before(day))
    }

    /// The first day from `from` on with which more than `count` working days have passed since the fixed beginning.
    fn first_day_beyond(&self, from: Day, count: i128) -> Option<Day> {
        let wanted = (count - self.days_before(from)).max(0) + self.missing.len() as i128 + 1;
        let far = (wanted.saturating_mul(7) / 5 + 7).min(DAYS_MAX);
        let passed = |ahead: i64| self.days_before(from.plus(ahead.saturating_add(1))) > count;
        let (mut low, mut high) = (0, i64::try_from(far).unwrap_or(i64::MAX));
        if !passed(high) {
            return None;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if passed(middle) { high = middle } else { low = middle + 1 }
        }
        Some(from.plus(low))
    }

    /// Working time from a fixed beginning up to an instant, in microseconds; only differences mean something.
    fn worked_until(&self, at: Timestamp) -> i128 {
        let (day, clock) = split(at);
        let today: i128 = match self.works_on(day) {
            true => self.spans().map(|(begin, end)| (clock.min(end) - begin).max(0)).sum(),
            false => 0,
        };
        self.days_before(day) * self.day_micros() + today
    }

    /// Working days from a fixed beginning up to a day, the day itself not counted.
    fn days_before(&self, day: Day) -> i128 {
        let before = |days: &[Day]| days.partition_point(|one| *one < day) as i128;
        day.weekdays_before() + before(&self.extra) - before(&self.missing)
    }

    fn day_micros(&self) -> i128 {
        self.spans().map(|(begin, end)| (end - begin).max(0)).sum()
    }

    /// Office hours in microseconds of the day.
    fn spans(&self) -> impl DoubleEndedIterator<Item = (i128, i128)> {
        let micros = |minute: u16| i128::from(minute) * MICROS_PER_MINUTE;
        self.hours.iter().map(move |hours| (micros(hours.from_minute), micros(hours.until_minute)))
    }
}

impl OfficeHours {
    /// Reads `07:30-11:30`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        Some(Self { from_minute: minute(from)?, until_minute: minute(until)? })
    }
}

impl fmt::Display for OfficeHours {
    /// As [`OfficeHours::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from_minute, self.until_minute);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

/// Reads `07:30`; `24:00` ends a day.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| match digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        true => digits.parse::<u16>().ok(),
        false => None,
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60).then_some(hour * 60 + minute).filter(|minute| *minute <= MINUTES_PER_DAY)
}

/// The day of an instant and the microseconds of that day.
fn split(at: Timestamp) -> (Day, i128) {
    (Day::of(at), (i128::from(at.micros()) + UTC_OFFSET_MICROS).rem_euclid(MICROS_PER_DAY))
}

fn duration(micros: i128) -> Duration {
    Duration::from_micros(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
}
