//! Rows as nouns: envelopes and deliveries, written and read back with their checksums.

use bytes::Bytes;
use gateway_model::envelope::{ContentKind, Priority, ResolvedRecipient};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId};
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Reason, Timestamp};
use gateway_store::accept::{Header, PartRef};
use gateway_store::claim::Lane;
use gateway_store::rows::{DeliveryRow, EnvelopeRow, EnvelopeSeq};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::failure::Failure;
use crate::schema::PLACE_BITS;
use crate::sum::Sum;

/// Columns that [`read_envelope`] expects, from the table `envelope`.
pub(crate) const ENVELOPE_COLUMNS: &str = "envelope.seq, envelope.sender, envelope.id, envelope.digest, envelope.received_at,
    envelope.expires_at, envelope.priority, envelope.kind, envelope.file_code, envelope.subject, envelope.code, envelope.arrived_from,
    envelope.hops, envelope.traceparent, envelope.first_accepted, envelope.parts, envelope.accepted_leaf, envelope.sum";
/// Columns that [`read_delivery`] expects, from `delivery JOIN lane`.
pub(crate) const DELIVERY_COLUMNS: &str =
    "delivery.key, delivery.id, delivery.named, delivery.serving, delivery.lane, delivery.status,
    delivery.reason, delivery.next, delivery.wake, delivery.attempts, delivery.since, delivery.sum, lane.name";

const PART_BYTES: usize = 40;

/// A delivery as it stands in the database.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Primary key: envelope and place.
    pub(crate) key: i64,
    /// Number of its lane.
    pub(crate) lane: i64,
    /// What the others see.
    pub(crate) row: DeliveryRow,
}

/// The key of the delivery at `place` of an envelope.
pub(crate) fn delivery_key(envelope: i64, place: i64) -> i64 {
    (envelope << PLACE_BITS) | place
}

/// The envelope of a delivery.
pub(crate) fn envelope_of(key: i64) -> i64 {
    key >> PLACE_BITS
}

/// The place of a delivery among those of its envelope.
pub(crate) fn place_of(key: i64) -> i64 {
    key & ((1 << PLACE_BITS) - 1)
}

/// A number that SQLite keeps as a signed one.
pub(crate) fn number(seq: EnvelopeSeq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

pub(crate) fn sequence(number: i64) -> EnvelopeSeq {
    EnvelopeSeq(u64::try_from(number).unwrap_or(0))
}

/// Writes an envelope's row; its body and parts stand elsewhere.
pub(crate) fn insert_envelope(
    connection: &Connection,
    row: &EnvelopeRow,
    open: i64,
    final_at: Option<i64>,
) -> Result<(), Failure> {
    let (seq, key, digest, header) = (number(row.seq), &row.key, row.digest, &row.header);
    let accepted_leaf = crate::evidence::signed(row.accepted_leaf);
    let (hops, parts) = (encode_hops(&header.hops), encode_parts(&header.parts));
    let sum = envelope_sum(seq, key, &digest, header, &hops, &parts, accepted_leaf).finish();
    let mut statement = connection.prepare_cached(
        "INSERT INTO envelope (seq, sender, id, digest, received_at, expires_at, priority, kind, file_code, subject, code, arrived_from,
            hops, traceparent, first_accepted, parts, accepted_leaf, sum, open, final_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    )?;
    statement.execute(params![
        seq,
        key.sender.as_str(),
        &key.id.0[..],
        &digest.0[..],
        header.received_at.micros(),
        header.expires_at.micros(),
        header.priority.rank(),
        header.kind.as_str(),
        header.file_code,
        header.subject,
        header.code,
        header.arrived_from.as_ref().map(GatewayId::as_str),
        hops,
        header.traceparent,
        header.first_accepted.as_deref(),
        parts,
        accepted_leaf,
        sum,
        open,
        final_at
    ])?;
    Ok(())
}

/// Reads [`ENVELOPE_COLUMNS`].
pub(crate) fn read_envelope(row: &Row<'_>) -> Result<EnvelopeRow, Failure> {
    let seq: i64 = row.get(0)?;
    let damaged = || Failure::Damaged(format!("envelope {seq}"));
    let id = row.get_ref(2)?.as_blob().ok().and_then(|id| id.try_into().ok()).map(EnvelopeId).ok_or_else(damaged)?;
    let key = EnvelopeKey { sender: AgencyId::parse(text(row, 1)?).map_err(|_| damaged())?, id };
    let digest = row.get_ref(3)?.as_blob().ok().and_then(Digest::from_slice).ok_or_else(damaged)?;
    let (hops, parts): (String, Vec<u8>) = (row.get(12)?, row.get(15)?);
    let kind = text(row, 7)?;
    let arrived_from: Option<String> = row.get(11)?;
    let header = Header {
        received_at: Timestamp::from_micros(row.get(4)?),
        expires_at: Timestamp::from_micros(row.get(5)?),
        priority: Priority::from_rank(row.get(6)?).ok_or_else(damaged)?,
        kind: ContentKind::parse(kind).ok_or_else(damaged)?,
        file_code: row.get(8)?,
        subject: row.get(9)?,
        code: row.get(10)?,
        arrived_from: arrived_from.as_deref().map(GatewayId::parse).transpose().map_err(|_| damaged())?,
        hops: hops.split_ascii_whitespace().map(GatewayId::parse).collect::<Result<_, _>>().map_err(|_| damaged())?,
        traceparent: row.get(13)?,
        first_accepted: row.get::<_, Option<Vec<u8>>>(14)?.map(Bytes::from),
        parts: decode_parts(&parts).ok_or_else(damaged)?,
    };
    let accepted_leaf: i64 = row.get(16)?;
    envelope_sum(seq, &key, &digest, &header, &hops, &parts, accepted_leaf)
        .check(row.get(17)?, || format!("envelope {seq}"))?;
    Ok(EnvelopeRow {
        seq: sequence(seq),
        key,
        digest,
        header,
        accepted_leaf: u64::try_from(accepted_leaf).unwrap_or(0),
    })
}

/// Writes a new delivery.
pub(crate) fn insert_delivery(connection: &Connection, kept: &Kept) -> Result<(), Failure> {
    let row = &kept.row;
    let (status, reason, next) = encode_state(&row.state);
    let mut statement = connection.prepare_cached(
        "INSERT INTO delivery (key, id, named, serving, lane, status, reason, next, wake, attempts, since, sum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    statement.execute(params![
        kept.key,
        &row.id.0[..],
        row.recipient.named.as_str(),
        row.recipient.serving.as_str(),
        kept.lane,
        status,
        reason,
        next,
        row.wake.map(Timestamp::micros),
        row.attempts,
        row.since.micros(),
        delivery_sum(kept).finish()
    ])?;
    Ok(())
}

