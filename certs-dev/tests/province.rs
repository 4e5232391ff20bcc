//! The province that tests, demo and bench start from.

// What tests call is test code too.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use certs_dev::KeyKind;
use certs_dev::province::{Plan, Province};
use gateway_model::agency::OperatorRole;
use gateway_model::note::{NoteSigner, VerifierKey, open};
use openssl::pkey::PKey;
use openssl::x509::X509;
use unicode_normalization::is_nfc;

const NOW: i64 = 1_790_000_000;

fn generate(plan: &Plan) -> (tempfile::TempDir, Province, toml::Table) {
    let folder = tempfile::tempdir().unwrap();
    let province = Province::generate(folder.path(), plan, NOW).unwrap();
    let text = std::fs::read_to_string(&province.agencies_toml).unwrap();
    let source = text.parse().unwrap();
    (folder, province, source)
}

fn tables<'a>(source: &'a toml::Table, key: &str) -> Vec<&'a toml::Table> {
    source[key].as_array().unwrap().iter().map(|table| table.as_table().unwrap()).collect()
}

fn texts<'a>(table: &'a toml::Table, key: &str) -> Vec<&'a str> {
    let list = table.get(key).map(|list| list.as_array().unwrap().as_slice()).unwrap_or_default();
    list.iter().map(|text| text.as_str().unwrap()).collect()
}

/// Every agency, gateway and system that the source names exists in it, and every file that it names is there.
fn check_consistent(folder: &Path, source: &toml::Table) {
    let ids = |key| tables(source, key).iter().map(|table| table["id"].as_str().unwrap()).collect::<BTreeSet<_>>();
    let (agencies, gateways) = (ids("agency"), ids("gateway"));
    assert_eq!(agencies.len(), tables(source, "agency").len(), "ids are unique");
    let mut codes = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for agency in tables(source, "agency") {
        let parent = agency.get("parent").map(|parent| parent.as_str().unwrap());
        assert!(parent.is_none_or(|parent| seen.contains(parent)), "a parent stands before {}", agency["id"]);
        seen.insert(agency["id"].as_str().unwrap());
        assert!(gateways.contains(agency["gateway"].as_str().unwrap()));
        assert!(texts(agency, "succeeded_by").iter().all(|successor| agencies.contains(successor)));
        assert!(!texts(agency, "codes").is_empty());
        assert!(
            texts(agency, "codes").into_iter().all(|code| codes.insert(code)),
            "codes of {} are its own",
            agency["id"]
        );
        assert!(is_nfc(agency["name"].as_str().unwrap()));
        assert!(
            tables(agency, "signer")
                .iter()
                .all(|signer| folder.join(signer["certificate"].as_str().unwrap()).is_file())
        );
    }
    for gateway in tables(source, "gateway") {
        assert!(gateway.get("parent").is_none_or(|parent| gateways.contains(parent.as_str().unwrap())));
    }
    for system in tables(source, "system") {
        assert!(texts(system, "speaks_for").iter().all(|agency| agencies.contains(agency)));
    }
    for key in ["gateway", "system", "operator"] {
        for table in tables(source, key) {
            assert!(texts(table, "tls").iter().all(|file| folder.join(file).is_file()));
        }
    }
    for file in texts(source, "crls").into_iter().chain(texts(source, "intermediates")) {
        assert!(folder.join(file).is_file(), "{file}");
    }
}

#[test]
fn the_province_has_three_levels_and_knows_its_parts() {
    let (folder, province, source) = generate(&Plan::default());
    check_consistent(folder.path(), &source);
    let mut levels = BTreeMap::new();
    for agency in tables(&source, "agency") {
        if agency.get("valid_until").is_none() {
            *levels.entry(agency["gateway"].as_str().unwrap()).or_insert(0) += 1;
        }
    }
    assert_eq!(levels, BTreeMap::from([("gw-commune", 9), ("gw-district", 3), ("gw-province", 6)]));
    let land_office = province.agency(&province.cast.land_office).unwrap();
    assert_eq!(land_office.name, "Văn phòng đăng ký đất đai tỉnh Thanh Lĩnh");
    assert_eq!(province.system_for(&land_office.id).unwrap().id.as_str(), "sys-land-office");
    let commune = province.agency(&province.cast.commune).unwrap();
    assert_eq!(commune.codes, ["H99.30.01", "000.01.30.H99"]);
    assert_eq!(province.system_for(&commune.id).unwrap().id.as_str(), "sys-commune-onestop");
    assert_eq!(province.operator(OperatorRole::TrustOfficer).unwrap().id.as_str(), "trust-officer-binh");
    let merged =
        tables(&source, "agency").into_iter().find(|agency| agency["id"].as_str() == Some("h99.30.99")).unwrap();
    assert_eq!(texts(merged, "succeeded_by"), [province.cast.successor.as_str()]);
}

