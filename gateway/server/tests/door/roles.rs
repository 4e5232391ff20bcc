//! Who may do what at the door of operators: a viewer sees, an operator moves, and where two persons are asked for nobody moves many alone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use gateway_evidence::{Act, Checkpoint, Receipt, merkle};
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::gateway::{Running, Site};
use crate::{SYSTEM, reason, submission};

const VIEWER: &str = "operator-viewer";
const OPERATOR: &str = "operator-an";
const OFFICER: &str = "trust-officer-binh";

/// Nobody's delivery, envelope and plan.
const NO_DELIVERY: &str = "00000000000000000000000000000000";
const NO_ENVELOPE: &str = "01a20243-0000-7000-8000-000000000000";
const NO_PLAN: &str = "000000000000000000000000";

type Client = OperateServiceClient<Channel>;
/// One call of a method, about this delivery where it is about one.
type Call = fn(Client, String) -> BoxFuture<'static, Result<(), Status>>;

/// What moves something or reads content, and why it is refused to those who may when there is no such thing.
const ACTS: [(&str, &str, Call); 12] = [
    ("Retry", "NOT_FOUND", |mut client, delivery_id| {
        Box::pin(async move { client.retry(v1::RetryRequest { delivery_id, reason: why() }).await.map(drop) })
    }),
    ("Hold", "NOT_FOUND", |mut client, delivery_id| {
        Box::pin(async move { client.hold(v1::HoldRequest { delivery_id, reason: why() }).await.map(drop) })
    }),
    ("Release", "NOT_FOUND", |mut client, delivery_id| {
        Box::pin(async move { client.release(v1::ReleaseRequest { delivery_id, reason: why() }).await.map(drop) })
    }),
    ("ReturnToSender", "NOT_FOUND", |mut client, delivery_id| {
        let request = v1::ReturnToSenderRequest { delivery_id, reason: why() };
        Box::pin(async move { client.return_to_sender(request).await.map(drop) })
    }),
    ("Reroute", "NOT_FOUND", |mut client, delivery_id| {
        let request = v1::RerouteRequest { delivery_id, reason: why(), via: "gw-district".to_owned() };
        Box::pin(async move { client.reroute(request).await.map(drop) })
    }),
    ("Export", "NOT_FOUND", |mut client, _| {
        let (sender, envelope_id) = (String::new(), NO_ENVELOPE.to_owned());
        let request = v1::ExportRequest { sender, envelope_id, reason: why() };
        Box::pin(async move { client.export(request).await.map(drop) })
    }),
    ("Pause", "NOT_FOUND", |mut client, _| {
        let request = v1::PauseRequest { destination: "agency:nobody".to_owned(), reason: why() };
        Box::pin(async move { client.pause(request).await.map(drop) })
    }),
    ("Resume", "STATE_NOT_ALLOWED", |mut client, _| {
        let request = v1::ResumeRequest { destination: "gateway:gw-district".to_owned(), reason: why() };
        Box::pin(async move { client.resume(request).await.map(drop) })
    }),
    ("PlanBulk", "NOT_FOUND", |mut client, _| {
        Box::pin(async move { client.plan_bulk(many(v1::DeliveryStatus::Expired)).await.map(drop) })
    }),
    ("ApproveBulk", "NOT_FOUND", |mut client, _| {
        Box::pin(
            async move { client.approve_bulk(v1::ApproveBulkRequest { bulk_id: NO_PLAN.to_owned() }).await.map(drop) },
        )
    }),
    ("RunBulk", "NOT_FOUND", |mut client, _| {
        Box::pin(async move { client.run_bulk(v1::RunBulkRequest { bulk_id: NO_PLAN.to_owned() }).await.map(drop) })
    }),
    ("StopBulk", "NOT_FOUND", |mut client, _| {
        Box::pin(async move { client.stop_bulk(v1::StopBulkRequest { bulk_id: NO_PLAN.to_owned() }).await.map(drop) })
    }),
];

