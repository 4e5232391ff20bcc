//! Who holds a file, since when, until when: the control slip (form 06) as a pure projection of what gateways and agencies have said.
//!
//! [`fact`] is what is known, one thing at a time; [`reading`] makes facts of envelopes; [`meaning`] is the one table of business codes that stop,
//! start or end the clock. [`Rules`] are the calendar and the procedure in force on the day of receipt, which a file keeps. [`Custody::of`] puts them
//! together. Facts may come in any order, twice, or not at all: each counts at its own time and once, and what is missing is told in
//! [`Custody::unknown`] instead of being made up.
//!
//! The one-stop desk that sends first holds the file from its receipt. Whoever hands it over holds it until the first gateway has accepted the
//! envelope; the recipient holds it from when its system has it; what lies between is the way, the network's time, and nobody's fault but
//! ours. Pauses count for nobody.

pub mod fact;
pub mod meaning;
mod measure;
pub mod reading;
mod rules;
#[cfg(test)]
mod tests;
mod walk;

use std::time::Duration;

use crate::id::AgencyId;
use crate::time::Timestamp;

pub use fact::Fact;
pub use meaning::Meaning;
pub use reading::{Sent, facts};
pub use rules::Rules;

/// One file and everybody who held it, as of an instant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Custody {
    /// When it was received; when nobody said so, the earliest instant at which it is known to have been there.
    pub received_at: Option<Timestamp>,
    /// When it is due, and by what. While the clock stands still: when it would be due if the clock went on now.
    pub due: Option<Due>,
    /// When it ended: the first word that it is finished, returned, stopped or withdrawn.
    pub finished_at: Option<Timestamp>,
    /// How it stands.
    pub standing: Standing,
    /// Working time from the receipt until the end, or now, without pauses.
    pub used: Duration,
    /// Working time left, or over; at the end for a file that has ended. `None` when nothing says when it is due.
    pub left: Option<Left>,
    /// One line a hand-over, oldest first.
    pub holdings: Vec<Holding>,
    /// When the clock stood still, oldest first.
    pub pauses: Vec<Pause>,
    /// The latest business status, raw. A technical receipt is never one.
    pub status: Option<BusinessStatus>,
    /// What the facts do not tell.
    pub unknown: Vec<Unknown>,
}

/// When a file is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// The instant.
    pub at: Timestamp,
    /// What says so.
    pub basis: DueBasis,
}

/// What says when a file is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DueBasis {
    /// The day promised to the citizen.
    Promised,
    /// The procedure's limit.
    Procedure,
}

/// How a file, or one line of it, stands against its due time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// In work, not late.
    InWork,
    /// In work, late; also when the clock was stopped after that.
    InWorkLate,
    /// The clock stands still, and it was not late before.
    Paused,
    /// Ended before the due day.
    Early,
    /// Ended on the due day, in time.
    OnTime,
    /// Ended late.
    Late,
    /// Ended, and nothing says when it was due.
    Ended,
}

/// Working time between now, or the end, and the due time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// So much is left.
    Remaining(Duration),
    /// It is over by so much; by nothing when office hours have not begun since.
    Over(Duration),
}

/// One agency's time with the file: a line of the control slip.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holding {
    /// The agency.
    pub agency: AgencyId,
    /// How it came to it.
    pub arrival: Arrival,
    /// Who gave it; `None` for the first, and where that is unknown.
    pub from: Option<AgencyId>,
    /// Step of the procedure, as the giver named it; may be empty.
    pub step: String,
    /// When the giver's gateway had accepted it for this agency: the begin of the way.
    pub handed_over_at: Option<Timestamp>,
    /// When its system had it; `None` while it is on the way, and where that is unknown.
    pub since: Option<Timestamp>,
    /// When it handed the file on, or the file ended, or the way ended in vain; `None` while it lasts.
    pub until: Option<Timestamp>,
    /// Where this line stands.
    pub whereabouts: Whereabouts,
    /// When it was to hand it on, by the step's limit; moved by pauses.
    pub due_at: Option<Timestamp>,
    /// Working time used, pauses not counted.
    pub used: Duration,
    /// Working time that the step allows.
    pub allowed: Option<Duration>,
    /// Working time that it was on the way to this agency, pauses not counted: the network's part.
    pub on_the_way: Duration,
    /// How this line stands against its step's limit.
    pub standing: Standing,
}

