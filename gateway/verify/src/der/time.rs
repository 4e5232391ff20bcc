//! The two kinds of time in the one form each that RFC 5280 allows: whole seconds, UTC.

use gateway_model::Timestamp;

use super::DerError;

/// `YYMMDDHHMMSSZ`, from 1950 to 2049.
pub(super) fn utc_time(content: &[u8]) -> Result<Timestamp, DerError> {
    let year = digits(content, 0, 2)?;
    let century = if year >= 50 { 1900 } else { 2000 };
    calendar(year.saturating_add(century), content.get(2..).unwrap_or_default())
}

/// `YYYYMMDDHHMMSSZ`.
pub(super) fn generalized_time(content: &[u8]) -> Result<Timestamp, DerError> {
    calendar(digits(content, 0, 4)?, content.get(4..).unwrap_or_default())
}

/// `MMDDHHMMSSZ` of a year.
fn calendar(year: i64, rest: &[u8]) -> Result<Timestamp, DerError> {
    const WRONG: DerError = DerError::Value("time");
    if rest.len() != 11 || rest.last() != Some(&b'Z') {
        return Err(WRONG);
    }
    let (month, day) = (digits(rest, 0, 2)?, digits(rest, 2, 2)?);
    let (hour, minute, second) = (digits(rest, 4, 2)?, digits(rest, 6, 2)?, digits(rest, 8, 2)?);
    let fits = (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    if !fits {
        return Err(WRONG);
    }
    let days = days_since_epoch(year, month, day).ok_or(WRONG)?;
    let seconds = days
        .checked_mul(86_400)
        .and_then(|s| s.checked_add(hour.checked_mul(3_600)?))
        .and_then(|s| s.checked_add(minute.checked_mul(60)?))
        .and_then(|s| s.checked_add(second));
    seconds.map(Timestamp::from_seconds).ok_or(WRONG)
}

fn digits(bytes: &[u8], at: usize, count: usize) -> Result<i64, DerError> {
    let end = at.saturating_add(count);
    let slice = bytes.get(at..end).ok_or(DerError::Value("time"))?;
    slice.iter().try_fold(0i64, |value, &byte| match byte {
        b'0'..=b'9' => Ok(value.saturating_mul(10).saturating_add(i64::from(byte & 0x0f))),
        _ => Err(DerError::Value("time")),
    })
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar (the era-based computation of Howard Hinnant).
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = month.checked_add(9)?.rem_euclid(12);
    let day_of_year =
        month_from_march.checked_mul(153)?.checked_add(2)?.div_euclid(5).checked_add(day)?.checked_sub(1)?;
    let leap_days = year_of_era.div_euclid(4).checked_sub(year_of_era.div_euclid(100))?;
    let day_of_era = year_of_era.checked_mul(365)?.checked_add(leap_days)?.checked_add(day_of_year)?;
    era.checked_mul(146_097)?.checked_add(day_of_era)?.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::super::{GENERALIZED_TIME, Reader, UTC_TIME};
    use super::*;

    #[test]
    fn times_are_read_to_the_second() {
        let read = |tag: u8, text: &str| {
            let mut bytes = vec![tag, u8::try_from(text.len()).unwrap()];
            bytes.extend_from_slice(text.as_bytes());
            Reader::new(&bytes).time()
        };
        let at = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(read(UTC_TIME, "260228235959Z"), Ok(at("2026-02-28T23:59:59Z")));
        assert_eq!(read(UTC_TIME, "500101000000Z"), Ok(at("1950-01-01T00:00:00Z")));
        assert_eq!(read(GENERALIZED_TIME, "20480229120000Z"), Ok(at("2048-02-29T12:00:00Z")));
        for bad in
            ["260230000000Z", "2602280000Z", "260228000000+0700", "26022800000xZ", "261301000000Z", "260228240000Z"]
        {
            assert!(read(UTC_TIME, bad).is_err(), "{bad}");
        }
        assert!(read(GENERALIZED_TIME, "20260228000000.5Z").is_err());
    }
}
