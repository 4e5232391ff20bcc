//! Keeps the register of files: follows the evidence log, and looks again at every file of which something was accepted.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_evidence::{Event, EventKind};
use gateway_model::id::{AgencyId, EnvelopeId, EnvelopeKey};
use gateway_model::{Reason, Timestamp};
use gateway_register::{Batch, Cursor, Register, RegisterError};
use gateway_store::StoreError;
use gateway_store::rows::{EnvelopeSeq, LeafRow};
use prost::Message as _;
use proto::v1;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::doors::Doors;
use crate::doors::operate;

/// Leaves of one batch: a file with several of them is looked at once.
const LEAVES_MAX: usize = 512;
/// How long new leaves gather at the end of the log.
const PAUSE: Duration = Duration::from_secs(1);
/// So many times as long as a batch took, the next one of many waits: envelopes go first, and of one processor this takes a fifth.
const REST: u32 = 4;
/// Pause after something failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The register of a gateway, and up to when it tells the truth.
#[derive(Debug)]
pub struct FileRegister {
    register: Arc<Register>,
    as_of: watch::Sender<Option<Timestamp>>,
}

/// Why the log could not be followed further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The register.
    #[error("{0}")]
    Register(#[from] RegisterError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file could not be looked at.
    #[error("a file could not be looked at: {0}")]
    Refused(Reason),
    /// Nothing says who is who.
    #[error("no directory is in force")]
    NoDirectory,
    /// Something of ours broke down.
    #[error("the register broke down: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

impl FileRegister {
    /// The register in the folder of the store. Touches nothing yet.
    pub fn new(folder: &Path) -> Self {
        Self { register: Arc::new(Register::new(folder)), as_of: watch::Sender::new(None) }
    }

    /// Up to which instant files are counted in; `None` until the end of the log has been reached.
    pub(crate) fn as_of(&self) -> Option<Timestamp> {
        *self.as_of.borrow()
    }

    /// Works with the register where blocking delays nobody.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Register) -> Result<T, RegisterError> + Send + 'static,
    ) -> Result<T, FollowError> {
        let register = self.register.clone();
        Ok(tokio::task::spawn_blocking(move || work(&register)).await??)
    }
}

/// Follows the log until `stop`. What fails is told and tried again: nothing else depends on the register.
pub(crate) async fn follow(doors: Doors, stop: CancellationToken) {
    loop {
        let Err(error) = tokio::select! {
            () = stop.cancelled() => return,
            ended = follow_on(&doors) => ended,
        };
        tracing::warn!(%error, "the register of files does not follow; it is tried again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
        }
    }
}

async fn follow_on(doors: &Doors) -> Result<Infallible, FollowError> {
    let mut cursor = begin(doors).await?;
    loop {
        cursor = step(doors, cursor).await?;
    }
}

/// Where to go on: where the register stands, when the log is still the one that it followed.
async fn begin(doors: &Doors) -> Result<Cursor, FollowError> {
    let cursor = doors.register.with(Register::cursor).await?;
    let Some(last) = cursor.next.checked_sub(1) else {
        doors.register.as_of.send_replace(None);
        return Ok(cursor);
    };
    let is_there = doors.engine.store().counts().await?.log_size >= cursor.next;
    if is_there && doors.engine.store().leaf_hashes(last, 1).await?.first().copied() == cursor.last {
        return Ok(cursor);
    }
    tracing::warn!(leaf = cursor.next, "the register of files is of another log; it is built anew");
    doors.register.as_of.send_replace(None);
    doors.register.with(Register::clear).await?;
    Ok(Cursor::default())
}

/// Follows one batch, and rests: longest where the log ends.
async fn step(doors: &Doors, cursor: Cursor) -> Result<Cursor, FollowError> {
    let (store, looked_at, began) = (doors.engine.store(), doors.engine.clock().now(), Instant::now());
    let leaves = store.leaves(cursor.next, LEAVES_MAX).await?;
    let mut reached = cursor;
    if let Some(last) = leaves.last() {
        let hash = store.leaf_hashes(last.index, 1).await?.first().copied();
        reached = Cursor { next: last.index + 1, last: hash };
        let batch = Batch { cursor: reached, ..gather(doors, &leaves).await? };
        doors.register.with(move |register| register.put(cursor.next, &batch)).await?;
    }
    doors.metrics.register_behind(store.counts().await?.log_size.saturating_sub(reached.next));
    let rest = if leaves.len() < LEAVES_MAX {
        doors.register.as_of.send_replace(Some(looked_at));
        PAUSE
    } else {
        began.elapsed().saturating_mul(REST).min(PAUSE)
    };
    tokio::time::sleep(rest).await;
    Ok(reached)
}

