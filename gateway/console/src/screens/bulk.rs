//! Actions on many deliveries: plan and look, give the reason, let a second person approve, run, watch, stop.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use super::act::{REASON_FIELD, done, reason_field, see_done};
use super::filter::Filter;
use crate::fault::{self, Fault};
use crate::page::{Page, Section};
use crate::show::event;
use crate::show::icon::Icon;
use crate::show::text::{code, code_or_dash, dash, safe};
use crate::show::{number, state, time};
use crate::visit::{Form, Visit};
use crate::words::{Word, act as actions, bulk as w};

const LIVE_SECONDS: u32 = 2;

/// What can be planned, by its name in forms.
const ACTIONS: [(&str, v1::BulkAction); 4] = [
    ("retry", v1::BulkAction::Retry),
    ("hold", v1::BulkAction::Hold),
    ("release", v1::BulkAction::Release),
    ("return", v1::BulkAction::Return),
];

/// `GET /bulk`.
pub(crate) async fn list<D: OperateService>(visit: Visit<D>) -> Result<Response, Fault> {
    let plans = visit.ask(visit.door().list_bulks(visit.request(v1::ListBulksRequest {}))).await?.plans;
    let l = visit.look.language;
    let page = Page::new(w::TITLE.of(l)).section(Section::Bulk).live(LIVE_SECONDS);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (w::TITLE.of(l)) } p.lead { (w::LEAD.of(l)) } }
        @if visit.may_act() { p { (w::NEW_HOW.of(l)) " " a.button href="/search" { (crate::words::frame::SEARCH.of(l)) } } }
        section #plans data-region="" {
            @if plans.is_empty() { p.card { (w::NONE.of(l)) } } @else {
                div.scroll tabindex="0" role="region" aria-label=(w::CAPTION.of(l)) {
                    table {
                        caption { (w::CAPTION.of(l)) }
                        thead { tr { @for word in [w::PLANNED_AT, w::ACTION, w::COUNT, w::STATUS, w::PROGRESS, w::PLANNED_BY, w::APPROVED_BY, w::REASON] { th scope="col" { (word.of(l)) } } } }
                        tbody { @for plan in &plans { (row(plan, l)) } }
                    }
                }
            }
        }
    })))
}

fn row(plan: &v1::BulkPlan, l: Language) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(place(&plan.bulk_id)) { (time::moment(plan.planned_at.as_ref(), l)) } }
            td { (action_word(plan.action()).of(l)) }
            td.number { (number::count(u64::from(plan.count), l)) }
            td { (status(plan.status(), l)) }
            td { (progress(plan, l)) }
            td { (code(&plan.planned_by)) }
            td { (code_or_dash(&plan.approved_by)) }
            td.wide { (safe(&plan.reason)) }
        }
    }
}

/// `GET /bulk/new`: the filter of a search, an action, a reason. Nothing is frozen yet.
pub(crate) async fn new<D: OperateService>(visit: Visit<D>) -> Response {
    let filter = Filter::read(&visit.query);
    let l = visit.look.language;
    visit.page(&Page::new(w::NEW.of(l)).section(Section::Bulk).body(html! {
        div.head { h1 { (w::NEW.of(l)) } p.lead { (w::NEW_LEAD.of(l)) } }
        @if !visit.may_act() { p.notice { (actions::ONLY_VIEW.of(l)) } } @else {
            form.card.plan method="post" action="/bulk" {
                (visit.hidden())
                @for (name, value) in filter.fields.pairs() { input type="hidden" name=(name) value=(value); }
                h2 { (w::FILTER.of(l)) }
                (filter.in_words(l))
                fieldset.choices {
                    legend { (w::ACTION.of(l)) }
                    @for (name, action) in ACTIONS {
                        label { input type="radio" name="action" value=(name) required; " " (action_word(action).of(l)) }
                    }
                }
                (reason_field(l))
                button.strong type="submit" { (w::PLAN.of(l)) }
            }
        }
    }))
}

