//! What a person sees and moves. Every action is a leaf of the evidence log: who, what, why.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::Absence;
use gateway_evidence::{Event, EventKind};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, OperatorId};
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Reason, Refusal, Timestamp, limits};
use gateway_store::Pressure;
use gateway_store::change::Change;
use gateway_store::claim::ReturnWhat;
use gateway_store::query::{Counts, Page, Query};
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EventRow};

use crate::Core;
use crate::gate::ClosedGate;
use crate::lane::{Destination, Place};
use crate::pick_up;
use crate::refusals::RefusalRecord;
use crate::steps::store::store_refusal;
use crate::sweep::way_now;

/// Events shown in one timeline.
pub const TIMELINE_EVENTS_MAX: usize = 4_096;
/// Envelopes shown in one timeline.
pub const TIMELINE_ENVELOPES_MAX: usize = 256;

/// The operators' side of an engine. Who may do what is decided at the door.
#[derive(Clone)]
pub struct Operate {
    engine: Arc<Core>,
}

/// Which envelopes a timeline is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// One envelope.
    Envelope(EnvelopeKey),
    /// Every envelope with this id, of any sender.
    EnvelopeId(EnvelopeId),
    /// Every envelope of one file.
    FileCode(String),
}

/// All that is known here, oldest first.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The envelopes with their deliveries.
    pub envelopes: Vec<(EnvelopeRow, Vec<DeliveryRow>)>,
    /// The events: in the order in which they became known here, envelope by envelope.
    pub entries: Vec<EventRow>,
    /// True when there are more than are shown.
    pub cut: bool,
}

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

/// How the gateway is.
#[derive(Clone, Debug)]
pub struct Status {
    /// Numbers of the store.
    pub counts: Counts,
    /// Version of the directory in force.
    pub directory_version: Option<u64>,
    /// When it expires.
    pub directory_expires_at: Option<Timestamp>,
    /// Why the door takes no more, if it does not.
    pub busy: Option<(Reason, Duration)>,
    /// Who does not answer.
    pub gates: Vec<ClosedGate>,
}

impl Operate {
    pub(crate) fn new(engine: Arc<Core>) -> Self {
        Self { engine }
    }

    /// Deliveries by filter, newest first, in pages.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn list(&self, query: &Query) -> Result<Page<DeliverySummary>, Refusal> {
        let bound = usize::try_from(limits::PAGE_ROWS_MAX).unwrap_or(usize::MAX);
        let query = Query { limit: query.limit.clamp(1, bound), ..query.clone() };
        self.engine.store.list(&query).await.map_err(|error| store_refusal(&self.engine, &error))
    }

    /// Every event of one envelope or file.
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::StoreUnavailable`].
    pub async fn timeline(&self, about: &About) -> Result<Timeline, Refusal> {
        let store = &self.engine.store;
        let refuse = |error| store_refusal(&self.engine, &error);
        let rows = match about {
            About::Envelope(key) => store.find(key).await.map_err(refuse)?.into_iter().collect(),
            About::EnvelopeId(id) => store.by_envelope_id(*id).await.map_err(refuse)?,
            About::FileCode(code) => store.by_file_code(code, TIMELINE_ENVELOPES_MAX + 1).await.map_err(refuse)?,
        };
        if rows.is_empty() {
            return Err(Reason::NotFound.into());
        }
        let mut timeline =
            Timeline { envelopes: Vec::new(), entries: Vec::new(), cut: rows.len() > TIMELINE_ENVELOPES_MAX };
        for row in rows.into_iter().take(TIMELINE_ENVELOPES_MAX) {
            let left = TIMELINE_EVENTS_MAX - timeline.entries.len();
            let mut events = store.events(row.seq, None, left + 1).await.map_err(refuse)?;
            timeline.cut |= events.len() > left;
            events.truncate(left);
            timeline.entries.append(&mut events);
            let deliveries = store.deliveries(row.seq).await.map_err(refuse)?;
            timeline.envelopes.push((row, deliveries));
        }
        Ok(timeline)
    }

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
        let change = Change { expect, to, lane, ..self.change(action, &row, EventKind::Retried, None) };
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
        let change = Change { expect, to, ..self.change(action, &row, EventKind::Held, Some(reason)) };
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
            Change { expect, to: state, lane, serving, ..self.change(action, &row, EventKind::Released, None) };
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
        let change =
            Change { expect, to: DeliveryState::Returned, ..self.change(action, &row, EventKind::Returned, reason) };
        self.apply(&row, change).await
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

    /// How the gateway is.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn status(&self) -> Result<Status, Refusal> {
        let counts = self.engine.store.counts().await.map_err(|error| store_refusal(&self.engine, &error))?;
        let snapshot = self.engine.trust.current();
        let directory = snapshot.as_ref().map(|snapshot| snapshot.directory());
        Ok(Status {
            counts,
            directory_version: directory.map(|directory| directory.version()),
            directory_expires_at: directory.map(|directory| directory.expires_at()),
            busy: self.busy(),
            gates: self.gates(),
        })
    }

    /// Why the door takes no more now, and when to come again.
    pub fn busy(&self) -> Option<(Reason, Duration)> {
        if self.engine.is_draining() {
            return Some((Reason::Draining, Duration::ZERO));
        }
        if let Err(refusal) = self.engine.trust.usable(self.engine.clock.now()) {
            return Some((refusal.reason, Duration::ZERO));
        }
        match self.engine.store.pressure() {
            Pressure::Free => None,
            Pressure::Busy { reason, retry_after } => Some((reason, retry_after)),
        }
    }

    async fn find(&self, action: &Action) -> Result<DeliverySummary, Refusal> {
        if action.note.trim().is_empty() || action.note.len() > limits::TEXT_BYTES_MAX {
            return Err(Refusal::new(Reason::RequestMalformed).at("reason").saw("a reason in words, at most 8 KiB"));
        }
        let row =
            self.engine.store.delivery(action.delivery).await.map_err(|error| store_refusal(&self.engine, &error))?;
        row.ok_or_else(|| Refusal::new(Reason::NotFound).at("delivery_id").saw(action.delivery.to_string()))
    }

    /// A change that the caller completes.
    fn change(&self, action: &Action, row: &DeliverySummary, kind: EventKind, reason: Option<Reason>) -> Change {
        let recipients: Vec<AgencyId> = vec![row.delivery.recipient.named.clone()];
        let event = self.engine.event(kind, &row.envelope, recipients);
        let leaf = Event { reason, counterpart: action.operator.to_string(), note: action.note.clone(), ..event };
        Change {
            delivery: action.delivery,
            expect: Vec::new(),
            at: self.engine.clock.now(),
            to: row.delivery.state.clone(),
            lane: None,
            serving: None,
            leaf: leaf.encode(),
            returns: self.engine.way_back(&row.envelope, ReturnWhat::ThisLeaf),
        }
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
