//! One certificate revocation list.

use gateway_model::{Digest, Reason, Refusal, Timestamp};

use super::{RevocationUsed, Revoked};
use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm, read_signature};
use crate::certificate::{Certificate, Serial};
use crate::der::{
    DerError, GENERALIZED_TIME, OCTET_STRING, Reader, SEQUENCE, UTC_TIME, context, context_primitive, single,
};
use crate::extension::read_full_name;
use crate::key::{KeyError, Message, PublicKey};
use crate::name::CanonicalName;

const DELTA_INDICATOR: &[u8] = &[0x55, 0x1d, 0x1b];
const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 0x1c];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 0x14];
const REASON_CODE: &[u8] = &[0x55, 0x1d, 0x15];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 0x18];
const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 0x1d];
const EXTENSIONS_MAX: usize = 32;
/// Reason removeFromCRL: only a delta list has it.
const REMOVE_FROM_CRL: &[u8] = &[0x0a, 0x01, 0x08];

/// A list, indexed by serial number.
#[derive(Debug)]
pub struct RevocationList {
    issuer: CanonicalName,
    used: RevocationUsed,
    algorithm: Result<SignatureAlgorithm, KeyError>,
    signed: Signed,
    signature: Box<[u8]>,
    revoked: Revoked,
    scope: Scope,
    unsupported: Option<&'static str>,
}

/// What the signature is over: the hash where the algorithm hashes first, so that a list of megabytes is not kept.
#[derive(Debug)]
enum Signed {
    Hash(aws_lc_rs::digest::Digest),
    Whole(Box<[u8]>),
}

/// Which certificates of its issuer a list is about.
#[derive(Default, Debug)]
struct Scope {
    only_users: bool,
    only_authorities: bool,
    distribution_points: Vec<Box<[u8]>>,
}

impl RevocationList {
    /// Reads one list; nothing may follow it.
    ///
    /// # Errors
    /// When it is not a list in DER, or does not say when the next one is due.
    pub fn read(der: &[u8]) -> Result<Self, DerError> {
        let mut outer = single(der, SEQUENCE)?;
        let signed = outer.element(SEQUENCE)?;
        let algorithm = outer.expect(SEQUENCE)?;
        let signature = outer.octet_aligned_bits()?;
        outer.finish()?;

        let mut tbs = Reader::new(signed.content);
        if tbs.peek() == Some(crate::der::INTEGER) && tbs.small()? != 1 {
            return Err(DerError::Value("version"));
        }
        if tbs.expect(SEQUENCE)? != algorithm {
            return Err(DerError::Value("signature algorithm"));
        }
        let issuer = CanonicalName::read(tbs.element(SEQUENCE)?.raw)?;
        let this_update = tbs.time()?;
        if !matches!(tbs.peek(), Some(UTC_TIME | GENERALIZED_TIME)) {
            return Err(DerError::Value("nextUpdate"));
        }
        let next_update = tbs.time()?;
        let entries = tbs.optional(SEQUENCE)?.map(|element| element.content).unwrap_or_default();
        let extensions = tbs.optional(context(0))?;
        tbs.finish()?;

        let mut unsupported = None;
        let mut scope = Scope::default();
        if let Some(extensions) = extensions {
            scope = read_extensions(extensions.content, &mut unsupported)?;
        }
        let revoked = read_entries(entries, &mut unsupported)?;
        let algorithm = read_signature(algorithm, None).map_err(|error| KeyError::NotAllowed(error.to_string()));
        let used = RevocationUsed { digest: Digest::of(der), this_update, next_update };
        let signed = Signed::new(&algorithm, signed.raw);
        Ok(Self { issuer, used, algorithm, signed, signature: signature.into(), revoked, scope, unsupported })
    }

    /// Who issued it.
    pub fn issuer(&self) -> &CanonicalName {
        &self.issuer
    }

    /// Its digest and times.
    pub fn used(&self) -> RevocationUsed {
        self.used
    }

    /// How it is signed.
    pub fn algorithm(&self) -> Option<SignatureAlgorithm> {
        self.algorithm.as_ref().ok().copied()
    }

    /// Since when `serial` is revoked.
    pub fn revoked_at(&self, serial: &Serial) -> Option<Timestamp> {
        self.revoked.get(serial).copied()
    }

    /// Checks its signature.
    ///
    /// # Errors
    /// When it is not by `key`.
    pub fn verify(&self, key: &PublicKey) -> Result<(), KeyError> {
        let algorithm = self.algorithm.clone()?;
        let message = match &self.signed {
            Signed::Hash(hash) => Message::Hash(hash),
            Signed::Whole(bytes) => Message::Whole(bytes),
        };
        key.verify(algorithm, message, &self.signature)
    }

    /// Whether it is a complete list by the issuer of its certificates.
    ///
    /// # Errors
    /// When it is a delta or an indirect list, or asks for something unknown.
    pub fn check_kind(&self) -> Result<(), Refusal> {
        match self.unsupported {
            None => Ok(()),
            Some(what) => Err(Refusal::new(Reason::RevocationUnsupported).saw(what)),
        }
    }

