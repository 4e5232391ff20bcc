//! The evidence log on disk: leaves with their proofs, checkpoints, and receipts from elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use gateway_evidence::{Batch, Receipt};
use gateway_model::Digest;
use gateway_store::rows::{EventRow, EventSource, LeafRow};
use gateway_store::settle::ForeignReceipt;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::failure::Failure;
use crate::rows;
use crate::sum::Sum;

const RECEIPT_COLUMNS: &str =
    "event.leaf, event.envelope, event.position, event.tree_size, event.event, event.proof, event.sum,
    checkpoint.note, checkpoint.sum";
const DIGEST_BYTES: usize = 32;

/// What stands where a leaf names its envelope, when it is about none.
pub(crate) const ABOUT_NO_ENVELOPE: i64 = 0;

/// A leaf that waits for the end of its batch.
#[derive(Clone, Debug)]
pub(crate) struct NewLeaf {
    /// The envelope it is about.
    pub(crate) envelope: i64,
    /// Its place in what became known here.
    pub(crate) position: i64,
    /// Serialized event.
    pub(crate) event: Bytes,
}

/// Writes the leaves of a batch, and its checkpoint.
pub(crate) fn insert_leaves(connection: &Connection, leaves: &[NewLeaf], batch: &Batch) -> Result<(), Failure> {
    for (leaf, receipt) in leaves.iter().zip(&batch.receipts) {
        insert_leaf(connection, leaf.envelope, leaf.position, batch.next.size(), receipt)?;
    }
    insert_checkpoint(connection, batch.next.size(), &batch.checkpoint)
}

/// Writes one leaf; the checkpoint of its receipt stands elsewhere.
pub(crate) fn insert_leaf(
    connection: &Connection,
    envelope: i64,
    position: i64,
    tree_size: u64,
    receipt: &Receipt,
) -> Result<(), Failure> {
    let mut proof = Vec::with_capacity(receipt.proof.len() * DIGEST_BYTES);
    receipt.proof.iter().for_each(|node| proof.extend_from_slice(&node.0));
    let (index, size) = (signed(receipt.leaf_index), signed(tree_size));
    let sum = event_sum(index, envelope, position, size, &receipt.event, &proof).finish();
    let mut insert = connection.prepare_cached(
        "INSERT INTO event (leaf, envelope, position, tree_size, event, proof, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.execute(params![index, envelope, position, size, &receipt.event[..], &proof[..], sum])?;
    Ok(())
}

/// Writes a signed checkpoint.
pub(crate) fn insert_checkpoint(connection: &Connection, size: u64, note: &str) -> Result<(), Failure> {
    let size = signed(size);
    let mut insert = connection.prepare_cached("INSERT INTO checkpoint (size, note, sum) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![size, note, checkpoint_sum(size, note).finish()])?;
    Ok(())
}

/// One line of an envelope's history, or a leaf that stands in none.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) position: i64,
    pub(crate) what: What,
}

/// What a line is.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A leaf of the own log, and how many leaves its checkpoint covers.
    Own { receipt: Receipt, tree_size: u64 },
    /// A receipt of another gateway.
    Foreign(ForeignReceipt),
}

/// The history of one envelope after a position, in order, at most `limit` lines.
pub(crate) fn lines_of(connection: &Connection, envelope: i64, after: i64, limit: usize) -> Result<Vec<Line>, Failure> {
    let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {RECEIPT_COLUMNS} FROM event LEFT JOIN checkpoint ON checkpoint.size = event.tree_size
        WHERE event.envelope = ?1 AND event.position > ?2 ORDER BY event.position LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![envelope, after, rows_max])?;
    let mut lines = Vec::new();
    while let Some(row) = found.next()? {
        lines.push(read_own(row)?);
    }
    let mut statement = connection.prepare_cached(
        "SELECT position, envelope, leaf_hash, receipt, sum FROM foreign_receipt
        WHERE envelope = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
    )?;
    let mut found = statement.query(params![envelope, after, rows_max])?;
    while let Some(row) = found.next()? {
        let (position, bytes) = read_foreign(row)?;
        let damaged = || Failure::Damaged(format!("foreign receipt {position}"));
        let leaf_hash = row.get_ref(2)?.as_blob().ok().and_then(Digest::from_slice).ok_or_else(damaged)?;
        lines.push(Line { position, what: What::Foreign(ForeignReceipt { leaf_hash, bytes }) });
    }
    lines.sort_by_key(|line| line.position);
    lines.truncate(limit);
    Ok(lines)
}

