//! An answer of OCSP (RFC 6960) that came with the message (RFC 5940): what the issuer, or whom it has appointed, said of one certificate.

use gateway_model::{Digest, Timestamp};

use super::{RevocationFinding, RevocationUsed};
use crate::algorithm::{SignatureAlgorithm, read_signature};
use crate::certificate::{Certificate, Serial};
use crate::der::{
    DerError, ENUMERATED, OCTET_STRING, Reader, SEQUENCE, context, context_primitive, single, single_content,
};
use crate::extension::{CRL_SIGN, DIGITAL_SIGNATURE};
use crate::key::Message;
use crate::name::CanonicalName;

const ID_PKIX_OCSP_BASIC: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
const SHA_1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SUCCESSFUL: &[u8] = &[0];
/// Certificates that one answer may speak of, and that may come with it.
const RESPONSES_MAX: usize = 16;
const CERTIFICATES_MAX: usize = 4;
const EXTENSIONS_MAX: usize = 16;

/// An answer, read; nothing in it is believed yet.
#[derive(Debug)]
pub struct OcspAnswer<'a> {
    der: &'a [u8],
    responder: Responder<'a>,
    produced_at: Timestamp,
    responses: Vec<Response<'a>>,
    signed: &'a [u8],
    algorithm: SignatureAlgorithm,
    signature: &'a [u8],
    certificates: Vec<&'a [u8]>,
}

/// Who says that it answers.
#[derive(Debug)]
enum Responder<'a> {
    Name(CanonicalName),
    /// SHA-1 of its key, by which it is only found.
    Key(&'a [u8]),
}

/// What is said of one certificate.
#[derive(Debug)]
struct Response<'a> {
    /// By which the issuer's name and key are hashed. They only find the certificate: what counts is who signed.
    hash: &'a [u8],
    name_hash: &'a [u8],
    key_hash: &'a [u8],
    serial: Serial,
    status: Status,
    this_update: Timestamp,
    next_update: Timestamp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    Good,
    Revoked(Timestamp),
    Unknown,
}

impl<'a> OcspAnswer<'a> {
    /// Reads an OCSPResponse; nothing may follow it.
    ///
    /// # Errors
    /// When it is not an answer in DER, is no success, asks for something unknown, or does not say when the next one is due.
    pub fn read(der: &'a [u8]) -> Result<Self, DerError> {
        let mut whole = single(der, SEQUENCE)?;
        if whole.expect(ENUMERATED)? != SUCCESSFUL {
            return Err(DerError::Value("response status"));
        }
        let bytes = whole.expect(context(0))?;
        whole.finish()?;
        let mut typed = single(bytes, SEQUENCE)?;
        if typed.oid()? != ID_PKIX_OCSP_BASIC {
            return Err(DerError::Value("response type"));
        }
        let basic = typed.expect(OCTET_STRING)?;
        typed.finish()?;

        let mut basic = single(basic, SEQUENCE)?;
        let signed = basic.element(SEQUENCE)?;
        let algorithm = read_signature(basic.expect(SEQUENCE)?, None);
        let algorithm = algorithm.map_err(|_| DerError::Value("signature algorithm"))?;
        let signature = basic.octet_aligned_bits()?;
        let certificates = match basic.optional(context(0))? {
            Some(certificates) => single(certificates.content, SEQUENCE)?.all(SEQUENCE, CERTIFICATES_MAX)?,
            None => Vec::new(),
        };
        basic.finish()?;

        let mut data = Reader::new(signed.content);
        data.optional(context(0))?;
        let responder = read_responder(&mut data)?;
        let produced_at = data.time()?;
        let responses = data.enter(SEQUENCE)?.all(SEQUENCE, RESPONSES_MAX)?;
        check_extensions(&mut data)?;
        data.finish()?;
        Ok(Self {
            der,
            responder,
            produced_at,
            responses: responses.iter().map(|one| read_response(one.content)).collect::<Result<_, _>>()?,
            signed: signed.raw,
            algorithm,
            signature,
            certificates: certificates.iter().map(|certificate| certificate.raw).collect(),
        })
    }

    /// What it says of a certificate; `None` when it says nothing that counts: it is about another, nobody knows, or it is not signed by the
    /// issuer or whom the issuer appointed, by an algorithm that is allowed.
    pub fn about(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        is_allowed: impl Fn(SignatureAlgorithm) -> bool,
    ) -> Option<RevocationFinding> {
        let response = self.responses.iter().find(|response| response.is_about(certificate, issuer))?;
        let revoked_at = match response.status {
            Status::Good => None,
            Status::Revoked(at) => Some(at),
            Status::Unknown => return None,
        };
        if !self.is_signed_for(issuer, is_allowed) {
            return None;
        }
        let used = RevocationUsed {
            digest: Digest::of(self.der),
            this_update: response.this_update,
            next_update: response.next_update,
        };
        Some(RevocationFinding { used, revoked_at })
    }

