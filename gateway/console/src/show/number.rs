//! Numbers as each language writes them.

use gateway_model::language::Language;

/// `50320` as `50.320` or `50,320`.
pub(crate) fn count(number: u64, l: Language) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push_str(l.pick(".", ","));
        }
        grouped.push(digit);
    }
    grouped
}

/// One digit behind the comma, as the language writes it.
pub(crate) fn decimal(number: f64, l: Language) -> String {
    let text = format!("{number:.1}");
    match l {
        Language::Vi => text.replace('.', ","),
        Language::En => text,
    }
}

/// Milliseconds; a dash before there are any.
pub(crate) fn milliseconds(number: f64, l: Language) -> String {
    if number > 0.0 { format!("{} ms", decimal(number, l)) } else { "–".to_owned() }
}

/// Days, with the half ones only while there are few.
pub(crate) fn days(number: f64, l: Language) -> String {
    let written = if number < 10.0 { decimal(number, l) } else { count(number as u64, l) };
    format!("{written} {}", l.pick("ngày", "days"))
}

/// Bytes in the unit that fits.
pub(crate) fn bytes(number: u64, l: Language) -> String {
    let mut unit = 0;
    let mut value = number as f64;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", decimal(value, l), UNITS[unit])
}

const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/// `part` of `whole` in per cent; empty when there is no whole.
pub(crate) fn share(part: u64, whole: u64, l: Language) -> String {
    if whole == 0 { String::new() } else { format!("{} %", decimal(part as f64 * 100.0 / whole as f64, l)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_readers_write_them() {
        assert_eq!([count(50_320, Language::Vi), count(50_320, Language::En)], ["50.320", "50,320"]);
        assert_eq!(count(7, Language::Vi) + &count(1_000_000, Language::Vi), "71.000.000");
        assert_eq!(bytes(1_536, Language::Vi), "1,5 KiB");
        assert_eq!(bytes(u64::MAX, Language::En), "16384.0 PiB");
        assert_eq!([days(3.25, Language::Vi), days(1_234.5, Language::En)], ["3,2 ngày", "1,234 days"]);
        assert_eq!(share(1, 8, Language::Vi), "12,5 %");
        assert_eq!(share(0, 0, Language::Vi), "");
    }
}
