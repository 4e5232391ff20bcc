//! `lienthong audit`: who did what, from where, when and why.

use clap::Args;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::{Exit, Usage};
use crate::outln;
use crate::output::{self, Form, local_time, rfc3339};

/// Lists what operators did, newest first. Each entry is a leaf of the evidence log.
#[derive(Args, Debug)]
pub struct Audit {
    #[command(flatten)]
    connect: Connect,
    /// Only this operator.
    #[arg(long, default_value = "")]
    operator: String,
    /// At or after (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// Before (RFC 3339).
    #[arg(long)]
    until: Option<String>,
    /// Rows at most.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Audit {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the gateway does not answer or the caller is no operator.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let (since, until) = (instant(self.since.as_deref())?, instant(self.until.as_deref())?);
        let (mut entries, mut page_token) = (Vec::new(), String::new());
        while entries.len() < self.limit {
            let request = v1::ListAuditRequest {
                since,
                until,
                operator: self.operator.clone(),
                page_size: u32::try_from((self.limit - entries.len()).min(500)).unwrap_or(500),
                page_token,
            };
            let page = client.list_audit(request).await?.into_inner();
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        if self.output != Form::Table {
            output::print_json(self.output, &entries.iter().map(json).collect::<Vec<_>>())?;
            return Ok(Exit::Success);
        }
        let pick = |vi, en| language.pick(vi, en);
        let mut table = output::table(&[
            pick("Lúc", "When"),
            pick("Ai", "Who"),
            pick("Việc", "What"),
            pick("Đối tượng", "To what"),
            pick("Lý do", "Why"),
            pick("Từ đâu", "From where"),
        ]);
        for entry in &entries {
            let subject = match entry.subject.as_str() {
                "" => format!("{}/{}", entry.sender, entry.envelope_id),
                subject => subject.to_owned(),
            };
            table.add_row([
                local_time(entry.at.as_ref(), language),
                entry.operator.clone(),
                entry.action.clone(),
                subject,
                entry.note.clone(),
                entry.address.clone(),
            ]);
        }
        outln!("{table}");
        Ok(Exit::Success)
    }
}

fn instant(text: Option<&str>) -> anyhow::Result<Option<prost_types::Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let at: jiff::Timestamp =
        text.parse().map_err(|_| Usage(format!("{text:?} is not an instant like 2026-11-22T08:00:00+07:00")))?;
    Ok(Some(prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }))
}

fn json(entry: &v1::AuditEntry) -> serde_json::Value {
    serde_json::json!({
        "at": rfc3339(entry.at.as_ref()), "operator": entry.operator, "action": entry.action, "subject": entry.subject,
        "sender": entry.sender, "envelope_id": entry.envelope_id, "recipients": entry.recipients, "note": entry.note,
        "leaf_index": entry.leaf_index, "address": entry.address,
    })
}
