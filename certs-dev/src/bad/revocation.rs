//! Revoked certificates, and revocation lists that say nothing trustworthy.

use super::BadCase;
use super::stage::{Party, Stage, flip_last, put};
use crate::algorithm::Scheme;
use crate::der;
use crate::pki::DAY_SECONDS;
use crate::x509::{Extension, ListTemplate, usage};
use crate::{Error, Key};

pub(super) fn cases(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    let mut cases = revoked(stage)?;
    cases.extend(old_or_missing(stage)?);
    cases.extend(invalid(stage)?);
    cases.extend(unsupported(stage)?);
    Ok(cases)
}

/// A good signature with other lists; the first is the root's, the second the issuing CA's.
fn case(stage: &Stage, name: &'static str, reason: &'static str, crls: Vec<Vec<u8>>) -> Result<BadCase, Error> {
    Ok(BadCase { crls, ..stage.case(name, reason, &stage.leaf)? })
}

/// The list of an issuer, changed.
pub(super) fn list(stage: &Stage, issuer: &Party, change: impl FnOnce(&mut ListTemplate)) -> Result<Vec<u8>, Error> {
    let mut template = stage.list(issuer);
    change(&mut template);
    template.sign(&issuer.key, Scheme::usual(&issuer.key)?)
}

fn revoked(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const REVOKED: &str = "CERTIFICATE_REVOKED";
    let (root, issuing) = (&stage.root, &stage.issuing);
    let good = |issuer| list(stage, issuer, |_| {});
    let revokes =
        |issuer, party: &Party| list(stage, issuer, |template| template.revoked = vec![(party.serial.clone(), vec![])]);
    Ok(vec![
        case(stage, "certificate-revoked", REVOKED, vec![good(root)?, revokes(issuing, &stage.leaf)?])?,
        case(stage, "intermediate-revoked", REVOKED, vec![revokes(root, issuing)?, good(issuing)?])?,
    ])
}

fn old_or_missing(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const UNAVAILABLE: &str = "REVOCATION_UNAVAILABLE";
    const STALE: &str = "REVOCATION_STALE";
    let (root, issuing) = (&stage.root, &stage.issuing);
    let good = |issuer| list(stage, issuer, |_| {});
    let stale = |issuer| {
        list(stage, issuer, |template| {
            template.this_update = stage.now - 8 * DAY_SECONDS;
            template.next_update = stage.now - DAY_SECONDS;
        })
    };
    Ok(vec![
        case(stage, "lists-missing", UNAVAILABLE, vec![])?,
        case(stage, "list-of-issuing-ca-missing", UNAVAILABLE, vec![good(root)?])?,
        case(stage, "list-of-root-missing", UNAVAILABLE, vec![good(issuing)?])?,
        case(stage, "list-of-issuing-ca-stale", STALE, vec![good(root)?, stale(issuing)?])?,
        case(stage, "list-of-root-stale", STALE, vec![stale(root)?, good(issuing)?])?,
    ])
}

fn invalid(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const INVALID: &str = "REVOCATION_INVALID";
    let (root, issuing) = (&stage.root, &stage.issuing);
    let good_root = || list(stage, root, |_| {});
    let mut flipped = list(stage, issuing, |_| {})?;
    flip_last(&mut flipped);
    let by = |key: &Key| stage.list(issuing).sign(key, Scheme::usual(key)?);
    let (mute, below_mute) =
        stage.issuing_with(|template| put(template, Extension::key_usage(&[usage::KEY_CERT_SIGN])))?;
    Ok(vec![
        case(stage, "list-bit-flipped", INVALID, vec![good_root()?, flipped])?,
        case(stage, "list-by-another-key", INVALID, vec![good_root()?, by(&stage.stray_key)?])?,
        stage.case_below("list-by-issuer-without-crl-sign", INVALID, &below_mute, &[mute])?,
    ])
}

fn unsupported(stage: &Stage) -> Result<Vec<BadCase>, Error> {
    const UNSUPPORTED: &str = "REVOCATION_UNSUPPORTED";
    let with = |name, extension: Extension| {
        let strange = list(stage, &stage.issuing, |template| template.extensions.push(extension))?;
        case(stage, name, UNSUPPORTED, vec![list(stage, &stage.root, |_| {})?, strange])
    };
    let scope = |fields: &[u8]| Extension::critical("2.5.29.28", der::element(der::tag::SEQUENCE, fields));
    // An entry of an indirect list says whose certificate it is about.
    let entry_issuer =
        Extension::critical("2.5.29.29", der::sequence(&[crate::x509::general_name::directory(&stage.root.name)]));
    let indirect_entry = list(stage, &stage.issuing, |template| {
        template.extensions.push(scope(&der::context_primitive(4, &[0xFF])));
        template.revoked = vec![(vec![0x42], vec![entry_issuer])];
    })?;
    Ok(vec![
        with("list-is-delta", Extension::critical("2.5.29.27", der::number(6)))?,
        with("list-is-indirect", scope(&der::context_primitive(4, &[0xFF])))?,
        case(stage, "list-with-indirect-entry", UNSUPPORTED, vec![list(stage, &stage.root, |_| {})?, indirect_entry])?,
        with("list-for-some-reasons", scope(&der::context_primitive(3, &[6, 0x40])))?,
        with("list-with-critical-extension", Extension::critical(super::certificates::UNKNOWN_EXTENSION, der::null()))?,
    ])
}
