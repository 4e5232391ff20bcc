//! `lienthong stats`: files counted as the provinces report them.

use clap::{Args, ValueEnum};
use gateway_model::Timestamp;
use gateway_model::day::Day;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::{Exit, Usage};
use crate::output::{self, Form, local_time, rfc3339};
use crate::{errln, out, outln};

/// Counts files as the provinces report them: received, early, on time, late, in work.
#[derive(Args, Debug)]
pub struct Stats {
    #[command(flatten)]
    connect: Connect,
    /// Received at or after: a day (2026-01-01, at UTC+7) or an instant (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// Received before: an instant; of a day, up to its end.
    #[arg(long)]
    until: Option<String>,
    /// What a row is.
    #[arg(long, value_enum, default_value = "agency")]
    by: By,
    /// Only this agency and those below it: id or code.
    #[arg(long, default_value = "")]
    agency: String,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: StatsForm,
}

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum By {
    /// The agency that received the file.
    Agency,
    /// The level of that agency.
    Level,
    /// The procedure.
    Procedure,
    /// The month of the receipt.
    Month,
}

/// Form of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum StatsForm {
    /// A table for people.
    Table,
    /// One JSON document: the rows, and all together as the last.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// Comma-separated values (RFC 4180), for a spreadsheet.
    Csv,
}

/// One number of a row, with its name for programs.
type Number = (&'static str, fn(&v1::StatisticsRow) -> u64);

/// The numbers of a row, in their order.
const NUMBERS: [Number; 7] = [
    ("received", |row| row.received),
    ("early", |row| row.early),
    ("on_time", |row| row.on_time),
    ("late", |row| row.late),
    ("ended", |row| row.ended),
    ("in_work", |row| row.in_work),
    ("in_work_late", |row| row.in_work_late),
];

impl Stats {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the gateway does not answer or the caller is no operator.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let by = match self.by {
            By::Agency => v1::StatisticsBy::Agency,
            By::Level => v1::StatisticsBy::Level,
            By::Procedure => v1::StatisticsBy::Procedure,
            By::Month => v1::StatisticsBy::Month,
        };
        let request = v1::GetStatisticsRequest {
            since: self.since.as_deref().map(|text| instant(text, 0)).transpose()?,
            until: self.until.as_deref().map(|text| instant(text, 1)).transpose()?,
            by: by.into(),
            agency: self.agency.clone(),
        };
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let answer = client.get_statistics(request).await?.into_inner();
        match self.output {
            StatsForm::Table => table(&answer, language),
            StatsForm::Json => output::print_json(Form::Json, &json(&answer))?,
            StatsForm::Jsonl => output::print_json(Form::Jsonl, &json(&answer))?,
            StatsForm::Csv => out!("{}", csv(&answer)),
        }
        if answer.as_of.is_none() {
            errln!(
                "{}",
                language.pick(
                    "cổng còn đang đọc lại nhật ký từ đầu: số liệu chưa đủ",
                    "the gateway still reads its log from the start: the figures are not complete",
                )
            );
        }
        Ok(Exit::Success)
    }
}

fn table(answer: &v1::GetStatisticsResponse, language: Language) {
    let pick = |vi, en| language.pick(vi, en);
    let mut table = output::table(&[
        pick("Mã", "Key"),
        pick("Tên", "Name"),
        pick("Tiếp nhận", "Received"),
        pick("Trước hạn", "Early"),
        pick("Đúng hạn", "On time"),
        pick("Trễ hạn", "Late"),
        pick("Đã xong, không rõ hạn", "Ended, no due date"),
        pick("Đang giải quyết", "In work"),
        pick("Đang giải quyết, trễ hạn", "In work, late"),
    ]);
    for row in &answer.rows {
        let name = if row.name == row.key { "" } else { row.name.as_str() };
        table.add_row(cells(&row.key, name, row));
    }
    if let Some(total) = &answer.total {
        table.add_row(cells("", pick("Tổng", "Total"), total));
    }
    outln!("{table}");
    if answer.as_of.is_some() {
        outln!("{} {}", pick("tính đến", "as of"), local_time(answer.as_of.as_ref(), language));
    }
}

