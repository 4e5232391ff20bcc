//! Detached CMS signatures over exact bytes, as the tools of tokens make them, and drafts of the bad ones.
//!
//! The crate `openssl` does not offer `CMS_CADES`, without which OpenSSL leaves signingCertificateV2 out; so the SignedData is
//! written by hand and only the arithmetic is OpenSSL's.

use crate::algorithm::{Digest, Scheme};
use crate::der::{self, tag};
use crate::pki::Credential;
use crate::{Error, Key};

pub(crate) const DATA: &str = "1.2.840.113549.1.7.1";
pub(crate) const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
pub(crate) const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub(crate) const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
pub(crate) const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
pub(crate) const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";

/// Which certificates travel in the signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Embed {
    /// None: the receiver knows the signer's.
    Nothing,
    /// The signer's only, as most tools in the field do.
    Leaf,
    /// The signer's and the CAs' above it, without the root.
    Chain,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug)]
pub struct SignOptions {
    /// signingTime, Unix seconds.
    pub signing_time: i64,
    /// Which certificates travel along.
    pub embed: Embed,
    /// RSA with PSS padding; other keys ignore it.
    pub pss: bool,
    /// Whether signingCertificateV2 is there.
    pub signing_certificate: bool,
}

impl SignOptions {
    /// The usual signature: the leaf travels along, signingCertificateV2 is there.
    pub fn at(signing_time: i64) -> Self {
        Self { signing_time, embed: Embed::Leaf, pss: false, signing_certificate: true }
    }

    /// Chooses the certificates that travel along.
    #[must_use]
    pub fn embed(self, embed: Embed) -> Self {
        Self { embed, ..self }
    }

    /// Signs with RSASSA-PSS.
    #[must_use]
    pub fn pss(self) -> Self {
        Self { pss: true, ..self }
    }

    /// Leaves signingCertificateV2 out, as legacy signers do.
    #[must_use]
    pub fn without_signing_certificate(self) -> Self {
        Self { signing_certificate: false, ..self }
    }
}

/// Signs `content` detached and gives the CMS SignedData in DER.
///
/// # Errors
/// When the key of the credential cannot be read or used.
pub fn cms_detached(content: &[u8], credential: &Credential, options: SignOptions) -> Result<Vec<u8>, Error> {
    FastSigner::new(credential, options)?.sign(content)
}

/// A signer with its key parsed and everything prepared that does not depend on the content.
#[derive(Clone, Debug)]
pub struct FastSigner {
    key: Key,
    scheme: Scheme,
    draft: Draft,
    options: SignOptions,
}

impl FastSigner {
    /// Reads the key of the credential once.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(credential: &Credential, options: SignOptions) -> Result<Self, Error> {
        let key = Key::from_pem(&credential.key_pem)?;
        let scheme = match Scheme::usual(&key)? {
            Scheme::RsaPkcs1(digest) if options.pss => Scheme::RsaPss(digest),
            usual => usual,
        };
        let leaf = &credential.certificate_der;
        let mut draft = Draft::new(leaf, scheme);
        draft.certificates = match options.embed {
            Embed::Nothing => Vec::new(),
            Embed::Leaf => vec![leaf.clone()],
            Embed::Chain => std::iter::once(leaf).chain(&credential.issuers_der).cloned().collect(),
        };
        Ok(Self { key, scheme, draft, options })
    }

    /// Signs with the time of the options.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn sign(&self, content: &[u8]) -> Result<Vec<u8>, Error> {
        self.sign_at(content, self.options.signing_time)
    }

    /// Signs with another time.
    ///
    /// # Errors
    /// When OpenSSL refuses or the time does not fit.
    pub fn sign_at(&self, content: &[u8], signing_time: i64) -> Result<Vec<u8>, Error> {
        let mut attributes = vec![
            content_type(DATA),
            message_digest(&self.scheme.digest().of(content)?),
            attribute(SIGNING_TIME, &[der::time(signing_time)?]),
        ];
        if self.options.signing_certificate {
            attributes.push(signing_certificate(&self.draft.signer));
        }
        self.draft.sign(&attributes, &self.key)
    }
}

/// How the signer's certificate is named in the signature.
#[derive(Clone, Debug)]
pub(crate) enum SignerName {
    IssuerAndSerial,
    SubjectKey(Vec<u8>),
}

/// A SignedData with every part open to change.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) signer: Vec<u8>,
    pub(crate) signer_name: SignerName,
    pub(crate) scheme: Scheme,
    pub(crate) digest: Digest,
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) encapsulated: Option<Vec<u8>>,
    pub(crate) unsigned_attributes: Vec<Vec<u8>>,
    pub(crate) content_type: &'static str,
}

