//! Moving one delivery: tried now, held, let go, given back, sent another way.

use gateway_evidence::{ActKind, Event, EventKind};
use gateway_model::id::{AgencyId, DeliveryId, GatewayId, OperatorId};
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Reason, Refusal};
use gateway_store::change::Change;
use gateway_store::claim::ReturnWhat;
use gateway_store::rows::{DeliveryRow, DeliverySummary};

use super::{Operate, check_note};
use crate::lane::{Destination, Place};
use crate::steps::store::store_refusal;
use crate::sweep::way_now;

/// What a person does to a delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    /// Who.
    pub operator: OperatorId,
    /// To which delivery.
    pub delivery: DeliveryId,
    /// Why, in words; written into the audit. At most 8 KiB.
    pub note: String,
}

impl Operate {
    /// Tries a waiting delivery now, or a forwarded one again; its destination too, when that is closed.
    ///
    /// # Errors
    /// [`Reason::StateNotAllowed`], [`Reason::NotFound`], [`Reason::RequestMalformed`], [`Reason::StoreUnavailable`].
    pub async fn retry(&self, action: &Action) -> Result<DeliveryRow, Refusal> {
        let row = self.find(action).await?;
        let lane = match Place::of(&row.delivery.lane) {
            Some(Place { destination: Destination::Awaiting(next), priority, sender: Some(sender), .. }) => {
                Some(Destination::Gateway(next).lane(priority, &sender))
            }
            _ => None,
        };
        let to = DeliveryState::Waiting { due: self.engine.clock.steady(), reason: row.delivery.state.reason() };
        let expect = vec![DeliveryStatus::Waiting, DeliveryStatus::Forwarded];
        let change = Change { expect, to, lane, ..self.change(action, &row, EventKind::Retried, None).await? };
        self.try_destination(&row);
        self.apply(&row, change).await
    }

    /// Stops a waiting delivery until it is released.
    ///
    /// # Errors
    /// As [`Operate::retry`].
    pub async fn hold(&self, action: &Action) -> Result<DeliveryRow, Refusal> {
        let row = self.find(action).await?;
        let reason = Reason::HeldByOperator;
        let (expect, to) = (vec![DeliveryStatus::Waiting], DeliveryState::Held { reason });
        let change = Change { expect, to, ..self.change(action, &row, EventKind::Held, Some(reason)).await? };
        self.apply(&row, change).await
    }

    /// Lets a held delivery go on, by the way that the directory knows now.
    ///
    /// # Errors
    /// As [`Operate::retry`]; [`Reason::RouteMissing`] when there is no way: it would be held again at once.
    pub async fn release(&self, action: &Action) -> Result<DeliveryRow, Refusal> {
        let row = self.find(action).await?;
        let snapshot = self.engine.trust.usable(self.engine.clock.now())?;
        let (serving, to) = way_now(&self.engine, snapshot.directory(), &row).ok_or(Reason::RouteMissing)?;
        let envelope = &row.envelope;
        let lane = Some(to.lane(envelope.header.priority, &envelope.key.sender));
        // Whoever releases what was held for its trust has looked at it: the walk does not hold it for the same again.
        let reason = row.delivery.state.reason().filter(|reason| *reason == Reason::TrustChanged);
        let state = DeliveryState::Waiting { due: self.engine.clock.steady(), reason };
        let (expect, serving) = (vec![DeliveryStatus::Held], Some(serving));
        let change =
            Change { expect, to: state, lane, serving, ..self.change(action, &row, EventKind::Released, None).await? };
        self.apply(&row, change).await
    }

    /// Gives a waiting or held delivery back to its sender. Final.
    ///
    /// # Errors
    /// As [`Operate::retry`].
    pub async fn give_back(&self, action: &Action) -> Result<DeliveryRow, Refusal> {
        let row = self.find(action).await?;
        let expect = vec![DeliveryStatus::Waiting, DeliveryStatus::Held];
        let reason = Some(Reason::ReturnedByOperator);
        let change = Change {
            expect,
            to: DeliveryState::Returned,
            ..self.change(action, &row, EventKind::Returned, reason).await?
        };
        self.apply(&row, change).await
    }

