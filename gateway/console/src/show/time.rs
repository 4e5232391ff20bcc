//! Instants and spans as people read them. Everything is shown in Vietnam's one zone; machines find RFC 3339 beside it.

use gateway_model::Timestamp;
use gateway_model::language::Language;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, offset};
use maud::{Markup, html};

use super::text::dash;

/// One working day has 8 working hours.
const WORKING_DAY_SECONDS: u64 = 8 * HOUR;
const DAY: u64 = 24 * HOUR;
const HOUR: u64 = 60 * MINUTE;
const MINUTE: u64 = 60;

/// A wire instant; a dash when it is unset.
pub(crate) fn moment(at: Option<&prost_types::Timestamp>, l: Language) -> Markup {
    read(at).map_or_else(dash, |at| moment_of(at, l))
}

/// An instant.
pub(crate) fn moment_of(at: Timestamp, l: Language) -> Markup {
    html! { time datetime=(at.to_string()) { (written(at, l.pick("%H:%M:%S %d/%m/%Y", "%Y-%m-%d %H:%M:%S"))) } }
}

/// A wire instant to the minute; a dash when it is unset.
pub(crate) fn minute(at: Option<&prost_types::Timestamp>, l: Language) -> Markup {
    read(at).map_or_else(dash, |at| {
        html! { time datetime=(at.to_string()) { (written(at, l.pick("%H:%M %d/%m/%Y", "%Y-%m-%d %H:%M"))) } }
    })
}

/// The day of a wire instant; a dash when it is unset.
pub(crate) fn day(at: Option<&prost_types::Timestamp>, l: Language) -> Markup {
    read(at).map_or_else(dash, |at| {
        html! { time datetime=(at.to_string()) { (written(at, l.pick("%d/%m/%Y", "%Y-%m-%d"))) } }
    })
}

/// How long before `now`, with the instant for whoever wants it exactly; a dash when it is unset.
pub(crate) fn ago(at: Option<&prost_types::Timestamp>, now: Timestamp, l: Language) -> Markup {
    let Some(at) = read(at) else { return dash() };
    let exactly = written(at, l.pick("%H:%M:%S %d/%m/%Y", "%Y-%m-%d %H:%M:%S"));
    html! { time datetime=(at.to_string()) title=(exactly) { (span(now.since(at).as_secs(), l)) } }
}

/// An instant in the form of `jiff`'s `strftime`.
pub(crate) fn written(at: Timestamp, form: &str) -> String {
    let instant = jiff::Timestamp::from_microsecond(at.micros()).map(|at| at.to_zoned(zone()));
    instant.map_or_else(|_| String::new(), |at| at.strftime(form).to_string())
}

/// A wire instant within range.
pub(crate) fn read(at: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_parts(at.seconds, at.nanos))
}

/// A span in its two largest units.
pub(crate) fn span(seconds: u64, l: Language) -> String {
    two_units(seconds, DAY, l)
}

/// Working time, in days of 8 hours.
pub(crate) fn worked(seconds: u64, l: Language) -> String {
    format!("{} {}", two_units(seconds, WORKING_DAY_SECONDS, l), l.pick("làm việc", "of work"))
}

/// The same without the word, for tables that say it once.
pub(crate) fn hours(seconds: u64, l: Language) -> Markup {
    html! { span.nowrap { (two_units(seconds, WORKING_DAY_SECONDS, l)) } }
}

/// Working time that is left, or by how much it is over.
pub(crate) fn left(seconds: i64, l: Language) -> Markup {
    let text = worked(seconds.unsigned_abs(), l);
    match seconds {
        ..0 => html! { span.late { (l.pick("quá hạn ", "over by ")) (text) } },
        0.. if seconds.unsigned_abs() < WORKING_DAY_SECONDS => {
            html! { span.soon { (l.pick("còn ", "left: ")) (text) } }
        }
        0.. => html! { span { (l.pick("còn ", "left: ")) (text) } },
    }
}

/// Reads what a date field gives, `2026-11-22` or `2026-11-22T08:00`: its first instant in Vietnam.
pub(crate) fn begin(text: &str) -> Option<Timestamp> {
    let at = match text.parse::<Date>() {
        Ok(date) if text.len() == 10 => date.to_datetime(jiff::civil::Time::midnight()),
        Ok(_) | Err(_) => text.parse::<DateTime>().ok()?,
    };
    of_local(at)
}

