//! The signed attributes of a CMS signer: exactly one content type and one message digest, and the attribute that names
//! the certificate.

use gateway_model::{Digest, Reason, Refusal, Timestamp};

use crate::algorithm::{DigestAlgorithm, dotted, read_digest};
use crate::certificate::{Certificate, Serial};
use crate::cms::malformed;
use crate::der::{DerError, Element, OCTET_STRING, Reader, SEQUENCE, SET, context};
use crate::name::CanonicalName;

const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05];
const SIGNING_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x0c];
const SIGNING_CERTIFICATE_V2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x2f];
const ATTRIBUTES_MAX: usize = 32;

/// The signed attributes, read.
#[derive(Debug)]
pub struct SignedAttributes<'a> {
    /// What is signed: the SET with its own tag.
    signed: Vec<u8>,
    /// The digest of the content.
    pub message_digest: &'a [u8],
    /// What the signer says about the time.
    pub signing_time: Option<Timestamp>,
    /// The attribute that names the certificate.
    pub signing_certificate: SigningCertificate<'a>,
}

/// The attribute that binds the signature to one certificate (RFC 5035).
#[derive(Clone, Copy, Debug)]
pub enum SigningCertificate<'a> {
    /// Version 2: the certificate's digest, and perhaps its issuer and serial number.
    Named {
        /// Which digest.
        algorithm: DigestAlgorithm,
        /// The digest.
        digest: &'a [u8],
        /// IssuerSerial, whole content.
        issuer_serial: Option<&'a [u8]>,
    },
    /// Version 1 alone: it names the certificate by SHA-1, which proves nothing.
    OnlyVersionOne,
    /// Missing.
    Absent,
}

impl<'a> SignedAttributes<'a> {
    /// Reads `[0] IMPLICIT SET OF Attribute`.
    ///
    /// # Errors
    /// The reason why they are not in the profile.
    pub fn read(element: Element<'a>, content_type: &[u8]) -> Result<Self, Refusal> {
        let attributes = Reader::new(element.content).all(SEQUENCE, ATTRIBUTES_MAX).map_err(malformed)?;
        if attributes.windows(2).any(|pair| matches!(pair, [one, two] if one.raw > two.raw)) {
            return Err(malformed(DerError::Value("set of attributes")));
        }
        let mut found = Found::default();
        let mut seen: Vec<&[u8]> = Vec::with_capacity(attributes.len());
        for attribute in &attributes {
            let (oid, values) = read_attribute(attribute.content).map_err(malformed)?;
            if seen.contains(&oid) {
                return Err(invalid(&format!("{} stands twice", dotted(oid))));
            }
            seen.push(oid);
            found.take(oid, values)?;
        }
        if found.content_type != Some(content_type) {
            return Err(invalid("content-type is missing or is not id-data"));
        }
        Ok(Self {
            signed: with_set_tag(element.raw),
            message_digest: found.message_digest.ok_or_else(|| invalid("message-digest is missing"))?,
            signing_time: found.signing_time,
            signing_certificate: match (found.version_two, found.has_version_one) {
                (Some(named), _) => named,
                (None, true) => SigningCertificate::OnlyVersionOne,
                (None, false) => SigningCertificate::Absent,
            },
        })
    }

    /// The bytes that the signature is over.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }
}

impl SigningCertificate<'_> {
    /// The SHA-256 that it names.
    pub fn sha256(&self) -> Option<Digest> {
        match self {
            Self::Named { algorithm: DigestAlgorithm::Sha256, digest, .. } => Digest::from_slice(digest),
            Self::Named { .. } | Self::OnlyVersionOne | Self::Absent => None,
        }
    }

    /// Whether it names `certificate`. True as well when nothing is named: whether that is enough is the caller's rule.
    pub fn names(&self, certificate: &Certificate) -> bool {
        let Self::Named { algorithm, digest, issuer_serial } = self else { return true };
        let is_digest = match algorithm {
            DigestAlgorithm::Sha256 => Digest::from_slice(digest) == Some(certificate.digest()),
            other => other.hash(certificate.der()).as_ref() == *digest,
        };
        is_digest && issuer_serial.is_none_or(|pair| names_issuer_and_serial(pair, certificate).unwrap_or(false))
    }
}

