//! What a person sees and moves. Every action is a leaf of the evidence log: who, what, why.
//!
//! Here is what is kept of envelopes and how the gateway is; what is stuck and who answers is in `look.rs`, moving one delivery in
//! `moves.rs`; pauses, plans and the audit have rooms of their own.

mod look;
mod moves;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_evidence::merkle::leaf_hash;
use gateway_evidence::{Act, ActKind, Receipt};
use gateway_model::id::{EnvelopeId, EnvelopeKey, OperatorId};
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use gateway_store::Pressure;
use gateway_store::mark::Mark;
use gateway_store::query::{Counts, Page, Query};
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EventRow};

use crate::Core;
use crate::gate::ClosedGate;
use crate::pace::PerMinute;
use crate::steps::store::store_refusal;

pub use look::Contact;
pub use moves::Action;

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
    /// Where the operator acts from; `None` when nobody knows, or a plan acts.
    address: Option<SocketAddr>,
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
    /// What the last minute brought.
    pub per_minute: Option<PerMinute>,
    /// How long the disk lasts when it goes on like this; `None` when it does not fill, or nobody knows yet.
    pub disk_lasts: Option<Duration>,
}

impl Operate {
    pub(crate) fn new(engine: Arc<Core>) -> Self {
        Self { engine, address: None }
    }

    /// The same for an operator who acts from `address`: every act says so.
    #[must_use]
    pub fn acting_from(self, address: SocketAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The same for what a plan does: the act that began the plan says where from.
    pub(crate) fn of_plan(&self) -> Self {
        Self { address: None, ..self.clone() }
    }

    /// An act of an operator here and now.
    pub(crate) fn act(&self, kind: ActKind, operator: &OperatorId, subject: String, note: String) -> Act {
        let (gateway, at) = (self.engine.gateway.clone(), self.engine.clock.now());
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        Act { kind, gateway, at, operator: operator.clone(), subject, note, address }
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
        self.keep_act(&self.act(kind, operator, subject, note.to_owned())).await.map(drop)
    }

    /// Keeps an act as a leaf, and gives the leaf's hash.
    async fn keep_act(&self, act: &Act) -> Result<Digest, Refusal> {
        let leaf = act.encode();
        let hash = leaf_hash(&leaf);
        // Nothing to remember but the leaf.
        let mark = Mark { name: "act".to_owned(), value: None, leaf: Some(leaf) };
        self.engine.store.mark(mark).await.map_err(|error| store_refusal(&self.engine, &error))?;
        Ok(hash)
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
            per_minute: self.engine.pace.per_minute(),
            disk_lasts: self.engine.pace.disk_lasts(),
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
}

/// Why, in words, is never left out.
pub(crate) fn check_note(note: &str) -> Result<(), Refusal> {
    if note.trim().is_empty() || note.len() > limits::TEXT_BYTES_MAX {
        return Err(Refusal::new(Reason::RequestMalformed).at("reason").saw("a reason in words, at most 8 KiB"));
    }
    Ok(())
}
