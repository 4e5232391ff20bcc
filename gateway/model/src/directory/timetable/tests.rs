//! Tests of calendars and procedures in the directory: which is in force, and every fault.

use super::*;
use crate::agency::Agency;
use crate::procedure::{Limit, ProcedureStep};
use crate::time::{Timestamp, Validity};
use crate::working_time::OfficeHours;

fn id(text: &str) -> AgencyId {
    AgencyId::parse(text).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn calendar(name: &str, version: u32, from: &str, agencies: &[&str]) -> Calendar {
    Calendar {
        id: CalendarId::parse(name).unwrap(),
        version,
        valid_from: (!from.is_empty()).then(|| day(from)),
        agencies: agencies.iter().map(|agency| id(agency)).collect(),
        time: WorkingTime::default(),
    }
}

fn procedure(code: &str, version: &str, from: &str, days: u32) -> Procedure {
    Procedure {
        code: code.to_owned(),
        version: version.to_owned(),
        valid_from: (!from.is_empty()).then(|| day(from)),
        name: "Cấp lại Giấy chứng nhận".to_owned(),
        limit: Some(Limit::WorkingDays(days)),
        steps: Vec::new(),
    }
}

/// A province, a district, a commune, and a department beside them.
fn directory(calendars: Vec<Calendar>, procedures: Vec<Procedure>) -> Result<Directory, Vec<DirectoryFault>> {
    let agency = |name: &str, parent: Option<&str>| Agency {
        id: id(name),
        name: name.to_owned(),
        name_en: String::new(),
        codes: Vec::new(),
        parent: parent.map(id),
        level: String::new(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: Vec::new(),
        gateway: None,
    };
    Directory::new(DirectoryContent {
        agencies: vec![
            agency("province", None),
            agency("district", Some("province")),
            agency("commune", Some("district")),
            agency("department", Some("province")),
            agency("elsewhere", None),
        ],
        calendars,
        procedures,
        ..DirectoryContent::empty(1, Timestamp::MIN, Timestamp::MAX)
    })
}

fn faults(calendars: Vec<Calendar>, procedures: Vec<Procedure>) -> Vec<String> {
    directory(calendars, procedures).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_calendar_of_the_nearest_ancestor_holds() {
    let calendars = vec![
        calendar("all", 1, "", &[]),
        calendar("province", 1, "", &["province"]),
        calendar("district", 1, "", &["district"]),
    ];
    let directory = directory(calendars, Vec::new()).unwrap();
    let found = |agency: &str| directory.calendar_for(&id(agency), day("2026-03-02")).unwrap().id.to_string();
    assert_eq!(
        ["commune", "department", "province", "elsewhere"].map(found),
        ["district", "province", "province", "all"]
    );
    assert_eq!(found("unknown"), "all");
}

#[test]
fn without_a_calendar_the_usual_hours_hold() {
    let directory = directory(vec![calendar("district", 1, "2026-01-01", &["district"])], Vec::new()).unwrap();
    assert!(directory.calendar_for(&id("province"), day("2026-03-02")).is_none());
    assert!(directory.calendar_for(&id("commune"), day("2025-12-31")).is_none(), "it has not begun");
    assert_eq!(directory.working_time_for(&id("province"), day("2026-03-02")), &WorkingTime::default());
}

#[test]
fn the_version_of_the_day_holds_and_a_later_one_may_let_an_agency_go() {
    let calendars = vec![
        calendar("province", 2, "2026-07-01", &["province"]),
        calendar("province", 1, "", &["province", "commune"]),
        calendar("commune", 1, "2026-07-01", &["commune"]),
    ];
    let directory = directory(calendars, Vec::new()).unwrap();
    let found = |agency: &str, at: &str| {
        let calendar = directory.calendar_for(&id(agency), day(at)).unwrap();
        (calendar.id.to_string(), calendar.version)
    };
    assert_eq!(found("commune", "2026-06-30"), ("province".to_owned(), 1));
    assert_eq!(found("commune", "2026-07-01"), ("commune".to_owned(), 1));
    assert_eq!(found("province", "2026-07-01"), ("province".to_owned(), 2));
}

#[test]
fn a_procedure_is_found_in_the_version_of_the_day_and_with_an_agency_appended() {
    let procedures = vec![procedure("1.012783", "1", "", 10), procedure("1.012783", "2", "2026-01-01", 5)];
    let directory = directory(Vec::new(), procedures).unwrap();
    let found = |code: &str, at: &str| directory.procedure(code, day(at)).map(|found| found.version.clone());
    assert_eq!(found("1.012783", "2025-12-31").as_deref(), Some("1"));
    assert_eq!(found("1.012783", "2026-01-01").as_deref(), Some("2"));
    assert_eq!(found("1.012783.000.00.00.H56", "2026-01-01").as_deref(), Some("2"));
    assert_eq!(found("1.012783.H56", "2026-01-01").as_deref(), Some("2"));
    assert_eq!(found("1.0127830", "2026-01-01"), None);
    assert_eq!(found("1.012783.000", "2026-01-01"), None, "an agency's code has a letter");
    assert_eq!(found("", "2026-01-01"), None);
    assert_eq!(found(&"1.".repeat(4_000), "2026-01-01"), None);
}

#[test]
fn every_fault_is_found_at_once() {
    let mut spoiled = calendar("a", 1, "", &["nobody"]);
    let upside_down = OfficeHours { from_minute: 600, until_minute: 540 };
    spoiled.time = WorkingTime::new(vec![upside_down], [day("2026-02-16")], [day("2026-02-16")]);
    let step = ProcedureStep { step: "thue".to_owned(), name: "Thuế".to_owned(), limit_hours: None };
    let mut twice = procedure("1.1", "1", "", 5);
    twice.steps = vec![step.clone(), step];
    assert_eq!(
        faults(vec![spoiled], vec![twice]),
        [
            "the office hours of calendar a version 1 are empty, out of order, or not inside of one day",
            "calendar a version 1 has 2026-02-16 as a day off and as a make-up day",
            "calendar a version 1 names nobody as its agency, which does not exist",
            "procedure 1.1 version 1 has the step thue twice",
        ]
    );
}

#[test]
fn versions_that_overlap_are_faults() {
    let both = |one, other| vec![calendar("a", one, "2026-01-01", &[]), calendar("a", other, "2026-01-01", &[])];
    assert_eq!(faults(both(1, 2), Vec::new()).len(), 1);
    let falling = vec![calendar("a", 2, "2026-01-01", &[]), calendar("a", 1, "2026-02-01", &[])];
    assert_eq!(
        faults(falling, Vec::new()),
        ["calendar a version 1 and calendar a version 2 are in force on the same days"]
    );
    let same_day = vec![procedure("1.1", "1", "", 5), procedure("1.1", "2", "", 6)];
    assert_eq!(faults(Vec::new(), same_day).len(), 1);
    let same_name = vec![procedure("1.1", "1", "", 5), procedure("1.1", "1", "2026-01-01", 6)];
    assert_eq!(
        faults(Vec::new(), same_name),
        ["procedure 1.1 version 1 and procedure 1.1 version 1 are in force on the same days"]
    );
}

#[test]
fn two_calendars_for_one_agency_are_a_fault_only_while_both_are_in_force() {
    let two = |second: &str| {
        vec![
            calendar("a", 1, "", &["commune"]),
            calendar("a", 2, "2026-07-01", &["district"]),
            calendar("b", 1, second, &["commune"]),
        ]
    };
    assert_eq!(
        faults(two("2026-06-30"), Vec::new()),
        ["calendar a version 1 and calendar b version 1 both hold for commune"]
    );
    assert!(directory(two("2026-07-01"), Vec::new()).is_ok());
    let everybody = vec![calendar("a", 1, "", &[]), calendar("b", 1, "", &[])];
    assert!(faults(everybody, Vec::new())[0].ends_with("both hold for everybody"));
}
