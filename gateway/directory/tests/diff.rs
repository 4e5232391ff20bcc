//! What changed between two directories, and what one holds, in lines for a person.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pki;

use gateway_directory::{Change, Noun, Source, diff, issue, open, summarize};
use gateway_model::directory::Directory;
use gateway_model::language::Language;
use gateway_model::time::Timestamp;
use pki::{Folder, authority};

const ISSUED: Timestamp = Timestamp::from_seconds(1_790_000_000);

#[test]
fn equal_directories_do_not_differ() {
    assert_eq!(diff(&directory(SOURCE), &directory(SOURCE)), []);
}

#[test]
fn a_new_agency_and_a_removed_system_are_told() {
    let more = SOURCE.replace(SYSTEM, "[[agency]]\nid = \"h99.40\"\nname = \"Xã Bình Minh\"\nlevel = \"xã\"\n");
    let found = diff(&directory(SOURCE), &directory(&more));
    let kinds: Vec<_> = found.iter().map(|d| (d.change, d.noun, d.id.as_str())).collect();
    assert_eq!(kinds, [(Change::Added, Noun::Agency, "h99.40"), (Change::Removed, Noun::System, "sys")]);
    assert_eq!(found[0].lines(Language::Vi), ["+ cơ quan h99.40 (Xã Bình Minh)"]);
    assert_eq!(found[1].lines(Language::En), ["- system sys"]);
}

#[test]
fn an_agency_that_ends_is_told_apart_from_one_that_changed() {
    let end = "valid_until = \"2026-07-01T00:00:00+07:00\"\nsucceeded_by = [\"h99\"]\nlevel = \"xã\"";
    let found = diff(&directory(SOURCE), &directory(&SOURCE.replace("level = \"xã\"", end)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].change, Change::Ended);
    assert_eq!(
        found[0].lines(Language::En),
        [
            "† agency h99.30 (Ủy ban nhân dân xã An Bình)",
            "    valid_until: (none) → 2026-06-30T17:00:00Z",
            "    succeeded_by: (none) → h99",
        ]
    );
}

#[test]
fn a_changed_gateway_code_and_certificate_are_told_field_by_field() {
    let changed = SOURCE
        .replace("https://127.0.0.1:7102", "https://10.0.0.1:443")
        .replace("[\"H99\"]", "[\"H99\", \"000.00.00.H99\"]")
        .replace("  [[agency.signer]]\n  certificate = \"signers/leaf.pem\"\n", "");
    let found = diff(&directory(SOURCE), &directory(&changed));
    let lines: Vec<String> = found.iter().flat_map(|difference| difference.lines(Language::Vi)).collect();
    assert_eq!(lines[0], "~ cơ quan h99 (Ủy ban nhân dân tỉnh Hòa Giang)");
    assert_eq!(lines[1], "    codes: H99 → H99, 000.00.00.H99");
    assert!(lines[2].starts_with("    signer: ") && lines[2].ends_with(" → (không có)"), "{}", lines[2]);
    assert_eq!(lines[4], "    address: https://127.0.0.1:7102 → https://10.0.0.1:443");
}

#[test]
fn a_renewed_revocation_list_is_one_more_and_one_less() {
    let found = diff(&directory(SOURCE), &directory(&SOURCE.replace("crls = [\"ca/root.crl\"]\n", "")));
    assert_eq!((found.len(), found[0].change, found[0].noun), (1, Change::Removed, Noun::RevocationList));
    assert!(found[0].name.starts_with("CN=Root ("), "{}", found[0].name);
}

#[test]
fn calendars_and_procedures_are_told_by_version() {
    let with = |text: &str| directory(&format!("{SOURCE}\n{text}"));
    let calendar = "[[calendar]]\nid = \"tinh\"\nversion = 1\ndays_off = [\"2026-02-17\"]\n";
    let procedure = "[[procedure]]\ncode = \"1.012783\"\nversion = \"1\"\nname = \"Cấp lại\"\nlimit_days = 5\n";
    let before = with(&format!("{calendar}{procedure}"));
    let longer = format!("{}{}", calendar.replace("17", "18"), procedure.replace("limit_days = 5", "limit_days = 10"));
    let lines: Vec<String> = diff(&before, &with(&longer)).iter().flat_map(|d| d.lines(Language::Vi)).collect();
    let expected = [
        "~ lịch làm việc tinh 1",
        "    days_off: 2026-02-17 → 2026-02-18",
        "~ thủ tục hành chính 1.012783 1 (Cấp lại)",
        "    limit_days: 5 → 10",
    ];
    assert_eq!(lines, expected);
    assert_eq!(diff(&directory(SOURCE), &before)[0].lines(Language::En), ["+ calendar tinh 1"]);
    let later = format!("{procedure}\n{}", procedure.replace("\"1\"", "\"2\"\nvalid_from = 2030-01-01"));
    let summary = summarize(&with(&format!("{calendar}{later}")), ISSUED);
    assert_eq!((summary.procedures, summary.procedures_other), (1, 1));
    let line = "  tinh 1: 07:30-11:30 13:30-17:00; 1 ngày nghỉ, 0 ngày làm bù, đến 2026-02-17";
    assert!(summary.lines(Language::Vi).contains(&line.to_owned()), "{:#?}", summary.lines(Language::Vi));
}

#[test]
fn a_summary_counts_what_needs_a_person() {
    let summary = summarize(&directory(SOURCE), ISSUED);
    assert_eq!((summary.agencies_alive, summary.agencies_other), (2, 0));
    assert_eq!((summary.agencies_without_gateway, summary.agencies_without_signer), (0, 1));
    assert_eq!(summary.gateways, ["gw-province https://127.0.0.1:7102"]);
    assert!(summary.anchors[0].1.starts_with("CN=Root (… "), "{:?}", summary.anchors[0]);
    assert!(summary.lines(Language::Vi).iter().any(|line| line.starts_with("  ký số: CN=Root")));
    assert!(!summary.expired);
    assert!(summary.lines(Language::Vi).contains(&"cơ quan đang hoạt động: 2".to_owned()));
}

#[test]
fn a_summary_says_when_the_time_is_over() {
    let directory = directory(SOURCE);
    let summary = summarize(&directory, directory.expires_at());
    assert!(summary.expired && summary.lines(Language::En)[2].ends_with("(EXPIRED)"));
}

fn directory(text: &str) -> Directory {
    let (folder, signer) = (Folder::new(), authority("authority"));
    let source = Source::read(&folder.source(text)).unwrap();
    let bytes = issue(&source, None, ISSUED, &signer).unwrap();
    open(&bytes, &[signer.verifier().clone()], ISSUED).unwrap().directory
}

const SYSTEM: &str = "[[system]]\nid = \"sys\"\nspeaks_for = [\"h99\"]\n";

const SOURCE: &str = r#"schema = "lienthong.directory-source.v1"
version = 7
valid_for = "30d"
crls = ["ca/root.crl"]

[[anchor]]
certificate = "ca/root.pem"
purpose = "sign"

[[gateway]]
id = "gw-province"
address = "https://127.0.0.1:7102"

[[agency]]
id = "h99"
name = "Ủy ban nhân dân tỉnh Hòa Giang"
codes = ["H99"]
level = "tỉnh"
gateway = "gw-province"
  [[agency.signer]]
  certificate = "signers/leaf.pem"

[[agency]]
id = "h99.30"
name = "Ủy ban nhân dân xã An Bình"
parent = "h99"
level = "xã"

[[system]]
id = "sys"
speaks_for = ["h99"]
"#;
