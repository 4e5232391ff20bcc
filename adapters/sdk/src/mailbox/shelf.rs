//! What lies in a mailbox: deliveries on offer or in somebody's hands, and who waits for more. Pure: the instant now is an argument.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gateway_model::Reason;
use gateway_model::id::{AgencyId, DeliveryId};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::{NotHeld, Offered, Settling, TakeError, Taken, Token};
use crate::lease::Room;
use crate::{Delivery, Outcome, Scope};

/// Deliveries at one time, whatever room was told.
const SLOTS_MAX: usize = 4_096;
/// Ended leases that are remembered, for calls that are repeated.
const ENDED_MAX: usize = 1_024;
/// Deliveries handed out at once.
pub(super) const TAKE_MAX: usize = 64;
/// Agencies attended to at one time.
const ATTENDED_MAX: usize = 4_096;

/// All of it.
#[derive(Default)]
pub(super) struct Shelf {
    next: u64,
    slots: BTreeMap<u64, Slot>,
    by_id: HashMap<DeliveryId, u64>,
    under_way: HashMap<AgencyId, usize>,
    waits: BTreeMap<u64, Wait>,
    attended: HashMap<AgencyId, Attention>,
    ended: VecDeque<(DeliveryId, Token, Settling)>,
    pub(super) last_visit: Option<Instant>,
    pub(super) shut: bool,
    pub(super) closed: bool,
}

/// One delivery.
struct Slot {
    delivery: Delivery,
    agency: AgencyId,
    since: Instant,
    stand: Stand,
    /// When the engine's lease ends for good.
    end: Option<Instant>,
    woken: Arc<Notify>,
}

enum Stand {
    Offered { until: Instant },
    Held { taker: Arc<str>, token: Token, until: Instant },
    Ended(Outcome),
}

/// A taker that waits.
struct Wait {
    agencies: Option<Vec<AgencyId>>,
    credits: usize,
}

/// A poller that comes again until then.
struct Attention {
    max: usize,
    until: Instant,
}

/// What the hand-over of a delivery has to do next.
pub(super) enum Look {
    Ended(Outcome),
    Waits { until: Instant },
}

impl Shelf {
    /// Lays a delivery on the shelf; an older hand-over of the same id ends. `None` when there is no room at all.
    pub(super) fn enter(
        &mut self,
        delivery: &Delivery,
        now: Instant,
        shelf_time: Duration,
    ) -> Option<(u64, Arc<Notify>)> {
        let (id, recipient) = (delivery.ids.first()?, delivery.recipients.first()?);
        if self.closed || self.slots.len() >= SLOTS_MAX {
            return None;
        }
        if let Some(older) = self.by_id.get(id).copied() {
            self.end(older, not_picked_up());
        }
        self.next += 1;
        let (number, agency, woken) = (self.next, recipient.serving.clone(), Arc::new(Notify::new()));
        *self.under_way.entry(agency.clone()).or_default() += 1;
        let stand = Stand::Offered { until: now + shelf_time };
        self.by_id.insert(*id, number);
        let slot = Slot { delivery: delivery.clone(), agency, since: now, stand, end: None, woken: woken.clone() };
        self.slots.insert(number, slot);
        Some((number, woken))
    }

