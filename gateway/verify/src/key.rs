//! Public keys: read once, parsed once for each algorithm, kept.

use std::sync::OnceLock;

use aws_lc_rs::signature as lc;
use aws_lc_rs::signature::{ParsedPublicKey, RsaParameters, RsaPssSaltLength, VerificationAlgorithm};
use gateway_model::Reason;

use crate::algorithm::{
    DigestAlgorithm, ED25519, RSA_ENCRYPTION, RSASSA_PSS, Salt, SignatureAlgorithm, dotted, read_pss,
};
use crate::der::{DerError, OID, Reader, SEQUENCE};

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const CURVE_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const CURVE_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const CURVE_P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;

/// What kind of key it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
        /// With which padding it may be used.
        padding: Padding,
    },
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA outside of 2048 to 8192 bits, or an elliptic curve that is not named or not on the list.
    Weak(String),
    /// No algorithm of ours.
    Unsupported(String),
}

/// What an RSA key says about its use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Padding {
    /// Nothing: PKCS#1 v1.5 or PSS.
    Any,
    /// PSS alone, with one digest when it names one.
    Pss(Option<DigestAlgorithm>),
}

/// Why a signature does not verify.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is too short or on a wrong curve.
    #[error("{0}")]
    Weak(String),
    /// The key's algorithm, or its use with this signature algorithm, is not on the list.
    #[error("{0}")]
    NotAllowed(String),
    /// The key does not hold together.
    #[error("the public key is not a valid one")]
    Malformed,
    /// The signature is not by this key over these bytes.
    #[error("the signature does not verify")]
    Invalid,
}

impl KeyError {
    /// The reason code, where `invalid` says what a wrong signature means at this place.
    pub fn reason(&self, invalid: Reason) -> Reason {
        match self {
            Self::Weak(_) => Reason::KeyTooWeak,
            Self::NotAllowed(_) => Reason::AlgorithmNotAllowed,
            Self::Malformed => Reason::CertificateMalformed,
            Self::Invalid => invalid,
        }
    }
}

/// What a signature is over.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Its hash by the digest of the signature algorithm; Ed25519 does not take one.
    Hash(&'a aws_lc_rs::digest::Digest),
}

/// A public key with its parsed forms.
#[derive(Debug)]
pub struct PublicKey {
    kind: KeyKind,
    /// RSAPublicKey, the point, or the 32 bytes: what aws-lc-rs reads.
    material: Box<[u8]>,
    /// One place for each algorithm that can be used with one kind of key.
    parsed: [OnceLock<Option<ParsedPublicKey>>; 9],
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo: the whole SEQUENCE.
    ///
    /// # Errors
    /// When it is not DER of the right shape. A key that is weak or unknown is read; it only never verifies anything.
    pub fn read(info: &[u8]) -> Result<Self, DerError> {
        let mut reader = crate::der::single(info, SEQUENCE)?;
        let mut algorithm = reader.enter(SEQUENCE)?;
        let bits = reader.octet_aligned_bits()?;
        reader.finish()?;
        let kind = match algorithm.oid()? {
            RSA_ENCRYPTION => rsa_kind(bits, Padding::Any)?,
            RSASSA_PSS if algorithm.is_empty() => rsa_kind(bits, Padding::Pss(None))?,
            RSASSA_PSS => match read_pss(algorithm) {
                Ok(SignatureAlgorithm::RsaPss(digest, _)) => rsa_kind(bits, Padding::Pss(Some(digest)))?,
                Ok(_) | Err(_) => KeyKind::Unsupported("an RSA key for PSS with other parameters".to_owned()),
            },
            EC_PUBLIC_KEY => curve_kind(algorithm)?,
            ED25519 if bits.len() == 32 => KeyKind::Ed25519,
            other => KeyKind::Unsupported(format!("key {}", dotted(other))),
        };
        Ok(Self { kind, material: bits.into(), parsed: std::array::from_fn(|_| OnceLock::new()) })
    }

    /// What kind it is.
    pub fn kind(&self) -> &KeyKind {
        &self.kind
    }

