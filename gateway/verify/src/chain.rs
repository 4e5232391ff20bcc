//! The chain from a signer's certificate to an anchor: built and judged by OpenSSL and by our own rules once, then
//! remembered for as long as its times allow.

use std::sync::Arc;

use gateway_model::{Reason, Refusal, Timestamp, limits};

use crate::certificate::Certificate;
use crate::key::KeyError;
use crate::revocation::{RevocationFinding, RevocationUsed, Stapled, check_fresh};
use crate::trust::{Issuer, Trust, TrustedAnchor};

mod candidates;
mod judge;
mod rules;
mod stapled;

/// A chain that was found good, with the window of time in which it stays so, and what the revocation lists say about
/// it.
#[derive(Debug)]
pub struct Verdict {
    /// The signer's certificate first, the anchor last.
    certificates: Vec<Arc<Certificate>>,
    /// First instant at which every certificate is valid.
    valid_from: Timestamp,
    /// First instant at which one is not any more.
    valid_until: Timestamp,
    revocation: Result<Vec<RevocationFinding>, Refusal>,
}

impl Verdict {
    /// Finds and judges the chain of `leaf` as of `at`, or takes what has been found before.
    ///
    /// # Errors
    /// Why no good chain leads to an anchor.
    pub fn find(trust: &Trust, leaf: &Leaf<'_>, at: Timestamp) -> Result<Arc<Self>, Refusal> {
        if let Some(known) = leaf.verdict.as_ref().filter(|verdict| verdict.holds_at(at)) {
            return Ok(Arc::clone(known));
        }
        let verdict = Arc::new(Self::build(trust, &leaf.certificate, leaf.embedded, at)?);
        trust.verdicts.insert(leaf.certificate.digest(), Arc::clone(&verdict));
        Ok(verdict)
    }

    fn build(trust: &Trust, leaf: &Arc<Certificate>, embedded: &[&[u8]], at: Timestamp) -> Result<Self, Refusal> {
        rules::check_leaf(leaf)?;
        let candidates = candidates::gather(trust, leaf, embedded);
        let certificates = judge::build_chain(leaf, &candidates, at)?;
        if certificates.len() > limits::CHAIN_CERTIFICATES_MAX {
            return Err(Refusal::new(Reason::ChainTooLong).saw(format!("{} certificates", certificates.len())));
        }
        let anchor = anchor_of(trust, &certificates)?;
        rules::check_chain(&certificates, anchor)?;
        let valid_from = certificates.iter().map(|c| c.not_before()).max().unwrap_or(Timestamp::MAX);
        let last_second = certificates.iter().map(|c| c.not_after()).min().unwrap_or(Timestamp::MIN);
        Ok(Self {
            revocation: find_revocation(trust, &certificates, anchor),
            valid_from,
            valid_until: last_second.plus(std::time::Duration::from_secs(1)),
            certificates,
        })
    }

    /// The certificates, the signer's first, the anchor last.
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// Judges the signature algorithm and finds the anchor that allows it.
    ///
    /// # Errors
    /// When the anchor does not allow it.
    pub fn check_algorithm(
        &self,
        trust: &Trust,
        algorithm: crate::algorithm::SignatureAlgorithm,
    ) -> Result<(), Refusal> {
        if anchor_of(trust, &self.certificates)?.allows(algorithm) {
            return Ok(());
        }
        Err(Refusal::new(Reason::AlgorithmNotAllowed).saw(format!("{algorithm} is not allowed below this anchor")))
    }

