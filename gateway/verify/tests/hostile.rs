//! Hostile bytes: nothing panics, and nothing that differs in one bit from a good signature is accepted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end here")]

mod stage;

use std::sync::LazyLock;

use gateway_model::{Digest, Reason};
use gateway_verify::cms::CmsSignature;
use gateway_verify::der;
use gateway_verify::{DetachedOptions, RawEnvelope, Trust, TrustSource, verify_detached, wire};
use proptest::prelude::*;
use prost::Message as _;
use proto::v1;
use stage::{STAGE, anchor, at, envelope, judge, sealed};

const CONTENT: &[u8] = b"envelope bytes";

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let content = STAGE.snapshot.directory().content();
    let source = TrustSource {
        anchors: vec![anchor(STAGE.ladder.root().certificate_der())],
        intermediates: content.intermediates.clone(),
        crls: content.crls.clone(),
    };
    Trust::new(source).unwrap()
});

static CMS: LazyLock<Vec<u8>> =
    LazyLock::new(|| stage::sign(CONTENT, &STAGE.seal, v1::SignatureRole::Agency).cms.to_vec());

static RECEIVED: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(envelope().encode_to_vec()).signed.to_vec());

fn accepts(content: &[u8], cms: &[u8]) -> bool {
    let options = DetachedOptions { at: at(0), require_signing_certificate: true, check_revocation: true };
    verify_detached(content, cms, &TRUST, options).is_ok()
}

#[test]
fn the_good_ones_are_good() {
    assert!(accepts(CONTENT, &CMS));
    assert!(judge(&RawEnvelope { signed: RECEIVED.clone().into() }).is_ok());
}

#[test]
fn no_flipped_bit_of_a_signature_is_accepted() {
    for position in 0..CMS.len() {
        for bit in 0..8 {
            let mut cms = CMS.clone();
            cms[position] ^= 1 << bit;
            assert!(!accepts(CONTENT, &cms) || is_harmless(&cms), "bit {bit} of byte {position}");
        }
    }
}

/// The only bits that say nothing are the version of the CMS and the case of letters in the issuer's name: neither is
/// signed, and the signed attributes name the certificate. Everything that counts is the same then.
fn is_harmless(cms: &[u8]) -> bool {
    let (good, flipped) = (CmsSignature::read(&CMS).unwrap(), CmsSignature::read(cms).unwrap());
    let is_same =
        good.signature == flipped.signature && good.attributes.signed_bytes() == flipped.attributes.signed_bytes();
    is_same && good.certificates == flipped.certificates && good.algorithm == flipped.algorithm
}

/// The good CMS with other certificates in it, which are not signed.
fn with_certificates(certificates: &[Vec<u8>]) -> Vec<u8> {
    let mut data = der::single(&CMS, der::SEQUENCE).unwrap();
    let kind = data.any().unwrap().raw;
    let mut inner = der::single(data.expect(der::context(0)).unwrap(), der::SEQUENCE).unwrap();
    let head: Vec<&[u8]> = (0..3).map(|_| inner.any().unwrap().raw).collect();
    inner.expect(der::context(0)).unwrap();
    let signers = inner.any().unwrap().raw;
    let set = certs_dev::der::context(0, &certificates.concat());
    let signed_data = certs_dev::der::sequence(&[head.concat(), set, signers.to_vec()]);
    certs_dev::der::sequence(&[kind.to_vec(), certs_dev::der::context(0, &signed_data)])
}

#[test]
fn a_message_may_carry_few_certificates_and_any_order() {
    let seal = STAGE.seal.certificate_der.clone();
    let issuing = STAGE.ladder.issuing().certificate_der().to_vec();
    let root = STAGE.ladder.root().certificate_der().to_vec();
    assert!(accepts(CONTENT, &with_certificates(&[root, issuing.clone(), seal.clone()])));
    let refused = |certificates: &[Vec<u8>]| {
        let options = DetachedOptions { at: at(0), require_signing_certificate: true, check_revocation: true };
        verify_detached(CONTENT, &with_certificates(certificates), &TRUST, options).unwrap_err().reason
    };
    let mut many = vec![issuing; 16];
    many.push(seal.clone());
    assert_eq!(refused(&many), Reason::ChainTooLong);
    assert_eq!(refused(&[]), Reason::CertificateMissing);
    assert_eq!(refused(&[vec![0x30, 0x01, 0x00]]), Reason::CertificateMalformed);
    assert!(
        accepts(CONTENT, &with_certificates(&[vec![0x30, 0x01, 0x00], seal])),
        "what is not the signer's is not needed"
    );
}

#[test]
fn no_truncated_signature_is_accepted() {
    assert!((0..CMS.len()).all(|length| !accepts(CONTENT, &CMS[..length])));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_048)) {
        prop_assert!(!accepts(CONTENT, &bytes));
        let _ = wire::read_envelope(&bytes);
        let verdict = judge(&RawEnvelope { signed: bytes.into() });
        prop_assert!(verdict.is_err());
    }

    #[test]
    fn random_der_is_refused_without_panic(pieces in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
        let mut bytes = Vec::new();
        for (tag, content) in pieces {
            bytes.extend([tag, u8::try_from(content.len()).unwrap()]);
            bytes.extend(content);
        }
        let whole = [&[0x30, 0x82], &u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat();
        prop_assert!(!accepts(CONTENT, &whole));
        let _ = gateway_verify::certificate::Certificate::read(&whole);
        let _ = gateway_verify::revocation::RevocationList::read(&whole);
    }

    #[test]
    fn a_changed_content_is_refused(position in 0..CONTENT.len(), change in 1u8..) {
        let mut content = CONTENT.to_vec();
        content[position] ^= change;
        prop_assert!(!accepts(&content, &CMS));
    }

    #[test]
    fn a_changed_message_is_refused_or_says_the_same(position in any::<prop::sample::Index>(), change in 1u8..) {
        let mut bytes = RECEIVED.clone();
        let position = position.index(bytes.len());
        bytes[position] ^= change;
        if let Ok(verified) = judge(&RawEnvelope { signed: bytes.into() }) {
            let good = v1::SignedEnvelope::decode(RECEIVED.as_slice()).unwrap();
            prop_assert_eq!(verified.digest(), Digest::of(&good.envelope), "only what is not signed may differ");
        }
    }

    #[test]
    fn a_mangled_certificate_or_list_is_read_or_refused_without_panic(position in any::<prop::sample::Index>(), change in 1u8..) {
        let content = STAGE.snapshot.directory().content();
        for der in content.intermediates.iter().chain(&content.crls) {
            let mut der = der.clone();
            let position = position.index(der.len());
            der[position] ^= change;
            let _ = gateway_verify::certificate::Certificate::read(&der);
            let _ = gateway_verify::revocation::RevocationList::read(&der);
        }
    }
}
