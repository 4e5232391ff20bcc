//! Our own rules about the certificates of a chain, each with its own reason, where OpenSSL is silent, lenient or
//! ambiguous.

use std::sync::Arc;

use gateway_model::{Reason, Refusal};

use crate::certificate::Certificate;
use crate::extension::{DIGITAL_SIGNATURE, KEY_CERT_SIGN, NON_REPUDIATION};
use crate::trust::TrustedAnchor;

/// Judges the signer's certificate by itself.
///
/// # Errors
/// Why it may not sign.
pub(super) fn check_leaf(leaf: &Certificate) -> Result<(), Refusal> {
    let extensions = leaf.extensions();
    check_extensions(leaf)?;
    if extensions.says_ca() {
        return refuse(Reason::CertificateIsCa, leaf, "basic constraints say CA");
    }
    if !extensions.allows(DIGITAL_SIGNATURE | NON_REPUDIATION) {
        return refuse(Reason::CertificateKeyUsage, leaf, "neither digitalSignature nor nonRepudiation");
    }
    if extensions.forbids_documents {
        return refuse(Reason::CertificateExtendedKeyUsage, leaf, "no usage for signing documents");
    }
    check_key(leaf)
}

/// Judges an issuer by itself, the anchor too.
///
/// # Errors
/// Why it may not issue.
pub(super) fn check_issuer(issuer: &Certificate) -> Result<(), Refusal> {
    let extensions = issuer.extensions();
    check_extensions(issuer)?;
    if !extensions.says_ca() {
        return refuse(Reason::IssuerNotCa, issuer, "basic constraints do not say CA");
    }
    if !extensions.allows(KEY_CERT_SIGN) {
        return refuse(Reason::IssuerKeyUsage, issuer, "no keyCertSign");
    }
    check_key(issuer)
}

/// Judges a chain that OpenSSL found good: the leaf first, the anchor last.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn check_chain(chain: &[Arc<Certificate>], anchor: &TrustedAnchor) -> Result<(), Refusal> {
    let Some((last, below)) = chain.split_last() else { return Err(Refusal::new(Reason::CertificateUntrusted)) };
    let Some((leaf, intermediates)) = below.split_first() else {
        return refuse(Reason::CertificateUntrusted, last, "an anchor does not sign envelopes itself");
    };
    for issuer in intermediates {
        check_issuer(issuer)?;
    }
    check_anchor(last)?;
    for certificate in below {
        check_signature_algorithm(certificate, anchor)?;
        if certificate.extensions().maps_policies {
            return refuse(Reason::PolicyNotAllowed, certificate, "it maps policies");
        }
    }
    check_policies(leaf, intermediates, &anchor.policies)
}

/// An anchor is trusted as it is; it may be of version 1, without extensions.
fn check_anchor(anchor: &Certificate) -> Result<(), Refusal> {
    let extensions = anchor.extensions();
    check_extensions(anchor)?;
    if extensions.is_ca == Some(false) {
        return refuse(Reason::IssuerNotCa, anchor, "basic constraints do not say CA");
    }
    if !extensions.allows(KEY_CERT_SIGN) {
        return refuse(Reason::IssuerKeyUsage, anchor, "no keyCertSign");
    }
    check_key(anchor)
}

fn check_extensions(certificate: &Certificate) -> Result<(), Refusal> {
    let extensions = certificate.extensions();
    if let Some(oid) = &extensions.unknown_critical {
        return refuse(Reason::CertificateCriticalExtension, certificate, oid);
    }
    if let Some(kind) = extensions.unknown_name_constraint {
        return refuse(Reason::NameConstraint, certificate, &format!("a constraint on names of kind {kind}"));
    }
    Ok(())
}

fn check_key(certificate: &Certificate) -> Result<(), Refusal> {
    let strength = certificate.key().check_strength();
    strength.map_err(|error| Refusal::new(error.reason(Reason::CertificateMalformed)).saw(error.to_string()))
}

fn check_signature_algorithm(certificate: &Certificate, anchor: &TrustedAnchor) -> Result<(), Refusal> {
    match certificate.signature_algorithm() {
        Err(error) => Err(Refusal::new(error.reason(Reason::CertificateMalformed)).saw(error.to_string())),
        Ok(algorithm) if anchor.allows(algorithm) => Ok(()),
        Ok(algorithm) => refuse(
            Reason::AlgorithmNotAllowed,
            certificate,
            &format!("signed by {algorithm}, which its anchor does not allow"),
        ),
    }
}

const ANY_POLICY: &str = "2.5.29.32.0";

/// The leaf carries one of the allowed policies, and every CA between lets it through.
fn check_policies(leaf: &Certificate, intermediates: &[Arc<Certificate>], allowed: &[String]) -> Result<(), Refusal> {
    if allowed.is_empty() {
        return Ok(());
    }
    let carries = |certificate: &Certificate, policy: &str| {
        certificate.extensions().policies.iter().any(|carried| carried == policy)
    };
    let passes = |policy: &&String| {
        carries(leaf, policy) && intermediates.iter().all(|ca| carries(ca, policy) || carries(ca, ANY_POLICY))
    };
    if allowed.iter().any(|policy| passes(&policy)) {
        return Ok(());
    }
    refuse(Reason::PolicyNotAllowed, leaf, &format!("policies {:?}", leaf.extensions().policies))
}

fn refuse(reason: Reason, certificate: &Certificate, what: &str) -> Result<(), Refusal> {
    Err(Refusal::new(reason).saw(format!("{what} (certificate {:?})", certificate.digest())))
}
