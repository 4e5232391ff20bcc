//! The trace of record: what this gateway knows, and what the other gateways on the way know, as one timeline.
//!
//! A gateway tells another one only about envelopes that passed between the two, and asks further on for the same envelopes. What comes back are
//! receipts; each proves itself by its gateway's own key, and what does not is left out and said so. A gateway that does not answer is named:
//! what is known of its part are the receipts that it had sent before.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use gateway_engine::lane::Place;
use gateway_engine::operate::{About, Timeline};
use gateway_evidence::{Event, Receipt};
use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use gateway_model::state::DeliveryState;
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use proto::v1;

use super::super::fit::{ANSWER_BYTES_MAX, Fitted};
use super::super::{Caller, Doors, fit};
use super::told::{Teller, entry};
use super::{asked, custody};

/// How long the others have together, when the caller does not say how long it waits.
const ASK_TIME: Duration = Duration::from_secs(5);
/// Neighbours asked at the same time.
const ASKED_AT_ONCE: usize = 8;
/// Gateways asked for one trace.
const ASKED_MAX: usize = 64;
const DETAIL_CHARS_MAX: usize = 512;

/// What an operator asks.
pub(super) async fn whole(
    doors: &Doors,
    caller: &Caller,
    request: &v1::TimelineRequest,
) -> Result<v1::TimelineResponse, Refusal> {
    let about = asked::about(caller, request)?;
    let known = Known::of(doors, &about, caller.language, |_, _| true).await?;
    let me = doors.engine.gateway();
    let mut answer = match request.only_here {
        true => known.told,
        false => {
            let question = v1::TraceRequest {
                sender: request.sender.clone(),
                envelope_id: request.envelope_id.clone(),
                file_code: request.file_code.clone(),
                document_code: request.document_code.clone(),
                asked: vec![me.to_string()],
            };
            let others = ask(doors, caller, &known.neighbours, question).await;
            join(caller, known.told, others)
        }
    };
    answer.custody = custody::of(doors, caller, request, &answer);
    Ok(answer)
}

/// What another gateway asks.
pub(in super::super) async fn part(
    doors: &Doors,
    caller: &Caller,
    from: &GatewayId,
    request: v1::TraceRequest,
) -> Result<v1::TimelineResponse, Refusal> {
    if request.asked.len() > ASKED_MAX {
        return Err(asked::malformed("asked", "at most 64 gateways"));
    }
    let named = v1::TimelineRequest {
        sender: request.sender.clone(),
        envelope_id: request.envelope_id.clone(),
        file_code: request.file_code.clone(),
        document_code: request.document_code.clone(),
        only_here: false,
    };
    let about = asked::about(caller, &named)?;
    let known = Known::of(doors, &about, caller.language, |row, rows| passed(from, row, rows)).await?;
    let shown: HashSet<(String, String)> = known.told.envelopes.iter().map(key).collect();
    let mut question = request;
    question.asked.push(doors.engine.gateway().to_string());
    let others = ask(doors, caller, &known.neighbours, question).await;
    let mut answer = join(caller, known.told, others);
    // Whoever is asked further on may know more of the file than concerns the caller.
    answer.envelopes.retain(|envelope| shown.contains(&key(envelope)));
    answer.entries.retain(|entry| event(entry).is_some_and(|event| shown.contains(&event_key(&event))));
    Ok(answer)
}

/// What this gateway knows by itself of the envelopes under a file code.
pub(crate) async fn known_here(doors: &Doors, file_code: &str) -> Result<v1::TimelineResponse, Refusal> {
    let known = Known::of(doors, &About::FileCode(file_code.to_owned()), doors.language, |_, _| true).await?;
    Ok(known.told)
}

/// What this gateway knows, and whom to ask for more.
struct Known {
    told: v1::TimelineResponse,
    neighbours: BTreeSet<GatewayId>,
}

