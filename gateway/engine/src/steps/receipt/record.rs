//! Another gateway's receipt comes back: checked, recorded, passed on.

use std::collections::HashSet;

use bytes::Bytes;
use gateway_evidence::{Event, EventKind, Receipt};
use gateway_model::directory::{Directory, Serving};
use gateway_model::id::{AgencyId, DeliveryId, GatewayId};
use gateway_model::state::DeliveryState;
use gateway_model::{Reason, Refusal};
use gateway_store::claim::ReturnWhat;
use gateway_store::record::{Record, Recorded};
use gateway_store::rows::{DeliveryRow, EnvelopeRow, EventRow, EventSource};
use gateway_store::settle::ForeignReceipt;
use gateway_verify::Snapshot;

use crate::Core;
use crate::lane::Place;
use crate::steps::store::store_refusal;

/// Receipts of other gateways that move nothing, kept for each recipient, and once more for the envelope.
const FOREIGN_A_ROW_MAX: usize = 64;
/// Events of one envelope that are looked at.
const EVENTS_LOOKED_AT: usize = 65_536;

/// Records a receipt that `from` brings.
pub(crate) async fn record(engine: &Core, from: &GatewayId, bytes: &Bytes) -> Result<Recorded, Refusal> {
    let snapshot = engine.trust.usable(engine.clock.now())?;
    let (receipt, event) = check(engine, &snapshot, bytes)?;
    let refuse = |error| store_refusal(engine, &error);
    let envelope = engine.store.find(&event.key()).await.map_err(refuse)?;
    let envelope = envelope.ok_or_else(|| Refusal::new(Reason::NotFound).saw(event.key().to_string()))?;
    if envelope.digest != event.envelope_digest {
        return Err(Refusal::new(Reason::ReceiptInvalid).saw("the envelope has another digest"));
    }
    let rows = engine.store.deliveries(envelope.seq).await.map_err(refuse)?;
    let at = engine.clock.now();
    let states = states(&event, from, &rows, snapshot.directory(), at);
    let leaf_hash = receipt.leaf_hash();
    let matters = states.iter().any(|(id, to)| rows.iter().any(|row| row.id == *id && moves(row, to)));
    if !matters {
        let known = engine.store.events(envelope.seq, None, EVENTS_LOOKED_AT).await.map_err(refuse)?;
        if known.iter().any(|line| line.source == EventSource::Foreign && line.receipt.leaf_hash() == leaf_hash) {
            return Ok(Recorded::Known);
        }
        check_bringer(&event, from, &envelope, &rows, &known, states.is_empty())?;
    }
    let leaf = Event {
        counterpart: event.gateway.to_string(),
        rests_on: Some(leaf_hash),
        ..engine.event(EventKind::Recorded, &envelope, event.recipients.clone())
    };
    let record = Record {
        envelope: envelope.key.clone(),
        foreign: ForeignReceipt { leaf_hash, bytes: bytes.clone() },
        at,
        states,
        leaf: leaf.encode(),
        returns: onward(engine, from, &envelope),
    };
    let recorded = engine.store.record(record).await.map_err(refuse)?;
    if recorded == Recorded::New {
        engine.metrics.receipt_recorded(event.kind.as_str());
        engine.events.tell(envelope.seq);
    }
    Ok(recorded)
}

/// The receipt has to prove itself with the keys of the gateway that it names.
fn check(engine: &Core, snapshot: &Snapshot, bytes: &Bytes) -> Result<(Receipt, Event), Refusal> {
    let invalid = |error: gateway_evidence::EvidenceError| Refusal::new(Reason::ReceiptInvalid).saw(error.to_string());
    let receipt = Receipt::decode(bytes).map_err(invalid)?;
    let claimed = Event::decode(&receipt.event).map_err(invalid)?.gateway;
    if claimed == engine.gateway {
        return Err(Refusal::new(Reason::ReceiptInvalid).saw("it is this gateway's own"));
    }
    let gateway = snapshot.directory().gateway(&claimed);
    let gateway =
        gateway.ok_or_else(|| Refusal::new(Reason::ReceiptInvalid).saw(format!("gateway {claimed} is unknown")))?;
    let event = receipt.verify(claimed.as_str(), &gateway.log_keys).map_err(invalid)?;
    Ok((receipt, event))
}