/// IssuerSerial ::= SEQUENCE { issuer GeneralNames, serialNumber }: one directory name.
fn names_issuer_and_serial(pair: &[u8], certificate: &Certificate) -> Result<bool, DerError> {
    let mut reader = Reader::new(pair);
    let issuer = reader.enter(SEQUENCE)?.expect(context(4))?;
    let serial = Serial::read(reader.integer()?)?;
    reader.finish()?;
    Ok(CanonicalName::read(issuer)? == *certificate.issuer() && serial == certificate.serial())
}

#[derive(Default)]
struct Found<'a> {
    content_type: Option<&'a [u8]>,
    message_digest: Option<&'a [u8]>,
    signing_time: Option<Timestamp>,
    version_two: Option<SigningCertificate<'a>>,
    has_version_one: bool,
}

impl<'a> Found<'a> {
    fn take(&mut self, oid: &[u8], values: Reader<'a>) -> Result<(), Refusal> {
        match oid {
            CONTENT_TYPE => self.content_type = Some(one(values, |value| value.oid())?),
            MESSAGE_DIGEST => self.message_digest = Some(one(values, |value| value.expect(OCTET_STRING))?),
            SIGNING_TIME => self.signing_time = Some(one(values, Reader::time)?),
            SIGNING_CERTIFICATE_V2 => {
                let content = one(values, |value| value.expect(SEQUENCE))?;
                self.version_two = Some(read_version_two(content)?);
            }
            SIGNING_CERTIFICATE => self.has_version_one = true,
            _ => {}
        }
        Ok(())
    }
}

/// The one value of an attribute that has to have exactly one.
fn one<'a, T>(mut values: Reader<'a>, read: impl Fn(&mut Reader<'a>) -> Result<T, DerError>) -> Result<T, Refusal> {
    if values.is_empty() {
        return Err(invalid("an attribute has no value"));
    }
    let value = read(&mut values).map_err(malformed)?;
    if values.is_empty() { Ok(value) } else { Err(invalid("an attribute has more than one value")) }
}

/// SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, policies OPTIONAL }; the first one is the
/// signer's.
fn read_version_two(content: &[u8]) -> Result<SigningCertificate<'_>, Refusal> {
    let mut certificates = Reader::new(content).enter(SEQUENCE).map_err(malformed)?;
    let mut first = certificates.enter(SEQUENCE).map_err(malformed)?;
    let algorithm = match first.optional(SEQUENCE).map_err(malformed)? {
        Some(identifier) => read_digest(identifier.content)
            .map_err(|error| Refusal::new(error.reason(Reason::SignatureMalformed)).saw(error.to_string()))?,
        None => DigestAlgorithm::Sha256,
    };
    let digest = first.expect(OCTET_STRING).map_err(malformed)?;
    let issuer_serial = first.optional(SEQUENCE).map_err(malformed)?.map(|pair| pair.content);
    first.finish().map_err(malformed)?;
    Ok(SigningCertificate::Named { algorithm, digest, issuer_serial })
}

fn read_attribute(content: &[u8]) -> Result<(&[u8], Reader<'_>), DerError> {
    let mut reader = Reader::new(content);
    let oid = reader.oid()?;
    let values = reader.enter(SET)?;
    reader.finish()?;
    Ok((oid, values))
}

/// The attributes are signed as a SET OF (0x31), but stand in the message as `[0]` (0xa0).
fn with_set_tag(raw: &[u8]) -> Vec<u8> {
    let mut signed = raw.to_vec();
    if let Some(tag) = signed.first_mut() {
        *tag = SET;
    }
    signed
}

fn invalid(what: &str) -> Refusal {
    Refusal::new(Reason::SignatureAttributesInvalid).saw(what)
}
