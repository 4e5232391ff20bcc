//! Reads one detached CMS SignedData with one signer, in the profile of this gateway; nothing in it is believed yet.

use gateway_model::{Reason, Refusal, Timestamp, limits};

use crate::algorithm::{AlgorithmError, DigestAlgorithm, SignatureAlgorithm, read_digest, read_signature};
use crate::attribute::SignedAttributes;
use crate::der::{DerError, OCTET_STRING, Reader, SEQUENCE, SET, context, context_primitive, single};
use crate::revocation::Stapled;

const ID_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ID_SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// Certificates that one CMS may carry: two chains of the longest allowed length.
const CERTIFICATES_MAX: usize = 16;
const DIGESTS_MAX: usize = 8;
/// Stapled lists and answers that are looked at: one for each certificate of a chain.
const STAPLED_MAX: usize = limits::CHAIN_CERTIFICATES_MAX;
/// id-ri-ocsp-response (RFC 5940).
const ID_RI_OCSP_RESPONSE: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x10, 0x02];

/// A CMS signature, read.
#[derive(Debug)]
pub struct CmsSignature<'a> {
    /// The certificates that it carries, each whole.
    pub certificates: Vec<&'a [u8]>,
    /// What it carries about revocation.
    pub stapled: Stapled<'a>,
    /// Whose signature it is.
    pub signer: SignerIdentifier<'a>,
    /// Digest over the content.
    pub digest: DigestAlgorithm,
    /// The signed attributes.
    pub attributes: SignedAttributes<'a>,
    /// How it is signed.
    pub algorithm: SignatureAlgorithm,
    /// The signature bytes.
    pub signature: &'a [u8],
}

/// How a SignerInfo names the certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignerIdentifier<'a> {
    /// The issuer's whole Name, and the content of the serial number.
    IssuerAndSerial(&'a [u8], &'a [u8]),
    /// The subject key identifier.
    SubjectKeyId(&'a [u8]),
}

impl<'a> CmsSignature<'a> {
    /// Reads `der`.
    ///
    /// # Errors
    /// The reason why it is not in the profile.
    pub fn read(der: &'a [u8]) -> Result<Self, Refusal> {
        if der.len() > limits::SIGNATURE_BYTES_MAX {
            let seen = format!("{} bytes; {} are allowed", der.len(), limits::SIGNATURE_BYTES_MAX);
            return Err(Refusal::new(Reason::SignatureTooLarge).saw(seen));
        }
        let mut whole = Reader::new(der);
        let mut content_info = whole.enter(SEQUENCE).map_err(malformed)?;
        whole.finish().map_err(|_| Refusal::new(Reason::SignatureTrailingBytes))?;
        let mut signed_data = read_content_info(&mut content_info).map_err(malformed)??;
        read_signed_data(&mut signed_data)
    }

    /// The time at which the signer says it signed; never a reason to accept.
    pub fn signing_time(&self) -> Option<Timestamp> {
        self.attributes.signing_time
    }
}

pub(crate) fn malformed(error: DerError) -> Refusal {
    Refusal::new(Reason::SignatureMalformed).saw(error.to_string())
}

fn wrong(what: &str) -> Refusal {
    Refusal::new(Reason::SignatureMalformed).saw(what)
}

fn algorithm(error: AlgorithmError) -> Refusal {
    Refusal::new(error.reason(Reason::SignatureMalformed)).saw(error.to_string())
}

fn read_content_info<'a>(reader: &mut Reader<'a>) -> Result<Result<Reader<'a>, Refusal>, DerError> {
    if reader.oid()? != ID_SIGNED_DATA {
        return Ok(Err(wrong("the content type is not SignedData")));
    }
    let explicit = reader.expect(context(0))?;
    (*reader).finish()?;
    single(explicit, SEQUENCE).map(Ok)
}

fn read_signed_data<'a>(reader: &mut Reader<'a>) -> Result<CmsSignature<'a>, Refusal> {
    let version = reader.small().map_err(malformed)?;
    if !matches!(version, 1 | 3) {
        return Err(wrong("the version of SignedData is neither 1 nor 3"));
    }
    let digests = reader.enter(SET).and_then(|set| set.all(SEQUENCE, DIGESTS_MAX)).map_err(malformed)?;
    read_content(reader.enter(SEQUENCE).map_err(malformed)?)?;
    let certificates = read_certificates(reader)?;
    let stapled = read_stapled(reader).map_err(malformed)?;
    let signers = reader.enter(SET).and_then(|set| set.all(SEQUENCE, CERTIFICATES_MAX)).map_err(malformed)?;
    (*reader).finish().map_err(malformed)?;
    let [signer] = signers.as_slice() else {
        return Err(wrong(&format!("{} signers; exactly one is allowed in each CMS", signers.len())));
    };
    let mut signature = read_signer(Reader::new(signer.content))?;
    let is_announced = digests.iter().any(|digest| read_digest(digest.content) == Ok(signature.digest));
    if !is_announced {
        return Err(wrong("the signer's digest algorithm is not among the announced ones"));
    }
    signature.certificates = certificates;
    signature.stapled = stapled;
    Ok(signature)
}

