//! Administrative procedures: how long each may take, as signed data with versions.

use crate::day::Day;
use crate::time::Timestamp;
use crate::working_time::WorkingTime;

/// One version of a procedure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Procedure {
    /// Code of the national catalogue, such as `1.012783`.
    pub code: String,
    /// Its version, such as the decision that announced it.
    pub version: String,
    /// First day on which files received fall under it; `None` means always.
    pub valid_from: Option<Day>,
    /// Name in Vietnamese.
    pub name: String,
    /// How long the whole may take; `None` when nothing is said.
    pub limit: Option<Limit>,
    /// Its steps, in order.
    pub steps: Vec<ProcedureStep>,
}

/// How long a file may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// So many working days: the same clock time so many working days later.
    WorkingDays(u32),
    /// So many days of the calendar: at the close of that day, or of the next working day.
    CalendarDays(u32),
}

/// One step of a procedure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcedureStep {
    /// The name by which envelopes call it.
    pub step: String,
    /// Name in Vietnamese.
    pub name: String,
    /// Hours of a limit that it may take, eight a working day; `None` when nothing is said.
    pub limit_hours: Option<u32>,
}

impl Procedure {
    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&ProcedureStep> {
        self.steps.iter().find(|step| step.step == name)
    }
}

impl Limit {
    /// When a file is due that was received at `from`.
    pub fn due(self, from: Timestamp, time: &WorkingTime) -> Timestamp {
        match self {
            Self::WorkingDays(days) => time.due(from, time.day_length().saturating_mul(days)),
            Self::CalendarDays(days) => time.due_in_calendar_days(from, days),
        }
    }
}

/// What `code` may be in the catalogue: itself first, then without what a portal appended. Portals append the agency's code
/// (`1.012783.000.00.00.H56`), which has a letter; the catalogue's own codes end in digits.
pub(crate) fn spellings(code: &str) -> impl Iterator<Item = &str> {
    let appended = code.rmatch_indices('.').filter_map(|(at, _)| {
        let (head, tail) = code.split_at(at);
        tail.bytes().any(|byte| byte.is_ascii_alphabetic()).then_some(head)
    });
    std::iter::once(code).chain(appended).filter(|code| !code.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_tried_as_it_is_and_without_an_appended_agency() {
        let tried = |code: &'static str| spellings(code).collect::<Vec<_>>();
        assert_eq!(tried("1.012783"), ["1.012783"]);
        let appended = tried("1.012783.000.00.00.H56");
        assert_eq!(appended[0], "1.012783.000.00.00.H56");
        assert!(appended.contains(&"1.012783"), "{appended:?}");
        assert_eq!(tried(""), Vec::<&str>::new());
    }
}
