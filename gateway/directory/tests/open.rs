//! A directory opens only when the authority signed exactly these bytes, in time, and when it holds together.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pki;

use gateway_directory::{Expiry, Replacement, Source, cosign, issue, open, open_with, sign};
use gateway_model::Digest;
use gateway_model::agency::{Agency, Gateway};
use gateway_model::calendar::Calendar;
use gateway_model::day::Day;
use gateway_model::directory::DirectoryContent;
use gateway_model::id::{AgencyId, CalendarId, GatewayId};
use gateway_model::note::{NoteSigner, VerifierKey};
use gateway_model::procedure::{Limit, Procedure, ProcedureStep};
use gateway_model::reason::Reason;
use gateway_model::time::{Timestamp, Validity};
use gateway_model::working_time::{OfficeHours, WorkingTime};
use pki::{Folder, authority, pki};
use prost::Message as _;
use proto::v1;

const ISSUED: Timestamp = Timestamp::from_seconds(1_790_000_000);
const LATER: Timestamp = Timestamp::from_seconds(1_790_000_060);
const EXPIRY: Timestamp = Timestamp::from_seconds(1_790_003_600);

#[test]
fn what_is_issued_from_a_source_opens_with_everything_in_it() {
    let (folder, signer) = (Folder::new(), authority("authority"));
    let source = Source::read(&folder.source(SOURCE)).unwrap();
    let bytes = issue(&source, Some(12), ISSUED, &signer).unwrap();
    let opened = open(&bytes, &[signer.verifier().clone()], LATER).unwrap();
    let directory = &opened.directory;
    assert_eq!((directory.version(), directory.issued_at()), (12, ISSUED));
    assert_eq!(directory.expires_at(), EXPIRY);
    let agency = directory.agency_named("000.00.00.H99").unwrap();
    assert_eq!((agency.name.as_str(), agency.signers[0].certificate), ("Ủy ban", folder.leaf_digest));
    assert_eq!(directory.content().anchors[0].certificate, pki().root.to_der().unwrap());
    assert_eq!(directory.content().crls, [pki().crl.clone()]);
    assert_eq!(opened.digest, Digest::of(&v1::SignedDirectory::decode(&*bytes).unwrap().directory));
    assert!(!opened.expired);
}

#[test]
fn a_source_without_a_version_needs_one_and_a_life_has_a_bound() {
    let (folder, signer) = (Folder::new(), authority("authority"));
    let source = Source::read(&folder.source(&SOURCE.replace("\"1h\"", "\"400d\""))).unwrap();
    let faults = issue(&source, None, ISSUED, &signer).unwrap_err();
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["version", "valid_for"], "{faults:#?}");
}

#[test]
fn nothing_is_issued_that_no_gateway_would_take() {
    let (folder, signer) = (Folder::new(), authority("authority"));
    let source = Source::read(&folder.source(SOURCE)).unwrap();
    let faults = issue(&source, Some(1), Timestamp::from_seconds(253_402_300_799), &signer).unwrap_err();
    assert!(faults[0].to_string().contains("DIRECTORY_MALFORMED"), "{faults:#?}");
}

#[test]
fn another_authority_is_not_believed() {
    let (signer, other) = (authority("authority"), authority("authority"));
    let refusal = open(&sign(&content(), &signer), &[other.verifier().clone()], LATER).unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectorySignatureInvalid);
    assert_eq!(open(&sign(&content(), &signer), &[], LATER).unwrap_err().reason, Reason::DirectorySignatureInvalid);
}

