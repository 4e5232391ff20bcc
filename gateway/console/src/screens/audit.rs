//! Audit: who did what, when and why. Leaves of the evidence log, read as they are.

use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use crate::fault::Fault;
use crate::fields::address;
use crate::page::{Page, Section};
use crate::show::event::{self, Told};
use crate::show::text::{code, code_or_dash, safe_or_dash};
use crate::show::time;
use crate::visit::Visit;
use crate::words::{frame, list as w, timeline};

const ROWS: u32 = 100;
/// The names of the filter.
const NAMES: [&str; 3] = ["since", "until", "operator"];

/// `GET /audit`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let fields = visit.query.only(&NAMES);
    let request = v1::ListAuditRequest {
        since: time::begin(fields.first("since")).map(time::wire),
        until: time::end(fields.first("until")).map(time::wire),
        operator: fields.first("operator").to_owned(),
        page_size: ROWS,
        page_token: visit.query.first("page").to_owned(),
    };
    let audit = visit.ask(visit.door().list_audit(visit.request(request))).await?;
    let told: Vec<Told> = audit.entries.iter().filter_map(|receipt| Told::of(Some(receipt), true)).collect();
    let l = visit.look.language;
    let page = Page::new(w::AUDIT_TITLE.of(l)).section(Section::Audit);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::AUDIT_TITLE.of(l)) } p.lead { (w::AUDIT_LEAD.of(l)) } }
        form.card.row method="get" action="/audit" {
            label { span { (w::SINCE.of(l)) } input type="date" name="since" value=(fields.first("since")); }
            label { span { (w::UNTIL.of(l)) } input type="date" name="until" value=(fields.first("until")); }
            label { span { (w::OPERATOR.of(l)) } input type="text" name="operator" maxlength="64" value=(fields.first("operator")); }
            button type="submit" { (w::APPLY.of(l)) }
        }
        @if told.is_empty() { p.card { (frame::NOTHING.of(l)) } } @else { (table(&told, l)) }
        @if !audit.next_page_token.is_empty() {
            p { a.button href=(fields.clone().with("page", &audit.next_page_token).address("/audit")) rel="next" { (frame::PAGE_NEXT.of(l)) } }
        }
    })))
}

fn table(told: &[Told], l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::AUDIT_CAPTION.of(l)) {
            table {
                caption { (w::AUDIT_CAPTION.of(l)) }
                thead { tr { @for word in [w::TIME, w::OPERATOR, w::ACTION, w::ABOUT, w::WHY, w::EVIDENCE] { th scope="col" { (word.of(l)) } } } }
                tbody { @for told in told { (row(told, l)) } }
            }
        }
    }
}

fn row(told: &Told, l: Language) -> Markup {
    let event = &told.event;
    html! {
        tr {
            td { (time::moment(event.at.as_ref(), l)) }
            th scope="row" { (code_or_dash(&event.counterpart)) }
            td { (event::event(event.kind(), l)) }
            td { (about(event)) }
            td.wide { (safe_or_dash(&event.note)) }
            td { (timeline::LEAF.of(l)) " " (told.leaf) }
        }
    }
}

fn about(event: &v1::Event) -> Markup {
    if event.envelope_id.is_empty() {
        return code_or_dash(&event.subject);
    }
    let place = address("/timeline", &[("sender", &event.sender), ("envelope_id", &event.envelope_id)]);
    html! {
        a href=(place) { (code(&event.envelope_id)) }
        @for recipient in event.recipients.iter().take(3) { " → " (code(recipient)) }
    }
}
