//! Good cases: every kind of key, and what must not be refused though it looks odd.

use super::certificates::UNKNOWN_EXTENSION;
use super::chains::{
    ANY_POLICY, POLICY, chain_of, constrained, of_organization, organization, with_email, with_policies,
};
use super::revocation::list;
use super::stage::{Party, Stage, authority, leaf, put};
use super::{ACCEPTED, BadCase};
use crate::algorithm::{Digest, Scheme};
use crate::der::{self, tag};
use crate::pki::YEAR_SECONDS;
use crate::sign::{Draft, SIGNING_TIME, SignerName, attribute};
use crate::x509::{COMMON_NAME, COUNTRY, Extension, ORGANIZATION, Template, general_name, name_as, usage};
use crate::{Error, Key, KeyKind};

pub(super) fn cases(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let mut cases = keys(stage)?;
    cases.extend(signatures(stage)?);
    cases.extend(certificates(stage)?);
    cases.extend(chains(stage)?);
    cases.push(key_rollover(stage)?);
    cases.push(names_written_differently(stage)?);
    Ok(cases)
}

fn keys(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let rsa = stage.leaf_for(&stage.rsa_key)?;
    let by_rsa = |name, scheme: Scheme| {
        Ok::<_, Error>(BadCase { cms: stage.signature(&rsa, scheme, |_| {})?, ..stage.case(name, ACCEPTED, &rsa)? })
    };
    let by = |name, kind| stage.case(name, ACCEPTED, &stage.leaf_for(&Key::generate(kind)?)?);
    Ok(vec![
        stage.case("good-p-256", ACCEPTED, &stage.leaf)?,
        by("good-p-384", KeyKind::P384)?,
        by("good-ed25519", KeyKind::Ed25519)?,
        by("good-rsa-3072", KeyKind::Rsa3072)?,
        by_rsa("good-rsa-2048", Scheme::RsaPkcs1(Digest::Sha256))?,
        by_rsa("good-rsa-sha384", Scheme::RsaPkcs1(Digest::Sha384))?,
        by_rsa("good-rsa-sha512", Scheme::RsaPkcs1(Digest::Sha512))?,
        by_rsa("good-pss", Scheme::RsaPss(Digest::Sha256))?,
        by_rsa("good-pss-sha512", Scheme::RsaPss(Digest::Sha512))?,
    ])
}

fn signatures(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let good = |name| stage.case(name, ACCEPTED, &stage.leaf);
    let signed =
        |party: &Party, change: &dyn Fn(&mut Draft)| stage.signature(party, Scheme::usual(&party.key)?, change);
    let rsa = stage.leaf_for(&stage.rsa_key)?;
    let full_name = Scheme::RsaPkcs1(Digest::Sha256).identifier();
    let identifier = stage.leaf.key.identifier();
    // Some signers write local time as if it were UTC: seven hours ahead.
    let local_time = {
        let mut attributes = stage.attributes(&stage.leaf, &Digest::Sha256.of(super::stage::CONTENT)?)?;
        attributes[2] = attribute(SIGNING_TIME, &[der::time(stage.now + 7 * 3600)?]);
        Draft::new(&stage.leaf.certificate, Scheme::Ecdsa(Digest::Sha256)).sign(&attributes, &stage.leaf.key)?
    };
    Ok(vec![
        BadCase {
            cms: signed(&stage.leaf, &|draft| draft.certificates.clear())?,
            ..good("good-certificate-only-registered")?
        },
        BadCase {
            cms: signed(&stage.leaf, &|draft| draft.certificates.push(stage.issuing.certificate.clone()))?,
            intermediates: Vec::new(),
            ..good("good-chain-inside")?
        },
        BadCase {
            cms: signed(&stage.leaf, &|draft| draft.signer_name = SignerName::SubjectKey(identifier.clone()))?,
            ..good("good-signer-by-key-identifier")?
        },
        BadCase {
            cms: signed(&rsa, &|draft| draft.signature_algorithm.clone_from(&full_name))?,
            ..stage.case("good-rsa-with-digest-named", ACCEPTED, &rsa)?
        },
        BadCase { cms: local_time, ..good("good-signing-time-local")? },
    ])
}

