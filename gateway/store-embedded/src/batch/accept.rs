//! Keeps a verified envelope, once.

use std::collections::HashSet;

use gateway_model::Digest;
use gateway_store::Conflict;
use gateway_store::accept::{Accept, NewDelivery};
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use rusqlite::{OptionalExtension as _, params};

use super::{Batch, Done};
use crate::evidence::signed;
use crate::failure::Failure;
use crate::rows::{self, Kept, delivery_key, sequence};
use crate::schema::PLACES_MAX;
use crate::sought;
use crate::work::Wake;

struct Known {
    seq: i64,
    digest: Option<Digest>,
    accepted_leaf: i64,
}

impl Batch<'_> {
    pub(super) fn accept(&mut self, accept: &Accept, body_sum: i64) -> Result<Done, Failure> {
        match self.find_known(accept)? {
            None => self.accept_new(accept, body_sum),
            Some(known) if known.digest != Some(accept.envelope.digest()) => Err(Conflict::OtherDigest.into()),
            Some(known) => self.accept_again(accept, &known, body_sum),
        }
    }

    fn accept_new(&mut self, accept: &Accept, body_sum: i64) -> Result<Done, Failure> {
        let deliveries: Vec<&NewDelivery> = distinct(&accept.deliveries);
        check_places(0, deliveries.len())?;
        self.head.envelopes += 1;
        let seq = self.head.envelopes;
        let leaf = self.leaf(seq, &accept.leaf);
        let envelope = &accept.envelope;
        let open = deliveries.iter().filter(|delivery| !delivery.state.status().is_final()).count();
        let received_at = envelope.header().received_at.micros();
        let final_at = (open == 0).then_some(received_at);
        let row = EnvelopeRow {
            seq: sequence(seq),
            key: envelope.key().clone(),
            digest: envelope.digest(),
            header: envelope.header().clone(),
            accepted_leaf: leaf,
        };
        rows::insert_envelope(self.connection, &row, signed(open as u64), final_at)?;
        self.insert_body(seq, accept, body_sum)?;
        self.insert_deliveries(seq, 0, accept, &deliveries)?;
        if open == 0 {
            self.finish_envelope(seq, received_at)?;
        }
        Ok(Done::Accepted { seq, leaf, duplicate: false })
    }

    /// Adds what is new of an envelope that is here already.
    fn accept_again(&mut self, accept: &Accept, known: &Known, body_sum: i64) -> Result<Done, Failure> {
        let mut exists = self.connection.prepare_cached("SELECT 1 FROM delivery WHERE id = ?1")?;
        let mut new = Vec::new();
        for delivery in distinct(&accept.deliveries) {
            if !exists.exists([&delivery.id.0[..]])? {
                new.push(delivery);
            }
        }
        drop(exists);
        #[cfg(feature = "mutants")]
        if new.is_empty() && crate::mutants::forgets_duplicates() {
            return Ok(Done::Accepted { seq: known.seq, leaf: self.leaf(known.seq, &accept.leaf), duplicate: false });
        }
        if new.is_empty() {
            return Ok(Done::Accepted { seq: known.seq, leaf: known.accepted_leaf.unsigned_abs(), duplicate: true });
        }
        let place = self.next_place(known.seq)?;
        check_places(place, new.len())?;
        let leaf = self.leaf(known.seq, &accept.leaf);
        let kept: bool =
            self.connection.prepare_cached("SELECT 1 FROM body WHERE envelope = ?1")?.exists([known.seq])?;
        if !kept {
            self.insert_body(known.seq, accept, body_sum)?;
        }
        self.insert_deliveries(known.seq, place, accept, &new)?;
        let open = new.iter().filter(|delivery| !delivery.state.status().is_final()).count();
        if open > 0 || !kept {
            self.add_open(known.seq, signed(open as u64), accept.envelope.header().received_at)?;
        }
        Ok(Done::Accepted { seq: known.seq, leaf, duplicate: false })
    }

    fn find_known(&self, accept: &Accept) -> Result<Option<Known>, Failure> {
        let key = accept.envelope.key();
        let mut select = self
            .connection
            .prepare_cached("SELECT seq, digest, accepted_leaf FROM envelope WHERE id = ?1 AND sender = ?2")?;
        let found = select.query_row(params![&key.id.0[..], key.sender.as_str()], |row| {
            let digest = row.get_ref(1)?.as_blob().ok().and_then(Digest::from_slice);
            Ok(Known { seq: row.get(0)?, digest, accepted_leaf: row.get(2)? })
        });
        Ok(found.optional()?)
    }

    fn next_place(&self, envelope: i64) -> Result<i64, Failure> {
        let mut select =
            self.connection.prepare_cached("SELECT max(key) FROM delivery WHERE key >= ?1 AND key < ?2")?;
        let last: Option<i64> =
            select.query_row([delivery_key(envelope, 0), delivery_key(envelope + 1, 0)], |row| row.get(0))?;
        Ok(last.map_or(0, |key| rows::place_of(key) + 1))
    }

    fn insert_body(&self, seq: i64, accept: &Accept, sum: i64) -> Result<(), Failure> {
        rows::insert_body(self.connection, seq, accept.envelope.signed(), sum)?;
        let mut insert =
            self.connection.prepare_cached("INSERT OR IGNORE INTO part (digest, envelope) VALUES (?1, ?2)")?;
        for part in &accept.envelope.header().parts {
            insert.execute(params![&part.digest.0[..], seq])?;
        }
        Ok(())
    }

    fn insert_deliveries(
        &mut self,
        seq: i64,
        from: i64,
        accept: &Accept,
        deliveries: &[&NewDelivery],
    ) -> Result<(), Failure> {
        let since = accept.envelope.header().received_at;
        for (place, new) in (from..).zip(deliveries) {
            let lane = self.lane_number(&new.lane)?;
            let row = DeliveryRow {
                id: new.id,
                envelope: sequence(seq),
                recipient: new.recipient.clone(),
                lane: new.lane.clone(),
                state: new.state.clone(),
                wake: new.state.due(),
                attempts: 0,
                since,
            };
            let kept = Kept { key: delivery_key(seq, place), lane, row };
            rows::insert_delivery(self.connection, &kept)?;
            self.head.count(new.state.status(), 1);
            self.effects.deliveries += 1;
            if from > 0 {
                // Its envelope may be in the search index already.
                sought::add_recipient(self.connection, kept.key, &kept.row.recipient.named)?;
                sought::add_recipient(self.connection, kept.key, &kept.row.recipient.serving)?;
            }
            if let Some(at) = kept.row.wake {
                self.effects.wakes.push(Wake { lane: kept.row.lane, lane_id: lane, at });
            }
        }
        Ok(())
    }
}

fn distinct(deliveries: &[NewDelivery]) -> Vec<&NewDelivery> {
    if deliveries.len() < 2 {
        return deliveries.iter().collect();
    }
    let mut seen = HashSet::with_capacity(deliveries.len());
    deliveries.iter().filter(|delivery| seen.insert(delivery.id)).collect()
}

fn check_places(from: i64, more: usize) -> Result<(), Failure> {
    if from + signed(more as u64) <= PLACES_MAX {
        Ok(())
    } else {
        Err(Failure::Bound("an envelope has more deliveries than can be numbered"))
    }
}
