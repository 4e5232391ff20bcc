//! Track, Watch and GetReceipt: where an envelope is, for the systems of its sender and of its recipients, and for nobody else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use gateway_engine::events::Notices;
use gateway_evidence::{Event, Receipt};
use gateway_model::agency::System;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::{Reason, Refusal};
use gateway_store::StoreError;
use gateway_store::rows::{DeliveryRow, EnvelopeRow, EnvelopeSeq};
use proto::v1;
use tonic::Status;

use super::fit::{ANSWER_BYTES_MAX, Fitted};
use super::gates::Gates;
use super::pipeline::Answers;
use super::{Caller, Doors, Lasting, Place, fit, wire};

/// Events of one envelope in one answer.
const RECEIPTS_MAX: usize = 1_024;
/// How many times as many are looked at for those that matter most.
const PAGES_MAX: usize = 64;
/// Events that a watcher reads at once.
const EVENTS_AT_ONCE: usize = 64;
/// A watcher reads again after this long even when nothing was told.
const READ_AGAIN: Duration = Duration::from_secs(15);

/// The same where other nodes settle too: their notices do not come here.
const READ_AGAIN_OF_NODES: Duration = Duration::from_secs(2);

/// Whose eyes look at an envelope.
#[derive(Clone)]
enum View {
    /// The sender's system: it sees everything.
    Sender,
    /// A recipient's system: it sees what is about its agencies.
    Recipient(Arc<[AgencyId]>),
}

/// What a caller may see of an envelope.
struct Seen {
    row: EnvelopeRow,
    view: View,
}

/// Tells where an envelope is.
pub(super) async fn track(
    doors: &Doors,
    caller: &Caller,
    sender: &str,
    envelope_id: &str,
) -> Result<v1::TrackResponse, Refusal> {
    let seen = find(doors, caller, sender, envelope_id).await?;
    let deliveries = deliveries(doors, &seen).await?;
    let gates = Gates::of(&doors.engine);
    Ok(v1::TrackResponse {
        envelope_sha256: bytes::Bytes::copy_from_slice(seen.row.digest.as_bytes()),
        accepted_at: Some(wire::timestamp(seen.row.header.received_at)),
        deliveries: deliveries
            .iter()
            .map(|row| wire::delivery_state(row, &gates, &doors.adapters, caller.language))
            .collect(),
    })
}

/// Gives the receipts of an envelope, oldest first; when they are too many: the first, the final and the newest.
pub(super) async fn receipts(
    doors: &Doors,
    caller: &Caller,
    sender: &str,
    envelope_id: &str,
) -> Result<v1::GetReceiptResponse, Refusal> {
    let seen = find(doors, caller, sender, envelope_id).await?;
    let mut fitted = Fitted::new(RECEIPTS_MAX, ANSWER_BYTES_MAX);
    let (mut after, mut pages_left, mut at_the_end) = (None, PAGES_MAX, false);
    while !at_the_end && pages_left > 0 {
        let events = doors.engine.store().events(seen.row.seq, after, RECEIPTS_MAX).await.map_err(unavailable)?;
        for receipt in events.iter().map(|event| &event.receipt).filter(|receipt| seen.view.shows(receipt)) {
            fitted.push(receipt.to_wire(), fit::is_final(receipt));
        }
        after = events.last().map(|event| event.position).or(after);
        at_the_end = events.len() < RECEIPTS_MAX;
        pages_left -= 1;
    }
    if !at_the_end {
        fitted.cut();
    }
    let (receipts, cut) = fitted.finish();
    Ok(v1::GetReceiptResponse { receipts, cut })
}

/// Streams the events of an envelope: those that have been, then each new one, until every delivery is final or the gateway drains.
///
/// # Cancellation
/// A caller that leaves loses nothing: the next Watch starts from the first event again.
pub(super) async fn watch(
    doors: &Doors,
    caller: &Caller,
    sender: &str,
    envelope_id: &str,
) -> Result<Answers<v1::WatchResponse>, Refusal> {
    doors.open()?;
    let place = doors.place(Lasting::Watch, &caller.party)?;
    // Subscribed before the first reading: nothing falls between.
    let notices = doors.engine.events().subscribe();
    let seen = find(doors, caller, sender, envelope_id).await?;
    let (doors, caller) = (doors.clone(), caller.clone());
    let watcher = Watcher {
        doors,
        caller,
        seen,
        notices,
        after: None,
        open: None,
        ready: VecDeque::new(),
        state: State::Reading,
        _place: place,
    };
    Ok(stream::unfold(watcher, |watcher| async move { watcher.next().await }).boxed())
}

