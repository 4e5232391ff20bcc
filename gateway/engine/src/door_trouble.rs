//! Senders that are turned away at the door for their trust: they wait in vain and may not know it. Forgotten when one of their envelopes is
//! accepted again, and at a restart: the next refusal tells anew.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway_model::id::AgencyId;
use gateway_model::{Cause, Reason, Timestamp};

/// Senders remembered.
const SENDERS_MAX: usize = 4_096;

/// What one sender met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trouble {
    pub(crate) reason: Reason,
    /// Refusals since `first`.
    pub(crate) count: u64,
    pub(crate) first: Timestamp,
    /// Version of the directory that was in force at the last of them.
    pub(crate) directory: u64,
}

/// Who is turned away.
#[derive(Debug, Default)]
pub(crate) struct DoorTrouble {
    senders: Mutex<BTreeMap<(AgencyId, Cause), Trouble>>,
    /// Whether anybody is: acceptances look at nothing else.
    any: AtomicBool,
}

impl DoorTrouble {
    /// A sender was refused. What is not about trust is not remembered: the caller was told what to do.
    pub(crate) fn refused(&self, sender: AgencyId, reason: Reason, at: Timestamp, directory: u64) {
        let Some(cause) = Cause::of_trust(reason) else { return };
        let mut senders = self.senders();
        if senders.len() >= SENDERS_MAX && !senders.contains_key(&(sender.clone(), cause)) {
            return;
        }
        let trouble = senders.entry((sender, cause)).or_insert(Trouble { reason, count: 0, first: at, directory });
        (trouble.reason, trouble.count, trouble.directory) = (reason, trouble.count + 1, directory);
        self.any.store(true, Ordering::Release);
    }

    /// An envelope of this sender was accepted: whatever was wrong is put right.
    pub(crate) fn accepted(&self, sender: &AgencyId) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut senders = self.senders();
        senders.retain(|(known, _), _| known != sender);
        self.any.store(!senders.is_empty(), Ordering::Release);
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<((AgencyId, Cause), Trouble)> {
        self.senders().iter().map(|(key, trouble)| (key.clone(), trouble.clone())).collect()
    }

    fn senders(&self) -> MutexGuard<'_, BTreeMap<(AgencyId, Cause), Trouble>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_in_trouble_until_an_envelope_of_its_own_is_accepted() {
        let agency = |id| AgencyId::parse(id).unwrap();
        let at = Timestamp::from_seconds;
        let doors = DoorTrouble::default();
        doors.refused(agency("a"), Reason::CertificateExpired, at(1), 1);
        doors.refused(agency("a"), Reason::CertificateExpired, at(2), 2);
        doors.refused(agency("b"), Reason::RevocationStale, at(3), 2);
        doors.refused(agency("b"), Reason::EnvelopeMalformed, at(3), 2);
        let all = doors.all();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].1, Trouble { reason: Reason::CertificateExpired, count: 2, first: at(1), directory: 2 });
        assert_eq!(all[1].0, (agency("b"), Cause::Revocation));
        doors.accepted(&agency("a"));
        doors.accepted(&agency("c"));
        assert_eq!(doors.all().len(), 1);
    }

    #[test]
    fn no_more_senders_are_remembered_than_the_bound() {
        let doors = DoorTrouble::default();
        for number in 0..SENDERS_MAX + 10 {
            let sender = AgencyId::parse(&format!("a{number}")).unwrap();
            doors.refused(sender, Reason::CertificateExpired, Timestamp::from_seconds(0), 1);
        }
        assert_eq!(doors.all().len(), SENDERS_MAX);
    }
}
