//! Invented values of every kind that the door answers: a province, a district, a commune, and somebody who tries to inject.

use proto::v1;

mod case;
mod numbers;
mod running;

pub use case::timeline;
pub use numbers::{audit, refusals, statistics, status, trust};
pub use running::{adapters, bulk, bulks, incidents, peers, plan, pong, stuck};

/// The moment at which everything is looked at: 14:26:06 on 22 November 2026 in Vietnam.
pub const NOW: i64 = 1_795_332_366;
/// A file.
pub const FILE: &str = "H99.30.01-261120-0976";
/// An envelope.
pub const ENVELOPE: &str = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b";
/// A delivery.
pub const DELIVERY: &str = "5e7a0c1d2b3f4a5b6c7d8e9fa0b1c2d3";
/// The trace under which the file came in.
pub const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// What somebody wrote into a subject.
pub const HOSTILE: &str = "<script>alert('x')</script>\u{202e}\"><img src=x onerror=alert(1)>";

/// So many minutes before now.
pub fn ago(minutes: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: NOW - minutes * 60, nanos: 0 })
}

/// A page of deliveries in every state.
pub fn list(request: &v1::ListRequest) -> v1::ListResponse {
    if request.file_code == "không có" || request.document_code == "không có" {
        return v1::ListResponse::default();
    }
    use v1::DeliveryStatus as S;
    let rows = [
        (S::Waiting, "PEER_UNREACHABLE", "Hồ sơ đăng ký biến động đất đai, 12 trang"),
        (S::Held, "TRUST_CHANGED", HOSTILE),
        (S::Forwarded, "", "7816/VPCP-TTĐT"),
        (S::Delivered, "", "Báo cáo tình hình giải quyết thủ tục hành chính tháng 10"),
        (S::Refused, "ADAPTER_REFUSED", "Tờ khai lệ phí trước bạ nhà, đất"),
        (S::Expired, "DELIVERY_EXPIRED", "Giấy mời họp ban chỉ đạo"),
        (S::Returned, "RETURNED_BY_OPERATOR", "Công văn gửi nhầm nơi nhận"),
    ];
    let deliveries = rows.into_iter().enumerate().map(|(index, (status, reason, subject))| {
        let waits = matches!(status, S::Waiting);
        let state = v1::DeliveryState {
            recipient: "h99.21".to_owned(),
            status: status as i32,
            reason: reason.to_owned(),
            attempts: index as u32 * 3,
            next_attempt_at: if waits { ago(-4) } else { None },
            next_hop: "gw-huyen-30".to_owned(),
            since: ago(100),
            message: String::new(),
        };
        v1::DeliverySummary {
            delivery_id: format!("{index:032x}"),
            sender: "h99.30.01".to_owned(),
            envelope_id: ENVELOPE.to_owned(),
            file_code: if index % 2 == 0 { FILE.to_owned() } else { String::new() },
            accepted_at: ago(300 + index as i64 * 61),
            state: Some(state),
            subject: subject.to_owned(),
        }
    });
    v1::ListResponse { deliveries: deliveries.collect(), next_page_token: "bmV4dA+/=".to_owned() }
}
