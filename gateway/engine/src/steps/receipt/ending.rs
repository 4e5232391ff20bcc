//! What an attempt led to, decided before anything is written.

use adapters_sdk::{Outcome, Scope};
use gateway_evidence::{Event, EventKind, Receipt};
use gateway_model::id::{AgencyId, GatewayId};
use gateway_model::state::DeliveryState;
use gateway_model::{Reason, Timestamp};
use gateway_store::claim::{Lane, NewReturn, ReturnWhat};
use gateway_store::settle::{Attempted, ForeignReceipt};
use gateway_verify::Snapshot;

use crate::Core;
use crate::lane::Destination;
use crate::leased;
use crate::steps::deliver::{Attempt, Load, Result};
use crate::steps::route::Instead;

/// The end of an attempt.
pub(super) struct Ending {
    pub(super) to: DeliveryState,
    pub(super) wake: Option<Timestamp>,
    pub(super) lane: Option<Lane>,
    pub(super) serving: Option<AgencyId>,
    pub(super) attempted: Attempted,
    pub(super) leaf: Option<Event>,
    pub(super) foreign: Option<ForeignReceipt>,
    pub(super) returns: Vec<NewReturn>,
}

impl Ending {
    /// Decides.
    pub(super) fn of(engine: &Core, snapshot: &Snapshot, load: &Load, attempt: Attempt) -> Self {
        let case = Case { engine, snapshot, load, counterpart: attempt.counterpart };
        match attempt.result {
            Result::Instead(instead) => case.instead(instead),
            Result::Asked(outcome) => case.asked(outcome),
        }
    }

    /// A state with its leaf, which goes back to where the envelope came from.
    fn told_back(case: &Case<'_>, to: DeliveryState, leaf: Event, attempted: Attempted) -> Self {
        let returns = case.engine.way_back(&case.load.envelope, ReturnWhat::ThisLeaf);
        Self { to, wake: None, lane: None, serving: None, attempted, leaf: Some(leaf), foreign: None, returns }
    }
}

/// What an ending is decided from.
struct Case<'a> {
    engine: &'a Core,
    snapshot: &'a Snapshot,
    load: &'a Load,
    counterpart: String,
}

