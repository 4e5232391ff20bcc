//! Badges: a colour, a shape and a word for each state, cause and standing.

use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;

use super::icon::{Icon, icon};
use super::text::code;
use crate::words::{Word, state as w};

/// A badge: how it is coloured, its shape, its word.
pub(crate) fn badge(tone: &str, shape: Icon, word: Word, l: Language) -> Markup {
    html! { span class={ "badge " (tone) } { (icon(shape)) span { (word.of(l)) } } }
}

/// A technical state, with its sentence of explanation.
pub(crate) fn delivery(status: v1::DeliveryStatus, l: Language) -> Markup {
    let (tone, shape, word, text) = delivery_words(status);
    html! { span class={ "badge " (tone) } title=[text.map(|text| text.of(l))] { (icon(shape)) span { (word.of(l)) } } }
}

/// Tone, shape, word and explanation of a technical state.
pub(crate) fn delivery_words(status: v1::DeliveryStatus) -> (&'static str, Icon, Word, Option<Word>) {
    match status {
        v1::DeliveryStatus::Waiting => ("wait", Icon::Clock, w::WAITING, Some(w::WAITING_TEXT)),
        v1::DeliveryStatus::Forwarded => ("go", Icon::Arrow, w::FORWARDED, Some(w::FORWARDED_TEXT)),
        v1::DeliveryStatus::Delivered => ("good", Icon::Check, w::DELIVERED, Some(w::DELIVERED_TEXT)),
        v1::DeliveryStatus::Refused => ("bad", Icon::Cross, w::REFUSED, Some(w::REFUSED_TEXT)),
        v1::DeliveryStatus::Held => ("warn", Icon::Pause, w::HELD, Some(w::HELD_TEXT)),
        v1::DeliveryStatus::Expired => ("bad", Icon::Hourglass, w::EXPIRED, Some(w::EXPIRED_TEXT)),
        v1::DeliveryStatus::Returned => ("plain", Icon::Back, w::RETURNED, Some(w::RETURNED_TEXT)),
        v1::DeliveryStatus::Unspecified => ("plain", Icon::Warning, w::UNKNOWN, None),
    }
}

/// How a file or a hand-over stands against its due time.
pub(crate) fn standing(standing: v1::CaseStanding, l: Language) -> Markup {
    let (tone, shape) = match standing {
        v1::CaseStanding::InWork => ("go", Icon::Clock),
        v1::CaseStanding::InWorkLate => ("bad", Icon::Warning),
        v1::CaseStanding::Early | v1::CaseStanding::OnTime => ("good", Icon::Check),
        v1::CaseStanding::Late => ("bad", Icon::Cross),
        v1::CaseStanding::Paused => ("plain", Icon::Pause),
        v1::CaseStanding::Ended => ("plain", Icon::Check),
        v1::CaseStanding::Unspecified => ("plain", Icon::Warning),
    };
    badge(tone, shape, standing_word(standing), l)
}

/// The word for it.
pub(crate) fn standing_word(standing: v1::CaseStanding) -> Word {
    match standing {
        v1::CaseStanding::InWork => w::IN_WORK,
        v1::CaseStanding::InWorkLate => w::IN_WORK_LATE,
        v1::CaseStanding::Early => w::EARLY,
        v1::CaseStanding::OnTime => w::ON_TIME,
        v1::CaseStanding::Late => w::LATE,
        v1::CaseStanding::Paused => w::PAUSED_CLOCK,
        v1::CaseStanding::Ended => w::ENDED,
        v1::CaseStanding::Unspecified => w::UNKNOWN,
    }
}

/// Why something needs a person.
pub(crate) fn cause(cause: v1::StuckCause) -> (Icon, Word) {
    match cause {
        v1::StuckCause::PeerDown => (Icon::Ladder, w::CAUSE_PEER_DOWN),
        v1::StuckCause::AdapterError => (Icon::Warning, w::CAUSE_ADAPTER_ERROR),
        v1::StuckCause::NotPickedUp => (Icon::Hourglass, w::CAUSE_NOT_PICKED_UP),
        v1::StuckCause::Certificate => (Icon::Shield, w::CAUSE_CERTIFICATE),
        v1::StuckCause::Revocation => (Icon::Shield, w::CAUSE_REVOCATION),
        v1::StuckCause::Held => (Icon::Pause, w::CAUSE_HELD),
        v1::StuckCause::Refused => (Icon::Cross, w::CAUSE_REFUSED),
        v1::StuckCause::ReceiptOverdue => (Icon::Receipt, w::CAUSE_RECEIPT_OVERDUE),
        v1::StuckCause::Paused => (Icon::Pause, w::CAUSE_PAUSED),
        v1::StuckCause::Gateway => (Icon::Pulse, w::CAUSE_GATEWAY),
        v1::StuckCause::Unspecified => (Icon::Warning, w::CAUSE_UNKNOWN),
    }
}

/// A business status: the flag and the raw code, never the badge of a technical state.
pub(crate) fn business(raw: &str, l: Language) -> Markup {
    html! {
        span.business {
            (icon(Icon::Flag)) " "
            @if let Some(word) = business_word(raw) { b { (word.of(l)) } " " }
            (code(raw))
        }
    }
}

/// The word for a raw business status; vendors remap codes, so that only the usual ones have one.
fn business_word(raw: &str) -> Option<Word> {
    match raw {
        "01" => Some(w::BUSINESS_01),
        "02" => Some(w::BUSINESS_02),
        "03" => Some(w::BUSINESS_03),
        "04" => Some(w::BUSINESS_04),
        "05" => Some(w::BUSINESS_05),
        "06" => Some(w::BUSINESS_06),
        "13" => Some(w::BUSINESS_13),
        "15" => Some(w::BUSINESS_15),
        "16" => Some(w::BUSINESS_16),
        _ => None,
    }
}

/// What an envelope is.
pub(crate) fn kind(kind: &str) -> Word {
    match kind {
        "document" => w::KIND_DOCUMENT,
        "dossier" => w::KIND_DOSSIER,
        "status" => w::KIND_STATUS,
        "change-request" => w::KIND_CHANGE_REQUEST,
        "change-answer" => w::KIND_CHANGE_ANSWER,
        _ => w::KIND_OPAQUE,
    }
}
