//! Gates: a destination that does not answer is closed, so that what waits for it costs nothing until it is tried again.
//!
//! Pure: time and randomness are arguments. A closed gate opens for one probe when its wait is over; an answer opens it at once, and
//! another failure closes it for longer.

use std::collections::HashMap;

use gateway_model::{Reason, Timestamp};

use crate::lane::Party;
use crate::retry::Backoff;

/// A closed gate, as an operator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClosedGate {
    /// Who does not answer.
    pub party: Party,
    /// Why.
    pub reason: Reason,
    /// What was seen at the last attempt.
    pub detail: String,
    /// Since when, by the steady clock.
    pub since: Timestamp,
    /// When it is tried again, by the steady clock.
    pub next_probe: Timestamp,
    /// Attempts that failed in a row.
    pub failures: u32,
}

/// Whether work may go to a party.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passage {
    /// It may.
    Open,
    /// One piece may, to see whether the party answers again.
    Probe,
    /// Nothing may before this instant.
    Closed(Timestamp),
}

/// What an attempt taught about its party.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sign {
    /// It answered, whatever the answer.
    Answered,
    /// It did not, or asked everybody to wait.
    Down {
        /// Why.
        reason: Reason,
        /// What was seen.
        detail: String,
        /// The other side's wish.
        retry_after: Option<std::time::Duration>,
    },
    /// Nothing.
    Nothing,
}

impl Sign {
    /// This sign, or the other when this one says nothing.
    pub fn or(self, other: Self) -> Self {
        if self == Self::Nothing { other } else { self }
    }
}

/// All gates; only those that matter are kept.
#[derive(Debug)]
pub struct Gates {
    backoff: Backoff,
    closed: HashMap<Party, Gate>,
    answered: HashMap<Party, Timestamp>,
}

#[derive(Debug)]
struct Gate {
    shown: ClosedGate,
    probing: bool,
}

/// How many parties' last answers are remembered.
const ANSWERS_REMEMBERED: usize = 16_384;