    /// Takes a delivery away, whatever became of it.
    pub(super) fn leave(&mut self, number: u64) {
        let Some(slot) = self.slots.remove(&number) else { return };
        if let Some(id) = slot.delivery.ids.first()
            && self.by_id.get(id) == Some(&number)
        {
            self.by_id.remove(id);
        }
        if let Some(count) = self.under_way.get_mut(&slot.agency) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.under_way.remove(&slot.agency);
            }
        }
    }

    /// What the hand-over has to do next.
    pub(super) fn look(&mut self, number: u64, now: Instant) -> Look {
        let attended = &self.attended;
        let Some(slot) = self.slots.get_mut(&number) else { return Look::Ended(not_picked_up()) };
        let (until, then) = match &slot.stand {
            Stand::Ended(outcome) => return Look::Ended(outcome.clone()),
            Stand::Held { until, .. } => (*until, silent as fn() -> Outcome),
            Stand::Offered { until } => {
                let attention = attended.get(&slot.agency).map(|attention| attention.until);
                (attention.map_or(*until, |attention| attention.max(*until)), not_picked_up as fn() -> Outcome)
            }
        };
        let until = slot.end.map_or(until, |end| end.min(until));
        if until > now {
            return Look::Waits { until };
        }
        let outcome = then();
        slot.stand = Stand::Ended(outcome.clone());
        Look::Ended(outcome)
    }

    /// The engine's lease ends then for good: so does everything that stands on it.
    pub(super) fn cut(&mut self, number: u64, end: Instant) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.end = Some(end);
            if let Stand::Held { until, .. } = &mut slot.stand {
                *until = (*until).min(end);
            }
        }
    }

    /// Gives what is on offer into `taker`'s hands, the first come first.
    pub(super) fn hand_out(
        &mut self,
        taker: &str,
        agencies: Option<&[AgencyId]>,
        max: usize,
        now: Instant,
        lease: Duration,
    ) -> Vec<Taken> {
        if self.shut {
            return Vec::new();
        }
        let taker: Arc<str> = taker.into();
        let mut taken = Vec::new();
        for slot in self.slots.values_mut() {
            if taken.len() >= max.min(TAKE_MAX) {
                break;
            }
            if matches!(slot.stand, Stand::Offered { .. }) && wants(agencies, &slot.agency) {
                taken.push(slot.hand_to(&taker, now, lease));
            }
        }
        taken
    }

    /// Gives one delivery into `taker`'s hands, or once more when it has it already.
    pub(super) fn pick(&mut self, taker: &str, id: DeliveryId, now: Instant, lease: Duration) -> Option<Taken> {
        let number = *self.by_id.get(&id)?;
        let shut = self.shut;
        let slot = self.slots.get_mut(&number)?;
        match &mut slot.stand {
            Stand::Offered { .. } if !shut => Some(slot.hand_to(&taker.into(), now, lease)),
            Stand::Held { taker: holder, token, until } if **holder == *taker && *until > now => {
                *until = within(slot.end, (*until).max(now + lease));
                let (token, lease_left) = (*token, until.duration_since(now));
                slot.woken.notify_one();
                Some(Taken { delivery: slot.delivery.clone(), token, lease_left })
            }
            Stand::Offered { .. } | Stand::Held { .. } | Stand::Ended(_) => None,
        }
    }

    /// What is on offer for an agency.
    pub(super) fn offered(&self, agency: &AgencyId, now: Instant) -> Vec<Offered> {
        let on_offer = self.slots.values().filter(|slot| slot.agency == *agency && slot.is_offered());
        on_offer
            .map(|slot| Offered { delivery: slot.delivery.clone(), waited: now.duration_since(slot.since) })
            .collect()
    }

    /// The delivery under this lease.
    pub(super) fn held(
        &self,
        id: DeliveryId,
        token: Token,
        now: Instant,
    ) -> Result<(u64, &Delivery, Instant), NotHeld> {
        let slot = self.by_id.get(&id).and_then(|number| Some((*number, self.slots.get(number)?)));
        match slot {
            Some((number, slot)) if let Stand::Held { token: current, until, .. } = &slot.stand => {
                if *current == token && *until > now {
                    Ok((number, &slot.delivery, *until))
                } else {
                    Err(self.not_held(id, token))
                }
            }
            Some(_) | None => Err(self.not_held(id, token)),
        }
    }

    /// The lease holds until then.
    pub(super) fn renew(
        &mut self,
        id: DeliveryId,
        token: Token,
        now: Instant,
        end: Instant,
    ) -> Result<Duration, NotHeld> {
        let (number, _, until) = self.held(id, token, now)?;
        let end = end.max(until);
        if let Some(slot) = self.slots.get_mut(&number)
            && let Stand::Held { until, .. } = &mut slot.stand
        {
            *until = end;
            // The engine's lease holds for so long after all: what cut it before was a store that could not write for a moment.
            slot.end = slot.end.map(|cut| cut.max(end));
        }
        Ok(end.duration_since(now))
    }

    /// Ends a lease with its outcome.
    pub(super) fn answer(
        &mut self,
        id: DeliveryId,
        token: Token,
        now: Instant,
        outcome: Outcome,
    ) -> Result<Settling, NotHeld> {
        let (number, delivery, _) = self.held(id, token, now)?;
        let settling = Settling(delivery.lease.clone());
        self.end(number, outcome);
        if self.ended.len() >= ENDED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((id, token, settling.clone()));
        Ok(settling)
    }

    /// Lays what `taker` has back on the shelf.
    pub(super) fn give_back(&mut self, taker: &str, now: Instant, shelf_time: Duration) -> usize {
        let mut count = 0;
        for slot in self.slots.values_mut() {
            if matches!(&slot.stand, Stand::Held { taker: holder, until, .. } if **holder == *taker && *until > now) {
                slot.stand = Stand::Offered { until: now + shelf_time };
                slot.woken.notify_one();
                count += 1;
            }
        }
        count
    }

    /// Lays one delivery back on the shelf.
    pub(super) fn put_back(&mut self, id: DeliveryId, token: Token, now: Instant, shelf_time: Duration) {
        let number = self.held(id, token, now).map(|(number, ..)| number);
        if let Some(slot) = number.ok().and_then(|number| self.slots.get_mut(&number)) {
            slot.stand = Stand::Offered { until: now + shelf_time };
            slot.woken.notify_one();
        }
    }

    /// Notes a taker that waits.
    pub(super) fn wait(&mut self, agencies: Option<&[AgencyId]>, credits: usize, max: usize) -> Result<u64, TakeError> {
        if self.waits.len() >= max {
            return Err(TakeError::Crowded);
        }
        self.next += 1;
        self.waits.insert(self.next, Wait { agencies: agencies.map(<[AgencyId]>::to_vec), credits });
        Ok(self.next)
    }

    /// It waits no more.
    pub(super) fn wait_no_more(&mut self, number: u64, now: Instant) {
        self.waits.remove(&number);
        self.last_visit = Some(now);
    }

    /// Notes a poller that comes again.
    pub(super) fn attend(&mut self, agency: &AgencyId, max: usize, now: Instant, until: Instant) {
        self.last_visit = Some(now);
        self.attended.retain(|_, attention| attention.until > now);
        if self.attended.len() < ATTENDED_MAX || self.attended.contains_key(agency) {
            self.attended.insert(agency.clone(), Attention { max, until });
        }
    }

    /// Nothing more is taken: what is on offer goes back, what is held is given up.
    pub(super) fn close(&mut self) {
        self.closed = true;
        let numbers: Vec<u64> = self.slots.keys().copied().collect();
        for number in numbers {
            let outcome = match self.slots.get(&number).map(|slot| &slot.stand) {
                Some(Stand::Offered { .. }) => not_picked_up(),
                Some(Stand::Held { .. }) => deferred(Reason::Draining, "the gateway stopped while the worker had it"),
                Some(Stand::Ended(_)) | None => continue,
            };
            self.end(number, outcome);
        }
    }

    /// Deliveries in somebody's hands.
    pub(super) fn in_hands(&self) -> usize {
        self.slots.values().filter(|slot| matches!(slot.stand, Stand::Held { .. })).count()
    }

    /// Deliveries in the hands of one taker.
    pub(super) fn in_hands_of(&self, taker: &str) -> usize {
        let holds = |slot: &&Slot| matches!(&slot.stand, Stand::Held { taker: holder, .. } if **holder == *taker);
        self.slots.values().filter(holds).count()
    }

    /// Whether anybody waits for deliveries or will come again.
    pub(super) fn is_visited(&self, now: Instant) -> bool {
        !self.waits.is_empty() || self.attended.values().any(|attention| attention.until > now)
    }

    /// How many deliveries of an agency there may be.
    pub(super) fn room(&self, agency: &AgencyId, now: Instant) -> Room {
        let under_way = self.under_way.get(agency).copied().unwrap_or(0);
        if self.shut || self.closed {
            return Room::Of(under_way);
        }
        let waits = self.waits.values().filter(|wait| wants(wait.agencies.as_deref(), agency));
        let credits: usize = waits.map(|wait| wait.credits).sum();
        let attended = self.attended.get(agency).filter(|attention| attention.until > now);
        let free = attended.map_or(0, |attention| attention.max.saturating_sub(self.offered_count(agency)));
        Room::Of(under_way.saturating_add(credits).saturating_add(free))
    }

    /// How many deliveries there may be in all.
    pub(super) fn room_together(&self, now: Instant) -> Room {
        let under_way = self.slots.len();
        if self.shut || self.closed {
            return Room::Of(under_way);
        }
        let credits: usize = self.waits.values().map(|wait| wait.credits).sum();
        let attended = self.attended.iter().filter(|(_, attention)| attention.until > now);
        let free: usize =
            attended.map(|(agency, attention)| attention.max.saturating_sub(self.offered_count(agency))).sum();
        Room::Of(under_way.saturating_add(credits).saturating_add(free).min(SLOTS_MAX))
    }

    fn offered_count(&self, agency: &AgencyId) -> usize {
        self.slots.values().filter(|slot| slot.agency == *agency && slot.is_offered()).count()
    }

    fn end(&mut self, number: u64, outcome: Outcome) {
        if let Some(slot) = self.slots.get_mut(&number) {
            slot.stand = Stand::Ended(outcome);
            slot.woken.notify_one();
        }
    }

    fn not_held(&self, id: DeliveryId, token: Token) -> NotHeld {
        let ended = self.ended.iter().rev().find(|(ended, with, _)| *ended == id && *with == token);
        ended.map_or(NotHeld::Lost, |(_, _, settling)| NotHeld::Ended(settling.clone()))
    }
}

