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

mod custody;

/// An answer of a whole ladder may be larger than one message usually is.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Shows where an envelope or a file is, and everything that happened to it.
#[derive(Args, Debug)]
pub struct Trace {
    /// File code, document number and notation, or envelope id.
    what: String,
    /// Asks this gateway alone; otherwise it asks the others on the way for their part.
    #[arg(long)]
    only_here: bool,
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
        let timeline = match self.as_operator(&caller, is_id).await {
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
    /// What is known at every gateway on the way: by envelope id, else by file code, else by document number.
    async fn as_operator(
        &self,
        caller: &Caller,
        is_id: bool,
    ) -> Result<tonic::Response<v1::TimelineResponse>, tonic::Status> {
        let mut client = OperateServiceClient::new(caller.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let request = v1::TimelineRequest {
            sender: self.sender.clone(),
            only_here: self.only_here,
            ..v1::TimelineRequest::default()
        };
        let what = self.what.clone();
        if is_id {
            return client.timeline(v1::TimelineRequest { envelope_id: what, ..request }).await;
        }
        let by_file = v1::TimelineRequest { file_code: what.clone(), ..request.clone() };
        match client.timeline(by_file).await {
            Err(status) if is_not_found(&status) => {
                client.timeline(v1::TimelineRequest { document_code: what, ..request }).await
            }
            answer => answer,
        }
    }

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
        accepted_at: track.accepted_at,
        deliveries: track.deliveries,
        gateway: first.gateway.clone(),
        ..v1::EnvelopeSummary::default()
    };
    let entry = |(event, receipt): (v1::Event, v1::Receipt)| v1::TimelineEntry {
        local: event.gateway == first.gateway,
        receipt: Some(receipt),
    };
    let entries = events.into_iter().map(entry).collect();
    v1::TimelineResponse { envelopes: vec![envelope], entries, ..v1::TimelineResponse::default() }
}

fn is_not_found(status: &tonic::Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == Reason::NotFound.code())
}

fn is_no_operator(status: &tonic::Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == Reason::OperatorNotAuthorized.code())
}

/// Prints a timeline for a person.
pub fn print(timeline: &v1::TimelineResponse, language: Language) {
    let mut told: Vec<(&str, &str)> = Vec::new();
    for envelope in &timeline.envelopes {
        let key = (envelope.sender.as_str(), envelope.envelope_id.as_str());
        if told.contains(&key) {
            continue;
        }
        told.push(key);
        let known: Vec<&v1::EnvelopeSummary> = timeline
            .envelopes
            .iter()
            .filter(|other| (other.sender.as_str(), other.envelope_id.as_str()) == key)
            .collect();
        print_envelope(timeline, &known, language);
    }
    if let Some(custody) = &timeline.custody {
        custody::print(custody, language);
    }
    print_notes(timeline, language);
}

/// One envelope, as each gateway that told of it knows it.
fn print_envelope(timeline: &v1::TimelineResponse, known: &[&v1::EnvelopeSummary], language: Language) {
    let Some(envelope) = known.first() else { return };
    let title = format!("{}  {}", envelope.subject, envelope.file_code);
    if !title.trim().is_empty() {
        outln!("{}", title.trim());
    }
    if envelope.kind == "status" {
        // What an agency says of its work is never a gateway's receipt.
        outln!(
            "{} {} {} {}",
            language.pick("trạng thái nghiệp vụ", "business status"),
            envelope.code,
            language.pick("do cơ quan báo:", "said by"),
            envelope.sender
        );
    }
    outln!(
        "{} {} / {}, {} {}",
        language.pick("gói tin", "envelope"),
        envelope.sender,
        envelope.envelope_id,
        language.pick("tiếp nhận lúc", "accepted"),
        local_time(envelope.accepted_at.as_ref(), language),
    );
    for trace_id in traces(known) {
        outln!("  {} {trace_id}", language.pick("mã vết", "trace id"));
    }
    for known in known {
        for delivery in &known.deliveries {
            let at = if known.gateway.is_empty() { String::new() } else { format!("{}: ", known.gateway) };
            outln!("  {at}→ {}: {}", delivery.recipient, state_words(delivery, language));
            for line in [waiting_words(delivery, language), reason_words(delivery, language)] {
                if !line.is_empty() {
                    outln!("    {line}");
                }
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

/// The traces under which the gateways took it in, each once: what is tried again later is a trace of its own.
fn traces<'a>(known: &[&'a v1::EnvelopeSummary]) -> Vec<&'a str> {
    let mut traces: Vec<&str> = Vec::new();
    for envelope in known.iter().filter(|envelope| !envelope.trace_id.is_empty()) {
        if !traces.contains(&envelope.trace_id.as_str()) {
            traces.push(&envelope.trace_id);
        }
    }
    traces
}

fn print_notes(timeline: &v1::TimelineResponse, language: Language) {
    if timeline.entries.iter().any(|entry| !entry.local) {
        let words =
            language.pick("↩ biên nhận kỹ thuật của trục liên thông khác", "↩ another gateway's technical receipt");
        outln!("{words}");
    }
    for source in timeline.sources.iter().filter(|source| !source.answered) {
        let words = language.pick(
            "không hỏi được (chỉ có những gì đã biết tại đây):",
            "did not answer (only what is known here is shown):",
        );
        outln!("! {} {words} {} {}", source.gateway, source.reason, source.detail);
    }
    if timeline.cut {
        let words = language.pick(
            "còn nhiều hơn những gì hiện ở đây; hãy hỏi theo mã gói tin",
            "there is more than is shown here; ask by envelope id",
        );
        errln!("{words}");
    }
    if timeline.envelopes.is_empty() {
        errln!("{}", language.pick("không tìm thấy", "nothing found"));
    }
}

fn json(timeline: &v1::TimelineResponse) -> serde_json::Value {
    let envelope = |envelope: &v1::EnvelopeSummary| {
        serde_json::json!({
            "sender": envelope.sender, "envelope_id": envelope.envelope_id, "file_code": envelope.file_code,
            "subject": envelope.subject, "accepted_at": rfc3339(envelope.accepted_at.as_ref()),
            "gateway": envelope.gateway, "kind": envelope.kind, "code": envelope.code,
            "deliveries": envelope.deliveries.iter().map(state_json).collect::<Vec<_>>(),
            "delivery_ids": envelope.delivery_ids, "trace_id": envelope.trace_id,
        })
    };
    let events: Vec<_> = timeline
        .entries
        .iter()
        .filter_map(|entry| Line::of(entry.receipt.as_ref(), entry.local))
        .map(|line| line.json())
        .collect();
    let source = |source: &v1::TimelineSource| {
        serde_json::json!({
            "gateway": source.gateway, "answered": source.answered, "reason": source.reason, "detail": source.detail,
        })
    };
    serde_json::json!({
        "envelopes": timeline.envelopes.iter().map(envelope).collect::<Vec<_>>(), "events": events, "cut": timeline.cut,
        "sources": timeline.sources.iter().map(source).collect::<Vec<_>>(),
        "custody": timeline.custody.as_ref().map(custody::json),
    })
}
