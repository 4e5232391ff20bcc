//! Faults of the CMS itself: its shape, its attributes, its algorithms, its keys.

use openssl::dsa::Dsa;
use openssl::ec::{Asn1Flag, EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::PKey;

use super::BadCase;
use super::stage::{CONTENT, Party, Stage, authority, flip_last, leaf, short_rsa_key};
use crate::algorithm::{Digest, Scheme};
use crate::sign::{
    CONTENT_TYPE, DATA, Draft, MESSAGE_DIGEST, SIGNED_DATA, attribute, content_type, message_digest,
    signing_certificate,
};
use crate::{Error, Key, der};

pub(super) fn cases(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let mut cases = shapes(stage)?;
    cases.extend(attributes(stage)?);
    cases.extend(bindings(stage)?);
    cases.extend(algorithms(stage)?);
    cases.extend(keys(stage)?);
    Ok(cases)
}

const ECDSA: Scheme = Scheme::Ecdsa(Digest::Sha256);

/// What is not one detached SignedData in DER.
fn shapes(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const MALFORMED: &str = "SIGNATURE_MALFORMED";
    let good = stage.case("", "", &stage.leaf)?;
    let with = |name, reason, cms| BadCase { name, reason, cms, ..good.clone() };
    let changed = |change: &dyn Fn(&mut Draft)| stage.signature(&stage.leaf, ECDSA, change);
    let unsigned = Draft::new(&stage.leaf.certificate, ECDSA);
    let trailing = [good.cms.as_slice(), &[0]].concat();
    let padding = attribute("1.3.6.1.4.1.55555.1", &[der::octets(&vec![0; 70 * 1024])]);
    let twice = {
        let attributes = stage.attributes(&stage.leaf, &Digest::Sha256.of(CONTENT)?)?;
        let signature = ECDSA.sign(&stage.leaf.key, &der::set_of(&attributes))?;
        let info = unsigned.signer_info(&der::context(0, &der::sorted(&attributes)), &signature);
        unsigned.assemble(&[info.clone(), info])
    };
    Ok(vec![
        with("signature-not-der", MALFORMED, b"not a signature".to_vec()),
        with("signature-truncated", MALFORMED, good.cms[..good.cms.len() - 10].to_vec()),
        with("signature-indefinite-length", MALFORMED, indefinite_length(&good.cms)),
        with("signature-of-other-type", MALFORMED, changed(&|draft| draft.content_type = DATA)?),
        with("signature-without-signer", MALFORMED, unsigned.assemble(&[])),
        with("signature-with-two-signers", MALFORMED, twice),
        with("signature-trailing-bytes", "SIGNATURE_TRAILING_BYTES", trailing),
        with(
            "signature-not-detached",
            "SIGNATURE_NOT_DETACHED",
            changed(&|draft| draft.encapsulated = Some(CONTENT.to_vec()))?,
        ),
        with(
            "signature-too-large",
            "SIGNATURE_TOO_LARGE",
            changed(&|draft| draft.unsigned_attributes.push(padding.clone()))?,
        ),
    ])
}

/// The same bytes with the outer length left open, which BER allows and DER does not.
fn indefinite_length(cms: &[u8]) -> Vec<u8> {
    let head = match cms.get(1) {
        Some(&long) if long > 0x80 => 2 + usize::from(long & 0x7F),
        _ => 2,
    };
    [&[0x30, 0x80], cms.get(head..).unwrap_or_default(), &[0, 0]].concat()
}

/// Signed attributes that are missing, double or wrong; each signature verifies over what is there.
fn attributes(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const INVALID: &str = "SIGNATURE_ATTRIBUTES_INVALID";
    let good = stage.case("", "", &stage.leaf)?;
    let digest = Digest::Sha256.of(CONTENT)?;
    let usual = stage.attributes(&stage.leaf, &digest)?;
    let draft = Draft::new(&stage.leaf.certificate, ECDSA);
    let with = |name, reason, attributes: &[Vec<u8>]| {
        Ok::<_, Error>(BadCase { name, reason, cms: draft.sign(attributes, &stage.leaf.key)?, ..good.clone() })
    };
    let without = |place: usize| {
        let kept = usual.iter().enumerate().filter(|&(at, _)| at != place);
        kept.map(|(_, attribute)| attribute.clone()).collect::<Vec<_>>()
    };
    let and = |mut attributes: Vec<Vec<u8>>, more: Vec<u8>| {
        attributes.push(more);
        attributes
    };
    let two_digests = attribute(MESSAGE_DIGEST, &[der::octets(&digest), der::octets(&[7; 32])]);
    let no_digest = attribute(MESSAGE_DIGEST, &[]);
    let two_types = attribute(CONTENT_TYPE, &[der::oid(DATA), der::oid(SIGNED_DATA)]);
    let bare = BadCase { cms: draft.sign_bare(CONTENT, &stage.leaf.key)?, ..good.clone() };
    Ok(vec![
        BadCase { name: "attributes-missing", reason: INVALID, ..bare },
        with("content-type-missing", INVALID, &without(0))?,
        with("content-type-twice", INVALID, &and(usual.clone(), content_type(DATA)))?,
        with("content-type-with-two-values", INVALID, &and(without(0), two_types))?,
        with("content-type-not-data", INVALID, &and(without(0), content_type(SIGNED_DATA)))?,
        with("message-digest-missing", INVALID, &without(1))?,
        with("message-digest-twice", INVALID, &and(usual.clone(), message_digest(&digest)))?,
        with("message-digest-with-two-values", INVALID, &and(without(1), two_digests))?,
        with("message-digest-with-no-value", INVALID, &and(without(1), no_digest))?,
        with(
            "signing-certificate-twice",
            INVALID,
            &and(usual.clone(), signing_certificate(&stage.issuing.certificate)),
        )?,
        with("signing-certificate-missing", "SIGNING_CERTIFICATE_MISSING", &without(3))?,
    ])
}

/// Signatures over other bytes, by other keys, for other certificates.
fn bindings(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let good = stage.case("", "", &stage.leaf)?;
    let mut flipped = good.cms.clone();
    flip_last(&mut flipped);
    let thief = Party { key: stage.stray_key.clone(), ..stage.leaf.clone() };
    let other = stage.leaf_for(&stage.stray_key)?;
    let misnamed = {
        let mut attributes = stage.attributes(&stage.leaf, &Digest::Sha256.of(CONTENT)?)?;
        attributes[3] = signing_certificate(&other.certificate);
        Draft::new(&stage.leaf.certificate, ECDSA).sign(&attributes, &stage.leaf.key)?
    };
    // The same key in another certificate: only the signing-certificate attribute tells them apart.
    let twin = stage.leaf_with(|_| {})?;
    let substituted = {
        let attributes = stage.attributes(&stage.leaf, &Digest::Sha256.of(CONTENT)?)?;
        Draft::new(&twin.certificate, ECDSA).sign(&attributes, &stage.leaf.key)?
    };
    Ok(vec![
        BadCase {
            name: "content-altered",
            reason: "SIGNATURE_CONTENT_MISMATCH",
            content: [CONTENT, b"\n"].concat(),
            ..good.clone()
        },
        BadCase { name: "signature-bit-flipped", reason: "SIGNATURE_INVALID", cms: flipped, ..good.clone() },
        BadCase {
            name: "signature-by-another-key",
            reason: "SIGNATURE_INVALID",
            cms: stage.signature(&thief, ECDSA, |_| {})?,
            ..good.clone()
        },
        BadCase {
            name: "signing-certificate-of-another",
            reason: "SIGNING_CERTIFICATE_MISMATCH",
            cms: misnamed,
            ..good.clone()
        },
        BadCase {
            name: "certificate-substituted",
            reason: "SIGNING_CERTIFICATE_MISMATCH",
            cms: substituted,
            signer_certificate: twin.certificate,
            ..good
        },
    ])
}

/// Digests and schemes that no list allows; every signature is correct by its own scheme.
fn algorithms(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const NOT_ALLOWED: &str = "ALGORITHM_NOT_ALLOWED";
    let rsa = stage.leaf_for(&stage.rsa_key)?;
    let by_rsa = |name, scheme| {
        let good = stage.case(name, NOT_ALLOWED, &rsa)?;
        Ok::<_, Error>(BadCase { cms: stage.signature(&rsa, scheme, |_| {})?, ..good })
    };
    let ecdsa_sha1 = stage.signature(&stage.leaf, Scheme::Ecdsa(Digest::Sha1), |_| {})?;
    let dsa = stage.leaf_for(&Key::new(PKey::from_dsa(Dsa::generate(1024)?)?)?)?;
    let mut cases = vec![
        by_rsa("digest-sha1", Scheme::RsaPkcs1(Digest::Sha1))?,
        by_rsa("digest-md5", Scheme::RsaPkcs1(Digest::Md5))?,
        by_rsa("pss-sha1", Scheme::RsaPss(Digest::Sha1))?,
        BadCase { cms: ecdsa_sha1, ..stage.case("ecdsa-sha1", NOT_ALLOWED, &stage.leaf)? },
        stage.case("key-dsa", NOT_ALLOWED, &dsa)?,
    ];
    // The certificate, not the message, is signed with the bad digest.
    for (name, digest) in [("certificate-sha1", Digest::Sha1), ("certificate-md5", Digest::Md5)] {
        let issuing = authority(stage.now, &stage.root, "CA RSA", stage.rsa_key.clone(), |_| {})?;
        let mut template = None;
        let leaf = leaf(stage.now, &issuing, stage.leaf.key.clone(), |made| template = Some(made.clone()))?;
        if let Some(template) = template {
            let leaf = Party { certificate: template.sign(&stage.rsa_key, Scheme::RsaPkcs1(digest))?, ..leaf };
            cases.push(stage.case_below(name, NOT_ALLOWED, &leaf, &[issuing])?);
        }
    }
    Ok(cases)
}

/// Keys that are too short or on curves that nobody checked.
fn keys(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const WEAK: &str = "KEY_TOO_WEAK";
    let short = short_rsa_key()?;
    let leaf_case = |name, key: &Key| stage.case(name, WEAK, &stage.leaf_for(key)?);
    let mut explicit = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    explicit.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
    let explicit = Key::new(PKey::from_ec_key(EcKey::generate(&explicit)?)?)?;
    let weak_issuing = authority(stage.now, &stage.root, "CA RSA-1024", short.clone(), |_| {})?;
    let below_weak = stage.leaf_below(&weak_issuing, |_| {})?;
    Ok(vec![
        leaf_case("key-rsa-1024", &short)?,
        leaf_case("key-secp256k1", &Key::new(PKey::ec_gen("secp256k1")?)?)?,
        leaf_case("key-p-224", &Key::new(PKey::ec_gen("secp224r1")?)?)?,
        leaf_case("key-explicit-curve", &explicit)?,
        stage.case_below("issuer-key-rsa-1024", WEAK, &below_weak, &[weak_issuing])?,
    ])
}
