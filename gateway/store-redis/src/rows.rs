//! Rows as nouns: what an envelope, a delivery, an event, a leaf and a receipt on its way back say on disk.

use bytes::Bytes;
use gateway_model::envelope::{ContentKind, Priority, ResolvedRecipient};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId};
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Reason, Timestamp};
use gateway_store::accept::{Header, PartRef};
use gateway_store::claim::Lane;
use gateway_store::rows::{DeliveryRow, EnvelopeRow, EnvelopeSeq};

use crate::codec::{Damaged, Decoder, Encoder};
use crate::keys::{BodyId, Place};

/// What of an envelope changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EnvelopeState {
    pub(crate) seq: u64,
    /// Where its body stands, with the checksum of that; `None` once purged.
    pub(crate) body: Option<(BodyId, [u8; 8])>,
    /// Deliveries that it has.
    pub(crate) places: u32,
    /// Those that are not final.
    pub(crate) open: u32,
    /// When the last one became final.
    pub(crate) final_at: Option<Timestamp>,
    /// Lines of its history.
    pub(crate) events: u32,
}

/// One entry of the index of envelope ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub(crate) sender: AgencyId,
    pub(crate) seq: u64,
    pub(crate) digest: Digest,
    pub(crate) accepted_leaf: u64,
}

/// One line of an envelope's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A leaf of the own log.
    Own(u64),
    /// A receipt of another gateway, serialized.
    Foreign(Bytes),
}

/// A leaf of the evidence log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Leaf {
    pub(crate) index: u64,
    /// What it is about; zero for nothing.
    pub(crate) envelope: u64,
    /// Leaves under the checkpoint that covers it.
    pub(crate) tree_size: u64,
    pub(crate) event: Bytes,
    pub(crate) proof: Vec<Digest>,
}

/// A receipt on its way back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct WayBack {
    pub(crate) id: u64,
    pub(crate) to: GatewayId,
    pub(crate) lane: Lane,
    pub(crate) wake: Option<Timestamp>,
    pub(crate) attempts: u32,
    pub(crate) reason: Option<Reason>,
    /// Serialized.
    pub(crate) receipt: Bytes,
}

/// Writes what of an envelope never changes.
pub(crate) fn encode_envelope(
    seq: u64,
    key: &EnvelopeKey,
    digest: Digest,
    header: &Header,
    accepted_leaf: u64,
) -> Bytes {
    let row = Encoder::new("envelope")
        .number(seq)
        .text(key.sender.as_str())
        .bytes(&key.id.0)
        .bytes(&digest.0)
        .signed(header.received_at.micros())
        .signed(header.expires_at.micros())
        .number(header.priority.rank().into())
        .text(header.kind.as_str())
        .text(&header.file_code)
        .text(&header.subject)
        .text(&header.code)
        .optional(header.arrived_from.as_ref(), |row, id| row.text(id.as_str()))
        .optional(header.traceparent.as_deref(), Encoder::text)
        .optional(header.first_accepted.as_deref(), Encoder::bytes)
        .number(accepted_leaf)
        .number(header.hops.len() as u64);
    let row = header.hops.iter().fold(row, |row, hop| row.text(hop.as_str())).number(header.parts.len() as u64);
    header.parts.iter().fold(row, |row, part| row.bytes(&part.digest.0).number(part.size)).seal()
}

