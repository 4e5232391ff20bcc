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
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use gateway_store::settle::ForeignReceipt;
use gateway_verify::Snapshot;

use crate::Core;
use crate::lane::Place;
use crate::steps::store::store_refusal;

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

/// The states that the receipt brings: for recipients that it names and that went the way it came back, and only what its gateway can know.
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
    let went_there = |row: &&DeliveryRow| {
        let place = Place::of(&row.lane);
        place.is_some_and(|place| place.destination.gateway() == Some(from))
    };
    let may_say = |row: &&DeliveryRow| {
        let at_home = matches!(event.kind, EventKind::Delivered | EventKind::Refused);
        let home = !at_home || serves(directory, &event.gateway, row, at);
        if !home {
            tracing::warn!(gateway = %event.gateway, recipient = %row.recipient.named, "a receipt of a gateway that does not serve the recipient");
        }
        home
    };
    // A set, not a search for each: a broadcast has thousands of recipients.
    let named: HashSet<&AgencyId> = event.recipients.iter().collect();
    let is_named = |row: &&DeliveryRow| named.is_empty() || named.contains(&row.recipient.named);
    let concerned = rows.iter().filter(is_named).filter(went_there).filter(may_say);
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
