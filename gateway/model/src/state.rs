//! Where a delivery is. Few and plain; each has an owner, a reason and a next time.

use crate::id::GatewayId;
use crate::reason::Reason;
use crate::time::Timestamp;

/// The state of one delivery at one gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    /// Waits for its next attempt at `due`; `reason` says why the last one did not succeed.
    Waiting {
        /// Next attempt.
        due: Timestamp,
        /// Why it waits; `None` before the first attempt.
        reason: Option<Reason>,
    },
    /// The next gateway has it; its final receipt is awaited.
    Forwarded {
        /// Who has it.
        next: GatewayId,
    },
    /// The recipient's system has it. Final.
    Delivered,
    /// Refused for good. Final.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// Needs a person.
    Held {
        /// Why.
        reason: Reason,
    },
    /// Not delivered in time. Final.
    Expired,
    /// Given back to the sender by a person. Final.
    Returned,
}

/// The state without its facts: for filters, counts and lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DeliveryStatus {
    /// [`DeliveryState::Waiting`].
    Waiting,
    /// [`DeliveryState::Forwarded`].
    Forwarded,
    /// [`DeliveryState::Delivered`].
    Delivered,
    /// [`DeliveryState::Refused`].
    Refused,
    /// [`DeliveryState::Held`].
    Held,
    /// [`DeliveryState::Expired`].
    Expired,
    /// [`DeliveryState::Returned`].
    Returned,
}

impl DeliveryState {
    /// The state without its facts.
    pub fn status(&self) -> DeliveryStatus {
        match self {
            Self::Waiting { .. } => DeliveryStatus::Waiting,
            Self::Forwarded { .. } => DeliveryStatus::Forwarded,
            Self::Delivered => DeliveryStatus::Delivered,
            Self::Refused { .. } => DeliveryStatus::Refused,
            Self::Held { .. } => DeliveryStatus::Held,
            Self::Expired => DeliveryStatus::Expired,
            Self::Returned => DeliveryStatus::Returned,
        }
    }

    /// Why it is where it is, when there is a reason.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Waiting { reason, .. } => *reason,
            Self::Refused { reason } | Self::Held { reason } => Some(*reason),
            Self::Forwarded { .. } | Self::Delivered | Self::Expired | Self::Returned => None,
        }
    }

    /// The gateway that has it, when the state names one.
    pub fn next(&self) -> Option<&GatewayId> {
        match self {
            Self::Forwarded { next } => Some(next),
            Self::Waiting { .. }
            | Self::Delivered
            | Self::Refused { .. }
            | Self::Held { .. }
            | Self::Expired
            | Self::Returned => None,
        }
    }

    /// Puts a state together from its facts, as stores keep them apart; `None` when one is missing. Facts that the status does not have are left out.
    pub fn of(
        status: DeliveryStatus,
        reason: Option<Reason>,
        next: Option<GatewayId>,
        due: Option<Timestamp>,
    ) -> Option<Self> {
        Some(match status {
            DeliveryStatus::Waiting => Self::Waiting { due: due?, reason },
            DeliveryStatus::Forwarded => Self::Forwarded { next: next? },
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Refused => Self::Refused { reason: reason? },
            DeliveryStatus::Held => Self::Held { reason: reason? },
            DeliveryStatus::Expired => Self::Expired,
            DeliveryStatus::Returned => Self::Returned,
        })
    }

    /// The wake-up that the state implies.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { due, .. } => Some(*due),
            _ => None,
        }
    }
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Forwarded, Self::Delivered, Self::Refused, Self::Held, Self::Expired, Self::Returned];

    /// Whether nothing more happens by itself or by a person.
    pub fn is_final(self) -> bool {
        match self {
            Self::Delivered | Self::Refused | Self::Expired | Self::Returned => true,
            Self::Waiting | Self::Forwarded | Self::Held => false,
        }
    }

    /// Number in stores, on disk and in the names of indexes: never given another meaning.
    pub const fn number(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Forwarded => 1,
            Self::Delivered => 2,
            Self::Refused => 3,
            Self::Held => 4,
            Self::Expired => 5,
            Self::Returned => 6,
        }
    }

    /// Reads the number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }

    /// Name in logs, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Forwarded => "forwarded",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Expired => "expired",
            Self::Returned => "returned",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}
