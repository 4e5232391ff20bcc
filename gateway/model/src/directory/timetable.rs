//! Which version of a calendar or a procedure is in force: by agency or code, and by day.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use super::{Directory, DirectoryContent, DirectoryFault};
use crate::calendar::Calendar;
use crate::day::Day;
use crate::id::{AgencyId, CalendarId};
use crate::limits;
use crate::procedure::{Procedure, spellings};
use crate::working_time::{WorkingTime, WorkingTimeFault};

/// Calendars and procedures, indexed.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    /// Calendars that name an agency; those for everybody under `None`.
    calendars: HashMap<Option<AgencyId>, Vec<usize>>,
    /// First day on which the next version of the same calendar is in force.
    calendar_ends: Vec<Option<Day>>,
    /// Versions of a code, the newest first.
    procedures: HashMap<String, Vec<usize>>,
    /// Where no calendar says otherwise.
    usual: WorkingTime,
}

impl Timetable {
    pub(super) fn new(content: &DirectoryContent) -> Self {
        let mut table = Self::default();
        for (index, calendar) in content.calendars.iter().enumerate() {
            let everybody = calendar.agencies.is_empty().then_some(None);
            for holder in calendar.agencies.iter().cloned().map(Some).chain(everybody) {
                table.calendars.entry(holder).or_default().push(index);
            }
        }
        let froms = content.calendars.iter().map(|calendar| (&calendar.id, calendar.valid_from));
        let mut by_id: BTreeMap<&CalendarId, Vec<Option<Day>>> = BTreeMap::new();
        froms.for_each(|(id, from)| by_id.entry(id).or_default().push(from));
        by_id.values_mut().for_each(|froms| froms.sort());
        table.calendar_ends = content.calendars.iter().map(|one| next_after(&by_id[&one.id], one.valid_from)).collect();
        for (index, procedure) in content.procedures.iter().enumerate() {
            table.procedures.entry(procedure.code.clone()).or_default().push(index);
        }
        for versions in table.procedures.values_mut() {
            versions.sort_by_key(|&index| std::cmp::Reverse(content.procedures[index].valid_from));
        }
        table
    }

    fn is_in_force(&self, content: &DirectoryContent, index: usize, day: Day) -> bool {
        let begun = content.calendars[index].valid_from.is_none_or(|from| from <= day);
        begun && self.calendar_ends[index].is_none_or(|end| day < end)
    }
}

/// The first day in `froms`, which are in order, that is later than `from`.
fn next_after(froms: &[Option<Day>], from: Option<Day>) -> Option<Day> {
    let later = froms.partition_point(|other| *other <= from);
    froms.get(later).copied().flatten()
}

impl Directory {
    /// The calendar in force on `day` for an agency: its own, that of the nearest ancestor, or the one for everybody. A file keeps the one of the
    /// day of its receipt.
    pub fn calendar_for(&self, agency: &AgencyId, day: Day) -> Option<&Calendar> {
        let mut at = self.agency(agency);
        while let Some(agency) = at {
            if let Some(calendar) = self.calendar_of(&Some(agency.id.clone()), day) {
                return Some(calendar);
            }
            at = agency.parent.as_ref().and_then(|parent| self.agency(parent));
        }
        self.calendar_of(&None, day)
    }

    /// When an agency works, by the calendar in force on `day`; the usual hours where there is none.
    pub fn working_time_for(&self, agency: &AgencyId, day: Day) -> &WorkingTime {
        self.calendar_for(agency, day).map_or(&self.timetable.usual, |calendar| &calendar.time)
    }

    /// When people work who have no calendar.
    pub fn usual_working_time(&self) -> &WorkingTime {
        &self.timetable.usual
    }

    /// The version of a procedure under which a file falls that was received on `day`. Portals append the agency to the code:
    /// `1.012783.000.00.00.H56` is found as `1.012783`.
    pub fn procedure(&self, code: &str, day: Day) -> Option<&Procedure> {
        if code.len() > 2 * limits::ID_BYTES_MAX {
            return None;
        }
        let versions = spellings(code).find_map(|code| self.timetable.procedures.get(code))?;
        let mut versions = versions.iter().map(|&index| &self.content.procedures[index]);
        versions.find(|procedure| procedure.valid_from.is_none_or(|from| from <= day))
    }

    fn calendar_of(&self, holder: &Option<AgencyId>, day: Day) -> Option<&Calendar> {
        let listed = self.timetable.calendars.get(holder)?;
        let index = listed.iter().find(|&&index| self.timetable.is_in_force(&self.content, index, day))?;
        self.content.calendars.get(*index)
    }
}