    /// Whether it may be used at all.
    ///
    /// # Errors
    /// When it is weak or of no algorithm of ours.
    pub fn check_strength(&self) -> Result<(), KeyError> {
        match &self.kind {
            KeyKind::Weak(why) => Err(KeyError::Weak(why.clone())),
            KeyKind::Unsupported(what) => Err(KeyError::NotAllowed(what.clone())),
            _ => Ok(()),
        }
    }

    /// Checks one signature.
    ///
    /// # Errors
    /// When the key may not be used so, or the signature is not by it.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), KeyError> {
        self.check_strength()?;
        let (slot, scheme) = self.scheme(algorithm)?;
        let place = self.parsed.get(slot).ok_or(KeyError::Malformed)?;
        let key = place.get_or_init(|| ParsedPublicKey::new(scheme, &self.material).ok());
        let key = key.as_ref().ok_or(KeyError::Malformed)?;
        let verdict = match message {
            Message::Whole(bytes) => key.verify_sig(bytes, signature),
            Message::Hash(hash) => key.verify_digest_sig(hash, signature),
        };
        verdict.map_err(|_| KeyError::Invalid)
    }

    fn scheme(&self, algorithm: SignatureAlgorithm) -> Result<(usize, &'static dyn VerificationAlgorithm), KeyError> {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        use SignatureAlgorithm::{Ecdsa, Ed25519, RsaPkcs1, RsaPss};
        Ok(match (&self.kind, algorithm) {
            (KeyKind::Rsa { padding: Padding::Any, .. }, RsaPkcs1(Sha256)) => (0, &lc::RSA_PKCS1_2048_8192_SHA256),
            (KeyKind::Rsa { padding: Padding::Any, .. }, RsaPkcs1(Sha384)) => (1, &lc::RSA_PKCS1_2048_8192_SHA384),
            (KeyKind::Rsa { padding: Padding::Any, .. }, RsaPkcs1(Sha512)) => (2, &lc::RSA_PKCS1_2048_8192_SHA512),
            (KeyKind::Rsa { bits, padding }, RsaPss(digest, salt)) if padding.takes(digest) => {
                pss_scheme(*bits, digest, salt)?
            }
            (KeyKind::P256, Ecdsa(Sha256)) => (0, &lc::ECDSA_P256_SHA256_ASN1),
            (KeyKind::P256, Ecdsa(Sha384)) => (1, &lc::ECDSA_P256_SHA384_ASN1),
            (KeyKind::P256, Ecdsa(Sha512)) => (2, &lc::ECDSA_P256_SHA512_ASN1),
            (KeyKind::P384, Ecdsa(Sha256)) => (0, &lc::ECDSA_P384_SHA256_ASN1),
            (KeyKind::P384, Ecdsa(Sha384)) => (1, &lc::ECDSA_P384_SHA384_ASN1),
            (KeyKind::P384, Ecdsa(Sha512)) => (2, &lc::ECDSA_P384_SHA512_ASN1),
            (KeyKind::P521, Ecdsa(Sha256)) => (0, &lc::ECDSA_P521_SHA256_ASN1),
            (KeyKind::P521, Ecdsa(Sha384)) => (1, &lc::ECDSA_P521_SHA384_ASN1),
            (KeyKind::P521, Ecdsa(Sha512)) => (2, &lc::ECDSA_P521_SHA512_ASN1),
            (KeyKind::Ed25519, Ed25519) => (0, &lc::ED25519),
            (kind, algorithm) => return Err(KeyError::NotAllowed(format!("{algorithm} with a key of kind {kind:?}"))),
        })
    }
}

impl Padding {
    fn takes(self, digest: DigestAlgorithm) -> bool {
        matches!(self, Self::Any | Self::Pss(None)) || self == Self::Pss(Some(digest))
    }
}

const fn long_salt(parameters: RsaParameters) -> RsaParameters {
    parameters.with_pss_salt_length(RsaPssSaltLength::Max)
}

