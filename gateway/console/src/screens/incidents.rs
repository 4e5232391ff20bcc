//! Incidents: when each began, when it ended.

use axum::response::Response;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use crate::fault::Fault;
use crate::page::{Page, Section};
use crate::show::icon::Icon;
use crate::show::icon::icon;
use crate::show::text::{code, code_or_dash};
use crate::show::{number, state, time};
use crate::visit::Visit;
use crate::words::{frame, stuck as w};

const LIMIT: u32 = 200;
const LIVE_SECONDS: u32 = 10;

/// `GET /incidents`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let request = v1::ListIncidentsRequest { since: None, limit: LIMIT };
    let incidents = visit.ask(visit.door().list_incidents(visit.request(request))).await?.incidents;
    let l = visit.look.language;
    let page = Page::new(w::INCIDENTS_TITLE.of(l)).section(Section::Incidents).live(LIVE_SECONDS);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::INCIDENTS_TITLE.of(l)) } p.lead { (w::INCIDENTS_LEAD.of(l)) } }
        section #incidents data-region="" {
            @if incidents.is_empty() { p.card { (frame::NOTHING.of(l)) } } @else {
                div.scroll tabindex="0" role="region" aria-label=(w::INCIDENTS_CAPTION.of(l)) {
                    table {
                        caption { (w::INCIDENTS_CAPTION.of(l)) }
                        thead { tr {
                            @for word in [w::CAUSE, w::WHERE, w::REASON, w::MUST_ACT, w::OPENED, w::CLOSED, w::LASTED, w::COUNT_MAX] {
                                th scope="col" { (word.of(l)) }
                            }
                        } }
                        tbody { @for incident in &incidents { (row(incident, &visit)) } }
                    }
                }
            }
        }
    })))
}

fn row<D: OperateService>(incident: &v1::Incident, visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    let (shape, word) = state::cause(incident.cause());
    let opened = time::read(incident.opened_at.as_ref());
    let until = time::read(incident.closed_at.as_ref()).unwrap_or(visit.now);
    html! {
        tr.open[incident.closed_at.is_none()] {
            th scope="row" { (icon(shape)) " " (word.of(l)) }
            td { (code_or_dash(&incident.destination)) }
            td { (code(&incident.reason)) }
            td { (code_or_dash(&incident.must_act)) }
            td { (time::moment(incident.opened_at.as_ref(), l)) }
            td {
                @if incident.closed_at.is_some() { (time::moment(incident.closed_at.as_ref(), l)) } @else {
                    (state::badge("warn", Icon::Bell, w::OPEN_STILL, l))
                }
            }
            td { @if let Some(opened) = opened { (time::span(until.since(opened).as_secs(), l)) } }
            td.number { (number::count(incident.count_max, l)) }
        }
    }
}
