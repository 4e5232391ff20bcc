//! Statistics as the provinces report them: received, early, on time, late, in work, by agency, level, procedure or month.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use gateway_model::Timestamp;
use gateway_model::language::Language;
use jiff::civil::Date;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use crate::fault::Fault;
use crate::fields::{Fields, address};
use crate::page::{Page, Section};
use crate::show::chart::{self, BARS_MAX};
use crate::show::text::{code, safe};
use crate::show::{number, time};
use crate::visit::Visit;
use crate::words::{Word, statistics as w};

mod csv;

/// What rows can be made by, with its name in addresses.
const BY: [(&str, v1::StatisticsBy, Word); 4] = [
    ("agency", v1::StatisticsBy::Agency, w::BY_AGENCY),
    ("level", v1::StatisticsBy::Level, w::BY_LEVEL),
    ("procedure", v1::StatisticsBy::Procedure, w::BY_PROCEDURE),
    ("month", v1::StatisticsBy::Month, w::BY_MONTH),
];

/// One number of a row.
type Count = fn(&v1::StatisticsRow) -> u64;

/// The numbers of a row, in the order of the table.
const NUMBERS: [(Word, Count); 7] = [
    (w::RECEIVED, |row| row.received),
    (w::EARLY, |row| row.early),
    (w::ON_TIME, |row| row.on_time),
    (w::LATE, |row| row.late),
    (w::IN_WORK, |row| row.in_work),
    (w::IN_WORK_LATE, |row| row.in_work_late),
    (w::ENDED, |row| row.ended),
];

/// What is asked, as days and names.
#[derive(Clone, PartialEq, Debug)]
struct Asked {
    /// First day and last day, as they stand in the form.
    since: String,
    until: String,
    by: &'static str,
    kind: v1::StatisticsBy,
    agency: String,
}

/// `GET /statistics`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let asked = Asked::read(&visit.query, visit.now);
    let counted = visit.ask(visit.door().get_statistics(visit.request(asked.request()))).await?;
    let l = visit.look.language;
    let page = Page::new(w::TITLE.of(l)).section(Section::Statistics);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::TITLE.of(l)) } p.lead { (w::LEAD.of(l)) } }
        (form(&asked, visit.now, l))
        @if counted.rows.is_empty() { p.card { (w::NONE.of(l)) } } @else {
            @if let Some(total) = &counted.total { (totals(total, l)) }
            section.card aria-labelledby="chart-title" {
                div.row {
                    h2.grow #chart-title { (w::CHART.of(l)) }
                    a.button.plain href=(asked.address("/statistics.csv")) { (w::CSV.of(l)) }
                }
                (drawn(&counted.rows, asked.kind, l))
            }
            (table(&counted, l))
        }
        p.quiet { (w::AS_OF.of(l)) " " (time::moment(counted.as_of.as_ref(), l)) }
    })))
}

/// `GET /statistics.csv`: the same table for a spreadsheet.
pub(crate) async fn csv<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let asked = Asked::read(&visit.query, visit.now);
    let counted = visit.ask(visit.door().get_statistics(visit.request(asked.request()))).await?;
    // Both days are dates that were read, so that the name is harmless.
    let name = format!("attachment; filename=\"statistics-{}-{}-{}.csv\"", asked.by, asked.since, asked.until);
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, csv::written(&counted, visit.look.language)).into_response())
}

impl Asked {
    /// What the address says; this year where it says nothing.
    fn read(query: &Fields, now: Timestamp) -> Self {
        let day =
            |name: &str| query.first(name).parse::<Date>().ok().filter(|date| date.to_string() == query.first(name));
        let year = year_of(now);
        let (by, kind, _) = BY.into_iter().find(|(name, ..)| *name == query.first("by")).unwrap_or(BY[0]);
        Self {
            since: day("since").map_or_else(|| format!("{year:04}-01-01"), |date| date.to_string()),
            until: day("until").map_or_else(|| format!("{year:04}-12-31"), |date| date.to_string()),
            by,
            kind,
            agency: query.first("agency").to_owned(),
        }
    }

    fn request(&self) -> v1::GetStatisticsRequest {
        v1::GetStatisticsRequest {
            since: time::begin(&self.since).map(time::wire),
            until: time::end(&self.until).map(time::wire),
            by: self.kind as i32,
            agency: self.agency.clone(),
        }
    }

    fn address(&self, path: &str) -> String {
        let pairs = [("since", &*self.since), ("until", &self.until), ("by", self.by), ("agency", &self.agency)];
        address(path, &pairs)
    }
}

fn form(asked: &Asked, now: Timestamp, l: Language) -> Markup {
    html! {
        form.card method="get" action="/statistics" {
            div.row {
                label { span { (w::SINCE.of(l)) } input type="date" name="since" value=(asked.since); }
                label { span { (w::UNTIL.of(l)) } input type="date" name="until" value=(asked.until); }
                label { span { (w::BY.of(l)) } select name="by" {
                    @for (name, _, word) in BY { option value=(name) selected[name == asked.by] { (word.of(l)) } }
                } }
                label { span { (w::AGENCY.of(l)) } input type="text" name="agency" maxlength="64" value=(asked.agency); }
                button type="submit" { (w::APPLY.of(l)) }
            }
            nav.periods aria-label=(w::PERIODS.of(l)) {
                @for (word, since, until) in periods(now) {
                    @let place = Asked { since, until, ..asked.clone() };
                    a href=(place.address("/statistics")) aria-current=[(place == *asked).then_some("true")] { (word.of(l)) }
                }
            }
        }
    }
}

