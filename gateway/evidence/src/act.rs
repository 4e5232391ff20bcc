//! What an operator did that is about no single envelope: a leaf of its own kind.

use bytes::Bytes;
use gateway_model::id::{GatewayId, OperatorId};
use gateway_model::{Timestamp, limits};
use prost::Message as _;
use proto::v1;

use crate::EvidenceError;
use crate::event::{bounded, instant, malformed, read_instant};

/// Schema name of the one act format there is.
pub const ACT_SCHEMA: &str = "lienthong.act.v1";
/// Bytes of what an act is about.
pub const SUBJECT_BYTES_MAX: usize = 512;
/// Bytes of the address that an operator acts from.
pub const ADDRESS_BYTES_MAX: usize = 128;
/// Bytes of a serialized act.
pub const ACT_BYTES_MAX: usize = limits::TEXT_BYTES_MAX + 2 * 1024;

/// One thing that an operator did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    /// What was done.
    pub kind: ActKind,
    /// Where.
    pub gateway: GatewayId,
    /// When, by that gateway's clock.
    pub at: Timestamp,
    /// Who.
    pub operator: OperatorId,
    /// To what: a destination, the id of a plan, an address.
    pub subject: String,
    /// Why, in the operator's words; may be empty.
    pub note: String,
    /// Where from: address and port, as the gateway saw it; empty when it is not known.
    pub address: String,
}

/// Every kind of act.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ActKind {
    /// Let nothing more go to a destination.
    Paused,
    /// Ended a pause.
    Resumed,
    /// Froze a plan of many deliveries.
    BulkPlanned,
    /// Approved somebody else's plan.
    BulkApproved,
    /// Began to carry a plan out.
    BulkStarted,
    /// Stopped a plan.
    BulkStopped,
    /// Read the content of an envelope.
    Exported,
    /// Signed in to the console.
    SignedIn,
    /// Moved one delivery: the event that says so rests on this.
    Moved,
}

impl Act {
    /// Reads the bytes of a leaf. One act has one serialization.
    ///
    /// # Errors
    /// [`EvidenceError::TooLarge`]; [`EvidenceError::Malformed`] naming the field.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > ACT_BYTES_MAX {
            return Err(EvidenceError::TooLarge { what: "act" });
        }
        let wire = v1::Act::decode(bytes).map_err(|_| malformed("act"))?;
        if wire.schema != ACT_SCHEMA {
            return Err(malformed("act.schema"));
        }
        let act = Self {
            kind: ActKind::from_wire(wire.kind()).ok_or(malformed("act.kind"))?,
            gateway: GatewayId::parse(&wire.gateway).map_err(|_| malformed("act.gateway"))?,
            at: read_instant(wire.at.as_ref()).ok_or(malformed("act.at"))?,
            operator: OperatorId::parse(&wire.operator).map_err(|_| malformed("act.operator"))?,
            subject: bounded(&wire.subject, SUBJECT_BYTES_MAX, "act.subject")?,
            note: bounded(&wire.note, limits::TEXT_BYTES_MAX, "act.note")?,
            address: bounded(&wire.address, ADDRESS_BYTES_MAX, "act.address")?,
        };
        if act.encode() == bytes { Ok(act) } else { Err(malformed("act")) }
    }

    /// Writes the bytes of the leaf.
    pub fn encode(&self) -> Bytes {
        let wire = v1::Act {
            schema: ACT_SCHEMA.to_owned(),
            kind: self.kind.to_wire().into(),
            gateway: self.gateway.to_string(),
            at: Some(instant(self.at)),
            operator: self.operator.to_string(),
            subject: self.subject.clone(),
            note: self.note.clone(),
            address: self.address.clone(),
        };
        wire.encode_to_vec().into()
    }
}

impl ActKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Paused,
        Self::Resumed,
        Self::BulkPlanned,
        Self::BulkApproved,
        Self::BulkStarted,
        Self::BulkStopped,
        Self::Exported,
        Self::SignedIn,
        Self::Moved,
    ];

    /// Name in lists and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::BulkPlanned => "bulk-planned",
            Self::BulkApproved => "bulk-approved",
            Self::BulkStarted => "bulk-started",
            Self::BulkStopped => "bulk-stopped",
            Self::Exported => "exported",
            Self::SignedIn => "signed-in",
            Self::Moved => "moved",
        }
    }

    fn to_wire(self) -> v1::ActKind {
        match self {
            Self::Paused => v1::ActKind::Paused,
            Self::Resumed => v1::ActKind::Resumed,
            Self::BulkPlanned => v1::ActKind::BulkPlanned,
            Self::BulkApproved => v1::ActKind::BulkApproved,
            Self::BulkStarted => v1::ActKind::BulkStarted,
            Self::BulkStopped => v1::ActKind::BulkStopped,
            Self::Exported => v1::ActKind::Exported,
            Self::SignedIn => v1::ActKind::SignedIn,
            Self::Moved => v1::ActKind::Moved,
        }
    }

    fn from_wire(wire: v1::ActKind) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_wire() == wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(kind: ActKind) -> Act {
        Act {
            kind,
            gateway: GatewayId::parse("gw").unwrap(),
            at: Timestamp::from_seconds(1_790_000_000),
            operator: OperatorId::parse("truc-ban").unwrap(),
            subject: "gateway:gw-huyen".to_owned(),
            note: "bảo trì".to_owned(),
            address: "10.20.0.7:50112".to_owned(),
        }
    }

    #[test]
    fn every_act_is_read_as_it_is_written() {
        for kind in ActKind::ALL {
            assert_eq!(Act::decode(&act(kind).encode()), Ok(act(kind)));
        }
    }

    #[test]
    fn a_leaf_of_the_time_before_addresses_is_read_as_an_act_without_one() {
        let old = concat!(
            "0a106c69656e74686f6e672e6163742e763110011a02677722060880f7c4d506",
            "2a08747275632d62616e3209676174657761793a783a0178"
        );
        let old = hex::decode(old).unwrap();
        let read = Act::decode(&old).unwrap();
        assert_eq!((read.address.as_str(), read.operator.as_str()), ("", "truc-ban"));
        assert_eq!(read.encode(), old, "and is the same leaf");
    }

    #[test]
    fn an_event_is_no_act_and_what_is_too_long_is_refused() {
        assert_eq!(Act::decode(b""), Err(malformed("act.schema")));
        let long = Act { subject: "x".repeat(SUBJECT_BYTES_MAX + 1), ..act(ActKind::Paused) };
        assert_eq!(Act::decode(&long.encode()), Err(EvidenceError::TooLarge { what: "act.subject" }));
        let far = Act { address: "x".repeat(ADDRESS_BYTES_MAX + 1), ..act(ActKind::Paused) };
        assert_eq!(Act::decode(&far.encode()), Err(EvidenceError::TooLarge { what: "act.address" }));
        let other = v1::Act { schema: crate::event::EVENT_SCHEMA.to_owned(), ..Default::default() };
        assert_eq!(Act::decode(&other.encode_to_vec()), Err(malformed("act.schema")));
    }
}