/// Reads it.
pub(crate) fn decode_envelope(row: &[u8]) -> Result<EnvelopeRow, Damaged> {
    let mut read = Decoder::open("envelope", row)?;
    let seq = EnvelopeSeq(read.number()?);
    let sender = read.parsed(|text| AgencyId::parse(text).ok())?;
    let key = EnvelopeKey { sender, id: EnvelopeId(read.fixed()?) };
    let digest = Digest(read.fixed()?);
    let mut header = Header {
        received_at: Timestamp::from_micros(read.signed()?),
        expires_at: Timestamp::from_micros(read.signed()?),
        priority: priority(&mut read)?,
        kind: read.parsed(ContentKind::parse)?,
        file_code: read.text()?.to_owned(),
        subject: read.text()?.to_owned(),
        code: read.text()?.to_owned(),
        arrived_from: read.optional(gateway)?,
        traceparent: read.optional(|read| read.text().map(str::to_owned))?,
        first_accepted: read.optional(|read| read.bytes().map(Bytes::copy_from_slice))?,
        hops: Vec::new(),
        parts: Vec::new(),
    };
    let accepted_leaf = read.number()?;
    for _ in 0..read.number()? {
        header.hops.push(gateway(&mut read)?);
    }
    for _ in 0..read.number()? {
        header.parts.push(PartRef { digest: Digest(read.fixed()?), size: read.number()? });
    }
    read.end(EnvelopeRow { seq, key, digest, header, accepted_leaf })
}

/// Writes a delivery.
pub(crate) fn encode_delivery(place: Place, row: &DeliveryRow) -> Bytes {
    Encoder::new("delivery")
        .number(place.envelope)
        .number(place.place.into())
        .bytes(&row.id.0)
        .text(row.recipient.named.as_str())
        .text(row.recipient.serving.as_str())
        .text(row.lane.as_str())
        .byte(row.state.status().number())
        .optional(row.state.reason(), |encoder, reason| encoder.text(reason.code()))
        .optional(row.state.next(), |encoder, next| encoder.text(next.as_str()))
        .optional(row.wake.map(Timestamp::micros), Encoder::signed)
        .number(row.attempts.into())
        .signed(row.since.micros())
        .seal()
}

/// Reads it.
pub(crate) fn decode_delivery(place: Place, row: &[u8]) -> Result<DeliveryRow, Damaged> {
    let mut read = Decoder::open("delivery", row)?;
    if (read.number()?, read.small()?) != (place.envelope, place.place) {
        return Err(read.damaged());
    }
    let id = DeliveryId(read.fixed()?);
    let recipient = ResolvedRecipient { named: agency(&mut read)?, serving: agency(&mut read)? };
    let lane = Lane::new(read.text()?);
    let status = read.byte()?;
    let reason = read.optional(|read| read.parsed(Reason::parse))?;
    let next = read.optional(gateway)?;
    let wake = read.optional(Decoder::signed)?.map(Timestamp::from_micros);
    let state = DeliveryStatus::from_number(status).and_then(|status| DeliveryState::of(status, reason, next, wake));
    let state = state.ok_or_else(|| read.damaged())?;
    let (attempts, since) = (read.small()?, Timestamp::from_micros(read.signed()?));
    read.end(DeliveryRow { id, envelope: EnvelopeSeq(place.envelope), recipient, lane, state, wake, attempts, since })
}

impl EnvelopeState {
    pub(crate) fn encode(&self) -> Bytes {
        Encoder::new("envelope state")
            .number(self.seq)
            .optional(self.body, |row, (id, sum)| row.number(id.boot).number(id.number).bytes(&sum))
            .number(self.places.into())
            .number(self.open.into())
            .optional(self.final_at.map(Timestamp::micros), Encoder::signed)
            .number(self.events.into())
            .seal()
    }

    pub(crate) fn decode(seq: u64, row: &[u8]) -> Result<Self, Damaged> {
        let mut read = Decoder::open("envelope state", row)?;
        if read.number()? != seq {
            return Err(read.damaged());
        }
        let body =
            read.optional(|read| Ok((BodyId { boot: read.number()?, number: read.number()? }, read.fixed()?)))?;
        let (places, open) = (read.small()?, read.small()?);
        let final_at = read.optional(Decoder::signed)?.map(Timestamp::from_micros);
        let events = read.small()?;
        read.end(Self { seq, body, places, open, final_at, events })
    }
}

impl Known {
    /// Writes all entries of one id.
    pub(crate) fn encode_all(all: &[Self]) -> Bytes {
        let row = Encoder::new("id").number(all.len() as u64);
        let one = |row: Encoder, known: &Self| {
            row.text(known.sender.as_str()).number(known.seq).bytes(&known.digest.0).number(known.accepted_leaf)
        };
        all.iter().fold(row, one).seal()
    }