    /// Judges revocation: nothing revoked at `at`, and every list fresh at `now` and not of the future. Where the directory's own lists are
    /// missing or stale, the lists and answers that the message carries may stand in.
    ///
    /// # Errors
    /// When a certificate was revoked, or a list is missing, stale or not usable.
    pub fn check_revocation(
        &self,
        trust: &Trust,
        stapled: &Stapled<'_>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<RevocationUsed>, Refusal> {
        let used = self.judge_with(trust, stapled, at, now)?;
        match used.iter().find(|used| used.this_update > now.plus(limits::CLOCK_SKEW_MAX)) {
            None => Ok(used),
            Some(list) => {
                Err(Refusal::new(Reason::RevocationInvalid)
                    .saw(format!("the list is of {}, after now", list.this_update)))
            }
        }
    }

    /// The same with no clock at hand: fresh at `at` itself. A list issued after `at` is as good, since it says when
    /// what was revoked.
    ///
    /// # Errors
    /// As [`Verdict::check_revocation`].
    pub fn check_revocation_offline(
        &self,
        trust: &Trust,
        stapled: &Stapled<'_>,
        at: Timestamp,
    ) -> Result<Vec<RevocationUsed>, Refusal> {
        self.judge_with(trust, stapled, at, at)
    }

    fn judge_with(
        &self,
        trust: &Trust,
        stapled: &Stapled<'_>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<RevocationUsed>, Refusal> {
        self.judge_revocation(trust, at, now).or_else(|refusal| {
            let may_stand_in = matches!(refusal.reason, Reason::RevocationUnavailable | Reason::RevocationStale);
            if stapled.is_empty() || !may_stand_in {
                return Err(refusal);
            }
            stapled::judge(trust, &self.certificates, stapled, at, now)
        })
    }

    fn judge_revocation(&self, trust: &Trust, at: Timestamp, now: Timestamp) -> Result<Vec<RevocationUsed>, Refusal> {
        let findings = self.revocation.as_ref().map_err(Clone::clone)?;
        let grace = anchor_of(trust, &self.certificates)?.revocation_grace;
        let mut used: Vec<RevocationUsed> = Vec::with_capacity(findings.len());
        for finding in findings {
            if let Some(revoked_at) = finding.revoked_at.filter(|&revoked_at| revoked_at <= at) {
                return Err(Refusal::new(Reason::CertificateRevoked).saw(format!("revoked at {revoked_at}")));
            }
            check_fresh(&finding.used, grace, now)?;
            if !used.contains(&finding.used) {
                used.push(finding.used);
            }
        }
        Ok(used)
    }

    fn holds_at(&self, at: Timestamp) -> bool {
        self.valid_from <= at && at < self.valid_until
    }
}

/// The certificate that a signature is by, and what came with it.
#[derive(Debug)]
pub struct Leaf<'a> {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// What has been found about it before.
    pub verdict: Option<Arc<Verdict>>,
    /// The other certificates of the message.
    pub embedded: &'a [&'a [u8]],
}

fn anchor_of<'a>(trust: &'a Trust, chain: &[Arc<Certificate>]) -> Result<&'a TrustedAnchor, Refusal> {
    let anchor = chain.last().and_then(|last| trust.anchor(&last.digest()));
    anchor.ok_or_else(|| Refusal::new(Reason::CertificateUntrusted))
}

/// What the lists say about every certificate but the anchor.
fn find_revocation(
    trust: &Trust,
    chain: &[Arc<Certificate>],
    anchor: &TrustedAnchor,
) -> Result<Vec<RevocationFinding>, Refusal> {
    let pairs = chain.iter().zip(chain.iter().skip(1));
    pairs
        .map(|(certificate, issuer)| trust.revocation().find(certificate, issuer, |algorithm| anchor.allows(algorithm)))
        .collect()
}

/// Whether `issuer`'s key signed `certificate`.
fn is_signed_by(certificate: &Certificate, issuer: &Issuer) -> Result<(), KeyError> {
    let algorithm = certificate.signature_algorithm().map_err(|error| KeyError::NotAllowed(error.to_string()))?;
    let (signed, signature) = certificate.signed().ok_or(KeyError::Malformed)?;
    issuer.certificate.key().verify(algorithm, crate::key::Message::Whole(signed), signature)
}
