//! What a person sees and moves. Every action is a leaf of the evidence log: who, what, why.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::{Absence, Health};
use gateway_evidence::{ActKind, Event, EventKind, Receipt};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId, OperatorId};
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Reason, Refusal, Timestamp, limits};
use gateway_store::Pressure;
use gateway_store::backlog::LaneLoad;
use gateway_store::change::Change;
use gateway_store::claim::{Lane, ReturnWhat};
use gateway_store::mark::Mark;
use gateway_store::query::{Counts, Page, Query};
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EventRow};

use crate::Core;
use crate::gate::ClosedGate;
use crate::incident::Incident;
use crate::lane::{Destination, Party, Place};
use crate::pause::{Pausable, Pause};
use crate::pick_up;
use crate::refusals::RefusalRecord;
use crate::steps::store::store_refusal;
use crate::stuck::{Board, GroupKey};
use crate::sweep::way_now;

/// Events shown in one timeline.
pub const TIMELINE_EVENTS_MAX: usize = 4_096;
/// Envelopes shown in one timeline.
pub const TIMELINE_ENVELOPES_MAX: usize = 256;

/// Pages of deliveries looked through for one document.
const DOCUMENT_PAGES_MAX: usize = 20;

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
    /// Every envelope with one document number and notation.
    DocumentCode(String),
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
    /// Envelopes accepted since the start.
    pub accepted: u64,
    /// Deliveries that reached their systems since the start.
    pub delivered: u64,
    /// When the engine was put together, by the wall clock.
    pub started_at: Timestamp,
    /// Of the newest acknowledgements, 99 of 100 took at most this.
    pub acknowledge_p99: Duration,
}

/// How it goes with a party, by the wall clock.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Its gate, when it does not answer.
    pub closed: Option<ClosedGate>,
    /// Its last answer since the start.
    pub answered_at: Option<Timestamp>,
    /// Why what waits for it is not picked up.
    pub absence: Option<Absence>,
}

impl Operate {
    pub(crate) fn new(engine: Arc<Core>) -> Self {
        Self { engine }
    }

    pub(crate) fn engine(&self) -> &Core {
        &self.engine
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
            About::DocumentCode(code) => self.by_document_code(code).await?,
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

    /// The oldest first.
    async fn by_document_code(&self, code: &str) -> Result<Vec<EnvelopeRow>, Refusal> {
        let (mut found, mut after) = (Vec::<EnvelopeRow>::new(), None);
        for _ in 0..DOCUMENT_PAGES_MAX {
            let limit = usize::try_from(limits::PAGE_ROWS_MAX).unwrap_or(usize::MAX);
            let query = Query { code: Some(code.to_owned()), limit, after, ..Query::default() };
            let page = self.list(&query).await?;
            for row in page.rows {
                if found.last().is_none_or(|last| last.seq != row.envelope.seq) {
                    found.push((*row.envelope).clone());
                }
            }
            after = page.next.filter(|_| found.len() <= TIMELINE_ENVELOPES_MAX);
            if after.is_none() {
                break;
            }
        }
        found.reverse();
        Ok(found)
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
        let change = Change { expect, to, lane, ..self.change(action, &row, EventKind::Rerouted, None) };
        self.apply(&row, change).await
    }

    /// Lets nothing more go to a gateway, an adapter or an agency until it is resumed.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] without a reason in words; [`Reason::NotFound`] when there is no such destination here;
    /// [`Reason::StoreUnavailable`].
    pub async fn pause(&self, subject: &Pausable, operator: &OperatorId, note: &str) -> Result<Pause, Refusal> {
        check_note(note)?;
        self.check_subject(subject)?;
        let paused = self.engine.set_pause(subject, operator, note, ActKind::Paused).await;
        let paused = paused.map_err(|error| store_refusal(&self.engine, &error))?;
        paused.ok_or_else(|| Reason::NotFound.into())
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] without a reason in words; [`Reason::StateNotAllowed`] when it is not paused;
    /// [`Reason::StoreUnavailable`].
    pub async fn resume(&self, subject: &Pausable, operator: &OperatorId, note: &str) -> Result<(), Refusal> {
        check_note(note)?;
        if self.paused(subject).is_none() {
            return Err(Refusal::new(Reason::StateNotAllowed).at("destination").saw(subject.to_string()));
        }
        let resumed = self.engine.set_pause(subject, operator, note, ActKind::Resumed).await;
        resumed.map(drop).map_err(|error| store_refusal(&self.engine, &error))
    }

    /// The pause of a subject, when it is paused itself.
    pub fn paused(&self, subject: &Pausable) -> Option<Pause> {
        self.engine.pauses.of(subject)
    }

    /// Why nothing goes to a destination: its own pause, or that of its adapter.
    pub fn pause_before(&self, destination: &Destination) -> Option<Pause> {
        self.engine.pauses.before(&self.engine, destination).map(|(_, pause)| pause)
    }

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

    /// The receipt of one of this gateway's own leaves.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn receipt(&self, leaf_index: u64) -> Result<Option<Receipt>, Refusal> {
        self.engine.store.receipt(leaf_index).await.map_err(|error| store_refusal(&self.engine, &error))
    }

