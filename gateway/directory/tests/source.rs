//! A source is read whole: every fault with its line, all together.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pki;

use std::path::Path;

use gateway_directory::{FaultKind, Source};
use gateway_model::day::Day;
use gateway_model::procedure::Limit;
use gateway_model::time::{Timestamp, Validity};
use gateway_model::working_time::WorkingTime;
use pki::Folder;

#[test]
fn a_good_source_is_read_with_every_file_it_names() {
    let folder = Folder::new();
    let source = Source::read(&folder.source(GOOD)).unwrap();
    assert_eq!(source.version(), Some(7));
    assert_eq!(source.valid_for().as_secs(), 30 * 24 * 3600);
    let content = source.content();
    assert_eq!((content.agencies.len(), content.systems.len(), content.gateways.len()), (2, 1, 2));
    assert_eq!((content.anchors.len(), content.intermediates.len(), content.crls.len()), (1, 1, 1));
    assert_eq!(content.agencies[0].signers[0].certificate, folder.leaf_digest);
    assert_eq!(content.gateways[1].parent.as_ref().map(|p| p.as_str()), Some("gw-province"));
}

#[test]
fn a_registration_never_outlives_its_certificate_and_says_when_that_ends() {
    let folder = Folder::new();
    let validity = |words: &str| {
        let text = GOOD.replacen(
            "certificate = \"signers/leaf.pem\"",
            &format!("certificate = \"signers/leaf.pem\"\n{words}"),
            1,
        );
        Source::read(&folder.source(&text)).unwrap().content().agencies[0].signers[0].validity
    };
    let at = |seconds| Some(Timestamp::from_seconds(seconds));
    // The certificate is valid through its last second, its notAfter.
    assert_eq!(validity(""), Validity { from: None, until: at(2_000_000_001) });
    let given = "valid_from = \"2025-01-01T00:00:00Z\"\nvalid_until = \"2026-01-01T00:00:00Z\"";
    assert_eq!(validity(given), Validity { from: at(1_735_689_600), until: at(1_767_225_600) });
    let longer = "valid_from = \"2020-01-01T00:00:00Z\"\nvalid_until = \"2040-01-01T00:00:00Z\"";
    assert_eq!(validity(longer), Validity { from: at(1_577_836_800), until: at(2_000_000_001) });
    let before = "valid_until = \"2020-01-01T00:00:00Z\"";
    assert_eq!(validity(before).until, at(1_577_836_800), "whoever wants it ended long ago has it so");
}

#[test]
fn a_calendar_and_a_procedure_are_read_and_usual_hours_need_no_words() {
    let folder = Folder::new();
    let source = Source::read(&folder.source(GOOD)).unwrap();
    let (calendar, procedure) = (&source.content().calendars[0], &source.content().procedures[0]);
    assert_eq!((calendar.version, calendar.valid_from), (2, Day::parse("2026-01-01")));
    assert_eq!(calendar.time.hours(), WorkingTime::default().hours());
    let off: Vec<String> = calendar.time.days_off().iter().map(ToString::to_string).collect();
    assert_eq!(off, ["2026-02-17", "2026-09-02"]);
    assert_eq!((procedure.limit, procedure.valid_from), (Some(Limit::WorkingDays(5)), None));
    assert_eq!(procedure.steps[0].limit_hours, Some(8));
    let text = GOOD.replace("limit_days = 5", "limit_days = 30\ncalendar_days = true");
    let source = Source::read(&folder.source(&text)).unwrap();
    assert_eq!(source.content().procedures[0].limit, Some(Limit::CalendarDays(30)));
}

