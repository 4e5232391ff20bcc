//! `lienthong msg`: lists, shows and moves deliveries.

use clap::{Args, Subcommand};
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::{Caller, Connect};
use crate::exit::{Exit, Usage};
use crate::outln;
use crate::output::{self, Form, local_time, rfc3339};
use crate::timeline::{state_json, state_words};

mod export;

/// Lists, shows and moves deliveries.
#[derive(Args, Debug)]
pub struct Msg {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Lists deliveries, newest first.
    Ls(Ls),
    /// Shows one envelope with everything that happened to it (the same as `trace`).
    Show(super::trace::Trace),
    /// Tries a waiting delivery now.
    Retry(Move),
    /// Stops a delivery until it is released.
    Hold(Move),
    /// Lets a held delivery go on.
    Release(Move),
    /// Gives a waiting or held delivery back to its sender. Final.
    Return(Move),
    /// Sends a waiting or held delivery by another gateway than the directory says.
    Reroute(Reroute),
    /// Writes an envelope as it was signed, with its receipts and its attachments, into a new folder.
    Export(export::Export),
    /// Lists the newest refusals at the doors.
    Refusals(Refusals),
}

#[derive(Args, Debug)]
struct Ls {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    filter: Filter,
    /// Rows at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

/// Which deliveries; what is not said does not filter.
#[derive(Args, Debug)]
pub struct Filter {
    /// Only these statuses: waiting, forwarded, delivered, refused, held, expired, returned.
    #[arg(long, value_delimiter = ',')]
    status: Vec<String>,
    /// Only from this sender (id or code).
    #[arg(long, default_value = "")]
    sender: String,
    /// Only to this recipient (id or code).
    #[arg(long, default_value = "")]
    recipient: String,
    /// Only this file code.
    #[arg(long, default_value = "")]
    file_code: String,
    /// Only this envelope id.
    #[arg(long, default_value = "")]
    envelope_id: String,
    /// Only this document number and notation.
    #[arg(long, default_value = "")]
    document_code: String,
    /// Only envelopes with this SHA-256, their own or that of an attachment, in hexadecimal.
    #[arg(long)]
    sha256: Option<String>,
    /// Only with this reason code.
    #[arg(long, default_value = "")]
    reason_code: String,
    /// Accepted at or after (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// Accepted before (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

#[derive(Args, Debug)]
struct Move {
    /// Delivery id, from `msg ls`.
    delivery: String,
    /// Why; written into the evidence log with your name.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Args, Debug)]
struct Reroute {
    /// Gateway to hand it to; a neighbour of the one that has it.
    #[arg(long)]
    via: String,
    #[command(flatten)]
    step: Move,
}

#[derive(Args, Debug)]
struct Refusals {
    #[command(flatten)]
    connect: Connect,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Msg {
    /// Runs the action.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Ls(ls) => ls.run(language).await,
            Action::Show(trace) => trace.run(language).await,
            Action::Refusals(refusals) => refusals.run(language).await,
            Action::Retry(step) => {
                let request = v1::RetryRequest { delivery_id: step.delivery.clone(), reason: step.reason.clone() };
                let state = step.client(language).await?.retry(request).await?.into_inner().state;
                Ok(moved(state.as_ref(), language))
            }
            Action::Hold(step) => {
                let request = v1::HoldRequest { delivery_id: step.delivery.clone(), reason: step.reason.clone() };
                let state = step.client(language).await?.hold(request).await?.into_inner().state;
                Ok(moved(state.as_ref(), language))
            }
            Action::Release(step) => {
                let request = v1::ReleaseRequest { delivery_id: step.delivery.clone(), reason: step.reason.clone() };
                let state = step.client(language).await?.release(request).await?.into_inner().state;
                Ok(moved(state.as_ref(), language))
            }
            Action::Return(step) => {
                let request =
                    v1::ReturnToSenderRequest { delivery_id: step.delivery.clone(), reason: step.reason.clone() };
                let state = step.client(language).await?.return_to_sender(request).await?.into_inner().state;
                Ok(moved(state.as_ref(), language))
            }
            Action::Reroute(Reroute { via, step }) => {
                let (delivery_id, reason) = (step.delivery.clone(), step.reason.clone());
                let request = v1::RerouteRequest { delivery_id, reason, via };
                let state = step.client(language).await?.reroute(request).await?.into_inner().state;
                Ok(moved(state.as_ref(), language))
            }
            Action::Export(export) => export.run(language).await,
        }
    }
}

impl Move {
    async fn client(&self, language: Language) -> anyhow::Result<OperateServiceClient<Caller>> {
        Ok(OperateServiceClient::new(self.connect.open(language).await?))
    }
}

fn moved(state: Option<&v1::DeliveryState>, language: Language) -> Exit {
    if let Some(state) = state {
        outln!("{}: {}", state.recipient, state_words(state, language));
    }
    Exit::Success
}

impl Ls {
    async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let mut rows = Vec::new();
        let mut page_token = String::new();
        while rows.len() < self.limit {
            let page = client.list(self.filter.request(self.limit - rows.len(), page_token)?).await?.into_inner();
            rows.extend(page.deliveries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        if self.output != Form::Table {
            output::print_json(self.output, &rows.iter().map(json).collect::<Vec<_>>())?;
            return Ok(Exit::Success);
        }
        let header = match language {
            Language::Vi => {
                ["Mã chuyển giao", "Tiếp nhận", "Mã hồ sơ", "Nơi gửi", "Nơi nhận", "Tình trạng", "Trích yếu"]
            }
            Language::En => ["Delivery id", "Accepted", "File code", "Sender", "Recipient", "State", "Subject"],
        };
        let mut table = output::table(&header);
        // The id is there to be copied into the next command.
        if let Some(column) = table.column_mut(0) {
            column.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
        }
        for row in &rows {
            let state = row.state.clone().unwrap_or_default();
            table.add_row([
                row.delivery_id.clone(),
                local_time(row.accepted_at.as_ref(), language),
                row.file_code.clone(),
                row.sender.clone(),
                state.recipient.clone(),
                state_words(&state, language),
                row.subject.clone(),
            ]);
        }
        outln!("{table}");
        Ok(Exit::Success)
    }
}

impl Filter {
    /// As the door reads it.
    ///
    /// # Errors
    /// [`Usage`] for what cannot be read.
    pub fn request(&self, rows: usize, page_token: String) -> anyhow::Result<v1::ListRequest> {
        let sha256 = self.sha256.as_deref().map(hex::decode).transpose();
        let sha256 = sha256.map_err(|_| Usage("--sha256 takes 64 hexadecimal digits".to_owned()))?;
        let statuses = self.status.iter().map(|name| status(name)).collect::<anyhow::Result<_>>()?;
        Ok(v1::ListRequest {
            statuses,
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            file_code: self.file_code.clone(),
            envelope_id: self.envelope_id.clone(),
            reason: self.reason_code.clone(),
            since: self.since.as_deref().map(instant).transpose()?,
            until: self.until.as_deref().map(instant).transpose()?,
            page_size: u32::try_from(rows.min(500)).unwrap_or(500),
            page_token,
            document_code: self.document_code.clone(),
            sha256: sha256.unwrap_or_default().into(),
        })
    }
}

impl Refusals {
    async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let answer = client.list_refusals(v1::ListRefusalsRequest { limit: self.limit }).await?.into_inner();
        if self.output != Form::Table {
            let rows: Vec<_> = answer
                .refusals
                .iter()
                .map(|row| serde_json::json!({"at": rfc3339(row.at.as_ref()), "hop": row.hop, "reason": row.reason, "field": row.field, "envelope_id": row.envelope_id}))
                .collect();
            output::print_json(self.output, &rows)?;
            return Ok(Exit::Success);
        }
        let mut table = output::table(&match language {
            Language::Vi => ["Lúc", "Hệ thống gửi đến", "Mã lý do", "Trường", "Gói tin"],
            Language::En => ["At", "Hop", "Reason", "Field", "Envelope"],
        });
        for row in answer.refusals {
            table.add_row([local_time(row.at.as_ref(), language), row.hop, row.reason, row.field, row.envelope_id]);
        }
        outln!("{table}");
        Ok(Exit::Success)
    }
}

fn status(name: &str) -> anyhow::Result<i32> {
    let wire = format!("DELIVERY_STATUS_{}", name.to_ascii_uppercase());
    v1::DeliveryStatus::from_str_name(&wire).map(|status| status as i32).ok_or_else(|| {
        Usage(format!(
            "{name:?} is not a status; say waiting, forwarded, delivered, refused, held, expired or returned"
        ))
        .into()
    })
}

fn instant(text: &str) -> anyhow::Result<prost_types::Timestamp> {
    let at: jiff::Timestamp =
        text.parse().map_err(|_| Usage(format!("{text:?} is not an instant like 2026-11-22T08:00:00+07:00")))?;
    Ok(prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}

fn json(row: &v1::DeliverySummary) -> serde_json::Value {
    serde_json::json!({
        "delivery_id": row.delivery_id, "sender": row.sender, "envelope_id": row.envelope_id, "file_code": row.file_code,
        "accepted_at": rfc3339(row.accepted_at.as_ref()), "subject": row.subject,
        "state": row.state.as_ref().map(state_json),
    })
}