#[test]
fn where_two_persons_are_asked_for_the_second_has_to_have_signed_too() {
    let (signer, second, other) = (authority("authority"), authority("binh"), authority("an"));
    let alone = sign(&content(), &signer);
    let both = cosign(&alone, &second).unwrap();
    let keys = [signer.verifier().clone()];
    let check_cosigned =
        |bytes: &[u8], persons: &[VerifierKey]| open(bytes, &keys, LATER).unwrap().check_cosigned(persons);
    let persons = [other.verifier().clone(), second.verifier().clone()];
    assert_eq!(check_cosigned(&alone, &[]), Ok(()), "nobody is asked for");
    assert_eq!(check_cosigned(&alone, &persons).unwrap_err().reason, Reason::DirectorySignatureInvalid);
    assert_eq!(check_cosigned(&both, &persons), Ok(()));
    assert_eq!(check_cosigned(&both, &persons[..1]).unwrap_err().reason, Reason::DirectorySignatureInvalid);
    assert_eq!(open(&both, &keys, LATER).unwrap().digest, open(&alone, &keys, LATER).unwrap().digest);
    assert_eq!(cosign(&both, &second).unwrap_err().reason, Reason::DirectorySignatureInvalid);
    assert_eq!(cosign(b"\xff", &second).unwrap_err().reason, Reason::DirectoryMalformed);
}

#[test]
fn one_changed_bit_of_the_directory_is_refused() {
    check(Reason::DirectorySignatureInvalid, |signed, _| {
        let mut bytes = signed.directory.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        signed.directory = bytes.into();
    });
}

#[test]
fn a_note_over_another_version_of_the_same_bytes_is_refused() {
    check(Reason::DirectorySignatureInvalid, |signed, signer| {
        let text = signed.note.split("\n\n").next().unwrap().replace("\n9\n", "\n10\n");
        signed.note = signer.sign(&format!("{text}\n"));
    });
}

#[test]
fn a_note_of_another_kind_by_the_same_key_is_refused() {
    check(Reason::DirectorySignatureInvalid, |signed, signer| {
        let text = signed.note.split("\n\n").next().unwrap().replace("lienthong.directory.v1", "gw-province");
        signed.note = signer.sign(&format!("{text}\n"));
    });
}

#[test]
fn bytes_that_are_no_directory_are_malformed() {
    let signer = authority("authority");
    for bytes in [&b"\xff\xff"[..], &b"not a directory"[..]] {
        let refusal = open(bytes, &[signer.verifier().clone()], LATER).unwrap_err();
        assert_eq!(refusal.reason, Reason::DirectoryMalformed);
    }
}

#[test]
fn a_field_out_of_shape_is_malformed_and_named() {
    malformed("schema", |directory| directory.schema = "lienthong.directory.v2".to_owned());
    malformed("version", |directory| directory.version = 0);
    malformed("issued_at", |directory| directory.issued_at = None);
    malformed("expires_at", |directory| directory.expires_at = directory.issued_at);
    malformed("agencies[1].id", |directory| directory.agencies[1].id = "a b".to_owned());
    malformed("agencies[0].name", |directory| directory.agencies[0].name = "a\u{202e}b".to_owned());
    malformed("agencies[0].codes[1]", |directory| directory.agencies[0].codes = vec!["H99".to_owned(), String::new()]);
    malformed("agencies[0].valid_from", |directory| {
        directory.agencies[0].valid_from = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
    });
    malformed("agencies[0].signers[0].sha256", |directory| {
        directory.agencies[0].signers = vec![v1::SignerCertificate::default()];
    });
    malformed("gateways[0].address", |directory| directory.gateways[0].address = "gw:1".to_owned());
    malformed("gateways[0].log_keys[0]", |directory| directory.gateways[0].log_keys = vec!["gw".to_owned()]);
    malformed("anchors[0].certificate", |directory| directory.anchors = vec![v1::Anchor::default()]);
    malformed("intermediates[0]", |directory| directory.intermediates = vec![b"x".to_vec().into()]);
    malformed("crls[0]", |directory| directory.crls = vec![[pki().crl.as_slice(), b"x"].concat().into()]);
    malformed("calendars[0].version", |directory| directory.calendars[0].version = 0);
    malformed("calendars[0].days_off[0]", |directory| directory.calendars[0].days_off = vec!["2026-02-30".to_owned()]);
    malformed("calendars[0].hours[0].until_minute", |directory| {
        directory.calendars[0].hours = vec![v1::OfficeHours { from_minute: 450, until_minute: 70_000 }];
    });
    malformed("calendars[0].hours", |directory| directory.calendars[0].hours = vec![v1::OfficeHours::default(); 9]);
    malformed("procedures[0].code", |directory| directory.procedures[0].code = String::new());
    malformed("procedures[0].limit_days", |directory| directory.procedures[0].limit_days = 3_661);
    malformed("procedures[0].calendar_days", |directory| {
        (directory.procedures[0].limit_days, directory.procedures[0].calendar_days) = (0, true);
    });
    malformed("procedures[0].steps[0].name", |directory| directory.procedures[0].steps[0].name = String::new());
    malformed("operators[0].role", |directory| {
        directory.operators = vec![v1::Operator { id: "an".to_owned(), ..v1::Operator::default() }];
    });
}

