//! The extensions of a certificate that our profile knows; any other one that is critical is remembered as the reason
//! to refuse.

use crate::algorithm::dotted;
use crate::der::{
    DerError, OCTET_STRING, OID, Reader, SEQUENCE, context, context_primitive, named_bits, single, single_content,
};

/// digitalSignature.
pub const DIGITAL_SIGNATURE: u16 = 0x8000;
/// nonRepudiation, also called contentCommitment.
pub const NON_REPUDIATION: u16 = 0x4000;
/// keyCertSign.
pub const KEY_CERT_SIGN: u16 = 0x0400;
/// cRLSign.
pub const CRL_SIGN: u16 = 0x0200;

/// Extended key usages under which a certificate may sign documents.
const SIGNING_USAGES: [&[u8]; 5] = [
    &[0x55, 0x1d, 0x25, 0x00],                                     // anyExtendedKeyUsage
    &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x04],             // id-kp-emailProtection
    &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x24],             // id-kp-documentSigning (RFC 9336)
    &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x0a, 0x03, 0x0c], // Microsoft document signing
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x2f, 0x01, 0x01, 0x05],       // Adobe authentic documents
];
/// id-kp-serverAuth: the mark of a machine's TLS certificate.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// id-kp-clientAuth: many certificates of persons in the field have nothing else. It lets sign unless serverAuth stands
/// beside it; who speaks for an agency is a fact of the directory, not of this extension.
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
/// id-kp-OCSPSigning.
const OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];
/// id-pkix-ocsp-nocheck.
const OCSP_NO_CHECK: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];
const EXTENSIONS_MAX: usize = 64;
const ENTRIES_MAX: usize = 256;

/// What the extensions say.
#[derive(Clone, Default, Debug)]
pub struct Extensions {
    /// cA of basicConstraints; `None` without the extension.
    pub is_ca: Option<bool>,
    /// keyUsage; `None` without the extension.
    pub key_usage: Option<u16>,
    /// Whether extKeyUsage stands and none of its usages lets sign documents.
    pub forbids_documents: bool,
    /// Whether extKeyUsage names the signing of answers of OCSP.
    pub signs_ocsp: bool,
    /// Whether its issuer says that nobody need ask about its revocation (id-pkix-ocsp-nocheck, RFC 6960).
    pub ocsp_no_check: bool,
    /// The first critical extension that is not understood, dotted.
    pub unknown_critical: Option<String>,
    /// subjectKeyIdentifier.
    pub subject_key_id: Option<Box<[u8]>>,
    /// keyIdentifier of authorityKeyIdentifier.
    pub authority_key_id: Option<Box<[u8]>>,
    /// Policies, dotted.
    pub policies: Vec<String>,
    /// Whether it maps policies.
    pub maps_policies: bool,
    /// A kind of name in the name constraints that nobody here can compare.
    pub unknown_name_constraint: Option<u8>,
    /// Full names of the CRL distribution points: each a whole GeneralName.
    pub distribution_points: Vec<Box<[u8]>>,
}

impl Extensions {
    /// Reads `Extensions`: the content of `[3]`.
    ///
    /// # Errors
    /// When they are not DER, or one stands twice.
    pub fn read(content: &[u8]) -> Result<Self, DerError> {
        let mut read = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        for element in single(content, SEQUENCE)?.all(SEQUENCE, EXTENSIONS_MAX)? {
            let mut extension = Reader::new(element.content);
            let oid = extension.oid()?;
            let is_critical = extension.flag()?;
            let value = extension.expect(OCTET_STRING)?;
            extension.finish()?;
            if seen.contains(&oid) {
                return Err(DerError::Value("repeated extension"));
            }
            seen.push(oid);
            if !read.take(oid, value)? && is_critical && read.unknown_critical.is_none() {
                read.unknown_critical = Some(dotted(oid));
            }
        }
        Ok(read)
    }

    /// Whether it is a CA by basicConstraints.
    pub fn says_ca(&self) -> bool {
        self.is_ca == Some(true)
    }

    /// Whether keyUsage, where it stands, has one of `bits`.
    pub fn allows(&self, bits: u16) -> bool {
        self.key_usage.is_none_or(|usage| usage & bits != 0)
    }

