//! How things run: what is stuck, incidents, peers, adapters, plans.

use proto::v1;
use v1::StuckCause as C;

use super::{DELIVERY, HOSTILE, ago};

/// One group of most causes.
pub fn stuck() -> v1::ListStuckResponse {
    let group =
        |id: &str, cause: C, reason: &str, destination: &str, agency: (&str, &str), count: u64, age: i64, left: i64| {
            let known = gateway_model::Reason::parse(reason);
            let language = gateway_model::language::Language::Vi;
            v1::StuckGroup {
                incident_id: id.to_owned(),
                cause: cause as i32,
                reason: reason.to_owned(),
                destination: destination.to_owned(),
                must_act: agency.0.to_owned(),
                must_act_name: agency.1.to_owned(),
                count,
                oldest: ago(age),
                since: ago(age + 3),
                deadline: ago(-left / 30),
                working_seconds_left: left,
                message: known.map_or_else(String::new, |reason| reason.message(language).to_owned()),
                next_step: known.map_or_else(String::new, |reason| reason.next_step(language).to_owned()),
                detail: if cause == C::AdapterError { HOSTILE.to_owned() } else { String::new() },
                delivery_ids: vec![DELIVERY.to_owned()],
            }
        };
    let land = ("h99.21", "Văn phòng Đăng ký đất đai tỉnh (ví dụ)");
    let tax = ("h99.40", "Chi cục Thuế khu vực (ví dụ)");
    let district = ("h99.30", "UBND huyện Sơn Hồ (ví dụ)");
    v1::ListStuckResponse {
        as_of: ago(0),
        groups: vec![
            group("a1", C::NotPickedUp, "NOT_PICKED_UP", "agency:h99.40", tax, 386, 9_600, -52_000),
            group("a2", C::PeerDown, "PEER_UNREACHABLE", "gateway:gw-huyen-30", district, 1_204, 95, 9_000),
            group("a3", C::AdapterError, "ADAPTER_FAILED", "agency:h99.21", land, 12, 61, 90_000),
            group("a4", C::Certificate, "CERTIFICATE_EXPIRED", "", ("h99.30.05", ""), 3, 40, 200_000),
        ],
        cut: false,
    }
}

/// One that lasts and one that has ended.
pub fn incidents() -> v1::ListIncidentsResponse {
    let incident = |id: &str, cause: C, reason: &str, opened: i64, closed: Option<i64>| v1::Incident {
        incident_id: id.to_owned(),
        cause: cause as i32,
        reason: reason.to_owned(),
        destination: "gateway:gw-huyen-30".to_owned(),
        must_act: "h99.30".to_owned(),
        opened_at: ago(opened),
        closed_at: closed.and_then(ago),
        count_max: 1_204,
    };
    v1::ListIncidentsResponse {
        incidents: vec![
            incident("a2", C::PeerDown, "PEER_UNREACHABLE", 98, None),
            incident("a0", C::AdapterError, "ADAPTER_UNAVAILABLE", 4_000, Some(3_940)),
        ],
    }
}

fn flow(up: bool, backlog: u64) -> Option<v1::Flow> {
    Some(v1::Flow {
        up,
        since: ago(95),
        reason: if up { String::new() } else { "PEER_UNREACHABLE".to_owned() },
        detail: if up { String::new() } else { HOSTILE.to_owned() },
        backlog,
        oldest: if backlog > 0 { ago(95) } else { None },
        last_success_at: ago(if up { 0 } else { 96 }),
        next_probe_at: if up { None } else { ago(-1) },
        paused: None,
        taken_per_minute: if up { 1_260 } else { 0 },
    })
}

/// One above that does not answer, two below of which one was not met yet.
pub fn peers() -> v1::ListPeersResponse {
    let peer = |gateway: &str, relation: &str, flow: Option<v1::Flow>| v1::PeerState {
        gateway: gateway.to_owned(),
        relation: relation.to_owned(),
        address: format!("https://{gateway}.example:7443"),
        version: flow.as_ref().map(|_| "0.9.1".to_owned()).unwrap_or_default(),
        certificate_expires_at: flow.as_ref().and_then(|_| ago(-41 * 24 * 60 - 1)),
        flow,
    };
    v1::ListPeersResponse {
        peers: vec![
            peer("gw-tinh", "parent", flow(false, 1_204)),
            peer("gw-xa-30-01", "child", flow(true, 0)),
            peer("gw-xa-30-02", "child", None),
        ],
    }
}

