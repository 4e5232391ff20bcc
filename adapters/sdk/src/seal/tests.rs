//! What a seal is, judged by the system's `openssl`.

use std::process::Command;

use certs_dev::KeyKind;
use certs_dev::pki::{Ladder, LeafProfile};

use super::*;

const NOON: Timestamp = Timestamp::from_seconds(1_791_432_000);

fn sealer(ladder: &Ladder, kind: KeyKind) -> Sealer {
    let credential = ladder.issue_signer("Ủy ban nhân dân xã", kind, LeafProfile::agency("UBND")).unwrap();
    Sealer::from_pem(credential.certificate_pem.as_bytes(), credential.key_pem.as_bytes()).unwrap()
}

fn ladder() -> Ladder {
    Ladder::new(KeyKind::P256, now().seconds() - 86_400).unwrap()
}

/// Runs `openssl cms -verify` of the system on a detached signature and gives its exit and what it said.
fn verify_with_openssl(ladder: &Ladder, content: &[u8], cms: &[u8]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("content"), content).unwrap();
    std::fs::write(at("signature"), cms).unwrap();
    std::fs::write(at("authorities.pem"), ladder.root().certificate_pem() + &ladder.issuing().certificate_pem())
        .unwrap();
    let output = Command::new("openssl")
        .current_dir(folder.path())
        .args(["cms", "-verify", "-binary", "-inform", "DER", "-in", "signature", "-content", "content"])
        .args(["-CAfile", "authorities.pem", "-purpose", "any", "-out", "out"])
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_systems_openssl_verifies_what_rsa_and_ecdsa_keys_seal() {
    let ladder = ladder();
    for kind in [KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::P256, KeyKind::P384] {
        let cms = sealer(&ladder, kind).sign("Đơn đăng ký\r\n\0".as_bytes()).unwrap();
        let (verified, said) = verify_with_openssl(&ladder, "Đơn đăng ký\r\n\0".as_bytes(), &cms);
        assert!(verified, "{kind:?}: {said}");
        let (verified, _) = verify_with_openssl(&ladder, "Đơn đăng ký\n\0".as_bytes(), &cms);
        assert!(!verified, "{kind:?}: other bytes");
    }
}

/// OpenSSL's own CMS cannot check Ed25519, so its arithmetic is asked directly.
#[test]
fn an_ed25519_seal_holds_over_the_signed_attributes_and_the_digest_of_the_content() {
    let sealer = sealer(&ladder(), KeyKind::Ed25519);
    let cms = sealer.sign_at(b"content", NOON).unwrap();
    let digest = hash(MessageDigest::sha512(), b"content").unwrap();
    assert!(cms.windows(64).any(|window| window == &*digest), "messageDigest is SHA-512 of the content (RFC 8419)");
    let attributes = der::element(
        der::SET,
        &der::sorted(&[
            attribute(CONTENT_TYPE, &der::oid(DATA)),
            attribute(MESSAGE_DIGEST, &der::octets(&digest)),
            attribute(SIGNING_TIME, &der::time(NOON)),
            attribute(SIGNING_CERTIFICATE_V2, &sealer.signing_certificate),
        ]),
    );
    let SealingKey::File(key) = &sealer.key else { panic!("the key is in a file") };
    let mut verifier = openssl::sign::Verifier::new_without_digest(key).unwrap();
    assert!(verifier.verify_oneshot(&cms[cms.len() - 64..], &attributes).unwrap());
}

#[test]
fn a_seal_names_its_certificate_and_its_time() {
    let ladder = ladder();
    let sealer = sealer(&ladder, KeyKind::P256);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signature");
    std::fs::write(&file, sealer.sign_at(b"content", NOON).unwrap()).unwrap();
    let printed = Command::new("openssl")
        .args(["cms", "-cmsout", "-print", "-inform", "DER", "-in"])
        .arg(&file)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&printed.stdout);
    for expected in [
        "id-smime-aa-signingCertificateV2",
        "messageDigest",
        "contentType",
        "Oct  8 04:00:00 2026 GMT",
        "eContent: <ABSENT>",
    ] {
        assert!(printed.contains(expected), "{expected} in {printed}");
    }
    assert!(sealer.signing_certificate.windows(32).any(|window| window == sha256(sealer.certificate())));
}

#[test]
fn a_sealed_envelope_carries_the_exact_bytes_that_are_signed() {
    let ladder = ladder();
    let envelope = v1::Envelope { schema: "lienthong.envelope.v1".into(), ..v1::Envelope::default() };
    let sealed = sealer(&ladder, KeyKind::P256).seal(&envelope, SignatureRole::SealedByAdapter).unwrap();
    let signed = v1::SignedEnvelope::decode(sealed).unwrap();
    assert_eq!(v1::Envelope::decode(signed.envelope.clone()).unwrap(), envelope);
    assert_eq!(signed.signatures.len(), 1);
    assert_eq!(signed.signatures[0].role(), v1::SignatureRole::SealedByAdapter);
    let (verified, said) = verify_with_openssl(&ladder, &signed.envelope, &signed.signatures[0].cms);
    assert!(verified, "{said}");
}

#[test]
fn certificate_and_key_must_be_readable_and_belong_together() {
    let ladder = ladder();
    let one = ladder.issue_signer("Một", KeyKind::P256, LeafProfile::agency("UBND")).unwrap();
    let other = ladder.issue_signer("Hai", KeyKind::P256, LeafProfile::agency("UBND")).unwrap();
    let error = |certificate: &str, key: &str| Sealer::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(matches!(error(&one.certificate_pem, &other.key_pem), SealError::KeyMismatch));
    assert!(matches!(error("", &one.key_pem), SealError::Certificate(_)));
    assert!(matches!(error(&one.certificate_pem, "no key"), SealError::Key(_)));
    let encrypted = PKey::private_key_from_pem(one.key_pem.as_bytes())
        .unwrap()
        .private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"secret")
        .unwrap();
    assert!(matches!(error(&one.certificate_pem, &String::from_utf8(encrypted).unwrap()), SealError::Key(_)));
}

#[test]
fn an_envelope_over_the_bound_is_not_sealed() {
    let opaque = v1::Opaque { r#type: "x".into(), body: vec![0; limits::ENVELOPE_BYTES_MAX].into() };
    let envelope = v1::Envelope { content: Some(v1::envelope::Content::Opaque(opaque)), ..v1::Envelope::default() };
    let error = sealer(&ladder(), KeyKind::P256).seal(&envelope, SignatureRole::Agency).unwrap_err();
    assert!(matches!(error, SealError::EnvelopeTooLarge { .. }));
}