/// `POST /bulk`: freezes a plan.
///
/// # Cancellation
/// A plan may have been made; it does nothing by itself.
pub(crate) async fn plan<D: OperateService>(form: Form<D>) -> Result<Response, Fault> {
    let Form { visit, fields } = &form;
    let action = ACTIONS.into_iter().find(|(name, _)| *name == fields.first("action")).map(|(_, action)| action);
    let request = v1::PlanBulkRequest {
        action: action.unwrap_or(v1::BulkAction::Unspecified) as i32,
        reason: fields.first(REASON_FIELD).to_owned(),
        filter: Some(Filter::read(fields).request),
    };
    let planned = visit.ask(visit.door().plan_bulk(visit.request(request))).await?.plan.unwrap_or_default();
    Ok(see_done(&place(&planned.bulk_id), "plan"))
}

/// `GET /bulk/{bulk}`.
pub(crate) async fn show<D: OperateService>(Path(bulk_id): Path<String>, visit: Visit<D>) -> Result<Response, Fault> {
    let found = visit.ask(visit.door().get_bulk(visit.request(v1::GetBulkRequest { bulk_id }))).await?;
    let plan = found.plan.unwrap_or_default();
    let l = visit.look.language;
    let title = format!("{}: {}", w::TITLE.of(l), action_word(plan.action()).of(l));
    let page = Page::new(&title).section(Section::Bulk).live(LIVE_SECONDS);
    Ok(visit.page(&page.body(html! {
        div.head { h1 { (title) } }
        (done(&visit))
        section.card #plan data-region="" { (facts(&plan, l)) (buttons(&plan, &visit)) }
        @if !plan.sample.is_empty() {
            section.card {
                h2 { (w::SAMPLE.of(l)) }
                ul.codes { @for delivery in &plan.sample { li { (code(delivery)) } } }
            }
        }
        section #failures data-region="" { @if !found.failures.is_empty() { (failures(&found.failures, l)) } }
    })))
}

fn facts(plan: &v1::BulkPlan, l: Language) -> Markup {
    html! {
        p.figures { b { (number::count(u64::from(plan.count), l)) } " " (w::COUNT.of(l)) " · " (status(plan.status(), l)) }
        @if plan.cut { p.notice { (w::CUT.of(l)) } }
        p { (w::PROGRESS.of(l)) ": " (progress(plan, l)) }
        dl.facts {
            div { dt { (w::REASON.of(l)) } dd { (safe(&plan.reason)) } }
            div { dt { (w::PLANNED_BY.of(l)) } dd { (code(&plan.planned_by)) " " (time::moment(plan.planned_at.as_ref(), l)) } }
            div { dt { (w::APPROVED_BY.of(l)) } dd {
                @if !plan.approved_by.is_empty() { (code(&plan.approved_by)) }
                @else if plan.needs_approval { (state::badge("warn", Icon::Warning, w::APPROVAL_NEEDED, l)) }
                @else { (w::APPROVAL_NOT_NEEDED.of(l)) }
            } }
            div { dt { (w::TRIED.of(l)) } dd { (number::count(u64::from(plan.tried), l)) } }
            div { dt { (w::MOVED.of(l)) } dd { (number::count(u64::from(plan.moved), l)) } }
            div { dt { (w::NOT_MOVED.of(l)) } dd { (number::count(u64::from(plan.tried.saturating_sub(plan.moved)), l)) } }
        }
    }
}