/// As [`begin`], but a day counts to its end: the first instant after it.
pub(crate) fn end(text: &str) -> Option<Timestamp> {
    match text.parse::<Date>() {
        Ok(date) if text.len() == 10 => of_local(date.tomorrow().ok()?.to_datetime(jiff::civil::Time::midnight())),
        Ok(_) | Err(_) => begin(text),
    }
}

/// The day of an instant in Vietnam.
pub(crate) fn date(at: Timestamp) -> Option<Date> {
    let instant = jiff::Timestamp::from_microsecond(at.micros()).ok()?;
    Some(instant.to_zoned(zone()).date())
}

/// For the wire.
pub(crate) fn wire(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.to_parts();
    prost_types::Timestamp { seconds, nanos }
}

fn of_local(at: DateTime) -> Option<Timestamp> {
    Some(Timestamp::from_micros(at.to_zoned(zone()).ok()?.timestamp().as_microsecond()))
}

/// Vietnam has one zone without summer time.
fn zone() -> TimeZone {
    TimeZone::fixed(offset(7))
}

fn two_units(seconds: u64, day: u64, l: Language) -> String {
    let (days, hours, minutes) = (seconds / day, seconds % day / HOUR, seconds % HOUR / MINUTE);
    let piece = |number: u64, vi: &str, en: &str| format!("{number} {}", l.pick(vi, en));
    let (large, small) = if days > 0 {
        (piece(days, "ngày", "d"), (hours > 0).then(|| piece(hours, "giờ", "h")))
    } else if hours > 0 {
        (piece(hours, "giờ", "h"), (minutes > 0).then(|| piece(minutes, "phút", "min")))
    } else if minutes > 0 {
        (piece(minutes, "phút", "min"), None)
    } else {
        (piece(seconds, "giây", "s"), None)
    };
    small.map_or_else(|| large.clone(), |small| format!("{large} {small}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_vietnam_as_each_language_writes_them() {
        let at = Timestamp::from_seconds(1_795_332_366);
        assert_eq!(
            moment_of(at, Language::Vi).into_string(),
            "<time datetime=\"2026-11-22T07:26:06Z\">14:26:06 22/11/2026</time>"
        );
        assert!(moment_of(at, Language::En).into_string().contains(">2026-11-22 14:26:06<"));
        let unset = moment(None, Language::Vi).into_string();
        assert_eq!(unset, dash().into_string());
        assert_eq!(
            moment(Some(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), Language::Vi).into_string(),
            unset
        );
    }

    #[test]
    fn spans_have_two_units_and_a_working_day_has_eight_hours() {
        assert_eq!(span(90_061, Language::Vi), "1 ngày 1 giờ");
        assert_eq!(span(59, Language::En), "59 s");
        assert_eq!(worked(9 * 3_600, Language::Vi), "1 ngày 1 giờ làm việc");
        assert_eq!(left(-1_800, Language::Vi).into_string(), "<span class=\"late\">quá hạn 30 phút làm việc</span>");
        assert_eq!(left(3_600, Language::En).into_string(), "<span class=\"soon\">left: 1 h of work</span>");
        assert_eq!(left(80 * 3_600, Language::En).into_string(), "<span>left: 10 d of work</span>");
        assert!(left(i64::MIN, Language::Vi).into_string().contains("quá hạn"));
    }

    #[test]
    fn a_day_begins_and_ends_in_vietnam() {
        let at = |text| Timestamp::parse(text).unwrap();
        assert_eq!(begin("2026-11-22"), Some(at("2026-11-22T00:00:00+07:00")));
        assert_eq!(end("2026-11-22"), Some(at("2026-11-23T00:00:00+07:00")));
        assert_eq!(begin("2026-11-22T08:30"), Some(at("2026-11-22T08:30:00+07:00")));
        assert_eq!(end("2026-11-22T08:30"), Some(at("2026-11-22T08:30:00+07:00")));
        for text in ["", "22/11/2026", "2026-02-30", "9999-12-31T", "hôm qua", "-009999-01-01"] {
            assert_eq!(begin(text), None, "{text}");
        }
    }
}
