//! Small pictures, drawn here: shape tells what colour tells, for those who do not see it.

use maud::{Markup, html};

/// What is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Icon {
    /// Needs attention.
    Warning,
    /// Waits.
    Clock,
    /// Goes on.
    Arrow,
    /// Arrived.
    Check,
    /// Refused.
    Cross,
    /// Held.
    Pause,
    /// Too late.
    Hourglass,
    /// Goes back.
    Back,
    /// A technical receipt.
    Receipt,
    /// A business status.
    Flag,
    /// What is stuck.
    Stuck,
    /// An alarm.
    Bell,
    /// Search.
    Search,
    /// Gateways.
    Ladder,
    /// Trust.
    Shield,
    /// Many.
    Layers,
    /// Numbers.
    Chart,
    /// Who did what.
    Book,
    /// How it is.
    Pulse,
    /// Paper.
    Print,
    /// Refreshes itself.
    Live,
    /// Light.
    Sun,
    /// Dark.
    Moon,
    /// Light or dark.
    HalfMoon,
}

impl Icon {
    /// A path on a grid of 16, drawn as a line.
    fn path(self) -> &'static str {
        match self {
            Self::Warning => "M8 2 L15 14 H1 Z M8 6.5 V10 M8 11.8 V12.2",
            Self::Clock => "M8 1.8 A6.2 6.2 0 1 0 8 14.2 A6.2 6.2 0 1 0 8 1.8 M8 4.6 V8 L10.6 9.6",
            Self::Arrow => "M2 8 H13 M9 4 L13 8 L9 12",
            Self::Check => "M2.5 8.5 L6.2 12.2 L13.5 4.2",
            Self::Cross => "M3.5 3.5 L12.5 12.5 M12.5 3.5 L3.5 12.5",
            Self::Pause => "M5 3 V13 M11 3 V13",
            Self::Hourglass => "M4 2 H12 M4 14 H12 M5 2 C5 6 11 10 11 14 M11 2 C11 6 5 10 5 14",
            Self::Back => "M6.5 4 L2.5 8 L6.5 12 M2.5 8 H10 A3.5 3.5 0 0 1 10 14",
            Self::Receipt => {
                "M3.5 1.5 H12.5 V14.5 L11 13.2 L9.5 14.5 L8 13.2 L6.5 14.5 L5 13.2 L3.5 14.5 Z M6 5 H10 M6 8 H10"
            }
            Self::Flag => "M4 14.5 V2 H12.5 L10.5 5 L12.5 8 H4",
            Self::Stuck => "M2 4 H14 M4 4 V12 M12 4 V12 M2 12 H14 M6.5 8 H9.5",
            Self::Bell => "M4 11 V7 A4 4 0 0 1 12 7 V11 L13.5 12.5 H2.5 Z M6.8 14.2 H9.2",
            Self::Search => "M7 2.5 A4.5 4.5 0 1 0 7 11.5 A4.5 4.5 0 1 0 7 2.5 M10.4 10.4 L14 14",
            Self::Ladder => "M4.5 1.5 V14.5 M11.5 1.5 V14.5 M4.5 4.5 H11.5 M4.5 8 H11.5 M4.5 11.5 H11.5",
            Self::Shield => {
                "M8 1.8 L13.5 4 V8 C13.5 11.4 11 13.5 8 14.5 C5 13.5 2.5 11.4 2.5 8 V4 Z M5.6 8 L7.4 9.8 L10.6 6.2"
            }
            Self::Layers => "M8 2 L14.5 5.3 L8 8.6 L1.5 5.3 Z M1.5 8.3 L8 11.6 L14.5 8.3 M1.5 11.2 L8 14.5 L14.5 11.2",
            Self::Chart => "M2 14 H14.5 M4 14 V9 M7.5 14 V5 M11 14 V7 M14 14 V2.5",
            Self::Book => {
                "M3 2.5 H11.5 A1.5 1.5 0 0 1 13 4 V14 H4.5 A1.5 1.5 0 0 1 3 12.5 Z M3 12.5 A1.5 1.5 0 0 1 4.5 11 H13 M6 5.5 H10"
            }
            Self::Pulse => "M1.5 8.5 H4.5 L6.5 3.5 L9.5 13 L11.3 8.5 H14.5",
            Self::Print => "M4.5 6 V1.8 H11.5 V6 M4.5 12 H2.2 V6 H13.8 V12 H11.5 M4.5 10 H11.5 V14.2 H4.5 Z",
            Self::Live => "M13.5 8 A5.5 5.5 0 1 1 11.6 3.8 M11.8 1.2 V4 H9",
            Self::Sun => {
                "M8 5 A3 3 0 1 0 8 11 A3 3 0 1 0 8 5 M8 1.2 V2.8 M8 13.2 V14.8 M1.2 8 H2.8 M13.2 8 H14.8 M3.2 3.2 L4.3 4.3 M11.7 11.7 L12.8 12.8 M12.8 3.2 L11.7 4.3 M4.3 11.7 L3.2 12.8"
            }
            Self::Moon => "M13.5 9.6 A6 6 0 1 1 6.4 2.5 A4.8 4.8 0 0 0 13.5 9.6 Z",
            Self::HalfMoon => {
                "M8 1.8 A6.2 6.2 0 1 0 8 14.2 A6.2 6.2 0 1 0 8 1.8 M8 1.8 V14.2 M8 4.5 L12.6 9.1 M8 8.5 L11.4 11.9 M8.5 2.2 L14 7.6"
            }
        }
    }
}

/// The picture; words stand beside it, so that it says nothing to a screen reader.
pub(crate) fn icon(icon: Icon) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" { path d=(icon.path()) {} }
    }
}
