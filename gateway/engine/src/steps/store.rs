//! Store: the envelope, its deliveries and its ACCEPTED leaf become durable in one commit. Only then is it accepted.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use gateway_evidence::{Event, EventKind, Receipt, RevocationUsed, Verification};
use gateway_model::agency::Hop;
use gateway_model::id::{AgencyId, DeliveryId};
use gateway_model::{Digest, Reason, Refusal};
use gateway_store::accept::{Accept, Arrival, NewDelivery, NewEnvelope, PartRef};
use gateway_store::parts::{PartError, PartFault};
use gateway_store::rows::{EnvelopeSeq, EventSource};
use gateway_store::{Conflict, StoreError};
use gateway_verify::VerifiedEnvelope;

use crate::steps::accept::Admitted;
use crate::{Accepted, Core, Submission};

const RETRY_FULL: Duration = Duration::from_secs(60);
const RETRY_FAULT: Duration = Duration::from_secs(5);
/// Events of one envelope among which a receipt is looked for.
const EVENTS_LOOKED_AT: usize = 4_096;

/// Keeps the inline parts as the hop's own, and makes sure that every part that the envelope names is here.
pub(crate) async fn keep_parts(
    engine: &Core,
    submission: &Submission,
    verified: &VerifiedEnvelope,
) -> Result<(), Refusal> {
    let named: Vec<PartRef> =
        verified.envelope().parts.iter().map(|part| PartRef { digest: part.digest, size: part.size }).collect();
    keep_inline(engine, submission, &named).await?;
    if named.is_empty() {
        return Ok(());
    }
    let faults = engine.parts.check(&submission.hop, &named).await.map_err(part_refusal)?;
    let position = |digest: &Digest| named.iter().position(|part| part.digest == *digest).unwrap_or(0);
    match faults.first() {
        None => Ok(()),
        Some(PartFault::Missing(digest)) => {
            Err(Refusal::new(Reason::PartMissing).at(format!("parts[{}]", position(digest))).saw(digest.to_string()))
        }
        Some(PartFault::OtherSize { digest, actual }) => {
            let position = position(digest);
            let said = named.get(position).map_or(0, |part| part.size);
            let refusal = Refusal::new(Reason::PartSizeMismatch).at(format!("parts[{position}]"));
            Err(refusal.saw(format!("said {said} bytes, has {actual}")))
        }
    }
}

async fn keep_inline(engine: &Core, submission: &Submission, named: &[PartRef]) -> Result<(), Refusal> {
    let bytes: usize = submission.inline.iter().map(Bytes::len).sum();
    if bytes > gateway_model::limits::INLINE_BYTES_MAX {
        return Err(Refusal::new(Reason::PartTooLarge).at("inline_parts").saw(format!("{bytes} bytes inline")));
    }
    for (index, content) in submission.inline.iter().enumerate() {
        let at = |refusal: Refusal| refusal.at(format!("inline_parts[{index}]"));
        let digest = Digest::of(content);
        if !named.iter().any(|part| part.digest == digest) {
            return Err(
                at(Refusal::new(Reason::PartDigestMismatch).saw("the envelope names no part with this digest")),
            );
        }
        let part = PartRef { digest, size: content.len() as u64 };
        if engine.parts.missing(&submission.hop, &[digest]).await.map_err(part_refusal)?.is_empty() {
            continue;
        }
        let mut writer = engine.parts.begin(&submission.hop, part, 0).await.map_err(|error| at(part_refusal(error)))?;
        writer.write(content.clone()).await.map_err(|error| at(part_refusal(error)))?;
        writer.finish().await.map_err(|error| at(part_refusal(error)))?;
    }
    Ok(())
}

/// Commits.
pub(crate) async fn keep(
    engine: &Core,
    submission: &Submission,
    admitted: &Admitted,
    verified: &VerifiedEnvelope,
    deliveries: Vec<NewDelivery>,
) -> Result<Accepted, Refusal> {
    let leaf = accepted_event(engine, submission, admitted, verified, &deliveries).encode();
    let arrival = arrival(submission, admitted);
    let ids: Vec<DeliveryId> = deliveries.iter().map(|delivery| delivery.id).collect();
    let named: Vec<AgencyId> = deliveries.iter().map(|delivery| delivery.recipient.named.clone()).collect();
    let accept = Accept { envelope: NewEnvelope::new(verified, arrival), deliveries, leaf };
    let (seq, receipt, duplicate) = match engine.durable("accept", engine.store.accept(accept)).await {
        // The leaf of this very call speaks of every recipient of it.
        Ok(accepted) if !accepted.duplicate => return Ok(answer(verified, accepted.seq, accepted.receipt, false)),
        Ok(accepted) => (accepted.seq, accepted.receipt, true),
        Err(StoreError::Unknown { what }) => read_back(engine, verified, &ids, what).await?,
        Err(error) => return Err(store_refusal(engine, &error)),
    };
    let receipt = covering(engine, seq, receipt, &named).await?;
    Ok(answer(verified, seq, receipt, duplicate))
}

fn answer(verified: &VerifiedEnvelope, seq: EnvelopeSeq, receipt: Receipt, duplicate: bool) -> Accepted {
    Accepted { key: verified.key().clone(), digest: verified.digest(), seq, receipt, duplicate }
}