    /// Sends a waiting or held delivery by a neighbour of this gateway that the directory would not choose now.
    ///
    /// # Errors
    /// As [`Operate::retry`]; [`Reason::RouteMissing`] when `via` is no neighbour; [`Reason::RouteLoop`] when it has had the envelope.
    pub async fn reroute(&self, action: &Action, via: &GatewayId) -> Result<DeliveryRow, Refusal> {
        let row = self.find(action).await?;
        let snapshot = self.engine.trust.usable(self.engine.clock.now())?;
        let refuse = |reason: Reason| Refusal::new(reason).at("via").saw(via.to_string());
        if !snapshot.directory().are_neighbours(&self.engine.gateway, via) {
            return Err(refuse(Reason::RouteMissing));
        }
        let (header, key) = (&row.envelope.header, &row.envelope.key);
        if header.hops.contains(via) {
            return Err(refuse(Reason::RouteLoop));
        }
        let lane = Some(Destination::detour(via, header.priority, &key.sender));
        let to = DeliveryState::Waiting { due: self.engine.clock.steady(), reason: None };
        let expect = vec![DeliveryStatus::Waiting, DeliveryStatus::Held];
        let change = Change { expect, to, lane, ..self.change(action, &row, EventKind::Rerouted, None).await? };
        self.apply(&row, change).await
    }

    async fn find(&self, action: &Action) -> Result<DeliverySummary, Refusal> {
        check_note(&action.note)?;
        let row =
            self.engine.store.delivery(action.delivery).await.map_err(|error| store_refusal(&self.engine, &error))?;
        row.ok_or_else(|| Refusal::new(Reason::NotFound).at("delivery_id").saw(action.delivery.to_string()))
    }

    /// A change that the caller completes.
    async fn change(
        &self,
        action: &Action,
        row: &DeliverySummary,
        kind: EventKind,
        reason: Option<Reason>,
    ) -> Result<Change, Refusal> {
        let rests_on = self.note_address(action, kind).await?;
        let recipients: Vec<AgencyId> = vec![row.delivery.recipient.named.clone()];
        let event = self.engine.event(kind, &row.envelope, recipients);
        let (counterpart, note) = (action.operator.to_string(), action.note.clone());
        let leaf = Event { reason, counterpart, note, rests_on, ..event };
        Ok(Change {
            delivery: action.delivery,
            expect: Vec::new(),
            at: self.engine.clock.now(),
            to: row.delivery.state.clone(),
            lane: None,
            serving: None,
            leaf: leaf.encode(),
            returns: self.engine.way_back(&row.envelope, ReturnWhat::ThisLeaf),
        })
    }

    /// Notes where the operator acts from, and gives the hash of that leaf. The event of the move goes out as a receipt, and the addresses
    /// inside of a house are nobody else's business: they stand in an act, which stays here, and the event rests on it.
    async fn note_address(&self, action: &Action, kind: EventKind) -> Result<Option<Digest>, Refusal> {
        if self.address.is_none() {
            return Ok(None);
        }
        let subject = format!("delivery:{} {}", action.delivery, kind.as_str());
        self.keep_act(&self.act(ActKind::Moved, &action.operator, subject, String::new())).await.map(Some)
    }

    async fn apply(&self, row: &DeliverySummary, change: Change) -> Result<DeliveryRow, Refusal> {
        let changed = self.engine.store.change(change).await.map_err(|error| store_refusal(&self.engine, &error))?;
        self.engine.events.tell(row.envelope.seq);
        Ok(changed.delivery)
    }

    fn try_destination(&self, row: &DeliverySummary) {
        let destination = Place::of(&row.delivery.lane).map(|place| place.destination);
        let party = match destination {
            Some(Destination::Awaiting(next)) => Destination::Gateway(next).party(),
            Some(destination) => destination.party(),
            None => None,
        };
        if let Some(party) = party {
            self.engine.gates().try_now(&party, self.engine.clock.steady());
        }
    }
}
