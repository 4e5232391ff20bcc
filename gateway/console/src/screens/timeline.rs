//! Everything that happened to one file, document or envelope: the ladder, who holds it, what machines did, what agencies said.

use std::collections::{BTreeSet, HashSet};

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use gateway_model::language::Language;
use maud::{Markup, html};
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use super::act;
use super::filter::Key;
use super::sign_in::see;
use crate::fault::Fault;
use crate::fields::{Fields, address};
use crate::page::{Page, Section};
use crate::show::event::Told;
use crate::show::icon::{Icon, icon};
use crate::show::ladder::{self, Known, Ladder};
use crate::show::text::{code, code_or_dash, safe, visible};
use crate::show::{state, time};
use crate::visit::Visit;
use crate::words::{Word, timeline as w};

mod custody;
mod events;

const LIVE_SECONDS: u32 = 10;
/// What is told of each delivery.
const DELIVERY_WORDS: [Word; 7] =
    [w::RECIPIENT, w::GATEWAY, w::STATE, w::NEXT_HOP, w::ATTEMPTS, w::NEXT_ATTEMPT, w::SINCE];
/// What names a timeline in an address.
const NAMES: [&str; 5] = ["sender", "envelope_id", "file_code", "document_code", "only_here"];

/// `GET /timeline?file_code=…`, `?document_code=…`, or `?sender=…&envelope_id=…`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    if visit.query.only(&NAMES).is_empty() {
        return Ok(see("/search"));
    }
    let request = request(&visit.query);
    let l = visit.look.language;
    let title = title(&request, l);
    let timeline = visit.ask(visit.door().timeline(visit.request(request))).await?;
    // The neighbours only say what is above; without them the picture is drawn all the same.
    let peers = visit.door().list_peers(visit.request(v1::ListPeersRequest {})).await;
    let peers = peers.map(|answer| answer.into_inner().peers).unwrap_or_default();
    let mut told: Vec<Told> =
        timeline.entries.iter().filter_map(|entry| Told::of(entry.receipt.as_ref(), entry.local)).collect();
    told.sort_by_key(|told| told.event.at.map(|at| (at.seconds, at.nanos)));
    let here = visit.status.as_ref().map(|status| status.gateway.clone()).unwrap_or_default();
    let known =
        Known { events: &told, envelopes: &timeline.envelopes, sources: &timeline.sources, peers: &peers, here: &here };
    let download = visit.query.only(&NAMES).address("/receipts.bin");
    let page = Page::new(visible(&title)).section(Section::Search).live(LIVE_SECONDS);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (safe(&title)) } }
        (act::done(&visit))
        @if timeline.envelopes.is_empty() && told.is_empty() { p.card { (w::NOTHING_KNOWN.of(l)) } } @else {
            @if timeline.sources.iter().any(|source| !source.answered) {
                p.notice role="status" { (icon(Icon::Warning)) " " (w::SOURCES_LACKING.of(l)) }
            }
            @if let Some(custody) = &timeline.custody { (custody::summary(custody, l)) }
            (picture(&known, l))
            (statuses(&timeline, l))
            @if let Some(custody) = &timeline.custody { (custody::table(custody, l)) }
            (envelopes(&timeline, &peers, &here, &visit))
            (events::table(&told, timeline.cut, &download, l))
            (sources(&timeline.sources, l))
        }
    })))
}

/// `GET /receipts.bin?…`, with the names of a timeline: its receipts as one `GetReceiptResponse`, to be verified without a network.
pub(crate) async fn receipts<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let timeline = visit.ask(visit.door().timeline(visit.request(request(&visit.query)))).await?;
    let receipts = timeline.entries.into_iter().filter_map(|entry| entry.receipt).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"receipts.bin\""),
    ];
    Ok((headers, v1::GetReceiptResponse { receipts, cut: timeline.cut }.encode_to_vec()).into_response())
}

fn request(query: &Fields) -> v1::TimelineRequest {
    let text = |name: &str| query.first(name).to_owned();
    v1::TimelineRequest {
        sender: text("sender"),
        envelope_id: text("envelope_id"),
        file_code: text("file_code"),
        document_code: text("document_code"),
        only_here: query.first("only_here") == "1",
    }
}

fn title(request: &v1::TimelineRequest, l: Language) -> String {
    let (word, name) = if !request.file_code.is_empty() {
        (w::OF_FILE, &request.file_code)
    } else if !request.document_code.is_empty() {
        (w::OF_DOCUMENT, &request.document_code)
    } else if !request.envelope_id.is_empty() {
        (w::OF_ENVELOPE, &request.envelope_id)
    } else {
        (w::TITLE, &request.envelope_id)
    };
    format!("{} {name}", word.of(l)).trim_end().to_owned()
}