static PSS_MAX_SHA256: RsaParameters = long_salt(lc::RSA_PSS_2048_8192_SHA256);
static PSS_MAX_SHA384: RsaParameters = long_salt(lc::RSA_PSS_2048_8192_SHA384);
static PSS_MAX_SHA512: RsaParameters = long_salt(lc::RSA_PSS_2048_8192_SHA512);

fn pss_scheme(
    bits: usize,
    digest: DigestAlgorithm,
    salt: Salt,
) -> Result<(usize, &'static dyn VerificationAlgorithm), KeyError> {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    Ok(match (digest, salt) {
        (Sha256, Salt::Digest) => (3, &lc::RSA_PSS_2048_8192_SHA256),
        (Sha384, Salt::Digest) => (4, &lc::RSA_PSS_2048_8192_SHA384),
        (Sha512, Salt::Digest) => (5, &lc::RSA_PSS_2048_8192_SHA512),
        // OpenSSL signs with the longest salt when nobody says otherwise.
        (Sha256, Salt::Length(length)) if longest_salt(bits, digest) == Some(length) => (6, &PSS_MAX_SHA256),
        (Sha384, Salt::Length(length)) if longest_salt(bits, digest) == Some(length) => (7, &PSS_MAX_SHA384),
        (Sha512, Salt::Length(length)) if longest_salt(bits, digest) == Some(length) => (8, &PSS_MAX_SHA512),
        (_, Salt::Length(length)) => {
            return Err(KeyError::NotAllowed(format!("rsa-pss with a salt of {length} bytes")));
        }
    })
}

fn longest_salt(bits: usize, digest: DigestAlgorithm) -> Option<u32> {
    let encoded = u32::try_from(bits.checked_add(6)?.checked_div(8)?).ok()?;
    encoded.checked_sub(digest.length())?.checked_sub(2)
}

fn rsa_kind(bits: &[u8], padding: Padding) -> Result<KeyKind, DerError> {
    let mut key = crate::der::single(bits, SEQUENCE)?;
    let modulus = key.integer()?;
    let exponent = key.integer()?;
    key.finish()?;
    let magnitude = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let leading = magnitude.first().map_or(0, |first| first.leading_zeros());
    let length = magnitude.len().saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or(0));
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&length) {
        return Ok(KeyKind::Weak(format!("an RSA key of {length} bits; {RSA_BITS_MIN} to {RSA_BITS_MAX} are allowed")));
    }
    // aws-lc-rs takes odd exponents from 3 to 33 bits.
    let is_odd = exponent.last().is_some_and(|last| last & 1 == 1);
    if exponent.len() > 5 || exponent == [1] || !is_odd {
        return Ok(KeyKind::Weak(format!("an RSA exponent of {}", hex::encode(exponent.get(..8).unwrap_or(exponent)))));
    }
    Ok(KeyKind::Rsa { bits: length, padding })
}

fn curve_kind(mut parameters: Reader<'_>) -> Result<KeyKind, DerError> {
    if parameters.peek() != Some(OID) {
        return Ok(KeyKind::Weak("an elliptic curve by explicit parameters".to_owned()));
    }
    let curve = parameters.oid()?;
    parameters.finish()?;
    Ok(match curve {
        CURVE_P256 => KeyKind::P256,
        CURVE_P384 => KeyKind::P384,
        CURVE_P521 => KeyKind::P521,
        other => KeyKind::Weak(format!("the curve {}", dotted(other))),
    })
}

#[cfg(test)]
mod tests {
    use openssl::ec::{Asn1Flag, EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::rsa::{Padding as OpensslPadding, Rsa};
    use openssl::sign::{RsaPssSaltlen, Signer};

    use super::*;

    const MESSAGE: &[u8] = b"signed attributes";

    fn curve(nid: Nid) -> PKey<Private> {
        let group = EcGroup::from_curve_name(nid).unwrap();
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    }

    fn rsa(bits: u32) -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
    }

    fn read(key: &PKey<Private>) -> PublicKey {
        PublicKey::read(&key.public_key_to_der().unwrap()).unwrap()
    }

    fn openssl_digest(digest: DigestAlgorithm) -> MessageDigest {
        match digest {
            DigestAlgorithm::Sha256 => MessageDigest::sha256(),
            DigestAlgorithm::Sha384 => MessageDigest::sha384(),
            DigestAlgorithm::Sha512 => MessageDigest::sha512(),
        }
    }

