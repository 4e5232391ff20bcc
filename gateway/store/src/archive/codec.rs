//! Records as bytes: the kind, then its content. Numbers have eight bytes, the most significant first; texts and blobs stand after their length in
//! four bytes; what may be missing stands after a byte that says whether it is there; lists after their length as a number.

use bytes::{Buf as _, Bytes};
use gateway_evidence::LogState;
use gateway_model::envelope::{ContentKind, Priority, ResolvedRecipient};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId};
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Reason, Timestamp};

use super::record::{Head, Leaf, Record, Return};
use crate::accept::{Header, PartRef};
use crate::claim::Lane;
use crate::rows::{DeliveryRow, EnvelopeRow, EnvelopeSeq};
use crate::settle::ForeignReceipt;

/// Writes kind and content.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    match record {
        Record::Head(head) => write_head(Out::new(1), head),
        Record::Envelope { row, final_at } => write_envelope(Out::new(2), row, *final_at),
        Record::Body(signed) => Out::new(3).bytes(signed),
        Record::Delivery(row) => write_delivery(Out::new(4), row),
        Record::Own(leaf) => write_leaf(Out::new(5), leaf),
        Record::Foreign(foreign) => Out::new(6).bytes(&foreign.leaf_hash.0).bytes(&foreign.bytes),
        Record::Loose(leaf) => write_leaf(Out::new(7), leaf),
        Record::Checkpoint { size, note } => Out::new(8).number(*size).bytes(note.as_bytes()),
        Record::Return(row) => write_return(Out::new(9), row),
        Record::Mark { name, value } => Out::new(10).bytes(name.as_bytes()).bytes(value),
    }
    .0
}

/// Reads kind and content; `None` when it is none of ours.
pub(super) fn decode(content: &Bytes) -> Option<Record> {
    let mut read = In(content.clone());
    let record = match read.byte()? {
        1 => Record::Head(read_head(&mut read)?),
        2 => {
            let row = read_envelope(&mut read)?;
            Record::Envelope { row, final_at: read.optional(In::time)? }
        }
        3 => Record::Body(read.bytes()?),
        4 => Record::Delivery(read_delivery(&mut read)?),
        5 => Record::Own(read_leaf(&mut read)?),
        6 => Record::Foreign(ForeignReceipt { leaf_hash: read.digest()?, bytes: read.bytes()? }),
        7 => Record::Loose(read_leaf(&mut read)?),
        8 => Record::Checkpoint { size: read.number()?, note: read.text()?.into() },
        9 => Record::Return(read_return(&mut read)?),
        10 => Record::Mark { name: read.text()?, value: read.bytes()? },
        _ => return None,
    };
    read.0.is_empty().then_some(record)
}

fn write_head(out: Out, head: &Head) -> Out {
    out.bytes(head.origin.as_bytes())
        .number(head.commits)
        .number(head.envelopes)
        .number(head.returns_numbered)
        .number(head.token_max)
        .bytes(&head.log.encode())
        .optional(head.note.as_deref(), |out, note| out.bytes(note.as_bytes()))
}

fn read_head(read: &mut In) -> Option<Head> {
    Some(Head {
        origin: read.text()?,
        commits: read.number()?,
        envelopes: read.number()?,
        returns_numbered: read.number()?,
        token_max: read.number()?,
        log: LogState::decode(&read.bytes()?).ok()?,
        note: read.optional(In::text)?.map(Into::into),
    })
}

fn write_envelope(out: Out, row: &EnvelopeRow, final_at: Option<Timestamp>) -> Out {
    let header = &row.header;
    let out = out
        .number(row.seq.0)
        .bytes(row.key.sender.as_str().as_bytes())
        .bytes(&row.key.id.0)
        .bytes(&row.digest.0)
        .number(row.accepted_leaf)
        .time(header.received_at)
        .time(header.expires_at)
        .byte(header.priority.rank())
        .bytes(header.kind.as_str().as_bytes())
        .bytes(header.file_code.as_bytes())
        .bytes(header.subject.as_bytes())
        .bytes(header.code.as_bytes())
        .optional(header.arrived_from.as_ref(), |out, from| out.bytes(from.as_str().as_bytes()))
        .optional(header.traceparent.as_ref(), |out, trace| out.bytes(trace.as_bytes()))
        .optional(header.first_accepted.as_ref(), |out, receipt| out.bytes(receipt))
        .number(header.hops.len() as u64);
    let out = header.hops.iter().fold(out, |out, hop| out.bytes(hop.as_str().as_bytes()));
    let out = out.number(header.parts.len() as u64);
    let out = header.parts.iter().fold(out, |out, part| out.bytes(&part.digest.0).number(part.size));
    out.optional(final_at, Out::time)
}