/// One leaf.
pub(crate) fn leaf_at(connection: &Connection, leaf: i64) -> Result<Option<Line>, Failure> {
    let sql = format!(
        "SELECT {RECEIPT_COLUMNS} FROM event LEFT JOIN checkpoint ON checkpoint.size = event.tree_size WHERE event.leaf = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([leaf])?;
    rows.next()?.map(read_own).transpose()
}

fn read_own(row: &Row<'_>) -> Result<Line, Failure> {
    let (leaf, size): (i64, i64) = (row.get(0)?, row.get(3)?);
    if row.get_ref(7)? == rusqlite::types::ValueRef::Null {
        return Err(Failure::Damaged(format!("event {leaf}: its checkpoint is missing")));
    }
    let event = read_event(row)?;
    let position = signed(event.position);
    let what = What::Own { receipt: event.receipt, tree_size: size.unsigned_abs() };
    Ok(Line { position, what })
}

/// The receipt of one leaf.
pub(crate) fn receipt_of(connection: &Connection, leaf: i64) -> Result<Option<Receipt>, Failure> {
    let sql = format!(
        "SELECT {RECEIPT_COLUMNS} FROM event JOIN checkpoint ON checkpoint.size = event.tree_size WHERE event.leaf = ?1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([leaf])?;
    rows.next()?.map(|row| read_event(row).map(|event| event.receipt)).transpose()
}

/// Hashes of the leaves from `from` on.
pub(crate) fn leaf_hashes(connection: &Connection, from: u64, limit: usize) -> Result<Vec<Digest>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT leaf, event FROM event WHERE leaf >= ?1 ORDER BY leaf LIMIT ?2")?;
    let mut rows = statement.query(params![signed(from), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut hashes = Vec::new();
    while let Some(row) = rows.next()? {
        let leaf: i64 = row.get(0)?;
        if leaf != signed(from) + signed(hashes.len() as u64) {
            return Err(Failure::Damaged(format!("event {leaf}: the leaf before it is missing")));
        }
        let event = row.get_ref(1)?.as_blob().map_err(|_| Failure::Damaged(format!("event {leaf}")))?;
        hashes.push(gateway_evidence::merkle::leaf_hash(event));
    }
    Ok(hashes)
}

/// The leaves from `from` on with the envelopes that they are about.
pub(crate) fn leaves(connection: &Connection, from: u64, limit: usize) -> Result<Vec<LeafRow>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT leaf, envelope, event FROM event WHERE leaf >= ?1 ORDER BY leaf LIMIT ?2")?;
    let mut rows = statement.query(params![signed(from), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next()? {
        let (leaf, envelope): (i64, i64) = (row.get(0)?, row.get(1)?);
        let envelope = (envelope != ABOUT_NO_ENVELOPE).then(|| crate::rows::sequence(envelope));
        leaves.push(LeafRow { index: leaf.unsigned_abs(), envelope, bytes: row.get::<_, Vec<u8>>(2)?.into() });
    }
    Ok(leaves)
}

/// Own events and foreign receipts of one envelope after a position, in order.
pub(crate) fn events_of(
    connection: &Connection,
    envelope: i64,
    after: i64,
    limit: usize,
) -> Result<Vec<EventRow>, Failure> {
    let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {RECEIPT_COLUMNS} FROM event JOIN checkpoint ON checkpoint.size = event.tree_size
        WHERE event.envelope = ?1 AND event.position > ?2 ORDER BY event.position LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params![envelope, after, rows_max])?;
    let mut events = Vec::new();
    while let Some(row) = found.next()? {
        events.push(read_event(row)?);
    }
    // Each envelope that is kept has the event of its acceptance: where the index does not lead to it, the index is damaged.
    if events.is_empty() && after < 0 && limit > 0 && rows::envelope_at(connection, envelope)?.is_some() {
        return Err(Failure::Damaged(format!("event_of: nothing leads to the events of envelope {envelope}")));
    }
    let mut statement = connection.prepare_cached(
        "SELECT position, envelope, leaf_hash, receipt, sum FROM foreign_receipt
        WHERE envelope = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
    )?;
    let mut rows = statement.query(params![envelope, after, rows_max])?;
    while let Some(row) = rows.next()? {
        let (position, bytes) = read_foreign(row)?;
        let receipt = Receipt::decode(&bytes)
            .map_err(|error| Failure::Damaged(format!("foreign receipt {position}: {error}")))?;
        events.push(EventRow { position: position.unsigned_abs(), receipt, source: EventSource::Foreign });
    }
    events.sort_by_key(|event| event.position);
    events.truncate(limit);
    Ok(events)
}

/// The newest checkpoint.
pub(crate) fn newest_checkpoint(connection: &Connection) -> Result<Option<Arc<str>>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT size, note, sum FROM checkpoint ORDER BY size DESC LIMIT 1")?;
    let found: Option<(i64, String, i64)> =
        statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    found.map(read_checkpoint).transpose()
}

/// The signed checkpoint over so many leaves.
pub(crate) fn checkpoint_at(connection: &Connection, size: i64) -> Result<Option<Arc<str>>, Failure> {
    let mut statement = connection.prepare_cached("SELECT size, note, sum FROM checkpoint WHERE size = ?1")?;
    let found: Option<(i64, String, i64)> =
        statement.query_row([size], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    found.map(read_checkpoint).transpose()
}

fn read_checkpoint((size, note, sum): (i64, String, i64)) -> Result<Arc<str>, Failure> {
    checkpoint_sum(size, &note).check(sum, || format!("checkpoint {size}"))?;
    Ok(note.into())
}

/// Position of a foreign receipt that is here already for this envelope.
pub(crate) fn find_foreign(connection: &Connection, envelope: i64, leaf_hash: &Digest) -> Result<Option<i64>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT position FROM foreign_receipt WHERE leaf_hash = ?1 AND envelope = ?2")?;
    Ok(statement.query_row(params![&leaf_hash.0[..], envelope], |row| row.get(0)).optional()?)
}

/// Keeps a foreign receipt.
pub(crate) fn insert_foreign(
    connection: &Connection,
    envelope: i64,
    position: i64,
    foreign: &ForeignReceipt,
) -> Result<(), Failure> {
    let sum = foreign_sum(position, envelope, &foreign.leaf_hash.0, &foreign.bytes).finish();
    let mut insert = connection.prepare_cached(
        "INSERT INTO foreign_receipt (position, envelope, leaf_hash, receipt, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![position, envelope, &foreign.leaf_hash.0[..], &foreign.bytes[..], sum])?;
    Ok(())
}

/// The serialized foreign receipt at a position.
pub(crate) fn foreign_at(connection: &Connection, position: i64) -> Result<Option<Bytes>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT position, envelope, leaf_hash, receipt, sum FROM foreign_receipt WHERE position = ?1",
    )?;
    let mut rows = statement.query([position])?;
    rows.next()?.map(|row| read_foreign(row).map(|(_, bytes)| bytes)).transpose()
}

/// A number that SQLite keeps as a signed one.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read_event(row: &Row<'_>) -> Result<EventRow, Failure> {
    let (leaf, envelope, position, size): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let damaged = || Failure::Damaged(format!("event {leaf}"));
    let (event, proof): (Vec<u8>, Vec<u8>) = (row.get(4)?, row.get(5)?);
    event_sum(leaf, envelope, position, size, &event, &proof).check(row.get(6)?, || format!("event {leaf}"))?;
    let note: String = row.get(7)?;
    checkpoint_sum(size, &note).check(row.get(8)?, || format!("checkpoint {size}"))?;
    let proof: Option<Vec<Digest>> = proof.chunks(DIGEST_BYTES).map(Digest::from_slice).collect();
    let receipt = Receipt {
        event: event.into(),
        leaf_index: leaf.unsigned_abs(),
        proof: proof.ok_or_else(damaged)?,
        checkpoint: note.into(),
    };
    Ok(EventRow { position: position.unsigned_abs(), receipt, source: EventSource::Own })
}

fn read_foreign(row: &Row<'_>) -> Result<(i64, Bytes), Failure> {
    let (position, envelope): (i64, i64) = (row.get(0)?, row.get(1)?);
    let (leaf_hash, receipt): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
    foreign_sum(position, envelope, &leaf_hash, &receipt)
        .check(row.get(4)?, || format!("foreign receipt {position}"))?;
    Ok((position, receipt.into()))
}

fn event_sum(leaf: i64, envelope: i64, position: i64, size: i64, event: &[u8], proof: &[u8]) -> Sum {
    Sum::new("event").int(leaf).int(envelope).int(position).int(size).bytes(event).bytes(proof)
}

fn checkpoint_sum(size: i64, note: &str) -> Sum {
    Sum::new("checkpoint").int(size).text(note)
}

fn foreign_sum(position: i64, envelope: i64, leaf_hash: &[u8], receipt: &[u8]) -> Sum {
    Sum::new("foreign_receipt").int(position).int(envelope).bytes(leaf_hash).bytes(receipt)
}