fn picture(known: &Known<'_>, l: Language) -> Markup {
    let ladder = Ladder::of(known, l);
    html! {
        @if let Some(ladder) = &ladder {
            section.card #ladder data-region="" aria-labelledby="ladder-title" {
                h2 #ladder-title { (icon(Icon::Ladder)) " " (w::LADDER.of(l)) }
                p.quiet { (w::LADDER_TEXT.of(l)) @if ladder.cut { " " (w::LADDER_CUT.of(l)) } }
                (ladder.picture(l))
                (ladder::draw::legend(l))
            }
        }
    }
}

/// What agencies said: never in the same block as what machines did.
fn statuses(timeline: &v1::TimelineResponse, l: Language) -> Markup {
    let mut seen = HashSet::new();
    let said: Vec<&v1::EnvelopeSummary> = timeline
        .envelopes
        .iter()
        .filter(|envelope| envelope.kind == "status" && seen.insert((&envelope.sender, &envelope.envelope_id)))
        .collect();
    let latest = timeline.custody.as_ref().filter(|custody| !custody.business_status.is_empty());
    html! {
        section.card.business-block #statuses data-region="" aria-labelledby="statuses-title" {
            h2 #statuses-title { (icon(Icon::Flag)) " " (w::STATUSES.of(l)) }
            p.quiet { (w::STATUSES_TEXT.of(l)) }
            @if let Some(custody) = latest {
                p { (w::STATUS_LATEST.of(l)) ": " (state::business(&custody.business_status, l)) " · " (w::SAID_BY.of(l)) " " (code_or_dash(&custody.business_status_by)) }
            }
            @if said.is_empty() && latest.is_none() { p { (w::STATUSES_NONE.of(l)) } }
            @if !said.is_empty() {
                ol.said {
                    @for envelope in said {
                        @let at = envelope.said_at.as_ref().or(envelope.made_at.as_ref()).or(envelope.accepted_at.as_ref());
                        li {
                            (time::moment(at, l)) " "
                            (state::business(&envelope.code, l)) " · " (w::SAID_BY.of(l)) " " (code(&envelope.sender))
                            @if !envelope.subject.is_empty() { " · " (safe(&envelope.subject)) }
                        }
                    }
                }
            }
        }
    }
}

/// Each envelope once, with what each gateway that told of it has to deliver.
fn envelopes<D: OperateService>(
    timeline: &v1::TimelineResponse,
    peers: &[v1::PeerState],
    here: &str,
    visit: &Visit<D>,
) -> Markup {
    let l = visit.look.language;
    let mut grouped: Vec<Vec<&v1::EnvelopeSummary>> = Vec::new();
    for envelope in &timeline.envelopes {
        let same = |group: &&mut Vec<&v1::EnvelopeSummary>| {
            group[0].envelope_id == envelope.envelope_id && group[0].sender == envelope.sender
        };
        match grouped.iter_mut().find(same) {
            Some(group) => group.push(envelope),
            None => grouped.push(vec![envelope]),
        }
    }
    html! {
        section.card #envelopes data-region="" aria-labelledby="envelopes-title" {
            h2 #envelopes-title { (w::ENVELOPES.of(l)) }
            @for told in &grouped {
                article.envelope {
                    (about(told, l))
                    @if told.iter().any(|envelope| !envelope.deliveries.is_empty()) { (deliveries(told, peers, here, visit)) }
                }
            }
        }
    }
}

/// What every gateway that told of it says alike, and the traces under which they took it in: what is tried again later has one of its own.
fn about(told: &[&v1::EnvelopeSummary], l: Language) -> Markup {
    let envelope = told[0];
    let traces: BTreeSet<&str> = told.iter().map(|one| one.trace_id.as_str()).filter(|id| !id.is_empty()).collect();
    let place = address("/timeline", &[("sender", &envelope.sender), ("envelope_id", &envelope.envelope_id)]);
    html! {
        h3 { (state::kind(&envelope.kind).of(l)) @if !envelope.subject.is_empty() { ": " (safe(&envelope.subject)) } }
        p.quiet {
            a href=(place) { (code(&envelope.envelope_id)) } " · " (w::SENDER.of(l)) " " (code(&envelope.sender))
            " · " (w::ACCEPTED_AT.of(l)) " " (time::moment(envelope.accepted_at.as_ref(), l))
            @if !envelope.code.is_empty() && envelope.kind != "status" { " · " a href=(named(envelope)) { (code(&envelope.code)) } }
            @if !envelope.step.is_empty() { " · " (w::STEP.of(l)) " " (safe(&envelope.step)) }
            @if !envelope.due_on.is_empty() { " · " (w::DUE_AT.of(l)) " " (safe(&envelope.due_on)) }
            @if !envelope.dossier_state.is_empty() { " · " (w::DOSSIER_STATE.of(l)) " " (code(&envelope.dossier_state)) }
            @for id in traces { " · " (w::TRACE_ID.of(l)) " " (code(id)) }
        }
    }
}

