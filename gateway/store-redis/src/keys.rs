//! Names of keys, fields and members: the layout that the head of the crate tells.

use bytes::Bytes;
use gateway_model::Digest;
use gateway_store::claim::Lane;

use crate::codec::Damaged;

/// Leaves of the evidence log in one hash.
pub(crate) const LEAVES_IN_A_CHUNK: u64 = 1_024;
/// Digits of an envelope's number.
const SEQ_DIGITS: usize = 12;
/// The largest number that an envelope can have.
const SEQ_MAX: u64 = (1 << (4 * SEQ_DIGITS)) - 1;
/// Deliveries that one envelope can have.
pub(crate) const PLACES_MAX: u32 = 1 << 13;

/// Makes the keys of one gateway's store.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    tag: String,
    bodies: String,
}

/// Where a delivery stands: its envelope, and its place among the deliveries of that one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Place {
    pub(crate) envelope: u64,
    pub(crate) place: u32,
}

/// Names a body: the opening of the store that wrote it, and its number there. Never given twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BodyId {
    pub(crate) boot: u64,
    pub(crate) number: u64,
}

/// For a person.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "delivery {} of envelope {}", self.place, self.envelope)
    }
}

impl Keys {
    pub(crate) fn new(prefix: &str, gateway: &str) -> Self {
        Self { tag: format!("{prefix}:{{{gateway}}}:"), bodies: format!("{prefix}:body:{gateway}:") }
    }

    /// What every key but those of bodies begins with, with the hash tag.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// A key that there is one of.
    pub(crate) fn one(&self, name: &str) -> Bytes {
        format!("{}{name}", self.tag).into()
    }

    pub(crate) fn head(&self) -> Bytes {
        self.one("head")
    }

    pub(crate) fn envelope(&self, seq: u64) -> Bytes {
        format!("{}e:{seq:012x}", self.tag).into()
    }

    pub(crate) fn lane(&self, lane: &Lane) -> Bytes {
        format!("{}lane:{}", self.tag, lane.as_str()).into()
    }

    pub(crate) fn status(&self, code: u8) -> Bytes {
        format!("{}status:{code}", self.tag).into()
    }

    pub(crate) fn file(&self, file_code: &str) -> Bytes {
        format!("{}file:{file_code}", self.tag).into()
    }

    /// The hash that holds a leaf.
    pub(crate) fn log(&self, leaf: u64) -> Bytes {
        format!("{}log:{:x}", self.tag, leaf / LEAVES_IN_A_CHUNK).into()
    }

    /// A body stands in a slot of its own: bodies spread over the masters of a Cluster.
    pub(crate) fn body(&self, id: BodyId) -> Bytes {
        format!("{}{:x}:{:x}", self.bodies, id.boot, id.number).into()
    }
}

impl Place {
    /// Its member in the queue of a lane: oldest first.
    pub(crate) fn item(self) -> Bytes {
        format!("d{:012x}{:04x}", self.envelope, self.place).into()
    }

    /// Where its id leads to.
    pub(crate) fn location(self) -> Bytes {
        format!("{:012x}{:04x}", self.envelope, self.place).into()
    }

    /// Its member in the index of a status: the newest envelope first, its deliveries in order.
    pub(crate) fn newest_first(self) -> Bytes {
        format!("{:012x}{:04x}", SEQ_MAX - self.envelope.min(SEQ_MAX), self.place).into()
    }

    pub(crate) fn read_newest_first(text: &[u8]) -> Result<Self, Damaged> {
        let place = Self::read(text)?;
        Ok(Self { envelope: SEQ_MAX - place.envelope, ..place })
    }

    /// Reads what [`Place::location`] wrote.
    pub(crate) fn read(text: &[u8]) -> Result<Self, Damaged> {
        let damaged = || Damaged::at("the place of a delivery");
        let (envelope, place) = text.split_at_checked(SEQ_DIGITS).ok_or_else(damaged)?;
        let place = hex(place).and_then(|place| u32::try_from(place).ok()).ok_or_else(damaged)?;
        Ok(Self { envelope: hex(envelope).ok_or_else(damaged)?, place })
    }

    /// The field of its row.
    pub(crate) fn field(self) -> Bytes {
        format!("d{:04x}", self.place).into()
    }
}

/// The member of a receipt on its way back in the queue of a lane.
pub(crate) fn return_item(id: u64) -> Bytes {
    format!("r{}", return_field(id)).into()
}

/// The field of a receipt on its way back.
pub(crate) fn return_field(id: u64) -> String {
    format!("{id:016x}")
}

/// Reads what [`return_item`] wrote behind its first letter.
pub(crate) fn read_return(text: &[u8]) -> Result<u64, Damaged> {
    hex(text).ok_or_else(|| Damaged::at("the number of a return"))
}

/// An envelope's number as a member.
pub(crate) fn seq_text(seq: u64) -> Bytes {
    format!("{seq:012x}").into()
}

/// Reads what [`seq_text`] wrote.
pub(crate) fn read_seq(text: &[u8]) -> Result<u64, Damaged> {
    hex(text).ok_or_else(|| Damaged::at("the number of an envelope"))
}

/// The field of an event of an envelope.
pub(crate) fn event_field(position: u32) -> Bytes {
    format!("e{position:08x}").into()
}

/// The field that says that a foreign receipt is known.
pub(crate) fn foreign_field(leaf_hash: &Digest) -> Bytes {
    [b"f".as_slice(), &leaf_hash.0].concat().into()
}

/// The field of a leaf.
pub(crate) fn leaf_field(leaf: u64) -> Bytes {
    format!("{leaf:x}").into()
}

/// The field of the signed checkpoint over `size` leaves; it stands beside the last of them.
pub(crate) fn note_field(size: u64) -> Bytes {
    format!("n{size:x}").into()
}

fn hex(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}