/// Every fault of calendars and procedures.
pub(super) fn faults(directory: &Directory, faults: &mut Vec<DirectoryFault>) {
    let content = &directory.content;
    for calendar in &content.calendars {
        let name = calendar_name(calendar);
        faults.extend(calendar.time.faults().into_iter().map(|fault| match fault {
            WorkingTimeFault::Hours => DirectoryFault::OfficeHours(name.clone()),
            WorkingTimeFault::OffAndMadeUp(day) => DirectoryFault::OffAndMadeUp { calendar: name.clone(), day },
        }));
        for agency in calendar.agencies.iter().filter(|agency| directory.agency(agency).is_none()) {
            let (from, target) = (name.clone(), agency.to_string());
            faults.push(DirectoryFault::Dangling { from, target, relation: "agency" });
        }
    }
    calendar_versions(content, faults);
    two_calendars(&directory.timetable, content, faults);
    procedures(&directory.timetable, content, faults);
}

/// A calendar's later version begins later.
fn calendar_versions(content: &DirectoryContent, faults: &mut Vec<DirectoryFault>) {
    let mut versions: Vec<&Calendar> = content.calendars.iter().collect();
    versions.sort_by(|a, b| (&a.id, a.version).cmp(&(&b.id, b.version)));
    for pair in versions.windows(2).filter(|pair| pair[0].id == pair[1].id) {
        if pair[0].version == pair[1].version || pair[0].valid_from >= pair[1].valid_from {
            let (first, second) = (calendar_name(pair[0]), calendar_name(pair[1]));
            faults.push(DirectoryFault::VersionsOverlap { first, second });
        }
    }
}

/// Nobody has two calendars on one day. What is in force changes only on first days, so these are looked at.
fn two_calendars(table: &Timetable, content: &DirectoryContent, faults: &mut Vec<DirectoryFault>) {
    let mut holders: Vec<_> = table.calendars.iter().collect();
    holders.sort();
    for (holder, listed) in holders {
        let differ = listed.windows(2).any(|pair| content.calendars[pair[0]].id != content.calendars[pair[1]].id);
        if !differ {
            continue;
        }
        let overlaps = |a: usize, b: usize| {
            let from = content.calendars[a].valid_from.max(content.calendars[b].valid_from);
            let ends = [a, b].map(|index| table.calendar_ends[index]);
            ends.iter().flatten().all(|end| from < Some(*end))
        };
        let pairs = listed.iter().enumerate().flat_map(|(at, &a)| listed[at + 1..].iter().map(move |&b| (a, b)));
        let twice = pairs.filter(|(a, b)| content.calendars[*a].id != content.calendars[*b].id);
        if let Some((a, b)) = twice.into_iter().find(|(a, b)| overlaps(*a, *b)) {
            faults.push(DirectoryFault::TwoCalendars {
                holder: holder.as_ref().map_or_else(|| "everybody".to_owned(), ToString::to_string),
                first: calendar_name(&content.calendars[a]),
                second: calendar_name(&content.calendars[b]),
            });
        }
    }
}

/// Two versions of a procedure differ in name and first day; a step stands once.
fn procedures(table: &Timetable, content: &DirectoryContent, faults: &mut Vec<DirectoryFault>) {
    let mut codes: Vec<_> = table.procedures.iter().collect();
    codes.sort();
    for (_, versions) in codes {
        let versions: Vec<&Procedure> = versions.iter().map(|&index| &content.procedures[index]).collect();
        let mut named: HashMap<&str, &Procedure> = HashMap::new();
        for pair in versions.windows(2).filter(|pair| pair[0].valid_from == pair[1].valid_from) {
            let (first, second) = (procedure_name(pair[0]), procedure_name(pair[1]));
            faults.push(DirectoryFault::VersionsOverlap { first, second });
        }
        for procedure in versions {
            if let Some(first) = named.insert(&procedure.version, procedure)
                && first.valid_from != procedure.valid_from
            {
                let (first, second) = (procedure_name(first), procedure_name(procedure));
                faults.push(DirectoryFault::VersionsOverlap { first, second });
            }
            let mut steps: Vec<&str> = procedure.steps.iter().map(|step| step.step.as_str()).collect();
            steps.sort_unstable();
            if let Some(pair) = steps.windows(2).find(|pair| pair[0] == pair[1]) {
                let (procedure, step) = (procedure_name(procedure), pair[0].to_owned());
                faults.push(DirectoryFault::StepTwice { procedure, step });
            }
        }
    }
}

/// How faults, and whoever finds the place of one, call a version of a calendar.
pub fn calendar_name(calendar: &Calendar) -> String {
    format!("calendar {} version {}", calendar.id, calendar.version)
}

/// How faults, and whoever finds the place of one, call a version of a procedure.
pub fn procedure_name(procedure: &Procedure) -> String {
    format!("procedure {} version {}", procedure.code, procedure.version)
}
