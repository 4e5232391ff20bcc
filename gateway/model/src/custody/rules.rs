//! The calendar and the procedure that a file keeps: those in force where and when it was received.

use std::time::Duration;

use super::Fact;
use crate::calendar::Calendar;
use crate::day::Day;
use crate::directory::Directory;
use crate::procedure::Procedure;
use crate::time::Timestamp;
use crate::working_time::WorkingTime;

/// What a file is measured by.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'d> {
    /// When people work.
    pub time: &'d WorkingTime,
    /// Where that comes from; `None` for the usual hours.
    pub calendar: Option<&'d Calendar>,
    /// How long the procedure and its steps may take; `None` when the directory does not know it.
    pub procedure: Option<&'d Procedure>,
}

impl<'d> Rules<'d> {
    /// The rules that the file of `facts` keeps, under the procedure code that its envelopes name: those of the agency and the day of receipt.
    /// When the receipt is unknown, of the first hand-over.
    pub fn of(directory: &'d Directory, procedure_code: &str, facts: &[Fact]) -> Self {
        let desk = facts.iter().filter_map(|fact| match fact {
            Fact::Received { agency, at } => Some((0, *at, agency)),
            Fact::HandedOver { from, at, .. } => Some((1, *at, from)),
            Fact::Promised { .. }
            | Fact::Delivered { .. }
            | Fact::NotDelivered { .. }
            | Fact::Aside { .. }
            | Fact::Said { .. } => None,
        });
        let first = facts.iter().map(Fact::at).min();
        let (calendar, day) = match desk.min() {
            Some((_, at, agency)) => (directory.calendar_for(agency, Day::of(at)), Some(Day::of(at))),
            None => (None, first.map(Day::of)),
        };
        Self {
            time: calendar.map_or(directory.usual_working_time(), |calendar| &calendar.time),
            calendar,
            procedure: day.and_then(|day| directory.procedure(procedure_code, day)),
        }
    }

    /// When the file is due by its procedure.
    pub(super) fn due(&self, received_at: Timestamp) -> Option<Timestamp> {
        self.procedure?.limit.map(|limit| limit.due(received_at, self.time))
    }

    /// Working time that a step allows.
    pub(super) fn allowed(&self, step: &str) -> Option<Duration> {
        self.procedure?.step(step)?.limit_hours.map(|hours| self.time.allowance(hours))
    }
}