impl Draft {
    pub(crate) fn new(signer: &[u8], scheme: Scheme) -> Self {
        Self {
            signer: signer.to_vec(),
            signer_name: SignerName::IssuerAndSerial,
            scheme,
            digest: scheme.digest(),
            signature_algorithm: scheme.signer_identifier(),
            certificates: vec![signer.to_vec()],
            encapsulated: None,
            unsigned_attributes: Vec::new(),
            content_type: SIGNED_DATA,
        }
    }

    /// Signs the attributes and puts the whole together.
    pub(crate) fn sign(&self, attributes: &[Vec<u8>], key: &Key) -> Result<Vec<u8>, Error> {
        // The signature is over the attributes with the tag of a SET, not with that of their place in SignerInfo (RFC 5652, 5.4).
        let signature = self.scheme.sign(key, &der::set_of(attributes))?;
        Ok(self.assemble(&[self.signer_info(&der::context(0, &der::sorted(attributes)), &signature)]))
    }

    /// Signs the content itself, without attributes.
    pub(crate) fn sign_bare(&self, content: &[u8], key: &Key) -> Result<Vec<u8>, Error> {
        let signature = self.scheme.sign(key, content)?;
        Ok(self.assemble(&[self.signer_info(&[], &signature)]))
    }

    pub(crate) fn signer_info(&self, attributes: &[u8], signature: &[u8]) -> Vec<u8> {
        let (version, name) = match &self.signer_name {
            SignerName::IssuerAndSerial => (1, issuer_and_serial(&self.signer)),
            SignerName::SubjectKey(identifier) => (3, der::context_primitive(0, identifier)),
        };
        let unsigned = match self.unsigned_attributes.as_slice() {
            [] => Vec::new(),
            some => der::context(1, &der::sorted(some)),
        };
        der::sequence(&[
            der::number(version),
            name,
            self.digest.identifier(),
            attributes.to_vec(),
            self.signature_algorithm.clone(),
            der::octets(signature),
            unsigned,
        ])
    }

    pub(crate) fn assemble(&self, signer_infos: &[Vec<u8>]) -> Vec<u8> {
        let content = match &self.encapsulated {
            Some(content) => der::context(0, &der::octets(content)),
            None => Vec::new(),
        };
        let certificates = match self.certificates.as_slice() {
            [] => Vec::new(),
            some => der::context(0, &der::sorted(some)),
        };
        let version = match self.signer_name {
            SignerName::IssuerAndSerial => 1,
            SignerName::SubjectKey(_) => 3,
        };
        let signed_data = der::sequence(&[
            der::number(version),
            der::set_of(&[self.digest.identifier()]),
            der::sequence(&[der::oid(DATA), content]),
            certificates,
            der::set_of(signer_infos),
        ]);
        der::sequence(&[der::oid(self.content_type), der::context(0, &signed_data)])
    }
}

/// Attribute { type, SET OF value }.
pub(crate) fn attribute(oid: &str, values: &[Vec<u8>]) -> Vec<u8> {
    der::sequence(&[der::oid(oid), der::set_of(values)])
}

pub(crate) fn content_type(oid: &str) -> Vec<u8> {
    attribute(CONTENT_TYPE, &[der::oid(oid)])
}

pub(crate) fn message_digest(digest: &[u8]) -> Vec<u8> {
    attribute(MESSAGE_DIGEST, &[der::octets(digest)])
}

/// signingCertificateV2 (RFC 5035): SHA-256 of the certificate, which is the default and so not named, with issuer and serial.
pub(crate) fn signing_certificate(certificate: &[u8]) -> Vec<u8> {
    let (issuer, serial) = issuer_and_serial_parts(certificate);
    let names = der::sequence(&[der::context(4, issuer)]);
    let id =
        der::sequence(&[der::octets(&openssl::sha::sha256(certificate)), der::sequence(&[names, serial.to_vec()])]);
    attribute(SIGNING_CERTIFICATE_V2, &[der::sequence(&[der::sequence(&[id])])])
}

fn issuer_and_serial(certificate: &[u8]) -> Vec<u8> {
    let (issuer, serial) = issuer_and_serial_parts(certificate);
    der::sequence(&[issuer, serial])
}

/// Cuts issuer and serial number out of a certificate, byte for byte; empty pieces where there is none.
fn issuer_and_serial_parts(certificate: &[u8]) -> (&[u8], &[u8]) {
    let body = inside(inside(certificate));
    let (first, rest) = split(body);
    let (serial, rest) = if first.first() == Some(&0xA0) { split(rest) } else { (first, rest) };
    let (_algorithm, rest) = split(rest);
    let (issuer, _) = split(rest);
    debug_assert_eq!(serial.first().copied().unwrap_or(tag::INTEGER), tag::INTEGER, "a serial number is an INTEGER");
    (issuer, serial)
}

