//! What is asked, and how rows are named and cut. The half-year of a province is counted by a walk over a real gateway.

use gateway_model::agency::Agency;
use gateway_model::directory::DirectoryContent;
use gateway_model::procedure::Procedure;
use gateway_model::time::Validity;

use super::*;

fn now() -> Timestamp {
    Timestamp::parse("2026-07-01T08:00:00+07:00").unwrap()
}

/// A province with two departments and a procedure.
fn directory() -> Directory {
    let departments =
        (1..=2).map(|n| agency(&format!("h99.s{n:02}"), Some("h99"), "sở", &format!("Sở số {n} (ví dụ)")));
    let content = DirectoryContent {
        agencies: std::iter::once(agency("h99", None, "tỉnh", "Tỉnh Ví Dụ")).chain(departments).collect(),
        procedures: vec![procedure("9.000001")],
        ..DirectoryContent::empty(1, now(), Timestamp::MAX)
    };
    Directory::new(content).unwrap()
}

fn asked(directory: &Directory, by: v1::StatisticsBy) -> Asked {
    Asked::read(directory, &v1::GetStatisticsRequest { by: by.into(), ..Default::default() }).unwrap()
}

fn agency(id: &str, parent: Option<&str>, level: &str, name: &str) -> Agency {
    Agency {
        id: AgencyId::parse(id).unwrap(),
        name: name.to_owned(),
        name_en: String::new(),
        codes: Vec::new(),
        parent: parent.map(|parent| AgencyId::parse(parent).unwrap()),
        level: level.to_owned(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: Vec::new(),
        gateway: None,
    }
}

fn procedure(code: &str) -> Procedure {
    let name = format!("Thủ tục {code} (ví dụ)");
    Procedure { code: code.to_owned(), version: "1".to_owned(), valid_from: None, name, limit: None, steps: Vec::new() }
}

#[test]
fn rows_have_the_names_of_the_directory() {
    let directory = directory();
    let row = |key: &str| Row { key: key.to_owned(), counts: Counts { received: 1, in_work: 1, ..Counts::default() } };
    let names = |by, rows| {
        let (rows, _) = asked(&directory, by).told(rows, &directory, Language::Vi, now());
        rows.into_iter().map(|row| (row.key, row.name)).collect::<Vec<_>>()
    };
    let own = |key: &str, name: &str| (key.to_owned(), name.to_owned());
    let told = names(v1::StatisticsBy::Agency, vec![row("h99.s01"), row("nobody")]);
    assert_eq!(told, [own("h99.s01", "Sở số 1 (ví dụ)"), own("nobody", "nobody")]);
    let told = names(v1::StatisticsBy::Procedure, vec![row(""), row("9.000001")]);
    assert_eq!(told, [own("", ""), own("9.000001", "Thủ tục 9.000001 (ví dụ)")]);
    let told = names(v1::StatisticsBy::Level, vec![row("h99.s01"), row("h99.s02"), row("nobody")]);
    assert_eq!(told, [own("", ""), own("sở", "sở")]);
    let told = names(v1::StatisticsBy::Month, vec![row("2026-01")]);
    assert_eq!(told, [own("2026-01", "2026-01")]);
}

#[test]
fn too_many_rows_leave_the_largest_and_one_for_all_others() {
    let row = |key: &str, received| Row { key: key.to_owned(), counts: Counts { received, ..Counts::default() } };
    let rows = at_most(vec![row("a", 1), row("b", 9), row("c", 2), row("d", 8)], 3);
    assert_eq!(rows, [row("b", 9), row("d", 8), row(OTHERS, 3)]);
    assert_eq!(at_most(rows.clone(), 3), rows);
}

#[test]
fn what_nobody_can_mean_is_refused_by_its_field() {
    let directory = directory();
    let refused = |request| Asked::read(&directory, &request).err().map(|refusal| (refusal.reason, refusal.field));
    let unknown = v1::GetStatisticsRequest { agency: "h98".to_owned(), ..Default::default() };
    assert_eq!(refused(unknown), Some((Reason::NotFound, "agency".to_owned())));
    let moon = v1::GetStatisticsRequest { by: 99, ..Default::default() };
    assert_eq!(refused(moon), Some((Reason::RequestMalformed, "by".to_owned())));
    let never = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let never = v1::GetStatisticsRequest { since: Some(never), ..Default::default() };
    assert_eq!(refused(never), Some((Reason::RequestMalformed, "since".to_owned())));
}
