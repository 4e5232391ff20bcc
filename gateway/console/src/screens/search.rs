//! Search: the whole filter stands in the address, so that a link shows the same to a colleague.

use axum::response::Response;
use gateway_model::language::Language;
use gateway_model::state::DeliveryStatus;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use super::filter::{Filter, Key, wire};
use crate::fault::Fault;
use crate::fields::address;
use crate::page::{Page, Section};
use crate::show::text::{code, code_or_dash, safe, safe_or_dash, short_id, visible};
use crate::show::{event, state, time};
use crate::visit::Visit;
use crate::words::{frame, list as w};

const ROWS: u32 = 50;

/// `GET /search`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let filter = Filter::read(&visit.query);
    let mut request =
        v1::ListRequest { page_size: ROWS, page_token: visit.query.first("page").to_owned(), ..filter.request.clone() };
    let mut found = visit.ask(visit.door().list(visit.request(request.clone()))).await?;
    if let (Some(Key::Either(text)), true) = (&filter.key, found.deliveries.is_empty()) {
        request.file_code.clear();
        request.document_code.clone_from(text);
        found = visit.ask(visit.door().list(visit.request(request))).await?;
    }
    let l = visit.look.language;
    let title = if filter.fields.first("q").is_empty() {
        w::TITLE.of(l).to_owned()
    } else {
        format!("{}: {}", w::TITLE.of(l), visible(filter.fields.first("q")))
    };
    let page = Page::new(title).section(Section::Search);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::TITLE.of(l)) } }
        (form(&filter, l))
        @for value in &filter.unread {
            p.notice role="status" { (w::NOT_IN_FILTER.of(l)) " " (code(value)) }
        }
        (results(&found, &filter, l))
        div.row {
            @if !found.next_page_token.is_empty() {
                a.button href=(filter.fields.clone().with("page", &found.next_page_token).address("/search")) rel="next" { (frame::PAGE_NEXT.of(l)) }
            }
            @if !visit.query.first("page").is_empty() {
                a.button.plain href=(filter.fields.address("/search")) { (frame::PAGE_FIRST.of(l)) }
            }
            @if visit.may_act() && !found.deliveries.is_empty() {
                a.button.plain href=(filter.fields.address("/bulk/new")) { (w::PLAN.of(l)) }
            }
        }
    })))
}

fn form(filter: &Filter, l: Language) -> Markup {
    let fields = &filter.fields;
    let opened = fields.pairs().any(|(name, _)| name != "q");
    html! {
        form.card.filter method="get" action="/search" {
            div.row {
                label.grow { span { (frame::SEARCH_LABEL.of(l)) } input type="search" name="q" value=(fields.first("q")) maxlength="200" autocomplete="off" spellcheck="false"; }
                button type="submit" { (w::APPLY.of(l)) }
                @if !fields.is_empty() { a.button.plain href="/search" { (w::CLEAR.of(l)) } }
            }
            details open[opened] {
                summary { (w::FILTER.of(l)) }
                fieldset.choices {
                    legend { (w::STATE.of(l)) }
                    @for status in DeliveryStatus::ALL {
                        label {
                            input type="checkbox" name="state" value=(status.as_str()) checked[fields.all("state").any(|name| name == status.as_str())];
                            " " (state::delivery(wire(status), l))
                        }
                    }
                }
                div.fields {
                    @for (name, word) in [("sender", w::SENDER), ("recipient", w::RECIPIENT)] {
                        label { span { (word.of(l)) } input type="text" name=(name) value=(fields.first(name)) maxlength="64" placeholder=(w::AGENCY_HINT.of(l)); }
                    }
                    label { span { (w::REASON.of(l)) } input type="text" name="reason" value=(fields.first("reason")) maxlength="80"; }
                    @for (name, word) in [("since", w::SINCE), ("until", w::UNTIL)] {
                        label { span { (word.of(l)) } input type="date" name=(name) value=(fields.first(name)); }
                    }
                }
            }
        }
    }
}

fn results(found: &v1::ListResponse, filter: &Filter, l: Language) -> Markup {
    if found.deliveries.is_empty() {
        // A page looks at a part of what is kept: with a filter that little fits, it may be empty while more is to come.
        let word = if found.next_page_token.is_empty() { w::NONE } else { w::NONE_YET };
        return html! { p.card { (word.of(l)) } };
    }
    html! {
        @if let Some(place) = filter.key.as_ref().and_then(|key| timeline_of(key, &found.deliveries)) {
            p { a.button.strong href=(place) { (w::OPEN_TIMELINE.of(l)) } }
        }
        div.scroll tabindex="0" role="region" aria-label=(w::CAPTION.of(l)) {
            table {
                caption { (w::CAPTION.of(l)) }
                thead { tr {
                    @for word in [w::FILE, w::SUBJECT, w::STATE, w::WAY, w::ACCEPTED, w::ATTEMPTS, w::NEXT] { th scope="col" { (word.of(l)) } }
                } }
                tbody { @for delivery in &found.deliveries { (row(delivery, l)) } }
            }
        }
    }
}

fn row(delivery: &v1::DeliverySummary, l: Language) -> Markup {
    let unknown = v1::DeliveryState::default();
    let state = delivery.state.as_ref().unwrap_or(&unknown);
    let envelope = address("/timeline", &[("sender", &delivery.sender), ("envelope_id", &delivery.envelope_id)]);
    html! {
        tr id={ "delivery-" (delivery.delivery_id) } {
            th scope="row" {
                @if delivery.file_code.is_empty() { a href=(envelope) { (short_id(&delivery.envelope_id)) } } @else {
                    a href=(address("/timeline", &[("file_code", &delivery.file_code)])) { (code(&delivery.file_code)) }
                    br; small { a.quiet href=(envelope) { (short_id(&delivery.envelope_id)) } }
                }
            }
            td.wide { (safe_or_dash(&delivery.subject)) }
            td.wide { (state::delivery(state.status(), l)) @if !state.reason.is_empty() { br; small { (why(state, l)) } } }
            td { (code_or_dash(&delivery.sender)) " → " (code_or_dash(&state.recipient)) @if !state.next_hop.is_empty() { br; small.quiet { (safe(&state.next_hop)) } } }
            td { (time::moment(delivery.accepted_at.as_ref(), l)) }
            td.number { (state.attempts) }
            td { (time::moment(state.next_attempt_at.as_ref(), l)) }
        }
    }
}

/// The reason, in the gateway's words where it gives them.
pub(crate) fn why(state: &v1::DeliveryState, l: Language) -> Markup {
    if state.message.is_empty() {
        return event::reason(&state.reason, l);
    }
    html! { span.reason { (safe(&state.message)) " " (code(&state.reason)) } }
}

/// The timeline that a key names, when it names one thing.
fn timeline_of(key: &Key, found: &[v1::DeliverySummary]) -> Option<String> {
    match key {
        Key::File(code) => Some(address("/timeline", &[("file_code", code)])),
        Key::Document(code) => Some(address("/timeline", &[("document_code", code)])),
        Key::Envelope(_) | Key::Sha256(_) => {
            let first = found.first()?;
            let one = found.iter().all(|other| other.envelope_id == first.envelope_id && other.sender == first.sender);
            one.then(|| address("/timeline", &[("sender", &first.sender), ("envelope_id", &first.envelope_id)]))
        }
        Key::Either(text) if found.iter().all(|delivery| delivery.file_code == *text) => {
            Some(address("/timeline", &[("file_code", text)]))
        }
        Key::Either(text) => Some(address("/timeline", &[("document_code", text)])),
    }
}
