//! Pausing and resuming a destination, and how it goes with one: what `peer` and `adapter` share.

use clap::Args;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{local_time, rfc3339};

/// Why, and at which gateway.
#[derive(Args, Debug)]
pub struct Pausing {
    /// Why; written into the evidence log with your name.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

impl Pausing {
    /// Lets nothing more go to a destination.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn pause(self, destination: String, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        client.pause(v1::PauseRequest { destination: destination.clone(), reason: self.reason }).await?;
        outln!("{destination}: {}", language.pick("đã tạm dừng; không gói tin nào bị mất", "paused; nothing is lost"));
        Ok(Exit::Success)
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses.
    pub async fn resume(self, destination: String, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        client.resume(v1::ResumeRequest { destination: destination.clone(), reason: self.reason }).await?;
        outln!("{destination}: {}", language.pick("đã mở lại", "goes on"));
        Ok(Exit::Success)
    }
}

/// Titles of [`flow_row`].
pub fn flow_title(language: Language) -> Vec<&'static str> {
    vec![
        language.pick("Tình trạng", "State"),
        language.pick("Từ", "Since"),
        language.pick("Đang chờ", "Waiting"),
        language.pick("Cũ nhất", "Oldest"),
        language.pick("Trả lời gần nhất", "Last answer"),
        language.pick("Nhận mỗi phút", "Taken a minute"),
    ]
}

/// How it goes with a destination, as cells.
pub fn flow_row(flow: Option<&v1::Flow>, language: Language) -> Vec<String> {
    let Some(flow) = flow else { return vec![String::new(); 6] };
    let state = match (&flow.paused, flow.up) {
        (Some(pause), _) => {
            format!("{} {}: {}", language.pick("tạm dừng bởi", "paused by"), pause.operator, pause.reason)
        }
        (None, true) => language.pick("thông", "up").to_owned(),
        (None, false) => format!("{} {}", language.pick("tắc:", "down:"), flow.reason),
    };
    vec![
        state,
        local_time(flow.since.as_ref(), language),
        flow.backlog.to_string(),
        local_time(flow.oldest.as_ref(), language),
        local_time(flow.last_success_at.as_ref(), language),
        flow.taken_per_minute.to_string(),
    ]
}

/// The same for programs.
pub fn flow_json(flow: Option<&v1::Flow>) -> serde_json::Value {
    flow.map_or(serde_json::Value::Null, |flow| {
        serde_json::json!({
            "up": flow.up, "since": rfc3339(flow.since.as_ref()), "reason": flow.reason, "detail": flow.detail,
            "backlog": flow.backlog, "oldest": rfc3339(flow.oldest.as_ref()),
            "last_success_at": rfc3339(flow.last_success_at.as_ref()),
            "next_probe_at": rfc3339(flow.next_probe_at.as_ref()), "paused": pause_json(flow.paused.as_ref()),
            "taken_per_minute": flow.taken_per_minute,
        })
    })
}

/// A pause for programs.
pub fn pause_json(pause: Option<&v1::PauseState>) -> serde_json::Value {
    pause.map_or(serde_json::Value::Null, |pause| {
        serde_json::json!({ "operator": pause.operator, "reason": pause.reason, "since": rfc3339(pause.since.as_ref()) })
    })
}