impl Known {
    async fn of(
        doors: &Doors,
        about: &About,
        language: Language,
        shows: impl Fn(&EnvelopeRow, &[DeliveryRow]) -> bool,
    ) -> Result<Self, Refusal> {
        let mut timeline = doors.engine.operate().timeline(about).await?;
        timeline.envelopes.retain(|(row, deliveries)| shows(row, deliveries));
        if timeline.envelopes.is_empty() {
            return Err(Reason::NotFound.into());
        }
        let neighbours = timeline.envelopes.iter().flat_map(|(row, rows)| on_the_way(row, rows)).collect();
        Ok(Self { told: tell(doors, timeline, language).await, neighbours })
    }
}

async fn tell(doors: &Doors, timeline: Timeline, language: Language) -> v1::TimelineResponse {
    let teller = Teller::new(doors, language);
    let mut envelopes = Fitted::new(usize::MAX, ANSWER_BYTES_MAX / 2);
    for (row, deliveries) in &timeline.envelopes {
        let mut summary = teller.envelope(row, deliveries);
        custody::add_body(doors, row.seq, &mut summary).await;
        envelopes.push(summary, false);
    }
    let kept: HashSet<_> = timeline.envelopes.iter().map(|(row, _)| row.key.clone()).collect();
    let mut entries = Fitted::new(usize::MAX, ANSWER_BYTES_MAX - envelopes.bytes());
    for event in &timeline.entries {
        if Event::decode(&event.receipt.event).is_ok_and(|event| kept.contains(&event.key())) {
            entries.push(entry(event), fit::is_final(&event.receipt));
        }
    }
    let ((envelopes, envelopes_cut), (entries, entries_cut)) = (envelopes.finish(), entries.finish());
    let me = v1::TimelineSource {
        gateway: doors.engine.gateway().to_string(),
        answered: true,
        ..v1::TimelineSource::default()
    };
    let cut = timeline.cut || envelopes_cut || entries_cut;
    v1::TimelineResponse { envelopes, entries, cut, sources: vec![me], custody: None }
}

/// The gateways that an envelope came from or went to.
fn on_the_way(row: &EnvelopeRow, deliveries: &[DeliveryRow]) -> Vec<GatewayId> {
    let mut gateways: Vec<GatewayId> = row.header.arrived_from.iter().cloned().collect();
    for delivery in deliveries {
        if let DeliveryState::Forwarded { next } = &delivery.state {
            gateways.push(next.clone());
        }
        gateways.extend(Place::of(&delivery.lane).and_then(|place| place.destination.gateway().cloned()));
    }
    gateways
}

/// Whether an envelope passed between this gateway and another.
fn passed(other: &GatewayId, row: &EnvelopeRow, deliveries: &[DeliveryRow]) -> bool {
    row.header.hops.contains(other) || on_the_way(row, deliveries).contains(other)
}

type Answers = Vec<(GatewayId, Result<v1::TimelineResponse, v1::TimelineSource>)>;

/// Asks those who have not been asked yet, at the same time.
async fn ask(doors: &Doors, caller: &Caller, neighbours: &BTreeSet<GatewayId>, question: v1::TraceRequest) -> Answers {
    let fresh: Vec<GatewayId> = neighbours
        .iter()
        .filter(|gateway| !question.asked.iter().any(|asked| *asked == gateway.as_str()))
        .take(ASKED_MAX.saturating_sub(question.asked.len()))
        .cloned()
        .collect();
    let mut question = question;
    // Nobody is asked twice by two of us.
    question.asked.extend(fresh.iter().map(ToString::to_string));
    // Less than the caller waits: it gets what there is, and hears who did not answer.
    let time = caller.patience.map_or(ASK_TIME, |patience| patience.mul_f64(0.8)).min(ASK_TIME);
    let answers = futures::stream::iter(fresh).map(|gateway| {
        let (peers, question) = (doors.peers.clone(), question.clone());
        async move {
            let answer = match peers {
                Some(peers) => {
                    peers.trace(&gateway, question, time).await.map_err(|fault| (fault.reason, fault.detail))
                }
                None => Err((Reason::PeerUnreachable, String::new())),
            };
            let missing = |(reason, detail): (Reason, String)| v1::TimelineSource {
                gateway: gateway.to_string(),
                answered: false,
                reason: reason.code().to_owned(),
                detail: detail.chars().take(DETAIL_CHARS_MAX).collect(),
            };
            (gateway.clone(), answer.map_err(missing))
        }
    });
    answers.buffer_unordered(ASKED_AT_ONCE).collect().await
}

