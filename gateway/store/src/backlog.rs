//! What waits, counted by lane.

use crate::claim::Lane;

/// How much waits in one lane: rows with a wake-up, leased ones too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneLoad {
    /// The lane.
    pub lane: Lane,
    /// Deliveries, or receipts on their way back.
    pub rows: u64,
}
