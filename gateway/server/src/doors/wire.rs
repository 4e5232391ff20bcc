//! Rows of the store as callers see them.

use std::collections::HashMap;

use gateway_engine::lane::{Destination, Place};
use gateway_model::Timestamp;
use gateway_model::id::AgencyId;
use gateway_model::language::Language;
use gateway_model::state::DeliveryStatus;
use gateway_store::rows::DeliveryRow;
use proto::v1;

use super::gates::Gates;

/// A delivery with its reason in words.
pub(super) fn delivery_state(
    row: &DeliveryRow,
    gates: &Gates,
    adapters: &HashMap<AgencyId, String>,
    language: Language,
) -> v1::DeliveryState {
    // What waits behind a closed gate has not been tried: the gate's reason and time are its own.
    let (reason, next) = match gates.before(row) {
        Some((reason, next)) => (Some(reason), Some(next)),
        None => (row.state.reason(), row.state.due()),
    };
    v1::DeliveryState {
        recipient: row.recipient.serving.to_string(),
        status: status(row.state.status()).into(),
        reason: reason.map(|reason| reason.code().to_owned()).unwrap_or_default(),
        attempts: row.attempts,
        next_attempt_at: next.map(timestamp),
        next_hop: next_hop(row, adapters),
        since: Some(timestamp(row.since)),
        message: reason.map(|reason| reason.message(language).to_owned()).unwrap_or_default(),
    }
}

/// Who has it or has to act: the next gateway, or the recipient's adapter.
fn next_hop(row: &DeliveryRow, adapters: &HashMap<AgencyId, String>) -> String {
    match Place::of(&row.lane).map(|place| place.destination) {
        Some(Destination::Gateway(id) | Destination::Awaiting(id) | Destination::Receipts(id)) => id.to_string(),
        Some(Destination::Agency(id)) => adapters.get(&id).cloned().unwrap_or_else(|| id.to_string()),
        Some(Destination::Nowhere) | None => String::new(),
    }
}

pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.to_parts();
    prost_types::Timestamp { seconds, nanos }
}

pub(super) fn status(status: DeliveryStatus) -> v1::DeliveryStatus {
    match status {
        DeliveryStatus::Waiting => v1::DeliveryStatus::Waiting,
        DeliveryStatus::Forwarded => v1::DeliveryStatus::Forwarded,
        DeliveryStatus::Delivered => v1::DeliveryStatus::Delivered,
        DeliveryStatus::Refused => v1::DeliveryStatus::Refused,
        DeliveryStatus::Held => v1::DeliveryStatus::Held,
        DeliveryStatus::Expired => v1::DeliveryStatus::Expired,
        DeliveryStatus::Returned => v1::DeliveryStatus::Returned,
    }
}