    fn is_signed_for(&self, issuer: &Certificate, is_allowed: impl Fn(SignatureAlgorithm) -> bool) -> bool {
        if !is_allowed(self.algorithm) {
            return false;
        }
        if self.responder.is(issuer) {
            // A CA that signs lists may say the same of one certificate.
            return issuer.extensions().allows(DIGITAL_SIGNATURE | CRL_SIGN) && self.is_signed_by(issuer);
        }
        let appointed = self.certificates.iter().filter_map(|der| Certificate::read(der).ok());
        appointed
            .filter(|responder| self.responder.is(responder))
            .any(|responder| self.is_appointed(&responder, issuer, &is_allowed) && self.is_signed_by(&responder))
    }

    fn is_signed_by(&self, responder: &Certificate) -> bool {
        responder.key().verify(self.algorithm, Message::Whole(self.signed), self.signature).is_ok()
    }

    /// Whether the issuer itself made this responder one (RFC 6960 section 4.2.2.2), whose own revocation nobody need ask about.
    fn is_appointed(
        &self,
        responder: &Certificate,
        issuer: &Certificate,
        is_allowed: impl Fn(SignatureAlgorithm) -> bool,
    ) -> bool {
        let extensions = responder.extensions();
        let is_its_kind = extensions.signs_ocsp
            && extensions.ocsp_no_check
            && !extensions.says_ca()
            && extensions.allows(DIGITAL_SIGNATURE)
            && extensions.unknown_critical.is_none();
        let is_in_time = responder.not_before() <= self.produced_at && self.produced_at <= responder.not_after();
        let is_issued = || {
            let algorithm = responder.signature_algorithm().ok().filter(|algorithm| is_allowed(*algorithm))?;
            let (signed, signature) = responder.signed()?;
            issuer.key().verify(algorithm, Message::Whole(signed), signature).ok()
        };
        is_its_kind && is_in_time && responder.issuer() == issuer.subject() && is_issued().is_some()
    }
}

impl Responder<'_> {
    fn is(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => name == certificate.subject(),
            Self::Key(hash) => certificate.key_bits().is_some_and(|bits| sha_1(bits).as_ref() == *hash),
        }
    }
}

impl Response<'_> {
    fn is_about(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let hash = |bytes: &[u8]| match self.hash {
            SHA_1 => Some(sha_1(bytes)),
            SHA_256 => Some(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)),
            _ => None,
        };
        let is = |bytes: &[u8], expected: &[u8]| hash(bytes).is_some_and(|hash| hash.as_ref() == expected);
        self.serial == certificate.serial()
            && is(certificate.issuer_der(), self.name_hash)
            && issuer.key_bits().is_some_and(|bits| is(bits, self.key_hash))
    }
}

fn sha_1(bytes: &[u8]) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
}

fn read_responder<'a>(data: &mut Reader<'a>) -> Result<Responder<'a>, DerError> {
    let responder = data.any()?;
    if responder.tag == context(1) {
        return Ok(Responder::Name(CanonicalName::read(responder.content)?));
    }
    if responder.tag == context(2) {
        return Ok(Responder::Key(single_content(responder.content, OCTET_STRING)?));
    }
    Err(DerError::Value("responder"))
}

fn read_response(content: &[u8]) -> Result<Response<'_>, DerError> {
    let mut response = Reader::new(content);
    let mut id = response.enter(SEQUENCE)?;
    let hash = id.enter(SEQUENCE)?.oid()?;
    let (name_hash, key_hash) = (id.expect(OCTET_STRING)?, id.expect(OCTET_STRING)?);
    let serial = Serial::read(id.integer()?)?;
    id.finish()?;
    let status = response.any()?;
    let status = if status.tag == context_primitive(0) {
        Status::Good
    } else if status.tag == context(1) {
        Status::Revoked(Reader::new(status.content).time()?)
    } else if status.tag == context_primitive(2) {
        Status::Unknown
    } else {
        return Err(DerError::Value("certificate status"));
    };
    let this_update = response.time()?;
    let next_update = Reader::new(response.expect(context(0))?).time()?;
    check_extensions(&mut response)?;
    response.finish()?;
    Ok(Response { hash, name_hash, key_hash, serial, status, this_update, next_update })
}

/// None of the extensions of an answer is understood here; those that are not critical need not be.
fn check_extensions(reader: &mut Reader<'_>) -> Result<(), DerError> {
    let Some(extensions) = reader.optional(context(1))? else { return Ok(()) };
    for element in single(extensions.content, SEQUENCE)?.all(SEQUENCE, EXTENSIONS_MAX)? {
        let mut extension = Reader::new(element.content);
        extension.oid()?;
        if extension.flag()? {
            return Err(DerError::Value("critical extension"));
        }
    }
    Ok(())
}