fn buttons<D: OperateService>(plan: &v1::BulkPlan, visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    let waits_for_approval = plan.needs_approval && plan.approved_by.is_empty();
    let own = plan.planned_by == visit.operator.as_str();
    let button = |action: &str, word: Word, class: &str| {
        html! {
            form method="post" action={ (place(&plan.bulk_id)) "/" (action) } {
                (visit.hidden())
                button class=(class) type="submit" { (word.of(l)) }
            }
        }
    };
    html! {
        div.row {
            @if !visit.may_act() { small.quiet { (actions::ONLY_VIEW.of(l)) } } @else {
                @match plan.status() {
                    v1::BulkStatus::Planned => {
                        @if waits_for_approval && own { p { (w::APPROVE_OTHER.of(l)) } }
                        @else if waits_for_approval { (button("approve", w::APPROVE, "strong")) }
                        @else { (button("run", w::RUN, "strong")) }
                    }
                    v1::BulkStatus::Running => { (button("stop", w::STOP, "danger")) }
                    v1::BulkStatus::Done | v1::BulkStatus::Stopped | v1::BulkStatus::Unspecified => {}
                }
            }
        }
    }
}

fn failures(failures: &[v1::BulkFailure], l: Language) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(w::FAILURES_CAPTION.of(l)) {
            table {
                caption { (w::FAILURES_CAPTION.of(l)) }
                thead { tr { th scope="col" { (w::DELIVERY.of(l)) } th scope="col" { (w::WHY.of(l)) } } }
                tbody {
                    @for failure in failures {
                        tr { th scope="row" { (code(&failure.delivery_id)) } td { (event::reason(&failure.reason, l)) } }
                    }
                }
            }
        }
    }
}

/// `POST /bulk/{bulk}/{action}`: approve, run or stop.
///
/// # Cancellation
/// The door may have acted; the page shows what it did.
pub(crate) async fn act<D: OperateService>(
    Path((bulk_id, action)): Path<(String, String)>,
    form: Form<D>,
) -> Result<Response, Fault> {
    let Form { visit, .. } = &form;
    let back = place(&bulk_id);
    let door = visit.door();
    match action.as_str() {
        "approve" => {
            visit.ask(door.approve_bulk(visit.request(v1::ApproveBulkRequest { bulk_id }))).await?;
        }
        "run" => {
            visit.ask(door.run_bulk(visit.request(v1::RunBulkRequest { bulk_id }))).await?;
        }
        "stop" => {
            visit.ask(door.stop_bulk(visit.request(v1::StopBulkRequest { bulk_id }))).await?;
        }
        _ => return Err(visit.fault(StatusCode::NOT_FOUND, fault::missing(visit.look.language))),
    }
    Ok(see_done(&back, &action))
}

/// The page of a plan. Ids are the gateway's own; what does not belong into a path is left out.
fn place(bulk_id: &str) -> String {
    let id: String = bulk_id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    format!("/bulk/{id}")
}

fn progress(plan: &v1::BulkPlan, l: Language) -> Markup {
    if plan.count == 0 {
        return dash();
    }
    let text = format!("{} / {}", number::count(u64::from(plan.tried), l), number::count(u64::from(plan.count), l));
    html! { progress max=(plan.count) value=(plan.tried) { (text) } " " small.nowrap { (text) } }
}

fn status(status: v1::BulkStatus, l: Language) -> Markup {
    match status {
        v1::BulkStatus::Planned => state::badge("plain", Icon::Layers, w::PLANNED, l),
        v1::BulkStatus::Running => state::badge("go", Icon::Arrow, w::RUNNING, l),
        v1::BulkStatus::Done => state::badge("good", Icon::Check, w::DONE, l),
        v1::BulkStatus::Stopped => state::badge("warn", Icon::Pause, w::STOPPED, l),
        v1::BulkStatus::Unspecified => dash(),
    }
}

fn action_word(action: v1::BulkAction) -> Word {
    match action {
        v1::BulkAction::Retry => actions::RETRY,
        v1::BulkAction::Hold => actions::HOLD,
        v1::BulkAction::Release => actions::RELEASE,
        v1::BulkAction::Return => actions::RETURN,
        v1::BulkAction::Unspecified => crate::words::state::UNKNOWN,
    }
}
