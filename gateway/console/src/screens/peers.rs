//! Peers and adapters: up or down since when, how much waits, who is connected, and the buttons that pause and resume.

use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use super::act;
use super::trust::days_left;
use crate::fault::Fault;
use crate::page::{Page, Section};
use crate::show::icon::Icon;
use crate::show::text::{code, code_or_dash, dash, safe, safe_or_dash};
use crate::show::{event, number, state, time};
use crate::visit::Visit;
use crate::words::{Word, flow as w};

const LIVE_SECONDS: u32 = 5;

/// What is told of each destination, after its name.
const FLOW_WORDS: [Word; 6] = [w::STATE, w::BACKLOG, w::OLDEST, w::RATE, w::LAST_SUCCESS, w::NEXT_PROBE];

/// `GET /peers`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let peers = visit.ask(visit.door().list_peers(visit.request(v1::ListPeersRequest {}))).await?.peers;
    let adapters = visit.ask(visit.door().list_adapters(visit.request(v1::ListAdaptersRequest {}))).await?.adapters;
    let l = visit.look.language;
    let page = Page::new(w::TITLE.of(l)).section(Section::Peers).live(LIVE_SECONDS);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::TITLE.of(l)) } }
        (act::done(&visit))
        section.card #peers data-region="" aria-labelledby="peers-title" {
            h2 #peers-title { (w::PEERS.of(l)) }
            @if peers.is_empty() { p { (w::NO_PEERS.of(l)) } } @else { (peer_table(&peers, &visit)) }
        }
        section #adapters data-region="" aria-labelledby="adapters-title" {
            h2 #adapters-title { (w::ADAPTERS.of(l)) }
            @if adapters.is_empty() { p.card { (w::NO_ADAPTERS.of(l)) } }
            @for adapter in &adapters { (one_adapter(adapter, &visit)) }
        }
    })))
}

fn peer_table<D: OperateService>(peers: &[v1::PeerState], visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="peers-title" {
            table {
                caption.unseen { (w::PEERS_CAPTION.of(l)) }
                thead { tr {
                    @for word in [w::GATEWAY].into_iter().chain(FLOW_WORDS) { th scope="col" { (word.of(l)) } }
                } }
                tbody {
                    @for peer in peers {
                        @let destination = format!("gateway:{}", peer.gateway);
                        tr {
                            th scope="row" {
                                (code(&peer.gateway)) " " small.quiet { (relation(&peer.relation, l)) }
                                @if !peer.address.is_empty() { br; small.quiet { (safe(&peer.address)) } }
                                br; small.quiet { (w::VERSION.of(l)) ": " (safe_or_dash(&peer.version)) }
                                br; small.quiet { (w::CERTIFICATE_DAYS.of(l)) ": " (days_left(peer.certificate_expires_at.as_ref(), visit.now, l)) }
                            }
                            (flow_cells(peer.flow.as_ref(), visit))
                        }
                        (act::destination_row(&destination, is_paused(peer.flow.as_ref()), FLOW_WORDS.len() + 1, visit))
                    }
                }
            }
        }
    }
}

fn one_adapter<D: OperateService>(adapter: &v1::AdapterState, visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    let paused = adapter.paused.as_ref().filter(|pause| !pause.operator.is_empty());
    let destination = format!("adapter:{}", adapter.name);
    html! {
        article.card {
            header.row {
                h3.grow { (safe(&adapter.name)) " " small.quiet { (w::KIND.of(l)) " " (code(&adapter.kind)) } }
                @if adapter.healthy { (state::badge("good", Icon::Check, w::HEALTHY, l)) } @else { (state::badge("bad", Icon::Warning, w::UNHEALTHY, l)) }
                @if paused.is_some() { (state::badge("warn", Icon::Pause, w::PAUSED, l)) }
            }
            @if !adapter.detail.is_empty() { p.quiet { (safe(&adapter.detail)) } }
            @if let Some(pause) = paused { p { (pause_words(pause, l)) } }
            @if !adapter.agencies.is_empty() { (agency_table(&adapter.agencies, visit)) }
            @if adapter.kind == "worker" { (workers(&adapter.workers, l)) }
            @if adapter.quarantined_count > 0 { (quarantine(adapter, l)) }
            (act::destination_block(&destination, paused.is_some(), visit))
        }
    }
}

fn agency_table<D: OperateService>(agencies: &[v1::AgencyFlow], visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::ADAPTER_CAPTION.of(l)) {
            table {
                caption.unseen { (w::ADAPTER_CAPTION.of(l)) }
                thead { tr {
                    @for word in [w::AGENCY].into_iter().chain(FLOW_WORDS) { th scope="col" { (word.of(l)) } }
                } }
                tbody {
                    @for agency in agencies {
                        @let destination = format!("agency:{}", agency.agency);
                        tr {
                            th.wide scope="row" { (safe_or_dash(&agency.name)) br; small { (code(&agency.agency)) } }
                            (flow_cells(agency.flow.as_ref(), visit))
                        }
                        (act::destination_row(&destination, is_paused(agency.flow.as_ref()), FLOW_WORDS.len() + 1, visit))
                    }
                }
            }
        }
    }
}

