//! The ladder as SVG: classes only, no inline style; every mark says its words to a pointer.

use gateway_model::language::Language;
use maud::{Markup, html};

use super::{Knowledge, Ladder, Mark, Move, Rung, Shape};
use crate::show::text::visible;
use crate::words::timeline as w;

const LABELS_WIDTH: usize = 210;
/// A column is as wide as a picture of this width allows, within bounds.
const COLUMNS_WIDTH: usize = 800;
const COLUMN_WIDTH_MIN: usize = 78;
const COLUMN_WIDTH_MAX: usize = 130;
const RUNG_HEIGHT: usize = 92;
const MARGIN: usize = 34;
/// How far an arrow stays away from the middle of a mark.
const CLEARANCE: f64 = 15.0;
const LABEL_CHARS_MAX: usize = 22;

/// The picture, in a region of its own that can be scrolled by keyboard.
pub(super) fn picture(ladder: &Ladder, l: Language) -> Markup {
    let width = LABELS_WIDTH + ladder.marks.len() * column_width(ladder) + MARGIN;
    let height = ladder.rungs.len() * RUNG_HEIGHT + MARGIN;
    html! {
        div.scroll.ladder tabindex="0" role="region" aria-label=(w::LADDER.of(l)) {
            svg viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) role="img" aria-label=(w::LADDER_TEXT.of(l)) {
                defs {
                    marker #head viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse" {
                        path.head d="M0 0.8 L9 5 L0 9.2 Z" {}
                    }
                }
                @for x in [LABELS_WIDTH - 22, width - 12] {
                    line.rail x1=(x) x2=(x) y1="8" y2=(height - 8) {}
                }
                @for (index, rung) in ladder.rungs.iter().enumerate() {
                    (draw_rung(rung, line_of(index), width, l))
                }
                @for step in &ladder.moves { (draw_move(ladder, *step)) }
                @for mark in &ladder.marks { (draw_mark(ladder, mark)) }
            }
        }
    }
}

fn draw_rung(rung: &Rung, y: usize, width: usize, l: Language) -> Markup {
    let (class, word) = match rung.knowledge {
        Knowledge::Here => ("rung here", w::KNOWN_HERE),
        Knowledge::Told => ("rung", w::WITH_PROOF),
        Knowledge::Lacking => ("rung lacking", w::LOCAL_ONLY),
    };
    html! {
        g class=(class) {
            line x1=(LABELS_WIDTH - 22) x2=(width - 12) y1=(y) y2=(y) {}
            text.name x="6" y=(y - 4) { (short(&rung.gateway)) title { (visible(&rung.gateway)) } }
            text.note x="6" y=(y + 14) { (short(word.of(l))) title { (word.of(l)) } }
        }
    }
}

fn draw_move(ladder: &Ladder, step: Move) -> Markup {
    let [from, to] = [step.from, step.to].map(|index| place(ladder, &ladder.marks[index]));
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length * CLEARANCE, dy / length * CLEARANCE);
    let class = if step.waits { "move waits" } else { "move" };
    let line = format!("M{:.1} {:.1} L{:.1} {:.1}", from.0 + ux, from.1 + uy, to.0 - ux, to.1 - uy);
    html! { path class=(class) d=(line) marker-end="url(#head)" {} }
}

fn draw_mark(ladder: &Ladder, mark: &Mark) -> Markup {
    let (x, y) = place(ladder, mark);
    let [hour, day] = mark.when();
    let (class, outline, sign) = forms(mark.shape);
    html! {
        g class={ "mark " (class) } transform=(format!("translate({x} {y})")) {
            title { (visible(&mark.words)) }
            path.outline d=(outline) {}
            path.sign d=(sign) {}
            text y="27" { (hour) }
            text.day y="39" { (day) }
        }
    }
}

/// Class, outline and sign, around the middle.
fn forms(shape: Shape) -> (&'static str, &'static str, &'static str) {
    const CIRCLE: &str = "M0 -10 A10 10 0 1 0 0 10 A10 10 0 1 0 0 -10 Z";
    match shape {
        Shape::Accepted => ("go", CIRCLE, "M-4 0 L-1 3 L4.5 -3"),
        Shape::Status => ("status", "M-9 -10 H9 V10 H-9 Z", "M-3.5 7 V-6 H5 L3 -3 L5 0 H-3.5"),
        Shape::Delivered => ("good", "M-10 -10 H10 V10 H-10 Z", "M-5 0 L-1.5 4 L5.5 -4"),
        Shape::Held => ("warn", "M0 -12 L12 0 L0 12 L-12 0 Z", "M-2.6 -4 V4 M2.6 -4 V4"),
        Shape::Ended => {
            ("bad", "M-4.5 -11 H4.5 L11 -4.5 V4.5 L4.5 11 H-4.5 L-11 4.5 V-4.5 Z", "M-4 -4 L4 4 M4 -4 L-4 4")
        }
        Shape::Waiting => ("wait", CIRCLE, "M0 -5.5 V0 L3.5 2.5"),
    }
}

/// Small copies of the shapes with their words.
pub(crate) fn legend(l: Language) -> Markup {
    let entries = [
        (Shape::Accepted, w::LEGEND_ACCEPTED),
        (Shape::Status, w::LEGEND_STATUS),
        (Shape::Delivered, w::LEGEND_DELIVERED),
        (Shape::Waiting, w::LEGEND_WAIT),
        (Shape::Held, w::LEGEND_HELD),
        (Shape::Ended, w::LEGEND_REFUSED),
    ];
    html! {
        ul.legend aria-label=(w::LEGEND.of(l)) {
            @for (shape, word) in entries {
                @let (class, outline, sign) = forms(shape);
                li {
                    svg.ladder-key viewBox="-13 -13 26 26" width="18" height="18" aria-hidden="true" {
                        g class={ "mark " (class) } { path.outline d=(outline) {} path.sign d=(sign) {} }
                    }
                    " " (word.of(l))
                }
            }
            li {
                svg.ladder-key viewBox="0 0 30 18" width="30" height="18" aria-hidden="true" { path.move d="M2 9 H26" marker-end="url(#head)" {} }
                " " (w::LEGEND_MOVE.of(l))
            }
        }
    }
}

fn place(ladder: &Ladder, mark: &Mark) -> (f64, f64) {
    let width = column_width(ladder);
    ((LABELS_WIDTH + mark.column * width + width / 2) as f64, line_of(mark.rung) as f64)
}

fn column_width(ladder: &Ladder) -> usize {
    (COLUMNS_WIDTH / ladder.marks.len().max(1)).clamp(COLUMN_WIDTH_MIN, COLUMN_WIDTH_MAX)
}

fn line_of(rung: usize) -> usize {
    MARGIN + rung * RUNG_HEIGHT + 6
}

fn short(text: &str) -> String {
    let text = visible(text);
    if text.chars().count() <= LABEL_CHARS_MAX {
        return text.into_owned();
    }
    text.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}
