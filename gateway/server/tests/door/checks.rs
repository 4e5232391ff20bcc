//! What `check` finds wrong before a gateway starts, and where it says that it stands.

use std::time::Duration;

use gateway_model::Timestamp;
use gateway_server::check::{Ports, check, check_file};
use gateway_server::config::Fault;

use crate::SYSTEM;
use crate::gateway::{self, Site};

fn now() -> Timestamp {
    Timestamp::from_seconds(gateway::now())
}

/// Checks the configuration of `site` after `edit` of its text.
fn checked(site: &Site, edit: impl FnOnce(String) -> String) -> (String, Vec<Fault>) {
    let text = edit(site.config_text());
    let file = site.path("gateway.toml");
    std::fs::write(&file, &text).unwrap();
    (text, check_file(&file, [], Ports::Skip, now()))
}

/// The line of `text` that starts with `start`, from 1.
fn line(text: &str, start: &str) -> Option<usize> {
    Some(text.lines().position(|line| line.starts_with(start)).unwrap() + 1)
}

#[test]
fn check_finds_no_fault_in_a_good_site_and_every_fault_of_a_bad_one() {
    let site = Site::new();
    let told = check(&site.config(), Ports::Try, now());
    assert!(told.is_empty(), "{told:#?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = site.config();
    config.listen.doors = taken.local_addr().unwrap();
    config.tls.certificate = site.path(&format!("tls/{SYSTEM}.pem"));
    config.evidence_key = site.path("log/gw-district.key");
    config.adapters[0].agencies.push(gateway_model::id::AgencyId::parse("h99.30").unwrap());
    let told = check(&config, Ports::Try, now().plus(Duration::from_secs(400 * 86_400)));
    for key in ["tls.key", "tls.certificate", "evidence.key", "directory.file", "agencies", "listen.doors"] {
        assert!(told.iter().any(|fault| fault.key.contains(key)), "{key}: {told:#?}");
    }
}

#[test]
fn each_missing_file_is_told_under_its_own_key_and_line_beside_an_unknown_key() {
    let site = Site::new();
    let (text, told) = checked(&site, |text| {
        let text = text.replace("tls/gw-province.pem", "gone.pem").replace("tls/gw-province.key", "gone.key");
        let text = text.replace("tls/ca.pem", "gone-ca.pem").replace("log/gw-province.key", "gone-log.key");
        text.replace("directory.bin", "gone.bin").replace("drain =", "dran =")
    });
    let places: Vec<_> = told.iter().map(|fault| (fault.key.as_str(), fault.line)).collect();
    let expected = [
        ("gateway.dran", line(&text, "dran")),
        ("tls.certificate", line(&text, "certificate")),
        ("tls.key", line(&text, "key = \"gone.key")),
        ("tls.roots", line(&text, "roots")),
        ("evidence.key", line(&text, "key = \"gone-log")),
        ("directory.file", line(&text, "file")),
    ];
    assert_eq!(places, expected, "{told:#?}");
}

#[test]
fn a_missing_value_does_not_keep_the_other_files_from_being_checked() {
    let site = Site::new();
    let (text, told) = checked(&site, |text| {
        let text = text.replace("roots = [\"tls/ca.pem\"]", "roots = []");
        text.replace("tls/gw-province.key", "gone.key").replace("h99.21", "h99.99999")
    });
    let places: Vec<_> = told.iter().map(|fault| (fault.key.as_str(), fault.line)).collect();
    let expected = [
        ("tls.key", line(&text, "key")),
        ("tls.roots", line(&text, "roots")),
        ("adapter \"land-office\": agencies", line(&text, "agencies")),
    ];
    assert_eq!(places, expected, "{told:#?}");
}

#[test]
fn a_missing_key_of_an_adapters_seal_is_told_in_its_line() {
    let site = Site::new().with("[adapter.seal]\ncertificate = \"tls/gw-province.pem\"\nkey = \"gone.key\"\n");
    let (text, told) = checked(&site, |text| {
        text.replace("path = \"land", "system = \"sys-land-office\"\noutgoing = \"out\"\npath = \"land")
    });
    let seal: Vec<_> = told.iter().filter(|fault| fault.key.ends_with("seal.key")).map(|fault| fault.line).collect();
    assert_eq!(seal, [line(&text, "key = \"gone")], "{told:#?}");
}

#[test]
fn roots_that_our_own_certificate_does_not_lead_to_are_a_fault() {
    let (site, other) = (Site::new(), Site::new());
    std::fs::copy(other.path("tls/ca.pem"), site.path("tls/other-ca.pem")).unwrap();
    let (text, told) = checked(&site, |text| text.replace("tls/ca.pem", "tls/other-ca.pem"));
    let places: Vec<_> = told.iter().map(|fault| (fault.key.as_str(), fault.line)).collect();
    assert_eq!(places, [("tls.roots", line(&text, "roots"))], "{told:#?}");
}

#[test]
fn what_is_no_toml_is_told_alone() {
    let (_, told) = checked(&Site::new(), |text| text.replace("drain = ", "drain "));
    assert_eq!(told.iter().map(|fault| fault.line).collect::<Vec<_>>(), [Some(3)], "{told:#?}");
}
