//! What OpenSSL says of the cases: the good ones hold, the bad ones fail, and for the reason that they are made for.

// What tests call is test code too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use certs_dev::bad::{ACCEPTED, BadCase, OF_ENVELOPES, cases, good_cases};
use certs_dev::pki::pem;
use gateway_model::Reason;
use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::stack::Stack;
use openssl::x509::X509;

const NOW: i64 = 1_790_000_000;

/// Faults that OpenSSL does not mind, or did not in some version: our profile is stricter.
const LENIENT: [&str; 25] = [
    "signature-indefinite-length",
    "signature-with-two-signers",
    "signature-trailing-bytes",
    "signature-not-detached",
    "signature-too-large",
    "attributes-missing",
    "content-type-not-data",
    "signing-certificate-missing",
    "signing-certificate-of-another",
    "certificate-substituted",
    "digest-sha1",
    "digest-md5",
    "pss-sha1",
    "ecdsa-sha1",
    "key-secp256k1",
    "key-p-224",
    "key-explicit-curve",
    "certificate-missing",
    "certificate-of-ca",
    "issuing-ca-as-signer",
    "key-usage-encipherment",
    "extended-key-usage-tls",
    "extended-key-usage-time-stamping",
    "policy-mapped",
    "list-is-delta",
];

/// OpenSSL's numbers for a reason, where it has numbers of its own for it.
fn openssl_errors(reason: &str) -> Option<&'static [u32]> {
    Some(match reason {
        "CERTIFICATE_UNTRUSTED" => &[18, 19, 20, 21],
        "CERTIFICATE_SIGNATURE_INVALID" => &[7],
        "CERTIFICATE_EXPIRED" => &[10],
        "CERTIFICATE_NOT_YET_VALID" => &[9],
        "CERTIFICATE_REVOKED" => &[23],
        "CERTIFICATE_CRITICAL_EXTENSION" => &[34],
        "ISSUER_NOT_CA" => &[24, 79],
        "ISSUER_KEY_USAGE" => &[32, 79],
        "PATH_LENGTH_EXCEEDED" => &[25],
        "NAME_CONSTRAINT" => &[47, 48, 51],
        "POLICY_NOT_ALLOWED" => &[43],
        "CHAIN_TOO_LONG" => &[22],
        "REVOCATION_UNAVAILABLE" => &[3],
        "REVOCATION_STALE" => &[12],
        "REVOCATION_INVALID" => &[8, 35],
        _ => return None,
    })
}

/// Whether OpenSSL finds the signature itself good, whatever the certificate is worth.
fn signature_holds(case: &BadCase) -> bool {
    let Ok(mut cms) = CmsContentInfo::from_der(&case.cms) else { return false };
    let mut known = Stack::new().unwrap();
    known.push(X509::from_der(&case.signer_certificate).unwrap()).unwrap();
    let flags = CMSOptions::BINARY | CMSOptions::DETACHED | CMSOptions::NO_SIGNER_CERT_VERIFY;
    cms.verify(Some(&known), None, Some(&case.content), None, flags).is_ok()
}