    /// Notes an act that moves nothing here: content was read, somebody signed in.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`]; the act must not go on then.
    pub async fn note(&self, kind: ActKind, operator: &OperatorId, subject: String, note: &str) -> Result<(), Refusal> {
        let leaf = self.engine.act(kind, operator, subject, note.to_owned()).encode();
        // Nothing to remember but the leaf.
        let mark = Mark { name: "act".to_owned(), value: None, leaf: Some(leaf) };
        self.engine.store.mark(mark).await.map(drop).map_err(|error| store_refusal(&self.engine, &error))
    }

    /// The same with a reason that is asked for.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] without a reason in words; [`Reason::StoreUnavailable`].
    pub async fn note_reasoned(
        &self,
        kind: ActKind,
        operator: &OperatorId,
        subject: String,
        note: &str,
    ) -> Result<(), Refusal> {
        check_note(note)?;
        self.note(kind, operator, subject, note).await
    }

    /// How much waits in each lane.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn lane_loads(&self) -> Result<Vec<LaneLoad>, Refusal> {
        self.engine.store.lane_loads().await.map_err(|error| store_refusal(&self.engine, &error))
    }

    /// What waits in a lane, the earliest wake-up first.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
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
        Contact { closed, answered_at, absence }
    }

    /// Whether an adapter's system is there, and what it says; `None` when there is no such adapter.
    pub async fn check_adapter(&self, name: &str) -> Option<(bool, String)> {
        let health = self.engine.adapters.by_name.get(name)?.check().await;
        Some(match health {
            Health::Up => (true, String::new()),
            Health::Down { cause } => (false, cause),
        })
    }

    /// Working time from now until an instant, in seconds, by the calendar of an agency; negative when it has passed.
    pub fn working_seconds_left(&self, agency: Option<&AgencyId>, now: Timestamp, until: Timestamp) -> i64 {
        let calendar = self.engine.calendar_of(agency, now);
        let seconds = |from, to| i64::try_from(calendar.between(from, to).as_secs()).unwrap_or(i64::MAX);
        if until >= now { seconds(now, until) } else { -seconds(until, now) }
    }

    fn check_subject(&self, subject: &Pausable) -> Result<(), Refusal> {
        let adapters = &self.engine.adapters;
        let is_here = match subject {
            Pausable::Adapter(name) => adapters.by_name.contains_key(name),
            Pausable::Party(Party::Agency(agency)) => adapters.by_agency.contains_key(agency),
            Pausable::Party(Party::Gateway(gateway)) => {
                let snapshot = self.engine.trust.current();
                snapshot.is_some_and(|snapshot| snapshot.directory().are_neighbours(&self.engine.gateway, gateway))
            }
        };
        let missing = || Refusal::new(Reason::NotFound).at("destination").saw(subject.to_string());
        if is_here { Ok(()) } else { Err(missing()) }
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
            accepted: self.engine.tally.accepted(),
            delivered: self.engine.tally.delivered(),
            started_at: self.engine.started_at,
            acknowledge_p99: self.engine.tally.acknowledge_p99(),
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
        check_note(&action.note)?;
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

/// Why, in words, is never left out.
pub(crate) fn check_note(note: &str) -> Result<(), Refusal> {
    if note.trim().is_empty() || note.len() > limits::TEXT_BYTES_MAX {
        return Err(Refusal::new(Reason::RequestMalformed).at("reason").saw("a reason in words, at most 8 KiB"));
    }
    Ok(())
}
