//! Marks, bodies that nobody waits for any more, and wake-ups that a clock which ran ahead has set.

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_model::state::DeliveryState;
use gateway_store::Conflict;
use gateway_store::mark::Mark;

use super::{Batch, Done};
use crate::codec::{Damaged, Decoder, Encoder};
use crate::failure::Failure;
use crate::keys::{return_field, return_item, seq_text};
use crate::plan::word;
use crate::queue::FarItem;

impl Batch<'_> {
    pub(super) fn mark(&mut self, mark: &Mark) -> Result<Done, Failure> {
        if !mark.is_bounded() {
            return Err(Conflict::TooLarge.into());
        }
        let (marks, names, field) = (self.keys.one("marks"), self.keys.one("marknames"), mark_field(&mark.name));
        match &mark.value {
            Some(value) => {
                let row = encode_mark(&mark.name, value);
                // Not among the fields that are set at the end: the same mark may be taken away later in this batch.
                self.plan.command([word("HSET"), marks, field.clone(), row]);
                self.plan.put(names, 0, field);
            }
            None => {
                self.plan.unset(marks, field.clone());
                self.plan.take(names, field);
            }
        }
        let leaf = mark.leaf.as_ref().map(|leaf| self.leaf_about_nothing(leaf));
        Ok(Done::Marked { leaf })
    }

    pub(super) fn purge(&mut self, before: Timestamp, limit: usize) -> Result<Done, Failure> {
        let mut purged = Vec::new();
        for seq in &self.view.finished {
            let state = self.view.envelope(*seq)?;
            // Another purge of the same batch may have been here.
            if purged.len() < limit && state.body.is_some() && state.final_at.is_some_and(|at| at < before) {
                purged.push(*seq);
            }
        }
        for seq in &purged {
            self.forget_body(*seq)?;
        }
        Ok(Done::Purged(purged.len()))
    }

    fn forget_body(&mut self, seq: u64) -> Result<(), Failure> {
        let row = self.view.headers.get(&seq).ok_or_else(|| Damaged::at(format!("envelope {seq}")))?;
        let mut parts: Vec<_> = row.header.parts.iter().map(|part| part.digest.0).collect();
        parts.sort_unstable();
        parts.dedup();
        let state = self.view.envelope_mut(seq)?;
        if state.open > 0 {
            return Err(Damaged::at(format!("the end of envelope {seq}, which has open deliveries,")).into());
        }
        if let Some((id, _)) = state.body.take() {
            self.plan.dead_bodies.push(id);
        }
        for digest in parts {
            self.plan.count(self.keys.one("parts"), digest.to_vec(), "-1");
        }
        self.plan.take(self.keys.one("finished"), seq_text(seq));
        Ok(())
    }

    /// Wakes at `now` what waits to be tried again.
    pub(super) fn bring_back(&mut self, now: Timestamp, items: &[FarItem]) -> Result<Done, Failure> {
        for item in items {
            match item {
                FarItem::Delivery(id) => {
                    let Some(kept) = self.view.delivery_mut(*id) else { continue };
                    let DeliveryState::Waiting { due, .. } = &mut kept.row.state else { continue };
                    *due = now;
                    (kept.row.wake, kept.is_changed, kept.lease) = (Some(now), true, None);
                    let item = kept.place.item();
                    self.plan.unset(self.keys.one("leases"), item.clone());
                    self.plan.wake(self.keys, &kept.row.lane, item, Some(now));
                }
                FarItem::Return(id) => {
                    let Some(Some(kept)) = self.view.returns.get_mut(id) else { continue };
                    (kept.row.wake, kept.lease) = (Some(now), None);
                    self.plan.unset(self.keys.one("leases"), return_item(*id));
                    self.plan.wake(self.keys, &kept.row.lane, return_item(*id), Some(now));
                    self.plan.set(self.keys.one("back"), return_field(*id), kept.row.encode());
                }
            }
        }
        Ok(Done::BroughtBack)
    }
}

/// The field of a mark.
fn mark_field(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

/// Writes a mark.
pub(crate) fn encode_mark(name: &str, value: &[u8]) -> Bytes {
    Encoder::new("mark").text(name).bytes(value).seal()
}

/// Reads a mark.
pub(crate) fn decode_mark(name: &str, row: &[u8]) -> Result<Bytes, Damaged> {
    let mut read = Decoder::open("mark", row)?;
    if read.text()? != name {
        return Err(Damaged::at(format!("mark {name}")));
    }
    let value = Bytes::copy_from_slice(read.bytes()?);
    read.end(value)
}
