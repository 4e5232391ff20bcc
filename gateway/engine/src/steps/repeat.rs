//! Repeat: what was accepted in time stays accepted. Whoever lost the answer gets the first receipt, however late it asks.

use std::collections::HashSet;

use gateway_model::id::{DeliveryId, EnvelopeKey};
use gateway_model::{Digest, Reason, Refusal};
use gateway_verify::Snapshot;
use prost::Message as _;
use proto::v1;

use crate::steps::accept::Admitted;
use crate::steps::store::{covering, store_refusal};
use crate::steps::{route, verify};
use crate::{Accepted, Core, Submission};

/// Answers a refusal for lateness with the receipt of the first time, when there was one; with the refusal otherwise.
pub(crate) async fn or_refuse(
    engine: &Core,
    submission: &Submission,
    admitted: &Admitted,
    refusal: Refusal,
) -> Result<Accepted, Refusal> {
    if !is_lateness(refusal.reason) {
        return Err(refusal);
    }
    kept(engine, submission, admitted).await?.ok_or(refusal)
}

/// Whether time alone can have made it so: it may have been in order when it was accepted.
fn is_lateness(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::EnvelopeExpired
            | Reason::CertificateExpired
            | Reason::RevocationStale
            | Reason::SignerRegistrationEnded
            | Reason::SenderEnded
            | Reason::RecipientEnded
            | Reason::PartMissing
    )
}

/// The same envelope, if it is kept, was in order when it came, and every recipient that is asked for has its delivery.
async fn kept(engine: &Core, submission: &Submission, admitted: &Admitted) -> Result<Option<Accepted>, Refusal> {
    let refuse = |error| store_refusal(engine, &error);
    let Some((key, digest)) = claimed(submission, &admitted.snapshot) else { return Ok(None) };
    let row = engine.store.find(&key).await.map_err(refuse)?;
    let Some(row) = row.filter(|row| row.digest == digest) else { return Ok(None) };
    let Ok(verified) = verify::verify_at(engine, submission, &admitted.snapshot, row.header.received_at) else {
        return Ok(None);
    };
    let asked = route::asked(submission, verified.recipients())?;
    let deliveries = engine.store.deliveries(row.seq).await.map_err(refuse)?;
    let ids: HashSet<DeliveryId> = deliveries.into_iter().map(|delivery| delivery.id).collect();
    if !asked.iter().all(|recipient| ids.contains(&DeliveryId::new(&key, &recipient.named))) {
        return Ok(None);
    }
    let Some(first) = engine.store.receipt(row.accepted_leaf).await.map_err(refuse)? else { return Ok(None) };
    let named: Vec<_> = asked.into_iter().map(|recipient| recipient.named.clone()).collect();
    let receipt = covering(engine, row.seq, first, &named).await?;
    Ok(Some(Accepted { key, digest, seq: row.seq, receipt, duplicate: true }))
}

/// What the envelope says it is: only to look it up, nothing is believed of it.
fn claimed(submission: &Submission, snapshot: &Snapshot) -> Option<(EnvelopeKey, Digest)> {
    let wire = v1::SignedEnvelope::decode(submission.signed.clone()).ok()?;
    let envelope = verify::read_kept(&submission.signed).ok()?;
    let key = EnvelopeKey { sender: snapshot.directory().agency_named(&envelope.from)?.id.clone(), id: envelope.id };
    Some((key, Digest::of(&wire.envelope)))
}