/// One timeline of what everybody told; each receipt once, each proven.
fn join(caller: &Caller, mut told: v1::TimelineResponse, others: Answers) -> v1::TimelineResponse {
    let mut entries: BTreeMap<(i64, i32, Vec<u8>), v1::TimelineEntry> = BTreeMap::new();
    for one in std::mem::take(&mut told.entries) {
        entries.entry(place(&one)).or_insert(one);
    }
    for (gateway, answer) in others {
        let answer = match answer {
            Ok(answer) => answer,
            // That a neighbour knows nothing of it is an answer.
            Err(source) if source.reason == Reason::NotFound.code() => {
                told.sources.push(v1::TimelineSource { answered: true, ..source });
                continue;
            }
            Err(source) => {
                told.sources.push(source);
                continue;
            }
        };
        let (proven, forged): (Vec<_>, Vec<_>) =
            answer.entries.into_iter().partition(|entry| is_proven(caller, entry.receipt.as_ref()));
        if !forged.is_empty() {
            tracing::warn!(%gateway, receipts = forged.len(), "a gateway told of receipts that do not prove themselves");
            told.sources.push(v1::TimelineSource {
                gateway: gateway.to_string(),
                answered: false,
                reason: Reason::ReceiptInvalid.code().to_owned(),
                detail: String::new(),
            });
        }
        for one in proven {
            entries.entry(place(&one)).or_insert(v1::TimelineEntry { local: false, ..one });
        }
        told.envelopes.extend(answer.envelopes);
        told.sources.extend(answer.sources);
        told.cut |= answer.cut;
    }
    let mut seen = HashSet::new();
    told.sources.retain(|source| seen.insert((source.gateway.clone(), source.answered, source.reason.clone())));
    fit_in(told, entries.into_values())
}

/// What does not fit into one answer is left out.
fn fit_in(told: v1::TimelineResponse, entries: impl Iterator<Item = v1::TimelineEntry>) -> v1::TimelineResponse {
    let mut envelopes = Fitted::new(usize::MAX, ANSWER_BYTES_MAX / 2);
    told.envelopes.into_iter().for_each(|envelope| envelopes.push(envelope, false));
    let mut kept = Fitted::new(usize::MAX, ANSWER_BYTES_MAX - envelopes.bytes());
    for one in entries {
        let is_final = one.receipt.clone().and_then(|receipt| Receipt::from_wire(receipt).ok());
        kept.push(one, is_final.is_some_and(|receipt| fit::is_final(&receipt)));
    }
    let ((envelopes, envelopes_cut), (entries, entries_cut)) = (envelopes.finish(), kept.finish());
    v1::TimelineResponse { envelopes, entries, cut: told.cut || envelopes_cut || entries_cut, ..told }
}

/// By time, then by what it says.
fn place(entry: &v1::TimelineEntry) -> (i64, i32, Vec<u8>) {
    let at = event(entry).map_or(Timestamp::MAX, |event| event.at);
    let (seconds, nanos) = at.to_parts();
    (seconds, nanos, entry.receipt.as_ref().map(|receipt| receipt.event.to_vec()).unwrap_or_default())
}

fn event(entry: &v1::TimelineEntry) -> Option<Event> {
    Event::decode(&entry.receipt.as_ref()?.event).ok()
}

fn is_proven(caller: &Caller, receipt: Option<&v1::Receipt>) -> bool {
    let Some(Ok(receipt)) = receipt.cloned().map(Receipt::from_wire) else { return false };
    let Ok(event) = Event::decode(&receipt.event) else { return false };
    let Some(gateway) = caller.directory().gateway(&event.gateway) else { return false };
    receipt.verify(gateway.id.as_str(), &gateway.log_keys).is_ok()
}

fn key(envelope: &v1::EnvelopeSummary) -> (String, String) {
    (envelope.sender.clone(), envelope.envelope_id.clone())
}

fn event_key(event: &Event) -> (String, String) {
    (event.sender.to_string(), event.envelope_id.to_string())
}
