//! `lienthong trace`: where an envelope or a file is, and everything that happened to it.

use clap::Args;
use gateway_model::Reason;
use gateway_model::id::EnvelopeId;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic_types::StatusExt as _;

use crate::connect::{Caller, Connect};
use crate::exit::Exit;
use crate::output::{self, Form, local_time, rfc3339};
use crate::timeline::{Line, reason_words, state_json, state_words, waiting_words};
use crate::{errln, outln};

/// Shows where an envelope or a file is, and everything that happened to it.
#[derive(Args, Debug)]
pub struct Trace {
    /// File code or envelope id.
    what: String,
    /// Sender, when an envelope id is not unique; a sender's own system always names it.
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
        let caller = self.connect.open(language).await?;
        let is_id = EnvelopeId::parse(&self.what).is_ok();
        let what = self.what.clone();
        let (envelope_id, file_code) = if is_id { (what, String::new()) } else { (String::new(), what) };
        let request = v1::TimelineRequest { sender: self.sender.clone(), envelope_id, file_code };
        let timeline = match OperateServiceClient::new(caller.clone()).timeline(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if is_no_operator(&status) && is_id && !self.sender.is_empty() => {
                self.as_sender(caller).await?
            }
            Err(status) => {
                if is_no_operator(&status) {
                    errln!(
                        "{}",
                        language.pick(
                            "hệ thống của nơi gửi theo dõi bằng: lienthong trace <mã gói tin> --sender <mã cơ quan>",
                            "a sender's system follows with: lienthong trace <envelope id> --sender <agency>"
                        )
                    );
                }
                return Err(status.into());
            }
        };
        match self.output {
            Form::Table => print(&timeline, language),
            form => output::print_json(form, &[json(&timeline)])?,
        }
        Ok(if timeline.envelopes.is_empty() { Exit::NotFound } else { Exit::Success })
    }
}

impl Trace {
    /// What the sender's own system may know: the states of its deliveries and the receipts that have come back.
    async fn as_sender(&self, caller: Caller) -> anyhow::Result<v1::TimelineResponse> {
        let mut client = SubmitServiceClient::new(caller);
        let (sender, envelope_id) = (self.sender.clone(), self.what.clone());
        let request = v1::TrackRequest { sender: sender.clone(), envelope_id: envelope_id.clone() };
        let track = client.track(request).await?.into_inner();
        let request = v1::GetReceiptRequest { sender: sender.clone(), envelope_id: envelope_id.clone() };
        let found = client.get_receipt(request).await?.into_inner();
        let timeline = timeline_of(sender, envelope_id, track, found.receipts);
        Ok(v1::TimelineResponse { cut: found.cut, ..timeline })
    }
}

/// The first event is the acceptance by the gateway that was asked; what other gateways say came back as receipts.
fn timeline_of(
    sender: String,
    envelope_id: String,
    track: v1::TrackResponse,
    receipts: Vec<v1::Receipt>,
) -> v1::TimelineResponse {
    let mut events: Vec<_> =
        receipts.into_iter().filter_map(|receipt| Some((Line::of(Some(&receipt), true)?.event, receipt))).collect();
    events.sort_by_key(|(event, _)| event.at.as_ref().map(|at| (at.seconds, at.nanos)));
    let first = events.first().map(|(event, _)| event.clone()).unwrap_or_default();
    let envelope = v1::EnvelopeSummary {
        // The caller may have named the sender by a code.
        sender: if first.sender.is_empty() { sender } else { first.sender },
        envelope_id,
        file_code: String::new(),
        subject: String::new(),
        accepted_at: track.accepted_at,
        deliveries: track.deliveries,
    };
    let entry = |(event, receipt): (v1::Event, v1::Receipt)| v1::TimelineEntry {
        local: event.gateway == first.gateway,
        receipt: Some(receipt),
    };
    v1::TimelineResponse { envelopes: vec![envelope], entries: events.into_iter().map(entry).collect(), cut: false }
}

fn is_no_operator(status: &tonic::Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == Reason::OperatorNotAuthorized.code())
}

/// Prints a timeline for a person.
pub fn print(timeline: &v1::TimelineResponse, language: Language) {
    for envelope in &timeline.envelopes {
        let title = format!("{}  {}", envelope.subject, envelope.file_code);
        if !title.trim().is_empty() {
            outln!("{}", title.trim());
        }
        outln!(
            "{} {} / {}, {} {}",
            language.pick("gói tin", "envelope"),
            envelope.sender,
            envelope.envelope_id,
            language.pick("tiếp nhận lúc", "accepted"),
            local_time(envelope.accepted_at.as_ref(), language),
        );
        for delivery in &envelope.deliveries {
            outln!("  → {}: {}", delivery.recipient, state_words(delivery, language));
            for line in [waiting_words(delivery, language), reason_words(delivery, language)] {
                if !line.is_empty() {
                    outln!("    {line}");
                }
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
    if timeline.entries.iter().any(|entry| !entry.local) {
        outln!(
            "{}",
            language
                .pick("↩ biên nhận do trục liên thông khác gửi trả về", "↩ a receipt that another gateway sent back")
        );
    }
    if timeline.cut {
        errln!(
            "{}",
            language.pick(
                "còn nhiều hơn những gì hiện ở đây; hãy hỏi theo mã gói tin",
                "there is more than is shown here; ask by envelope id"
            )
        );
    }
    if timeline.envelopes.is_empty() {
        errln!("{}", language.pick("không tìm thấy", "nothing found"));
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
    serde_json::json!({ "envelopes": envelopes, "events": events, "cut": timeline.cut })
}
