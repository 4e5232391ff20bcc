//! Revocation lists and answers of OCSP that came with the message, where the directory's own lists are missing or stale.
//!
//! Nobody signs that a list belongs to a message, so only what the list proves by itself counts: it is signed by the issuer whose certificates
//! it is about, with cRLSign and an allowed algorithm, it is a whole list, and it is within its own times, without the grace that an anchor may give
//! to the directory. An answer is signed by the issuer, or by whom the issuer appointed, and is held to the same times. The directory comes first all the same: what it says is revoked stays revoked, an older list never replaces a newer
//! one of it, and while its lists are fresh the message is not asked. What remains is what any list allows: a revocation that is
//! younger than the list shows when the list has run out.

use std::sync::Arc;
use std::time::Duration;

use gateway_model::{Reason, Refusal, Timestamp};

use super::anchor_of;
use crate::certificate::Certificate;
use crate::revocation::{OcspAnswer, RevocationFinding, RevocationIndex, RevocationUsed, Stapled, check_fresh};
use crate::trust::{Trust, TrustedAnchor};

/// Judges every certificate of the chain but the anchor by the directory's list, or by a stapled one where that is missing or stale.
pub(super) fn judge(
    trust: &Trust,
    chain: &[Arc<Certificate>],
    stapled: &Stapled<'_>,
    at: Timestamp,
    now: Timestamp,
) -> Result<Vec<RevocationUsed>, Refusal> {
    let anchor = anchor_of(trust, chain)?;
    let stapled = Read {
        lists: RevocationIndex::new(stapled.lists.iter().copied()),
        answers: stapled.answers.iter().filter_map(|der| OcspAnswer::read(der).ok()).collect(),
    };
    let mut used: Vec<RevocationUsed> = Vec::with_capacity(chain.len());
    for (certificate, issuer) in chain.iter().zip(chain.iter().skip(1)) {
        let finding = find(trust, anchor, &stapled, certificate, issuer, at, now)?;
        if !used.contains(&finding.used) {
            used.push(finding.used);
        }
    }
    Ok(used)
}

/// What the message brings, as far as it can be read.
struct Read<'a> {
    lists: RevocationIndex,
    answers: Vec<OcspAnswer<'a>>,
}

fn find(
    trust: &Trust,
    anchor: &TrustedAnchor,
    stapled: &Read<'_>,
    certificate: &Certificate,
    issuer: &Certificate,
    at: Timestamp,
    now: Timestamp,
) -> Result<RevocationFinding, Refusal> {
    let known = trust.revocation().find(certificate, issuer, |algorithm| anchor.allows(algorithm));
    let (refusal, not_before) = match known {
        Ok(known) => {
            check_not_revoked(&known, at)?;
            match check_fresh(&known.used, anchor.revocation_grace, now) {
                Ok(()) => return Ok(known),
                Err(stale) => (stale, known.used.this_update),
            }
        }
        Err(refusal) if refusal.reason == Reason::RevocationUnavailable => (refusal, Timestamp::MIN),
        Err(refusal) => return Err(refusal),
    };
    // What the message brings can only help: when it does not, the directory's own fault is told.
    for brought in stapled.about(certificate, issuer, anchor) {
        check_not_revoked(&brought, at)?;
        if brought.used.this_update >= not_before && check_fresh(&brought.used, Duration::ZERO, now).is_ok() {
            return Ok(brought);
        }
    }
    Err(refusal)
}

impl Read<'_> {
    /// All that is said of a certificate by whom it may be said.
    fn about(&self, certificate: &Certificate, issuer: &Certificate, anchor: &TrustedAnchor) -> Vec<RevocationFinding> {
        let is_allowed = |algorithm| anchor.allows(algorithm);
        let listed = self.lists.find(certificate, issuer, is_allowed).ok();
        let answered = self.answers.iter().filter_map(|answer| answer.about(certificate, issuer, is_allowed));
        listed.into_iter().chain(answered).collect()
    }
}

fn check_not_revoked(finding: &RevocationFinding, at: Timestamp) -> Result<(), Refusal> {
    match finding.revoked_at.filter(|&revoked_at| revoked_at <= at) {
        None => Ok(()),
        Some(revoked_at) => Err(Refusal::new(Reason::CertificateRevoked).saw(format!("revoked at {revoked_at}"))),
    }
}