/// Writes what can change of a delivery.
pub(crate) fn update_delivery(connection: &Connection, kept: &Kept) -> Result<(), Failure> {
    let row = &kept.row;
    let (status, reason, next) = encode_state(&row.state);
    let mut statement = connection.prepare_cached(
        "UPDATE delivery SET serving = ?2, lane = ?3, status = ?4, reason = ?5, next = ?6, wake = ?7, attempts = ?8, since = ?9, sum = ?10
        WHERE key = ?1",
    )?;
    statement.execute(params![
        kept.key,
        row.recipient.serving.as_str(),
        kept.lane,
        status,
        reason,
        next,
        row.wake.map(Timestamp::micros),
        row.attempts,
        row.since.micros(),
        delivery_sum(kept).finish()
    ])?;
    Ok(())
}

/// Reads [`DELIVERY_COLUMNS`].
pub(crate) fn read_delivery(row: &Row<'_>) -> Result<Kept, Failure> {
    let key: i64 = row.get(0)?;
    let damaged = || Failure::Damaged(format!("delivery {} of envelope {}", place_of(key), envelope_of(key)));
    let agency = |index| text(row, index).and_then(|text| AgencyId::parse(text).map_err(|_| damaged()));
    let id = row.get_ref(1)?.as_blob().ok().and_then(|id| id.try_into().ok()).map(DeliveryId).ok_or_else(damaged)?;
    let wake = row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros);
    let (status, reason, next): (i64, Option<String>, Option<String>) = (row.get(5)?, row.get(6)?, row.get(7)?);
    let state = decode_state(status, reason.as_deref(), next.as_deref(), wake).ok_or_else(damaged)?;
    let delivery = DeliveryRow {
        id,
        envelope: sequence(envelope_of(key)),
        recipient: ResolvedRecipient { named: agency(2)?, serving: agency(3)? },
        lane: Lane::new(text(row, 12)?),
        state,
        wake,
        attempts: row.get(9)?,
        since: Timestamp::from_micros(row.get(10)?),
    };
    let kept = Kept { key, lane: row.get(4)?, row: delivery };
    delivery_sum(&kept)
        .check(row.get(11)?, || format!("delivery {} of envelope {}", place_of(key), envelope_of(key)))?;
    Ok(kept)
}

