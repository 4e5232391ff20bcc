//! The first page: what needs a person now, the oldest first, one entry a cause.

use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use crate::fault::Fault;
use crate::fields::address;
use crate::page::{Page, Section};
use crate::show::icon::{Icon, icon};
use crate::show::text::{code, dash, safe, safe_or_dash};
use crate::show::{number, state, time};
use crate::visit::Visit;
use crate::words::{Word, frame, stuck as w};

/// How often the page refreshes itself.
const LIVE_SECONDS: u32 = 5;

/// `GET /`.
pub(crate) async fn show<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let stuck = visit.ask(visit.door().list_stuck(visit.request(v1::ListStuckRequest {}))).await?;
    let l = visit.look.language;
    let page = Page::new(w::TITLE.of(l)).section(Section::Stuck).live(LIVE_SECONDS);
    Ok(visit.page(&page.body(html! {
        div.head {
            h1 { (w::TITLE.of(l)) }
            p.lead { (w::LEAD.of(l)) }
        }
        @if let Some(status) = &visit.status { (numbers(status, stuck.groups.len(), l)) }
        section #stuck data-region="" aria-label=(w::CAUSES.of(l)) {
            @if stuck.groups.is_empty() {
                div.card.well {
                    (icon(Icon::Check))
                    div { strong { (w::NONE.of(l)) } p.quiet { (w::NONE_TEXT.of(l)) } }
                }
            }
            @for stuck in &stuck.groups { (group(stuck, &visit)) }
            @if stuck.cut { p.quiet { (frame::CUT.of(l)) } }
        }
        p.quiet #as-of data-region="" data-quiet="" { (w::AS_OF.of(l)) " " (time::moment(stuck.as_of.as_ref(), l)) }
    })))
}

/// Key numbers.
fn numbers(status: &v1::GetStatusResponse, causes: usize, l: Language) -> Markup {
    let p99 = format!("{} ms", number::decimal(status.acknowledge_p99_milliseconds, l));
    let causes_tone = if causes == 0 { "good" } else { "warn" };
    let held_tone = if status.held == 0 { "" } else { "warn" };
    html! {
        section.tiles #numbers data-region="" data-quiet="" aria-label=(w::NUMBERS.of(l)) {
            (tile(w::CAUSES.of(l), &number::count(causes as u64, l), causes_tone))
            (tile(w::HELD.of(l), &number::count(status.held, l), held_tone))
            (tile(w::WAITING.of(l), &number::count(status.waiting, l), ""))
            (tile(w::ACCEPTED.of(l), &number::count(status.accepted, l), ""))
            (tile(w::DELIVERED.of(l), &number::count(status.delivered, l), ""))
            (tile(w::P99.of(l), &p99, ""))
        }
    }
}

/// One number with its name.
pub(crate) fn tile(name: &str, value: &str, tone: &str) -> Markup {
    html! { div class={ "tile " (tone) } { span { (name) } b { (value) } } }
}

fn group<D: OperateService>(group: &v1::StuckGroup, visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    let (shape, word) = state::cause(group.cause());
    let over = group.deadline.is_some() && group.working_seconds_left < 0;
    html! {
        article.card.cause.over[over] id={ "incident-" (group.incident_id) } {
            header {
                span.shape { (icon(shape)) }
                div {
                    h2 { (word.of(l)) @if !group.destination.is_empty() { ": " (code(&group.destination)) } }
                    p { (safe(&group.message)) " " (code(&group.reason)) }
                }
                div.figure { b { (number::count(group.count, l)) } span { (w::COUNT.of(l)) } }
            }
            dl.facts {
                (fact(w::OLDEST, &time::ago(group.oldest.as_ref(), visit.now, l), l))
                (fact(w::DEADLINE, &deadline(group, l), l))
                (fact(w::MUST_ACT, &who(group), l))
                (fact(w::SINCE, &time::moment(group.since.as_ref(), l), l))
                @if !group.detail.is_empty() { (fact(w::SEEN, &safe(&group.detail), l)) }
            }
            p.todo {
                span { @if !group.next_step.is_empty() { b { (w::WHAT_TO_DO.of(l)) ": " } (safe(&group.next_step)) } }
                @if group.count > 0 { a.button href=(deliveries(group)) { (w::SHOW_DELIVERIES.of(l)) } }
            }
        }
    }
}

fn fact(name: Word, value: &Markup, l: Language) -> Markup {
    html! { div { dt { (name.of(l)) } dd { (value) } } }
}

fn deadline(group: &v1::StuckGroup, l: Language) -> Markup {
    if group.deadline.is_none() {
        return dash();
    }
    html! { (time::left(group.working_seconds_left, l)) br; small.quiet { (time::moment(group.deadline.as_ref(), l)) } }
}

fn who(group: &v1::StuckGroup) -> Markup {
    html! {
        strong { (safe_or_dash(&group.must_act_name)) }
        @if !group.must_act.is_empty() { br; small { (code(&group.must_act)) } }
    }
}

/// The search that finds what waits for this cause.
fn deliveries(group: &v1::StuckGroup) -> String {
    let state = match group.cause() {
        v1::StuckCause::Refused => "refused",
        v1::StuckCause::Held => "held",
        v1::StuckCause::PeerDown
        | v1::StuckCause::AdapterError
        | v1::StuckCause::NotPickedUp
        | v1::StuckCause::Certificate
        | v1::StuckCause::Revocation
        | v1::StuckCause::ReceiptOverdue
        | v1::StuckCause::Paused
        | v1::StuckCause::Gateway
        | v1::StuckCause::Unspecified => "",
    };
    match group.destination.strip_prefix("agency:") {
        // What waits for an agency need not have been tried, and then has no reason yet.
        Some(recipient) if state.is_empty() => address("/search", &[("state", "waiting"), ("recipient", recipient)]),
        Some(recipient) => address("/search", &[("state", state), ("recipient", recipient), ("reason", &group.reason)]),
        None => address("/search", &[("state", state), ("reason", &group.reason)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_leads_to_what_waits_for_it() {
        let group = |cause: v1::StuckCause, destination: &str| v1::StuckGroup {
            cause: cause as i32,
            destination: destination.to_owned(),
            reason: "X_Y".to_owned(),
            ..Default::default()
        };
        let check = |cause, destination, place| assert_eq!(deliveries(&group(cause, destination)), place);
        check(v1::StuckCause::PeerDown, "gateway:gw-tinh", "/search?reason=X_Y");
        check(v1::StuckCause::NotPickedUp, "agency:h99.21", "/search?state=waiting&recipient=h99.21");
        check(v1::StuckCause::Refused, "agency:h99.21", "/search?state=refused&recipient=h99.21&reason=X_Y");
        check(v1::StuckCause::Held, "", "/search?state=held&reason=X_Y");
    }
}