#[test]
fn keys_and_certificates_on_disk_belong_together() {
    let (_folder, province, _) = generate(&Plan::default());
    let channels = province.gateways.iter().map(|gateway| &gateway.tls);
    let channels = channels.chain(province.systems.iter().map(|system| &system.tls));
    let channels = channels.chain(province.operators.iter().map(|operator| &operator.tls));
    let signers = province.agencies.iter().flat_map(|agency| std::iter::once(&agency.seal).chain(&agency.person));
    let mut fingerprints = BTreeSet::new();
    for files in channels.chain(signers) {
        let certificate = X509::from_pem(&std::fs::read(&files.certificate).unwrap()).unwrap();
        let key = PKey::private_key_from_pem(&std::fs::read(&files.key).unwrap()).unwrap();
        assert!(key.public_eq(&certificate.public_key().unwrap()), "{}", files.key.display());
        assert_eq!(certificate.to_der().unwrap(), files.credential.certificate_der);
        assert!(fingerprints.insert(openssl::sha::sha256(&files.credential.certificate_der)));
    }
}

#[test]
fn keys_of_notes_sign_what_their_verifier_keys_open() {
    let (_folder, province, source) = generate(&Plan::default());
    let signs = |path: &Path, verifier: &VerifierKey| {
        let key = PKey::private_key_from_pem(&std::fs::read(path).unwrap()).unwrap();
        let signer = NoteSigner::from_pkcs8(verifier.name(), &key.private_key_to_pkcs8().unwrap()).unwrap();
        assert!(open(&signer.sign("text\n"), std::slice::from_ref(verifier)).is_ok());
    };
    let authority = std::fs::read_to_string(&province.authority_pub).unwrap();
    signs(&province.authority_key, &VerifierKey::parse(authority.trim_end()).unwrap());
    for (gateway, table) in province.gateways.iter().zip(tables(&source, "gateway")) {
        signs(&gateway.log_key, &VerifierKey::parse(texts(table, "log_keys")[0]).unwrap());
    }
}

#[test]
fn a_ladder_may_have_any_number_of_levels() {
    for count in [1, 2, 5, 12] {
        let (folder, province, source) = generate(&Plan::levels(count));
        check_consistent(folder.path(), &source);
        assert_eq!(province.gateways.len(), count);
        let (bottom, top) = (&province.gateways[0], &province.gateways[count - 1]);
        assert_eq!(province.agency(&province.cast.commune).unwrap().gateway, bottom.id);
        assert_eq!(province.agency(&province.cast.province).unwrap().gateway, top.id);
        assert_eq!(top.parent, None);
        assert!(province.gateways.windows(2).all(|pair| pair[0].parent.as_ref() == Some(&pair[1].id)));
    }
}

#[test]
fn a_large_province_keeps_its_ids_and_codes_apart() {
    let mut plan = Plan::sized(15, 100);
    plan.agencies.iter_mut().for_each(|agency| agency.person = None);
    let (folder, _, source) = generate(&plan);
    check_consistent(folder.path(), &source);
    assert!(tables(&source, "agency").len() > 1500);
}

#[test]
fn a_plan_that_names_an_unknown_agency_is_refused() {
    let mut plan = Plan::default();
    plan.systems[0].speaks_for.push("h99.77".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let error = Province::generate(folder.path(), &plan, NOW).unwrap_err();
    assert_eq!(error.to_string(), "the plan names `h99.77` but does not have it");
}

#[test]
fn ports_addresses_and_keys_follow_the_plan() {
    let plan = Plan::default().with_keys(KeyKind::Rsa2048).with_ports(&[9001, 9002]);
    let plan = plan.with_address("gw-province", "gw.thanhlinh.example", 7443);
    let (_folder, province, source) = generate(&plan);
    let addresses: Vec<_> =
        tables(&source, "gateway").iter().map(|gateway| gateway["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, ["https://127.0.0.1:9001", "https://127.0.0.1:9002", "https://gw.thanhlinh.example:7443"]);
    let certificate = X509::from_der(&province.gateways[2].tls.credential.certificate_der).unwrap();
    let names = certificate.subject_alt_names().unwrap();
    assert!(names.iter().any(|name| name.dnsname() == Some("gw.thanhlinh.example")));
    let seal = X509::from_der(&province.agencies[0].seal.credential.certificate_der).unwrap();
    assert_eq!(seal.public_key().unwrap().rsa().unwrap().size(), 256);
}

#[test]
fn a_province_is_made_in_two_seconds() {
    let start = Instant::now();
    let (_folder, _, _) = generate(&Plan::default());
    let took = start.elapsed();
    assert!(took.as_secs_f64() < 2.0, "{took:?}");
}
