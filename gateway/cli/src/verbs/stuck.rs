//! `lienthong stuck`: what needs a person now, by cause, with the agency that has to act. Made for people and for cron.

use clap::Args;
use gateway_model::language::Language;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{self, Form, local_time, rfc3339};

/// Tells what needs a person now. Exit codes: 0 nothing does, 10 something does.
#[derive(Args, Debug)]
pub struct Stuck {
    #[command(flatten)]
    connect: Connect,
    /// Shows incidents instead: when each began and ended.
    #[arg(long)]
    incidents: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Stuck {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the gateway does not answer or the caller is no operator.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        if self.incidents {
            let answer =
                client.list_incidents(v1::ListIncidentsRequest { since: None, limit: 500 }).await?.into_inner();
            print_incidents(&answer.incidents, self.output, language)?;
            return Ok(Exit::Success);
        }
        let answer = client.list_stuck(v1::ListStuckRequest {}).await?.into_inner();
        match self.output {
            Form::Table => print(&answer, language),
            form => output::print_json(form, &answer.groups.iter().map(json).collect::<Vec<_>>())?,
        }
        Ok(if answer.groups.is_empty() { Exit::Success } else { Exit::Stuck })
    }
}

fn print(answer: &v1::ListStuckResponse, language: Language) {
    let as_of = local_time(answer.as_of.as_ref(), language);
    if answer.groups.is_empty() {
        outln!("{} ({as_of})", language.pick("không có gì đang tắc", "nothing is stuck"));
        return;
    }
    let pick = |vi, en| language.pick(vi, en);
    let mut table = output::table(&[
        pick("Nguyên nhân", "Cause"),
        pick("Nơi", "Where"),
        pick("Đơn vị phải xử lý", "Must act"),
        pick("Số lượng", "Count"),
        pick("Cũ nhất", "Oldest"),
        pick("Giờ làm việc còn lại", "Working time left"),
        pick("Phải làm gì", "What to do"),
    ]);
    for group in &answer.groups {
        table.add_row([
            format!("{}\n{}", cause(group.cause(), language), group.reason),
            group.destination.clone(),
            if group.must_act_name.is_empty() { group.must_act.clone() } else { group.must_act_name.clone() },
            group.count.to_string(),
            local_time(group.oldest.as_ref(), language),
            group.deadline.map(|_| hours(group.working_seconds_left, language)).unwrap_or_default(),
            format!("{} {}", group.message, group.next_step),
        ]);
    }
    outln!("{table}");
    outln!("{} {as_of}", language.pick("tính đến", "as of"));
}

fn print_incidents(incidents: &[v1::Incident], form: Form, language: Language) -> anyhow::Result<()> {
    if form != Form::Table {
        return output::print_json(form, &incidents.iter().map(incident_json).collect::<Vec<_>>());
    }
    let pick = |vi, en| language.pick(vi, en);
    let mut table = output::table(&[
        pick("Bắt đầu", "Began"),
        pick("Kết thúc", "Ended"),
        pick("Nguyên nhân", "Cause"),
        pick("Nơi", "Where"),
        pick("Đơn vị phải xử lý", "Must act"),
        pick("Nhiều nhất", "At most"),
    ]);
    for incident in incidents {
        let lasts = || pick("đang diễn ra", "lasts").to_owned();
        table.add_row([
            local_time(incident.opened_at.as_ref(), language),
            incident.closed_at.as_ref().map_or_else(lasts, |at| local_time(Some(at), language)),
            format!("{} ({})", cause(incident.cause(), language), incident.reason),
            incident.destination.clone(),
            incident.must_act.clone(),
            incident.count_max.to_string(),
        ]);
    }
    outln!("{table}");
    Ok(())
}

/// A cause in words.
pub fn cause(cause: v1::StuckCause, language: Language) -> &'static str {
    match cause {
        v1::StuckCause::PeerDown => {
            language.pick("trục liên thông khác không phản hồi", "another gateway does not answer")
        }
        v1::StuckCause::AdapterError => language.pick("bộ kết nối gặp lỗi", "an adapter fails"),
        v1::StuckCause::NotPickedUp => language.pick("không ai đến lấy", "nobody picks it up"),
        v1::StuckCause::Certificate => language.pick("chứng thư số không dùng được", "a certificate cannot be used"),
        v1::StuckCause::Revocation => {
            language.pick("danh sách thu hồi chứng thư số quá hạn", "a revocation list is stale")
        }
        v1::StuckCause::Held => language.pick("đang tạm giữ", "held"),
        v1::StuckCause::Refused => language.pick("bị từ chối", "refused"),
        v1::StuckCause::ReceiptOverdue => language.pick("chưa có biên nhận cuối", "the final receipt is overdue"),
        v1::StuckCause::Paused => language.pick("người vận hành tạm dừng", "an operator paused it"),
        v1::StuckCause::Gateway => language.pick("chính trục liên thông này", "this gateway itself"),
        v1::StuckCause::Unspecified => language.pick("(không rõ)", "(unknown)"),
    }
}

/// Working time as hours and minutes; late is said so.
pub fn hours(seconds: i64, language: Language) -> String {
    let minutes = seconds.unsigned_abs() / 60;
    let text = format!("{}h{:02}", minutes / 60, minutes % 60);
    if seconds < 0 { format!("{} {text}", language.pick("trễ", "late by")) } else { text }
}

fn cause_name(cause: v1::StuckCause) -> String {
    cause.as_str_name().trim_start_matches("STUCK_CAUSE_").to_lowercase().replace('_', "-")
}

fn json(group: &v1::StuckGroup) -> serde_json::Value {
    serde_json::json!({
        "incident_id": group.incident_id, "cause": cause_name(group.cause()), "reason": group.reason,
        "destination": group.destination, "must_act": group.must_act, "must_act_name": group.must_act_name,
        "count": group.count, "oldest": rfc3339(group.oldest.as_ref()), "since": rfc3339(group.since.as_ref()),
        "deadline": rfc3339(group.deadline.as_ref()), "working_seconds_left": group.working_seconds_left,
        "message": group.message, "next_step": group.next_step, "detail": group.detail,
        "delivery_ids": group.delivery_ids,
    })
}

fn incident_json(incident: &v1::Incident) -> serde_json::Value {
    serde_json::json!({
        "incident_id": incident.incident_id, "cause": cause_name(incident.cause()), "reason": incident.reason,
        "destination": incident.destination, "must_act": incident.must_act,
        "opened_at": rfc3339(incident.opened_at.as_ref()), "closed_at": rfc3339(incident.closed_at.as_ref()),
        "count_max": incident.count_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_time_is_told_in_hours_and_lateness_is_said() {
        assert_eq!(hours(9 * 3_600 + 5 * 60, Language::En), "9h05");
        assert_eq!(hours(-61 * 60, Language::Vi), "trễ 1h01");
    }
}
