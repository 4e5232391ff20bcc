//! Private keys of every kind, made by OpenSSL and usable by rcgen.

use std::fmt;

use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::rsa::Rsa;
use openssl::sha::sha256;
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::Error;

/// What a key is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyKind {
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// ECDSA on P-256.
    P256,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-384.
    P384,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Rsa2048, Self::Rsa3072, Self::P256, Self::Ed25519, Self::P384];

    /// Whether making one takes long enough that keys should be shared between leaves.
    pub fn is_slow(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072)
    }

    /// A name for files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::P256 => "p-256",
            Self::Ed25519 => "ed25519",
            Self::P384 => "p-384",
        }
    }
}

/// A private key with what certificates say about it. Cloning shares the key: one key may serve many leaves.
#[derive(Clone)]
pub struct Key {
    private: PKey<Private>,
    public_der: Vec<u8>,
}

impl Key {
    /// Makes a key.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn generate(kind: KeyKind) -> Result<Self, Error> {
        Self::new(match kind {
            KeyKind::Rsa2048 => PKey::from_rsa(Rsa::generate(2048)?)?,
            KeyKind::Rsa3072 => PKey::from_rsa(Rsa::generate(3072)?)?,
            KeyKind::P256 => PKey::ec_gen("prime256v1")?,
            KeyKind::P384 => PKey::ec_gen("secp384r1")?,
            KeyKind::Ed25519 => PKey::generate_ed25519()?,
        })
    }

    /// Takes any OpenSSL key, also one that no verifier should accept.
    ///
    /// # Errors
    /// When OpenSSL cannot write its public half.
    pub fn new(private: PKey<Private>) -> Result<Self, Error> {
        let public_der = private.public_key_to_der()?;
        Ok(Self { private, public_der })
    }

    /// Reads a PKCS#8 key in PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        Self::new(PKey::private_key_from_pem(pem.as_bytes())?)
    }

    /// The key as OpenSSL holds it.
    pub fn private(&self) -> &PKeyRef<Private> {
        &self.private
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    /// Identifier of the key for subjectKeyIdentifier: 20 bytes of the SHA-256 of the SubjectPublicKeyInfo.
    pub fn identifier(&self) -> Vec<u8> {
        sha256(&self.public_der)[..20].to_vec()
    }

    /// The private key as PKCS#8 PEM.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn to_pem(&self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.private.private_key_to_pem_pkcs8()?).into_owned())
    }

    /// The private key as PKCS#8 DER.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, Error> {
        Ok(self.private.private_key_to_pkcs8()?)
    }

    pub(crate) fn for_rcgen(&self) -> Result<rcgen::KeyPair, Error> {
        let pkcs8 = self.to_pkcs8()?;
        let algorithm = match (self.private.id(), self.private.bits()) {
            (openssl::pkey::Id::RSA, _) => &rcgen::PKCS_RSA_SHA256,
            (openssl::pkey::Id::EC, 256) => &rcgen::PKCS_ECDSA_P256_SHA256,
            (openssl::pkey::Id::EC, 384) => &rcgen::PKCS_ECDSA_P384_SHA384,
            (openssl::pkey::Id::ED25519, _) => &rcgen::PKCS_ED25519,
            _ => return Err(Error::Scheme),
        };
        Ok(rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(pkcs8), algorithm)?)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", hex::encode(self.identifier()))
    }
}
