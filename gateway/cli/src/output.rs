//! Tables for people, JSON for programs.

use clap::ValueEnum;
use gateway_model::Timestamp;
use gateway_model::language::Language;
use serde::Serialize;

/// The exit code of a program that ended since nobody read what it wrote: 128 and the number of SIGPIPE, as shells count it.
pub const BROKEN_PIPE: i32 = 141;

/// Prints to standard output. A reader that has seen enough (`| head`) ends the program quietly, as it ends any other.
pub fn write(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    if let Err(cause) = std::io::stdout().lock().write_fmt(text) {
        if cause.kind() != std::io::ErrorKind::BrokenPipe {
            write_error(format_args!("lienthong: cannot write to standard output: {cause}\n"));
            std::process::exit(crate::exit::Exit::Failure as i32);
        }
        std::process::exit(BROKEN_PIPE);
    }
}

/// Prints to standard error; when that is closed there is nobody left to tell, and the program goes on.
pub fn write_error(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    let _: Result<(), std::io::Error> = std::io::stderr().lock().write_fmt(text);
}

/// `eprintln!` that goes on when nobody reads.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::write_error(format_args!("{}\n", format_args!($($text)*))) };
}

/// `print!` that ends quietly when nobody reads.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}

/// `println!` that ends quietly when nobody reads.
#[macro_export]
macro_rules! outln {
    () => { $crate::output::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Columns of a terminal below which tables are not wrapped.
const WRAP_WIDTH_MIN: u16 = 40;

/// Form of the data on stdout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Form {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
}

/// Prints rows as one JSON document or one a line.
///
/// # Errors
/// When a row cannot be written.
pub fn print_json<T: Serialize>(form: Form, rows: &[T]) -> anyhow::Result<()> {
    match form {
        Form::Jsonl => {
            for row in rows {
                outln!("{}", serde_json::to_string(row)?);
            }
        }
        Form::Json | Form::Table => outln!("{}", serde_json::to_string_pretty(rows)?),
    }
    Ok(())
}

/// A plain table with a header, made for terminals and for `less`.
pub fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED);
    // A pipe or a very narrow window has no use for wrapped cells.
    let wraps = table.is_tty() && table.width().is_some_and(|width| width >= WRAP_WIDTH_MIN);
    table.set_content_arrangement(if wraps {
        comfy_table::ContentArrangement::Dynamic
    } else {
        comfy_table::ContentArrangement::Disabled
    });
    if !header.is_empty() {
        table.set_header(header);
    }
    table
}

/// `1 fault`, `2 faults`.
pub fn count_faults(count: usize) -> String {
    format!("{count} {}", if count == 1 { "fault" } else { "faults" })
}

/// A failure and its causes on one line; a cause that the text before it already tells is not told again.
pub fn causes(failure: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in failure.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A wire timestamp in the zone of this machine, to the second, with the zone's offset; as each language writes it.
pub fn local_time(at: Option<&prost_types::Timestamp>, language: Language) -> String {
    zoned_time(at, &jiff::tz::TimeZone::system(), language)
}

/// An instant, as [`local_time`] shows it.
pub fn local_time_of(at: Timestamp, language: Language) -> String {
    local_time(Some(&prost_types::Timestamp { seconds: at.seconds(), nanos: 0 }), language)
}

fn zoned_time(at: Option<&prost_types::Timestamp>, zone: &jiff::tz::TimeZone, language: Language) -> String {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok())
        .map(|at| {
            let form = language.pick("%H:%M:%S %d/%m/%Y %:z", "%Y-%m-%dT%H:%M:%S%:z");
            at.to_zoned(zone.clone()).strftime(form).to_string()
        })
        .unwrap_or_default()
}

/// A wire timestamp as RFC 3339.
pub fn rfc3339(at: Option<&prost_types::Timestamp>) -> Option<String> {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok()).map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_name_their_offset_as_each_language_writes_them() {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(7));
        let at = prost_types::Timestamp { seconds: 1_795_332_366, nanos: 5 };
        assert_eq!(zoned_time(Some(&at), &zone, Language::Vi), "14:26:06 22/11/2026 +07:00");
        assert_eq!(zoned_time(Some(&at), &zone, Language::En), "2026-11-22T14:26:06+07:00");
        assert_eq!(zoned_time(None, &zone, Language::En), "");
    }

    #[test]
    fn a_cause_is_told_once() {
        let inner = anyhow::anyhow!("the signature is wrong").context("the note does not open: the signature is wrong");
        assert_eq!(
            causes(&inner.context("receipts.bin")),
            "receipts.bin: the note does not open: the signature is wrong"
        );
    }

    #[test]
    fn one_fault_is_singular() {
        assert_eq!((count_faults(1).as_str(), count_faults(2).as_str()), ("1 fault", "2 faults"));
    }
}
