//! The one value that every commit replaces: its version, the counters, and the state of the evidence log.
//!
//! The version stands in front of the row, outside of its checksum, so that a script can compare it without knowing what a row is.

use std::sync::Arc;

use bytes::Bytes;
use gateway_evidence::LogState;
use gateway_model::state::DeliveryStatus;

use crate::codec::{Damaged, Decoder, Encoder};

/// Format of the keys and rows; a store with a higher one is refused.
pub(crate) const FORMAT: u64 = 1;
/// Bytes of the version.
pub(crate) const VERSION_BYTES: usize = 8;

/// Counters and log state as of one commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Commits made.
    pub(crate) version: u64,
    pub(crate) format: u64,
    /// The name of the log.
    pub(crate) origin: String,
    /// Envelopes kept; also the last number given out.
    pub(crate) envelopes: u64,
    pub(crate) waiting: u64,
    pub(crate) forwarded: u64,
    pub(crate) held: u64,
    /// Receipts on their way back.
    pub(crate) returns: u64,
    /// Numbers given out to receipts on their way back.
    pub(crate) returns_numbered: u64,
    pub(crate) log: LogState,
    /// The newest signed checkpoint; `None` while the log is empty.
    pub(crate) note: Option<Arc<str>>,
}

impl Head {
    pub(crate) fn new(origin: &str) -> Self {
        Self {
            version: 0,
            format: FORMAT,
            origin: origin.to_owned(),
            envelopes: 0,
            waiting: 0,
            forwarded: 0,
            held: 0,
            returns: 0,
            returns_numbered: 0,
            log: LogState::default(),
            note: None,
        }
    }

    pub(crate) fn version_bytes(&self) -> [u8; VERSION_BYTES] {
        self.version.to_be_bytes()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let row = Encoder::new("head")
            .number(self.format)
            .text(&self.origin)
            .number(self.envelopes)
            .number(self.waiting)
            .number(self.forwarded)
            .number(self.held)
            .number(self.returns)
            .number(self.returns_numbered)
            .bytes(&self.log.encode())
            .optional(self.note.as_deref(), Encoder::text)
            .seal();
        [&self.version_bytes(), &row[..]].concat().into()
    }

    /// Reads it. The row of a newer format is read as far as its format.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, Damaged> {
        let (version, row) = value.split_first_chunk::<VERSION_BYTES>().ok_or_else(|| Damaged::at("head"))?;
        let mut read = Decoder::open("head", row)?;
        let mut head = Self { version: u64::from_be_bytes(*version), format: read.number()?, ..Self::new("") };
        if head.format > FORMAT {
            return Ok(head);
        }
        head.origin = read.text()?.to_owned();
        head.envelopes = read.number()?;
        head.waiting = read.number()?;
        head.forwarded = read.number()?;
        head.held = read.number()?;
        head.returns = read.number()?;
        head.returns_numbered = read.number()?;
        head.log = LogState::decode(read.bytes()?).map_err(|_| read.damaged())?;
        head.note = read.optional(|read| read.text().map(Arc::from))?;
        read.end(head)
    }

    /// Counts a delivery into a status.
    pub(crate) fn count_in(&mut self, status: DeliveryStatus) {
        if let Some(count) = self.count_of(status) {
            *count += 1;
        }
    }

    /// Counts a delivery out of a status.
    pub(crate) fn count_out(&mut self, status: DeliveryStatus) {
        if let Some(count) = self.count_of(status) {
            *count = count.saturating_sub(1);
        }
    }

    fn count_of(&mut self, status: DeliveryStatus) -> Option<&mut u64> {
        match status {
            DeliveryStatus::Waiting => Some(&mut self.waiting),
            DeliveryStatus::Forwarded => Some(&mut self.forwarded),
            DeliveryStatus::Held => Some(&mut self.held),
            DeliveryStatus::Delivered
            | DeliveryStatus::Refused
            | DeliveryStatus::Expired
            | DeliveryStatus::Returned => None,
        }
    }
}
