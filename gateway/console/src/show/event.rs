//! Events of the evidence log, read out of receipts and put into words.

use gateway_model::Reason;
use gateway_model::language::Language;
use maud::{Markup, html};
use prost::Message as _;
use proto::v1;

use super::icon::{Icon, icon};
use super::text::{code, safe};
use crate::words::{Word, state as w};

/// One event with its place in its gateway's log.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Told {
    /// The event.
    pub event: v1::Event,
    /// Index of its leaf.
    pub leaf: u64,
    /// Whether the asked gateway saw it itself.
    pub local: bool,
}

impl Told {
    /// Reads the event of a receipt; `None` when the bytes are no event.
    pub(crate) fn of(receipt: Option<&v1::Receipt>, local: bool) -> Option<Self> {
        let receipt = receipt?;
        let event = v1::Event::decode(receipt.event.clone()).ok()?;
        Some(Self { event, leaf: receipt.leaf_index, local })
    }
}

/// What happened, with its shape.
pub(crate) fn event(kind: v1::EventKind, l: Language) -> Markup {
    let (tone, shape, word) = event_words(kind);
    html! { span class={ "event " (tone) } { (icon(shape)) " " (word.of(l)) } }
}

/// Tone, shape and word of an event.
pub(crate) fn event_words(kind: v1::EventKind) -> (&'static str, Icon, Word) {
    use v1::EventKind as K;
    match kind {
        K::Accepted => ("go", Icon::Shield, w::EVENT_ACCEPTED),
        K::Forwarded => ("go", Icon::Arrow, w::EVENT_FORWARDED),
        K::Delivered => ("good", Icon::Check, w::EVENT_DELIVERED),
        K::Refused => ("bad", Icon::Cross, w::EVENT_REFUSED),
        K::Held => ("warn", Icon::Pause, w::EVENT_HELD),
        K::Released => ("go", Icon::Arrow, w::EVENT_RELEASED),
        K::Retried => ("go", Icon::Live, w::EVENT_RETRIED),
        K::Expired => ("bad", Icon::Hourglass, w::EVENT_EXPIRED),
        K::Succeeded => ("plain", Icon::Arrow, w::EVENT_SUCCEEDED),
        K::Returned => ("plain", Icon::Back, w::EVENT_RETURNED),
        K::Recorded => ("good", Icon::Receipt, w::EVENT_RECORDED),
        K::Rerouted => ("plain", Icon::Arrow, w::EVENT_REROUTED),
        K::Unspecified => ("plain", Icon::Warning, w::UNKNOWN),
    }
}

/// What an operator did, by its name on the wire; a name that is not known here stands as it is.
pub(crate) fn act(name: &str, l: Language) -> Markup {
    let (tone, shape, word) = match name {
        "held" => ("warn", Icon::Pause, w::ACT_HELD),
        "released" => ("go", Icon::Arrow, w::ACT_RELEASED),
        "retried" => ("go", Icon::Live, w::ACT_RETRIED),
        "returned" => ("plain", Icon::Back, w::ACT_RETURNED),
        "rerouted" => ("plain", Icon::Arrow, w::ACT_REROUTED),
        "paused" => ("warn", Icon::Pause, w::ACT_PAUSED),
        "resumed" => ("go", Icon::Arrow, w::ACT_RESUMED),
        "bulk-planned" => ("plain", Icon::Layers, w::ACT_BULK_PLANNED),
        "bulk-approved" => ("go", Icon::Layers, w::ACT_BULK_APPROVED),
        "bulk-started" => ("go", Icon::Layers, w::ACT_BULK_STARTED),
        "bulk-stopped" => ("warn", Icon::Layers, w::ACT_BULK_STOPPED),
        "exported" => ("plain", Icon::Book, w::ACT_EXPORTED),
        "signed-in" => ("plain", Icon::Shield, w::ACT_SIGNED_IN),
        _ => return code(name),
    };
    html! { span class={ "event " (tone) } { (icon(shape)) " " (word.of(l)) } }
}

/// A reason code with its words; nothing for no code.
pub(crate) fn reason(raw: &str, l: Language) -> Markup {
    let known = Reason::parse(raw);
    html! {
        @if let Some(reason) = known {
            span.reason { (reason.message(l)) " " (code(raw)) }
        } @else if !raw.is_empty() {
            span.reason { (code(raw)) }
        }
    }
}

/// What an operator stated.
pub(crate) fn note(text: &str) -> Markup {
    html! { @if !text.is_empty() { " " q.note { (safe(text)) } } }
}
