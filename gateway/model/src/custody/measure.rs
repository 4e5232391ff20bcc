//! Measures what the walk found: due times, working time used and left, and how each line stands.

use std::time::Duration;

use super::walk::{Line, Walked};
use super::{Arrival, Custody, Due, DueBasis, Holding, Left, Pause, Rules, Standing, Whereabouts};
use crate::day::Day;
use crate::time::Timestamp;

pub(super) fn measure(walked: Walked, rules: &Rules<'_>, now: Timestamp) -> Custody {
    let clock = Clock { rules, pauses: &walked.pauses, end: walked.finished_at.unwrap_or(now) };
    let due = walked.received_at.and_then(|received_at| clock.due(received_at, &walked.promises));
    let is_running = walked.finished_at.is_none();
    let first_step = first_step(&walked.lines, rules);
    let holdings = walked.lines.iter().map(|line| clock.holding(line, first_step)).collect();
    Custody {
        received_at: walked.received_at,
        due,
        finished_at: walked.finished_at,
        standing: clock.standing(due.map(|due| due.at), clock.end, is_running),
        used: walked.received_at.map_or(Duration::ZERO, |from| clock.used(from, clock.end)),
        left: due.map(|due| clock.left(due.at)),
        holdings,
        status: walked.status,
        unknown: walked.unknown,
        pauses: walked.pauses,
    }
}

/// The step of the desk that received the file, which nobody handed to it: the procedure's first, unless a hand-over calls another agency to it.
fn first_step<'d>(lines: &[Line], rules: &Rules<'d>) -> &'d str {
    let first = rules.procedure.and_then(|procedure| procedure.steps.first());
    let step = first.map_or("", |step| step.step.as_str());
    if lines.iter().any(|line| line.step == step) && !step.is_empty() { "" } else { step }
}

/// What time is measured with.
struct Clock<'c> {
    rules: &'c Rules<'c>,
    pauses: &'c [Pause],
    /// The end of the file, or now.
    end: Timestamp,
}

impl Clock<'_> {
    /// When the file is due: by its procedure, or by the latest promised day; moved by each pause that no new day was promised in, or at the end of.
    fn due(&self, received_at: Timestamp, promises: &[(Timestamp, Day)]) -> Option<Due> {
        let time = self.rules.time;
        let mut due = self.rules.due(received_at).map(|at| Due { at, basis: DueBasis::Procedure });
        let mut promises = promises.iter().peekable();
        let mut promised_until = |until: Timestamp| {
            let mut latest = None;
            while let Some((_, day)) = promises.next_if(|(said, _)| *said <= until) {
                latest = Some(Due { at: time.end_of(*day), basis: DueBasis::Promised });
            }
            latest
        };
        for pause in self.pauses {
            let until = pause.until.unwrap_or(self.end);
            due = promised_until(pause.since).or(due);
            let moved = |due: Due| Due { at: time.moved(due.at, pause.since, until), ..due };
            due = promised_until(until).or(due.map(moved));
        }
        promised_until(Timestamp::MAX).or(due)
    }

    fn holding(&self, line: &Line, first_step: &str) -> Holding {
        let is_first = line.arrival == Arrival::Received && line.step.is_empty();
        let step = if is_first { first_step } else { &line.step };
        // What came back has used its step's time before: the slip's earlier line tells.
        let allowed = if line.arrival == Arrival::CameBack { None } else { self.rules.allowed(step) };
        let until = line.until.unwrap_or(self.end);
        let due_at = line.since.zip(allowed).map(|(since, allowed)| self.due_of_line(since, allowed, until));
        let whereabouts = match (line.since, line.until) {
            _ if line.is_lost => Whereabouts::NeverArrived,
            (_, Some(_)) => Whereabouts::Over,
            (Some(_), None) => Whereabouts::Held,
            (None, None) => Whereabouts::OnTheWay,
        };
        Holding {
            agency: line.agency.clone(),
            arrival: line.arrival,
            from: line.from.clone(),
            step: step.to_owned(),
            handed_over_at: line.handed_over_at,
            since: line.since,
            until: line.until,
            whereabouts,
            due_at,
            used: line.since.map_or(Duration::ZERO, |since| self.used(since, until)),
            allowed,
            on_the_way: line.handed_over_at.map_or(Duration::ZERO, |at| self.used(at, line.since.unwrap_or(until))),
            standing: self.standing(due_at, until, line.until.is_none()),
        }
    }

    fn due_of_line(&self, since: Timestamp, allowed: Duration, until: Timestamp) -> Timestamp {
        let time = self.rules.time;
        self.pauses.iter().fold(time.due(since, allowed), |due, pause| {
            let stopped = pause.since.max(since);
            let resumed = pause.until.unwrap_or(self.end).min(until);
            time.moved(due, stopped, resumed)
        })
    }

    /// Working time between two instants without pauses, which do not overlap.
    fn used(&self, from: Timestamp, until: Timestamp) -> Duration {
        let time = self.rules.time;
        let stood_still = self.pauses.iter().map(|pause| {
            let resumed = pause.until.unwrap_or(self.end);
            time.between(pause.since.max(from), resumed.min(until))
        });
        time.between(from, until).saturating_sub(stood_still.sum())
    }

    fn left(&self, due: Timestamp) -> Left {
        let time = self.rules.time;
        if self.end <= due {
            Left::Remaining(time.between(self.end, due))
        } else {
            Left::Over(time.between(due, self.end))
        }
    }

    /// How something stands that ended, or is looked at, at `at`.
    fn standing(&self, due: Option<Timestamp>, at: Timestamp, is_running: bool) -> Standing {
        let is_late = due.is_some_and(|due| at > due);
        let stands_still = self.pauses.last().is_some_and(|pause| pause.until.is_none());
        match (is_running, due) {
            (true, _) if is_late => Standing::InWorkLate,
            (true, _) if stands_still => Standing::Paused,
            (true, _) => Standing::InWork,
            (false, None) => Standing::Ended,
            (false, Some(_)) if is_late => Standing::Late,
            (false, Some(due)) if Day::of(at) < Day::of(due) => Standing::Early,
            (false, Some(_)) => Standing::OnTime,
        }
    }
}
