//! Keeps a verified envelope, once.

use std::collections::HashSet;

use gateway_model::Digest;
use gateway_store::Conflict;
use gateway_store::accept::{Accept, NewDelivery};
use gateway_store::rows::{DeliveryRow, EnvelopeSeq};

use super::{Batch, Done};
use crate::codec::sum;
use crate::failure::Failure;
use crate::keys::{PLACES_MAX, Place, seq_text};
use crate::plan::word;
use crate::rows::{EnvelopeState, Known, encode_envelope};
use crate::view::{Viewed, ViewedDelivery};

impl Batch<'_> {
    pub(super) fn accept(&mut self, accept: &Accept) -> Result<Done, Failure> {
        let key = accept.envelope.key();
        let known = self.view.ids.get(&key.id).and_then(|all| all.iter().find(|known| known.sender == key.sender));
        match known.cloned() {
            None => self.accept_new(accept),
            Some(known) if known.digest != accept.envelope.digest() => Err(Conflict::OtherDigest.into()),
            Some(known) => self.accept_again(accept, &known),
        }
    }

    fn accept_new(&mut self, accept: &Accept) -> Result<Done, Failure> {
        let deliveries: Vec<&NewDelivery> = distinct(&accept.deliveries);
        check_places(0, deliveries.len())?;
        self.view.head.envelopes += 1;
        let (seq, envelope) = (self.view.head.envelopes, &accept.envelope);
        let state = EnvelopeState { seq, body: None, places: 0, open: 0, final_at: None, events: 0 };
        self.view.envelopes.insert(seq, Viewed { row: state, is_changed: true });
        let leaf = self.leaf(seq, &accept.leaf)?;
        let (key, header) = (envelope.key(), envelope.header());
        self.plan.set(self.keys.envelope(seq), &b"h"[..], encode_envelope(seq, key, envelope.digest(), header, leaf));
        let known = Known { sender: key.sender.clone(), seq, digest: envelope.digest(), accepted_leaf: leaf };
        let all = self.view.ids.entry(key.id).or_default();
        all.push(known);
        self.plan.set(self.keys.one("ids"), key.id.0.to_vec(), Known::encode_all(all));
        if !header.file_code.is_empty() {
            self.plan.command([word("RPUSH"), self.keys.file(&header.file_code), seq_text(seq)]);
        }
        self.keep_body(seq, accept)?;
        let open = self.keep_deliveries(seq, accept, &deliveries)?;
        if open == 0 {
            self.finish_envelope(seq, header.received_at)?;
        }
        Ok(Done::Accepted { seq, leaf, duplicate: false })
    }

    /// Adds what is new of an envelope that is here already.
    fn accept_again(&mut self, accept: &Accept, known: &Known) -> Result<Done, Failure> {
        let seq = known.seq;
        let is_new = |delivery: &&NewDelivery| self.view.delivery(delivery.id).is_none();
        let new: Vec<&NewDelivery> = distinct(&accept.deliveries).into_iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(Done::Accepted { seq, leaf: known.accepted_leaf, duplicate: true });
        }
        let state = self.view.envelope(seq)?;
        let had_body = state.body.is_some();
        check_places(state.places, new.len())?;
        let leaf = self.leaf(seq, &accept.leaf)?;
        if !had_body {
            self.keep_body(seq, accept)?;
        }
        let open = self.keep_deliveries(seq, accept, &new)?;
        if open == 0 && !had_body && self.view.envelope(seq)?.open == 0 {
            self.finish_envelope(seq, accept.envelope.header().received_at)?;
        }
        Ok(Done::Accepted { seq, leaf, duplicate: false })
    }

    fn keep_body(&mut self, seq: u64, accept: &Accept) -> Result<(), Failure> {
        let (id, signed) = (self.bodies.next(), accept.envelope.signed());
        self.view.envelope_mut(seq)?.body = Some((id, sum("body", signed)));
        self.plan.bodies.push((id, signed.clone()));
        let parts: HashSet<Digest> = accept.envelope.header().parts.iter().map(|part| part.digest).collect();
        for digest in parts {
            self.plan.count(self.keys.one("parts"), digest.0.to_vec(), "1");
        }
        Ok(())
    }

    /// Gives how many of them are open.
    fn keep_deliveries(&mut self, seq: u64, accept: &Accept, new: &[&NewDelivery]) -> Result<u32, Failure> {
        let since = accept.envelope.header().received_at;
        let mut open = 0;
        for delivery in new {
            let state = self.view.envelope_mut(seq)?;
            let place = Place { envelope: seq, place: state.places };
            state.places += 1;
            let (status, wake) = (delivery.state.status(), delivery.state.due());
            open += u32::from(!status.is_final());
            self.view.head.count_in(status);
            self.plan.set(self.keys.one("dids"), delivery.id.0.to_vec(), place.location());
            self.plan.put(self.keys.status(status.number()), 0, place.newest_first());
            if wake.is_some() {
                self.plan.wake(self.keys, &delivery.lane, place.item(), wake);
            }
            let row = DeliveryRow {
                id: delivery.id,
                envelope: EnvelopeSeq(seq),
                recipient: delivery.recipient.clone(),
                lane: delivery.lane.clone(),
                state: delivery.state.clone(),
                wake,
                attempts: 0,
                since,
            };
            let viewed = ViewedDelivery { place, row, lease: None, is_changed: true };
            self.view.deliveries.insert(delivery.id, Some(viewed));
        }
        if open > 0 {
            self.open_more(seq, open)?;
        }
        Ok(open)
    }
}

fn distinct(deliveries: &[NewDelivery]) -> Vec<&NewDelivery> {
    let mut seen = HashSet::with_capacity(deliveries.len());
    deliveries.iter().filter(|delivery| seen.insert(delivery.id)).collect()
}

fn check_places(from: u32, more: usize) -> Result<(), Failure> {
    let more = u32::try_from(more).unwrap_or(u32::MAX);
    if from.saturating_add(more) <= PLACES_MAX {
        Ok(())
    } else {
        Err(Failure::Bound("an envelope has more deliveries than can be numbered"))
    }
}