impl Case<'_> {
    fn instead(&self, instead: Instead) -> Ending {
        match instead {
            Instead::Expire => {
                Ending::told_back(self, DeliveryState::Expired, self.leaf(EventKind::Expired), Attempted::No)
            }
            Instead::Hold(reason) => self.held(reason, Attempted::No),
            Instead::Reroute(to) => {
                let leaf = Event { counterpart: name(&to), ..self.leaf(EventKind::Rerouted) };
                Ending { returns: Vec::new(), ..self.moved(&to, None, leaf) }
            }
            Instead::Succeed { successor, to } => {
                let leaf = Event { counterpart: successor.to_string(), ..self.leaf(EventKind::Succeeded) };
                self.moved(&to, Some(successor), leaf)
            }
            Instead::AwaitOverdue => self.overdue(),
        }
    }

    fn asked(&self, outcome: Outcome) -> Ending {
        match (outcome, &self.load.place.destination) {
            (Outcome::Taken { receipt }, Destination::Gateway(next)) => match self.foreign(next, receipt) {
                Some((foreign, leaf_hash)) => self.forwarded(next, foreign, leaf_hash),
                None => self.waiting(Reason::ReceiptInvalid, None, Scope::Delivery),
            },
            (Outcome::Taken { .. }, _) => {
                Ending::told_back(self, DeliveryState::Delivered, self.leaf(EventKind::Delivered), Attempted::Yes)
            }
            (Outcome::Deferred { reason: Reason::NotPickedUp, .. }, destination)
                if self.waits_for_room(destination) =>
            {
                self.put_back()
            }
            (Outcome::Deferred { reason, retry_after, scope, .. }, _) => self.waiting(reason, retry_after, scope),
            // It does not have it: had it taken it before, it would have given its receipt again.
            (Outcome::Refused { reason: Reason::EnvelopeExpired, .. }, Destination::Gateway(_))
                if self.has_expired() =>
            {
                Ending::told_back(self, DeliveryState::Expired, self.leaf(EventKind::Expired), Attempted::Yes)
            }
            // The other gateway will not have it. Nothing is dropped: a person here can reroute, release or return it.
            (Outcome::Refused { reason, .. }, Destination::Gateway(_)) => self.held(reason, Attempted::Yes),
            (Outcome::Refused { reason, .. }, _) => {
                let leaf = Event { reason: Some(reason), ..self.leaf(EventKind::Refused) };
                Ending::told_back(self, DeliveryState::Refused { reason }, leaf, Attempted::Yes)
            }
        }
    }

    fn held(&self, reason: Reason, attempted: Attempted) -> Ending {
        let leaf = Event { reason: Some(reason), ..self.leaf(EventKind::Held) };
        Ending::told_back(self, DeliveryState::Held { reason }, leaf, attempted)
    }

    fn moved(&self, to: &Destination, serving: Option<AgencyId>, leaf: Event) -> Ending {
        let state = DeliveryState::Waiting { due: self.engine.clock.steady(), reason: None };
        Ending { lane: Some(self.lane(to)), serving, ..Ending::told_back(self, state, leaf, Attempted::No) }
    }

    fn forwarded(&self, next: &GatewayId, foreign: ForeignReceipt, leaf_hash: gateway_model::Digest) -> Ending {
        let engine = self.engine;
        let leaf = Event { rests_on: Some(leaf_hash), ..self.leaf(EventKind::Forwarded) };
        let overdue = engine.clock.steady().plus(engine.settings.receipt_overdue_after);
        Ending {
            to: DeliveryState::Forwarded { next: next.clone() },
            wake: Some(overdue.min(self.given_up_at())),
            lane: Some(self.lane(&Destination::Awaiting(next.clone()))),
            serving: None,
            attempted: Attempted::Yes,
            leaf: Some(leaf),
            foreign: Some(foreign),
            returns: engine.way_back(&self.load.envelope, ReturnWhat::Foreign),
        }
    }

    /// Still awaited: one alarm, and one more wake-up when it will be too late.
    fn overdue(&self) -> Ending {
        let next = self.load.place.destination.gateway();
        let envelope_id = self.load.envelope.key.id;
        tracing::error!(%envelope_id, next = ?next, "the final receipt has not come back in time");
        self.engine.metrics.receipt_overdue();
        match next {
            Some(next) => Ending {
                to: DeliveryState::Forwarded { next: next.clone() },
                wake: Some(self.given_up_at()),
                lane: None,
                serving: None,
                attempted: Attempted::No,
                leaf: None,
                foreign: None,
                returns: Vec::new(),
            },
            None => self.held(Reason::ReceiptOverdue, Attempted::No),
        }
    }

    /// Whether the adapter tells its room: then what nobody picked up is not leased again before somebody is there.
    fn waits_for_room(&self, destination: &Destination) -> bool {
        leased::taker(self.engine, destination).is_some()
    }

    /// Back in its place, as if it had never been leased.
    fn put_back(&self) -> Ending {
        let was = self.load.rows.first().map(|(row, _)| &row.state);
        let due = was.and_then(DeliveryState::due).unwrap_or_else(|| self.engine.clock.steady());
        Ending {
            to: DeliveryState::Waiting { due, reason: was.and_then(DeliveryState::reason) },
            wake: None,
            lane: None,
            serving: None,
            attempted: Attempted::No,
            leaf: None,
            foreign: None,
            returns: Vec::new(),
        }
    }

    /// Whether it breaks down whatever is to take it, again and again: others suffer from every further try. A worker that falls silent at
    /// everything is not held against one delivery: another one must have got through meanwhile.
    fn is_poison(&self, reason: Reason, scope: Scope) -> bool {
        let (settings, attempt) = (&self.engine.settings, self.load.attempt());
        let again = self.load.rows.iter().all(|(row, _)| row.state.reason() == Some(reason));
        match reason {
            Reason::AdapterPanicked => again && scope == Scope::Delivery && attempt >= settings.panics_max,
            Reason::WorkerSilent => again && attempt >= settings.silences_max && self.others_got_through(attempt),
            _ => false,
        }
    }

    /// Whether anything else was answered since the attempt before this one.
    fn others_got_through(&self, attempt: u32) -> bool {
        let waited = self.engine.settings.delivery_backoff.wait(attempt.saturating_sub(1), 1.0);
        let before = self.engine.clock.steady().minus(waited);
        let party = self.load.place.destination.party();
        party.and_then(|party| self.engine.gates().answered(&party)).is_some_and(|answered| answered >= before)
    }

    /// Waits for its next attempt: nothing is lost by trying until it expires. What breaks adapters down waits for a person.
    fn waiting(&self, reason: Reason, retry_after: Option<std::time::Duration>, scope: Scope) -> Ending {
        let (engine, attempt) = (self.engine, self.load.attempt());
        let settings = &engine.settings;
        if self.is_poison(reason, scope) {
            return self.held(reason, Attempted::Yes);
        }
        if engine.clock.now() >= self.load.envelope.header.expires_at.plus(settings.receipt_grace) {
            return self.held(Reason::ReceiptOverdue, Attempted::Yes);
        }
        let wait = settings.delivery_backoff.wait_asked(attempt, retry_after, engine.entropy.unit());
        let left = self.load.envelope.header.expires_at.since(engine.clock.now());
        // After the expiry it is only asked whether the other gateway has it.
        let due = engine.clock.steady().plus(if self.has_expired() { wait } else { wait.min(left) });
        Ending {
            to: DeliveryState::Waiting { due, reason: Some(reason) },
            wake: None,
            lane: None,
            serving: None,
            attempted: Attempted::Yes,
            leaf: None,
            foreign: None,
            returns: Vec::new(),
        }
    }

    /// The next gateway's receipt, when it proves what it has to prove.
    fn foreign(&self, next: &GatewayId, receipt: Option<Vec<u8>>) -> Option<(ForeignReceipt, gateway_model::Digest)> {
        let bytes = receipt?;
        let about = &self.load.envelope;
        let checked = Receipt::decode(&bytes).ok().and_then(|receipt| {
            let keys = &self.snapshot.directory().gateway(next)?.log_keys;
            let event = receipt.verify(next.as_str(), keys).ok()?;
            let same =
                event.kind == EventKind::Accepted && event.key() == about.key && event.envelope_digest == about.digest;
            let all = self.load.rows.iter().all(|(row, _)| event.concerns(&row.recipient.named));
            (same && all).then(|| receipt.leaf_hash())
        });
        if checked.is_none() {
            tracing::error!(envelope_id = %about.key.id, %next, "the next gateway's receipt does not verify");
        }
        checked.map(|leaf_hash| (ForeignReceipt { leaf_hash, bytes: bytes.into() }, leaf_hash))
    }

    fn leaf(&self, kind: EventKind) -> Event {
        let asked = !self.counterpart.is_empty();
        let event = self.engine.event(kind, &self.load.envelope, self.load.named());
        Event { counterpart: self.counterpart.clone(), attempt: if asked { self.load.attempt() } else { 0 }, ..event }
    }

    fn has_expired(&self) -> bool {
        self.engine.clock.now() >= self.load.envelope.header.expires_at
    }

    fn lane(&self, to: &Destination) -> Lane {
        to.lane(self.load.place.priority, &self.load.envelope.key.sender)
    }

    /// When a missing final receipt becomes a person's business.
    fn given_up_at(&self) -> Timestamp {
        let (engine, header) = (self.engine, &self.load.envelope.header);
        let left = header.expires_at.plus(engine.settings.receipt_grace).since(engine.clock.now());
        engine.clock.steady().plus(left)
    }
}

/// The name of a destination, for an event.
fn name(destination: &Destination) -> String {
    match destination {
        Destination::Agency(id) => id.to_string(),
        Destination::Gateway(id) | Destination::Awaiting(id) | Destination::Receipts(id) => id.to_string(),
        Destination::Nowhere => String::new(),
    }
}
