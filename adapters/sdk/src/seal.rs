//! Sealing: signing an envelope for a system that cannot sign, with the agency's key, from a file or on a PKCS#11 token.
//!
//! A seal is a detached CMS SignedData (RFC 5652) over the exact envelope bytes, with contentType, messageDigest, signingTime and
//! signingCertificateV2 (RFC 5035) signed, and the signer's certificate inside. The crate `openssl` offers no `CMS_CADES`, without
//! which OpenSSL leaves signingCertificateV2 out, and OpenSSL makes no CMS with Ed25519; so the SignedData is written here and only
//! the arithmetic is OpenSSL's.

use std::time::SystemTime;

use bytes::Bytes;
use gateway_model::envelope::SignatureRole;
use gateway_model::{Timestamp, limits};
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, PKeyRef, Private, Public};
use openssl::sha::sha256;
use openssl::sign::{Signer, Verifier};
use openssl::x509::X509;
use prost::Message;
use proto::v1;

pub mod config;
mod der;
pub mod describe;
pub mod pkcs11;
pub mod written;

use pkcs11::{Token, TokenError, TokenSettings};

const DATA: &str = "1.2.840.113549.1.7.1";
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";

/// Why a seal cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The certificate file holds no PEM certificate.
    #[error("the certificate is not in PEM form")]
    Certificate(#[source] ErrorStack),
    /// The key file holds no unencrypted PEM private key.
    #[error("the private key is not in unencrypted PEM form")]
    Key(#[source] ErrorStack),
    /// Key and certificate do not belong together.
    #[error("the private key is not the certificate's")]
    KeyMismatch,
    /// The key is of a kind that does not seal.
    #[error("the key is neither RSA nor ECDSA on P-256, P-384 or P-521 nor Ed25519")]
    KeyKind,
    /// The envelope is larger than any gateway takes.
    #[error("the envelope has {size} bytes, more than {max}", max = limits::ENVELOPE_BYTES_MAX)]
    EnvelopeTooLarge {
        /// Its size.
        size: usize,
    },
    /// OpenSSL could not sign.
    #[error("the signature could not be made")]
    Sign(#[source] ErrorStack),
    /// The token could not, or its key is not there.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// An agency's certificate and key, parsed and ready to sign.
pub struct Sealer {
    key: SealingKey,
    scheme: Scheme,
    /// issuerAndSerialNumber of the leaf.
    signer_identifier: Vec<u8>,
    signing_certificate: Vec<u8>,
    /// The leaf, then whatever else stood in the certificate file.
    certificates: Vec<Vec<u8>>,
}

impl Sealer {
    /// Reads the agency's certificate (the leaf first, further ones are embedded too) and its private key.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, SealError> {
        let (leaf, stack) = read_certificates(certificate_pem)?;
        let key = read_key(key_pem)?;
        let public = leaf.public_key().map_err(SealError::Certificate)?;
        if !public.public_eq(&key) {
            return Err(SealError::KeyMismatch);
        }
        Self::assemble(SealingKey::File(key), &public, &leaf, &stack)
    }

    /// Reads the agency's certificate, as [`Self::from_pem`], and finds its key on a token. A signature is made to see that they belong
    /// together.
    ///
    /// # Errors
    /// When the certificate cannot be read, the key is not there, does not sign, or is not the certificate's.
    pub fn from_token(certificate_pem: &[u8], settings: TokenSettings) -> Result<Self, SealError> {
        let (leaf, stack) = read_certificates(certificate_pem)?;
        let public = leaf.public_key().map_err(SealError::Certificate)?;
        let scheme = Scheme::of(&public)?;
        if scheme == Scheme::Ed25519 {
            return Err(SealError::KeyKind);
        }
        let sealer = Self::assemble(SealingKey::Token(Token::open(settings)?), &public, &leaf, &stack)?;
        let probe = b"does this key belong to this certificate?";
        let signature = sealer.signature(probe)?;
        let mut verifier = Verifier::new(scheme.digest(), &public).map_err(SealError::Sign)?;
        if verifier.verify_oneshot(&signature, probe).unwrap_or(false) {
            Ok(sealer)
        } else {
            Err(SealError::KeyMismatch)
        }
    }

    fn assemble(key: SealingKey, public: &PKeyRef<Public>, leaf: &X509, stack: &[X509]) -> Result<Self, SealError> {
        let scheme = Scheme::of(public)?;
        let certificates =
            stack.iter().map(|c| c.to_der()).collect::<Result<_, _>>().map_err(SealError::Certificate)?;
        let (issuer, serial) = issuer_and_serial(leaf).map_err(SealError::Certificate)?;
        let signing_certificate = signing_certificate(leaf, &issuer, &serial).map_err(SealError::Certificate)?;
        Ok(Self { key, scheme, signer_identifier: der::sequence(&[issuer, serial]), signing_certificate, certificates })
    }

    /// Serializes and signs `envelope`, and gives the serialized `SignedEnvelope`. The signing time is the system clock's.
    ///
    /// # Errors
    /// When the envelope is too large or OpenSSL refuses.
    pub fn seal(&self, envelope: &v1::Envelope, role: SignatureRole) -> Result<Bytes, SealError> {
        self.seal_at(envelope, role, now())
    }

    /// As [`Self::seal`], with the signing time given.
    ///
    /// # Errors
    /// When the envelope is too large or OpenSSL refuses.
    pub fn seal_at(&self, envelope: &v1::Envelope, role: SignatureRole, at: Timestamp) -> Result<Bytes, SealError> {
        let bytes = envelope.encode_to_vec();
        if bytes.len() > limits::ENVELOPE_BYTES_MAX {
            return Err(SealError::EnvelopeTooLarge { size: bytes.len() });
        }
        let signature = v1::Signature { cms: self.sign_at(&bytes, at)?.into(), role: wire_role(role).into() };
        let signed = v1::SignedEnvelope { envelope: bytes.into(), signatures: vec![signature] };
        Ok(signed.encode_to_vec().into())
    }

    /// Signs `content` detached and gives the CMS SignedData in DER. The signing time is the system clock's.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn sign(&self, content: &[u8]) -> Result<Vec<u8>, SealError> {
        self.sign_at(content, now())
    }

    /// As [`Self::sign`], with the signing time given.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn sign_at(&self, content: &[u8], at: Timestamp) -> Result<Vec<u8>, SealError> {
        let digest = hash(self.scheme.digest(), content).map_err(SealError::Sign)?;
        let attributes = der::sorted(&[
            attribute(CONTENT_TYPE, &der::oid(DATA)),
            attribute(MESSAGE_DIGEST, &der::octets(&digest)),
            attribute(SIGNING_TIME, &der::time(at)),
            attribute(SIGNING_CERTIFICATE_V2, &self.signing_certificate),
        ]);
        // Signed as a SET OF, carried under the tag [0] (RFC 5652 section 5.4).
        let signature = self.signature(&der::element(der::SET, &attributes))?;
        let signer = der::sequence(&[
            der::small_integer(1),
            self.signer_identifier.clone(),
            self.scheme.digest_identifier(),
            der::element(der::CONTEXT_0, &attributes),
            self.scheme.signature_identifier(),
            der::octets(&signature),
        ]);
        let data = der::sequence(&[
            der::small_integer(1),
            der::element(der::SET, &self.scheme.digest_identifier()),
            der::sequence(&[der::oid(DATA)]),
            der::element(der::CONTEXT_0, &self.certificates.concat()),
            der::element(der::SET, &signer),
        ]);
        Ok(der::sequence(&[der::oid(SIGNED_DATA), der::element(der::CONTEXT_0, &data)]))
    }

    /// The signer's certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        self.certificates.first().map(Vec::as_slice).unwrap_or_default()
    }

    fn signature(&self, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        match &self.key {
            SealingKey::File(key) => sign_with_file(key, self.scheme, bytes).map_err(SealError::Sign),
            SealingKey::Token(token) if self.scheme == Scheme::Rsa => Ok(token.sign_rsa(bytes)?),
            SealingKey::Token(token) => {
                let digest = hash(self.scheme.digest(), bytes).map_err(SealError::Sign)?;
                Ok(token.sign_ecdsa(&digest)?)
            }
        }
    }
}

