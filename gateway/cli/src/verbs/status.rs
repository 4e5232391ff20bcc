//! `lienthong status`: a gateway in a few numbers.

use clap::Args;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use super::adapter::operate::worker_json;
use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{self, Form, local_time, rfc3339};

/// Tells the state of a gateway in a few numbers.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    connect: Connect,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Status {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the gateway does not answer or the caller is no operator.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let status = client.get_status(v1::GetStatusRequest {}).await?.into_inner();
        if self.output != Form::Table {
            output::print_json(self.output, &[json(&status)])?;
            return Ok(Exit::Success);
        }
        let mut table = output::table(&[]);
        let word = |vi: &'static str, en: &'static str| language.pick(vi, en).to_owned();
        let busy =
            if status.busy { status.busy_reason.clone() } else { word("sẵn sàng nhận", "taking envelopes") };
        let expires = local_time(status.directory_expires_at.as_ref(), language);
        for (name, value) in [
            (word("Trục liên thông", "Gateway"), format!("{} ({})", status.gateway, status.version)),
            (word("Tình trạng", "State"), busy),
            (
                word("Danh bạ", "Directory"),
                format!(
                    "{} {}, {} {expires}",
                    language.pick("phiên bản", "version"),
                    status.directory_version,
                    language.pick("đến", "until")
                ),
            ),
            (word("Gói tin đã lưu", "Envelopes kept"), status.envelopes.to_string()),
            (word("Đang chờ gửi", "Waiting"), status.waiting.to_string()),
            (word("Tạm giữ", "Held"), status.held.to_string()),
            (word("Nhật ký chứng cứ", "Evidence log"), status.log_size.to_string()),
            (word("Đĩa còn trống", "Disk free"), disk(&status, language)),
            (word("Đang chờ gửi, theo cấp", "Waiting, by level"), levels(&status.backlog)),
            (word("Bàn giao chưa đủ chứng cứ", "Hand-overs not yet proven"), status.evidence_gap.to_string()),
        ] {
            table.add_row([name, value]);
        }
        outln!("{table}");
        print_gates(&status.gates, language);
        print_workers(&status.workers, language);
        Ok(Exit::Success)
    }
}

/// Free bytes, and for how long where it fills.
fn disk(status: &v1::GetStatusResponse, language: Language) -> String {
    let free = format!("{} MiB", status.free_bytes / 1_048_576);
    match &status.disk_lasts {
        None => free,
        Some(lasts) => format!(
            "{free} ({} {} {})",
            language.pick("còn đủ", "lasts"),
            lasts.seconds / 86_400,
            language.pick("ngày", "days")
        ),
    }
}

fn levels(backlog: &[v1::LevelBacklog]) -> String {
    let line = |one: &v1::LevelBacklog| {
        let level = if one.level.is_empty() { "–" } else { one.level.as_str() };
        format!("{level}: {}", one.waiting)
    };
    backlog.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// Who does not answer: what goes there waits.
fn print_gates(gates: &[v1::GateState], language: Language) {
    if gates.is_empty() {
        return;
    }
    outln!(
        "\n{}",
        language.pick("Nơi không phản hồi (gói tin đi đó đang chờ):", "Who does not answer (what goes there waits):")
    );
    let pick = |vi, en| language.pick(vi, en);
    let mut table = output::table(&[
        pick("Nơi nhận", "Destination"),
        pick("Từ", "Since"),
        pick("Lần thử tới", "Next probe"),
        pick("Lý do", "Reason"),
        pick("Chi tiết", "Detail"),
    ]);
    for gate in gates {
        table.add_row([
            gate.destination.clone(),
            local_time(gate.since.as_ref(), language),
            local_time(gate.next_probe_at.as_ref(), language),
            gate.reason.clone(),
            gate.detail.clone(),
        ]);
    }
    outln!("{table}");
}

/// Who takes from the queues, and when each was last there.
fn print_workers(workers: &[v1::WorkerState], language: Language) {
    if workers.is_empty() {
        return;
    }
    let pick = |vi, en| language.pick(vi, en);
    outln!("\n{}", pick("Bộ kết nối đến lấy việc:", "Workers that take from the queues:"));
    let mut table = output::table(&[
        pick("Hàng đợi", "Queue"),
        pick("Tiến trình", "Instance"),
        pick("Bộ kết nối", "Adapter"),
        pick("Lấy việc lần cuối", "Last asked for work"),
        pick("Đang giữ", "Holds"),
        pick("Tình trạng", "State"),
    ]);
    for worker in workers {
        let state = if !worker.problems.is_empty() {
            worker.problems.join("; ")
        } else if worker.draining {
            pick("sắp nghỉ", "takes no more").to_owned()
        } else {
            pick("làm việc", "at work").to_owned()
        };
        table.add_row([
            worker.queue.clone(),
            worker.instance.clone(),
            format!("{} {}", worker.name, worker.version),
            local_time(worker.last_poll_at.as_ref(), language),
            worker.leases.to_string(),
            state,
        ]);
    }
    outln!("{table}");
}

fn json(status: &v1::GetStatusResponse) -> serde_json::Value {
    let gate = |gate: &v1::GateState| {
        serde_json::json!({
            "destination": gate.destination, "reason": gate.reason, "detail": gate.detail,
            "since": rfc3339(gate.since.as_ref()), "next_probe_at": rfc3339(gate.next_probe_at.as_ref()),
        })
    };
    serde_json::json!({
        "gateway": status.gateway, "version": status.version, "directory_version": status.directory_version,
        "directory_expires_at": rfc3339(status.directory_expires_at.as_ref()), "envelopes": status.envelopes,
        "waiting": status.waiting, "held": status.held, "log_size": status.log_size, "free_bytes": status.free_bytes,
        "accepted_per_minute": status.accepted_per_minute, "delivered_per_minute": status.delivered_per_minute,
        "backlog": status.backlog.iter().map(|one| serde_json::json!({ "level": one.level, "waiting": one.waiting })).collect::<Vec<_>>(),
        "disk_lasts_seconds": status.disk_lasts.as_ref().map(|lasts| lasts.seconds), "evidence_gap": status.evidence_gap,
        "busy": status.busy, "busy_reason": status.busy_reason,
        "gates": status.gates.iter().map(gate).collect::<Vec<_>>(),
        "workers": status.workers.iter().map(worker_json).collect::<Vec<_>>(),
    })
}