fn read_envelope(read: &mut In) -> Option<EnvelopeRow> {
    let seq = EnvelopeSeq(read.number()?);
    let key = EnvelopeKey { sender: read.agency()?, id: EnvelopeId(read.fixed()?) };
    let (digest, accepted_leaf) = (read.digest()?, read.number()?);
    let mut header = Header {
        received_at: read.time()?,
        expires_at: read.time()?,
        priority: Priority::from_rank(read.byte()?)?,
        kind: ContentKind::parse(&read.text()?)?,
        file_code: read.text()?,
        subject: read.text()?,
        code: read.text()?,
        arrived_from: read.optional(In::gateway)?,
        traceparent: read.optional(In::text)?,
        first_accepted: read.optional(In::bytes)?,
        hops: Vec::new(),
        parts: Vec::new(),
    };
    for _ in 0..read.number()? {
        header.hops.push(read.gateway()?);
    }
    for _ in 0..read.number()? {
        header.parts.push(PartRef { digest: read.digest()?, size: read.number()? });
    }
    Some(EnvelopeRow { seq, key, digest, header, accepted_leaf })
}

fn write_delivery(out: Out, row: &DeliveryRow) -> Out {
    out.number(row.envelope.0)
        .bytes(&row.id.0)
        .bytes(row.recipient.named.as_str().as_bytes())
        .bytes(row.recipient.serving.as_str().as_bytes())
        .bytes(row.lane.as_str().as_bytes())
        .byte(row.state.status().number())
        .optional(row.state.reason(), |out, reason| out.bytes(reason.code().as_bytes()))
        .optional(row.state.next(), |out, next| out.bytes(next.as_str().as_bytes()))
        .optional(row.wake, Out::time)
        .number(row.attempts.into())
        .time(row.since)
}

fn read_delivery(read: &mut In) -> Option<DeliveryRow> {
    let (envelope, id) = (EnvelopeSeq(read.number()?), DeliveryId(read.fixed()?));
    let recipient = ResolvedRecipient { named: read.agency()?, serving: read.agency()? };
    let (lane, status) = (Lane::new(read.text()?), DeliveryStatus::from_number(read.byte()?)?);
    let (reason, next) = (read.optional(In::reason)?, read.optional(In::gateway)?);
    let wake = read.optional(In::time)?;
    let state = DeliveryState::of(status, reason, next, wake)?;
    let (attempts, since) = (read.small()?, read.time()?);
    Some(DeliveryRow { id, envelope, recipient, lane, state, wake, attempts, since })
}

fn write_leaf(out: Out, leaf: &Leaf) -> Out {
    let out = out.number(leaf.index).number(leaf.tree_size).bytes(&leaf.event).number(leaf.proof.len() as u64);
    leaf.proof.iter().fold(out, |out, node| out.bytes(&node.0))
}

fn read_leaf(read: &mut In) -> Option<Leaf> {
    let mut leaf = Leaf { index: read.number()?, tree_size: read.number()?, event: read.bytes()?, proof: Vec::new() };
    for _ in 0..read.number()? {
        leaf.proof.push(read.digest()?);
    }
    Some(leaf)
}

fn write_return(out: Out, row: &Return) -> Out {
    out.number(row.id)
        .bytes(row.to.as_str().as_bytes())
        .bytes(row.lane.as_str().as_bytes())
        .optional(row.wake, Out::time)
        .number(row.attempts.into())
        .optional(row.reason, |out, reason| out.bytes(reason.code().as_bytes()))
        .bytes(&row.receipt)
}

fn read_return(read: &mut In) -> Option<Return> {
    Some(Return {
        id: read.number()?,
        to: read.gateway()?,
        lane: Lane::new(read.text()?),
        wake: read.optional(In::time)?,
        attempts: read.small()?,
        reason: read.optional(In::reason)?,
        receipt: read.bytes()?,
    })
}

struct Out(Vec<u8>);

impl Out {
    fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn number(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    fn time(mut self, at: Timestamp) -> Self {
        self.0.extend_from_slice(&at.micros().to_be_bytes());
        self
    }

    fn bytes(mut self, value: &[u8]) -> Self {
        // What is longer makes a record that is refused as a whole.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    fn optional<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => write(self.byte(1), value),
            None => self.byte(0),
        }
    }
}

/// Reads forward only, and never past the end.
struct In(Bytes);

impl In {
    fn byte(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.0.try_get_u64().ok()
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.0.try_get_i64().ok().map(Timestamp::from_micros)
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.0.try_get_u32().ok()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes()?[..].try_into().ok()
    }

    fn digest(&mut self) -> Option<Digest> {
        self.fixed().map(Digest)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.into()).ok()
    }

    fn agency(&mut self) -> Option<AgencyId> {
        AgencyId::parse(&self.text()?).ok()
    }

    fn gateway(&mut self) -> Option<GatewayId> {
        GatewayId::parse(&self.text()?).ok()
    }

    fn reason(&mut self) -> Option<Reason> {
        Reason::parse(&self.text()?)
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }
}
