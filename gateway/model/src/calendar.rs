//! A calendar: when some agencies work, as signed data with versions.
//!
//! Days off and make-up days are announced each year; Tết follows the lunar calendar. They are listed, never computed. A file keeps the
//! version that was in force when it was received, so that an announcement does not move what was promised before; therefore publish the
//! next year's days before the files that reach into it are taken in.

use crate::day::Day;
use crate::id::{AgencyId, CalendarId};
use crate::working_time::WorkingTime;

/// One version of a calendar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Calendar {
    /// What its versions share.
    pub id: CalendarId,
    /// Rises with every change.
    pub version: u32,
    /// First day of this version; `None` means always.
    pub valid_from: Option<Day>,
    /// Agencies that it holds for, and everybody below them that has none nearer; empty means everybody.
    pub agencies: Vec<AgencyId>,
    /// The hours and days.
    pub time: WorkingTime,
}