/// Where the private key is.
enum SealingKey {
    File(PKey<Private>),
    Token(Token),
}

fn sign_with_file(key: &PKey<Private>, scheme: Scheme, bytes: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut signer = match scheme {
        Scheme::Ed25519 => Signer::new_without_digest(key)?,
        Scheme::Rsa | Scheme::P256 | Scheme::P384 | Scheme::P521 => Signer::new(scheme.digest(), key)?,
    };
    signer.sign_oneshot_to_vec(bytes)
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// How a key signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scheme {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa,
    /// ECDSA with SHA-256.
    P256,
    /// ECDSA with SHA-384.
    P384,
    /// ECDSA with SHA-512.
    P521,
    /// Ed25519; RFC 8419 wants SHA-512 for the content.
    Ed25519,
}

impl Scheme {
    fn of(key: &PKeyRef<Public>) -> Result<Self, SealError> {
        let curve = || key.ec_key().ok().and_then(|key| key.group().curve_name());
        match key.id() {
            Id::RSA => Ok(Self::Rsa),
            Id::ED25519 => Ok(Self::Ed25519),
            Id::EC => match curve() {
                Some(Nid::X9_62_PRIME256V1) => Ok(Self::P256),
                Some(Nid::SECP384R1) => Ok(Self::P384),
                Some(Nid::SECP521R1) => Ok(Self::P521),
                _ => Err(SealError::KeyKind),
            },
            _ => Err(SealError::KeyKind),
        }
    }

