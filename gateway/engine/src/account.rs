//! What a submission led to, and what a step took, for those who count and those who look.

use gateway_model::agency::Hop;
use gateway_model::{Cause, Reason, Refusal, Timestamp};

use crate::refusals::RefusalRecord;
use crate::steps::{accept, verify};
use crate::{Accepted, Core, Submission};

impl Core {
    /// Counts it, tells whoever watches, remembers a refusal.
    pub(crate) fn account(&self, submission: &Submission, began: Timestamp, result: &Result<Accepted, Refusal>) {
        match result {
            Ok(accepted) => {
                let took = self.clock.steady().since(began);
                self.door_trouble.accepted(&accepted.key.sender);
                self.tally.count_accepted(took);
                self.metrics.accepted(accept::hop_kind(&submission.hop), accepted.duplicate, took);
                self.events.tell(accepted.seq);
            }
            Err(refusal) => {
                tracing::info!(hop = %submission.hop, reason = %refusal.reason, field = %refusal.field, "refused a submission");
                self.metrics.refused(refusal.reason);
                self.remember_trouble(submission, refusal.reason);
                self.refusals.remember(RefusalRecord {
                    at: self.clock.now(),
                    hop: submission.hop.to_string(),
                    reason: refusal.reason,
                    field: refusal.field.clone(),
                    envelope_id: verify::claimed_id(submission),
                });
            }
        }
    }

    /// A durable step, with the time that it took.
    pub(crate) async fn durable<T>(&self, step: &'static str, taken: impl Future<Output = T>) -> T {
        let began = self.clock.steady();
        let done = taken.await;
        self.metrics.committed(step, self.clock.steady().since(began));
        done
    }

    /// A sender that a system of its own brings, and that is turned away for its trust. Of others, who claims to be the sender proves nothing.
    fn remember_trouble(&self, submission: &Submission, reason: Reason) {
        let Hop::System(system) = &submission.hop else { return };
        if Cause::of_trust(reason).is_none() {
            return;
        }
        let Some(snapshot) = self.trust.current() else { return };
        let directory = snapshot.directory();
        let Some(system) = directory.system(system) else { return };
        let now = self.clock.now();
        let claimed = verify::claimed_sender(submission);
        let claimed = claimed.and_then(|name| Some(directory.agency_named_at(&name, now)?.id.clone()));
        if let Some(sender) = claimed.filter(|sender| system.speaks_for.contains(sender)) {
            self.door_trouble.refused(sender, reason, now, directory.version());
        }
    }
}