    /// Takes one extension; false when it is not understood.
    fn take(&mut self, oid: &[u8], value: &[u8]) -> Result<bool, DerError> {
        if oid == OCSP_NO_CHECK {
            self.ocsp_no_check = true;
            return Ok(true);
        }
        let [0x55, 0x1d, number] = oid else { return Ok(false) };
        match number {
            14 => self.subject_key_id = Some(single_content(value, OCTET_STRING)?.into()),
            15 => self.key_usage = Some(named_bits(single_content(value, crate::der::BIT_STRING)?)?),
            // subjectAltName: OpenSSL compares it with the name constraints.
            17 => {}
            19 => self.is_ca = Some(read_basic_constraints(value)?),
            30 => self.unknown_name_constraint = read_name_constraints(value)?,
            31 => self.distribution_points = read_distribution_points(value)?,
            32 => self.policies = read_policies(value)?,
            33 => self.maps_policies = true,
            35 => self.authority_key_id = read_authority_key_id(value)?,
            // policyConstraints and inhibitAnyPolicy: OpenSSL judges them.
            36 | 54 => {}
            37 => self.take_usages(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_usages(&mut self, value: &[u8]) -> Result<(), DerError> {
        let usages = single(value, SEQUENCE)?.all(OID, ENTRIES_MAX)?;
        let has = |oid: &[u8]| usages.iter().any(|usage| usage.content == oid);
        let lets_sign_documents = SIGNING_USAGES.iter().any(|oid| has(oid)) || (has(CLIENT_AUTH) && !has(SERVER_AUTH));
        (self.forbids_documents, self.signs_ocsp) = (!lets_sign_documents, has(OCSP_SIGNING));
        Ok(())
    }
}

fn read_basic_constraints(value: &[u8]) -> Result<bool, DerError> {
    let mut reader = single(value, SEQUENCE)?;
    let is_ca = reader.flag()?;
    if !reader.is_empty() {
        reader.small()?;
    }
    reader.finish()?;
    Ok(is_ca)
}

/// The first kind of name that OpenSSL does not compare: all but e-mail, DNS, directory name, URI and IP address.
fn read_name_constraints(value: &[u8]) -> Result<Option<u8>, DerError> {
    let mut reader = single(value, SEQUENCE)?;
    let mut unknown = None;
    for tag in [context(0), context(1)] {
        let Some(subtrees) = reader.optional(tag)? else { continue };
        for subtree in Reader::new(subtrees.content).all(SEQUENCE, ENTRIES_MAX)? {
            let kind = Reader::new(subtree.content).any()?.tag & 0x1f;
            if !matches!(kind, 1 | 2 | 4 | 6 | 7) {
                unknown = unknown.or(Some(kind));
            }
        }
    }
    reader.finish()?;
    Ok(unknown)
}

fn read_distribution_points(value: &[u8]) -> Result<Vec<Box<[u8]>>, DerError> {
    let mut names = Vec::new();
    for point in single(value, SEQUENCE)?.all(SEQUENCE, ENTRIES_MAX)? {
        if let Some(name) = Reader::new(point.content).optional(context(0))? {
            names.extend(read_full_name(name.content)?);
        }
    }
    Ok(names)
}

/// The GeneralNames of a DistributionPointName's `fullName`; none for a relative name.
///
/// # Errors
/// When it is not DER.
pub fn read_full_name(content: &[u8]) -> Result<Vec<Box<[u8]>>, DerError> {
    let mut names = Vec::new();
    let Some(full) = Reader::new(content).optional(context(0))? else { return Ok(names) };
    let mut reader = Reader::new(full.content);
    while !reader.is_empty() {
        if names.len() >= ENTRIES_MAX {
            return Err(DerError::TooMany(ENTRIES_MAX));
        }
        names.push(reader.any()?.raw.into());
    }
    Ok(names)
}

fn read_policies(value: &[u8]) -> Result<Vec<String>, DerError> {
    let information = single(value, SEQUENCE)?.all(SEQUENCE, ENTRIES_MAX)?;
    information.iter().map(|policy| Reader::new(policy.content).oid().map(dotted)).collect()
}

/// keyIdentifier of AuthorityKeyIdentifier.
///
/// # Errors
/// When it is not DER.
pub fn read_authority_key_id(value: &[u8]) -> Result<Option<Box<[u8]>>, DerError> {
    Ok(single(value, SEQUENCE)?.optional(context_primitive(0))?.map(|id| id.content.into()))
}