/// What only looks.
const SIGHTS: [(&str, Call); 15] = [
    ("List", |mut client, _| Box::pin(async move { client.list(v1::ListRequest::default()).await.map(drop) })),
    ("Timeline", |mut client, _| {
        let request = v1::TimelineRequest { envelope_id: NO_ENVELOPE.to_owned(), ..v1::TimelineRequest::default() };
        Box::pin(async move { client.timeline(request).await.map(drop) })
    }),
    ("ListStuck", |mut client, _| {
        Box::pin(async move { client.list_stuck(v1::ListStuckRequest::default()).await.map(drop) })
    }),
    ("ListIncidents", |mut client, _| {
        Box::pin(async move { client.list_incidents(v1::ListIncidentsRequest::default()).await.map(drop) })
    }),
    ("ListPeers", |mut client, _| {
        Box::pin(async move { client.list_peers(v1::ListPeersRequest::default()).await.map(drop) })
    }),
    ("ListAdapters", |mut client, _| {
        Box::pin(async move { client.list_adapters(v1::ListAdaptersRequest::default()).await.map(drop) })
    }),
    ("PingPeer", |mut client, _| {
        Box::pin(
            async move { client.ping_peer(v1::PingPeerRequest { gateway: "gw-district".to_owned() }).await.map(drop) },
        )
    }),
    ("ListTrust", |mut client, _| {
        Box::pin(async move { client.list_trust(v1::ListTrustRequest::default()).await.map(drop) })
    }),
    ("GetBulk", |mut client, _| {
        Box::pin(async move { client.get_bulk(v1::GetBulkRequest { bulk_id: NO_PLAN.to_owned() }).await.map(drop) })
    }),
    ("ListBulks", |mut client, _| {
        Box::pin(async move { client.list_bulks(v1::ListBulksRequest::default()).await.map(drop) })
    }),
    ("ListAudit", |mut client, _| {
        Box::pin(async move { client.list_audit(v1::ListAuditRequest::default()).await.map(drop) })
    }),
    ("GetStatistics", |mut client, _| {
        Box::pin(async move { client.get_statistics(v1::GetStatisticsRequest::default()).await.map(drop) })
    }),
    ("CreateConsoleLink", |mut client, _| {
        Box::pin(async move { client.create_console_link(v1::CreateConsoleLinkRequest::default()).await.map(drop) })
    }),
    ("GetStatus", |mut client, _| {
        Box::pin(async move { client.get_status(v1::GetStatusRequest::default()).await.map(drop) })
    }),
    ("ListRefusals", |mut client, _| {
        Box::pin(async move { client.list_refusals(v1::ListRefusalsRequest::default()).await.map(drop) })
    }),
];

fn why() -> String {
    "gửi nhầm nơi".to_owned()
}

/// A plan to return everything with this status.
fn many(status: v1::DeliveryStatus) -> v1::PlanBulkRequest {
    let filter = v1::ListRequest { statuses: vec![status.into()], ..v1::ListRequest::default() };
    v1::PlanBulkRequest { action: v1::BulkAction::Return.into(), reason: why(), filter: Some(filter) }
}

fn as_who(site: &Site, running: &Running, who: &str) -> Client {
    OperateServiceClient::new(site.channel(running, who))
}

