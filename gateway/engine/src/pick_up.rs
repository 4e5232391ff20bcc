//! What nobody picks up: an adapter that waits to be asked may wait in vain. One alarm at the start of the incident, one notice of its end.
//!
//! Patience is counted in working time, by the calendar that the directory names for the agency today; the usual hours without one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use adapters_sdk::Absence;
use gateway_model::id::AgencyId;
use gateway_model::{Reason, Timestamp};
use gateway_store::StoreError;

use crate::Core;
use crate::lane::{Destination, Place};

/// Lanes looked at: the longest due come first.
const LANES: usize = 65_536;

/// The agencies whose deliveries are not picked up. Forgotten at a restart: the alarm is raised anew then.
#[derive(Debug, Default)]
pub(crate) struct Incidents(Mutex<BTreeMap<AgencyId, Timestamp>>);

impl Incidents {
    /// Since when the oldest delivery of an agency waits, by the steady clock, while that is an incident.
    pub(crate) fn of(&self, agency: &AgencyId) -> Option<Timestamp> {
        self.open().get(agency).copied()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<AgencyId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks which deliveries wait for too long to be picked up.
pub(crate) async fn look(engine: &Core) -> Result<(), StoreError> {
    let patience: HashMap<&AgencyId, _> = engine
        .adapters
        .by_agency
        .iter()
        .filter_map(|(agency, name)| Some((agency, engine.adapters.by_name.get(name)?.not_picked_up_after()?)))
        .collect();
    if patience.is_empty() {
        return Ok(());
    }
    let now = engine.clock.steady();
    let mut oldest: HashMap<AgencyId, Timestamp> = HashMap::new();
    for head in engine.store.due_lanes(now, LANES).await? {
        if let Some(Destination::Agency(agency)) = Place::of(&head.lane).map(|place| place.destination) {
            let due = oldest.entry(agency).or_insert(head.due);
            *due = (*due).min(head.due);
        }
    }
    for (agency, after) in patience {
        let due = oldest.get(agency).copied();
        let waiting = due.map(|due| engine.calendar_of(Some(agency), now).between(due, now)).unwrap_or_default();
        let late = due.filter(|_| waiting > after);
        let mut open = engine.incidents.open();
        let before = match late {
            Some(due) => open.insert(agency.clone(), due),
            None => open.remove(agency),
        };
        drop(open);
        engine.metrics.not_picked_up(agency.as_str(), late.is_some());
        match (before, late) {
            (None, Some(_)) => {
                tracing::error!(%agency, working_seconds = waiting.as_secs(), "deliveries are not picked up");
            }
            (Some(_), None) => tracing::info!(%agency, "deliveries are picked up again"),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    Ok(())
}

/// Why an agency's deliveries wait to be picked up.
pub(crate) fn absence(engine: &Core, agency: &AgencyId) -> Option<Absence> {
    let name = engine.adapters.by_agency.get(agency)?;
    let absence = engine.adapters.by_name.get(name)?.absence(agency);
    let Some(since) = engine.incidents.of(agency) else { return absence };
    let detail = absence.map_or_else(String::new, |absence| format!("{}: {}", absence.reason, absence.detail));
    Some(Absence { reason: Reason::NotPickedUp, detail, lasting: engine.clock.steady().since(since) })
}