/// The receipt that speaks of all of `recipients`. It is the first one, unless a gateway brought the rest of a broadcast later: then a repeat
/// of that gets the receipt of that.
pub(crate) async fn covering(
    engine: &Core,
    seq: EnvelopeSeq,
    first: Receipt,
    recipients: &[AgencyId],
) -> Result<Receipt, Refusal> {
    let covers = |receipt: &Receipt| {
        let Ok(event) = Event::decode(&receipt.event) else { return false };
        let spoken_of: HashSet<&AgencyId> = event.recipients.iter().collect();
        let all = spoken_of.is_empty() || recipients.iter().all(|recipient| spoken_of.contains(recipient));
        event.kind == EventKind::Accepted && all
    };
    if covers(&first) {
        return Ok(first);
    }
    let events =
        engine.store.events(seq, None, EVENTS_LOOKED_AT).await.map_err(|error| store_refusal(engine, &error))?;
    let mut own = events.into_iter().filter(|known| known.source == EventSource::Own).map(|known| known.receipt);
    Ok(own.find(covers).unwrap_or(first))
}

/// The store cannot say whether it happened: what is kept tells. The envelope alone does not: a gateway may bring the rest of a broadcast
/// later, and then each of its recipients has to be there.
async fn read_back(
    engine: &Core,
    verified: &VerifiedEnvelope,
    ids: &[DeliveryId],
    what: String,
) -> Result<(EnvelopeSeq, Receipt, bool), Refusal> {
    let refuse = |error| store_refusal(engine, &error);
    let unknown = || store_refusal(engine, &StoreError::Unknown { what: what.clone() });
    let row = engine.store.find(verified.key()).await.map_err(refuse)?.ok_or_else(unknown)?;
    if row.digest != verified.digest() {
        return Err(Refusal::new(Reason::EnvelopeIdReused).at("id"));
    }
    let kept: HashSet<DeliveryId> =
        engine.store.deliveries(row.seq).await.map_err(refuse)?.into_iter().map(|delivery| delivery.id).collect();
    if !ids.iter().all(|id| kept.contains(id)) {
        return Err(unknown());
    }
    let receipt = engine.store.receipt(row.accepted_leaf).await.map_err(refuse)?.ok_or_else(unknown)?;
    Ok((row.seq, receipt, false))
}

fn arrival(submission: &Submission, admitted: &Admitted) -> Arrival {
    let relay = submission.relay.as_ref();
    Arrival {
        received_at: admitted.now,
        arrived_from: match &submission.hop {
            Hop::Gateway(gateway) => Some(gateway.clone()),
            Hop::System(_) => None,
        },
        hops: relay.map(|relay| relay.hops.clone()).unwrap_or_default(),
        traceparent: submission.traceparent.clone(),
        first_accepted: relay.and_then(|relay| relay.first_accepted.clone()),
    }
}

fn accepted_event(
    engine: &Core,
    submission: &Submission,
    admitted: &Admitted,
    verified: &VerifiedEnvelope,
    deliveries: &[NewDelivery],
) -> Event {
    let facts = verified.facts();
    let used = facts.revocation.iter();
    let all = deliveries.len() == verified.recipients().len();
    let recipients: Vec<AgencyId> = deliveries.iter().map(|delivery| delivery.recipient.named.clone()).collect();
    Event {
        kind: EventKind::Accepted,
        gateway: engine.gateway.clone(),
        at: admitted.now,
        sender: verified.key().sender.clone(),
        envelope_id: verified.key().id,
        envelope_digest: verified.digest(),
        recipients: if all { Vec::new() } else { recipients },
        reason: None,
        counterpart: submission.hop.to_string(),
        attempt: 0,
        rests_on: None,
        verification: Some(Verification {
            directory_version: facts.directory_version,
            signer_certificates: facts.signer_certificates.clone(),
            revocation: used
                .map(|used| RevocationUsed {
                    digest: used.digest,
                    this_update: used.this_update,
                    next_update: used.next_update,
                })
                .collect(),
        }),
        note: String::new(),
    }
}

/// What a caller is told when a step did not happen. The cause goes to the log, not to the caller.
pub(crate) fn store_refusal(engine: &Core, error: &StoreError) -> Refusal {
    match error {
        StoreError::Conflict(Conflict::OtherDigest) => return Refusal::new(Reason::EnvelopeIdReused).at("id"),
        StoreError::Conflict(Conflict::Unknown) => return Refusal::new(Reason::NotFound),
        StoreError::Conflict(Conflict::Status | Conflict::Stale) => return Refusal::new(Reason::StateNotAllowed),
        StoreError::Conflict(Conflict::TooLarge) => return Refusal::new(Reason::RequestMalformed),
        StoreError::Full => return Refusal::new(Reason::StoreFull).retry_after(RETRY_FULL),
        StoreError::Unavailable { .. } | StoreError::Unknown { .. } => tracing::warn!(%error, "the store took no step"),
        StoreError::Corrupt { .. } => tracing::error!(%error, "the store is corrupt"),
    }
    engine.metrics.store_fault();
    Refusal::new(Reason::StoreUnavailable).retry_after(RETRY_FAULT)
}

pub(crate) fn part_refusal(error: PartError) -> Refusal {
    match error {
        PartError::Offset { received } => Refusal::new(Reason::UploadOffset).saw(format!("{received} bytes are here")),
        PartError::TooLong | PartError::TooShort { .. } => {
            Refusal::new(Reason::PartSizeMismatch).saw(error.to_string())
        }
        PartError::DigestMismatch => Reason::PartDigestMismatch.into(),
        PartError::Busy => Refusal::new(Reason::Overloaded).retry_after(RETRY_FAULT),
        PartError::Unknown => Reason::PartMissing.into(),
        PartError::Full => Refusal::new(Reason::StoreFull).retry_after(RETRY_FULL),
        PartError::File { .. } | PartError::Unavailable { .. } => {
            tracing::warn!(%error, "the part store took no step");
            Refusal::new(Reason::StoreUnavailable).retry_after(RETRY_FAULT)
        }
    }
}