impl Gates {
    /// All open.
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, closed: HashMap::new(), answered: HashMap::new() }
    }

    /// A probe goes out through the gate.
    pub fn probe(&mut self, party: &Party) {
        if let Some(gate) = self.closed.get_mut(party) {
            gate.probing = true;
        }
    }

    /// An attempt that began at `began` ended. True when a closed gate is open now.
    pub fn learn(&mut self, party: &Party, sign: Sign, began: Timestamp, now: Timestamp, unit: f64) -> bool {
        match sign {
            Sign::Answered => {
                self.remember_answer(party, now);
                self.closed.remove(party).is_some()
            }
            Sign::Nothing => {
                if let Some(gate) = self.closed.get_mut(party) {
                    gate.probing = false;
                }
                false
            }
            Sign::Down { reason, detail, retry_after } => {
                // What answered others while this attempt ran is not down: only this attempt failed.
                if self.answered.get(party).is_none_or(|answered| *answered < began) {
                    self.close(party, reason, detail, retry_after, now, unit);
                } else if let Some(gate) = self.closed.get_mut(party) {
                    gate.probing = false;
                }
                false
            }
        }
    }

    /// An operator, or a new directory, asks for a probe now.
    pub fn try_now(&mut self, party: &Party, now: Timestamp) {
        if let Some(gate) = self.closed.get_mut(party) {
            gate.shown.next_probe = now;
        }
    }

    /// The directory changed: everything is worth a probe.
    pub fn try_all_now(&mut self, now: Timestamp) {
        for gate in self.closed.values_mut() {
            gate.shown.next_probe = now;
        }
    }

    /// Whether work may go to `party` at `now`.
    pub fn passage(&self, party: &Party, now: Timestamp) -> Passage {
        match self.closed.get(party) {
            None => Passage::Open,
            Some(gate) if gate.probing => Passage::Closed(Timestamp::MAX),
            Some(gate) if gate.shown.next_probe <= now => Passage::Probe,
            Some(gate) => Passage::Closed(gate.shown.next_probe),
        }
    }

    /// The earliest instant at which a gate wants a probe.
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.closed.values().filter(|gate| !gate.probing).map(|gate| gate.shown.next_probe).min()
    }

    /// The closed gates, the longest closed first.
    pub fn closed(&self) -> Vec<ClosedGate> {
        let mut closed: Vec<ClosedGate> = self.closed.values().map(|gate| gate.shown.clone()).collect();
        closed.sort_by(|a, b| (a.since, &a.party).cmp(&(b.since, &b.party)));
        closed
    }

    /// The last answer of a party, when it is remembered.
    pub fn answered(&self, party: &Party) -> Option<Timestamp> {
        self.answered.get(party).copied()
    }

    fn close(
        &mut self,
        party: &Party,
        reason: Reason,
        detail: String,
        retry_after: Option<std::time::Duration>,
        now: Timestamp,
        unit: f64,
    ) {
        let old = self.closed.get(party);
        if old.is_some_and(|gate| !gate.probing) {
            // Attempts that were under way when it closed: one incident counts once.
            return;
        }
        let failures = old.map_or(0, |gate| gate.shown.failures).saturating_add(1);
        let since = old.map_or(now, |gate| gate.shown.since);
        let next_probe = now.plus(self.backoff.wait_asked(failures, retry_after, unit));
        let shown = ClosedGate { party: party.clone(), reason, detail, since, next_probe, failures };
        self.closed.insert(party.clone(), Gate { shown, probing: false });
    }

    fn remember_answer(&mut self, party: &Party, now: Timestamp) {
        if self.answered.len() >= ANSWERS_REMEMBERED && !self.answered.contains_key(party) {
            self.answered.clear();
        }
        self.answered.insert(party.clone(), now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gateway_model::id::GatewayId;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn down() -> Sign {
        Sign::Down { reason: Reason::PeerUnreachable, detail: "refused".to_owned(), retry_after: None }
    }

    fn gates() -> (Gates, Party) {
        let backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(3_600) };
        (Gates::new(backoff), Party::Gateway(GatewayId::parse("gw").unwrap()))
    }

    #[test]
    fn a_party_that_does_not_answer_is_probed_once_at_a_time_and_less_and_less_often() {
        let (mut gates, party) = gates();
        gates.learn(&party, down(), at(0), at(0), 1.0);
        assert_eq!(gates.passage(&party, at(1)), Passage::Closed(at(5)));
        assert_eq!(gates.passage(&party, at(5)), Passage::Probe);
        gates.probe(&party);
        assert_eq!(gates.passage(&party, at(5)), Passage::Closed(Timestamp::MAX));
        gates.learn(&party, down(), at(5), at(6), 1.0);
        assert_eq!(gates.passage(&party, at(6)), Passage::Closed(at(16)));
        assert_eq!(gates.closed()[0].since, at(0), "one incident, from its beginning");
        assert_eq!(gates.closed()[0].failures, 2);
    }

    #[test]
    fn failures_that_were_under_way_together_count_once() {
        let (mut gates, party) = gates();
        for _ in 0..50 {
            gates.learn(&party, down(), at(0), at(1), 1.0);
        }
        assert_eq!(gates.closed()[0].failures, 1);
    }

    #[test]
    fn an_answer_opens_the_gate_at_once() {
        let (mut gates, party) = gates();
        gates.learn(&party, down(), at(0), at(0), 1.0);
        assert!(gates.learn(&party, Sign::Answered, at(0), at(1), 1.0));
        assert_eq!(gates.passage(&party, at(1)), Passage::Open);
    }

    #[test]
    fn an_attempt_that_fails_while_others_are_answered_closes_nothing() {
        let (mut gates, party) = gates();
        gates.learn(&party, Sign::Answered, at(0), at(10), 1.0);
        gates.learn(&party, down(), at(5), at(50), 1.0);
        assert_eq!(gates.passage(&party, at(50)), Passage::Open);
        gates.learn(&party, down(), at(20), at(60), 1.0);
        assert_eq!(gates.passage(&party, at(60)), Passage::Closed(at(65)));
    }

    #[test]
    fn a_probe_that_taught_nothing_leaves_room_for_the_next() {
        let (mut gates, party) = gates();
        gates.learn(&party, down(), at(0), at(0), 1.0);
        gates.probe(&party);
        gates.learn(&party, Sign::Nothing, at(5), at(5), 1.0);
        assert_eq!(gates.passage(&party, at(5)), Passage::Probe);
    }

    #[test]
    fn an_operator_can_have_it_tried_now() {
        let (mut gates, party) = gates();
        gates.learn(&party, down(), at(0), at(0), 1.0);
        gates.try_now(&party, at(1));
        assert_eq!(gates.passage(&party, at(1)), Passage::Probe);
        assert_eq!(gates.next_probe(), Some(at(1)));
    }
}
