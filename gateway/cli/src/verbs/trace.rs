//! `lienthong trace`: where an envelope or a file is, and everything that happened to it.

use clap::Args;
use gateway_model::id::EnvelopeId;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{self, Form, local_time, rfc3339};
use crate::timeline::{Line, state_json, state_words};

/// Shows where an envelope or a file is, and everything that happened to it.
#[derive(Args, Debug)]
pub struct Trace {
    /// File code or envelope id.
    what: String,
    /// Sender, when an envelope id is not unique.
    #[arg(long, default_value = "")]
    sender: String,
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Trace {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the gateway does not answer, the caller is no operator, or nothing is found.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open().await?);
        let is_id = EnvelopeId::parse(&self.what).is_ok();
        let (envelope_id, file_code) = if is_id { (self.what, String::new()) } else { (String::new(), self.what) };
        let request = v1::TimelineRequest { sender: self.sender, envelope_id, file_code };
        let timeline = client.timeline(request).await?.into_inner();
        match self.output {
            Form::Table => print(&timeline, language),
            form => output::print_json(form, &[json(&timeline)])?,
        }
        Ok(if timeline.envelopes.is_empty() { Exit::NotFound } else { Exit::Success })
    }
}

/// Prints a timeline for a person.
pub fn print(timeline: &v1::TimelineResponse, language: Language) {
    for envelope in &timeline.envelopes {
        outln!("{}  {}", envelope.subject, envelope.file_code);
        outln!(
            "{} {} / {}, {} {}",
            language.pick("gói tin", "envelope"),
            envelope.sender,
            envelope.envelope_id,
            language.pick("tiếp nhận lúc", "accepted"),
            local_time(envelope.accepted_at.as_ref()),
        );
        for delivery in &envelope.deliveries {
            outln!("  → {}: {}", delivery.recipient, state_words(delivery, language));
            if !delivery.message.is_empty() {
                outln!("    {}", delivery.message);
            }
        }
        for entry in &timeline.entries {
            if let Some(line) = Line::of(entry.receipt.as_ref(), entry.local)
                && line.event.envelope_id == envelope.envelope_id
                && line.event.sender == envelope.sender
            {
                outln!("{}", line.text(language));
            }
        }
        outln!();
    }
    if timeline.envelopes.is_empty() {
        eprintln!("{}", language.pick("không tìm thấy", "nothing found"));
    }
}

fn json(timeline: &v1::TimelineResponse) -> serde_json::Value {
    let envelopes: Vec<_> = timeline
        .envelopes
        .iter()
        .map(|envelope| {
            serde_json::json!({
                "sender": envelope.sender, "envelope_id": envelope.envelope_id, "file_code": envelope.file_code,
                "subject": envelope.subject, "accepted_at": rfc3339(envelope.accepted_at.as_ref()),
                "deliveries": envelope.deliveries.iter().map(state_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    let events: Vec<_> = timeline
        .entries
        .iter()
        .filter_map(|entry| Line::of(entry.receipt.as_ref(), entry.local))
        .map(|line| line.json())
        .collect();
    serde_json::json!({ "envelopes": envelopes, "events": events })
}