/// Submits so many envelopes that have no way from here. Gives them once they are held: nothing moves them then but a person.
async fn submit_held(site: &Site, running: &Running, count: usize) -> Vec<v1::DeliverySummary> {
    let mut system = SubmitServiceClient::new(site.channel(running, SYSTEM));
    for _ in 0..count {
        system.submit(submission(site.envelope("h99", &[]).1)).await.unwrap();
    }
    let mut viewer = as_who(site, running, VIEWER);
    let held = async {
        loop {
            let held = with_status(&mut viewer, v1::DeliveryStatus::Held).await;
            if held.len() == count {
                return held;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), held).await.unwrap()
}

async fn with_status(client: &mut Client, status: v1::DeliveryStatus) -> Vec<v1::DeliverySummary> {
    let request = v1::ListRequest { statuses: vec![status.into()], ..v1::ListRequest::default() };
    client.list(request).await.unwrap().into_inner().deliveries
}

async fn audit(client: &mut Client) -> Vec<v1::AuditEntry> {
    client.list_audit(v1::ListAuditRequest::default()).await.unwrap().into_inner().entries
}

fn refused(answer: Result<(), Status>) -> (Code, String) {
    answer.map_or_else(|status| (status.code(), reason(&status)), |()| (Code::Ok, String::new()))
}

fn turned_away() -> (Code, String) {
    (Code::PermissionDenied, "OPERATOR_NOT_AUTHORIZED".to_owned())
}

#[test]
fn every_method_of_operators_is_known_to_see_or_to_act() {
    let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
    let services = set.file.iter().flat_map(|file| &file.service);
    let methods = services.filter(|service| service.name() == "OperateService").flat_map(|service| &service.method);
    let methods: BTreeSet<&str> = methods.map(|method| method.name()).collect();
    let known: BTreeSet<&str> = ACTS.iter().map(|act| act.0).chain(SIGHTS.iter().map(|sight| sight.0)).collect();
    assert_eq!(methods, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_everything_and_moves_nothing_and_others_than_operators_not_even_see() {
    let site = Site::new();
    let running = site.start().await;
    let held = submit_held(&site, &running, 1).await;
    let mut viewer = as_who(&site, &running, VIEWER);
    let id = &held[0].delivery_id;
    for (name, call) in SIGHTS {
        let (code, reason) = refused(call(viewer.clone(), String::new()).await);
        assert_ne!(code, Code::PermissionDenied, "{name}: {reason}");
    }
    for who in [VIEWER, SYSTEM, "gw-district"] {
        let client = as_who(&site, &running, who);
        for (name, _, call) in ACTS {
            assert_eq!(refused(call(client.clone(), id.clone()).await), turned_away(), "{who}: {name}");
        }
        for (name, call) in SIGHTS.into_iter().filter(|_| who != VIEWER) {
            assert_eq!(refused(call(client.clone(), String::new()).await), turned_away(), "{who}: {name}");
        }
    }
    assert_eq!(with_status(&mut viewer, v1::DeliveryStatus::Held).await, held, "nothing has moved");
    assert!(audit(&mut viewer).await.is_empty(), "and nothing was done");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_trust_officers_may_act_and_are_refused_only_for_what_is_not_there() {
    let site = Site::new();
    let running = site.start().await;
    for who in [OPERATOR, OFFICER] {
        let client = as_who(&site, &running, who);
        for (name, expected, call) in ACTS {
            let (_, reason) = refused(call(client.clone(), NO_DELIVERY.to_owned()).await);
            assert_eq!(reason, expected, "{who}: {name}");
        }
        let delivery_id = submit_held(&site, &running, 1).await.remove(0).delivery_id;
        let mut client = client;
        let request = v1::ReturnToSenderRequest { delivery_id, reason: why() };
        let state = client.return_to_sender(request).await.unwrap().into_inner().state.unwrap();
        assert_eq!(state.status(), v1::DeliveryStatus::Returned);
        let entry = audit(&mut client).await.remove(0);
        assert_eq!((entry.operator.as_str(), entry.action.as_str(), entry.note), (who, "returned", why()));
        let event = site.verify(entry.receipt.unwrap());
        assert_eq!((event.counterpart.as_str(), event.note), (who, why()));
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_those_of_the_directory_in_force_also_on_the_open_connection() {
    let site = Site::new();
    let running = site.start().await;
    let [mut viewer, mut operator] = [VIEWER, OPERATOR].map(|who| as_who(&site, &running, who));
    let retry = || v1::RetryRequest { delivery_id: NO_DELIVERY.to_owned(), reason: why() };
    assert_eq!(refused(viewer.retry(retry()).await.map(drop)), turned_away());
    assert_eq!(reason(&operator.retry(retry()).await.unwrap_err()), "NOT_FOUND");

    let text = std::fs::read_to_string(&site.province.agencies_toml).unwrap();
    let elsewhere = format!("id = \"{OPERATOR}\"\ngateways = [\"gw-district\"]");
    let changed = text.replace("role = \"viewer\"", "role = \"operator\"");
    let changed = changed.replace(&format!("id = \"{OPERATOR}\""), &elsewhere);
    assert!(changed.contains(&elsewhere) && !changed.contains("role = \"viewer\""), "{changed}");
    std::fs::write(&site.province.agencies_toml, changed).unwrap();
    let mut changes = running.engine.trust().changes();
    changes.mark_unchanged();
    site.issue(2);
    tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();

    assert_eq!(reason(&viewer.retry(retry()).await.unwrap_err()), "NOT_FOUND", "who was a viewer acts now");
    assert_eq!(refused(operator.retry(retry()).await.map(drop)), turned_away(), "who acts elsewhere does not here");
    assert_eq!(refused(operator.list(v1::ListRequest::default()).await.map(drop)), turned_away());
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_persons_are_asked_for_nobody_moves_many_alone() {
    let site = Site::new().with("[operate]\ntwo_persons_for_bulk = true\n");
    let running = site.start().await;
    submit_held(&site, &running, 3).await;
    let [mut viewer, mut first, mut second] = [VIEWER, OPERATOR, OFFICER].map(|who| as_who(&site, &running, who));
    let plan = first.plan_bulk(many(v1::DeliveryStatus::Held)).await.unwrap().into_inner().plan.unwrap();
    assert_eq!((plan.count, plan.needs_approval, plan.planned_by.as_str()), (3, true, OPERATOR));
    let run = || v1::RunBulkRequest { bulk_id: plan.bulk_id.clone() };
    let approve = || v1::ApproveBulkRequest { bulk_id: plan.bulk_id.clone() };
    for alone in [&mut first, &mut second] {
        assert_eq!(reason(&alone.run_bulk(run()).await.unwrap_err()), "SECOND_PERSON_NEEDED");
    }
    assert_eq!(reason(&first.approve_bulk(approve()).await.unwrap_err()), "STATE_NOT_ALLOWED", "one's own plan");
    assert_eq!(refused(viewer.approve_bulk(approve()).await.map(drop)), turned_away());
    assert_eq!(reason(&first.run_bulk(run()).await.unwrap_err()), "SECOND_PERSON_NEEDED");
    assert_eq!(with_status(&mut viewer, v1::DeliveryStatus::Held).await.len(), 3, "nothing has moved");

    let approved = second.approve_bulk(approve()).await.unwrap().into_inner().plan.unwrap();
    assert_eq!((approved.needs_approval, approved.approved_by.as_str(), approved.moved), (false, OFFICER, 0));
    first.run_bulk(run()).await.unwrap();
    let ended = async {
        loop {
            let asked = v1::GetBulkRequest { bulk_id: plan.bulk_id.clone() };
            let plan = viewer.get_bulk(asked).await.unwrap().into_inner().plan.unwrap();
            if plan.status() != v1::BulkStatus::Running {
                return plan;
            }
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!((ended.status(), ended.tried, ended.moved), (v1::BulkStatus::Done, 3, 3));
    assert_eq!(with_status(&mut viewer, v1::DeliveryStatus::Returned).await.len(), 3);

    let entries = audit(&mut viewer).await;
    assert!(entries.iter().all(|entry| entry.note == why()), "{entries:#?}");
    let acts: Vec<_> = entries.iter().filter(|entry| !entry.subject.is_empty()).map(|act| proven(&site, act)).collect();
    let acts: Vec<_> = acts.iter().map(|act| (act.kind.as_str(), act.operator.as_str())).collect();
    assert_eq!(acts, [("bulk-started", OPERATOR), ("bulk-approved", OFFICER), ("bulk-planned", OPERATOR)]);
    running.stop().await.unwrap();
}

/// The act that the receipt of an audit entry proves to be in the gateway's log; the entry says the same.
fn proven(site: &Site, entry: &v1::AuditEntry) -> Act {
    let receipt = Receipt::from_wire(entry.receipt.clone().unwrap()).unwrap();
    let act = Act::decode(&receipt.event).unwrap();
    let gateway = site.province.gateway(&act.gateway).unwrap();
    let keys = std::slice::from_ref(&gateway.log_verifier);
    let checkpoint = Checkpoint::open(&receipt.checkpoint, act.gateway.as_str(), keys).unwrap();
    let (index, leaf) = (receipt.leaf_index, receipt.leaf_hash());
    merkle::verify_inclusion(index, checkpoint.size, &leaf, &receipt.proof, &checkpoint.root).unwrap();
    let told = (entry.leaf_index, entry.action.as_str(), entry.operator.as_str(), &entry.subject, &entry.note);
    assert_eq!(told, (index, act.kind.as_str(), act.operator.as_str(), &act.subject, &act.note));
    act
}
