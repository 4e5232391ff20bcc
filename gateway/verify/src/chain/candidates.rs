//! Gathers the certificates that a chain could be built from: bounded, and only those that fit by name and, where several do, by key.

use std::sync::Arc;

use super::is_signed_by;
use crate::certificate::Certificate;
use crate::trust::{Issuer, Trust};

/// Certificates handed to the chain builder at most.
const CANDIDATES_MAX: usize = 32;
/// Certificates of one name that are tried by their key at most.
const SAME_NAME_MAX: usize = 8;

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
    let embedded: Vec<Issuer> =
        embedded.iter().filter(|der| **der != leaf.der()).filter_map(|der| Issuer::read(der).ok()).collect();
    let mut found = Candidates::default();
    let mut open = vec![Arc::clone(leaf)];
    while let Some(child) = open.pop() {
        for (issuer, is_anchor) in issuers_of(trust, &child, &embedded) {
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

/// The certificates with the name of the child's issuer. Where one of them really signed the child, the others (keys rolled over) are left out.
fn issuers_of(trust: &Trust, child: &Certificate, embedded: &[Issuer]) -> Vec<(Issuer, bool)> {
    let name = child.issuer();
    let anchors = trust.anchors_named(name).map(|issuer| (issuer, true));
    let pool = trust.pool_named(name).map(|issuer| (issuer, false));
    let message = embedded.iter().filter(|issuer| issuer.certificate.subject() == name).map(|issuer| (issuer, false));
    let named: Vec<(&Issuer, bool)> = anchors
        .chain(pool)
        .chain(message)
        .filter(|(issuer, _)| issuer.certificate.digest() != child.digest())
        .take(SAME_NAME_MAX)
        .collect();
    let signed_by = |(issuer, _): &&(&Issuer, bool)| is_signed_by(child, issuer).is_ok();
    let signers: Vec<(Issuer, bool)> = if named.len() > 1 {
        named.iter().filter(signed_by).map(|(issuer, is_anchor)| ((*issuer).clone(), *is_anchor)).collect()
    } else {
        Vec::new()
    };
    if signers.is_empty() {
        return named.into_iter().map(|(issuer, is_anchor)| (issuer.clone(), is_anchor)).collect();
    }
    signers
}
