//! Asks OpenSSL to build the chain and to judge it by RFC 5280, and says its answer in our reasons.

use std::sync::Arc;

use gateway_model::{Reason, Refusal, Timestamp, limits};
use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId, X509StoreContext, X509StoreContextRef};

use super::candidates::Candidates;
use super::rules;
use crate::certificate::Certificate;

/// Builds the chain as of `at`: the leaf first, an anchor last.
///
/// # Errors
/// Why OpenSSL finds none.
pub(super) fn build_chain(
    leaf: &Arc<Certificate>,
    candidates: &Candidates,
    at: Timestamp,
) -> Result<Vec<Arc<Certificate>>, Refusal> {
    let x509 = X509::from_der(leaf.der()).map_err(|_| Refusal::new(Reason::CertificateMalformed))?;
    let prepared =
        store(candidates, at).and_then(|store| Ok((store, intermediates(candidates)?, X509StoreContext::new()?)));
    let (store, intermediates, mut context) = prepared.map_err(internal)?;
    let answer = context.init(&store, &x509, &intermediates, |context| {
        let is_good = context.verify_cert()?;
        Ok(if is_good {
            Ok(chain_of(context, leaf, candidates))
        } else {
            Err(Complaint::of(context, leaf, candidates))
        })
    });
    match answer.map_err(internal)? {
        Ok(Some(chain)) => Ok(chain),
        Ok(None) => {
            Err(Refusal::new(Reason::CertificateUntrusted).saw("the chain has a certificate of unknown origin"))
        }
        Err(complaint) => Err(complaint.into_refusal()),
    }
}

fn store(candidates: &Candidates, at: Timestamp) -> Result<X509Store, ErrorStack> {
    let mut builder = X509StoreBuilder::new()?;
    for anchor in &candidates.anchors {
        builder.add_cert(anchor.x509.clone())?;
    }
    let mut param = X509VerifyParam::new()?;
    // Any purpose: the directory says who may sign what, and our own rules judge key usages. An anchor need not be
    // self-signed.
    param.set_purpose(X509PurposeId::ANY)?;
    param.set_flags(X509VerifyFlags::PARTIAL_CHAIN | X509VerifyFlags::TRUSTED_FIRST | X509VerifyFlags::POLICY_CHECK)?;
    param.set_time(at.seconds());
    // Intermediates only: neither the leaf nor the anchor counts.
    let depth = limits::CHAIN_CERTIFICATES_MAX.saturating_sub(2);
    param.set_depth(i32::try_from(depth).unwrap_or(i32::MAX));
    builder.set_param(&param)?;
    Ok(builder.build())
}

fn intermediates(candidates: &Candidates) -> Result<Stack<X509>, ErrorStack> {
    let mut stack = Stack::new()?;
    for issuer in &candidates.intermediates {
        stack.push(issuer.x509.clone())?;
    }
    Ok(stack)
}

fn chain_of(
    context: &X509StoreContextRef,
    leaf: &Arc<Certificate>,
    candidates: &Candidates,
) -> Option<Vec<Arc<Certificate>>> {
    let mut chain = vec![Arc::clone(leaf)];
    for x509 in context.chain()?.iter().skip(1) {
        chain.push(candidates.find(&x509.to_der().ok()?)?);
    }
    Some(chain)
}

/// OpenSSL's answer, and the certificate that it is about.
struct Complaint {
    code: i32,
    words: &'static str,
    depth: u32,
    certificate: Option<Arc<Certificate>>,
}

impl Complaint {
    fn of(context: &X509StoreContextRef, leaf: &Arc<Certificate>, candidates: &Candidates) -> Self {
        let der = context.current_cert().and_then(|x509| x509.to_der().ok());
        let certificate =
            der.and_then(|der| if der == leaf.der() { Some(Arc::clone(leaf)) } else { candidates.find(&der) });
        let error = context.error();
        Self { code: error.as_raw(), words: error.error_string(), depth: context.error_depth(), certificate }
    }

    fn into_refusal(self) -> Refusal {
        // The digest and not the name: names of persons stay out of answers and logs.
        let digest =
            self.certificate.as_ref().map(|certificate| format!(", {:?}", certificate.digest())).unwrap_or_default();
        Refusal::new(self.reason()).saw(format!("{} (certificate {} of the chain{digest})", self.words, self.depth))
    }

    fn reason(&self) -> Reason {
        // OpenSSL has one answer where we have several: our own rule about the certificate in question is the more
        // exact one.
        if let Some(certificate) = &self.certificate
            && self.depth > 0
            && let Err(refusal) = rules::check_issuer(certificate)
            && matches!(self.code, 1 | 24 | 26 | 32 | 34 | 41 | 42 | 76 | 79 | 80 | 94)
        {
            return refusal.reason;
        }
        match self.code {
            4 | 7 => Reason::CertificateSignatureInvalid,
            6 | 13 | 14 | 41 => Reason::CertificateMalformed,
            9 => Reason::CertificateNotYetValid,
            10 => Reason::CertificateExpired,
            22 => Reason::ChainTooLong,
            23 => Reason::CertificateRevoked,
            25 | 38 => Reason::PathLengthExceeded,
            24 | 79 | 80 => Reason::IssuerNotCa,
            32 => Reason::IssuerKeyUsage,
            26 => Reason::CertificateKeyUsage,
            34 | 40 => Reason::CertificateCriticalExtension,
            42 | 43 => Reason::PolicyNotAllowed,
            47..=49 | 51..=53 => Reason::NameConstraint,
            66 | 67 | 94 => Reason::KeyTooWeak,
            68 | 76..=78 => Reason::AlgorithmNotAllowed,
            _ => Reason::CertificateUntrusted,
        }
    }
}

/// OpenSSL could not work at all (out of memory): nothing is accepted then.
fn internal(errors: ErrorStack) -> Refusal {
    Refusal::new(Reason::CertificateUntrusted).saw(format!("no verdict: {errors}"))
}