fn certificates(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let with =
        |name, extension: Extension| stage.case(name, ACCEPTED, &stage.leaf_with(|template| put(template, extension))?);
    let unknown = Extension::plain(UNKNOWN_EXTENSION, der::element(tag::UTF8_STRING, b"?"));
    let email_protection = Extension::extended_key_usage(&["1.3.6.1.5.5.7.3.4"]);
    let document_signing = Extension::extended_key_usage(&["1.3.6.1.5.5.7.3.36"]);
    // Expired by now, but received while it held.
    let then = stage.now - 2 * YEAR_SECONDS;
    let past = Stage { now: then, ..Stage::new(then)? };
    let old = past.leaf_with(|template| template.not_after = then + 3600)?;
    let other_revoked = list(stage, &stage.issuing, |template| template.revoked = vec![(vec![0x42], vec![])])?;
    let crls = vec![list(stage, &stage.root, |_| {})?, other_revoked];
    Ok(vec![
        with("good-extension-not-critical", unknown)?,
        with("good-key-usage-signature-only", Extension::key_usage(&[usage::DIGITAL_SIGNATURE]))?,
        with("good-key-usage-non-repudiation-only", Extension::key_usage(&[usage::NON_REPUDIATION]))?,
        with("good-extended-key-usage-email", email_protection)?,
        with("good-extended-key-usage-documents", document_signing)?,
        past.case("good-at-its-time", ACCEPTED, &old)?,
        BadCase { crls, ..stage.case("good-another-revoked", ACCEPTED, &stage.leaf)? },
    ])
}

fn chains(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let email = general_name::email;
    let (narrow, below_narrow) = stage.issuing_with(|template| put(template, Extension::authority(Some(0))))?;
    let direct = stage.leaf_below(&stage.root, |_| {})?;
    // Root and leaf are two: six CAs between them make eight, the most there may be.
    let (six, last) = chain_of(stage, 6)?;
    Ok(vec![
        stage.case_below("good-path-length-used-up", ACCEPTED, &below_narrow, &[narrow])?,
        stage.case_below("good-below-the-root", ACCEPTED, &direct, &[])?,
        stage.case_below("good-chain-of-eight", ACCEPTED, &last, &six)?,
        constrained(
            stage,
            ("good-name-permitted", ACCEPTED),
            &[organization("Tỉnh A")],
            &[],
            of_organization("Tỉnh A"),
        )?,
        constrained(
            stage,
            ("good-name-not-excluded", ACCEPTED),
            &[],
            &[organization("Tỉnh B")],
            of_organization("Tỉnh A"),
        )?,
        constrained(
            stage,
            ("good-email-permitted", ACCEPTED),
            &[email("thanhlinh.example")],
            &[email("cam.example")],
            with_email("an@thanhlinh.example"),
        )?,
        with_policies(stage, ("good-policy", ACCEPTED), &[POLICY], &[POLICY], None)?,
        with_policies(stage, ("good-policy-below-any", ACCEPTED), &[ANY_POLICY], &[POLICY], None)?,
    ])
}

/// The root has a new key: the old one, still the anchor, signed the new one under the same name (RFC 4210, "new with old").
/// Self-issued certificates do not count towards a path length.
fn key_rollover(stage: &Stage) -> Result<BadCase, Error> {
    let subject = stage.root.name.clone();
    let new_key = Key::generate(KeyKind::P256)?;
    let new_with_old = authority(stage.now, &stage.root, "CA gốc", new_key, |template| template.subject = subject)?;
    let issuing = stage.authority_below(&new_with_old, "CA cơ quan nhà nước", |_| {})?;
    let leaf = stage.leaf_below(&issuing, |_| {})?;
    stage.case_below("good-root-key-rollover", ACCEPTED, &leaf, &[issuing, new_with_old])
}

/// The leaf names its issuer in another string type, case and spacing than the issuer names itself (RFC 5280, 7.1).
fn names_written_differently(stage: &Stage) -> Result<BadCase, Error> {
    let own =
        name_as(tag::UTF8_STRING, &[(COUNTRY, "VN"), (ORGANIZATION, "State Bodies"), (COMMON_NAME, "Issuing CA")]);
    let as_seen = name_as(
        tag::PRINTABLE_STRING,
        &[(COUNTRY, "VN"), (ORGANIZATION, "state  bodies"), (COMMON_NAME, " Issuing CA ")],
    );
    let (issuing, _) = stage.issuing_with(|template| template.subject = own)?;
    let seen = Party { name: as_seen, ..issuing.clone() };
    let leaf = leaf(stage.now, &seen, stage.leaf.key.clone(), |_: &mut Template| {})?;
    stage.case_below("good-issuer-name-written-differently", ACCEPTED, &leaf, &[issuing])
}
