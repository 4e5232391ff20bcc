//! The questions: everything that is read back.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use gateway_evidence::Receipt;
use gateway_model::id::{DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::state::DeliveryStatus;
use gateway_model::{Digest, Timestamp, limits};

use super::queue::Item;
use super::state::{Envelope, State};
use crate::claim::Lane;
use crate::query::{Counts, Page, PageToken, Query};
use crate::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EnvelopeSeq, EventRow, LeafRow};

impl State {
    pub(super) fn find(&self, key: &EnvelopeKey) -> Option<EnvelopeRow> {
        self.by_key.get(key).and_then(|seq| self.envelopes.get(seq)).map(|envelope| (*envelope.row).clone())
    }

    pub(super) fn body(&self, seq: EnvelopeSeq) -> Option<Bytes> {
        self.envelopes.get(&seq).and_then(|envelope| envelope.signed.clone())
    }

    pub(super) fn deliveries(&self, seq: EnvelopeSeq) -> Vec<DeliveryRow> {
        self.envelopes.get(&seq).into_iter().flat_map(|envelope| self.rows(envelope)).cloned().collect()
    }

    pub(super) fn delivery(&self, id: DeliveryId) -> Option<DeliverySummary> {
        let delivery = self.deliveries.get(&id)?;
        let envelope = self.envelopes.get(&delivery.envelope)?.row.clone();
        Some(DeliverySummary { delivery: delivery.clone(), envelope })
    }

    pub(super) fn events(&self, seq: EnvelopeSeq, after: Option<u64>, limit: usize) -> Vec<EventRow> {
        let events = self.envelopes.get(&seq).into_iter().flat_map(|envelope| &envelope.events);
        events.filter(|event| after.is_none_or(|after| event.position > after)).take(limit).cloned().collect()
    }

    pub(super) fn by_file_code(&self, file_code: &str, limit: usize) -> Vec<EnvelopeRow> {
        let named = |row: &Arc<EnvelopeRow>| !file_code.is_empty() && row.header.file_code == file_code;
        self.envelope_rows(named).take(limit).collect()
    }

    pub(super) fn by_envelope_id(&self, id: EnvelopeId) -> Vec<EnvelopeRow> {
        self.envelope_rows(|row| row.key.id == id).collect()
    }

    pub(super) fn list(&self, query: &Query) -> Page<DeliverySummary> {
        let limit = query.limit.clamp(1, limits::PAGE_ROWS_MAX as usize);
        let places = self.envelopes.values().rev().flat_map(|envelope| {
            let token = move |place| PageToken { envelope: envelope.row.seq.0, place };
            (0..).map(token).zip(self.rows(envelope)).map(move |(token, delivery)| (token, envelope, delivery))
        });
        let mut fitting = places
            .filter(|(token, ..)| query.after.is_none_or(|after| is_behind(*token, after)))
            .filter(|(_, envelope, delivery)| query.fits_envelope(&envelope.row) && query.fits_delivery(delivery))
            .peekable();
        let (mut rows, mut last) = (Vec::new(), None);
        for (token, envelope, delivery) in fitting.by_ref().take(limit) {
            rows.push(DeliverySummary { delivery: delivery.clone(), envelope: envelope.row.clone() });
            last = Some(token);
        }
        Page { rows, next: last.filter(|_| fitting.peek().is_some()) }
    }

    pub(super) fn waiting_in(&self, lane: &Lane, limit: usize) -> Vec<DeliverySummary> {
        let deliveries = self.queue().items(lane).filter_map(|item| match item {
            Item::Delivery(id) => self.delivery(id),
            Item::Return(_) => None,
        });
        deliveries.take(limit).collect()
    }

    pub(super) fn marks(&self, prefix: &str, limit: usize) -> Vec<(String, Bytes)> {
        let named = self.marks.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix));
        named.take(limit).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub(super) fn leaves(&self, from: u64, limit: usize) -> Vec<LeafRow> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let leaves = self.receipts.iter().zip(&self.abouts).skip(from).take(limit);
        let row = |(receipt, about): (&Receipt, &Option<EnvelopeSeq>)| LeafRow {
            index: receipt.leaf_index,
            envelope: *about,
            bytes: receipt.event.clone(),
        };
        leaves.map(row).collect()
    }

    pub(super) fn envelope_row(&self, seq: EnvelopeSeq) -> Option<EnvelopeRow> {
        self.envelopes.get(&seq).map(|envelope| (*envelope.row).clone())
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |status| self.deliveries.values().filter(|row| row.state.status() == status).count() as u64;
        Counts {
            envelopes: self.envelopes.len() as u64,
            waiting: count(DeliveryStatus::Waiting),
            forwarded: count(DeliveryStatus::Forwarded),
            held: count(DeliveryStatus::Held),
            returns: self.returns.len() as u64,
            log_size: self.receipts.len() as u64,
            free_bytes: u64::MAX,
        }
    }

    pub(super) fn unreferenced(&self, digests: &[Digest]) -> Vec<Digest> {
        let kept = self.envelopes.values().filter(|envelope| envelope.signed.is_some());
        let named: HashSet<Digest> =
            kept.flat_map(|envelope| &envelope.row.header.parts).map(|part| part.digest).collect();
        digests.iter().filter(|digest| !named.contains(*digest)).copied().collect()
    }

    pub(super) fn purge_bodies(&mut self, before: Timestamp, limit: usize) -> usize {
        let over = |row: &DeliveryRow| row.state.status().is_final() && row.since < before;
        let ended =
            self.envelopes.values().filter(|envelope| envelope.signed.is_some() && self.rows(envelope).all(over));
        let purged: Vec<EnvelopeSeq> = ended.take(limit).map(|envelope| envelope.row.seq).collect();
        for seq in &purged {
            if let Some(envelope) = self.envelopes.get_mut(seq) {
                envelope.signed = None;
            }
        }
        purged.len()
    }

    pub(super) fn checkpoint(&self) -> Option<Arc<str>> {
        self.receipts.last().map(|receipt| receipt.checkpoint.clone())
    }

    pub(super) fn leaf_hashes(&self, from: u64, limit: usize) -> Vec<Digest> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.receipts.iter().skip(from).take(limit).map(Receipt::leaf_hash).collect()
    }

    fn rows<'a>(&'a self, envelope: &'a Envelope) -> impl Iterator<Item = &'a DeliveryRow> {
        envelope.deliveries.iter().filter_map(|id| self.deliveries.get(id))
    }

    fn envelope_rows(&self, named: impl Fn(&Arc<EnvelopeRow>) -> bool) -> impl Iterator<Item = EnvelopeRow> {
        let rows = self.envelopes.values().map(|envelope| &envelope.row);
        rows.filter(move |row| named(row)).map(|row| (**row).clone())
    }
}

/// Whether a place comes after the one where a page ended: older envelopes first, then later places in the same one.
fn is_behind(place: PageToken, after: PageToken) -> bool {
    place.envelope < after.envelope || (place.envelope == after.envelope && place.place > after.place)
}
