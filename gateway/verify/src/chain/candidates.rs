//! Gathers the certificates that a chain could be built from: bounded, and only those that fit by name and, where
//! several do, by key.

use std::sync::Arc;

use super::is_signed_by;
use crate::certificate::Certificate;
use crate::trust::{Issuer, Trust};

/// Certificates handed to the chain builder at most.
const CANDIDATES_MAX: usize = 32;
/// Certificates of one name that are tried by their key at most.
const SAME_NAME_MAX: usize = 8;
/// Signatures checked to tell certificates of one name apart: with OpenSSL's own checks the budget of one chain.
const SIGNATURE_CHECKS_MAX: usize = 32;

/// What OpenSSL may build with.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Trusted as they are.
    pub(super) anchors: Vec<Issuer>,
    /// Trusted only when a chain shows it.
    pub(super) intermediates: Vec<Issuer>,
}

impl Candidates {
    /// Finds the read form of a certificate by its bytes.
    pub(super) fn find(&self, der: &[u8]) -> Option<Arc<Certificate>> {
        let mut all = self.anchors.iter().chain(&self.intermediates);
        all.find(|issuer| issuer.certificate.der() == der).map(|issuer| Arc::clone(&issuer.certificate))
    }

    fn holds(&self, issuer: &Issuer) -> bool {
        let digest = issuer.certificate.digest();
        self.anchors.iter().chain(&self.intermediates).any(|known| known.certificate.digest() == digest)
    }

    fn count(&self) -> usize {
        self.anchors.len().saturating_add(self.intermediates.len())
    }
}

/// Follows the issuers of `leaf` through the message and the local pool, up to the anchors.
pub(super) fn gather(trust: &Trust, leaf: &Arc<Certificate>, embedded: &[&[u8]]) -> Candidates {
    // One that cannot be read issues nothing.
    let read = |der: &&[u8]| Certificate::read(der).ok().map(Arc::new);
    let embedded: Vec<Arc<Certificate>> = embedded.iter().filter(|der| **der != leaf.der()).filter_map(read).collect();
    let mut found = Candidates::default();
    let mut open = vec![Arc::clone(leaf)];
    let mut checks_left = SIGNATURE_CHECKS_MAX;
    while let Some(child) = open.pop() {
        for (issuer, is_anchor) in issuers_of(trust, &child, &embedded, &mut checks_left) {
            if found.count() >= CANDIDATES_MAX {
                return found;
            }
            if found.holds(&issuer) {
                continue;
            }
            if is_anchor {
                found.anchors.push(issuer);
            } else {
                open.push(Arc::clone(&issuer.certificate));
                found.intermediates.push(issuer);
            }
        }
    }
    found
}

/// The certificates with the name of the child's issuer, and whether each is an anchor. Where one of them really signed
/// the child, the others (keys rolled over) are left out.
fn issuers_of(
    trust: &Trust,
    child: &Certificate,
    embedded: &[Arc<Certificate>],
    checks_left: &mut usize,
) -> Vec<(Issuer, bool)> {
    let name = child.issuer();
    let anchors = trust.anchors_named(name).map(|issuer| (issuer.clone(), true));
    let pool = trust.pool_named(name).map(|issuer| (issuer.clone(), false));
    let message = embedded.iter().filter(|certificate| certificate.subject() == name);
    let message =
        message.filter_map(|certificate| Issuer::of(Arc::clone(certificate)).ok()).map(|issuer| (issuer, false));
    let named: Vec<(Issuer, bool)> = anchors
        .chain(pool)
        .chain(message)
        .filter(|(issuer, _)| issuer.certificate.digest() != child.digest())
        .take(SAME_NAME_MAX)
        .collect();
    if named.len() < 2 || *checks_left < named.len() {
        return named;
    }
    *checks_left = checks_left.saturating_sub(named.len());
    let signers: Vec<(Issuer, bool)> =
        named.iter().filter(|(issuer, _)| is_signed_by(child, issuer).is_ok()).cloned().collect();
    if signers.is_empty() { named } else { signers }
}
