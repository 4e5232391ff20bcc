//! The statistics of a province's half-year, by the command line and on the console's page: every number agrees with the simulator's journal.

use gateway_model::Timestamp;
use gateway_model::agency::OperatorRole;
use gateway_model::day::Day;
use gateway_register::Counts;
use serde_json::{Value, json};
use tests_harness::gateways::{self, Federation};
use tests_harness::half_year::{FILES, HalfYear};
use tests_harness::operator::Operator;
use tests_harness::sender;

use super::console::browse;

const PROVINCE: &str = "gw-province";
/// Its number among the gateways.
const TOP: usize = 2;

/// The numbers of a row, as the command line names them.
fn counts(row: &Value) -> Counts {
    let number = |name: &str| row[name].as_u64().unwrap();
    Counts {
        received: number("received"),
        early: number("early"),
        on_time: number("on_time"),
        late: number("late"),
        ended: number("ended"),
        in_work: number("in_work"),
        in_work_late: number("in_work_late"),
    }
}

/// The numbers of a row of the page, in the order of its columns.
fn cells(counts: &Counts) -> Vec<String> {
    let Counts { received, early, on_time, late, ended, in_work, in_work_late } = *counts;
    [received, early, on_time, late, in_work, in_work_late, ended].map(|number| number.to_string()).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_half_year_of_a_province_is_shown_as_its_journal_tells() {
    let now = Timestamp::from_seconds(sender::now().seconds);
    let mut year = HalfYear::until(now).unwrap();
    let mut federation = Federation::lay_out(year.plan.clone(), "", gateways::binary().unwrap()).unwrap();
    year.happen(&federation.local.gateways[TOP].store).unwrap();
    federation.local.spawn(TOP).unwrap();
    federation.local.wait_until_ready(TOP).await.unwrap();
    let operator = Operator::at(&federation, PROVINCE, OperatorRole::Viewer).unwrap();
    let (since, until) = (year.first.to_string(), Day::of(now).plus(-1).to_string());
    let asked =
        |more: &[&str]| operator.json(&[&["stats", "--since", &since, "--until", &until], more].concat()).unwrap();

    let all = year.journal.of("all").remove(0).1;
    assert!(all.received == FILES as u64 && all.early + all.on_time + all.late + all.ended > all.received * 8 / 10);
    assert!(
        [all.early, all.on_time, all.late, all.ended, all.in_work, all.in_work_late].iter().all(|count| *count > 0)
    );
    for by in ["agency", "level", "procedure", "month"] {
        let mut rows = asked(&["--by", by]);
        let total = rows.pop().unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row["key"].as_str().unwrap().to_owned(), counts(row))).collect();
        assert_eq!(told, year.journal.of(by), "by {by}");
        assert_eq!(counts(&total), all, "by {by}");
    }
    // An agency with those below it: the province, a district with its communes, a department by itself.
    let below = year.journal.of("below");
    for agency in ["h99", "h99.30", "h99.31", "h99.12"] {
        let expected = below.iter().find(|(key, _)| key == agency).unwrap().1;
        let rows = asked(&["--by", "month", "--agency", agency]);
        assert_eq!(counts(rows.last().unwrap()), expected, "{agency}");
    }

    let page = format!("/statistics?by=level&since={since}&until={until}");
    let asked = json!({ "gateway": PROVINCE, "page": page, "shot": "statistics-half-year" });
    let shown = browse("statistics", &federation, OperatorRole::Viewer, &asked);
    let expected: Vec<Vec<String>> =
        year.journal.of("level").iter().map(|(_, counts)| cells(counts)).chain([cells(&all)]).collect();
    assert_eq!(serde_json::from_value::<Vec<Vec<String>>>(shown["rows"].clone()).unwrap(), expected);
    assert!(shown["charts"].as_u64().unwrap() > 0, "the chart is drawn");
}