/// Periods that are asked for again and again, with their first and last days.
fn periods(now: Timestamp) -> Vec<(Word, String, String)> {
    let Some(today) = time::date(now) else { return Vec::new() };
    let year = i32::from(today.year());
    let quarter = (i32::from(today.month()) - 1) / 3 * 3 + 1;
    let half = if today.month() <= 6 { 1 } else { 7 };
    let span = |year: i32, first: i32, last: i32| {
        let end = i16::try_from(year)
            .ok()
            .zip(i8::try_from(last).ok())
            .and_then(|(year, month)| Date::new(year, month, 1).ok());
        let days = end.map_or(31, |date| date.days_in_month());
        (format!("{year:04}-{first:02}-01"), format!("{year:04}-{last:02}-{days:02}"))
    };
    let month = i32::from(today.month());
    [
        (w::THIS_MONTH, span(year, month, month)),
        (w::THIS_QUARTER, span(year, quarter, quarter + 2)),
        (w::HALF_YEAR, span(year, half, half + 5)),
        (w::THIS_YEAR, span(year, 1, 12)),
        (w::LAST_YEAR, span(year - 1, 1, 12)),
    ]
    .map(|(word, (since, until))| (word, since, until))
    .to_vec()
}

fn totals(total: &v1::StatisticsRow, l: Language) -> Markup {
    html! {
        section.tiles aria-label=(w::TOTAL.of(l)) {
            @for (word, count) in NUMBERS { (super::stuck::tile(word.of(l), &number::count(count(total), l), "")) }
            (super::stuck::tile(w::IN_TIME_SHARE.of(l), &in_time(total, l), ""))
        }
    }
}

/// The rows with the most files; months stay in their order.
fn drawn(rows: &[v1::StatisticsRow], kind: v1::StatisticsBy, l: Language) -> Markup {
    let mut shown: Vec<&v1::StatisticsRow> = rows.iter().collect();
    if kind != v1::StatisticsBy::Month {
        shown.sort_by(|a, b| b.received.cmp(&a.received).then_with(|| a.key.cmp(&b.key)));
        shown.truncate(BARS_MAX);
    } else if shown.len() > BARS_MAX {
        shown.drain(..shown.len() - BARS_MAX);
    }
    html! {
        (chart::bars(&shown, l))
        @if rows.len() > shown.len() { p.quiet { (w::CHART_CUT.of(l)) } }
    }
}

fn table(counted: &v1::GetStatisticsResponse, l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::CAPTION.of(l)) {
            table {
                caption { (w::CAPTION.of(l)) }
                thead { tr {
                    th scope="col" { (w::NAME.of(l)) }
                    @for (word, _) in NUMBERS { th.number scope="col" { (word.of(l)) } }
                    th.number scope="col" { (w::IN_TIME_SHARE.of(l)) }
                } }
                tbody { @for row in &counted.rows { tr {
                    th scope="row" { (name(row, l)) }
                    (cells(row, l))
                } } }
                @if let Some(total) = &counted.total {
                    tfoot { tr { th scope="row" { (w::TOTAL.of(l)) } (cells(total, l)) } }
                }
            }
        }
    }
}

/// The name, and the key where it says more.
fn name(row: &v1::StatisticsRow, l: Language) -> Markup {
    match (row.key.as_str(), row.name.as_str()) {
        ("", "") => html! { span.quiet { (w::NOBODY_SAID.of(l)) } },
        ("*", "") => html! { span.quiet { (w::ALL_OTHERS.of(l)) } },
        (key, "") => code(key),
        (key, name) if key == name => safe(name),
        (key, name) => html! { (safe(name)) @if !key.is_empty() { " " small { (code(key)) } } },
    }
}

fn cells(row: &v1::StatisticsRow, l: Language) -> Markup {
    html! {
        @for (_, count) in NUMBERS { td.number { (number::count(count(row), l)) } }
        td.number { (in_time(row, l)) }
    }
}

/// Of the finished files, how many were early or on time.
fn in_time(row: &v1::StatisticsRow, l: Language) -> String {
    let good = row.early.saturating_add(row.on_time);
    number::share(good, good.saturating_add(row.late), l)
}

fn year_of(now: Timestamp) -> i16 {
    time::date(now).map_or(2000, Date::year)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_332_366);

    #[test]
    fn the_usual_periods_have_their_first_and_last_days() {
        let spans: Vec<String> = periods(NOW).into_iter().map(|(_, since, until)| format!("{since} {until}")).collect();
        let expected = [
            "2026-11-01 2026-11-30",
            "2026-10-01 2026-12-31",
            "2026-07-01 2026-12-31",
            "2026-01-01 2026-12-31",
            "2025-01-01 2025-12-31",
        ];
        assert_eq!(spans, expected);
    }

    #[test]
    fn an_address_without_a_period_means_this_year_and_nonsense_is_no_period() {
        let asked = Asked::read(&Fields::read(b"since=%22%0d%0a&until=2026-13-01&by=moon"), NOW);
        assert_eq!((asked.since.as_str(), asked.until.as_str(), asked.by), ("2026-01-01", "2026-12-31", "agency"));
        let asked = Asked::read(&Fields::read(b"since=2018-01-01&until=2018-06-30&by=level&agency=h16"), NOW);
        assert_eq!(asked.address("/statistics"), "/statistics?since=2018-01-01&until=2018-06-30&by=level&agency=h16");
        let request = asked.request();
        assert_eq!(time::read(request.until.as_ref()), Timestamp::parse("2018-07-01T00:00:00+07:00"));
    }
}