/// What `openssl verify` says of the signer's certificate; `None` where the command is not installed.
fn chain_verdict(folder: &Path, case: &BadCase) -> Option<Result<(), Vec<u32>>> {
    let write = |name: &str, label: &str, ders: &[Vec<u8>]| {
        let text: String = ders.iter().map(|der| pem(label, der)).collect();
        std::fs::write(folder.join(name), text).unwrap();
    };
    write("leaf.pem", "CERTIFICATE", std::slice::from_ref(&case.signer_certificate));
    write("anchors.pem", "CERTIFICATE", &case.anchors);
    write("pool.pem", "CERTIFICATE", &case.intermediates);
    std::fs::write(folder.join("case.p7s"), &case.cms).unwrap();
    let openssl = |arguments: &[&str]| Command::new("openssl").current_dir(folder).args(arguments).output().ok();
    let inside = openssl(&["pkcs7", "-inform", "DER", "-in", "case.p7s", "-print_certs"])?.stdout;
    let pool = [std::fs::read(folder.join("pool.pem")).unwrap(), inside].concat();
    std::fs::write(folder.join("pool.pem"), &pool).unwrap();

    let at = case.at.to_string();
    let lists: Vec<String> = (0..case.crls.len()).map(|number| format!("{number}.crl")).collect();
    let mut arguments = vec!["verify", "-x509_strict", "-auth_level", "2", "-crl_check_all", "-attime", &at];
    arguments.extend(["-verify_depth", "6", "-purpose", "any", "-CAfile", "anchors.pem"]);
    if !pool.is_empty() {
        arguments.extend(["-untrusted", "pool.pem"]);
    }
    for (name, crl) in lists.iter().zip(&case.crls) {
        write(name, "X509 CRL", std::slice::from_ref(crl));
        arguments.extend(["-CRLfile", name]);
    }
    for policy in &case.policies {
        arguments.extend(["-explicit_policy", "-policy_check", "-policy", policy]);
    }
    arguments.push("leaf.pem");
    let output = openssl(&arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = |line: &str| line.strip_prefix("error ")?.split(' ').next()?.parse().ok();
    Some(if output.status.success() { Ok(()) } else { Err(said.lines().filter_map(number).collect()) })
}

#[test]
fn every_reason_about_signatures_certificates_and_revocation_has_a_case() {
    let place = |wanted| Reason::ALL.iter().position(|&reason| reason == wanted).unwrap();
    let reasons = &Reason::ALL[place(Reason::SignatureMissing)..=place(Reason::RevocationUnsupported)];
    let wanted: BTreeSet<_> = reasons.iter().map(|reason| reason.code()).collect();
    let made: BTreeSet<_> = cases(NOW).unwrap().iter().map(|case| case.reason).chain(OF_ENVELOPES).collect();
    assert_eq!(made, wanted);
}

#[test]
fn names_of_cases_are_unique() {
    let all = [cases(NOW).unwrap(), good_cases(NOW).unwrap()].concat();
    let names: BTreeSet<_> = all.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), all.len());
    assert!(LENIENT.iter().all(|name| names.contains(name)), "every exception is one of a case that exists");
}

#[test]
fn openssl_accepts_the_good_cases() {
    let folder = tempfile::tempdir().unwrap();
    for case in good_cases(NOW).unwrap() {
        assert_eq!(case.reason, ACCEPTED);
        assert!(signature_holds(&case), "{}: signature", case.name);
        if let Some(verdict) = chain_verdict(folder.path(), &case) {
            assert_eq!(verdict, Ok(()), "{}: chain", case.name);
        }
    }
}

#[test]
fn openssl_refuses_the_bad_cases_for_the_fault_that_they_have() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases(NOW).unwrap() {
        let holds = signature_holds(&case);
        let Some(verdict) = chain_verdict(folder.path(), &case) else {
            return eprintln!("not measured: the openssl command is not installed");
        };
        if LENIENT.contains(&case.name) {
            continue;
        }
        assert!(!holds || verdict.is_err(), "{}: OpenSSL accepts it", case.name);
        let is_about_cms = case.reason.starts_with("SIGN");
        assert!(!is_about_cms || verdict.is_ok(), "{}: the certificate is good, only the signature is not", case.name);
        if let Some(expected) = openssl_errors(case.reason) {
            assert!(holds, "{}: the signature is good, only the certificate is not", case.name);
            let errors = verdict.unwrap_err();
            // The command goes on after the first error and may add others.
            assert!(errors.first().is_some_and(|error| expected.contains(error)), "{}: {errors:?}", case.name);
        }
    }
}

#[test]
fn each_making_of_the_cases_has_keys_of_its_own() {
    let anchor = |cases: Vec<BadCase>| cases[0].anchors[0].clone();
    assert_ne!(anchor(good_cases(NOW).unwrap()), anchor(good_cases(NOW).unwrap()));
}