#[test]
fn faults_of_calendars_and_procedures_say_what_would_do() {
    check(&GOOD.replace("days_off", "day_off"), "calendar.day_off: unknown key; the nearest is `days_off`");
    check(&GOOD.replace("limit_working_hours", "limit_hours"), "the nearest is `limit_working_hours`");
    check(&GOOD.replace("2026-02-17]", "\"17/2/2026\"]"), "is not a day of the calendar, such as 2026-09-02");
    check(&GOOD.replace("version = 2\n", ""), "calendar.version: is missing");
    check(&GOOD.replace("limit_days = 5", "limit_days = 3661"), "`3661` is not a limit of at most 3660 days");
    check(
        &GOOD.replace("days_off", "hours = [\"7:30 - 11:30\"]\ndays_off"),
        "calendar.hours: `7:30 - 11:30` is not a span of office hours such as 07:30-11:30",
    );
    check(
        &GOOD.replace("days_off", "hours = []\ndays_off"),
        "the office hours of calendar h99 version 2 are empty, out of order, or not inside of one day",
    );
    let both = GOOD.replace("\"2026-08-22\"", "\"2026-09-02\"");
    let folder = Folder::new();
    let faults = Source::read(&folder.source(&both)).unwrap_err();
    let line = both.lines().position(|line| line.contains("[[calendar]]")).unwrap() + 1;
    assert_eq!((faults.len(), faults[0].line), (1, line), "{faults:#?}");
    let lost = GOOD.replace("agencies = [\"h99\"]", "agencies = [\"h98\"]");
    check(&lost, "calendar h99 version 2 names h98 as its agency, which does not exist");
}

#[test]
fn certificates_and_lists_are_read_in_der_as_well() {
    let folder = Folder::new();
    let text = GOOD.replace("ca/root.pem", "ca/root.der").replace("ca/root.crl", "ca/root.crl.der");
    let (pem, der) = (Source::read(&folder.source(GOOD)).unwrap(), Source::read(&folder.source(&text)).unwrap());
    assert_eq!(pem.content().anchors[0].certificate, der.content().anchors[0].certificate);
    assert_eq!(pem.content().crls, der.content().crls);
}

