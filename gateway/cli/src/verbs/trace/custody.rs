//! Who held a file, since when, until when, for a person and for programs.

use gateway_model::language::Language;
use proto::v1;

use crate::outln;
use crate::output::{self, local_time, rfc3339};
use crate::verbs::stuck::hours;

/// Prints the custody of a file as a table: a line a hand-over.
pub fn print(custody: &v1::CaseCustody, language: Language) {
    let pick = |vi, en| language.pick(vi, en);
    let procedure = match custody.procedure_name.as_str() {
        "" => custody.procedure_code.clone(),
        name => format!("{} {name}", custody.procedure_code),
    };
    outln!(
        "{} {}: {} {}",
        pick("hồ sơ", "file"),
        custody.file_code,
        standing(custody.standing(), language),
        procedure.trim()
    );
    if custody.due_at.is_some() {
        outln!(
            "{} {}, {} {}",
            pick("hẹn trả", "due"),
            local_time(custody.due_at.as_ref(), language),
            pick("giờ làm việc còn lại", "working time left"),
            hours(custody.working_seconds_left, language)
        );
    }
    let mut table = output::table(&[
        pick("Đơn vị giữ hồ sơ", "Held by"),
        pick("Bước", "Step"),
        pick("Từ", "Since"),
        pick("Đến", "Until"),
        pick("Đã dùng", "Used"),
        pick("Được dùng", "Allowed"),
        pick("Trên đường", "On the way"),
        pick("Kết quả", "Standing"),
    ]);
    for line in &custody.holdings {
        let allowed = if line.working_seconds_allowed == 0 {
            String::new()
        } else {
            time(line.working_seconds_allowed, language)
        };
        table.add_row([
            if line.agency_name.is_empty() { line.agency.clone() } else { line.agency_name.clone() },
            line.step.clone(),
            local_time(line.since.as_ref(), language),
            local_time(line.until.as_ref(), language),
            time(line.working_seconds_used, language),
            allowed,
            time(line.working_seconds_on_the_way, language),
            standing(line.standing(), language).to_owned(),
        ]);
    }
    outln!("{table}");
    for pause in &custody.pauses {
        let until =
            pause.until.as_ref().map_or_else(|| pick("nay", "now").to_owned(), |at| local_time(Some(at), language));
        outln!(
            "{} {} → {until} ({}, {})",
            pick("đồng hồ dừng", "the clock stood still"),
            local_time(pause.since.as_ref(), language),
            pause.agency,
            pause.code
        );
    }
    outln!();
}

fn time(seconds: u64, language: Language) -> String {
    hours(i64::try_from(seconds).unwrap_or(i64::MAX), language)
}

fn standing(standing: v1::CaseStanding, language: Language) -> &'static str {
    match standing {
        v1::CaseStanding::InWork => language.pick("đang giải quyết", "in work"),
        v1::CaseStanding::InWorkLate => language.pick("đang giải quyết, quá hạn", "in work, late"),
        v1::CaseStanding::Paused => language.pick("đang tạm dừng tính giờ", "the clock stands still"),
        v1::CaseStanding::Early => language.pick("trước hạn", "early"),
        v1::CaseStanding::OnTime => language.pick("đúng hạn", "on time"),
        v1::CaseStanding::Late => language.pick("trễ hạn", "late"),
        v1::CaseStanding::Ended => language.pick("đã kết thúc", "ended"),
        v1::CaseStanding::Unspecified => "",
    }
}

/// The custody for programs.
pub fn json(custody: &v1::CaseCustody) -> serde_json::Value {
    let name = |standing: v1::CaseStanding| {
        standing.as_str_name().trim_start_matches("CASE_STANDING_").to_lowercase().replace('_', "-")
    };
    let holding = |line: &v1::Holding| {
        serde_json::json!({
            "agency": line.agency, "agency_name": line.agency_name, "from": line.from, "step": line.step,
            "since": rfc3339(line.since.as_ref()), "until": rfc3339(line.until.as_ref()), "due_at": rfc3339(line.due_at.as_ref()),
            "working_seconds_used": line.working_seconds_used, "working_seconds_allowed": line.working_seconds_allowed,
            "working_seconds_on_the_way": line.working_seconds_on_the_way, "standing": name(line.standing()),
        })
    };
    let pause = |pause: &v1::CasePause| {
        serde_json::json!({
            "agency": pause.agency, "since": rfc3339(pause.since.as_ref()), "until": rfc3339(pause.until.as_ref()),
            "code": pause.code,
        })
    };
    serde_json::json!({
        "file_code": custody.file_code, "procedure_code": custody.procedure_code, "procedure_name": custody.procedure_name,
        "procedure_version": custody.procedure_version, "received_at": rfc3339(custody.received_at.as_ref()),
        "due_at": rfc3339(custody.due_at.as_ref()), "finished_at": rfc3339(custody.finished_at.as_ref()),
        "standing": name(custody.standing()), "working_seconds_used": custody.working_seconds_used,
        "working_seconds_left": custody.working_seconds_left, "calendar": custody.calendar,
        "business_status": custody.business_status, "business_status_by": custody.business_status_by,
        "holdings": custody.holdings.iter().map(holding).collect::<Vec<_>>(),
        "pauses": custody.pauses.iter().map(pause).collect::<Vec<_>>(),
    })
}
