//! Numbers and lists: health, refusals, trust, audit, statistics.

use proto::v1;

use super::{ENVELOPE, HOSTILE, ago};

/// A gateway that is well, with one closed gate.
pub fn status(role: &str) -> v1::GetStatusResponse {
    v1::GetStatusResponse {
        gateway: "gw-huyen-30".to_owned(),
        version: "0.1.0".to_owned(),
        directory_version: 42,
        directory_expires_at: ago(-60 * 24 * 20),
        envelopes: 1_048_576,
        waiting: 1_590,
        held: 15,
        log_size: 5_242_880,
        free_bytes: 412 * 1024 * 1024 * 1024,
        busy: false,
        busy_reason: String::new(),
        gates: vec![v1::GateState {
            destination: "gateway:gw-tinh".to_owned(),
            reason: "PEER_UNREACHABLE".to_owned(),
            since: ago(95),
            next_probe_at: ago(-1),
            detail: HOSTILE.to_owned(),
        }],
        accepted: 86_412,
        delivered: 84_807,
        started_at: ago(1_430),
        acknowledge_p99_milliseconds: 18.4,
        operator: "op-lan".to_owned(),
        role: role.to_owned(),
        workers: Vec::new(),
        accepted_per_minute: Some(61.5),
        delivered_per_minute: Some(60.0),
        backlog: vec![level("tỉnh", 1_500), level("", 90)],
        disk_lasts: Some(prost_types::Duration { seconds: 9 * 86_400, nanos: 0 }),
        evidence_gap: 37,
        directory_file: "/var/lib/liên thông/directory.last".to_owned(),
        directory_authority: "danh-ba+0a1b2c3d+AdV9/x=".to_owned(),
    }
}

fn level(level: &str, waiting: u64) -> v1::LevelBacklog {
    v1::LevelBacklog { level: level.to_owned(), waiting }
}

/// Two refusals.
pub fn refusals() -> v1::ListRefusalsResponse {
    let refusal = |reason: &str, field: &str| v1::RefusalRecord {
        at: ago(7),
        hop: "sys-commune-onestop".to_owned(),
        reason: reason.to_owned(),
        field: field.to_owned(),
        envelope_id: ENVELOPE.to_owned(),
    };
    v1::ListRefusalsResponse { refusals: vec![refusal("SIGNATURE_MISSING", ""), refusal("RECIPIENT_UNKNOWN", HOSTILE)] }
}

/// One of each kind; one has ended, one ends soon, one has no known end.
pub fn trust() -> v1::ListTrustResponse {
    use v1::TrustKind as K;
    let entry = |kind: K, agency: &str, name: &str, days: Option<i64>| v1::TrustEntry {
        kind: kind as i32,
        agency: agency.to_owned(),
        agency_name: if agency.is_empty() {
            String::new()
        } else {
            "Phòng Tài nguyên huyện (ví dụ)".to_owned()
        },
        name: name.to_owned(),
        sha256: vec![0xab; 32].into(),
        valid_from: ago(60 * 24 * 700),
        valid_until: days.and_then(|days| ago(-days * 24 * 60 - 1)),
        roles: if agency.is_empty() { Vec::new() } else { vec!["agency".to_owned(), "seal".to_owned()] },
    };
    v1::ListTrustResponse {
        entries: vec![
            entry(K::Signer, "h99.30.05", "CN=Phong Tai nguyen", Some(-2)),
            entry(K::RevocationList, "", "CN=Vi du CA", Some(3)),
            entry(K::Directory, "", "", Some(20)),
            entry(K::Tls, "", "CN=gw-huyen-30", Some(61)),
            entry(K::Intermediate, "", HOSTILE, Some(900)),
            entry(K::Anchor, "", "CN=Goc vi du", Some(5_000)),
            entry(K::Signer, "h99.30.07", "", None),
        ],
        cut: true,
    }
}

/// What two operators did.
pub fn audit() -> v1::ListAuditResponse {
    let done = |action: &str, operator: &str, note: &str, subject: &str, minutes: i64| {
        let envelope = |text: &str| if subject.is_empty() { text.to_owned() } else { String::new() };
        v1::AuditEntry {
            at: ago(minutes),
            operator: operator.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            sender: envelope("h99.30.01"),
            envelope_id: envelope(ENVELOPE),
            recipients: if subject.is_empty() { vec!["h99.21".to_owned()] } else { Vec::new() },
            note: note.to_owned(),
            leaf_index: 9_000,
            receipt: None,
            address: if action == "something-new" { String::new() } else { "10.20.0.7:50112".to_owned() },
        }
    };
    v1::ListAuditResponse {
        entries: vec![
            done("signed-in", "op-lan", "", "127.0.0.1:40000", 1),
            done("retried", "op-lan", HOSTILE, "", 2),
            done("paused", "op-minh", "bảo trì đêm", "agency:h99.40", 40),
            done("bulk-planned", "op-minh", "Trục huyện đã hoạt động lại", "b-20261122-1", 50),
            done("something-new", "op-minh", "", "x", 55),
        ],
        next_page_token: "bmV4dA".to_owned(),
    }
}

/// A half-year in a province; months when months are asked for.
pub fn statistics(request: &v1::GetStatisticsRequest) -> v1::GetStatisticsResponse {
    if request.agency == "none" {
        return v1::GetStatisticsResponse::default();
    }
    let row = |key: String, name: String, early: u64, on_time: u64, late: u64, in_work: u64| {
        let in_work_late = late / 3;
        let ended = on_time / 20;
        let received = early + on_time + late + in_work + in_work_late + ended;
        v1::StatisticsRow { key, name, received, early, on_time, late, in_work, in_work_late, ended }
    };
    let rows: Vec<v1::StatisticsRow> = (1..=30_u64)
        .map(|n| {
            let month = request.by == v1::StatisticsBy::Month as i32;
            let key =
                if month { format!("{}-{:02}", 2024 + (n - 1) / 12, (n - 1) % 12 + 1) } else { format!("h99.{n:02}") };
            let name = if month { String::new() } else { format!("Cơ quan ví dụ số {n} thuộc tỉnh") };
            row(key, name, 90 + n * n * 3, 40 + n * 11, (n * 7) % 23, (n * 13) % 41)
        })
        .collect();
    let sum = |count: fn(&v1::StatisticsRow) -> u64| rows.iter().map(count).sum();
    let total = v1::StatisticsRow {
        key: String::new(),
        name: String::new(),
        received: sum(|row| row.received),
        early: sum(|row| row.early),
        on_time: sum(|row| row.on_time),
        late: sum(|row| row.late),
        in_work: sum(|row| row.in_work),
        in_work_late: sum(|row| row.in_work_late),
        ended: sum(|row| row.ended),
    };
    v1::GetStatisticsResponse { rows, total: Some(total), as_of: ago(0) }
}
