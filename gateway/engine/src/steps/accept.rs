//! Accept: may this come in at all? Answers before any work is done on it.

use std::sync::Arc;
use std::time::Duration;

use gateway_model::agency::Hop;
use gateway_model::{Reason, Refusal, Timestamp, limits};
use gateway_store::Pressure;
use gateway_verify::{Snapshot, VerifiedEnvelope};
use tokio::sync::OwnedSemaphorePermit;

use crate::{Core, Submission};

const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_DRAINED: Duration = Duration::from_secs(10);
const RETRY_DIRECTORY: Duration = Duration::from_secs(60);

/// Let in: the trust and the time that the whole submission is judged by.
pub(crate) struct Admitted {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) now: Timestamp,
    /// Held while the submission is under way: its place and its bytes.
    _permits: [OwnedSemaphorePermit; 2],
}

/// Lets a submission in, or says why not and when to come again.
pub(crate) fn admit(engine: &Core, submission: &Submission) -> Result<Admitted, Refusal> {
    if engine.is_draining() {
        return Err(Refusal::new(Reason::Draining).retry_after(RETRY_DRAINED));
    }
    if let Pressure::Busy { reason, retry_after } = engine.store.pressure() {
        return Err(Refusal::new(reason).retry_after(retry_after));
    }
    let now = engine.clock.now();
    let snapshot = engine.trust.usable(now).map_err(|refusal| refusal.retry_after(RETRY_DIRECTORY))?;
    let permits = take_room(engine, submission)?;
    check_hop(engine, submission)?;
    Ok(Admitted { snapshot, now, _permits: permits })
}

/// Room among the submissions under way, by number and by bytes.
fn take_room(engine: &Core, submission: &Submission) -> Result<[OwnedSemaphorePermit; 2], Refusal> {
    let overloaded = |_| Refusal::new(Reason::Overloaded).retry_after(RETRY_SOON);
    let bytes = submission.signed.len() + submission.inline.iter().map(bytes::Bytes::len).sum::<usize>();
    let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let place = engine.submissions.clone().try_acquire_owned().map_err(overloaded)?;
    let room = engine.submission_kibibytes.clone().try_acquire_many_owned(kibibytes).map_err(overloaded)?;
    Ok([place, room])
}

/// The sender is known now: its quota counts whatever system brings the envelope.
pub(crate) fn admit_sender(engine: &Core, submission: &Submission, verified: &VerifiedEnvelope) -> Result<(), Refusal> {
    match submission.hop {
        Hop::System(_) => engine.quotas.take_agency(&verified.key().sender, submission.signed.len()),
        // Counted where it was first accepted.
        Hop::Gateway(_) => Ok(()),
    }
}

/// The kind of a hop, for metrics.
pub(crate) fn hop_kind(hop: &Hop) -> &'static str {
    match hop {
        Hop::System(_) => "system",
        Hop::Gateway(_) => "gateway",
    }
}

fn check_hop(engine: &Core, submission: &Submission) -> Result<(), Refusal> {
    match (&submission.hop, &submission.relay) {
        (Hop::System(system), None) => engine.quotas.take_system(system, submission.signed.len()),
        (Hop::System(_), Some(_)) => Err(Reason::HopNotAllowed.into()),
        (Hop::Gateway(_), None) => Err(Refusal::new(Reason::HopNotAllowed).at("hops")),
        (Hop::Gateway(caller), Some(relay)) => {
            if relay.hops.contains(&engine.gateway) {
                return Err(Refusal::new(Reason::RouteLoop).at("hops"));
            }
            if relay.hops.len() > limits::HOPS_MAX {
                return Err(Refusal::new(Reason::HopsTooMany).at("hops").saw(format!(
                    "{} of {}",
                    relay.hops.len(),
                    limits::HOPS_MAX
                )));
            }
            if relay.hops.last() != Some(caller) {
                return Err(Refusal::new(Reason::RequestMalformed).at("hops").saw("the caller is not the last hop"));
            }
            if relay.recipients.is_empty() {
                return Err(Refusal::new(Reason::RecipientMissing).at("recipients"));
            }
            Ok(())
        }
    }
}
