//! What needs a person now, by cause: each cause once, however much waits for it, with the agency that has to act.
//!
//! The board is looked at again and again by `watch` and kept in memory: whoever asks gets the last look, at once, however much is stored.
//! Deliveries that wait are counted from the store's index of lanes; only lanes in trouble are read, and of these only the first rows.

mod look;
mod others;
mod owner;
pub(crate) mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use gateway_model::hash::Digest;
use gateway_model::id::{AgencyId, DeliveryId};
use gateway_model::{Cause, Reason, Timestamp};

pub(crate) use look::look;

/// Groups on the board.
pub const GROUPS_MAX: usize = 500;
/// Deliveries named of each group.
pub const SAMPLE_MAX: usize = 5;
/// Files named of each group.
pub const FILES_MAX: usize = 100;

/// One cause with everything that waits for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StuckGroup {
    /// What makes it this incident and no other.
    pub key: GroupKey,
    /// Stable reason code.
    pub reason: Reason,
    /// Deliveries that wait for it, or were refused for it; receipts on their way back count too.
    pub count: u64,
    /// When the oldest of those that were read came in.
    pub oldest: Option<Timestamp>,
    /// The nearest end of an envelope among those that were read; a file may be due before.
    pub deadline: Option<Timestamp>,
    /// What was seen; at most 512 characters, no payload, no personal data.
    pub detail: String,
    /// A few of them.
    pub sample: Vec<DeliveryId>,
    /// Codes of the files that those belong to which were read, at most [`FILES_MAX`]: what else is known of a deadline goes by them.
    pub files: Vec<String>,
}

/// What makes an incident: the cause, where, and who has to act.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupKey {
    /// The cause.
    pub cause: Cause,
    /// `gateway:<id>`, `agency:<id>`, `adapter:<name>`, or empty for what is held here.
    pub destination: String,
    /// The agency that has to act; `None` when the directory names none.
    pub must_act: Option<AgencyId>,
    /// Only where other reasons are other incidents: of what is held, and of what was refused.
    pub reason: Option<Reason>,
}

/// The last look.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// When it was taken, by the wall clock; `None` before the first.
    pub as_of: Option<Timestamp>,
    /// The oldest first.
    pub groups: Vec<StuckGroup>,
    /// True when there are more than are kept.
    pub cut: bool,
    /// What waits to be handed on, by the level of the agency that it goes to, or that runs the next gateway. Labels in their order.
    pub backlog: Vec<LevelBacklog>,
}

/// What waits for one level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LevelBacklog {
    /// Its label in the directory; empty when the directory says none.
    pub level: String,
    /// Deliveries.
    pub waiting: u64,
}

/// Where the last look stands.
#[derive(Debug, Default)]
pub(crate) struct BoardHolder(Mutex<Arc<Board>>);

impl BoardHolder {
    pub(crate) fn current(&self) -> Arc<Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace(&self, board: Board) -> Arc<Board> {
        let board = Arc::new(board);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = board.clone();
        board
    }
}

impl GroupKey {
    /// Puts a key together, with its reason, from what a mark says; `None` when this version does not know it.
    pub(crate) fn of_mark(
        (cause, reason): (&str, &str),
        destination: String,
        must_act: &str,
        by_reason: bool,
    ) -> Option<(Self, Reason)> {
        let (cause, reason) = (Cause::parse(cause)?, Reason::parse(reason)?);
        let must_act = match must_act {
            "" => None,
            id => Some(AgencyId::parse(id).ok()?),
        };
        Some((Self { cause, destination, must_act, reason: by_reason.then_some(reason) }, reason))
    }

    /// The id of its incident: the same for the same cause, place and agency at every gateway and after every restart.
    pub fn incident_id(&self) -> String {
        let must_act = self.must_act.as_ref().map_or("", AgencyId::as_str);
        let reason = self.reason.map_or("", Reason::code);
        let text = format!("{}\n{}\n{must_act}\n{reason}", self.cause.as_str(), self.destination);
        Digest::of(text.as_bytes()).to_string().chars().take(16).collect()
    }
}
