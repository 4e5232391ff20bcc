//! Stacked bars: early, on time, late, in work. Each part has a pattern besides its colour.

use gateway_model::language::Language;
use maud::{Markup, html};
use proto::v1;

use super::number;
use super::text::visible;
use crate::words::{Word, statistics as w};

/// Bars that are drawn.
pub(crate) const BARS_MAX: usize = 24;

/// Labels are as wide as the longest of them asks for, within bounds.
const LABELS_WIDTH_MIN: u64 = 90;
const LABELS_WIDTH_MAX: u64 = 250;
const CHARACTER_WIDTH: u64 = 8;
const BARS_WIDTH: u64 = 560;
const COUNTS_WIDTH: u64 = 90;
const BAR_HEIGHT: usize = 18;
const BAR_STEP: usize = 28;
const LABEL_CHARS_MAX: usize = 32;

/// One part of a bar.
struct Part {
    class: &'static str,
    word: Word,
    count: fn(&v1::StatisticsRow) -> u64,
}

const PARTS: [Part; 6] = [
    Part { class: "early", word: w::EARLY, count: |row| row.early },
    Part { class: "on-time", word: w::ON_TIME, count: |row| row.on_time },
    Part { class: "late", word: w::LATE, count: |row| row.late },
    Part { class: "in-work", word: w::IN_WORK, count: |row| row.in_work },
    Part { class: "in-work-late", word: w::IN_WORK_LATE, count: |row| row.in_work_late },
    Part { class: "ended", word: w::ENDED, count: |row| row.ended },
];

/// The bars, the longest as long as there is room. The table under it says the same in numbers.
pub(crate) fn bars(rows: &[&v1::StatisticsRow], l: Language) -> Markup {
    let longest = rows.iter().map(|row| sum(row)).max().unwrap_or(0).max(1);
    let longest_label = rows.iter().map(|row| short(label(row, l)).chars().count() as u64).max().unwrap_or(0);
    let labels = (longest_label * CHARACTER_WIDTH + 16).clamp(LABELS_WIDTH_MIN, LABELS_WIDTH_MAX);
    let (width, height) = (labels + BARS_WIDTH + COUNTS_WIDTH, rows.len() * BAR_STEP + 8);
    html! {
        (legend(l))
        div.scroll tabindex="0" role="region" aria-label=(w::CHART.of(l)) {
            svg.chart viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) role="img" aria-label=(w::CAPTION.of(l)) {
                (patterns())
                @for (index, row) in rows.iter().enumerate() { (bar(row, labels, index * BAR_STEP + 4, longest, l)) }
            }
        }
    }
}

fn bar(row: &v1::StatisticsRow, labels: u64, y: usize, longest: u64, l: Language) -> Markup {
    let name = label(row, l);
    let mut done = 0;
    let parts: Vec<(&Part, u64, f64, f64)> = PARTS
        .iter()
        .filter_map(|part| {
            let count = (part.count)(row);
            let from = length(done, longest);
            done = done.saturating_add(count);
            (count > 0).then(|| (part, count, from, length(done, longest) - from))
        })
        .collect();
    let text_line = y + BAR_HEIGHT / 2 + 4;
    html! {
        g {
            text.label x=(labels - 10) y=(text_line) { (short(name)) title { (visible(name)) } }
            @for (part, count, from, width) in &parts {
                @for class in [part.class, "pattern"] {
                    rect class={ "part " (class) } x=(format!("{:.1}", labels as f64 + from)) y=(y)
                        width=(format!("{width:.1}")) height=(BAR_HEIGHT)
                        fill=[(class == "pattern").then(|| format!("url(#of-{})", part.class))] {
                        title { (visible(name)) ": " (part.word.of(l)) " " (number::count(*count, l)) }
                    }
                }
            }
            text.count x=(format!("{:.1}", labels as f64 + length(done, longest) + 8.0)) y=(text_line) { (number::count(row.received, l)) }
        }
    }
}

/// What lies over the colours: nothing, lines across, strokes, dots, a grid, lines down.
fn patterns() -> Markup {
    let drawn = [
        ("early", ""),
        ("on-time", "M0 3 H6"),
        ("late", "M-1 7 L7 -1"),
        ("in-work", "M2.5 3 H3.5"),
        ("in-work-late", "M0 0 L6 6 M6 0 L0 6"),
        ("ended", "M3 0 V6"),
    ];
    html! {
        defs {
            @for (name, path) in drawn {
                pattern id={ "of-" (name) } width="6" height="6" patternUnits="userSpaceOnUse" { path.hatch d=(path) {} }
            }
        }
    }
}

fn legend(l: Language) -> Markup {
    html! {
        ul.legend {
            @for part in &PARTS {
                li {
                    svg viewBox="0 0 18 12" width="18" height="12" aria-hidden="true" {
                        rect class={ "part " (part.class) } width="18" height="12" {}
                        rect.part.pattern width="18" height="12" fill={ "url(#of-" (part.class) ")" } {}
                    }
                    " " (part.word.of(l))
                }
            }
        }
    }
}

fn label(row: &v1::StatisticsRow, l: Language) -> &str {
    match (row.key.as_str(), row.name.as_str()) {
        ("", "") => w::NOBODY_SAID.of(l),
        ("*", "") => w::ALL_OTHERS.of(l),
        (key, "") => key,
        (_, name) => name,
    }
}

fn sum(row: &v1::StatisticsRow) -> u64 {
    PARTS.iter().fold(0, |sum, part| sum.saturating_add((part.count)(row)))
}

fn length(count: u64, longest: u64) -> f64 {
    count as f64 / longest as f64 * BARS_WIDTH as f64
}

fn short(text: &str) -> String {
    let text = visible(text);
    if text.chars().count() <= LABEL_CHARS_MAX {
        return text.into_owned();
    }
    text.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_counts_and_never_longer_than_the_room() {
        let row = |key: &str, early, late| v1::StatisticsRow {
            key: key.to_owned(),
            received: early + late,
            early,
            late,
            ..Default::default()
        };
        let rows = [row("a<b", 30, 10), row("b", 20, 0), row("c", u64::MAX / 2, u64::MAX / 2)];
        let drawn = bars(&[&rows[0], &rows[1]], Language::Vi).into_string();
        for width in ["420.0", "140.0", "280.0"] {
            assert!(drawn.contains(&format!("width=\"{width}\"")), "{width}: {drawn}");
        }
        assert!(drawn.contains("a&lt;b: Trễ hạn 10") && !drawn.contains("a<b"));
        assert!(bars(&[&rows[2]], Language::En).into_string().contains("width=\"280.0\""));
        assert!(bars(&[], Language::En).into_string().contains("</svg>"));
    }
}
