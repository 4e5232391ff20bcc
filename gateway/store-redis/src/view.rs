//! What a batch knows of the rows that it touches: read in one step, changed in memory, written back with the commit.

use std::collections::HashMap;

use gateway_model::Digest;
use gateway_model::id::{DeliveryId, EnvelopeId};
use gateway_store::rows::{DeliveryRow, EnvelopeRow};

use crate::codec::Damaged;
use crate::head::Head;
use crate::keys::{Keys, Place};
use crate::plan::Plan;
use crate::rows::{EnvelopeState, Known, WayBack, encode_delivery};

/// Rows as of one version of the head, and what the batch has made of them.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) head: Head,
    /// Entries of the index of ids; an id that was asked for and is not there has an empty one.
    pub(crate) ids: HashMap<EnvelopeId, Vec<Known>>,
    pub(crate) envelopes: HashMap<u64, Viewed<EnvelopeState>>,
    /// Rows of envelopes that are to be purged: they name their parts.
    pub(crate) headers: HashMap<u64, EnvelopeRow>,
    /// Foreign receipts of envelopes that are known to be there.
    pub(crate) foreign: HashMap<(u64, Digest), bool>,
    /// Deliveries that were asked for; `None` when there is no such one.
    pub(crate) deliveries: HashMap<DeliveryId, Option<ViewedDelivery>>,
    pub(crate) returns: HashMap<u64, Option<ViewedReturn>>,
    /// Envelopes that were final before the time of a purge.
    pub(crate) finished: Vec<u64>,
}

/// A row, and whether it has to be written.
#[derive(Debug)]
pub(crate) struct Viewed<T> {
    pub(crate) row: T,
    pub(crate) is_changed: bool,
}

/// A delivery with its lease.
#[derive(Debug)]
pub(crate) struct ViewedDelivery {
    pub(crate) place: Place,
    pub(crate) row: DeliveryRow,
    /// Fencing token of whoever holds it.
    pub(crate) lease: Option<u64>,
    pub(crate) is_changed: bool,
}

/// A receipt on its way back with its lease.
#[derive(Debug)]
pub(crate) struct ViewedReturn {
    pub(crate) row: WayBack,
    pub(crate) lease: Option<u64>,
}

impl View {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            head,
            ids: HashMap::new(),
            envelopes: HashMap::new(),
            headers: HashMap::new(),
            foreign: HashMap::new(),
            deliveries: HashMap::new(),
            returns: HashMap::new(),
            finished: Vec::new(),
        }
    }

    /// The state of an envelope, about to be changed.
    pub(crate) fn envelope_mut(&mut self, seq: u64) -> Result<&mut EnvelopeState, Damaged> {
        let viewed = self.envelopes.get_mut(&seq).ok_or_else(|| missing(seq))?;
        viewed.is_changed = true;
        Ok(&mut viewed.row)
    }

    pub(crate) fn envelope(&self, seq: u64) -> Result<&EnvelopeState, Damaged> {
        self.envelopes.get(&seq).map(|viewed| &viewed.row).ok_or_else(|| missing(seq))
    }

    /// A delivery, when there is one.
    pub(crate) fn delivery(&self, id: DeliveryId) -> Option<&ViewedDelivery> {
        self.deliveries.get(&id).and_then(Option::as_ref)
    }

    pub(crate) fn delivery_mut(&mut self, id: DeliveryId) -> Option<&mut ViewedDelivery> {
        self.deliveries.get_mut(&id).and_then(Option::as_mut)
    }

    /// Writes every row that has changed.
    pub(crate) fn write(&self, keys: &Keys, plan: &mut Plan) {
        for (seq, viewed) in self.envelopes.iter().filter(|(_, viewed)| viewed.is_changed) {
            plan.set(keys.envelope(*seq), &b"s"[..], viewed.row.encode());
        }
        for viewed in self.deliveries.values().flatten().filter(|viewed| viewed.is_changed) {
            let key = keys.envelope(viewed.place.envelope);
            plan.set(key, viewed.place.field(), encode_delivery(viewed.place, &viewed.row));
        }
    }
}

fn missing(seq: u64) -> Damaged {
    Damaged::at(format!("the state of envelope {seq}"))
}
