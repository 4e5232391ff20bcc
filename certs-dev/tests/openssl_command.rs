//! What the `openssl` command line says of our signatures and certificates, where it is installed.

// What tests call is test code too.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use certs_dev::pki::{Credential, DAY_SECONDS, Ladder, LeafProfile, pem};
use certs_dev::sign::{Embed, SignOptions, cms_detached};
use certs_dev::{Key, KeyKind};

const NOW: i64 = 1_790_000_000;

/// Runs the command in `folder`; `None` where it is not installed.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new("openssl").args(arguments).current_dir(folder).output().ok()
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

fn verify(folder: &Path, content: &str) -> Option<Output> {
    let at = (NOW + 60).to_string();
    let arguments = [
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        "content.p7s",
        "-content",
        content,
        "-CAfile",
        "trust.pem",
        "-attime",
        &at,
        "-x509_strict",
        "-out",
        "verified",
    ];
    openssl(folder, &arguments)
}

#[test]
fn the_command_line_verifies_our_signatures_and_refuses_altered_content() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
    // `cms -verify` of OpenSSL 3.0 takes CA certificates from here and from the signature only.
    write(folder, "trust.pem", ladder.root().certificate_pem() + &ladder.issuing().certificate_pem());
    write(folder, "content", b"line\r\n\x00 content");
    write(folder, "altered", b"line\n\x00 content");
    // The command line of OpenSSL 3.0 does not verify Ed25519 in CMS at all; the library that is compiled in does, see `sign`.
    for kind in [KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::P256, KeyKind::P384] {
        let credential = ladder.issue_signer("UBND xã Bản Lềnh", kind, LeafProfile::agency("UBND tỉnh")).unwrap();
        for options in [SignOptions::at(NOW), SignOptions::at(NOW).pss(), SignOptions::at(NOW).embed(Embed::Chain)] {
            write(folder, "content.p7s", cms_detached(b"line\r\n\x00 content", &credential, options).unwrap());
            let Some(good) = verify(folder, "content") else {
                return eprintln!("not measured: the openssl command is not installed");
            };
            assert!(good.status.success(), "{kind:?} {options:?}: {}", String::from_utf8_lossy(&good.stderr));
            let bad = verify(folder, "altered").unwrap();
            assert!(!bad.status.success(), "{kind:?} {options:?}");
        }
    }
}

#[test]
fn the_command_line_sees_who_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
    let key = Key::generate(KeyKind::P256).unwrap();
    let issue = || ladder.issue_signer_with("x", &key, LeafProfile::agency("")).unwrap();
    let (good, revoked) = (issue(), issue());
    write(folder, "root.pem", ladder.root().certificate_pem());
    write(folder, "issuing.pem", ladder.issuing().certificate_pem());
    write(folder, "root.crl", pem("X509 CRL", &ladder.root_crl(&[], NOW, NOW + DAY_SECONDS).unwrap()));
    let list = ladder.crl(std::slice::from_ref(&revoked.serial), NOW, NOW + DAY_SECONDS).unwrap();
    write(folder, "issuing.crl", pem("X509 CRL", &list));
    let verify = |credential: &Credential| {
        write(folder, "leaf.pem", &credential.certificate_pem);
        let at = (NOW + 60).to_string();
        let arguments = [
            "verify",
            "-crl_check_all",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "issuing.pem",
            "-CRLfile",
            "root.crl",
            "-CRLfile",
            "issuing.crl",
            "-attime",
            &at,
            "-x509_strict",
            "leaf.pem",
        ];
        openssl(folder, &arguments)
    };
    let Some(output) = verify(&good) else { return eprintln!("not measured: the openssl command is not installed") };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = verify(&revoked).unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("certificate revoked"));
}
