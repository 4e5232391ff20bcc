//! Closed gates as callers see them: what waits behind one waits for its reason and its next probe.

use std::collections::HashMap;

use adapters_sdk::Absence;
use gateway_engine::Engine;
use gateway_engine::gate::ClosedGate;
use gateway_engine::lane::{Party, Place};
use gateway_engine::operate::Operate;
use gateway_model::id::AgencyId;
use gateway_model::state::DeliveryStatus;
use gateway_model::{Reason, Timestamp};
use gateway_store::rows::DeliveryRow;
use proto::v1;

use super::wire;

/// Gates in one answer.
const GATES_MAX: usize = 500;
/// Characters of what was seen at a gate.
const DETAIL_CHARS_MAX: usize = 512;

/// The gates that are closed at one instant, and the queues that nobody takes from.
pub(super) struct Gates {
    closed: HashMap<Party, ClosedGate>,
    operate: Operate,
    steady: Timestamp,
    now: Timestamp,
}

impl Gates {
    /// Those of `engine`, now.
    pub(super) fn of(engine: &Engine) -> Self {
        let (steady, now) = (engine.clock().steady(), engine.clock().now());
        let operate = engine.operate();
        let closed = operate.gates().into_iter().map(|gate| (gate.party.clone(), gate)).collect();
        Self { closed, operate, steady, now }
    }

    /// Why a row waits and when it is tried next, when that is up to a gate and not to the row.
    pub(super) fn before(&self, row: &DeliveryRow) -> Option<(Reason, Timestamp)> {
        if row.state.status() != DeliveryStatus::Waiting {
            return None;
        }
        let party = Place::of(&row.lane)?.destination.party()?;
        let Some(gate) = self.closed.get(&party) else { return self.absent(&party, row) };
        let own_wait_is_longer = row.state.due().is_some_and(|due| due > gate.next_probe);
        if own_wait_is_longer && row.state.reason().is_some() {
            return None;
        }
        let next = row.state.due().map_or(gate.next_probe, |due| due.max(gate.next_probe));
        Some((gate.reason, self.wall(next)))
    }

    /// Why a row waits that is due and that nobody picks up: it goes on as soon as somebody does.
    fn absent(&self, party: &Party, row: &DeliveryRow) -> Option<(Reason, Timestamp)> {
        let (Party::Agency(agency), Some(due)) = (party, row.state.due()) else { return None };
        if due > self.steady {
            return None;
        }
        self.operate.absence(agency).map(|absence| (absence.reason, self.now))
    }

    /// The gates for an operator, the longest closed first.
    pub(super) fn to_wire(&self) -> Vec<v1::GateState> {
        let mut gates: Vec<&ClosedGate> = self.closed.values().collect();
        gates.sort_by(|a, b| (a.since, &a.party).cmp(&(b.since, &b.party)));
        let gates = gates.into_iter().map(|gate| self.gate(gate));
        let absences = self.operate.absences(GATES_MAX).into_iter();
        let absences = absences.filter(|(agency, _)| !self.closed.contains_key(&Party::Agency(agency.clone())));
        gates.chain(absences.map(|(agency, absence)| self.absence(agency, &absence))).take(GATES_MAX).collect()
    }

    fn absence(&self, agency: AgencyId, absence: &Absence) -> v1::GateState {
        v1::GateState {
            destination: Party::Agency(agency).to_string(),
            reason: absence.reason.code().to_owned(),
            since: Some(wire::timestamp(self.now.minus(absence.lasting))),
            next_probe_at: None,
            detail: absence.detail.chars().take(DETAIL_CHARS_MAX).collect(),
        }
    }

    fn gate(&self, gate: &ClosedGate) -> v1::GateState {
        v1::GateState {
            destination: gate.party.to_string(),
            reason: gate.reason.code().to_owned(),
            since: Some(wire::timestamp(gate.since)),
            next_probe_at: Some(wire::timestamp(self.wall(gate.next_probe))),
            detail: gate.detail.chars().take(DETAIL_CHARS_MAX).collect(),
        }
    }

    /// An instant to come of the steady clock by the wall clock: what is due is due now, never in the past.
    fn wall(&self, steady: Timestamp) -> Timestamp {
        if steady <= self.steady { self.now } else { self.now.plus(steady.since(self.steady)) }
    }
}
