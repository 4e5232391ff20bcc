//! Health: what goes in and out, how fast it is acknowledged, what waits, disk, evidence, directory, refusals at the door.

use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use super::stuck::tile;
use crate::fault::Fault;
use crate::page::{Page, Section};
use crate::show::icon::{Icon, icon};
use crate::show::text::{code, code_or_dash, safe, safe_or_dash};
use crate::show::{event, number, time};
use crate::visit::Visit;
use crate::words::health as w;

const LIVE_SECONDS: u32 = 5;
const REFUSALS: u32 = 50;
const DAY_SECONDS: f64 = 86_400.0;
/// A disk that lasts no longer needs a person.
const DISK_SHORT_DAYS: f64 = 14.0;

/// `GET /health`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let status = visit.ask(visit.door().get_status(visit.request(v1::GetStatusRequest {}))).await?;
    let refusals = v1::ListRefusalsRequest { limit: REFUSALS };
    let refusals = visit.ask(visit.door().list_refusals(visit.request(refusals))).await?.refusals;
    let l = visit.look.language;
    let page = Page::new(w::TITLE.of(l)).section(Section::Health).live(LIVE_SECONDS);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::TITLE.of(l)) } }
        section #state data-region="" data-quiet="" {
            @if status.busy {
                p.notice.bad { (icon(Icon::Warning)) " " b { (w::BUSY.of(l)) } ": " (event::reason(&status.busy_reason, l)) }
            } @else {
                p.notice.good { (icon(Icon::Check)) " " (w::WELL.of(l)) }
            }
            (numbers(&status, l))
        }
        section.card #gates data-region="" aria-labelledby="gates-title" {
            h2 #gates-title { (w::GATES.of(l)) }
            @if status.gates.is_empty() { p { (w::GATES_NONE.of(l)) } } @else { (gates(&status.gates, l)) }
        }
        section.card #refusals data-region="" aria-labelledby="refusals-title" {
            h2 #refusals-title { (w::REFUSALS.of(l)) }
            @if refusals.is_empty() { p { (w::REFUSALS_NONE.of(l)) } } @else { (refused(&refusals, l)) }
        }
    })))
}

fn numbers(status: &v1::GetStatusResponse, l: Language) -> Markup {
    let rate = |minute: Option<f64>| minute.map_or_else(|| "–".to_owned(), |rate| number::decimal(rate, l));
    let count = |number: u64| number::count(number, l);
    html! {
        h2 { (w::TRAFFIC.of(l)) }
        div.tiles {
            (tile(w::IN.of(l), &count(status.accepted), ""))
            (tile(w::OUT.of(l), &count(status.delivered), ""))
            (tile(w::P99.of(l), &number::milliseconds(status.acknowledge_p99_milliseconds, l), ""))
            (tile(w::IN_RATE.of(l), &rate(status.accepted_per_minute), ""))
            (tile(w::OUT_RATE.of(l), &rate(status.delivered_per_minute), ""))
        }
        h2 { (w::BACKLOG.of(l)) }
        div.tiles {
            (tile(w::WAITING.of(l), &count(status.waiting), ""))
            (tile(w::HELD.of(l), &count(status.held), if status.held > 0 { "warn" } else { "" }))
            (tile(w::ENVELOPES.of(l), &count(status.envelopes), ""))
            (tile(w::DISK.of(l), &number::bytes(status.free_bytes, l), ""))
            (disk_lasts(status, l))
            (tile(w::EVIDENCE_GAP.of(l), &count(status.evidence_gap), ""))
        }
        @if !status.backlog.is_empty() { (by_level(&status.backlog, l)) }
        dl.facts.card {
            div { dt { (w::STARTED.of(l)) } dd { (time::moment(status.started_at.as_ref(), l)) } }
            div { dt { (w::EVIDENCE.of(l)) } dd { (count(status.log_size)) " " (w::LEAVES.of(l)) } }
            div { dt { (w::DIRECTORY.of(l)) } dd {
                (w::DIRECTORY_VERSION.of(l)) " " (status.directory_version) ", " (w::EXPIRES.of(l)) " " (time::moment(status.directory_expires_at.as_ref(), l))
            } }
        }
    }
}

/// In days; what does not fill lasts.
fn disk_lasts(status: &v1::GetStatusResponse, l: Language) -> Markup {
    let Some(lasts) = &status.disk_lasts else {
        return tile(w::DISK_LASTS.of(l), w::DISK_STEADY.of(l), "");
    };
    let days = lasts.seconds.max(0) as f64 / DAY_SECONDS;
    tile(w::DISK_LASTS.of(l), &number::days(days, l), if days < DISK_SHORT_DAYS { "warn" } else { "" })
}

fn by_level(backlog: &[v1::LevelBacklog], l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::BY_LEVEL.of(l)) {
            table {
                caption { (w::BY_LEVEL.of(l)) }
                thead { tr { th scope="col" { (w::LEVEL.of(l)) } th.number scope="col" { (w::WAITING.of(l)) } } }
                tbody {
                    @for one in backlog {
                        tr {
                            th scope="row" { @if one.level.is_empty() { (w::LEVEL_NONE.of(l)) } @else { (safe(&one.level)) } }
                            td.number { (number::count(one.waiting, l)) }
                        }
                    }
                }
            }
        }
    }
}

fn gates(gates: &[v1::GateState], l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::GATES_CAPTION.of(l)) {
            table {
                caption.unseen { (w::GATES_CAPTION.of(l)) }
                thead { tr { @for word in [w::DESTINATION, w::REASON, w::SINCE, w::NEXT_PROBE, w::SEEN] { th scope="col" { (word.of(l)) } } } }
                tbody {
                    @for gate in gates {
                        tr {
                            th scope="row" { (code(&gate.destination)) }
                            td.wide { (event::reason(&gate.reason, l)) }
                            td { (time::moment(gate.since.as_ref(), l)) }
                            td { (time::moment(gate.next_probe_at.as_ref(), l)) }
                            td.wide { (safe_or_dash(&gate.detail)) }
                        }
                    }
                }
            }
        }
    }
}

fn refused(refusals: &[v1::RefusalRecord], l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::REFUSALS_CAPTION.of(l)) {
            table {
                caption.unseen { (w::REFUSALS_CAPTION.of(l)) }
                thead { tr { @for word in [w::TIME, w::HOP, w::REASON, w::FIELD, w::ENVELOPE] { th scope="col" { (word.of(l)) } } } }
                tbody {
                    @for refusal in refusals {
                        tr {
                            td { (time::moment(refusal.at.as_ref(), l)) }
                            th scope="row" { (code_or_dash(&refusal.hop)) }
                            td.wide { (event::reason(&refusal.reason, l)) }
                            td { (code_or_dash(&refusal.field)) }
                            td { (code_or_dash(&refusal.envelope_id)) }
                        }
                    }
                }
            }
        }
    }
}
