//! Signatures that the `openssl` command makes, as an agency's developer without an SDK would.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end here")]

mod stage;

use std::process::Command;

use certs_dev::pki::{Credential, Ladder, LeafProfile};
use certs_dev::{Key, KeyKind};
use gateway_model::Reason;
use gateway_verify::{DetachedOptions, SignerReport, Trust, TrustSource, verify_detached};
use stage::{NOW, anchor, at};

const CONTENT: &[u8] = b"envelope bytes\r\nwith\nmixed line ends\0";

fn judge(kind: KeyKind, arguments: &[&str]) -> Result<SignerReport, Reason> {
    let ladder = Ladder::new(KeyKind::P256, NOW - 86_400).unwrap();
    let key = Key::generate(kind).unwrap();
    let credential = ladder.issue_signer_with("Con dấu", &key, LeafProfile::agency("UBND")).unwrap();
    let source = TrustSource {
        anchors: vec![anchor(ladder.root().certificate_der())],
        intermediates: vec![ladder.issuing().certificate_der().to_vec()],
        crls: vec![
            ladder.crl(&[], NOW - 60, NOW + 86_400).unwrap(),
            ladder.root_crl(&[], NOW - 60, NOW + 86_400).unwrap(),
        ],
    };
    let options = DetachedOptions { at: at(0), require_signing_certificate: true, check_revocation: true };
    let cms = sign(&credential, arguments);
    verify_detached(CONTENT, &cms, &Trust::new(source).unwrap(), options).map_err(|refusal| refusal.reason)
}

fn sign(credential: &Credential, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("content"), CONTENT).unwrap();
    std::fs::write(path("key.pem"), &credential.key_pem).unwrap();
    std::fs::write(path("certificate.pem"), &credential.certificate_pem).unwrap();
    let mut command = Command::new("openssl");
    command.args(["cms", "-sign", "-binary", "-outform", "DER"]);
    // Options of the key stand behind it.
    command.arg("-signer").arg(path("certificate.pem")).arg("-inkey").arg(path("key.pem")).args(arguments);
    let output = command.arg("-in").arg(path("content")).arg("-out").arg(path("cms")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(path("cms")).unwrap()
}

#[test]
fn what_the_command_signs_with_cades_is_accepted() {
    for (kind, arguments) in [
        (KeyKind::P256, &["-cades"][..]),
        (KeyKind::P256, &["-cades", "-md", "sha512"]),
        (KeyKind::P384, &["-cades", "-md", "sha384"]),
        (KeyKind::P256, &["-cades", "-keyid"]),
        (KeyKind::Rsa2048, &["-cades"]),
        (KeyKind::Rsa2048, &["-cades", "-keyopt", "rsa_padding_mode:pss"]),
        (KeyKind::Rsa2048, &["-cades", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:32"]),
        (KeyKind::Rsa2048, &["-cades", "-nosmimecap", "-md", "sha384"]),
    ] {
        let verdict = judge(kind, arguments);
        assert!(verdict.is_ok(), "{kind:?} {arguments:?}: {verdict:?}");
    }
}

#[test]
fn what_it_signs_outside_of_the_profile_is_refused() {
    for (kind, arguments, reason) in [
        (KeyKind::P256, &[][..], Reason::SigningCertificateMissing),
        (KeyKind::P256, &["-cades", "-nodetach"], Reason::SignatureNotDetached),
        (KeyKind::P256, &["-cades", "-md", "sha1"], Reason::AlgorithmNotAllowed),
        (KeyKind::P256, &["-cades", "-nocerts"], Reason::CertificateMissing),
        (KeyKind::P256, &["-noattr"], Reason::SignatureAttributesInvalid),
        (KeyKind::P256, &["-cades", "-stream", "-indef"], Reason::SignatureMalformed),
        (
            KeyKind::Rsa2048,
            &["-cades", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:20"],
            Reason::AlgorithmNotAllowed,
        ),
    ] {
        assert_eq!(judge(kind, arguments).err(), Some(reason), "{kind:?} {arguments:?}");
    }
}
