//! Alarms that wait to be told: part of their incidents, so that what one process could not tell, the next one does. At least once.

use gateway_store::StoreError;

use super::{Book, Incident, IncidentBook};
use crate::Engine;

/// Given once at the beginning of an incident and once at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alarm {
    /// The incident as it is known now: it may have ended by the time its beginning is told.
    pub incident: Incident,
    /// Whether this is the alarm of its end.
    pub is_end: bool,
}

impl Alarm {
    /// The same for every attempt at the same alarm, so that a receiver knows a repeat.
    pub fn id(&self) -> String {
        let end = if self.is_end { "ended" } else { "began" };
        format!("{}-{}-{end}", self.incident.id, self.incident.opened_at.micros())
    }
}

impl Engine {
    /// The alarm that has waited longest for `channel`, one of [`crate::settings::Settings::alarm_channels`].
    pub fn alarm_waiting(&self, channel: &str) -> Option<Alarm> {
        self.core.book.waiting(channel)
    }

    /// An alarm has been told by `channel`, or is given up: it waits no more.
    ///
    /// # Errors
    /// [`StoreError`] when that could not be kept: after a restart it is told again.
    pub async fn alarm_told(&self, channel: &str, alarm: &Alarm) -> Result<(), StoreError> {
        match self.core.book.told(channel, alarm) {
            Some(incident) => self.core.store.mark(incident.mark()).await.map(drop),
            None => Ok(()),
        }
    }

    /// Changes whenever an alarm may have begun to wait.
    pub fn alarms_changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.core.alarms.subscribe()
    }
}

impl IncidentBook {
    /// The longest waiting alarm for a channel; none where another node opens and closes incidents.
    pub(super) fn waiting(&self, channel: &str) -> Option<Alarm> {
        let book = self.book();
        if !book.leads {
            return None;
        }
        let waits = |channels: &[String]| channels.iter().any(|waited_for| waited_for == channel);
        let alarms = book.incidents().flat_map(|incident| {
            let began = waits(&incident.begin_waits).then_some((incident.opened_at, false, incident));
            let ended = incident.closed_at.filter(|_| waits(&incident.end_waits)).map(|at| (at, true, incident));
            began.into_iter().chain(ended)
        });
        let oldest = alarms.min_by(|a, b| (a.0, a.1, &a.2.id).cmp(&(b.0, b.1, &b.2.id)));
        oldest.map(|(_, is_end, incident)| Alarm { incident: incident.clone(), is_end })
    }

    /// Takes an alarm out; gives the incident as it is to be kept, where it is this node's to keep.
    pub(super) fn told(&self, channel: &str, alarm: &Alarm) -> Option<Incident> {
        let mut book = self.book();
        if !book.leads {
            return None;
        }
        let incident = book.find(&alarm.incident)?;
        let waits = if alarm.is_end { &mut incident.end_waits } else { &mut incident.begin_waits };
        waits.retain(|waited_for| waited_for != channel);
        Some(incident.clone())
    }
}

impl Book {
    fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.open.values().map(|open| &open.incident).chain(self.ended.values())
    }

    /// The same incident, as it is now.
    fn find(&mut self, wanted: &Incident) -> Option<&mut Incident> {
        let open = self.open.values_mut().map(|open| &mut open.incident);
        let mut all = open.chain(self.ended.values_mut());
        all.find(|incident| incident.opened_at == wanted.opened_at && incident.id == wanted.id)
    }
}