fn deliveries<D: OperateService>(
    told: &[&v1::EnvelopeSummary],
    peers: &[v1::PeerState],
    here: &str,
    visit: &Visit<D>,
) -> Markup {
    let l = visit.look.language;
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::DELIVERIES_CAPTION.of(l)) {
            table {
                caption.unseen { (w::DELIVERIES_CAPTION.of(l)) }
                thead { tr {
                    @for word in DELIVERY_WORDS { th scope="col" { (word.of(l)) } }
                } }
                tbody {
                    @for envelope in told {
                        @let own = envelope.gateway.is_empty() || envelope.gateway == here;
                        @for (index, delivery) in envelope.deliveries.iter().enumerate() {
                            (one_delivery(delivery, &envelope.gateway, envelope.delivery_ids.get(index).filter(|_| own), peers, visit))
                        }
                    }
                }
            }
        }
    }
}

fn one_delivery<D: OperateService>(
    delivery: &v1::DeliveryState,
    gateway: &str,
    id: Option<&String>,
    peers: &[v1::PeerState],
    visit: &Visit<D>,
) -> Markup {
    let l = visit.look.language;
    html! {
        tr id=[id.map(|id| format!("delivery-{id}"))] {
            th scope="row" { (code_or_dash(&delivery.recipient)) }
            td { (code_or_dash(gateway)) @if id.is_none() && !is_final(delivery.status()) { br; small.quiet { (w::NOT_HERE.of(l)) } } }
            td.wide {
                (state::delivery(delivery.status(), l))
                @if !delivery.reason.is_empty() { br; small { (super::search::why(delivery, l)) } }
            }
            td { (code_or_dash(&delivery.next_hop)) }
            td.number { (delivery.attempts) }
            td { (time::moment(delivery.next_attempt_at.as_ref(), l)) }
            td { (time::minute(delivery.since.as_ref(), l)) }
        }
        @if let Some(id) = id { (act::delivery_row(id, delivery.status(), peers, DELIVERY_WORDS.len(), visit)) }
    }
}

fn is_final(status: v1::DeliveryStatus) -> bool {
    match status {
        v1::DeliveryStatus::Delivered
        | v1::DeliveryStatus::Refused
        | v1::DeliveryStatus::Expired
        | v1::DeliveryStatus::Returned => true,
        v1::DeliveryStatus::Waiting
        | v1::DeliveryStatus::Forwarded
        | v1::DeliveryStatus::Held
        | v1::DeliveryStatus::Unspecified => false,
    }
}

fn named(envelope: &v1::EnvelopeSummary) -> String {
    match Key::of(&envelope.code) {
        Key::File(code) => address("/timeline", &[("file_code", &code)]),
        Key::Document(code) | Key::Either(code) => address("/timeline", &[("document_code", &code)]),
        Key::Envelope(_) | Key::Sha256(_) => address("/search", &[("q", &envelope.code)]),
    }
}

fn sources(sources: &[v1::TimelineSource], l: Language) -> Markup {
    html! {
        @if !sources.is_empty() {
            section.card #sources data-region="" aria-labelledby="sources-title" {
                h2 #sources-title { (w::SOURCES.of(l)) }
                div.scroll tabindex="0" role="region" aria-labelledby="sources-title" {
                    table {
                        caption.unseen { (w::SOURCES_CAPTION.of(l)) }
                        thead { tr { @for word in [w::GATEWAY, w::KNOWLEDGE, w::REASON] { th scope="col" { (word.of(l)) } } } }
                        tbody {
                            @for source in sources {
                                tr {
                                    th scope="row" { (code(&source.gateway)) }
                                    td {
                                        @if source.answered { (state::badge("good", Icon::Check, w::ANSWERED, l)) } @else {
                                            (state::badge("warn", Icon::Warning, w::NOT_ANSWERED, l))
                                        }
                                    }
                                    td.wide { (crate::show::event::reason(&source.reason, l)) @if !source.detail.is_empty() { br; small.quiet { (safe(&source.detail)) } } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