    pub(crate) fn decode_all(row: &[u8]) -> Result<Vec<Self>, Damaged> {
        let mut read = Decoder::open("id", row)?;
        let mut all = Vec::new();
        for _ in 0..read.number()? {
            let (sender, seq) = (agency(&mut read)?, read.number()?);
            all.push(Self { sender, seq, digest: Digest(read.fixed()?), accepted_leaf: read.number()? });
        }
        read.end(all)
    }
}

impl Event {
    pub(crate) fn encode(&self, seq: u64, position: u32) -> Bytes {
        let row = Encoder::new("event").number(seq).number(position.into());
        match self {
            Self::Own(leaf) => row.byte(0).number(*leaf).seal(),
            Self::Foreign(receipt) => row.byte(1).bytes(receipt).seal(),
        }
    }

    pub(crate) fn decode(seq: u64, position: u32, row: &[u8]) -> Result<Self, Damaged> {
        let mut read = Decoder::open("event", row)?;
        if (read.number()?, read.small()?) != (seq, position) {
            return Err(read.damaged());
        }
        let event = match read.byte()? {
            0 => Self::Own(read.number()?),
            1 => Self::Foreign(Bytes::copy_from_slice(read.bytes()?)),
            _ => return Err(read.damaged()),
        };
        read.end(event)
    }
}

impl Leaf {
    pub(crate) fn encode(&self) -> Bytes {
        let row = Encoder::new("leaf").number(self.index).number(self.envelope).number(self.tree_size);
        let row = row.bytes(&self.event).number(self.proof.len() as u64);
        self.proof.iter().fold(row, |row, node| row.bytes(&node.0)).seal()
    }

    pub(crate) fn decode(index: u64, row: &[u8]) -> Result<Self, Damaged> {
        let mut read = Decoder::open("leaf", row)?;
        if read.number()? != index {
            return Err(read.damaged());
        }
        let (envelope, tree_size) = (read.number()?, read.number()?);
        let event = Bytes::copy_from_slice(read.bytes()?);
        let mut proof = Vec::new();
        for _ in 0..read.number()? {
            proof.push(Digest(read.fixed()?));
        }
        read.end(Self { index, envelope, tree_size, event, proof })
    }
}

impl WayBack {
    pub(crate) fn encode(&self) -> Bytes {
        Encoder::new("way back")
            .number(self.id)
            .text(self.to.as_str())
            .text(self.lane.as_str())
            .optional(self.wake.map(Timestamp::micros), Encoder::signed)
            .number(self.attempts.into())
            .optional(self.reason, |row, reason| row.text(reason.code()))
            .bytes(&self.receipt)
            .seal()
    }

    pub(crate) fn decode(id: u64, row: &[u8]) -> Result<Self, Damaged> {
        let mut read = Decoder::open("way back", row)?;
        if read.number()? != id {
            return Err(read.damaged());
        }
        let (to, lane) = (gateway(&mut read)?, Lane::new(read.text()?));
        let wake = read.optional(Decoder::signed)?.map(Timestamp::from_micros);
        let (attempts, reason) = (read.small()?, read.optional(|read| read.parsed(Reason::parse))?);
        let receipt = Bytes::copy_from_slice(read.bytes()?);
        read.end(Self { id, to, lane, wake, attempts, reason, receipt })
    }
}

fn agency(read: &mut Decoder<'_>) -> Result<AgencyId, Damaged> {
    read.parsed(|text| AgencyId::parse(text).ok())
}

fn gateway(read: &mut Decoder<'_>) -> Result<GatewayId, Damaged> {
    read.parsed(|text| GatewayId::parse(text).ok())
}

fn priority(read: &mut Decoder<'_>) -> Result<Priority, Damaged> {
    let rank = read.number()?;
    rank.try_into().ok().and_then(Priority::from_rank).ok_or_else(|| read.damaged())
}
