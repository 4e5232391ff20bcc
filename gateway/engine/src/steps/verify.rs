//! Verify: is it what its sender signed? Certificates are judged as of the first acceptance, the envelope's own times as of now.

use gateway_evidence::{EventKind, Receipt};
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use gateway_verify::proof::WellFormed;
use gateway_verify::{RawEnvelope, Snapshot, VerifiedEnvelope, VerifyTime};
use prost::Message as _;
use proto::v1;

use crate::steps::accept::Admitted;
use crate::{Core, Submission};

/// Verifies a submission by the trust that it was admitted under.
pub(crate) fn verify(engine: &Core, submission: &Submission, admitted: &Admitted) -> Result<VerifiedEnvelope, Refusal> {
    verify_at(engine, submission, &admitted.snapshot, admitted.now)
}

/// Verifies a submission as if the clock said `now`.
pub(crate) fn verify_at(
    engine: &Core,
    submission: &Submission,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<VerifiedEnvelope, Refusal> {
    let first = first_acceptance(submission, snapshot, now);
    let time = VerifyTime { now, at: first.as_ref().map_or(now, |first| first.at) };
    let raw = RawEnvelope { signed: submission.signed.clone() };
    let verified = gateway_verify::verify(&raw, snapshot, &submission.hop, time)?;
    if let Some(first) = first {
        // Its time was believed before it was known what it is about: now it is.
        let same = first.digest == verified.digest() && first.key == *verified.key();
        if !same {
            tracing::warn!(gateway = %engine.gateway, hop = %submission.hop, "a first receipt is about another envelope");
            return Err(Refusal::new(Reason::ReceiptInvalid).at("first_accepted"));
        }
        if first.at < verified.envelope().created_at.minus(limits::CLOCK_SKEW_MAX) {
            // Accepted before it was made: that gateway's time is not believed.
            return gateway_verify::verify(&raw, snapshot, &submission.hop, VerifyTime { now, at: now });
        }
    }
    Ok(verified)
}

struct FirstAcceptance {
    at: Timestamp,
    key: gateway_model::id::EnvelopeKey,
    digest: Digest,
}

/// The first gateway's acceptance, when its receipt proves it; without one, everything is judged as of now.
fn first_acceptance(submission: &Submission, snapshot: &Snapshot, now: Timestamp) -> Option<FirstAcceptance> {
    let relay = submission.relay.as_ref()?;
    let gateway = snapshot.directory().gateway(relay.hops.first()?)?;
    let receipt = Receipt::decode(relay.first_accepted.as_ref()?).ok()?;
    let event = receipt.verify(gateway.id.as_str(), &gateway.log_keys).ok()?;
    // Only the sender's own gateway says when it was accepted: another could make an expired certificate young again.
    let serves = snapshot.directory().gateway_of(&event.sender).is_some_and(|home| home.id == gateway.id);
    let plausible = serves && event.kind == EventKind::Accepted && event.at <= now.plus(limits::CLOCK_SKEW_MAX);
    plausible.then(|| FirstAcceptance { at: event.at.min(now), key: event.key(), digest: event.envelope_digest })
}

/// Whether the trust that an accepted envelope stood on has been withdrawn since. What merely grew old is not withdrawn: a certificate that
/// expired, or a revocation list that is stale now, said nothing against the signature when it was accepted.
pub(crate) fn trust_withdrawn(
    engine: &Core,
    snapshot: &Snapshot,
    signed: &bytes::Bytes,
    now: Timestamp,
) -> Option<Refusal> {
    let hop = gateway_model::agency::Hop::Gateway(engine.gateway.clone());
    let raw = RawEnvelope { signed: signed.clone() };
    let refusal = gateway_verify::verify(&raw, snapshot, &hop, VerifyTime { now, at: now }).err()?;
    let withdrawn = matches!(
        refusal.reason,
        Reason::CertificateRevoked
            | Reason::CertificateUntrusted
            | Reason::SignerNotRegistered
            | Reason::SignerRoleNotAllowed
    );
    withdrawn.then_some(refusal)
}

/// Reads an envelope that was verified when it was kept.
pub(crate) fn read_kept(signed: &bytes::Bytes) -> Result<std::sync::Arc<gateway_model::envelope::Envelope>, Refusal> {
    let wire = v1::SignedEnvelope::decode(signed.clone()).map_err(|_| Refusal::new(Reason::EnvelopeMalformed))?;
    WellFormed::check(&wire.envelope).map(|well_formed| well_formed.envelope().clone())
}

/// The id that a refused envelope claims, when it can be read: for the operators' list of refusals only.
pub(crate) fn claimed_id(submission: &Submission) -> Option<String> {
    gateway_model::id::EnvelopeId::parse(&claimed(submission)?.id).ok().map(|id| id.to_string())
}

/// The sender that a refused envelope claims, as written.
pub(crate) fn claimed_sender(submission: &Submission) -> Option<String> {
    claimed(submission).map(|envelope| envelope.from)
}

fn claimed(submission: &Submission) -> Option<v1::Envelope> {
    if submission.signed.len() > limits::ENVELOPE_BYTES_MAX + limits::SIGNATURES_MAX * limits::SIGNATURE_BYTES_MAX {
        return None;
    }
    let wire = v1::SignedEnvelope::decode(submission.signed.clone()).ok()?;
    v1::Envelope::decode(wire.envelope.as_ref()).ok()
}
