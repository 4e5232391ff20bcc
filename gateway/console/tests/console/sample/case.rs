//! A land file on its way: commune, district, province; who held it, what machines did, what agencies said.

use prost::Message as _;
use proto::v1;
use v1::EventKind as K;

use super::{DELIVERY, ENVELOPE, FILE, HOSTILE, TRACE, ago};

const STATUS_ENVELOPE: &str = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a99";

/// Everything about the file; nothing about any other.
pub fn timeline(request: &v1::TimelineRequest) -> v1::TimelineResponse {
    if !request.file_code.is_empty() && request.file_code != FILE {
        return v1::TimelineResponse::default();
    }
    v1::TimelineResponse {
        envelopes: vec![dossier(), as_the_commune_knows_it(), status()],
        entries: events(),
        cut: false,
        sources: vec![source("gw-xa-30-01", true), source("gw-huyen-30", true), source("gw-tinh", false)],
        custody: Some(custody()),
    }
}

fn dossier() -> v1::EnvelopeSummary {
    let delivery = |recipient: &str, status: v1::DeliveryStatus, reason: &str, hop: &str| v1::DeliveryState {
        recipient: recipient.to_owned(),
        status: status as i32,
        reason: reason.to_owned(),
        attempts: 7,
        next_attempt_at: if status == v1::DeliveryStatus::Waiting { ago(-3) } else { None },
        next_hop: hop.to_owned(),
        since: ago(95),
        message: String::new(),
    };
    v1::EnvelopeSummary {
        sender: "h99.30.01".to_owned(),
        envelope_id: ENVELOPE.to_owned(),
        file_code: FILE.to_owned(),
        subject: HOSTILE.to_owned(),
        accepted_at: ago(2_900),
        deliveries: vec![
            delivery("h99.21", v1::DeliveryStatus::Waiting, "PEER_UNREACHABLE", "gw-tinh"),
            delivery("h99.40", v1::DeliveryStatus::Held, "ROUTE_MISSING", ""),
            delivery("h99.30.05", v1::DeliveryStatus::Delivered, "", "dms"),
        ],
        kind: "dossier".to_owned(),
        code: String::new(),
        delivery_ids: vec![DELIVERY.to_owned(), DELIVERY.replace('5', "6"), DELIVERY.replace('5', "7")],
        gateway: "gw-huyen-30".to_owned(),
        procedure_code: "1.012783".to_owned(),
        step: "thẩm định".to_owned(),
        due_on: "2026-11-20".to_owned(),
        made_at: ago(2_912),
        trace_id: TRACE.to_owned(),
        ..Default::default()
    }
}

/// The same envelope as another gateway told of it: what it forwarded is no longer its own to act on.
fn as_the_commune_knows_it() -> v1::EnvelopeSummary {
    let forwarded = v1::DeliveryState {
        recipient: "h99.21".to_owned(),
        status: v1::DeliveryStatus::Forwarded as i32,
        next_hop: "gw-huyen-30".to_owned(),
        since: ago(2_899),
        attempts: 1,
        ..Default::default()
    };
    v1::EnvelopeSummary {
        gateway: "gw-xa-30-01".to_owned(),
        accepted_at: ago(2_910),
        deliveries: vec![forwarded],
        delivery_ids: vec![DELIVERY.to_owned()],
        ..dossier()
    }
}

fn status() -> v1::EnvelopeSummary {
    v1::EnvelopeSummary {
        sender: "h99.30.05".to_owned(),
        envelope_id: STATUS_ENVELOPE.to_owned(),
        file_code: FILE.to_owned(),
        subject: "Đã phân công chuyên viên".to_owned(),
        accepted_at: ago(1_300),
        kind: "status".to_owned(),
        code: "04".to_owned(),
        gateway: "gw-huyen-30".to_owned(),
        said_at: ago(1_310),
        ..Default::default()
    }
}

