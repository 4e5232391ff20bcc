//! The signature and digest algorithms that there are; a message never chooses outside of this list.

use gateway_model::Reason;

use crate::der::{DerError, INTEGER, NULL, Reader, SEQUENCE, context};

/// A digest algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// Hashes `bytes`.
    pub fn hash(self, bytes: &[u8]) -> aws_lc_rs::digest::Digest {
        use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
        match self {
            Self::Sha256 => digest(&SHA256, bytes),
            Self::Sha384 => digest(&SHA384, bytes),
            Self::Sha512 => digest(&SHA512, bytes),
        }
    }

    /// Bytes of a digest.
    pub fn length(self) -> u32 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How long the salt of an RSA-PSS signature is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Salt {
    /// As long as the digest.
    Digest,
    /// Another length, which has to be the longest that the key allows.
    Length(u32),
}

/// A signature algorithm with its digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1(DigestAlgorithm),
    /// RSASSA-PSS.
    RsaPss(DigestAlgorithm, Salt),
    /// ECDSA on the curve of the key.
    Ecdsa(DigestAlgorithm),
    /// Ed25519.
    Ed25519,
}

impl SignatureAlgorithm {
    /// The family as an anchor's allow-list names it.
    pub fn family(self) -> &'static str {
        match self {
            Self::RsaPkcs1(_) => "rsa-pkcs1",
            Self::RsaPss(..) => "rsa-pss",
            Self::Ecdsa(_) => "ecdsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The families that an anchor's allow-list may name.
    pub const FAMILIES: [&'static str; 4] = ["rsa-pkcs1", "rsa-pss", "ecdsa", "ed25519"];
}

impl std::fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = match self {
            Self::RsaPkcs1(digest) | Self::RsaPss(digest, _) | Self::Ecdsa(digest) => match digest {
                DigestAlgorithm::Sha256 => "-sha256",
                DigestAlgorithm::Sha384 => "-sha384",
                DigestAlgorithm::Sha512 => "-sha512",
            },
            Self::Ed25519 => "",
        };
        write!(f, "{}{digest}", self.family())
    }
}

/// Why an AlgorithmIdentifier is not one of ours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AlgorithmError {
    /// It is not DER.
    #[error("the algorithm identifier cannot be read: {0}")]
    Malformed(#[from] DerError),
    /// It is not on the list.
    #[error("{0} is not on the list")]
    NotAllowed(String),
}

impl AlgorithmError {
    /// The reason code, where `malformed` says what unreadable bytes mean at this place.
    pub fn reason(&self, malformed: Reason) -> Reason {
        match self {
            Self::Malformed(_) => malformed,
            Self::NotAllowed(_) => Reason::AlgorithmNotAllowed,
        }
    }
}

const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
/// rsaEncryption, also the OID of RSA keys.
pub const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// id-RSASSA-PSS, also the OID of RSA keys that are for PSS alone.
pub const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const SHA384_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c];
const SHA512_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
/// id-Ed25519, also the OID of its keys.
pub const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// Reads the content of a digest AlgorithmIdentifier.
///
/// # Errors
/// When it is not DER, or not on the list.
pub fn read_digest(content: &[u8]) -> Result<DigestAlgorithm, AlgorithmError> {
    let mut reader = Reader::new(content);
    let oid = reader.oid()?;
    absent_or_null(reader, oid)?;
    match oid {
        SHA256 => Ok(DigestAlgorithm::Sha256),
        SHA384 => Ok(DigestAlgorithm::Sha384),
        SHA512 => Ok(DigestAlgorithm::Sha512),
        other => Err(AlgorithmError::NotAllowed(format!("digest {}", dotted(other)))),
    }
}

/// Reads the content of a signature AlgorithmIdentifier. `digest` is what a SignerInfo names beside it, where plain
/// rsaEncryption takes its digest from.
///
/// # Errors
/// When it is not DER, not on the list, or names another digest than `digest`.
pub fn read_signature(content: &[u8], digest: Option<DigestAlgorithm>) -> Result<SignatureAlgorithm, AlgorithmError> {
    let mut reader = Reader::new(content);
    let oid = reader.oid()?;
    if oid == RSASSA_PSS {
        return read_pss(reader).and_then(|algorithm| agreeing(algorithm, digest));
    }
    absent_or_null(reader, oid)?;
    let algorithm = match (oid, digest) {
        (RSA_ENCRYPTION, Some(digest)) => SignatureAlgorithm::RsaPkcs1(digest),
        (SHA256_WITH_RSA, _) => SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha256),
        (SHA384_WITH_RSA, _) => SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha384),
        (SHA512_WITH_RSA, _) => SignatureAlgorithm::RsaPkcs1(DigestAlgorithm::Sha512),
        (ECDSA_WITH_SHA256, _) => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256),
        (ECDSA_WITH_SHA384, _) => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha384),
        (ECDSA_WITH_SHA512, _) => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha512),
        (ED25519, _) => SignatureAlgorithm::Ed25519,
        (other, _) => return Err(AlgorithmError::NotAllowed(format!("signature {}", dotted(other)))),
    };
    agreeing(algorithm, digest)
}