/// How a file came to an agency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A citizen brought it.
    Received,
    /// Another agency handed it over.
    HandedOver,
    /// It came back: undelivered, or not taken by the agency that it was handed to.
    CameBack,
    /// The facts do not tell.
    Unknown,
}

/// Where a line of the control slip stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    /// The agency has been given it, and its system does not have it yet, as far as is known.
    OnTheWay,
    /// The agency holds it.
    Held,
    /// The agency held it, and handed it on or ended it.
    Over,
    /// It never came to the agency.
    NeverArrived,
}

/// When the clock stood still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    /// Agency that said so.
    pub agency: AgencyId,
    /// From.
    pub since: Timestamp,
    /// Until; `None` while it lasts.
    pub until: Option<Timestamp>,
    /// The raw code that said so.
    pub code: String,
}

/// A business status, as an agency said it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BusinessStatus {
    /// Raw code.
    pub code: String,
    /// Who said it.
    pub by: AgencyId,
    /// When it became true.
    pub at: Timestamp,
}

/// What the facts do not tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// When and where it was received: the first thing known of it counts instead.
    Receipt,
    /// How it came to this agency, which handed it on or was given it; its time before is nobody's.
    HowItCame(AgencyId),
    /// It was handed over again after it had ended; that way is not followed.
    WentOn(Timestamp),
    /// There are more facts than are looked at ([`crate::limits::CASE_FACTS_MAX`]).
    More,
}

/// Where time went: one line of the control slip, or the way to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop<'c> {
    /// The line.
    pub holding: &'c Holding,
    /// Which part of it.
    pub part: HopPart,
    /// Working time that it used.
    pub used: Duration,
    /// Working time beyond what its step allows; `None` when nothing is said.
    pub beyond: Option<Duration>,
}

/// Who used the time of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HopPart {
    /// The agency.
    Agency,
    /// The way to it: the network.
    Way,
}

impl Custody {
    /// What `facts` tell of a file, as of `now`, under the rules that it keeps.
    pub fn of(facts: &[Fact], rules: &Rules<'_>, now: Timestamp) -> Self {
        measure::measure(walk::walk(facts), rules, now)
    }

    /// Who holds it now, and who is about to; several when it was handed over to several.
    pub fn held_by(&self) -> impl Iterator<Item = &Holding> {
        let now = |line: &&Holding| matches!(line.whereabouts, Whereabouts::Held | Whereabouts::OnTheWay);
        self.holdings.iter().filter(now)
    }

    /// Whether it is, or ended, late.
    pub fn is_late(&self) -> bool {
        matches!(self.standing, Standing::InWorkLate | Standing::Late)
    }

    /// The hop that used the time, for the apology notice: the one that went furthest beyond what its step allows. When every step kept its
    /// limit, the one that used most among those that have none; the way counts as one of them. `None` when nobody used any.
    pub fn slowest_hop(&self) -> Option<Hop<'_>> {
        let hops = || self.holdings.iter().flat_map(Holding::hops).filter(|hop| !hop.used.is_zero());
        let beyond = hops().filter(|hop| hop.beyond.is_some_and(|beyond| !beyond.is_zero()));
        let unlimited = || hops().filter(|hop| hop.beyond.is_none());
        // Of equals the first: it had the file first.
        let most = |a: &Hop<'_>, b: &Hop<'_>| a.used.cmp(&b.used).then(std::cmp::Ordering::Greater);
        let furthest = |a: &Hop<'_>, b: &Hop<'_>| a.beyond.cmp(&b.beyond).then(std::cmp::Ordering::Greater);
        beyond.max_by(furthest).or_else(|| unlimited().max_by(most)).or_else(|| hops().max_by(most))
    }
}

impl Holding {
    /// The way to the agency, and its own time.
    pub fn hops(&self) -> [Hop<'_>; 2] {
        let beyond = self.allowed.map(|allowed| self.used.saturating_sub(allowed));
        [
            Hop { holding: self, part: HopPart::Way, used: self.on_the_way, beyond: None },
            Hop { holding: self, part: HopPart::Agency, used: self.used, beyond },
        ]
    }
}

impl Left {
    /// Whole seconds; negative when it is over.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Remaining(left) => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            Self::Over(over) => i64::try_from(over.as_secs()).map_or(i64::MIN, |seconds| -seconds),
        }
    }
}
