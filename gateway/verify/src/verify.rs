//! The one way from bytes to a verified envelope.

use bytes::Bytes;
use gateway_model::agency::Hop;
use gateway_model::{Refusal, Timestamp};

use crate::cms::CmsSignature;
use crate::proof::{Addressed, Content, DirectoryCurrent, InTime, Signer, SignerBound, WellFormed};
use crate::snapshot::Snapshot;
use crate::verified::{Proofs, VerifiedEnvelope};
use crate::wire::{SignedParts, read_signed};

/// An envelope as it came in: nothing is known about it.
#[derive(Clone, Debug)]
pub struct RawEnvelope {
    /// The whole serialized `SignedEnvelope` message, exactly as received.
    pub signed: Bytes,
}

/// The two times of a verification.
#[derive(Clone, Copy, Debug)]
pub struct VerifyTime {
    /// The clock.
    pub now: Timestamp,
    /// As of when certificates and registrations are judged: `now` at the first gateway, its time of acceptance at
    /// later ones.
    pub at: Timestamp,
}

/// Verifies first and parses after: nothing inside the envelope is looked at before a trusted signature covers it.
///
/// # Errors
/// The first reason to refuse it.
pub fn verify(
    raw: &RawEnvelope,
    snapshot: &Snapshot,
    hop: &Hop,
    time: VerifyTime,
) -> Result<VerifiedEnvelope, Refusal> {
    // An acceptance that lies ahead of our clock is none: it would let certificates in before their time.
    let time = VerifyTime { at: time.at.min(time.now), ..time };
    let current = DirectoryCurrent::check(snapshot.directory(), time.now)?;
    let parts = read_signed(&raw.signed)?;
    let content = Content::new(&parts.envelope);
    let signatures = read_signatures(&parts)?;
    let mut signers = Vec::with_capacity(signatures.len());
    for (position, (cms, part)) in signatures.iter().zip(&parts.signatures).enumerate() {
        let signer = Signer::check(&content, cms, part.role, snapshot.trust(), time);
        signers.push(signer.map_err(|refusal| refusal.at(format!("signatures[{position}]")))?);
    }
    let well_formed = WellFormed::check(&parts.envelope)?;
    let in_time = InTime::check(well_formed.envelope(), time.now)?;
    let bound = SignerBound::check(well_formed.envelope(), &signers, snapshot.directory(), hop, time.at)?;
    let addressed = Addressed::check(well_formed.envelope(), snapshot.directory(), time.at, time.now)?;
    let proofs = Proofs { current, well_formed, signers, in_time, bound, addressed };
    Ok(VerifiedEnvelope::new(raw, &content, snapshot.directory(), proofs))
}

fn read_signatures(parts: &SignedParts) -> Result<Vec<CmsSignature<'_>>, Refusal> {
    let numbered = parts.signatures.iter().enumerate();
    numbered
        .map(|(n, part)| CmsSignature::read(&part.cms).map_err(|refusal| refusal.at(format!("signatures[{n}]"))))
        .collect()
}
