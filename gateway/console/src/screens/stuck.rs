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
    let p99 = number::milliseconds(status.acknowledge_p99_milliseconds, l);
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
    let (more_word, place) = more(group);
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
                a.button href=(place) { (more_word.of(l)) }
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

/// Where a person sees more of a cause: the search that finds its deliveries, or the page that tells of what has none.
fn more(group: &v1::StuckGroup) -> (Word, String) {
    let agency = group.destination.strip_prefix("agency:").unwrap_or_default();
    let reason = group.reason.as_str();
    let search = |pairs: &[(&str, &str)]| (w::SHOW_DELIVERIES, address("/search", pairs));
    match group.cause() {
        v1::StuckCause::Gateway => (w::SHOW_MORE, "/health".to_owned()),
        // Refused at the door: nothing was kept, so that there is nothing to search for.
        v1::StuckCause::Certificate | v1::StuckCause::Revocation if group.delivery_ids.is_empty() => {
            (w::SHOW_MORE, "/health#refusals".to_owned())
        }
        v1::StuckCause::Refused => search(&[("state", "refused"), ("recipient", agency), ("reason", reason)]),
        v1::StuckCause::Held | v1::StuckCause::Certificate | v1::StuckCause::Revocation => {
            search(&[("state", "held"), ("reason", reason)])
        }
        // What waits for an agency need not have been tried, and then has no reason yet.
        v1::StuckCause::AdapterError | v1::StuckCause::NotPickedUp | v1::StuckCause::Paused if !agency.is_empty() => {
            search(&[("state", "waiting"), ("recipient", agency)])
        }
        v1::StuckCause::Paused => (w::SHOW_MORE, "/peers".to_owned()),
        v1::StuckCause::PeerDown
        | v1::StuckCause::AdapterError
        | v1::StuckCause::NotPickedUp
        | v1::StuckCause::ReceiptOverdue
        | v1::StuckCause::Unspecified => search(&[("reason", reason)]),
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
        let check = |cause, destination, place| assert_eq!(more(&group(cause, destination)).1, place);
        check(v1::StuckCause::PeerDown, "gateway:gw-tinh", "/search?reason=X_Y");
        check(v1::StuckCause::NotPickedUp, "agency:h99.21", "/search?state=waiting&recipient=h99.21");
        check(v1::StuckCause::Paused, "adapter:dms", "/peers");
        check(v1::StuckCause::Refused, "agency:h99.21", "/search?state=refused&recipient=h99.21&reason=X_Y");
        check(v1::StuckCause::Held, "", "/search?state=held&reason=X_Y");
        check(v1::StuckCause::Certificate, "agency:h99.21", "/health#refusals");
        check(v1::StuckCause::Gateway, "gateway:gw-tinh", "/health");
    }
}
