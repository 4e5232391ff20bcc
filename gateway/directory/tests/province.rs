//! The invented province that certs-dev makes becomes a directory in which everybody finds everybody.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use certs_dev::province::{Plan, Province};
use gateway_directory::{Source, issue, open, summarize};
use gateway_model::Digest;
use gateway_model::day::Day;
use gateway_model::note::NoteSigner;
use gateway_model::time::Timestamp;
use openssl::pkey::PKey;
use openssl::x509::X509;

const NOW: i64 = 1_790_000_000;

#[test]
fn an_invented_province_becomes_a_directory_under_its_own_authority() {
    let folder = tempfile::tempdir().unwrap();
    let province = Province::generate(folder.path(), &Plan::province(), NOW).unwrap();
    let key = PKey::private_key_from_pem(&std::fs::read(&province.authority_key).unwrap()).unwrap();
    let signer = NoteSigner::from_pkcs8(province.authority.name(), &key.private_key_to_pkcs8().unwrap()).unwrap();
    let source = Source::read(&province.agencies_toml).unwrap();
    let now = Timestamp::from_seconds(NOW);
    let bytes = issue(&source, Some(1), now, &signer).unwrap();
    let directory = open(&bytes, std::slice::from_ref(&province.authority), now).unwrap().directory;
    assert_eq!(directory.content().agencies.len(), province.agencies.len());
    for agency in &province.agencies {
        assert!(directory.gateway_of(&agency.id).is_some(), "{} has a gateway", agency.id);
    }
    for gateway in &province.gateways {
        let certificate = X509::from_pem(&std::fs::read(&gateway.tls.certificate).unwrap()).unwrap();
        let party = directory.party(&Digest::of(&certificate.to_der().unwrap())).unwrap();
        assert_eq!(party.to_string(), format!("gateway {}", gateway.id));
    }
    assert_eq!(summarize(&directory, now).agencies_without_gateway, 0);
    let (commune, received_on) = (&province.cast.commune, Day::parse("2026-02-13").unwrap());
    let calendar = directory.calendar_for(commune, received_on).unwrap();
    assert_eq!(calendar.version, 2, "the province's own holds for its communes");
    let procedure = directory.procedure("1.012783.000.00.00.H99", received_on).unwrap();
    let received_at = Timestamp::parse("2026-02-13T09:00:00+07:00").unwrap();
    let due = procedure.limit.unwrap().due(received_at, &calendar.time);
    assert_eq!(due.to_string(), "2026-02-27T02:00:00Z", "five working days around Tết");
}