fn cells(key: &str, name: &str, row: &v1::StatisticsRow) -> Vec<String> {
    let numbers = NUMBERS.iter().map(|(_, number)| number(row).to_string());
    [key.to_owned(), name.to_owned()].into_iter().chain(numbers).collect()
}

/// The rows, then all together, whose key is null.
fn json(answer: &v1::GetStatisticsResponse) -> Vec<serde_json::Value> {
    let as_of = rfc3339(answer.as_of.as_ref());
    let value = |key: Option<&str>, row: &v1::StatisticsRow| {
        let mut value = serde_json::json!({ "key": key, "name": row.name, "as_of": as_of });
        for (name, number) in NUMBERS {
            value[name] = number(row).into();
        }
        value
    };
    let rows = answer.rows.iter().map(|row| value(Some(&row.key), row));
    rows.chain(answer.total.iter().map(|total| value(None, total))).collect()
}

/// Header and rows; whoever reads it adds up.
fn csv(answer: &v1::GetStatisticsResponse) -> String {
    let names: Vec<&str> = ["key", "name"].into_iter().chain(NUMBERS.iter().map(|(name, _)| *name)).collect();
    let mut text = names.join(",") + "\r\n";
    for row in &answer.rows {
        let cells: Vec<String> = cells(&row.key, &row.name, row).iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

/// A cell. What a spreadsheet would take for a formula gets an apostrophe in front.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// An instant, or the midnight `days` after the begin of a day at UTC+7.
fn instant(text: &str, days: i64) -> anyhow::Result<prost_types::Timestamp> {
    let at = Day::parse(text).map(|day| day.plus(days).start()).or_else(|| Timestamp::parse(text));
    let at = at.ok_or_else(|| {
        Usage(format!("{text:?} is neither a day like 2026-01-01 nor an instant like 2026-01-01T00:00:00+07:00"))
    })?;
    let (seconds, nanos) = at.to_parts();
    Ok(prost_types::Timestamp { seconds, nanos })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_meant_from_its_midnight_to_its_end_in_the_zone_of_the_country() {
        let seconds = |text, days| instant(text, days).unwrap().seconds;
        assert_eq!(seconds("2026-01-01", 0), seconds("2026-01-01T00:00:00+07:00", 0));
        assert_eq!(seconds("2026-06-30", 1), seconds("2026-06-30T17:00:00Z", 1));
        assert!(instant("2026-02-30", 0).is_err());
    }

    #[test]
    fn every_form_has_every_number() {
        let row = v1::StatisticsRow {
            key: "h16.1".to_owned(),
            name: "=HYPERLINK(\"x\"), Sở".to_owned(),
            received: 21,
            early: 1,
            on_time: 2,
            late: 3,
            in_work: 4,
            in_work_late: 5,
            ended: 6,
        };
        let total = v1::StatisticsRow { received: 21, ..v1::StatisticsRow::default() };
        let answer = v1::GetStatisticsResponse { rows: vec![row], total: Some(total), as_of: None };
        let expected = "key,name,received,early,on_time,late,ended,in_work,in_work_late\r\n\
                        h16.1,\"'=HYPERLINK(\"\"x\"\"), Sở\",21,1,2,3,6,4,5\r\n";
        assert_eq!(csv(&answer), expected);
        let values = json(&answer);
        let numbers: Vec<u64> = NUMBERS.iter().map(|(name, _)| values[0][name].as_u64().unwrap()).collect();
        assert_eq!(numbers, [21, 1, 2, 3, 6, 4, 5]);
        assert_eq!((values[1]["key"].is_null(), values[1]["received"].as_u64()), (true, Some(21)));
    }
}