/// The lists and the answers of OCSP (RFC 5940) that a sender staples. What is neither stays unread in the bytes that are kept; so does what is
/// beyond the bound.
fn read_stapled<'a>(reader: &mut Reader<'a>) -> Result<Stapled<'a>, DerError> {
    let Some(set) = reader.optional(context(1))? else { return Ok(Stapled::default()) };
    let mut choices = Reader::new(set.content);
    let mut stapled = Stapled::default();
    while !choices.is_empty() && stapled.lists.len().saturating_add(stapled.answers.len()) < STAPLED_MAX {
        let choice = choices.any()?;
        if choice.tag == SEQUENCE {
            stapled.lists.push(choice.raw);
        } else if choice.tag == context(1) {
            let mut other = Reader::new(choice.content);
            if other.oid()? == ID_RI_OCSP_RESPONSE {
                stapled.answers.push(other.element(SEQUENCE)?.raw);
            }
        }
    }
    Ok(stapled)
}

fn read_content(mut content: Reader<'_>) -> Result<(), Refusal> {
    let kind = content.oid().map_err(malformed)?;
    if !content.is_empty() {
        return Err(Refusal::new(Reason::SignatureNotDetached));
    }
    if kind == ID_DATA { Ok(()) } else { Err(wrong("the content type is not id-data")) }
}

fn read_certificates<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Refusal> {
    let Some(set) = reader.optional(context(0)).map_err(malformed)? else { return Ok(Vec::new()) };
    match Reader::new(set.content).all(SEQUENCE, CERTIFICATES_MAX) {
        Ok(elements) => Ok(elements.iter().map(|element| element.raw).collect()),
        Err(DerError::TooMany(max)) => {
            Err(Refusal::new(Reason::ChainTooLong).saw(format!("more than {max} certificates")))
        }
        Err(error) => Err(malformed(error)),
    }
}

fn read_signer(mut reader: Reader<'_>) -> Result<CmsSignature<'_>, Refusal> {
    let version = reader.small().map_err(malformed)?;
    let signer = read_identifier(&mut reader, version)?;
    let digest = reader.expect(SEQUENCE).map_err(malformed)?;
    let digest = read_digest(digest).map_err(algorithm)?;
    let attributes = reader.optional(context(0)).map_err(malformed)?;
    let signature_algorithm = reader.expect(SEQUENCE).map_err(malformed)?;
    let signature_algorithm = read_signature(signature_algorithm, Some(digest)).map_err(algorithm)?;
    let signature = reader.expect(OCTET_STRING).map_err(malformed)?;
    // Unsigned attributes (time-stamps, counter-signatures) prove nothing here; they stay in the bytes that are kept.
    reader.optional(context(1)).map_err(malformed)?;
    reader.finish().map_err(malformed)?;
    let attributes =
        attributes.ok_or_else(|| Refusal::new(Reason::SignatureAttributesInvalid).saw("no signed attributes"))?;
    let attributes = SignedAttributes::read(attributes, ID_DATA)?;
    Ok(CmsSignature {
        certificates: Vec::new(),
        stapled: Stapled::default(),
        signer,
        digest,
        attributes,
        algorithm: signature_algorithm,
        signature,
    })
}

fn read_identifier<'a>(reader: &mut Reader<'a>, version: u32) -> Result<SignerIdentifier<'a>, Refusal> {
    let element = reader.any().map_err(malformed)?;
    match (version, element.tag) {
        (1, SEQUENCE) => {
            let mut pair = Reader::new(element.content);
            let issuer = pair.element(SEQUENCE).map_err(malformed)?.raw;
            let serial = pair.integer().map_err(malformed)?;
            pair.finish().map_err(malformed)?;
            Ok(SignerIdentifier::IssuerAndSerial(issuer, serial))
        }
        (3, tag) if tag == context_primitive(0) => Ok(SignerIdentifier::SubjectKeyId(element.content)),
        _ => Err(wrong("the signer is named neither by issuer and serial number nor by key identifier")),
    }
}
