//! Signature schemes and digests, the bad ones too, with their names in DER.

use openssl::hash::{MessageDigest, hash};
use openssl::pkey::Id;
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer};

use crate::der;
use crate::{Error, Key};

/// A digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Digest {
    /// Refused by every verifier.
    Md5,
    /// Refused by every verifier.
    Sha1,
    /// The usual one.
    Sha256,
    /// Goes with P-384.
    Sha384,
    /// Goes with Ed25519 (RFC 8419).
    Sha512,
}

impl Digest {
    /// The digest of `bytes`.
    ///
    /// # Errors
    /// When OpenSSL lacks it.
    pub fn of(self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(hash(self.message_digest(), bytes)?.to_vec())
    }

    /// Its AlgorithmIdentifier.
    pub fn identifier(self) -> Vec<u8> {
        match self {
            Self::Md5 | Self::Sha1 => der::sequence(&[der::oid(self.oid()), der::null()]),
            Self::Sha256 | Self::Sha384 | Self::Sha512 => der::sequence(&[der::oid(self.oid())]),
        }
    }

    fn oid(self) -> &'static str {
        match self {
            Self::Md5 => "1.2.840.113549.2.5",
            Self::Sha1 => "1.3.14.3.2.26",
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
        }
    }

    fn message_digest(self) -> MessageDigest {
        match self {
            Self::Md5 => MessageDigest::md5(),
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }

    fn bytes(self) -> u8 {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How a key signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(Digest),
    /// RSASSA-PSS with MGF1 of the same digest and a salt as long as it.
    RsaPss(Digest),
    /// ECDSA.
    Ecdsa(Digest),
    /// DSA, which no verifier should accept.
    Dsa(Digest),
    /// Ed25519, which has its digest built in.
    Ed25519,
}

impl Scheme {
    /// The usual scheme of a key.
    ///
    /// # Errors
    /// [`Error::Scheme`] for keys that do not sign.
    pub fn usual(key: &Key) -> Result<Self, Error> {
        Ok(match (key.private().id(), key.private().bits()) {
            (Id::RSA, _) => Self::RsaPkcs1(Digest::Sha256),
            (Id::EC, 384) => Self::Ecdsa(Digest::Sha384),
            (Id::EC, _) => Self::Ecdsa(Digest::Sha256),
            (Id::DSA, _) => Self::Dsa(Digest::Sha256),
            (Id::ED25519, _) => Self::Ed25519,
            _ => return Err(Error::Scheme),
        })
    }

    /// Signs.
    ///
    /// # Errors
    /// When the key does not fit.
    pub fn sign(self, key: &Key, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = match self {
            Self::Ed25519 => return Ok(Signer::new_without_digest(key.private())?.sign_oneshot_to_vec(bytes)?),
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) | Self::Dsa(digest) => digest,
        };
        let mut signer = Signer::new(digest.message_digest(), key.private())?;
        if let Self::RsaPss(digest) = self {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_mgf1_md(digest.message_digest())?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(i32::from(digest.bytes())))?;
        }
        Ok(signer.sign_oneshot_to_vec(bytes)?)
    }

    /// The AlgorithmIdentifier that names scheme and digest, as certificates need it.
    pub fn identifier(self) -> Vec<u8> {
        let digest_arc = |md5: &'static str, sha1: &'static str, sha2: [&'static str; 3], digest| match digest {
            Digest::Md5 => md5,
            Digest::Sha1 => sha1,
            Digest::Sha256 => sha2[0],
            Digest::Sha384 => sha2[1],
            Digest::Sha512 => sha2[2],
        };
        match self {
            Self::RsaPkcs1(digest) => {
                let arc = digest_arc("4", "5", ["11", "12", "13"], digest);
                der::sequence(&[der::oid(&format!("1.2.840.113549.1.1.{arc}")), der::null()])
            }
            Self::RsaPss(digest) => der::sequence(&[der::oid("1.2.840.113549.1.1.10"), pss_parameters(digest)]),
            // There is no ECDSA with MD5: its arc stays unassigned.
            Self::Ecdsa(digest) => {
                let arc = digest_arc("0", "1", ["3.2", "3.3", "3.4"], digest);
                der::sequence(&[der::oid(&format!("1.2.840.10045.4.{arc}"))])
            }
            Self::Dsa(digest) => {
                let arc = digest_arc("0", "1", ["2", "3", "4"], digest);
                der::sequence(&[der::oid(&format!("2.16.840.1.101.3.4.3.{arc}"))])
            }
            Self::Ed25519 => der::sequence(&[der::oid("1.3.101.112")]),
        }
    }

    /// The AlgorithmIdentifier of a SignerInfo: PKCS#1 is named `rsaEncryption` there (RFC 3370), as OpenSSL and the tokens' tools do.
    pub fn signer_identifier(self) -> Vec<u8> {
        match self {
            Self::RsaPkcs1(_) => der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()]),
            Self::RsaPss(_) | Self::Ecdsa(_) | Self::Dsa(_) | Self::Ed25519 => self.identifier(),
        }
    }

    /// The digest that goes over the content; SHA-512 for Ed25519 (RFC 8419).
    pub fn digest(self) -> Digest {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest) | Self::Ecdsa(digest) | Self::Dsa(digest) => digest,
            Self::Ed25519 => Digest::Sha512,
        }
    }
}

fn pss_parameters(digest: Digest) -> Vec<u8> {
    let mask = der::sequence(&[der::oid("1.2.840.113549.1.1.8"), digest.identifier()]);
    der::sequence(&[
        der::context(0, &digest.identifier()),
        der::context(1, &mask),
        der::context(2, &der::number(digest.bytes())),
    ])
}
