//! The corpus of `certs-dev`: every bad case is refused for its reason and no other, every good case is accepted, and
//! OpenSSL agrees.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end here")]

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use certs_dev::bad::{ACCEPTED, BadCase, cases, good_cases};
use gateway_model::directory::{Anchor, AnchorPurpose};
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_verify::{DetachedOptions, SignerReport, Trust, TrustSource, verify_detached};

const NOW: i64 = 1_790_000_000;

fn trust_of(case: &BadCase) -> Trust {
    let anchors = case.anchors.iter().map(|der| Anchor {
        certificate: der.clone(),
        purpose: AnchorPurpose::Sign,
        algorithms: Vec::new(),
        policies: case.policies.clone(),
        revocation_grace: Duration::ZERO,
    });
    let mut intermediates = case.intermediates.clone();
    // The certificate that is only registered is held in the local pool, as the directory's other certificates are.
    if case.name == "good-certificate-only-registered" {
        intermediates.push(case.signer_certificate.clone());
    }
    Trust::new(TrustSource { anchors: anchors.collect(), intermediates, crls: case.crls.clone() }).unwrap()
}

fn judge(case: &BadCase) -> Result<SignerReport, Refusal> {
    let options = DetachedOptions {
        at: Timestamp::from_seconds(case.at),
        require_signing_certificate: true,
        check_revocation: true,
    };
    verify_detached(&case.content, &case.cms, &trust_of(case), options)
}

/// Reasons of signatures that the corpus has no case for, and why.
fn outside_of_the_corpus(reason: Reason) -> bool {
    // They are about the envelope's list of signatures, or need a directory: tests/envelopes.rs has them.
    matches!(
        reason,
        Reason::SignatureMissing
            | Reason::SignaturesTooMany
            | Reason::SignatureRoleInvalid
            | Reason::SignerNotRegistered
            | Reason::SignerRegistrationEnded
            | Reason::SignerRoleNotAllowed
    )
}

#[test]
fn every_bad_case_is_refused_for_its_reason_and_no_other() {
    let mut wrong = Vec::new();
    for case in cases(NOW).unwrap() {
        match judge(&case) {
            Err(refusal) if refusal.reason.code() == case.reason => {}
            other => {
                wrong.push(format!("{}: expected {}, got {:?}", case.name, case.reason, other.map(|_| "accepted")))
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_good_case_is_accepted() {
    let mut wrong = Vec::new();
    for case in good_cases(NOW).unwrap() {
        assert_eq!(case.reason, ACCEPTED);
        if let Err(refusal) = judge(&case) {
            wrong.push(format!("{}: {refusal}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_corpus_has_a_case_for_every_reason_of_signatures_and_certificates() {
    let covered: BTreeSet<&str> = cases(NOW).unwrap().iter().map(|case| case.reason).collect();
    let all = Reason::ALL.iter().copied().skip_while(|&reason| reason != Reason::SignatureMissing);
    let missing: Vec<Reason> = all
        .take_while(|&reason| reason != Reason::HopUnknown)
        .filter(|&reason| !covered.contains(reason.code()) && !outside_of_the_corpus(reason))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_second_look_through_the_cache_says_the_same() {
    for case in good_cases(NOW).unwrap() {
        let trust = trust_of(&case);
        let options = DetachedOptions {
            at: Timestamp::from_seconds(case.at),
            require_signing_certificate: true,
            check_revocation: true,
        };
        let first = verify_detached(&case.content, &case.cms, &trust, options).unwrap();
        let second = verify_detached(&case.content, &case.cms, &trust, options).unwrap();
        assert_eq!(format!("{first:?}").len(), format!("{second:?}").len(), "{}", case.name);
        let late = DetachedOptions { at: Timestamp::from_seconds(case.at + 100 * 365 * 86_400), ..options };
        let refusal = verify_detached(&case.content, &case.cms, &trust, late).unwrap_err();
        assert_eq!(
            refusal.reason,
            Reason::CertificateExpired,
            "{}: a remembered verdict holds only for its time",
            case.name
        );
        let early = DetachedOptions { at: Timestamp::from_seconds(0), ..options };
        let refusal = verify_detached(&case.content, &case.cms, &trust, early).unwrap_err();
        assert_eq!(refusal.reason, Reason::CertificateNotYetValid, "{}", case.name);
    }
}

#[test]
fn what_is_remembered_of_one_certificate_is_not_taken_for_another() {
    let cases = cases(NOW).unwrap();
    let trailing = cases.iter().find(|case| case.name == "signature-trailing-bytes").unwrap();
    let good = &trailing.cms[..trailing.cms.len() - 1];
    let mismatched: Vec<&BadCase> = cases.iter().filter(|case| case.reason == "SIGNING_CERTIFICATE_MISMATCH").collect();
    assert!(!mismatched.is_empty());
    for case in mismatched {
        let trust = trust_of(case);
        let options = DetachedOptions {
            at: Timestamp::from_seconds(case.at),
            require_signing_certificate: true,
            check_revocation: true,
        };
        verify_detached(&trailing.content, good, &trust, options).unwrap();
        let refusal = verify_detached(&case.content, &case.cms, &trust, options).unwrap_err();
        assert_eq!(refusal.reason, Reason::SigningCertificateMismatch, "{}", case.name);
    }
}

/// Cases that the command cannot judge.
fn is_ours_alone(case: &BadCase) -> bool {
    // It finds no signer's certificate outside of the message; and before OpenSSL 3.2 it knows no Ed25519 in CMS.
    matches!(case.name, "good-certificate-only-registered" | "good-ed25519")
}

#[test]
fn the_openssl_command_accepts_what_we_accept() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut wrong = Vec::new();
    for case in good_cases(NOW).unwrap().iter().filter(|case| !is_ours_alone(case)) {
        std::fs::write(path("content"), &case.content).unwrap();
        std::fs::write(path("cms"), &case.cms).unwrap();
        // The command reads everything but the message from one file; without -partial_chain only self-signed
        // certificates in it are anchors.
        let trusted =
            pem("CERTIFICATE", &case.anchors) + &pem("CERTIFICATE", &case.intermediates) + &pem("X509 CRL", &case.crls);
        std::fs::write(path("trusted.pem"), trusted).unwrap();
        let mut command = Command::new("openssl");
        command.args([
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "DER",
            "-purpose",
            "any",
            "-crl_check",
            "-crl_check_all",
        ]);
        command.arg("-attime").arg(case.at.to_string());
        command.arg("-in").arg(path("cms")).arg("-content").arg(path("content")).arg("-out").arg(path("out"));
        command.arg("-CAfile").arg(path("trusted.pem"));
        let output = command.output().unwrap();
        if !output.status.success() {
            wrong.push(format!("{}: {}", case.name, String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn pem(label: &str, ders: &[Vec<u8>]) -> String {
    ders.iter().map(|der| certs_dev::pki::pem(label, der)).collect()
}
