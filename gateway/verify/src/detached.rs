//! Verifies one detached CMS signature over some bytes: what the verb `verify` does offline.

use std::sync::Arc;

use gateway_model::{Refusal, Timestamp};

use crate::algorithm::SignatureAlgorithm;
use crate::certificate::Certificate;
use crate::cms::CmsSignature;
use crate::proof::{ChainTrusted, Content, SignatureValid};
use crate::revocation::RevocationUsed;
use crate::trust::Trust;

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub struct DetachedOptions {
    /// As of when certificates are judged. A list issued later counts: what it says was revoked by then was revoked.
    pub at: Timestamp,
    /// Whether the signing-certificate attribute has to be there.
    pub require_signing_certificate: bool,
    /// Whether revocation is judged.
    pub check_revocation: bool,
}

/// Who signed, and on what the verdict rests.
#[derive(Clone, Debug)]
pub struct SignerReport {
    /// The chain: the signer's certificate first, the anchor last.
    pub chain: Vec<Arc<Certificate>>,
    /// How it is signed.
    pub algorithm: SignatureAlgorithm,
    /// When the signer says it signed; local time in disguise with some tools, so never a reason to accept.
    pub signing_time: Option<Timestamp>,
    /// Whether the signature itself names its certificate.
    pub names_certificate: bool,
    /// The revocation lists relied on; empty when revocation was not judged.
    pub revocation: Vec<RevocationUsed>,
}

/// Verifies `cms` over `content`.
///
/// # Errors
/// Why it is refused.
pub fn verify_detached(
    content: &[u8],
    cms: &[u8],
    trust: &Trust,
    options: DetachedOptions,
) -> Result<SignerReport, Refusal> {
    let cms = CmsSignature::read(cms)?;
    let signature = SignatureValid::check(&Content::new(content), &cms, trust)?;
    let chain = ChainTrusted::check(&signature, trust, options.at)?;
    let revocation = match options.check_revocation {
        true => chain.verdict().check_revocation_offline(trust, &cms.stapled, options.at)?,
        false => Vec::new(),
    };
    if options.require_signing_certificate {
        signature.require_signing_certificate()?;
    }
    Ok(SignerReport {
        chain: chain.certificates().to_vec(),
        algorithm: signature.algorithm(),
        signing_time: signature.signing_time(),
        names_certificate: signature.names_certificate(),
        revocation,
    })
}