fn workers(workers: &[v1::WorkerState], l: Language) -> Markup {
    html! {
        @if workers.is_empty() { p { (w::NO_WORKERS.of(l)) } } @else {
            div.scroll tabindex="0" role="region" aria-label=(w::WORKERS_CAPTION.of(l)) {
                table {
                    caption { (w::WORKERS_CAPTION.of(l)) }
                    thead { tr {
                        @for word in [w::INSTANCE, w::VERSION, w::SYSTEM, w::QUEUE, w::LAST_POLL, w::HEARD, w::LEASES] { th scope="col" { (word.of(l)) } }
                    } }
                    tbody { @for worker in workers { (one_worker(worker, l)) } }
                }
            }
        }
    }
}

fn one_worker(worker: &v1::WorkerState, l: Language) -> Markup {
    html! {
        tr {
            th scope="row" {
                (code(&worker.instance))
                @if worker.draining { br; (state::badge("plain", Icon::Pause, w::DRAINING, l)) }
                @if !worker.problems.is_empty() { br; (state::badge("bad", Icon::Warning, w::PROBLEMS, l)) }
                @for problem in &worker.problems { br; small { (safe(problem)) } }
            }
            td { (safe_or_dash(&worker.name)) " " (safe(&worker.version)) }
            td { (code_or_dash(&worker.system)) }
            td { (code_or_dash(&worker.queue)) }
            td { (time::moment(worker.last_poll_at.as_ref(), l)) }
            td { (time::moment(worker.heard_at.as_ref(), l)) }
            td.number { (worker.leases) }
        }
    }
}

/// What the adapter could not take in, the newest first.
fn quarantine(adapter: &v1::AdapterState, l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::QUARANTINE_CAPTION.of(l)) {
            table {
                caption { (w::QUARANTINE_CAPTION.of(l)) " (" (number::count(adapter.quarantined_count, l)) ")" }
                thead { tr {
                    @for word in [w::QUARANTINE_NAME, w::QUARANTINE_REASON, w::SINCE] { th scope="col" { (word.of(l)) } }
                } }
                tbody {
                    @for one in &adapter.quarantined {
                        tr {
                            th scope="row" { (code(&one.name)) }
                            td.wide { (code(&one.reason)) @if !one.detail.is_empty() { br; small { (safe(&one.detail)) } } }
                            td { (time::moment(one.since.as_ref(), l)) }
                        }
                    }
                }
            }
        }
    }
}

/// A cell for each of [`FLOW_WORDS`].
fn flow_cells<D: OperateService>(flow: Option<&v1::Flow>, visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    let Some(flow) = flow else { return html! { @for _ in FLOW_WORDS { td { (dash()) } } } };
    let paused = flow.paused.as_ref().filter(|pause| !pause.operator.is_empty());
    html! {
        td.wide {
            @if paused.is_some() { (state::badge("warn", Icon::Pause, w::PAUSED, l)) }
            @else if flow.up && flow.since.is_none() { (state::badge("plain", Icon::Clock, w::NOT_TRIED, l)) }
            @else if flow.up { (state::badge("good", Icon::Check, w::UP, l)) }
            @else { (state::badge("bad", Icon::Cross, w::DOWN, l)) }
            @if flow.since.is_some() { br; small.quiet { (w::SINCE.of(l)) " " (time::moment(flow.since.as_ref(), l)) } }
            @if let Some(pause) = paused { br; small { (pause_words(pause, l)) } }
            @if !flow.reason.is_empty() { br; small { (event::reason(&flow.reason, l)) } }
            @if !flow.detail.is_empty() { br; small.quiet { (safe(&flow.detail)) } }
        }
        td.number { (number::count(flow.backlog, l)) }
        td { (time::ago(flow.oldest.as_ref(), visit.now, l)) }
        td.number { (number::count(flow.taken_per_minute, l)) }
        td { (time::moment(flow.last_success_at.as_ref(), l)) }
        td { (time::moment(flow.next_probe_at.as_ref(), l)) }
    }
}

fn is_paused(flow: Option<&v1::Flow>) -> bool {
    flow.and_then(|flow| flow.paused.as_ref()).is_some_and(|pause| !pause.operator.is_empty())
}

fn pause_words(pause: &v1::PauseState, l: Language) -> Markup {
    html! {
        (w::PAUSED_BY.of(l)) " " (code(&pause.operator)) " " (w::SINCE.of(l)) " " (time::moment(pause.since.as_ref(), l))
        (event::note(&pause.reason))
    }
}

fn relation(relation: &str, l: Language) -> &str {
    match relation {
        "parent" => w::PARENT.of(l),
        "child" => w::CHILD.of(l),
        "direct" => w::DIRECT.of(l),
        _ => "–",
    }
}
