//! Faults of the signer's certificate.

use super::BadCase;
use super::stage::{Party, Stage, flip_last, leaf, put, self_signed};
use crate::algorithm::Scheme;
use crate::der::{self, tag};
use crate::pki::DAY_SECONDS;
use crate::x509::{Extension, Template, name, usage};
use crate::{Error, Key, KeyKind};

/// An extension that nobody knows.
pub(super) const UNKNOWN_EXTENSION: &str = "1.3.6.1.4.1.55555.42";

pub(super) fn cases(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let mut cases = unreadable(stage)?;
    cases.extend(untrusted(stage)?);
    cases.extend(out_of_time(stage)?);
    cases.extend(unfit(stage)?);
    Ok(cases)
}

/// Certificates that are missing or cannot be read.
fn unreadable(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const MALFORMED: &str = "CERTIFICATE_MALFORMED";
    let other = stage.leaf_for(&stage.stray_key)?;
    let missing = stage.signature(&stage.leaf, Scheme::usual(&stage.leaf.key)?, |draft| draft.certificates.clear())?;
    let changed = |name, change: &dyn Fn(&mut Template)| stage.case(name, MALFORMED, &stage.leaf_with(change)?);
    Ok(vec![
        // Neither inside nor registered: another one is registered.
        BadCase {
            cms: missing,
            signer_certificate: other.certificate,
            ..stage.case("certificate-missing", "CERTIFICATE_MISSING", &stage.leaf)?
        },
        changed("certificate-extension-twice", &|template| {
            template.extensions.push(Extension::not_authority());
        })?,
        changed("certificate-extension-unreadable", &|template| {
            put(template, Extension::critical("2.5.29.15", der::null()));
        })?,
        changed("certificate-key-unreadable", &|template| {
            // A point of the right length that is none: its first byte names no form of points.
            let flaw = template.public_key.len() - 65;
            template.public_key[flaw] = 0x05;
        })?,
    ])
}

/// Certificates that no anchor vouches for, and forged ones.
fn untrusted(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const UNTRUSTED: &str = "CERTIFICATE_UNTRUSTED";
    const FORGED: &str = "CERTIFICATE_SIGNATURE_INVALID";
    let now = stage.now;
    let other_root = self_signed(now, "CA gốc khác", stage.stray_key.clone())?;
    let below_other = leaf(now, &other_root, stage.leaf.key.clone(), |_| {})?;
    let alone_name = name("", "Ủy ban nhân dân xã Bản Lềnh");
    let alone = Party { name: alone_name.clone(), key: stage.leaf.key.clone(), ..stage.leaf.clone() };
    let alone = leaf(now, &alone, stage.leaf.key.clone(), |template| template.subject = alone_name)?;
    let mut flipped = stage.leaf.clone();
    flip_last(&mut flipped.certificate);
    // The name and the key identifier of the true CA, but another key.
    let impostor = Party { key: stage.stray_key.clone(), ..stage.issuing.clone() };
    let true_identifier = Extension::authority_key(&stage.issuing.key.identifier());
    let by_impostor = leaf(now, &impostor, stage.leaf.key.clone(), |template| put(template, true_identifier))?;
    let mut forged_issuing = stage.issuing.clone();
    flip_last(&mut forged_issuing.certificate);
    Ok(vec![
        stage.case("authority-unknown", UNTRUSTED, &below_other)?,
        stage.case("certificate-self-signed", UNTRUSTED, &alone)?,
        BadCase { intermediates: Vec::new(), ..stage.case("intermediate-unknown", UNTRUSTED, &stage.leaf)? },
        stage.case("certificate-bit-flipped", FORGED, &flipped)?,
        stage.case("certificate-by-impostor", FORGED, &by_impostor)?,
        stage.case_below("intermediate-bit-flipped", FORGED, &stage.leaf, &[forged_issuing])?,
    ])
}

/// Certificates before and after their time.
fn out_of_time(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const EXPIRED: &str = "CERTIFICATE_EXPIRED";
    const EARLY: &str = "CERTIFICATE_NOT_YET_VALID";
    let past = |template: &mut Template| template.not_after = stage.now - DAY_SECONDS;
    let future = |template: &mut Template| template.not_before = stage.now + DAY_SECONDS;
    let (old_issuing, below_old) = stage.issuing_with(past)?;
    let (new_issuing, below_new) = stage.issuing_with(future)?;
    Ok(vec![
        stage.case("certificate-expired", EXPIRED, &stage.leaf_with(past)?)?,
        stage.case_below("intermediate-expired", EXPIRED, &below_old, &[old_issuing])?,
        stage.case("certificate-not-yet-valid", EARLY, &stage.leaf_with(future)?)?,
        stage.case_below("intermediate-not-yet-valid", EARLY, &below_new, &[new_issuing])?,
    ])
}

/// Certificates that are for something else.
fn unfit(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const CRITICAL: &str = "CERTIFICATE_CRITICAL_EXTENSION";
    const IS_CA: &str = "CERTIFICATE_IS_CA";
    const KEY_USAGE: &str = "CERTIFICATE_KEY_USAGE";
    const PURPOSE: &str = "CERTIFICATE_EXTENDED_KEY_USAGE";
    let unknown = || Extension::critical(UNKNOWN_EXTENSION, der::element(tag::UTF8_STRING, b"?"));
    let (strange_issuing, below_strange) = stage.issuing_with(|template| put(template, unknown()))?;
    let with = |name, reason, extension: Extension| {
        stage.case(name, reason, &stage.leaf_with(|template| put(template, extension))?)
    };
    let as_ca = stage.leaf_with(|template| {
        put(template, Extension::authority(None));
        put(template, Extension::key_usage(&[usage::DIGITAL_SIGNATURE, usage::KEY_CERT_SIGN]));
    })?;
    let server_and_client = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];
    let time_stamping = ["1.3.6.1.5.5.7.3.8"];
    let channel_key = Key::generate(KeyKind::P256)?;
    let channel = leaf(stage.now, &stage.issuing, channel_key, |template| {
        put(template, Extension::extended_key_usage(&server_and_client));
        put(template, Extension::key_usage(&[usage::DIGITAL_SIGNATURE]));
    })?;
    Ok(vec![
        with("certificate-critical-extension", CRITICAL, unknown())?,
        stage.case_below("intermediate-critical-extension", CRITICAL, &below_strange, &[strange_issuing])?,
        stage.case("certificate-of-ca", IS_CA, &as_ca)?,
        stage.case("issuing-ca-as-signer", IS_CA, &stage.issuing)?,
        with("key-usage-encipherment", KEY_USAGE, Extension::key_usage(&[usage::KEY_ENCIPHERMENT]))?,
        stage.case("extended-key-usage-tls", PURPOSE, &channel)?,
        with("extended-key-usage-time-stamping", PURPOSE, Extension::extended_key_usage(&time_stamping))?,
    ])
}