    /// Whether it is about certificates such as this one.
    pub fn covers(&self, certificate: &Certificate) -> bool {
        let is_ca = certificate.extensions().says_ca();
        let names = &certificate.extensions().distribution_points;
        let is_kind = if is_ca { !self.scope.only_users } else { !self.scope.only_authorities };
        is_kind
            && (self.scope.distribution_points.is_empty()
                || self.scope.distribution_points.iter().any(|name| names.contains(name)))
    }
}

impl Signed {
    fn new(algorithm: &Result<SignatureAlgorithm, KeyError>, bytes: &[u8]) -> Self {
        match algorithm {
            Ok(
                SignatureAlgorithm::RsaPkcs1(digest)
                | SignatureAlgorithm::RsaPss(digest, _)
                | SignatureAlgorithm::Ecdsa(digest),
            ) => Self::Hash(digest.hash(bytes)),
            Ok(SignatureAlgorithm::Ed25519) => Self::Whole(bytes.into()),
            // Never verified: the algorithm is refused first.
            Err(_) => Self::Hash(DigestAlgorithm::Sha256.hash(bytes)),
        }
    }
}

fn read_entries(content: &[u8], unsupported: &mut Option<&'static str>) -> Result<Revoked, DerError> {
    let mut entries = Reader::new(content);
    let mut revoked = Revoked::new();
    while !entries.is_empty() {
        let mut entry = entries.enter(SEQUENCE)?;
        let serial = Serial::read(entry.integer()?)?;
        let at = entry.time()?;
        if let Some(extensions) = entry.optional(SEQUENCE)? {
            read_entry_extensions(extensions.content, unsupported)?;
        }
        entry.finish()?;
        // Twice in one list: the earlier date counts.
        let known = revoked.entry(serial).or_insert(at);
        *known = (*known).min(at);
    }
    Ok(revoked)
}

fn read_entry_extensions(content: &[u8], unsupported: &mut Option<&'static str>) -> Result<(), DerError> {
    for element in Reader::new(content).all(SEQUENCE, EXTENSIONS_MAX)? {
        let mut extension = Reader::new(element.content);
        let oid = extension.oid()?;
        let is_critical = extension.flag()?;
        let value = extension.expect(OCTET_STRING)?;
        extension.finish()?;
        match oid {
            CERTIFICATE_ISSUER => *unsupported = Some("an indirect list"),
            REASON_CODE if value == REMOVE_FROM_CRL => *unsupported = Some("a delta list"),
            REASON_CODE | INVALIDITY_DATE => {}
            _ if is_critical => *unsupported = Some("an entry with an unknown critical extension"),
            _ => {}
        }
    }
    Ok(())
}

fn read_extensions(content: &[u8], unsupported: &mut Option<&'static str>) -> Result<Scope, DerError> {
    let mut scope = Scope::default();
    for element in single(content, SEQUENCE)?.all(SEQUENCE, EXTENSIONS_MAX)? {
        let mut extension = Reader::new(element.content);
        let oid = extension.oid()?;
        let is_critical = extension.flag()?;
        let value = extension.expect(OCTET_STRING)?;
        extension.finish()?;
        match oid {
            DELTA_INDICATOR => *unsupported = Some("a delta list"),
            ISSUING_DISTRIBUTION_POINT => scope = read_scope(value, unsupported)?,
            AUTHORITY_KEY_ID | CRL_NUMBER => {}
            _ if is_critical => *unsupported = Some("a list with an unknown critical extension"),
            _ => {}
        }
    }
    Ok(scope)
}

/// IssuingDistributionPoint (RFC 5280 section 5.2.5).
fn read_scope(value: &[u8], unsupported: &mut Option<&'static str>) -> Result<Scope, DerError> {
    let mut reader = single(value, SEQUENCE)?;
    let mut scope = Scope::default();
    if let Some(name) = reader.optional(context(0))? {
        scope.distribution_points = read_full_name(name.content)?;
        if scope.distribution_points.is_empty() {
            *unsupported = Some("a list for a distribution point by relative name");
        }
    }
    scope.only_users = implicit_flag(&mut reader, 1)?;
    scope.only_authorities = implicit_flag(&mut reader, 2)?;
    if reader.optional(context_primitive(3))?.is_some() {
        *unsupported = Some("a list for some reasons only");
    }
    if implicit_flag(&mut reader, 4)? {
        *unsupported = Some("an indirect list");
    }
    if implicit_flag(&mut reader, 5)? {
        *unsupported = Some("a list for attribute certificates");
    }
    reader.finish()?;
    Ok(scope)
}

fn implicit_flag(reader: &mut Reader<'_>, number: u8) -> Result<bool, DerError> {
    match reader.optional(context_primitive(number))?.map(|element| element.content) {
        None => Ok(false),
        Some([0xff]) => Ok(true),
        Some(_) => Err(DerError::Value("boolean")),
    }
}
