//! What is known of a file, one thing at a time.
//!
//! Facts of several gateways may be put together: the same hand-over has the same delivery id everywhere, and counts once. Agencies are
//! internal ids, resolved as of the time of the fact.

use crate::day::Day;
use crate::id::{AgencyId, DeliveryId};
use crate::time::Timestamp;

/// One thing that is known of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// A one-stop desk received it from a citizen. Of several the earliest counts.
    ///
    /// Obtained from the file's first Dossier envelope: its sender, which is the issuer of the file code, and when the envelope was made
    /// (`created_at`), or better when the desk's own system says that it received the file (`received_at` of a land file). [`super::facts`] gives one
    /// for each Dossier by which the issuer hands over; the earliest is the first.
    Received {
        /// The desk.
        agency: AgencyId,
        /// When.
        at: Timestamp,
    },
    /// The day promised to the citizen. The latest word of the desk that received the file counts, else the first word of anybody.
    ///
    /// Obtained from `Dossier.due_on`; not from a word that ends a pause, which is a [`Fact::Said`] with its new day.
    Promised {
        /// Who promises.
        by: AgencyId,
        /// When it was said.
        at: Timestamp,
        /// The day.
        day: Day,
    },
    /// A gateway accepted the file for another agency: its sender has handed it over. Of several for one delivery the earliest counts, which is
    /// that of the first gateway.
    ///
    /// Obtained from the ACCEPTED event of a Dossier envelope that hands over (see [`super::Meaning::hands_over`]), one for each recipient.
    HandedOver {
        /// The delivery: envelope and recipient.
        delivery: DeliveryId,
        /// Sender.
        from: AgencyId,
        /// Recipient: its successor, when it has ended.
        to: AgencyId,
        /// `Case.step`.
        step: String,
        /// When the first gateway accepted it.
        at: Timestamp,
    },
    /// The recipient's system has it.
    ///
    /// Obtained from the DELIVERED event, or receipt, of the same delivery.
    Delivered {
        /// The delivery.
        delivery: DeliveryId,
        /// Recipient.
        to: AgencyId,
        /// When.
        at: Timestamp,
    },
    /// The delivery ended without reaching the recipient: its giver has the file again.
    ///
    /// Obtained from the REFUSED, EXPIRED or RETURNED event, or receipt, of the same delivery. HELD is none: it goes on.
    NotDelivered {
        /// The delivery.
        delivery: DeliveryId,
        /// When.
        at: Timestamp,
    },
    /// A delivery that carries words about the file, not the file: its arrival, or its failure, moves nothing.
    ///
    /// Obtained from every accepted envelope of the file that does not hand it over: statuses, supplements, results, letters; one for each
    /// recipient. Without it, a delivery that nobody handed over reads as the file itself.
    Aside {
        /// The delivery.
        delivery: DeliveryId,
        /// When the first gateway accepted it.
        at: Timestamp,
    },
    /// An agency says how the file stands in its business: never a technical receipt. [`super::Meaning`] tells what it does to the clock.
    ///
    /// Obtained from an accepted Status envelope: its sender, `Status.at` when it is not later than the acceptance, else the acceptance; and from
    /// a Dossier's `state`. A midnight of the day of acceptance is a day without a time: then the acceptance counts. A Status that names no file but answers an envelope of one (`in_reply_to`) is about that file, too.
    Said {
        /// Who says it.
        by: AgencyId,
        /// When it became true.
        at: Timestamp,
        /// When the first gateway accepted it. Systems often say only the day: of words of one instant the later told is the later.
        told_at: Timestamp,
        /// `Case.step` of the envelope: it tells whose list the code is of.
        step: String,
        /// The raw code.
        code: String,
        /// The new day, when it says that the clock goes on (`Dossier.due_on`).
        due_on: Option<Day>,
    },
}

impl Fact {
    /// When it became true.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Received { at, .. }
            | Self::Promised { at, .. }
            | Self::HandedOver { at, .. }
            | Self::Delivered { at, .. }
            | Self::NotDelivered { at, .. }
            | Self::Aside { at, .. }
            | Self::Said { at, .. } => *at,
        }
    }
}
