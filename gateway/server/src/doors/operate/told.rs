//! Rows of the store as operators see them.

use gateway_engine::refusals::RefusalRecord;
use gateway_engine::stuck::LevelBacklog;
use gateway_model::language::Language;
use gateway_store::rows::{DeliveryRow, DeliverySummary, EnvelopeRow, EventRow, EventSource};
use proto::v1;

use super::super::gates::Gates;
use super::super::{Doors, wire};

/// What rows are told with: who does not answer now, and in which language.
pub(super) struct Teller<'a> {
    pub(super) doors: &'a Doors,
    pub(super) gates: Gates,
    pub(super) language: Language,
}

impl<'a> Teller<'a> {
    /// As of now.
    pub(super) fn new(doors: &'a Doors, language: Language) -> Self {
        Self { doors, gates: Gates::of(&doors.engine), language }
    }

    /// A delivery's state.
    pub(super) fn state(&self, row: &DeliveryRow) -> v1::DeliveryState {
        wire::delivery_state(row, &self.gates, &self.doors.adapters, self.language)
    }

    /// A delivery with its envelope.
    pub(super) fn summary(&self, row: &DeliverySummary) -> v1::DeliverySummary {
        let envelope = &row.envelope;
        v1::DeliverySummary {
            delivery_id: row.delivery.id.to_string(),
            sender: envelope.key.sender.to_string(),
            envelope_id: envelope.key.id.to_string(),
            file_code: envelope.header.file_code.clone(),
            accepted_at: Some(wire::timestamp(envelope.header.received_at)),
            state: Some(self.state(&row.delivery)),
            subject: subject(envelope),
        }
    }

    /// An envelope with its deliveries; what only its body tells is added by whoever reads that.
    pub(super) fn envelope(&self, row: &EnvelopeRow, deliveries: &[DeliveryRow]) -> v1::EnvelopeSummary {
        v1::EnvelopeSummary {
            sender: row.key.sender.to_string(),
            envelope_id: row.key.id.to_string(),
            file_code: row.header.file_code.clone(),
            subject: subject(row),
            accepted_at: Some(wire::timestamp(row.header.received_at)),
            deliveries: deliveries.iter().map(|delivery| self.state(delivery)).collect(),
            kind: row.header.kind.as_str().replace('_', "-"),
            code: row.header.code.clone(),
            delivery_ids: deliveries.iter().map(|delivery| delivery.id.to_string()).collect(),
            gateway: self.doors.engine.gateway().to_string(),
            recipients: deliveries.iter().map(|delivery| delivery.recipient.named.to_string()).collect(),
            trace_id: row.header.traceparent.as_deref().and_then(trace_id).unwrap_or_default().to_owned(),
            ..v1::EnvelopeSummary::default()
        }
    }
}

/// An event as a line of a timeline.
pub(super) fn entry(event: &EventRow) -> v1::TimelineEntry {
    let local = match event.source {
        EventSource::Own => true,
        EventSource::Foreign => false,
    };
    v1::TimelineEntry { receipt: Some(event.receipt.to_wire()), local }
}

/// What waits for one level.
pub(super) fn backlog(backlog: &LevelBacklog) -> v1::LevelBacklog {
    v1::LevelBacklog { level: backlog.level.clone(), waiting: backlog.waiting }
}

/// A refusal at a door.
pub(super) fn refusal(record: RefusalRecord) -> v1::RefusalRecord {
    v1::RefusalRecord {
        at: Some(wire::timestamp(record.at)),
        hop: record.hop,
        reason: record.reason.code().to_owned(),
        field: record.field,
        envelope_id: record.envelope_id.unwrap_or_default(),
    }
}

/// The trace id of a W3C trace context: `00-<32 digits>-<16 digits>-<2 digits>`.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1).filter(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

fn subject(row: &EnvelopeRow) -> String {
    if row.header.subject.is_empty() { row.header.code.clone() } else { row.header.subject.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_the_second_field_of_a_trace_context_and_nothing_else_is_one() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_id(&format!("00-{id}-b7ad6b7169203331-01")), Some(id));
        assert_eq!(trace_id(&format!("cc-{id}-b7ad6b7169203331-01-what-will-be")), Some(id), "a later version");
        for other in ["", "00", &id[..31], &format!("00-{}-b7ad6b7169203331-01", &id[1..]), &"-".repeat(60)] {
            assert_eq!(trace_id(other), None, "{other}");
        }
    }
}
