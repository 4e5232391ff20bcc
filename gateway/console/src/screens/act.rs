//! What a person does to one delivery or one destination: a reason, a button, one call of the door.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;
use proto::v1::operate_service_server::OperateService;

use super::sign_in::see;
use crate::fault::{self, Fault};
use crate::fields::{Fields, address};
use crate::page::{Page, Section};
use crate::show::icon::{Icon, icon};
use crate::show::number;
use crate::show::text::{code, safe, visible};
use crate::visit::{Form, Visit};
use crate::words::{Word, act as w};

/// Characters of a reason.
const REASON_CHARS_MAX: u32 = 500;
/// Field of a form that says why; `reason` is a filter's reason code.
pub(crate) const REASON_FIELD: &str = "why";
/// Field that says, after a redirect, what was done.
const DONE_FIELD: &str = "done";

/// What can be done to a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Retry,
    Hold,
    Release,
    Return,
    Reroute,
}

impl Action {
    const ALL: [Self; 5] = [Self::Retry, Self::Hold, Self::Release, Self::Return, Self::Reroute];

    fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Return => "return",
            Self::Reroute => "reroute",
        }
    }

    fn word(self) -> Word {
        match self {
            Self::Retry => w::RETRY,
            Self::Hold => w::HOLD,
            Self::Release => w::RELEASE,
            Self::Return => w::RETURN,
            Self::Reroute => w::REROUTE,
        }
    }

    /// What a state allows. The door decides; this only spares a person a refusal.
    fn allowed(status: v1::DeliveryStatus) -> &'static [Self] {
        match status {
            v1::DeliveryStatus::Waiting => &[Self::Retry, Self::Hold, Self::Reroute, Self::Return],
            v1::DeliveryStatus::Forwarded => &[Self::Retry],
            v1::DeliveryStatus::Held => &[Self::Release, Self::Reroute, Self::Return],
            v1::DeliveryStatus::Delivered
            | v1::DeliveryStatus::Refused
            | v1::DeliveryStatus::Expired
            | v1::DeliveryStatus::Returned
            | v1::DeliveryStatus::Unspecified => &[],
        }
    }
}

/// `POST /deliveries/{delivery}/{action}`.
///
/// # Cancellation
/// The door may have acted; the page shows what it did.
pub(crate) async fn delivery<D: OperateService>(
    Path((delivery_id, action)): Path<(String, String)>,
    form: Form<D>,
) -> Result<Response, Fault> {
    let Form { visit, fields } = &form;
    let Some(action) = Action::ALL.into_iter().find(|known| known.as_str() == action) else {
        return Err(visit.fault(StatusCode::NOT_FOUND, fault::missing(visit.look.language)));
    };
    let reason = fields.first(REASON_FIELD).to_owned();
    let door = visit.door();
    match action {
        Action::Retry => {
            visit.ask(door.retry(visit.request(v1::RetryRequest { delivery_id, reason }))).await?;
        }
        Action::Hold => {
            visit.ask(door.hold(visit.request(v1::HoldRequest { delivery_id, reason }))).await?;
        }
        Action::Release => {
            visit.ask(door.release(visit.request(v1::ReleaseRequest { delivery_id, reason }))).await?;
        }
        Action::Return => {
            let request = v1::ReturnToSenderRequest { delivery_id, reason };
            visit.ask(door.return_to_sender(visit.request(request))).await?;
        }
        Action::Reroute => {
            let via = fields.first("via").to_owned();
            visit.ask(door.reroute(visit.request(v1::RerouteRequest { delivery_id, reason, via }))).await?;
        }
    }
    Ok(see_done(&visit.look.place, action.as_str()))
}

/// `POST /destinations/{action}`: pause, resume or ping.
///
/// # Cancellation
/// The door may have acted; the page shows what it did.
pub(crate) async fn destination<D: OperateService>(
    Path(action): Path<String>,
    form: Form<D>,
) -> Result<Response, Fault> {
    let Form { visit, fields } = &form;
    let (destination, reason) = (fields.first("destination").to_owned(), fields.first(REASON_FIELD).to_owned());
    let door = visit.door();
    match action.as_str() {
        "pause" => {
            visit.ask(door.pause(visit.request(v1::PauseRequest { destination, reason }))).await?;
        }
        "resume" => {
            visit.ask(door.resume(visit.request(v1::ResumeRequest { destination, reason }))).await?;
        }
        "ping" => {
            let gateway = destination.strip_prefix("gateway:").unwrap_or_default().to_owned();
            let answer = visit.ask(door.ping_peer(visit.request(v1::PingPeerRequest { gateway }))).await?;
            return Ok(visit.page(&pong(&answer, visit.look.language)));
        }
        _ => return Err(visit.fault(StatusCode::NOT_FOUND, fault::missing(visit.look.language))),
    }
    Ok(see_done(&visit.look.place, &action))
}

/// Back to the page that the form stood on, which then says what was done.
pub(crate) fn see_done(place: &str, done: &str) -> Response {
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    see(&Fields::read(query.as_bytes()).without(DONE_FIELD).with(DONE_FIELD, done).address(path))
}