/// What moves nothing is kept only when it comes along the way of the envelope, from who can know it, and within bounds: it would fill the
/// store otherwise.
fn check_bringer(
    event: &Event,
    from: &GatewayId,
    envelope: &EnvelopeRow,
    rows: &[DeliveryRow],
    known: &[EventRow],
    says_nothing: bool,
) -> Result<(), Refusal> {
    if ends_at_home(event) && says_nothing {
        tracing::warn!(gateway = %event.gateway, envelope_id = %envelope.key.id, "a receipt of a gateway that does not serve the recipient");
        return Err(Refusal::new(Reason::HopNotAllowed).saw(format!("{} does not serve the recipient", event.gateway)));
    }
    let went_there = |line: &EventRow| {
        line.source == EventSource::Own
            && Event::decode(&line.receipt.event)
                .is_ok_and(|event| event.kind == EventKind::Forwarded && event.counterpart == from.as_str())
    };
    let on_the_way = envelope.header.arrived_from.as_ref() == Some(from)
        || rows.iter().any(|row| goes_to(row, from))
        || known.iter().any(went_there);
    if !on_the_way {
        return Err(Refusal::new(Reason::HopNotAllowed).saw(format!("the envelope did not go to {from}")));
    }
    let foreign = known.iter().filter(|line| line.source == EventSource::Foreign).count();
    let bound = FOREIGN_A_ROW_MAX.saturating_mul(rows.len().saturating_add(1));
    if foreign >= bound || known.len() >= EVENTS_LOOKED_AT {
        return Err(Refusal::new(Reason::QuotaExceeded).saw(format!("{foreign} receipts of other gateways")));
    }
    Ok(())
}

/// Whether the delivery went to `gateway`, or is to go there.
fn goes_to(row: &DeliveryRow, gateway: &GatewayId) -> bool {
    let forwarded = matches!(&row.state, DeliveryState::Forwarded { next } if next == gateway);
    forwarded || Place::of(&row.lane).is_some_and(|place| place.destination.gateway() == Some(gateway))
}

/// Whether the receipt says how a delivery ended at its recipient: only the recipient's own gateway knows.
fn ends_at_home(event: &Event) -> bool {
    matches!(event.kind, EventKind::Delivered | EventKind::Refused)
}

/// Whether the state moves the delivery: a proven end overrides an expiry that was only feared.
fn moves(row: &DeliveryRow, to: &DeliveryState) -> bool {
    let proven = matches!(to, DeliveryState::Delivered | DeliveryState::Refused { .. });
    !row.state.status().is_final() || (row.state == DeliveryState::Expired && proven)
}

/// The states that the receipt brings, for recipients that it names: only what its gateway can know.
fn states(
    event: &Event,
    from: &GatewayId,
    rows: &[DeliveryRow],
    directory: &Directory,
    at: gateway_model::Timestamp,
) -> Vec<(DeliveryId, DeliveryState)> {
    let to = match event.kind {
        EventKind::Delivered => DeliveryState::Delivered,
        EventKind::Refused => DeliveryState::Refused { reason: event.reason.unwrap_or(Reason::PeerRefused) },
        EventKind::Expired => DeliveryState::Expired,
        EventKind::Returned => DeliveryState::Returned,
        // It is still under way, or waits for a person there: recorded, and seen in the timeline.
        EventKind::Accepted
        | EventKind::Forwarded
        | EventKind::Held
        | EventKind::Released
        | EventKind::Retried
        | EventKind::Succeeded
        | EventKind::Recorded
        | EventKind::Rerouted => return Vec::new(),
    };
    // What the recipient's own gateway signed proves itself, whoever brings it; the rest is believed from where the delivery went.
    let may_say = |row: &&DeliveryRow| match ends_at_home(event) {
        true => serves(directory, &event.gateway, row, at),
        false => goes_to(row, from),
    };
    // A set, not a search for each: a broadcast has thousands of recipients.
    let named: HashSet<&AgencyId> = event.recipients.iter().collect();
    let is_named = |row: &&DeliveryRow| named.is_empty() || named.contains(&row.recipient.named);
    let concerned = rows.iter().filter(is_named).filter(may_say);
    concerned.map(|row| (row.id, to.clone())).collect()
}

/// Whether `gateway` serves the recipient, or who took over from it.
fn serves(directory: &Directory, gateway: &GatewayId, row: &DeliveryRow, at: gateway_model::Timestamp) -> bool {
    let is_home =
        |agency: &gateway_model::id::AgencyId| directory.gateway_of(agency).is_some_and(|home| home.id == *gateway);
    let heir = match directory.serving(&row.recipient.named, at) {
        Serving::Successor(heir) => is_home(&heir),
        Serving::Itself | Serving::Ended | Serving::Unknown => false,
    };
    heir || is_home(&row.recipient.named) || is_home(&row.recipient.serving)
}

/// On to the gateway that brought the envelope, unless the receipt comes from there.
fn onward(engine: &Core, from: &GatewayId, envelope: &EnvelopeRow) -> Vec<gateway_store::claim::NewReturn> {
    if envelope.header.arrived_from.as_ref() == Some(from) {
        return Vec::new();
    }
    engine.way_back(envelope, ReturnWhat::Foreign)
}