struct Watcher {
    doors: Doors,
    caller: Caller,
    seen: Seen,
    notices: Notices,
    after: Option<u64>,
    /// A delivery that was not final at the last look. While it is not, nobody has to look at all the others.
    open: Option<DeliveryId>,
    ready: VecDeque<v1::Receipt>,
    state: State,
    _place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Waiting,
    Ended,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<v1::WatchResponse, Status>, Self)> {
        loop {
            if let Some(receipt) = self.ready.pop_front() {
                return Some((Ok(v1::WatchResponse { receipt: Some(receipt) }), self));
            }
            let step = match self.state {
                State::Reading => self.read().await,
                State::Waiting => self.wait().await,
                State::Ended => return None,
            };
            if let Err(status) = step {
                self.state = State::Ended;
                return Some((Err(status), self));
            }
        }
    }

    /// Reads what is new. Whether all is final is asked first: an event that comes between is then read, not missed.
    async fn read(&mut self) -> Result<(), Status> {
        self.caller = self.doors.again(&self.caller)?;
        let seq = self.seen.row.seq;
        let settled = self.is_settled().await.map_err(|refusal| self.caller.status(&refusal))?;
        let events = self.doors.engine.store().events(seq, self.after, EVENTS_AT_ONCE).await;
        let events = events.map_err(|error| self.caller.status(&unavailable(error)))?;
        self.state = match (events.len() < EVENTS_AT_ONCE, settled) {
            (false, _) => State::Reading,
            (true, false) => State::Waiting,
            (true, true) => State::Ended,
        };
        self.after = events.last().map(|event| event.position).or(self.after);
        let shown = events.iter().map(|event| &event.receipt).filter(|receipt| self.seen.view.shows(receipt));
        self.ready.extend(shown.map(Receipt::to_wire));
        Ok(())
    }

    async fn is_settled(&mut self) -> Result<bool, Refusal> {
        if let Some(id) = self.open {
            let found = self.doors.engine.store().delivery(id).await.map_err(unavailable)?;
            if found.is_some_and(|found| !is_final(&found.delivery)) {
                return Ok(false);
            }
        }
        let rows = deliveries(&self.doors, &self.seen).await?;
        // The last: where recipients are served in turn, it stays open the longest.
        self.open = rows.iter().rev().find(|row| !is_final(row)).map(|row| row.id);
        Ok(self.open.is_none())
    }

    async fn wait(&mut self) -> Result<(), Status> {
        let seq: EnvelopeSeq = self.seen.row.seq;
        let has_nodes = self.doors.engine.store().node().is_some();
        let again = if has_nodes { READ_AGAIN_OF_NODES } else { READ_AGAIN };
        tokio::select! {
            () = self.doors.draining.cancelled() => Err(self.caller.status(&Reason::Draining.into())),
            alive = self.notices.about(seq) => {
                self.state = State::Reading;
                if alive { Ok(()) } else { Err(self.caller.status(&Reason::Draining.into())) }
            }
            () = tokio::time::sleep(again) => {
                self.state = State::Reading;
                Ok(())
            }
        }
    }
}

impl View {
    fn shows(&self, receipt: &Receipt) -> bool {
        match self {
            Self::Sender => true,
            Self::Recipient(agencies) => {
                Event::decode(&receipt.event).is_ok_and(|event| agencies.iter().any(|agency| event.concerns(agency)))
            }
        }
    }

    fn shows_delivery(&self, row: &DeliveryRow) -> bool {
        match self {
            Self::Sender => true,
            Self::Recipient(agencies) => {
                agencies.iter().any(|agency| *agency == row.recipient.named || *agency == row.recipient.serving)
            }
        }
    }
}

/// Finds an envelope that concerns the caller's agencies. What does not concern it is not there for it.
async fn find(doors: &Doors, caller: &Caller, sender: &str, envelope_id: &str) -> Result<Seen, Refusal> {
    let not_found = || Refusal::new(Reason::NotFound).at("envelope_id");
    let gateway_model::directory::Party::System(system) = &caller.party else {
        return Err(Refusal::new(Reason::HopNotAllowed).saw(caller.party.to_string()));
    };
    let system: &System = caller.directory().system(system).ok_or(Reason::HopUnknown)?;
    let id = EnvelopeId::parse(envelope_id)
        .map_err(|error| Refusal::new(Reason::EnvelopeIdInvalid).at("envelope_id").saw(error.to_string()))?;
    let sender = caller.directory().agency_named_at(sender, doors.engine.clock().now()).ok_or_else(not_found)?;
    let key = EnvelopeKey { sender: sender.id.clone(), id };
    let row = doors.engine.store().find(&key).await.map_err(unavailable)?.ok_or_else(not_found)?;
    if system.speaks_for.contains(&key.sender) {
        return Ok(Seen { row, view: View::Sender });
    }
    let view = View::Recipient(system.speaks_for.clone().into());
    let seen = Seen { row, view };
    if deliveries(doors, &seen).await?.is_empty() { Err(not_found()) } else { Ok(seen) }
}

async fn deliveries(doors: &Doors, seen: &Seen) -> Result<Vec<DeliveryRow>, Refusal> {
    let rows = doors.engine.store().deliveries(seen.row.seq).await.map_err(unavailable)?;
    Ok(rows.into_iter().filter(|row| seen.view.shows_delivery(row)).collect())
}

fn is_final(row: &DeliveryRow) -> bool {
    row.state.status().is_final()
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::error!(%error, "the store cannot be read");
    Refusal::new(Reason::StoreUnavailable)
}