/// Finds a delivery by its id.
pub(crate) fn find_delivery(connection: &Connection, id: DeliveryId) -> Result<Option<Kept>, Failure> {
    let sql = const_format_delivery("WHERE delivery.id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([&id.0[..]])?;
    rows.next()?.map(read_delivery).transpose()
}

/// The deliveries of one envelope, in order.
pub(crate) fn deliveries_of(connection: &Connection, envelope: i64) -> Result<Vec<Kept>, Failure> {
    let sql = const_format_delivery("WHERE delivery.key >= ?1 AND delivery.key < ?2 ORDER BY delivery.key");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([delivery_key(envelope, 0), delivery_key(envelope + 1, 0)])?;
    let mut deliveries = Vec::new();
    while let Some(row) = rows.next()? {
        deliveries.push(read_delivery(row)?);
    }
    Ok(deliveries)
}

/// Reads one delivery by its key.
pub(crate) fn delivery_at(connection: &Connection, key: i64) -> Result<Option<Kept>, Failure> {
    let sql = const_format_delivery("WHERE delivery.key = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(read_delivery).transpose()
}

/// Reads one envelope by its number.
pub(crate) fn envelope_at(connection: &Connection, seq: i64) -> Result<Option<EnvelopeRow>, Failure> {
    let sql = format!("SELECT {ENVELOPE_COLUMNS} FROM envelope WHERE seq = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([seq])?;
    rows.next()?.map(read_envelope).transpose()
}

/// Writes a body.
pub(crate) fn insert_body(connection: &Connection, envelope: i64, signed: &[u8], sum: i64) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("INSERT INTO body (envelope, signed, sum) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![envelope, signed, sum])?;
    Ok(())
}

/// Reads a body; `None` once it has been purged.
pub(crate) fn body_of(connection: &Connection, envelope: i64) -> Result<Option<Bytes>, Failure> {
    let mut statement = connection.prepare_cached("SELECT signed, sum FROM body WHERE envelope = ?1")?;
    let found = statement.query_row([envelope], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))).optional()?;
    let Some((signed, sum)) = found else { return Ok(None) };
    if body_sum(&signed) != sum {
        return Err(Failure::Damaged(format!("body of envelope {envelope}: the row does not match its checksum")));
    }
    Ok(Some(signed.into()))
}

/// The checksum of a body; the callers make it, so that the writer has less to do.
pub(crate) fn body_sum(signed: &[u8]) -> i64 {
    Sum::new("body").bytes(signed).finish()
}

fn const_format_delivery(filter: &str) -> String {
    format!("SELECT {DELIVERY_COLUMNS} FROM delivery JOIN lane ON lane.id = delivery.lane {filter}")
}

fn text<'row>(row: &'row Row<'_>, index: usize) -> Result<&'row str, Failure> {
    Ok(row.get_ref(index)?.as_str().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
    })?)
}

fn envelope_sum(
    seq: i64,
    key: &EnvelopeKey,
    digest: &Digest,
    header: &Header,
    hops: &str,
    parts: &[u8],
    accepted_leaf: i64,
) -> Sum {
    Sum::new("envelope")
        .int(seq)
        .text(key.sender.as_str())
        .bytes(&key.id.0)
        .bytes(&digest.0)
        .int(header.received_at.micros())
        .int(header.expires_at.micros())
        .int(header.priority.rank().into())
        .text(header.kind.as_str())
        .text(&header.file_code)
        .text(&header.subject)
        .text(&header.code)
        .optional_text(header.arrived_from.as_ref().map(GatewayId::as_str))
        .text(hops)
        .optional_text(header.traceparent.as_deref())
        .optional_bytes(header.first_accepted.as_deref())
        .bytes(parts)
        .int(accepted_leaf)
}

fn delivery_sum(kept: &Kept) -> Sum {
    let row = &kept.row;
    let (status, reason, next) = encode_state(&row.state);
    Sum::new("delivery")
        .int(kept.key)
        .bytes(&row.id.0)
        .text(row.recipient.named.as_str())
        .text(row.recipient.serving.as_str())
        .int(kept.lane)
        .int(status)
        .optional_text(reason)
        .optional_text(next)
        .optional_int(row.wake.map(Timestamp::micros))
        .int(row.attempts.into())
        .int(row.since.micros())
}

fn encode_state(state: &DeliveryState) -> (i64, Option<&'static str>, Option<&str>) {
    (state.status().number().into(), state.reason().map(Reason::code), state.next().map(GatewayId::as_str))
}

fn decode_state(
    status: i64,
    reason: Option<&str>,
    next: Option<&str>,
    wake: Option<Timestamp>,
) -> Option<DeliveryState> {
    let reason = match reason {
        Some(code) => Some(Reason::parse(code)?),
        None => None,
    };
    let next = next.map(GatewayId::parse).transpose().ok()?;
    DeliveryState::of(DeliveryStatus::from_number(u8::try_from(status).ok()?)?, reason, next, wake)
}

fn encode_hops(hops: &[GatewayId]) -> String {
    hops.iter().map(GatewayId::as_str).collect::<Vec<_>>().join(" ")
}

fn encode_parts(parts: &[PartRef]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.len() * PART_BYTES);
    for part in parts {
        out.extend_from_slice(&part.digest.0);
        out.extend_from_slice(&part.size.to_be_bytes());
    }
    out
}

/// The parts of an envelope, from its column; `None` when it is none of ours.
pub(crate) fn decode_parts(bytes: &[u8]) -> Option<Vec<PartRef>> {
    bytes
        .chunks(PART_BYTES)
        .map(|part| {
            let (digest, size) = part.split_at_checked(32)?;
            Some(PartRef { digest: Digest::from_slice(digest)?, size: u64::from_be_bytes(size.try_into().ok()?) })
        })
        .collect()
}