#[test]
fn a_directory_that_does_not_hold_together_names_its_first_faults() {
    let signer = authority("authority");
    let mut content = content();
    for agency in &mut content.agencies {
        agency.parent = Some(AgencyId::parse("nobody").unwrap());
        agency.gateway = Some(GatewayId::parse("nowhere").unwrap());
    }
    let refusal = open(&sign(&content, &signer), &[signer.verifier().clone()], LATER).unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectoryInconsistent);
    assert!(refusal.detail.contains("h99 names nobody as its parent"), "{}", refusal.detail);
    assert!(refusal.detail.ends_with("1 more"), "{}", refusal.detail);
}

#[test]
fn a_calendar_and_a_procedure_come_back_as_they_went() {
    let (signer, content) = (authority("authority"), content());
    let opened = open(&sign(&content, &signer), &[signer.verifier().clone()], LATER).unwrap();
    assert_eq!(opened.directory.content().calendars, content.calendars);
    assert_eq!(opened.directory.content().procedures, content.procedures);
}

#[test]
fn a_calendar_that_does_not_hold_together_is_refused() {
    let signer = authority("authority");
    let mut content = content();
    let late = OfficeHours { from_minute: 1_380, until_minute: 1_500 };
    content.calendars[0].time = WorkingTime::new(vec![late], [], []);
    let refusal = open(&sign(&content, &signer), &[signer.verifier().clone()], LATER).unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectoryInconsistent);
    assert!(refusal.detail.starts_with("the office hours of calendar all version 1"), "{}", refusal.detail);
}

#[test]
fn a_directory_of_before_there_were_calendars_still_opens() {
    let signer = authority("authority");
    let before = DirectoryContent { calendars: Vec::new(), procedures: Vec::new(), ..content() };
    let directory = open(&sign(&before, &signer), &[signer.verifier().clone()], LATER).unwrap().directory;
    let (agency, day) = (AgencyId::parse("h99").unwrap(), Day::of(LATER));
    assert!(directory.calendar_for(&agency, day).is_none() && directory.procedure("1.012783", day).is_none());
    assert_eq!(directory.working_time_for(&agency, day), &WorkingTime::default());
}

#[test]
fn an_expired_directory_is_refused_unless_it_is_asked_for() {
    let signer = authority("authority");
    let (bytes, keys) = (sign(&content(), &signer), [signer.verifier().clone()]);
    let before = Timestamp::from_micros(EXPIRY.micros() - 1);
    assert!(open(&bytes, &keys, before).is_ok());
    assert_eq!(open(&bytes, &keys, EXPIRY).unwrap_err().reason, Reason::DirectoryExpired);
    assert!(open_with(&bytes, &keys, EXPIRY, Expiry::Allow).unwrap().expired);
    let other = authority("authority");
    let refusal = open_with(&bytes, &[other.verifier().clone()], EXPIRY, Expiry::Allow).unwrap_err();
    assert_eq!(refusal.reason, Reason::DirectorySignatureInvalid, "an expired directory still needs its signature");
}

#[test]
fn only_a_newer_version_takes_the_place_of_the_one_in_force() {
    let signer = authority("authority");
    let opened = |version: u64, name: &str| {
        let mut content = content();
        content.version = version;
        content.agencies[0].name = name.to_owned();
        open(&sign(&content, &signer), &[signer.verifier().clone()], LATER).unwrap()
    };
    let current = opened(9, "Ủy ban");
    assert_eq!(opened(10, "Ủy ban").replaces(&current), Ok(Replacement::Newer));
    assert_eq!(opened(9, "Ủy ban").replaces(&current), Ok(Replacement::Same));
    assert_eq!(opened(8, "Ủy ban").replaces(&current).unwrap_err().reason, Reason::DirectoryOlder);
    assert_eq!(opened(9, "Sở").replaces(&current).unwrap_err().reason, Reason::DirectoryOlder);
}

