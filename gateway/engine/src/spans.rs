//! Spans of the walk, by the messaging conventions of OpenTelemetry: process what comes in, send what goes on. Never bodies, names or file codes.
//!
//! The first attempt goes on in the trace in which the envelope came. Deliveries last hours: a later attempt, and receipts that go back many at
//! once, are traces of their own, linked to those of their envelopes.

use adapters_sdk::trace;
use gateway_evidence::{Event, Receipt};
use gateway_model::agency::Hop;
use gateway_model::id::GatewayId;
use gateway_model::{Reason, Refusal};
use gateway_store::claim::ReturnLease;
use gateway_store::rows::ReturnRow;
use tracing::Span;
use tracing::field::Empty;

use crate::lane::Destination;
use crate::steps::deliver::Load;
use crate::{Accepted, Core};

/// Envelopes that a batch of receipts is linked to; more would make a span larger than what it tells.
const LINKS_MAX: usize = 32;

/// The span of an envelope that comes in by `hop`.
pub fn process(gateway: &GatewayId, hop: &Hop) -> Span {
    tracing::info_span!(
        "process",
        otel.name = format!("process {gateway}"),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = "lienthong",
        "messaging.operation.type" = "process",
        messaging.operation.name = "accept",
        messaging.destination.name = %gateway,
        messaging.client.id = %hop,
        messaging.message.id = Empty,
        "error.type" = Empty,
        trace_id = Empty,
    )
}

/// Tells the span of an envelope what became of it. What a refused one says of itself is not believed, and not told.
pub fn processed(span: &Span, result: &Result<Accepted, Refusal>) {
    match result {
        Ok(accepted) => {
            span.record("messaging.message.id", tracing::field::display(&accepted.key.id));
        }
        Err(refusal) => failed(span, refusal.reason),
    }
}

/// Tells a span why nothing came of it.
pub(crate) fn failed(span: &Span, reason: Reason) {
    span.record("error.type", reason.code());
    span.record("otel.status_code", "ERROR");
}

/// The span of an attempt to hand over.
pub(crate) fn send(load: &Load) -> Span {
    let destination = match &load.place.destination {
        Destination::Agency(agency) => agency.to_string(),
        Destination::Gateway(gateway) | Destination::Awaiting(gateway) | Destination::Receipts(gateway) => {
            gateway.to_string()
        }
        Destination::Nowhere => "nowhere".to_owned(),
    };
    let attempt = load.attempt();
    let span = tracing::info_span!(
        parent: None,
        "send",
        otel.name = format!("send {destination}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = "lienthong",
        "messaging.operation.type" = "send",
        messaging.operation.name = "deliver",
        messaging.destination.name = destination,
        messaging.message.id = %load.envelope.key.id,
        messaging.batch.message_count = Empty,
        "error.type" = Empty,
        lienthong.attempt = attempt,
        trace_id = Empty,
    );
    let came_by = load.envelope.header.traceparent.clone();
    if attempt <= 1 {
        trace::follow(&span, came_by);
    } else {
        trace::separate(&span, came_by.as_deref());
    }
    if load.rows.len() > 1 {
        span.record("messaging.batch.message_count", load.rows.len());
    }
    span
}

/// The span of receipts that go back to a gateway together.
pub(crate) async fn return_receipts(engine: &Core, to: &GatewayId, rows: &[(ReturnRow, ReturnLease)]) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "send",
        otel.name = format!("send {to}"),
        otel.kind = "producer",
        messaging.system = "lienthong",
        "messaging.operation.type" = "send",
        messaging.operation.name = "return receipts",
        messaging.destination.name = %to,
        messaging.batch.message_count = rows.len(),
        trace_id = Empty,
    );
    trace::separate(&span, None);
    if trace::of(&span).is_none() {
        return span;
    }
    for (row, _) in rows.iter().take(LINKS_MAX) {
        let event = Receipt::decode(&row.receipt).and_then(|receipt| Event::decode(&receipt.event));
        let Ok(event) = event else { continue };
        // A link that cannot be read is only not there.
        let Ok(Some(envelope)) = engine.store.find(&event.key()).await else { continue };
        if let Some(came_by) = &envelope.header.traceparent {
            trace::link(&span, came_by);
        }
    }
    span
}
