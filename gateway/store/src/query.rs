//! Filters, pages and counts.

use gateway_model::id::{AgencyId, EnvelopeId};
use gateway_model::state::DeliveryStatus;
use gateway_model::{Reason, Timestamp};

/// A filter over deliveries; empty fields do not filter. The newest envelope first.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only these statuses.
    pub statuses: Vec<DeliveryStatus>,
    /// Sender.
    pub sender: Option<AgencyId>,
    /// Recipient, as named or as serving.
    pub recipient: Option<AgencyId>,
    /// File code.
    pub file_code: Option<String>,
    /// Envelope id.
    pub envelope_id: Option<EnvelopeId>,
    /// Reason.
    pub reason: Option<Reason>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Rows, at most [`gateway_model::limits::PAGE_ROWS_MAX`].
    pub limit: usize,
    /// Where the last page ended.
    pub after: Option<PageToken>,
}

/// Where a page ended: the envelope and the recipient's place in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PageToken {
    /// Envelope number.
    pub envelope: u64,
    /// Place among its deliveries.
    pub place: u32,
}

/// One page.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<PageToken>,
}

/// A few numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Envelopes kept.
    pub envelopes: u64,
    /// Deliveries waiting.
    pub waiting: u64,
    /// Deliveries forwarded whose final receipt is awaited.
    pub forwarded: u64,
    /// Deliveries held.
    pub held: u64,
    /// Receipts on their way back, held ones too.
    pub returns: u64,
    /// Leaves in the evidence log.
    pub log_size: u64,
    /// Bytes free on the disk.
    pub free_bytes: u64,
}