/// Signs good content, lets `spoil` change what was signed, and expects a refusal.
fn check(expected: Reason, spoil: fn(&mut v1::SignedDirectory, &NoteSigner)) {
    let signer = authority("authority");
    let mut signed = v1::SignedDirectory::decode(&*sign(&content(), &signer)).unwrap();
    assert!(open(&signed.encode_to_vec(), &[signer.verifier().clone()], LATER).is_ok());
    spoil(&mut signed, &signer);
    let refusal = open(&signed.encode_to_vec(), &[signer.verifier().clone()], LATER).unwrap_err();
    assert_eq!(refusal.reason, expected, "{refusal}");
}

/// Spoils one field before signing and expects that it is named.
fn malformed(field: &str, spoil: fn(&mut v1::Directory)) {
    let signer = authority("authority");
    let good = v1::SignedDirectory::decode(&*sign(&content(), &signer)).unwrap();
    let mut directory = v1::Directory::decode(&*good.directory).unwrap();
    spoil(&mut directory);
    let bytes = directory.encode_to_vec();
    let digest = openssl::base64::encode_block(Digest::of(&bytes).as_bytes());
    let note = signer.sign(&format!("lienthong.directory.v1\n{}\n{digest}\n", directory.version));
    let signed = v1::SignedDirectory { directory: bytes.into(), note }.encode_to_vec();
    let refusal = open(&signed, &[signer.verifier().clone()], LATER).unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (Reason::DirectoryMalformed, field), "{refusal}");
}

fn content() -> DirectoryContent {
    let agency = |id: &str, codes: &[&str]| Agency {
        id: AgencyId::parse(id).unwrap(),
        name: "Ủy ban".to_owned(),
        name_en: String::new(),
        codes: codes.iter().map(|&code| code.to_owned()).collect(),
        parent: None,
        level: "tỉnh".to_owned(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: Vec::new(),
        gateway: None,
    };
    DirectoryContent {
        agencies: vec![agency("h99", &["H99"]), agency("h99.30", &[])],
        gateways: vec![Gateway {
            id: GatewayId::parse("gw").unwrap(),
            address: "https://127.0.0.1:7101".to_owned(),
            parent: None,
            tls_certificates: Vec::new(),
            log_keys: Vec::new(),
            direct_links: Vec::new(),
        }],
        calendars: vec![Calendar {
            id: CalendarId::parse("all").unwrap(),
            version: 1,
            valid_from: Day::parse("2026-01-01"),
            agencies: vec![AgencyId::parse("h99").unwrap()],
            time: WorkingTime::new(
                vec![OfficeHours { from_minute: 420, until_minute: 900 }],
                Day::parse("2026-09-02"),
                Day::parse("2026-08-22"),
            ),
        }],
        procedures: vec![Procedure {
            code: "1.012783".to_owned(),
            version: "345/QĐ-UBND".to_owned(),
            valid_from: None,
            name: "Cấp lại Giấy chứng nhận".to_owned(),
            limit: Some(Limit::CalendarDays(30)),
            steps: vec![ProcedureStep { step: "thue".to_owned(), name: "Thuế".to_owned(), limit_hours: Some(8) }],
        }],
        ..DirectoryContent::empty(9, ISSUED, EXPIRY)
    }
}

const SOURCE: &str = r#"schema = "lienthong.directory-source.v1"
valid_for = "1h"
intermediates = ["ca/issuing.pem"]
crls = ["ca/root.crl"]
[[anchor]]
certificate = "ca/root.pem"
purpose = "sign"
[[agency]]
id = "h99"
name = "Ủy ban"
codes = ["H99", "000.00.00.H99"]
level = "tỉnh"
  [[agency.signer]]
  certificate = "signers/leaf.pem"
"#;
