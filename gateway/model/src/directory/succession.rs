//! Who serves when an agency has ended: its successors, followed to the first living one.

use std::collections::HashSet;

use super::Directory;
use crate::agency::Agency;
use crate::id::AgencyId;
use crate::time::Timestamp;

/// Who serves in the place of an agency at an instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Serving {
    /// The agency itself.
    Itself,
    /// The agency has ended; this one has taken over.
    Successor(AgencyId),
    /// The agency has ended and nobody living has taken over.
    Ended,
    /// The directory does not know it, or it does not exist yet.
    Unknown,
}

impl Directory {
    /// Who serves for `agency` at `at`. Successors are followed as far as they go; of several, the first in the order of the directory
    /// that lives, or has a living successor of its own, serves.
    pub fn serving(&self, agency: &AgencyId, at: Timestamp) -> Serving {
        let Some(agency) = self.agency(agency) else { return Serving::Unknown };
        if agency.is_alive(at) {
            return Serving::Itself;
        }
        if !has_ended(agency, at) {
            return Serving::Unknown;
        }
        self.heir(agency, at).map_or(Serving::Ended, |heir| Serving::Successor(heir.id.clone()))
    }

    /// Depth first, in the order of the directory; nobody is asked twice, so that circles end.
    fn heir(&self, ended: &Agency, at: Timestamp) -> Option<&Agency> {
        let mut asked = HashSet::from([ended.id.clone()]);
        let mut to_ask: Vec<&AgencyId> = Vec::new();
        to_ask.extend(self.agency(&ended.id)?.succeeded_by.iter().rev());
        while let Some(id) = to_ask.pop() {
            let Some(heir) = self.agency(id) else { continue };
            if !asked.insert(heir.id.clone()) {
                continue;
            }
            if heir.is_alive(at) {
                return Some(heir);
            }
            if has_ended(heir, at) {
                to_ask.extend(heir.succeeded_by.iter().rev());
            }
        }
        None
    }
}

fn has_ended(agency: &Agency, at: Timestamp) -> bool {
    agency.validity.until.is_some_and(|until| until <= at)
}