fn agreeing(
    algorithm: SignatureAlgorithm,
    beside: Option<DigestAlgorithm>,
) -> Result<SignatureAlgorithm, AlgorithmError> {
    let own = match algorithm {
        SignatureAlgorithm::RsaPkcs1(digest)
        | SignatureAlgorithm::RsaPss(digest, _)
        | SignatureAlgorithm::Ecdsa(digest) => Some(digest),
        SignatureAlgorithm::Ed25519 => None,
    };
    match (own, beside) {
        (Some(own), Some(beside)) if own != beside => {
            Err(AlgorithmError::NotAllowed(format!("{algorithm} beside another digest ({beside:?})")))
        }
        _ => Ok(algorithm),
    }
}

/// Reads RSASSA-PSS-params: every default of it is SHA-1, so every field has to be written.
///
/// # Errors
/// As [`read_signature`].
pub fn read_pss(mut reader: Reader<'_>) -> Result<SignatureAlgorithm, AlgorithmError> {
    if reader.is_empty() {
        return Err(AlgorithmError::NotAllowed("rsa-pss with SHA-1 by default".to_owned()));
    }
    let mut params = reader.enter(SEQUENCE)?;
    reader.finish()?;
    let digest = match params.optional(context(0))? {
        Some(hash) => read_digest(crate::der::single_content(hash.content, SEQUENCE)?)?,
        None => return Err(AlgorithmError::NotAllowed("rsa-pss with SHA-1 by default".to_owned())),
    };
    let mask = match params.optional(context(1))? {
        Some(mask) => {
            let mut generator = crate::der::single(mask.content, SEQUENCE)?;
            if generator.oid()? != MGF1 {
                return Err(AlgorithmError::NotAllowed("rsa-pss with another mask than MGF1".to_owned()));
            }
            let hash = generator.expect(SEQUENCE)?;
            generator.finish()?;
            read_digest(hash)?
        }
        None => return Err(AlgorithmError::NotAllowed("rsa-pss with MGF1 on SHA-1 by default".to_owned())),
    };
    let salt = match params.optional(context(2))? {
        Some(length) => crate::der::small_integer(crate::der::single_content(length.content, INTEGER)?)?,
        None => 20,
    };
    let trailer_is_one = params.optional(context(3))?.is_none_or(|field| field.content == [INTEGER, 1, 1]);
    params.finish()?;
    if mask != digest || salt < digest.length() || !trailer_is_one {
        return Err(AlgorithmError::NotAllowed(format!("rsa-pss with mask {mask:?} and a salt of {salt} bytes")));
    }
    let salt = if salt == digest.length() { Salt::Digest } else { Salt::Length(salt) };
    Ok(SignatureAlgorithm::RsaPss(digest, salt))
}

fn absent_or_null(mut reader: Reader<'_>, oid: &[u8]) -> Result<(), AlgorithmError> {
    if reader.is_empty() {
        return Ok(());
    }
    let parameters = reader.any()?;
    reader.finish()?;
    if parameters.tag == NULL && parameters.content.is_empty() {
        return Ok(());
    }
    Err(AlgorithmError::NotAllowed(format!("{} with parameters", dotted(oid))))
}

/// The dotted form of an OID's content bytes.
pub fn dotted(oid: &[u8]) -> String {
    let mut text = String::new();
    let mut value = 0u128;
    for &byte in oid.iter().take(64) {
        value = value.wrapping_shl(7) | u128::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let first = value.checked_div(40).unwrap_or(0).min(2);
            text = format!("{first}.{}", value.saturating_sub(first.saturating_mul(40)));
        } else {
            text.push_str(&format!(".{value}"));
        }
        value = 0;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_list_is_named_by_its_oid() {
        let sha1 = [0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a];
        assert_eq!(read_digest(&sha1), Err(AlgorithmError::NotAllowed("digest 1.3.14.3.2.26".to_owned())));
        assert_eq!(dotted(RSASSA_PSS), "1.2.840.113549.1.1.10");
    }

    #[test]
    fn a_signature_algorithm_agrees_with_the_digest_beside_it() {
        let identifier = [&[0x06, 0x09], SHA256_WITH_RSA].concat();
        assert!(read_signature(&identifier, Some(DigestAlgorithm::Sha256)).is_ok());
        assert!(read_signature(&identifier, Some(DigestAlgorithm::Sha512)).is_err());
        let plain = [&[0x06, 0x09], RSA_ENCRYPTION].concat();
        assert!(read_signature(&plain, None).is_err(), "a certificate cannot leave its digest open");
    }

    #[test]
    fn pss_without_parameters_would_be_sha_1_and_is_refused() {
        let bare = [&[0x06, 0x09], RSASSA_PSS].concat();
        let empty = [bare.as_slice(), &[0x30, 0x00]].concat();
        for identifier in [bare, empty] {
            assert!(matches!(read_signature(&identifier, None), Err(AlgorithmError::NotAllowed(_))));
        }
    }
}