/// A healthy one with a paused agency, and a queue with a worker.
pub fn adapters() -> v1::ListAdaptersResponse {
    let paused =
        v1::PauseState { operator: "op-lan".to_owned(), reason: "bảo trì <đêm>".to_owned(), since: ago(30) };
    let agency = |id: &str, name: &str, flow: Option<v1::Flow>| v1::AgencyFlow {
        agency: id.to_owned(),
        name: name.to_owned(),
        flow,
    };
    let stopped = flow(true, 17).map(|flow| v1::Flow { paused: Some(paused.clone()), ..flow });
    v1::ListAdaptersResponse {
        adapters: vec![
            v1::AdapterState {
                name: "dms".to_owned(),
                kind: "edxml".to_owned(),
                healthy: true,
                detail: "hub 4.2, polls every 30 s".to_owned(),
                paused: None,
                agencies: vec![
                    agency("h99.30.05", "Phòng Tài nguyên huyện (ví dụ)", flow(true, 2)),
                    agency("h99.30.07", "Phòng Tư pháp huyện (ví dụ)", stopped),
                ],
                workers: Vec::new(),
                quarantined_count: 21,
                quarantined: vec![v1::Quarantined {
                    name: "goi-0042.edxml".to_owned(),
                    reason: "EDXML_DATE".to_owned(),
                    detail: HOSTILE.to_owned(),
                    since: ago(1_800),
                }],
            },
            v1::AdapterState {
                name: "thue".to_owned(),
                kind: "worker".to_owned(),
                healthy: false,
                detail: String::new(),
                paused: Some(paused),
                agencies: vec![agency("h99.40", "Chi cục Thuế khu vực (ví dụ)", flow(false, 386))],
                workers: vec![v1::WorkerState {
                    instance: "thue-1".to_owned(),
                    version: "1.4.0".to_owned(),
                    system: "sys-thue".to_owned(),
                    last_poll_at: ago(9_600),
                    leases: 1,
                    queue: "thue".to_owned(),
                    name: "thue-adapter".to_owned(),
                    registered_at: ago(9_900),
                    heard_at: ago(9_590),
                    draining: true,
                    problems: vec![HOSTILE.to_owned()],
                }],
                ..Default::default()
            },
        ],
    }
}

/// It answered.
pub fn pong(request: &v1::PingPeerRequest) -> v1::PingPeerResponse {
    v1::PingPeerResponse {
        gateway: request.gateway.clone(),
        version: "0.1.0".to_owned(),
        directory_version: 42,
        milliseconds: 3.25,
    }
}

/// A plan by op-minh that needs a second person.
pub fn plan() -> v1::BulkPlan {
    v1::BulkPlan {
        bulk_id: "b-20261122-1".to_owned(),
        action: v1::BulkAction::Retry as i32,
        reason: "Trục huyện đã hoạt động lại".to_owned(),
        planned_by: "op-minh".to_owned(),
        planned_at: ago(12),
        count: 1_204,
        sample: (0..10).map(|n| format!("{n:032x}")).collect(),
        status: v1::BulkStatus::Planned as i32,
        approved_by: String::new(),
        needs_approval: true,
        tried: 0,
        moved: 0,
        cut: false,
    }
}

/// The plan, or one that runs, or one that has ended.
pub fn bulk(id: &str) -> v1::GetBulkResponse {
    let plan = match id {
        "running" => v1::BulkPlan {
            status: v1::BulkStatus::Running as i32,
            approved_by: "op-lan".to_owned(),
            tried: 700,
            moved: 690,
            ..plan()
        },
        "mine" => v1::BulkPlan { planned_by: "op-lan".to_owned(), ..plan() },
        _ => plan(),
    };
    let failures = vec![v1::BulkFailure { delivery_id: DELIVERY.to_owned(), reason: "STATE_NOT_ALLOWED".to_owned() }];
    let failures = if plan.tried > 0 { failures } else { Vec::new() };
    v1::GetBulkResponse { plan: Some(v1::BulkPlan { bulk_id: id.to_owned(), ..plan }), failures }
}

/// Two plans.
pub fn bulks() -> v1::ListBulksResponse {
    v1::ListBulksResponse { plans: ["running", "b-20261122-1"].into_iter().filter_map(|id| bulk(id).plan).collect() }
}
