//! Filters, pages and counts.

use gateway_model::id::{AgencyId, EnvelopeId};
use gateway_model::state::DeliveryStatus;
use gateway_model::{Digest, Reason, Timestamp};

use crate::rows::{DeliveryRow, EnvelopeRow};

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
    /// Document number and notation.
    pub code: Option<String>,
    /// SHA-256 of the envelope bytes, or of an attachment.
    pub digest: Option<Digest>,
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

impl Query {
    /// Whether an envelope fits, whatever its deliveries are.
    pub fn fits_envelope(&self, envelope: &EnvelopeRow) -> bool {
        let header = &envelope.header;
        let has =
            |digest: &Digest| *digest == envelope.digest || header.parts.iter().any(|part| part.digest == *digest);
        self.sender.as_ref().is_none_or(|sender| *sender == envelope.key.sender)
            && self.file_code.as_ref().is_none_or(|file_code| *file_code == header.file_code)
            && self.envelope_id.is_none_or(|id| id == envelope.key.id)
            && self.code.as_ref().is_none_or(|code| *code == header.code)
            && self.digest.as_ref().is_none_or(has)
            && self.since.is_none_or(|since| header.received_at >= since)
            && self.until.is_none_or(|until| header.received_at < until)
    }

    /// Whether a delivery fits, whatever its envelope is.
    pub fn fits_delivery(&self, delivery: &DeliveryRow) -> bool {
        let recipient = &delivery.recipient;
        (self.statuses.is_empty() || self.statuses.contains(&delivery.state.status()))
            && self.recipient.as_ref().is_none_or(|agency| *agency == recipient.named || *agency == recipient.serving)
            && self.reason.is_none_or(|reason| delivery.state.reason() == Some(reason))
    }
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