    fn digest(self) -> MessageDigest {
        match self {
            Self::Rsa | Self::P256 => MessageDigest::sha256(),
            Self::P384 => MessageDigest::sha384(),
            Self::P521 | Self::Ed25519 => MessageDigest::sha512(),
        }
    }

    fn digest_identifier(self) -> Vec<u8> {
        der::sequence(&[der::oid(match self {
            Self::Rsa | Self::P256 => "2.16.840.1.101.3.4.2.1",
            Self::P384 => "2.16.840.1.101.3.4.2.2",
            Self::P521 | Self::Ed25519 => "2.16.840.1.101.3.4.2.3",
        })])
    }

    fn signature_identifier(self) -> Vec<u8> {
        match self {
            Self::Rsa => der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::element(der::NULL, &[])]),
            Self::P256 => der::sequence(&[der::oid("1.2.840.10045.4.3.2")]),
            Self::P384 => der::sequence(&[der::oid("1.2.840.10045.4.3.3")]),
            Self::P521 => der::sequence(&[der::oid("1.2.840.10045.4.3.4")]),
            Self::Ed25519 => der::sequence(&[der::oid("1.3.101.112")]),
        }
    }
}

/// The leaf, and everything that stood in the file.
fn read_certificates(pem: &[u8]) -> Result<(X509, Vec<X509>), SealError> {
    let stack = X509::stack_from_pem(pem).map_err(SealError::Certificate)?;
    let leaf = match stack.first() {
        Some(leaf) => leaf.clone(),
        None => X509::from_pem(pem).map_err(SealError::Certificate)?,
    };
    Ok((leaf, stack))
}

/// OpenSSL asks the terminal for a pass phrase unless it is told what to say; an adapter has no terminal.
fn read_key(pem: &[u8]) -> Result<PKey<Private>, SealError> {
    PKey::private_key_from_pem_callback(pem, |_| Ok(0)).map_err(SealError::Key)
}

fn issuer_and_serial(leaf: &X509) -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let serial = leaf.serial_number().to_bn()?;
    Ok((leaf.issuer_name().to_der()?, der::integer(&serial.to_vec())))
}

/// SigningCertificateV2 with one ESSCertIDv2; its hash algorithm is left out, as DER wants for the default SHA-256.
fn signing_certificate(leaf: &X509, issuer: &[u8], serial: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let directory_name = der::element(der::CONTEXT_4, issuer);
    let issuer_serial = der::sequence(&[der::sequence(&[directory_name]), serial.to_vec()]);
    let identifier = der::sequence(&[der::octets(&sha256(&leaf.to_der()?)), issuer_serial]);
    Ok(der::sequence(&[der::sequence(&[identifier])]))
}

fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
    der::sequence(&[der::oid(name), der::element(der::SET, value)])
}

fn wire_role(role: SignatureRole) -> v1::SignatureRole {
    match role {
        SignatureRole::Person => v1::SignatureRole::Person,
        SignatureRole::Agency => v1::SignatureRole::Agency,
        SignatureRole::SealedByAdapter => v1::SignatureRole::SealedByAdapter,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