/// What was done just now, when the address says so.
pub(crate) fn done<D: OperateService>(visit: &Visit<D>) -> Markup {
    let word = match visit.query.first(DONE_FIELD) {
        "retry" => Some(w::DONE_RETRY),
        "hold" => Some(w::DONE_HOLD),
        "release" => Some(w::DONE_RELEASE),
        "return" => Some(w::DONE_RETURN),
        "reroute" => Some(w::DONE_REROUTE),
        "pause" => Some(w::DONE_PAUSE),
        "resume" => Some(w::DONE_RESUME),
        "plan" => Some(w::DONE_PLAN),
        "approve" => Some(w::DONE_APPROVE),
        "run" => Some(w::DONE_RUN),
        "stop" => Some(w::DONE_STOP),
        _ => None,
    };
    html! {
        @if let Some(word) = word { p.notice.good role="status" { (icon(Icon::Check)) " " (word.of(visit.look.language)) } }
    }
}

/// A row of its own under a delivery, with what its state and the reader's role allow; nothing when that is nothing.
pub(crate) fn delivery_row<D: OperateService>(
    delivery: &str,
    status: v1::DeliveryStatus,
    peers: &[v1::PeerState],
    columns: usize,
    visit: &Visit<D>,
) -> Markup {
    let l = visit.look.language;
    let allowed = Action::allowed(status);
    let place = |action: Action| format!("/deliveries/{}/{}", visible(delivery), action.as_str());
    let Some(first) = allowed.first().filter(|_| visit.may_act()) else { return Markup::default() };
    let forms = html! {
        form.action method="post" action=(place(*first)) {
            (visit.hidden())
            (reason_field(l))
            @for action in [Action::Retry, Action::Release, Action::Hold].into_iter().filter(|action| allowed.contains(action)) {
                button type="submit" formaction=(place(action)) { (action.word().of(l)) }
            }
            @if allowed.contains(&Action::Reroute) && !peers.is_empty() {
                label.short { span { (w::VIA.of(l)) } select name="via" {
                    @for peer in peers { option value=(peer.gateway) { (visible(&peer.gateway)) } }
                } }
                button.plain type="submit" formaction=(place(Action::Reroute)) { (Action::Reroute.word().of(l)) }
            }
        }
        @if allowed.contains(&Action::Return) {
            form.action method="post" action=(place(Action::Return)) {
                (visit.hidden())
                (reason_field(l))
                label.check { input type="checkbox" required; " " (w::RETURN_FINAL.of(l)) }
                button.danger type="submit" { (Action::Return.word().of(l)) }
            }
        }
    };
    row(columns, &forms, l)
}

/// A row of its own under a destination: pause or resume, and ping for a gateway.
pub(crate) fn destination_row<D: OperateService>(
    destination: &str,
    paused: bool,
    columns: usize,
    visit: &Visit<D>,
) -> Markup {
    if !visit.may_act() {
        return Markup::default();
    }
    row(columns, &destination_forms(destination, paused, visit), visit.look.language)
}

/// The same where there is no table.
pub(crate) fn destination_block<D: OperateService>(destination: &str, paused: bool, visit: &Visit<D>) -> Markup {
    if !visit.may_act() {
        return Markup::default();
    }
    folded(&destination_forms(destination, paused, visit), visit.look.language)
}

fn destination_forms<D: OperateService>(destination: &str, paused: bool, visit: &Visit<D>) -> Markup {
    let l = visit.look.language;
    let (action, word) = if paused { ("resume", w::RESUME) } else { ("pause", w::PAUSE) };
    html! {
        form.action method="post" action={ "/destinations/" (action) } {
            (visit.hidden())
            input type="hidden" name="destination" value=(destination);
            (reason_field(l))
            button type="submit" { (word.of(l)) }
        }
        @if destination.starts_with("gateway:") {
            form.action method="post" action="/destinations/ping" {
                (visit.hidden())
                input type="hidden" name="destination" value=(destination);
                button.plain type="submit" { (w::PING.of(l)) }
            }
        }
    }
}

fn row(columns: usize, forms: &Markup, l: Language) -> Markup {
    html! { tr.acts { td colspan=(columns) { (folded(forms, l)) } } }
}

fn folded(forms: &Markup, l: Language) -> Markup {
    html! { details.actions { summary { (w::ACTIONS.of(l)) } (forms) } }
}

/// Why: written into the audit.
pub(crate) fn reason_field(l: Language) -> Markup {
    html! {
        label { span { (w::REASON.of(l)) }
            input type="text" name=(REASON_FIELD) required maxlength=(REASON_CHARS_MAX) autocomplete="off" title=(w::REASON_HINT.of(l)) placeholder=(w::REASON_HINT.of(l));
        }
    }
}

fn pong(answer: &v1::PingPeerResponse, l: Language) -> Page {
    Page::new(w::PING.of(l)).section(Section::Peers).body(html! {
        section.card.narrow role="status" {
            h1 { (icon(Icon::Check)) " " (code(&answer.gateway)) " " (w::PONG.of(l)) }
            p { (w::PONG_AFTER.of(l)) " " (number::decimal(answer.milliseconds, l)) " ms · " (safe(&answer.version)) " · "
                (w::PONG_DIRECTORY.of(l)) " " (answer.directory_version) }
            p { a.button href=(address("/peers", &[])) { (crate::words::fault::BACK.of(l)) } }
        }
    })
}
