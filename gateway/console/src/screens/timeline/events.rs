//! The table of technical receipts: what machines received, verified, forwarded and delivered.

use gateway_model::language::Language;
use maud::{Markup, html};

use crate::show::event::{self, Told};
use crate::show::icon::{Icon, icon};
use crate::show::text::{code, code_or_dash, digest};
use crate::show::{state, time};
use crate::words::timeline as w;

/// Every event, oldest first.
pub(super) fn table(told: &[Told], cut: bool, download: &str, l: Language) -> Markup {
    html! {
        section.card.receipts-block #receipts data-region="" aria-labelledby="receipts-title" {
            h2 #receipts-title { (icon(Icon::Receipt)) " " (w::RECEIPTS.of(l)) }
            p.quiet { (w::RECEIPTS_TEXT.of(l)) }
            @if cut { p.notice { (w::CUT.of(l)) } }
            div.scroll tabindex="0" role="region" aria-label=(w::EVENTS_CAPTION.of(l)) {
                table {
                    caption.unseen { (w::EVENTS_CAPTION.of(l)) }
                    thead { tr {
                        @for word in [w::TIME, w::GATEWAY, w::EVENT, w::PARTY, w::RECIPIENTS, w::KNOWLEDGE, w::EVIDENCE] {
                            th scope="col" { (word.of(l)) }
                        }
                    } }
                    tbody { @for told in told { (row(told, l)) } }
                }
            }
            p.row {
                a.button.plain href=(download) download { (icon(Icon::Receipt)) " " (w::DOWNLOAD.of(l)) }
                span.quiet { (w::DOWNLOAD_HOW.of(l)) " " code { "lienthong receipt verify receipts.bin" } }
            }
        }
    }
}

/// Recipients that a row names; a broadcast has thousands.
const RECIPIENTS_MAX: usize = 3;

fn row(told: &Told, l: Language) -> Markup {
    let event = &told.event;
    let more = event.recipients.len().saturating_sub(RECIPIENTS_MAX);
    html! {
        tr {
            td { (time::moment(event.at.as_ref(), l)) }
            th scope="row" { (code(&event.gateway)) }
            td.wide {
                (event::event(event.kind(), l))
                @if event.attempt > 0 { " " small.quiet { "(" (w::ATTEMPT.of(l)) " " (event.attempt) ")" } }
                @if !event.reason.is_empty() { br; small { (event::reason(&event.reason, l)) } }
                (event::note(&event.note))
            }
            td { (code_or_dash(&event.counterpart)) }
            td {
                @for (index, recipient) in event.recipients.iter().take(RECIPIENTS_MAX).enumerate() {
                    @if index > 0 { ", " }
                    (code(recipient))
                }
                @if more > 0 { " +" (more) }
            }
            td {
                @if told.local { (state::badge("plain", Icon::Check, w::KNOWN_HERE, l)) } @else {
                    (state::badge("plain", Icon::Receipt, w::KNOWN_THERE, l))
                }
            }
            td { (w::LEAF.of(l)) " " (told.leaf) br; small { (digest(&event.envelope_sha256)) } }
        }
    }
}