fn events() -> Vec<v1::TimelineEntry> {
    let xa = "gw-xa-30-01";
    let huyen = "gw-huyen-30";
    [
        (K::Accepted, xa, "sys-commune-onestop", ENVELOPE, "", 2_910, false),
        (K::Accepted, huyen, xa, ENVELOPE, "", 2_900, true),
        (K::Forwarded, xa, huyen, ENVELOPE, "", 2_899, false),
        (K::Delivered, huyen, "dms", ENVELOPE, "", 2_880, true),
        (K::Recorded, xa, huyen, ENVELOPE, "", 2_870, false),
        (K::Held, huyen, "", ENVELOPE, "ROUTE_MISSING", 2_860, true),
        (K::Accepted, huyen, "dms", STATUS_ENVELOPE, "", 1_300, true),
        (K::Accepted, xa, huyen, STATUS_ENVELOPE, "", 1_299, false),
        (K::Forwarded, huyen, xa, STATUS_ENVELOPE, "", 1_298, true),
        (K::Delivered, xa, "onestop", STATUS_ENVELOPE, "", 1_297, false),
        (K::Retried, huyen, "op-lan", ENVELOPE, "", 60, true),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (kind, gateway, counterpart, envelope, reason, minutes, local))| {
        let event = v1::Event {
            schema: "lienthong.event.v1".to_owned(),
            kind: kind as i32,
            gateway: gateway.to_owned(),
            at: ago(minutes),
            sender: if envelope == ENVELOPE { "h99.30.01" } else { "h99.30.05" }.to_owned(),
            envelope_id: envelope.to_owned(),
            envelope_sha256: vec![index as u8; 32].into(),
            recipients: vec!["h99.21".to_owned()],
            reason: reason.to_owned(),
            counterpart: counterpart.to_owned(),
            attempt: u32::from(kind == K::Delivered),
            note: if kind == K::Retried { HOSTILE.to_owned() } else { String::new() },
            ..Default::default()
        };
        let receipt =
            v1::Receipt { event: event.encode_to_vec().into(), leaf_index: 4_000 + index as u64, ..Default::default() };
        v1::TimelineEntry { receipt: Some(receipt), local }
    })
    .collect()
}

fn source(gateway: &str, answered: bool) -> v1::TimelineSource {
    v1::TimelineSource {
        gateway: gateway.to_owned(),
        answered,
        reason: if answered { String::new() } else { "PEER_UNREACHABLE".to_owned() },
        detail: if answered { String::new() } else { "connect to 10.9.0.3:7443: timed out".to_owned() },
    }
}

fn custody() -> v1::CaseCustody {
    v1::CaseCustody {
        file_code: FILE.to_owned(),
        procedure_code: "1.012783".to_owned(),
        procedure_name: "Cấp đổi giấy chứng nhận quyền sử dụng đất".to_owned(),
        procedure_version: "2026-07".to_owned(),
        received_at: ago(2_950),
        due_at: ago(180),
        finished_at: None,
        standing: v1::CaseStanding::InWorkLate as i32,
        working_seconds_used: 61_200,
        working_seconds_left: -10_800,
        holdings: holdings(),
        pauses: vec![v1::CasePause {
            agency: "h99.30.05".to_owned(),
            since: ago(2_000),
            until: ago(1_600),
            code: "YeuCauBoSungHoSo".to_owned(),
        }],
        calendar: "vn-2026@3".to_owned(),
        business_status: "04".to_owned(),
        business_status_by: "h99.30.05".to_owned(),
    }
}

/// Commune, district, province: the district used the time.
fn holdings() -> Vec<v1::Holding> {
    use v1::CaseStanding as S;
    let agencies = [
        ("h99.30.01", "UBND xã Mường Lạn (ví dụ)", "tiếp nhận"),
        ("h99.30.05", "Phòng Tài nguyên huyện (ví dụ)", "thẩm định"),
        ("h99.21", "Văn phòng Đăng ký đất đai tỉnh (ví dụ)", ""),
    ];
    let times = [(2_950, Some(2_900)), (2_895, Some(1_300)), (1_295, None)];
    let worked = [(3_000, 7_200, S::Early), (43_200, 14_400, S::Late), (15_000, 0, S::InWorkLate)];
    let mut from = String::new();
    let mut holdings = Vec::new();
    for (((agency, name, step), (since, until)), (used, allowed, standing)) in
        agencies.into_iter().zip(times).zip(worked)
    {
        holdings.push(v1::Holding {
            agency: agency.to_owned(),
            agency_name: name.to_owned(),
            working_seconds_on_the_way: if from.is_empty() { 0 } else { 95 },
            from: std::mem::replace(&mut from, agency.to_owned()),
            step: step.to_owned(),
            since: ago(since),
            until: until.and_then(ago),
            due_at: ago(since - 600),
            working_seconds_used: used,
            working_seconds_allowed: allowed,
            standing: standing as i32,
        });
    }
    holdings
}