    fn sign(key: &PKey<Private>, algorithm: SignatureAlgorithm) -> Vec<u8> {
        let mut signer = match algorithm {
            SignatureAlgorithm::RsaPkcs1(digest)
            | SignatureAlgorithm::RsaPss(digest, _)
            | SignatureAlgorithm::Ecdsa(digest) => Signer::new(openssl_digest(digest), key).unwrap(),
            SignatureAlgorithm::Ed25519 => Signer::new_without_digest(key).unwrap(),
        };
        if let SignatureAlgorithm::RsaPss(_, salt) = algorithm {
            signer.set_rsa_padding(OpensslPadding::PKCS1_PSS).unwrap();
            let length = match salt {
                Salt::Digest => RsaPssSaltlen::DIGEST_LENGTH,
                Salt::Length(length) => RsaPssSaltlen::custom(i32::try_from(length).unwrap()),
            };
            signer.set_rsa_pss_saltlen(length).unwrap();
        }
        signer.sign_oneshot_to_vec(MESSAGE).unwrap()
    }

    #[test]
    fn every_algorithm_verifies_what_openssl_signs_and_nothing_else() {
        use DigestAlgorithm::{Sha256, Sha384, Sha512};
        let keys = [rsa(2048), curve(Nid::X9_62_PRIME256V1), curve(Nid::SECP384R1), curve(Nid::SECP521R1)];
        let ed25519 = PKey::generate_ed25519().unwrap();
        let mut table = vec![(&ed25519, SignatureAlgorithm::Ed25519)];
        for digest in [Sha256, Sha384, Sha512] {
            table.push((&keys[0], SignatureAlgorithm::RsaPkcs1(digest)));
            table.push((&keys[0], SignatureAlgorithm::RsaPss(digest, Salt::Digest)));
            let longest = longest_salt(2048, digest).unwrap();
            table.push((&keys[0], SignatureAlgorithm::RsaPss(digest, Salt::Length(longest))));
            table.extend(keys[1..].iter().map(|key| (key, SignatureAlgorithm::Ecdsa(digest))));
        }
        for (key, algorithm) in table {
            let (public, mut signature) = (read(key), sign(key, algorithm));
            assert_eq!(public.verify(algorithm, Message::Whole(MESSAGE), &signature), Ok(()), "{algorithm:?}");
            assert_eq!(
                public.verify(algorithm, Message::Whole(b"other"), &signature),
                Err(KeyError::Invalid),
                "{algorithm:?}"
            );
            *signature.last_mut().unwrap() ^= 1;
            assert_eq!(
                public.verify(algorithm, Message::Whole(MESSAGE), &signature),
                Err(KeyError::Invalid),
                "{algorithm:?}"
            );
        }
    }

    #[test]
    fn a_key_verifies_no_algorithm_of_another_kind() {
        let public = read(&curve(Nid::X9_62_PRIME256V1));
        let verdict =
            public.verify(SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha256), Message::Whole(MESSAGE), &[]);
        assert!(matches!(verdict, Err(KeyError::NotAllowed(_))));
        let odd_salt = SignatureAlgorithm::RsaPss(DigestAlgorithm::Sha256, Salt::Length(40));
        assert!(matches!(
            read(&rsa(2048)).verify(odd_salt, Message::Whole(MESSAGE), &[]),
            Err(KeyError::NotAllowed(_))
        ));
    }

    #[test]
    fn weak_keys_and_curves_are_read_and_never_used() {
        let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        group.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
        let explicit = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        for key in [rsa(1024), curve(Nid::SECP256K1), curve(Nid::X9_62_PRIME192V1), explicit] {
            let public = read(&key);
            assert!(matches!(public.check_strength(), Err(KeyError::Weak(_))), "{:?}", public.kind());
        }
        let agreement = read(&PKey::generate_x25519().unwrap());
        assert!(matches!(agreement.check_strength(), Err(KeyError::NotAllowed(_))));
    }
}
