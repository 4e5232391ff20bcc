//! Audit: who did what, from where, when and why. Leaves of the evidence log, read as they are.

use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use crate::fault::Fault;
use crate::fields::address;
use crate::page::{Page, Section};
use crate::show::event;
use crate::show::text::{code, code_or_dash, safe_or_dash, short_id};
use crate::show::time;
use crate::visit::Visit;
use crate::words::{frame, list as w, statistics, timeline};

const ROWS: u32 = 100;
/// Recipients that a row names.
const RECIPIENTS_MAX: usize = 3;
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
    let l = visit.look.language;
    let page = Page::new(w::AUDIT_TITLE.of(l)).section(Section::Audit);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::AUDIT_TITLE.of(l)) } p.lead { (w::AUDIT_LEAD.of(l)) } }
        form.card.row method="get" action="/audit" {
            label { span { (statistics::SINCE.of(l)) } input type="date" name="since" value=(fields.first("since")); }
            label { span { (statistics::UNTIL.of(l)) } input type="date" name="until" value=(fields.first("until")); }
            label { span { (w::OPERATOR.of(l)) } input type="text" name="operator" maxlength="64" value=(fields.first("operator")); }
            button type="submit" { (w::APPLY.of(l)) }
        }
        @if audit.entries.is_empty() { p.card { (frame::NOTHING.of(l)) } } @else { (table(&audit.entries, l)) }
        @if !audit.next_page_token.is_empty() {
            p { a.button href=(fields.clone().with("page", &audit.next_page_token).address("/audit")) rel="next" { (frame::PAGE_NEXT.of(l)) } }
        }
    })))
}

fn table(entries: &[v1::AuditEntry], l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::AUDIT_CAPTION.of(l)) {
            table {
                caption { (w::AUDIT_CAPTION.of(l)) }
                thead { tr { @for word in [w::TIME, w::OPERATOR, w::WHERE, w::ACTION, w::ABOUT, w::WHY, w::EVIDENCE] { th scope="col" { (word.of(l)) } } } }
                tbody { @for entry in entries { (row(entry, l)) } }
            }
        }
    }
}

fn row(entry: &v1::AuditEntry, l: Language) -> Markup {
    html! {
        tr {
            td { (time::moment(entry.at.as_ref(), l)) }
            th scope="row" { (code_or_dash(&entry.operator)) }
            td { (code_or_dash(&entry.address)) }
            td { (event::act(&entry.action, l)) }
            td { (about(entry)) }
            td.wide { (safe_or_dash(&entry.note)) }
            td { (timeline::LEAF.of(l)) " " (entry.leaf_index) }
        }
    }
}

fn about(entry: &v1::AuditEntry) -> Markup {
    if entry.envelope_id.is_empty() {
        return code_or_dash(&entry.subject);
    }
    let place = address("/timeline", &[("sender", &entry.sender), ("envelope_id", &entry.envelope_id)]);
    html! {
        a href=(place) { (short_id(&entry.envelope_id)) }
        @for recipient in entry.recipients.iter().take(RECIPIENTS_MAX) { " → " (code(recipient)) }
    }
}
