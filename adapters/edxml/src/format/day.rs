//! Days and hours as packages write them: `yyyy/MM/dd`, `yyyy/MM/dd HH:mm:ss`, local time of Việt Nam (UTC+7) without a zone.

use gateway_model::Timestamp;

use super::fault::{Defect, Fault};

/// Việt Nam keeps UTC+7 all year.
const OFFSET_SECONDS: i64 = 7 * 3_600;

/// `YYYY-MM-DD` from `yyyy/MM/dd`; empty stays empty.
///
/// # Errors
/// [`Defect::DateImpossible`] for another form and for days that do not exist.
pub(super) fn day(text: &str, place: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let fault = || Fault::new(Defect::DateImpossible, place);
    let pieces: Vec<&str> = text.split('/').collect();
    let &[year, month, day] = pieces.as_slice() else { return Err(fault()) };
    let is_number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !is_number(year, 4..=4) || !is_number(month, 1..=2) || !is_number(day, 1..=2) {
        return Err(fault());
    }
    let dashed = format!("{year}-{month:0>2}-{day:0>2}");
    Timestamp::parse(&format!("{dashed}T00:00:00Z")).map(|_| dashed).ok_or_else(fault)
}

/// `yyyy/MM/dd` from `YYYY-MM-DD`.
pub fn slashed(day: &str) -> String {
    day.replace('-', "/")
}

/// The instant of `yyyy/MM/dd HH:mm:ss` in Việt Nam; `None` for empty text.
///
/// # Errors
/// [`Defect::DateImpossible`].
pub fn local_time(text: &str, place: &str) -> Result<Option<Timestamp>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let (date, clock) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let date = day(date, place)?;
    let parsed = Timestamp::parse(&format!("{date}T{}+07:00", clock.trim()));
    parsed.map(Some).ok_or_else(|| Fault::new(Defect::DateImpossible, place))
}

/// An instant as packages write it.
pub fn local_time_text(at: Timestamp) -> String {
    let shifted = Timestamp::from_seconds(at.seconds().saturating_add(OFFSET_SECONDS)).to_string();
    shifted.trim_end_matches('Z').replace('T', " ").replace('-', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_exists_or_is_refused() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(day(text, "x").ok().as_deref(), expected, "{text}");
        };
        check("2026/11/20", Some("2026-11-20"));
        check("2026/1/5", Some("2026-01-05"));
        check("2024/02/29", Some("2024-02-29"));
        check("", Some(""));
        check("2026/02/30", None);
        check("2026/02/29", None);
        check("30/02/2026", None);
        check("2026-11-20", None);
        check("2026/11", None);
        check("2026/11/20/1", None);
    }

    #[test]
    fn local_time_is_seven_hours_ahead_and_survives_the_way_back() {
        let at = local_time("2026/11/20 08:30:00", "x").unwrap().unwrap();
        assert_eq!(at.to_string(), "2026-11-20T01:30:00Z");
        assert_eq!(local_time_text(at), "2026/11/20 08:30:00");
        assert!(local_time("2026/11/20 25:00:00", "x").is_err());
        assert_eq!(local_time("", "x").unwrap(), None);
    }
}
