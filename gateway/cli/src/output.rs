//! Tables for people, JSON for programs.

use clap::ValueEnum;
use serde::Serialize;

/// Prints to standard output. A reader that has seen enough (`| head`) ends the program quietly, as it ends any other.
pub fn write(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    if let Err(cause) = std::io::stdout().lock().write_fmt(text) {
        if cause.kind() != std::io::ErrorKind::BrokenPipe {
            eprintln!("lienthong: cannot write to standard output: {cause}");
            std::process::exit(crate::exit::Exit::Failure as i32);
        }
        std::process::exit(crate::exit::Exit::Success as i32);
    }
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
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// A wire timestamp in the local zone of the reader, to the second.
pub fn local_time(at: Option<&prost_types::Timestamp>) -> String {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok())
        .map(|at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

/// A wire timestamp as RFC 3339.
pub fn rfc3339(at: Option<&prost_types::Timestamp>) -> Option<String> {
    at.and_then(|at| jiff::Timestamp::new(at.seconds, at.nanos).ok()).map(|at| at.to_string())
}