/// What the leaves changed: only an accepted envelope tells when a file was received, is due, or ended.
async fn gather(doors: &Doors, leaves: &[LeafRow]) -> Result<Batch, FollowError> {
    let (mut codes, mut accepted) = (BTreeSet::new(), HashSet::new());
    let is_accepted = |leaf: &LeafRow| Event::decode(&leaf.bytes).is_ok_and(|event| event.kind == EventKind::Accepted);
    let seqs: Vec<EnvelopeSeq> =
        leaves.iter().filter(|leaf| is_accepted(leaf)).filter_map(|leaf| leaf.envelope).collect();
    for row in doors.engine.store().envelopes_at(&seqs).await? {
        if !row.header.file_code.is_empty() {
            codes.insert(row.header.file_code);
            accepted.insert(row.key);
        }
    }
    let snapshot = doors.engine.trust().current().ok_or(FollowError::NoDirectory)?;
    let mut batch = Batch::default();
    for code in codes {
        let mut told = match operate::known_here(doors, &code).await {
            Ok(told) => told,
            Err(refusal) if refusal.reason == Reason::NotFound => continue,
            Err(refusal) => return Err(FollowError::Refused(refusal.reason)),
        };
        let read = told.envelopes.iter().filter(|envelope| envelope.made_at.is_some());
        batch.words.extend(read.filter_map(|envelope| Some((key(envelope)?, words(envelope)))));
        remember(doors, &mut told.envelopes).await?;
        batch.files.extend(operate::files(snapshot.directory(), &code, &told, doors.engine.clock().now()));
        batch.file_codes.push(code);
    }
    batch.words.retain(|(key, _)| accepted.contains(key));
    Ok(batch)
}

/// Adds what bodies told that have been purged since.
async fn remember(doors: &Doors, envelopes: &mut [v1::EnvelopeSummary]) -> Result<(), FollowError> {
    let gone: Vec<EnvelopeKey> =
        envelopes.iter().filter(|envelope| envelope.made_at.is_none()).filter_map(key).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let words = doors.register.with(move |register| register.words(&gone)).await?;
    for envelope in envelopes.iter_mut().filter(|envelope| envelope.made_at.is_none()) {
        let told = key(envelope).and_then(|key| v1::EnvelopeSummary::decode(words.get(&key)?.as_slice()).ok());
        if let Some(told) = told {
            recall(envelope, told);
        }
    }
    Ok(())
}

/// What only the body of an envelope tells of its file.
fn words(envelope: &v1::EnvelopeSummary) -> Vec<u8> {
    let mut told = v1::EnvelopeSummary::default();
    recall(&mut told, envelope.clone());
    told.encode_to_vec()
}

fn recall(envelope: &mut v1::EnvelopeSummary, told: v1::EnvelopeSummary) {
    (envelope.made_at, envelope.said_at) = (told.made_at, told.said_at);
    (envelope.procedure_code, envelope.step, envelope.issuer) = (told.procedure_code, told.step, told.issuer);
    (envelope.due_on, envelope.dossier_state) = (told.due_on, told.dossier_state);
}

fn key(envelope: &v1::EnvelopeSummary) -> Option<EnvelopeKey> {
    let sender = AgencyId::parse(&envelope.sender).ok()?;
    Some(EnvelopeKey { sender, id: EnvelopeId::parse(&envelope.envelope_id).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purged_body_is_remembered_by_its_words_and_nothing_else_changes() {
        let whole = v1::EnvelopeSummary {
            sender: "h99.30".to_owned(),
            subject: "Cấp lại giấy chứng nhận".to_owned(),
            made_at: Some(prost_types::Timestamp { seconds: 7, nanos: 0 }),
            said_at: Some(prost_types::Timestamp { seconds: 8, nanos: 0 }),
            procedure_code: "1.012783".to_owned(),
            step: "tiep-nhan".to_owned(),
            issuer: "H99.30".to_owned(),
            due_on: "2026-03-02".to_owned(),
            dossier_state: "2".to_owned(),
            ..v1::EnvelopeSummary::default()
        };
        let told = v1::EnvelopeSummary::decode(words(&whole).as_slice()).unwrap();
        assert!(told.subject.is_empty() && told.sender.is_empty(), "words name nobody and nothing: {told:?}");
        let mut purged = v1::EnvelopeSummary {
            sender: whole.sender.clone(),
            subject: whole.subject.clone(),
            ..v1::EnvelopeSummary::default()
        };
        recall(&mut purged, told);
        assert_eq!(purged, whole);
    }
}
