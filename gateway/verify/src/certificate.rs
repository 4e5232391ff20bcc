//! An X.509 certificate, read once: what the rules of our profile ask about, and nothing more.

use gateway_model::{Digest, Timestamp};

use crate::algorithm::{AlgorithmError, SignatureAlgorithm, read_signature};
use crate::der::{DerError, Reader, SEQUENCE, context, context_primitive};
use crate::extension::Extensions;
use crate::key::PublicKey;
use crate::name::{CanonicalName, readable};

/// A certificate.
#[derive(Debug)]
pub struct Certificate {
    der: Box<[u8]>,
    digest: Digest,
    serial: Serial,
    issuer: CanonicalName,
    issuer_der: Box<[u8]>,
    subject: CanonicalName,
    subject_der: Box<[u8]>,
    not_before: Timestamp,
    not_after: Timestamp,
    key: PublicKey,
    signature_algorithm: Result<SignatureAlgorithm, AlgorithmError>,
    extensions: Extensions,
}

/// A serial number: at most 21 bytes of a DER integer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial {
    length: u8,
    bytes: [u8; Self::BYTES_MAX],
}

impl Serial {
    /// Twenty bytes (RFC 5280) and the zero that keeps a high one positive.
    const BYTES_MAX: usize = 21;

    /// Takes the content of an INTEGER.
    ///
    /// # Errors
    /// When it is longer than a serial number may be.
    pub fn read(content: &[u8]) -> Result<Self, DerError> {
        let mut bytes = [0u8; Self::BYTES_MAX];
        let target = bytes.get_mut(..content.len()).ok_or(DerError::Value("serial number"))?;
        target.copy_from_slice(content);
        let length = u8::try_from(content.len()).map_err(|_| DerError::Value("serial number"))?;
        Ok(Self { length, bytes })
    }
}

impl std::fmt::Display for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.bytes.get(..usize::from(self.length)).unwrap_or_default()))
    }
}

impl std::fmt::Debug for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl Certificate {
    /// Reads one certificate; nothing may follow it.
    ///
    /// # Errors
    /// When it is not a certificate in DER. What it says is not judged here.
    pub fn read(der: &[u8]) -> Result<Self, DerError> {
        let mut outer = crate::der::single(der, SEQUENCE)?;
        let mut tbs = outer.enter(SEQUENCE)?;
        let outer_algorithm = outer.expect(SEQUENCE)?;
        outer.octet_aligned_bits()?;
        outer.finish()?;

        let version = read_version(&mut tbs)?;
        let serial = Serial::read(tbs.integer()?)?;
        let algorithm = tbs.expect(SEQUENCE)?;
        let issuer = tbs.element(SEQUENCE)?.raw;
        let (not_before, not_after) = read_validity(tbs.enter(SEQUENCE)?)?;
        let subject = tbs.element(SEQUENCE)?.raw;
        let key = PublicKey::read(tbs.element(SEQUENCE)?.raw)?;
        tbs.optional(context_primitive(1))?;
        tbs.optional(context_primitive(2))?;
        let extensions = match tbs.optional(context(3))? {
            Some(element) if version == 3 => Extensions::read(element.content)?,
            Some(_) => return Err(DerError::Value("version")),
            None => Extensions::default(),
        };
        tbs.finish()?;
        if algorithm != outer_algorithm {
            return Err(DerError::Value("signature algorithm"));
        }
        Ok(Self {
            der: der.into(),
            digest: Digest::of(der),
            serial,
            issuer: CanonicalName::read(issuer)?,
            issuer_der: issuer.into(),
            subject: CanonicalName::read(subject)?,
            subject_der: subject.into(),
            not_before,
            not_after,
            key,
            signature_algorithm: read_signature(algorithm, None),
            extensions,
        })
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its serial number.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// Who issued it.
    pub fn issuer(&self) -> &CanonicalName {
        &self.issuer
    }

    /// Who issued it, as it is written: the whole Name.
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer_der
    }

    /// Whom it is about.
    pub fn subject(&self) -> &CanonicalName {
        &self.subject
    }

    /// Whom it is about, in a line for the reader. Never a reason to trust.
    pub fn subject_text(&self) -> String {
        readable(&self.subject_der)
    }

    /// First second of its validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Last second of its validity, included.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Its key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The bits of its key, without the algorithm, as OCSP hashes them.
    pub fn key_bits(&self) -> Option<&[u8]> {
        let mut tbs = crate::der::single(&self.der, SEQUENCE).ok()?.enter(SEQUENCE).ok()?;
        tbs.optional(context(0)).ok()?;
        tbs.integer().ok()?;
        // Signature algorithm, issuer, validity, subject.
        for _ in 0..4 {
            tbs.expect(SEQUENCE).ok()?;
        }
        let mut info = tbs.enter(SEQUENCE).ok()?;
        info.expect(SEQUENCE).ok()?;
        info.octet_aligned_bits().ok()
    }

    /// How its issuer signed it.
    ///
    /// # Errors
    /// When the algorithm is not one of ours.
    pub fn signature_algorithm(&self) -> Result<SignatureAlgorithm, &AlgorithmError> {
        match &self.signature_algorithm {
            Ok(algorithm) => Ok(*algorithm),
            Err(error) => Err(error),
        }
    }

    /// What its issuer signed, and the signature.
    pub fn signed(&self) -> Option<(&[u8], &[u8])> {
        let mut outer = crate::der::single(&self.der, SEQUENCE).ok()?;
        let signed = outer.element(SEQUENCE).ok()?.raw;
        outer.expect(SEQUENCE).ok()?;
        Some((signed, outer.octet_aligned_bits().ok()?))
    }

    /// Its extensions.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }
}

/// What names a certificate inside a CMS or a CRL, read without the rest of it: the issuer (whole Name) and the serial
/// number.
///
/// # Errors
/// When it is not a certificate as far as its issuer.
pub fn peek_issuer_and_serial(der: &[u8]) -> Result<(&[u8], &[u8]), DerError> {
    let mut tbs = crate::der::single(der, SEQUENCE)?.enter(SEQUENCE)?;
    tbs.optional(context(0))?;
    let serial = tbs.integer()?;
    tbs.expect(SEQUENCE)?;
    Ok((tbs.element(SEQUENCE)?.raw, serial))
}

fn read_version(tbs: &mut Reader<'_>) -> Result<u32, DerError> {
    let Some(element) = tbs.optional(context(0))? else { return Ok(1) };
    let mut reader = Reader::new(element.content);
    let version = reader.small()?;
    reader.finish()?;
    match version {
        1 => Ok(2),
        2 => Ok(3),
        _ => Err(DerError::Value("version")),
    }
}

fn read_validity(mut validity: Reader<'_>) -> Result<(Timestamp, Timestamp), DerError> {
    let not_before = validity.time()?;
    let not_after = validity.time()?;
    validity.finish()?;
    Ok((not_before, not_after))
}
