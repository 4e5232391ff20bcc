//! Tests of working time: rules by example, laws by property, and a count minute by minute to compare with.

use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(27_000);

/// 2026-03-02 is a Monday.
fn at(text: &str) -> Timestamp {
    Timestamp::parse(&format!("{text}:00+07:00")).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

/// Tết of 2026 from Monday 16 to Friday 20 February, and a Saturday made up for.
fn tet() -> WorkingTime {
    let off = ["2026-02-16", "2026-02-17", "2026-02-18", "2026-02-19", "2026-02-20"];
    WorkingTime::new(USUAL_HOURS.to_vec(), off.map(day), [day("2026-02-28")])
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
    check(&tet(), "2026-02-13T16:00", "2026-02-23T08:00", 90);
    check(&tet(), "2026-02-27T16:00", "2026-02-28T08:30", 120);
    check(&tet(), "2026-02-28T00:00", "2026-03-02T08:00", 480);
}

fn due(calendar: &WorkingTime, from: &str, days: u32, expected: &str) {
    let due = calendar.due(at(from), calendar.day_length() * days);
    assert_eq!(due, at(expected), "{from} and {days} days");
}

#[test]
fn a_limit_in_days_ends_at_the_same_clock_time_so_many_working_days_later() {
    let office = WorkingTime::default();
    due(&office, "2026-03-02T09:00", 1, "2026-03-03T09:00");
    due(&office, "2026-03-02T09:00", 5, "2026-03-09T09:00");
    due(&office, "2026-03-06T13:30", 1, "2026-03-09T13:30");
    due(&office, "2026-03-02T07:30", 1, "2026-03-03T07:30");
    due(&tet(), "2026-02-13T16:59", 2, "2026-02-24T16:59");
    due(&tet(), "2026-02-26T10:00", 2, "2026-02-28T10:00");
}

#[test]
fn what_comes_after_closing_counts_from_the_next_opening() {
    let office = WorkingTime::default();
    due(&office, "2026-03-02T17:00", 1, "2026-03-04T07:30");
    due(&office, "2026-03-06T18:00", 1, "2026-03-10T07:30");
    due(&office, "2026-03-07T10:00", 1, "2026-03-10T07:30");
    due(&office, "2026-03-02T12:00", 1, "2026-03-03T13:30");
    assert_eq!(tet().opens(at("2026-02-13T17:00")), at("2026-02-23T07:30"));
    assert_eq!(tet().opens(at("2026-02-23T09:15")), at("2026-02-23T09:15"));
}

#[test]
fn eight_hours_of_a_limit_are_a_working_day_and_hours_add_up() {
    let office = WorkingTime::default();
    assert_eq!(office.allowance(8), DAY);
    assert_eq!(office.allowance(3) + office.allowance(5), DAY);
    assert_eq!(office.due(at("2026-03-02T07:30"), office.allowance(4)), at("2026-03-02T11:15"));
    let eight = WorkingTime::new(
        vec![OfficeHours::parse("07:00-11:00").unwrap(), OfficeHours::parse("13:00-17:00").unwrap()],
        [],
        [],
    );
    assert_eq!(eight.allowance(1), Duration::from_secs(3_600));
}

#[test]
fn days_of_the_calendar_end_at_the_close_of_a_working_day() {
    let close =
        |from, days, expected| assert_eq!(tet().due_in_calendar_days(at(from), days), at(expected), "{from} {days}");
    close("2026-03-02T09:00", 3, "2026-03-05T17:00");
    close("2026-03-02T09:00", 5, "2026-03-09T17:00");
    close("2026-02-10T09:00", 7, "2026-02-23T17:00");
    close("2026-02-23T09:00", 5, "2026-02-28T17:00");
    close("2026-03-06T17:30", 1, "2026-03-10T17:00");
}

#[test]
fn a_promised_day_off_moves_to_the_next_working_day() {
    assert_eq!(tet().end_of(day("2026-02-17")), at("2026-02-23T17:00"));
    assert_eq!(tet().end_of(day("2026-02-28")), at("2026-02-28T17:00"));
    assert_eq!(tet().end_of(day("2026-03-01")), at("2026-03-02T17:00"));
}

#[test]
fn a_pause_moves_what_is_due_by_what_was_left() {
    let office = WorkingTime::default();
    let moved = |due, since, until, expected| assert_eq!(office.moved(at(due), at(since), at(until)), at(expected));
    moved("2026-03-04T09:00", "2026-03-03T09:00", "2026-03-10T14:00", "2026-03-11T14:00");
    moved("2026-03-04T07:30", "2026-03-03T07:30", "2026-03-10T07:30", "2026-03-11T07:30");
    moved("2026-03-06T17:00", "2026-03-06T16:00", "2026-03-09T16:00", "2026-03-09T17:00");
    moved("2026-03-04T09:00", "2026-03-05T09:00", "2026-03-10T14:00", "2026-03-04T09:00");
    moved("2026-03-04T09:00", "2026-03-03T09:00", "2026-03-03T09:00", "2026-03-04T09:00");
}

#[test]
fn hours_are_written_as_people_write_them() {
    for text in ["07:30-11:30", "00:00-24:00"] {
        assert_eq!(OfficeHours::parse(text).unwrap().to_string(), text);
    }
    for bad in ["", "7:30-11:30", "07:30", "07:60-08:00", "07:30-24:01", "07:30–11:30", "+7:30-11:30"] {
        assert_eq!(OfficeHours::parse(bad), None, "{bad}");
    }
}

#[test]
fn what_does_not_hold_together_is_told() {
    let faults = |hours: &[&str]| {
        WorkingTime::new(hours.iter().map(|text| OfficeHours::parse(text).unwrap()).collect(), [], []).faults()
    };
    assert_eq!(faults(&["07:30-11:30", "11:30-17:00"]), []);
    for bad in
        [&[][..], &["11:30-07:30"], &["07:30-07:30"], &["13:30-17:00", "07:30-11:30"], &["07:30-11:30", "11:00-17:00"]]
    {
        assert_eq!(faults(bad), [WorkingTimeFault::Hours], "{bad:?}");
    }
    let late = OfficeHours { from_minute: 1_380, until_minute: 1_441 };
    assert_eq!(WorkingTime::new(vec![late], [], []).faults(), [WorkingTimeFault::Hours]);
    let both = WorkingTime::new(USUAL_HOURS.to_vec(), [day("2026-02-28")], [day("2026-02-28")]);
    assert_eq!(both.faults(), [WorkingTimeFault::OffAndMadeUp(day("2026-02-28"))]);
    assert!(!both.works_on(day("2026-02-28")), "a day off stays a day off");
}

#[test]
fn the_ends_of_time_and_calendars_without_work_are_within_bounds() {
    let office = WorkingTime::default();
    assert!(office.between(Timestamp::MIN, Timestamp::MAX) > Duration::from_secs(100_000 * 365 * 86_400));
    assert_eq!(office.after(at("2026-03-02T09:00"), Duration::MAX), Timestamp::MAX);
    assert_eq!(office.after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
    assert_eq!(office.opens(Timestamp::MAX), office.opens(Timestamp::MAX), "it ends");
    let never = WorkingTime::new(Vec::new(), [], []);
    assert_eq!(never.due(at("2026-03-02T09:00"), Duration::from_secs(1)), Timestamp::MAX);
    assert_eq!((never.end_of(day("2026-03-02")), never.opens(Timestamp::MIN)), (Timestamp::MAX, Timestamp::MAX));
    assert_eq!(never.between(Timestamp::MIN, Timestamp::MAX), Duration::ZERO);
}

/// A calendar with some days off and some made up in the ten weeks from 2026-01-05, a Monday.
fn calendars() -> impl Strategy<Value = WorkingTime> {
    let days = || proptest::collection::vec(0i64..70, 0..20);
    let hours =
        prop_oneof![Just(USUAL_HOURS.to_vec()), Just(vec![OfficeHours { from_minute: 420, until_minute: 900 }])];
    (hours, days(), days()).prop_map(|(hours, off, made_up)| {
        let monday = day("2026-01-05");
        let days = |numbers: Vec<i64>| numbers.into_iter().map(|number| monday.plus(number)).collect::<Vec<_>>();
        WorkingTime::new(hours, days(off), days(made_up))
    })
}

/// An instant around those weeks, to the microsecond.
fn instants() -> impl Strategy<Value = Timestamp> {
    (1_766_000_000_000_000i64..1_775_000_000_000_000).prop_map(Timestamp::from_micros)
}

fn minutes_worked(calendar: &WorkingTime, from: Timestamp, minutes: u64) -> u64 {
    let is_worked = |minute: &u64| {
        let instant = from.plus(Duration::from_secs(minute * 60));
        let clock = instant.since(Day::of(instant).start()).as_secs() / 60;
        let inside =
            |hours: &OfficeHours| (u64::from(hours.from_minute)..u64::from(hours.until_minute)).contains(&clock);
        calendar.works_on(Day::of(instant)) && calendar.hours().iter().any(inside)
    };
    (0..minutes).filter(is_worked).count() as u64
}

proptest! {
    #[test]
    fn it_is_what_counting_minute_by_minute_gives(calendar in calendars(), start in 0i64..90_000, minutes in 0u64..30_000) {
        let from = Timestamp::from_seconds(day("2026-01-01").start().seconds() + start * 60);
        let until = from.plus(Duration::from_secs(minutes * 60));
        prop_assert_eq!(calendar.between(from, until).as_secs() / 60, minutes_worked(&calendar, from, minutes));
    }

    #[test]
    fn working_time_adds_up(calendar in calendars(), mut three in proptest::array::uniform3(instants())) {
        three.sort();
        let [a, b, c] = three;
        prop_assert_eq!(calendar.between(a, b) + calendar.between(b, c), calendar.between(a, c));
        prop_assert!(calendar.between(a, b) <= b.since(a));
    }

    #[test]
    fn after_is_the_inverse_of_between(calendar in calendars(), from in instants(), seconds in 0u64..4_000_000, micros in 0u64..1_000_000) {
        let amount = Duration::from_micros(seconds * 1_000_000 + micros);
        let over = calendar.after(from, amount);
        prop_assert!(over >= from);
        prop_assert_eq!(calendar.between(from, over), amount);
        if over > from {
            // It is the first such instant.
            prop_assert!(calendar.between(from, Timestamp::from_micros(over.micros() - 1)) < amount);
        }
    }

    #[test]
    fn more_time_is_never_over_earlier(calendar in calendars(), from in instants(), a in 0u64..4_000_000, b in 0u64..4_000_000) {
        let (less, more) = (Duration::from_secs(a.min(b)), Duration::from_secs(a.max(b)));
        prop_assert!(calendar.after(from, less) <= calendar.after(from, more));
        prop_assert!(calendar.due(from, less) <= calendar.due(from, more));
        let later = from.plus(Duration::from_secs(b));
        prop_assert!(calendar.due(from, less) <= calendar.due(later, less));
    }

    #[test]
    fn work_begins_inside_of_office_hours_and_nothing_is_lost_until_then(calendar in calendars(), from in instants()) {
        let begins = calendar.opens(from);
        prop_assert!(begins >= from && calendar.between(from, begins) == Duration::ZERO);
        prop_assert!(calendar.between(begins, begins.plus(Duration::from_micros(1))) == Duration::from_micros(1));
        prop_assert_eq!(calendar.opens(begins), begins);
    }

    #[test]
    fn a_limit_in_days_keeps_the_clock_time_and_counts_working_days(calendar in calendars(), from in instants(), days in 1u32..40) {
        let begins = calendar.opens(from);
        let due = calendar.due(from, calendar.day_length() * days);
        let clock = |at: Timestamp| at.since(Day::of(at).start());
        prop_assert_eq!(clock(due), clock(begins));
        let (first, last) = (Day::of(begins), Day::of(due));
        let worked = (1..=last.since(first)).filter(|ahead| calendar.works_on(first.plus(*ahead))).count();
        prop_assert_eq!(worked, days as usize);
    }

    #[test]
    fn a_pause_leaves_as_much_time_as_there_was(calendar in calendars(), mut three in proptest::array::uniform3(instants()), paused in 0u64..4_000_000) {
        three.sort();
        let [_, since, due] = three;
        let until = since.plus(Duration::from_secs(paused));
        let moved = calendar.moved(due, since, until);
        prop_assert!(moved >= due);
        if paused > 0 && due > since {
            prop_assert_eq!(calendar.between(until, moved), calendar.between(since, due));
        }
    }

    #[test]
    fn every_week_has_as_much_all_the_year_round(from in instants(), weeks in 1i64..60) {
        let office = WorkingTime::default();
        let week = Duration::from_secs(7 * 86_400);
        let later = from.plus(week * weeks as u32);
        prop_assert_eq!(office.between(from, from.plus(week)), DAY * 5);
        prop_assert_eq!(office.between(from, later), DAY * 5 * weeks as u32);
    }
}
