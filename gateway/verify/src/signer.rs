//! Finds the certificate that a CMS signature is by: in the message, or held locally; one that was judged before is not read again.

use std::sync::Arc;

use gateway_model::{Digest, Reason, Refusal};

use crate::certificate::{Certificate, Serial, peek_issuer_and_serial};
use crate::chain::Leaf;
use crate::cms::{CmsSignature, SignerIdentifier};
use crate::name::CanonicalName;
use crate::trust::Trust;

/// Finds the signer's certificate.
///
/// # Errors
/// When it is neither in the message nor held locally, or cannot be read.
pub fn find_leaf<'a>(cms: &'a CmsSignature<'a>, trust: &Trust) -> Result<Leaf<'a>, Refusal> {
    let mut unreadable = None;
    for der in &cms.certificates {
        match names(&cms.signer, der, trust) {
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

/// The certificate, when it is the one that `signer` names.
fn names(
    signer: &SignerIdentifier<'_>,
    der: &[u8],
    trust: &Trust,
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
    let verdict = trust.verdicts.find(&Digest::of(der));
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
