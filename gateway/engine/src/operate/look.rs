//! What is stuck, who answers, and what waits for whom.

use std::sync::Arc;

use adapters_sdk::quarantine::Quarantined;
use adapters_sdk::{Absence, Health};
use gateway_model::id::AgencyId;
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_store::backlog::LaneLoad;
use gateway_store::claim::Lane;
use gateway_store::rows::DeliverySummary;

use super::Operate;
use crate::gate::ClosedGate;
use crate::incident::Incident;
use crate::lane::Party;
use crate::pick_up;
use crate::refusals::RefusalRecord;
use crate::steps::store::store_refusal;
use crate::stuck::{Board, GroupKey};

/// How it goes with a party, by the wall clock.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Its gate, when it does not answer.
    pub closed: Option<ClosedGate>,
    /// Its last answer since the start.
    pub answered_at: Option<Timestamp>,
    /// Why what waits for it is not picked up.
    pub absence: Option<Absence>,
    /// Deliveries that it took within the last minute.
    pub taken_per_minute: u64,
}

impl Operate {
    /// What needs a person now: the last look.
    pub fn stuck(&self) -> Arc<Board> {
        self.engine.board.current()
    }

    /// Since when the incident behind a group lasts.
    pub fn incident_since(&self, key: &GroupKey) -> Option<Timestamp> {
        self.engine.book.since(key)
    }

    /// Incidents: those that last first, then the newest, begun at or after `since`.
    pub fn incidents(&self, since: Option<Timestamp>, limit: usize) -> Vec<Incident> {
        self.engine.book.newest(since, limit)
    }

    /// How much waits in each lane.
    ///
    /// # Errors
    /// [`gateway_model::Reason::StoreUnavailable`].
    pub async fn lane_loads(&self) -> Result<Vec<LaneLoad>, Refusal> {
        self.engine.store.lane_loads().await.map_err(|error| store_refusal(&self.engine, &error))
    }

    /// What waits in a lane, the earliest wake-up first.
    ///
    /// # Errors
    /// [`gateway_model::Reason::StoreUnavailable`].
    pub async fn waiting_in(&self, lane: &Lane, limit: usize) -> Result<Vec<DeliverySummary>, Refusal> {
        self.engine.store.waiting_in(lane, limit).await.map_err(|error| store_refusal(&self.engine, &error))
    }

    /// How it goes with a party. Instants are those of the wall clock.
    pub fn contact(&self, party: &Party) -> Contact {
        let (steady, now) = (self.engine.clock.steady(), self.engine.clock.now());
        let past = |at: Timestamp| now.minus(steady.since(at));
        let to_come = |at: Timestamp| if at <= steady { now } else { now.plus(at.since(steady)) };
        let gates = self.engine.gates();
        let closed = gates.closed().into_iter().find(|gate| gate.party == *party);
        let answered_at = gates.answered(party).map(past);
        drop(gates);
        let closed =
            closed.map(|gate| ClosedGate { since: past(gate.since), next_probe: to_come(gate.next_probe), ..gate });
        let absence = match party {
            Party::Agency(agency) => self.absence(agency),
            Party::Gateway(_) => None,
        };
        let taken_per_minute = self.engine.pace.taken_per_minute(party, steady);
        Contact { closed, answered_at, absence, taken_per_minute }
    }

    /// Whether an adapter's system is there, and what it says; `None` when there is no such adapter.
    pub async fn check_adapter(&self, name: &str) -> Option<(bool, String)> {
        let health = self.engine.adapters.by_name.get(name)?.check().await;
        Some(match health {
            Health::Up => (true, String::new()),
            Health::Down { cause } => (false, cause),
        })
    }

    /// What an adapter could not take in: how much, and the newest of it.
    ///
    /// # Errors
    /// [`gateway_model::Reason::NotFound`] when there is no such adapter; [`gateway_model::Reason::AdapterFailed`] when its folder cannot be read.
    pub async fn quarantined(&self, name: &str, limit: usize) -> Result<(usize, Vec<Quarantined>), Refusal> {
        let adapter = self.engine.adapters.by_name.get(name).ok_or(Reason::NotFound)?;
        let Some(folder) = adapter.quarantine() else { return Ok((0, Vec::new())) };
        let looked = adapters_sdk::quarantine::look(folder, limit).await;
        looked.map_err(|error| Refusal::new(Reason::AdapterFailed).saw(error.to_string()))
    }

    /// Working time from now until an instant, in seconds, by the calendar of an agency; negative when it has passed.
    pub fn working_seconds_left(&self, agency: Option<&AgencyId>, now: Timestamp, until: Timestamp) -> i64 {
        let calendar = self.engine.calendar_of(agency, now);
        let seconds = |from, to| i64::try_from(calendar.between(from, to).as_secs()).unwrap_or(i64::MAX);
        if until >= now { seconds(now, until) } else { -seconds(until, now) }
    }

    /// The newest refusals at the doors.
    pub fn refusals(&self, limit: usize) -> Vec<RefusalRecord> {
        self.engine.refusals.newest(limit)
    }

    /// Who does not answer: why, since when, and when it is tried again (both by the steady clock).
    pub fn gates(&self) -> Vec<ClosedGate> {
        self.engine.gates().closed()
    }

    /// Why deliveries of an agency served here wait to be picked up; `None` when they do not, or are pushed.
    pub fn absence(&self, agency: &AgencyId) -> Option<Absence> {
        pick_up::absence(&self.engine, agency)
    }

    /// The same for all agencies served here, at most `limit`.
    pub fn absences(&self, limit: usize) -> Vec<(AgencyId, Absence)> {
        let agencies = self.engine.adapters.by_agency.keys();
        let absent = agencies.filter_map(|agency| Some((agency.clone(), self.absence(agency)?)));
        let mut absent: Vec<(AgencyId, Absence)> = absent.take(limit).collect();
        absent.sort_by(|a, b| (b.1.lasting, &a.0).cmp(&(a.1.lasting, &b.0)));
        absent
    }
}