impl Slot {
    fn hand_to(&mut self, taker: &Arc<str>, now: Instant, lease: Duration) -> Taken {
        let (token, until) = (Token(Uuid::new_v4()), within(self.end, now + lease));
        self.stand = Stand::Held { taker: taker.clone(), token, until };
        self.woken.notify_one();
        Taken { delivery: self.delivery.clone(), token, lease_left: until.saturating_duration_since(now) }
    }

    fn is_offered(&self) -> bool {
        matches!(self.stand, Stand::Offered { .. })
    }
}

/// No lease outlives that of the engine.
fn within(end: Option<Instant>, until: Instant) -> Instant {
    end.map_or(until, |end| end.min(until))
}

fn wants(agencies: Option<&[AgencyId]>, agency: &AgencyId) -> bool {
    agencies.is_none_or(|agencies| agencies.contains(agency))
}

/// Nobody took it: no attempt was made.
pub(super) fn not_picked_up() -> Outcome {
    deferred(Reason::NotPickedUp, "nobody took it from the queue")
}

fn silent() -> Outcome {
    deferred(Reason::WorkerSilent, "the lease ran out")
}

fn deferred(reason: Reason, detail: &str) -> Outcome {
    Outcome::Deferred { reason, detail: detail.to_owned(), retry_after: None, scope: Scope::Delivery }
}
