//! Finds the certificate that a CMS signature is by: in the message, or held locally; one that was judged before is not
//! read again.

use std::sync::Arc;

use gateway_model::{Digest, Reason, Refusal};

use crate::certificate::{Certificate, Serial, peek_issuer_and_serial};
use crate::chain::{Leaf, Verdict};
use crate::cms::{CmsSignature, SignerIdentifier};
use crate::name::CanonicalName;
use crate::trust::Trust;

/// Finds the signer's certificate.
///
/// # Errors
/// When it is neither in the message nor held locally, or cannot be read.
pub fn find_leaf<'a>(cms: &'a CmsSignature<'a>, trust: &Trust) -> Result<Leaf<'a>, Refusal> {
    let mut unreadable = None;
    let hint = cms.attributes.signing_certificate.sha256();
    for der in &cms.certificates {
        match names(&cms.signer, der, trust, hint) {
            Ok(Some(leaf)) => return Ok(Leaf { embedded: &cms.certificates, ..leaf }),
            Ok(None) => {}
            Err(error) => unreadable = Some(error),
        }
    }
    if let Some(certificate) = trust.pool_signer(&cms.signer) {
        let verdict = trust.verdicts.find(&certificate.digest());
        return Ok(Leaf { certificate, verdict, embedded: &cms.certificates });
    }
    Err(match unreadable {
        Some(error) => Refusal::new(Reason::CertificateMalformed).saw(error.to_string()),
        None => Refusal::new(Reason::CertificateMissing),
    })
}

/// The certificate, when it is the one that `signer` names. `hint` is the digest that the signed attributes claim.
fn names(
    signer: &SignerIdentifier<'_>,
    der: &[u8],
    trust: &Trust,
    hint: Option<Digest>,
) -> Result<Option<Leaf<'static>>, crate::der::DerError> {
    if let SignerIdentifier::IssuerAndSerial(issuer, serial) = signer {
        let (own_issuer, own_serial) = peek_issuer_and_serial(der)?;
        let is_named = own_serial == *serial
            && Serial::read(serial).is_ok()
            && (own_issuer == *issuer || CanonicalName::read(own_issuer)? == CanonicalName::read(issuer)?);
        if !is_named {
            return Ok(None);
        }
    }
    let verdict = recall(der, trust, hint);
    let certificate = match verdict.as_ref().and_then(|verdict| verdict.certificates().first()) {
        Some(known) => Arc::clone(known),
        None => Arc::new(Certificate::read(der)?),
    };
    let is_named = match signer {
        SignerIdentifier::IssuerAndSerial(..) => true,
        SignerIdentifier::SubjectKeyId(id) => certificate.extensions().subject_key_id.as_deref() == Some(*id),
    };
    Ok(is_named.then_some(Leaf { certificate, verdict, embedded: &[] }))
}

/// What was found about exactly these bytes before. Comparing them is cheaper than hashing them, so the claimed digest
/// is tried first.
fn recall(der: &[u8], trust: &Trust, hint: Option<Digest>) -> Option<Arc<Verdict>> {
    let is_about =
        |verdict: &Arc<Verdict>| verdict.certificates().first().is_some_and(|certificate| certificate.der() == der);
    let claimed = hint.and_then(|digest| trust.verdicts.find(&digest)).filter(is_about);
    claimed.or_else(|| trust.verdicts.find(&Digest::of(der)))
}