#[test]
fn all_faults_are_reported_together_with_their_lines() {
    let folder = Folder::new();
    let text = GOOD
        .replace("valid_for = \"30d\"", "valid_for = \"a month\"")
        .replace("name_en = \"Province\"", "nam_en = \"Province\"")
        .replace("signers/leaf.pem", "signers/none.pem")
        .replace("https://127.0.0.1:7102", "http://127.0.0.1:7102")
        .replace("role = \"operator\"", "role = \"king\"");
    let faults = Source::read(&folder.source(&text)).unwrap_err();
    let lines: Vec<(usize, &str)> = faults.iter().map(|fault| (fault.line, fault.key.as_str())).collect();
    let at = |needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let expected = [
        (at("a month"), "valid_for"),
        (at("http://"), "gateway.address"),
        (at("nam_en"), "agency.nam_en"),
        (at("none.pem"), "signer.certificate"),
        (at("king"), "operator.role"),
    ];
    assert_eq!(lines, expected, "{faults:#?}");
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest() {
    check(&GOOD.replace("speaks_for", "speak_for"), "system.speak_for: unknown key; the nearest is `speaks_for`");
    check(&GOOD.replace("version = 7", "versoin = 7"), "versoin: unknown key; the nearest is `version`");
    check(&format!("{GOOD}\n[[agencies]]\n"), "agencies: unknown key; the nearest is `agency`");
    check(&GOOD.replace("version = 7", "zzzzzzzzzz = 7"), "zzzzzzzzzz: unknown key");
}

#[test]
fn a_value_that_does_not_fit_says_what_would() {
    check(&GOOD.replace("version = 7", "version = -7"), "version: `-7` is not a whole number above zero");
    check(&GOOD.replace("version = 7", "version = \"7\""), "version: wanted a whole number, found string");
    check(&GOOD.replace("\"h99\"", "\"h 99\""), "agency.id: `h 99` is not an id of 1 to 64 letters, digits and -._:/");
    check(&GOOD.replace("[\"agency\"]", "\"agency\""), "signer.roles: wanted a list of strings, found string");
    check(
        &GOOD.replace("[\"agency\"]", "[\"seal\"]"),
        "signer.roles: `seal` is not one of person, agency, sealed-by-adapter",
    );
    check(&GOOD.replace("+07:00", ""), "is not a time with a zone, such as 2025-07-01T00:00:00+07:00");
    check(&GOOD.replace("directory-source.v1", "directory-source.v2"), "is not `lienthong.directory-source.v1`");
}

#[test]
fn a_key_that_must_stand_is_missed_at_the_line_of_its_table() {
    let folder = Folder::new();
    let text = GOOD.replace("address = \"https://127.0.0.1:7102\"\n", "");
    let faults = Source::read(&folder.source(&text)).unwrap_err();
    let table = text.lines().position(|line| line.contains("[[gateway]]")).unwrap() + 1;
    assert_eq!((faults.len(), faults[0].line, faults[0].key.as_str()), (1, table, "gateway.address"), "{faults:#?}");
    assert!(matches!(faults[0].kind, FaultKind::Missing));
}

#[test]
fn a_file_with_something_else_inside_is_named() {
    check(&GOOD.replace("ca/root.pem", "ca/root.crl"), "has no certificate in PEM or DER form");
    check(
        &GOOD.replace("crls = [\"ca/root.crl\"]", "crls = [\"ca/root.pem\"]"),
        "has no certificate revocation list in PEM or DER form",
    );
    check(&GOOD.replace("ca/root.pem", "ca/two.pem"), "has no single certificate in PEM or DER form");
    check(&GOOD.replace("ca/root.pem", "ca/trailing.der"), "has no certificate in PEM or DER form");
}

#[test]
fn what_does_not_hold_together_is_reported_at_the_line_of_its_entry() {
    let folder = Folder::new();
    let text = GOOD.replace("gateway = \"gw-province\"", "gateway = \"gw-nowhere\"");
    let faults = Source::read(&folder.source(&text)).unwrap_err();
    let line = text.lines().position(|line| line.contains("[[agency]]")).unwrap() + 1;
    assert_eq!((faults.len(), faults[0].line), (1, line), "{faults:#?}");
    assert!(
        faults[0].to_string().ends_with("h99 names gw-nowhere as its gateway, which does not exist"),
        "{}",
        faults[0]
    );
}

#[test]
fn an_entry_left_out_for_a_fault_makes_no_faults_elsewhere() {
    let folder = Folder::new();
    let text = GOOD.replace("id = \"gw-province\"", "id = \"gw province\"");
    let faults = Source::read(&folder.source(&text)).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:#?}");
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let folder = Folder::new();
    let faults = Source::read(&folder.source("schema = \"x\nversion = 1\n")).unwrap_err();
    assert!(matches!(faults[0].kind, FaultKind::Syntax(_)), "{faults:#?}");
    assert_eq!(faults[0].line, 1);
}

#[test]
fn a_source_that_is_not_there_is_a_fault_of_the_whole() {
    let faults = Source::read(Path::new("no/such/directory.toml")).unwrap_err();
    assert_eq!((faults.len(), faults[0].line), (1, 0));
}

fn check(text: &str, expected: &str) {
    let folder = Folder::new();
    let faults = Source::read(&folder.source(text)).unwrap_err();
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(lines.iter().any(|line| line.ends_with(expected)), "wanted {expected:?} in {lines:#?}");
}

const GOOD: &str = r#"schema = "lienthong.directory-source.v1"
version = 7
valid_for = "30d"
intermediates = ["ca/issuing.pem"]
crls = ["ca/root.crl"]

[[anchor]]
certificate = "ca/root.pem"
purpose = "sign"
algorithms = ["ecdsa"]
policies = ["1.3.6.1.4.1.99999.1"]
revocation_grace = "12h"

[[gateway]]
id = "gw-province"
address = "https://127.0.0.1:7102"

[[gateway]]
id = "gw-commune"
address = "https://127.0.0.1:7101"
parent = "gw-province"
tls = ["tls/gw.pem"]

[[agency]]
id = "h99"
name = "Ủy ban nhân dân tỉnh Hòa Giang"
name_en = "Province"
codes = ["H99", "000.00.00.H99"]
level = "tỉnh"
gateway = "gw-province"
valid_from = "2025-07-01T00:00:00+07:00"
  [[agency.signer]]
  certificate = "signers/leaf.pem"
  roles = ["agency"]

[[agency]]
id = "h99.30"
name = "Ủy ban nhân dân xã An Bình"
codes = ["H99.30"]
parent = "h99"
level = "xã"

[[system]]
id = "sys"
speaks_for = ["h99"]

[[operator]]
id = "an"
role = "operator"

[[calendar]]
id = "h99"
version = 2
valid_from = 2026-01-01
agencies = ["h99"]
days_off = ["2026-09-02", 2026-02-17]
make_up_days = ["2026-08-22"]

[[procedure]]
code = "1.012783"
version = "345/QĐ-UBND"
name = "Cấp lại Giấy chứng nhận"
limit_days = 5
  [[procedure.step]]
  step = "thue"
  name = "Thuế"
  limit_working_hours = 8
"#;