/// The value of the first element.
fn inside(bytes: &[u8]) -> &[u8] {
    let (head, length) = header(bytes);
    bytes.get(head..head.saturating_add(length)).unwrap_or_default()
}

/// The first element, and what follows it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (head, length) = header(bytes);
    bytes.split_at_checked(head.saturating_add(length)).unwrap_or((bytes, &[]))
}

/// Bytes of tag and length, and the length that they say.
fn header(bytes: &[u8]) -> (usize, usize) {
    match bytes.get(1) {
        None => (bytes.len(), 0),
        Some(&short) if short < 0x80 => (2, usize::from(short)),
        Some(&long) => {
            let count = usize::from(long & 0x7F).min(8);
            let digits = bytes.get(2..2 + count).unwrap_or_default();
            (2 + count, digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)))
        }
    }
}

#[cfg(test)]
mod tests {
    use openssl::cms::{CMSOptions, CmsContentInfo};
    use openssl::stack::Stack;
    use openssl::x509::X509;
    use openssl::x509::store::X509StoreBuilder;
    use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};

    use super::*;
    use crate::KeyKind;
    use crate::pki::{Ladder, LeafProfile};

    const NOW: i64 = 1_790_000_000;

    /// Verifies with OpenSSL, the chain included.
    fn verifies(ladder: &Ladder, content: &[u8], cms: &[u8]) -> bool {
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(X509::from_der(ladder.root().certificate_der()).unwrap()).unwrap();
        let mut param = X509VerifyParam::new().unwrap();
        param.set_flags(X509VerifyFlags::X509_STRICT).unwrap();
        param.set_time(NOW + 60);
        store.set_param(&param).unwrap();
        let mut pool = Stack::new().unwrap();
        pool.push(X509::from_der(ladder.issuing().certificate_der()).unwrap()).unwrap();
        let mut cms = CmsContentInfo::from_der(cms).unwrap();
        let flags = CMSOptions::BINARY | CMSOptions::DETACHED;
        cms.verify(Some(&pool), Some(&store.build()), Some(content), None, flags).is_ok()
    }

    #[test]
    fn openssl_verifies_every_kind_of_signature_and_refuses_other_content() {
        let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
        for kind in KeyKind::ALL {
            let credential = ladder.issue_signer("UBND xã", kind, LeafProfile::agency("UBND tỉnh")).unwrap();
            for options in [SignOptions::at(NOW), SignOptions::at(NOW).pss(), SignOptions::at(NOW).embed(Embed::Chain)]
            {
                let cms = cms_detached(b"content", &credential, options).unwrap();
                assert!(verifies(&ladder, b"content", &cms), "{kind:?} {options:?}");
                assert!(!verifies(&ladder, b"c0ntent", &cms), "{kind:?} {options:?}");
            }
        }
    }

    #[test]
    fn the_signing_certificate_is_named_unless_left_out() {
        let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
        let credential = ladder.issue_signer("x", KeyKind::P256, LeafProfile::agency("")).unwrap();
        let attribute = signing_certificate(&credential.certificate_der);
        let contains = |cms: Vec<u8>| cms.windows(attribute.len()).any(|window| window == attribute);
        assert!(contains(cms_detached(b"content", &credential, SignOptions::at(NOW)).unwrap()));
        let legacy = SignOptions::at(NOW).without_signing_certificate();
        assert!(!contains(cms_detached(b"content", &credential, legacy).unwrap()));
    }

    #[test]
    fn a_fast_signer_signs_many_contents_each_for_itself() {
        let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
        let credential = ladder.issue_signer("x", KeyKind::P256, LeafProfile::agency("")).unwrap();
        let signer = FastSigner::new(&credential, SignOptions::at(NOW)).unwrap();
        let contents: Vec<String> = (0..50).map(|count| format!("content {count}")).collect();
        for content in &contents {
            assert!(verifies(&ladder, content.as_bytes(), &signer.sign(content.as_bytes()).unwrap()));
        }
    }

    #[test]
    fn issuer_and_serial_are_cut_out_byte_for_byte() {
        let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
        let credential = ladder.issue_signer("x", KeyKind::P256, LeafProfile::agency("")).unwrap();
        let certificate = X509::from_der(&credential.certificate_der).unwrap();
        let (issuer, serial) = issuer_and_serial_parts(&credential.certificate_der);
        assert_eq!(issuer, certificate.issuer_name().to_der().unwrap());
        assert_eq!(serial, der::unsigned(&credential.serial.0));
        assert_eq!(issuer_and_serial_parts(&[0x30, 0x05, 1]), (&[][..], &[][..]), "nothing is read beyond the end");
    }
}
