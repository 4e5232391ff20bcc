//! Who holds the file, since when, how much working time is used and left.

use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;

use crate::fields::address;
use crate::show::icon::{Icon, icon};
use crate::show::text::{code, code_or_dash, safe, safe_or_dash};
use crate::show::{state, time};
use crate::words::timeline as w;

/// The file at a glance, with the ways to paper.
pub(super) fn summary(custody: &v1::CaseCustody, l: Language) -> Markup {
    let late = matches!(custody.standing(), v1::CaseStanding::Late | v1::CaseStanding::InWorkLate);
    let paper = |path: &str| address(path, &[("file_code", &custody.file_code)]);
    html! {
        section.card #custody-summary data-region="" aria-label=(w::STANDING.of(l)) {
            dl.facts {
                div { dt { (w::STANDING.of(l)) } dd { (state::standing(custody.standing(), l)) } }
                div { dt { (w::RECEIVED_AT.of(l)) } dd { (time::minute(custody.received_at.as_ref(), l)) } }
                div { dt { (w::DUE_AT.of(l)) } dd { (time::minute(custody.due_at.as_ref(), l)) } }
                @if custody.finished_at.is_some() {
                    div { dt { (w::FINISHED_AT.of(l)) } dd { (time::minute(custody.finished_at.as_ref(), l)) } }
                }
                div { dt { (w::USED.of(l)) } dd { (time::worked(custody.working_seconds_used, l)) } }
                @if custody.due_at.is_some() {
                    div { dt { (w::LEFT.of(l)) } dd { (time::left(custody.working_seconds_left, l)) } }
                }
                @if !custody.procedure_code.is_empty() {
                    div { dt { (w::PROCEDURE.of(l)) } dd {
                        (code(&custody.procedure_code)) " " (safe(&custody.procedure_name))
                        @if !custody.procedure_version.is_empty() { " " small.quiet { (w::PROCEDURE_VERSION.of(l)) " " (safe(&custody.procedure_version)) } }
                    } }
                }
                @if !custody.calendar.is_empty() {
                    div { dt { (w::CALENDAR.of(l)) } dd { (code(&custody.calendar)) } }
                }
            }
            p.row {
                a.button.plain href=(paper("/control-slip")) { (icon(Icon::Print)) " " (w::SLIP.of(l)) }
                @if late { a.button.plain href=(paper("/apology")) { (icon(Icon::Print)) " " (w::APOLOGY.of(l)) } }
            }
        }
    }
}

/// Each holding, and when the clock stood still.
pub(super) fn table(custody: &v1::CaseCustody, l: Language) -> Markup {
    html! {
        section.card #custody data-region="" aria-labelledby="custody-title" {
            h2 #custody-title { (w::CUSTODY.of(l)) }
            p.quiet { (w::CUSTODY_TEXT.of(l)) }
            @if custody.holdings.is_empty() { p { (w::NO_CUSTODY.of(l)) } } @else {
                div.scroll tabindex="0" role="region" aria-labelledby="custody-title" {
                    table {
                        caption.unseen { (w::CUSTODY_CAPTION.of(l)) }
                        thead { tr {
                            @for word in [w::AGENCY, w::STEP, w::SINCE, w::UNTIL, w::DUE_AT, w::USED, w::ALLOWED, w::STANDING] {
                                th scope="col" { (word.of(l)) }
                            }
                        } }
                        tbody { @for holding in &custody.holdings { (row(holding, l)) } }
                    }
                }
            }
            @if !custody.pauses.is_empty() { (pauses(&custody.pauses, l)) }
        }
    }
}

fn row(holding: &v1::Holding, l: Language) -> Markup {
    let used = holding.working_seconds_used;
    let allowed = holding.working_seconds_allowed;
    html! {
        tr.open[holding.until.is_none()] {
            th.wide scope="row" { (safe_or_dash(&holding.agency_name)) br; small { (code(&holding.agency)) @if !holding.from.is_empty() { " ← " (code(&holding.from)) } } }
            td { (safe_or_dash(&holding.step)) }
            td {
                (time::minute(holding.since.as_ref(), l))
                @if holding.working_seconds_on_the_way > 0 { br; small.quiet { (w::ON_THE_WAY.of(l)) " " (time::hours(holding.working_seconds_on_the_way, l)) } }
            }
            td {
                @if holding.until.is_some() { (time::minute(holding.until.as_ref(), l)) }
                @else if holding.since.is_some() { (state::badge("go", Icon::Flag, w::HOLDS_NOW, l)) }
                @else { (state::badge("wait", Icon::Clock, w::ON_ITS_WAY, l)) }
            }
            td { (time::minute(holding.due_at.as_ref(), l)) }
            td.late[allowed > 0 && used > allowed] { (time::hours(used, l)) }
            td { @if allowed > 0 { (time::hours(allowed, l)) } }
            td { (state::standing(holding.standing(), l)) }
        }
    }
}

fn pauses(pauses: &[v1::CasePause], l: Language) -> Markup {
    html! {
        h3 { (w::PAUSES.of(l)) }
        div.scroll tabindex="0" role="region" aria-label=(w::PAUSES.of(l)) { table {
            caption.unseen { (w::PAUSES_CAPTION.of(l)) }
            thead { tr { @for word in [w::AGENCY, w::SINCE, w::UNTIL, w::CODE] { th scope="col" { (word.of(l)) } } } }
            tbody {
                @for pause in pauses {
                    tr {
                        th scope="row" { (code_or_dash(&pause.agency)) }
                        td { (time::minute(pause.since.as_ref(), l)) }
                        td { (time::minute(pause.until.as_ref(), l)) }
                        td { (code_or_dash(&pause.code)) }
                    }
                }
            }
        } }
    }
}
