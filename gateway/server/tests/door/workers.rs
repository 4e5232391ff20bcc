//! The door of the workers, from outside: leases, their ends, and who may do what.

use std::time::Duration;

use gateway_evidence::EventKind;
use gateway_model::Reason;
use proto::v1;
use proto::v1::adapter_service_client::AdapterServiceClient;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::gateway::{Running, Site, digest};
use crate::{LAND_OFFICE, SYSTEM, reason, submission, upload};

mod seen;

const LAND_SYSTEM: &str = "sys-land-office";
const QUEUES: &str = "[[adapter]]\nname = \"land\"\nkind = \"worker\"\nagencies = [\"h99.21\"]\nsystem = \"sys-land-office\"\nlease = \"60s\"\n\
                      [[adapter]]\nname = \"dms\"\nkind = \"worker\"\nagencies = [\"h99.12\"]\nsystem = \"sys-province-dms\"\n";

/// Seconds of the shortest lease that a queue may have.
const SHORT_LEASE: i64 = 10;

/// A worker process, as the gateway sees it.
struct Worker {
    client: AdapterServiceClient<Channel>,
    id: String,
}

fn site() -> Site {
    let mut site = Site::new();
    site.extra = QUEUES.to_owned();
    site
}

/// Where leases run out soon; everywhere else a slow machine has time.
fn site_of_short_leases() -> Site {
    let mut site = site();
    site.extra = QUEUES.replace("60s", &format!("{SHORT_LEASE}s"));
    site
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn held(delivery: &v1::LeasedDelivery) -> v1::LeaseReference {
    v1::LeaseReference { delivery_id: delivery.delivery_id.clone(), lease_token: delivery.lease_token.clone() }
}

fn registration(queue: &str) -> v1::RegisterRequest {
    let info = v1::AdapterInfo {
        name: "thu-nghiem".to_owned(),
        version: "1".to_owned(),
        protocol_versions: vec![1],
        ..v1::AdapterInfo::default()
    };
    v1::RegisterRequest {
        queue: queue.to_owned(),
        info: Some(info),
        instance: "may-1:42".to_owned(),
        problems: Vec::new(),
    }
}

impl Worker {
    async fn register(site: &Site, running: &Running) -> Self {
        let mut client = AdapterServiceClient::new(site.channel(running, LAND_SYSTEM));
        let registered = client.register(registration("land")).await.unwrap().into_inner();
        let lease = if site.extra == QUEUES { 60 } else { SHORT_LEASE };
        assert!(registered.heartbeat_every.unwrap().seconds * 2 < lease, "often enough for the lease");
        Self { client, id: registered.worker_id }
    }

    async fn try_lease(&mut self, deliveries_max: u32, wait: i64) -> Result<Vec<v1::LeasedDelivery>, Status> {
        let request = v1::LeaseRequest { worker_id: self.id.clone(), deliveries_max, wait: seconds(wait) };
        self.client.lease(request).await.map(|answer| answer.into_inner().deliveries)
    }

    /// The next delivery.
    async fn lease(&mut self) -> v1::LeasedDelivery {
        let mut deliveries = self.try_lease(1, 40).await.unwrap();
        assert_eq!(deliveries.len(), 1, "one came in time");
        deliveries.remove(0)
    }

    async fn complete(&mut self, delivery: &v1::LeasedDelivery) -> v1::CompleteResponse {
        let (worker_id, lease) = (self.id.clone(), Some(held(delivery)));
        let request = v1::CompleteRequest { worker_id, lease, reference: "SO-77".to_owned() };
        self.client.complete(request).await.unwrap().into_inner()
    }

    async fn fail(&mut self, delivery: &v1::LeasedDelivery, retryable: bool) -> v1::FailResponse {
        let request = v1::FailRequest {
            worker_id: self.id.clone(),
            lease: Some(held(delivery)),
            code: "DMS_BUSY".to_owned(),
            detail: "đang bận".to_owned(),
            retryable,
            retry_after: retryable.then(|| seconds(1)).flatten(),
            system_down: false,
        };
        self.client.fail(request).await.unwrap().into_inner()
    }

    async fn heartbeat(&mut self, leases: &[&v1::LeasedDelivery]) -> v1::HeartbeatResponse {
        let leases = leases.iter().map(|delivery| held(delivery)).collect();
        let request = v1::HeartbeatRequest { worker_id: self.id.clone(), leases, health: None };
        self.client.heartbeat(request).await.unwrap().into_inner()
    }

    async fn report(&mut self, state: v1::SystemState, phase: v1::WorkerPhase) {
        let health = Some(v1::SystemHealth { state: state.into(), detail: "bảo trì".to_owned() });
        let request = v1::ReportStatusRequest { worker_id: self.id.clone(), health, phase: phase.into() };
        self.client.report_status(request).await.unwrap();
    }
}

/// Sends an envelope to the land office and gives its id.
async fn send(site: &Site, running: &Running, parts: &[&[u8]]) -> (String, v1::SignedEnvelope) {
    let mut client = SubmitServiceClient::new(site.channel(running, SYSTEM));
    for part in parts {
        client.upload_part(upload(part)).await.unwrap();
    }
    let (id, envelope) = site.envelope(LAND_OFFICE, parts);
    client.submit(submission(envelope.clone())).await.unwrap();
    (id, envelope)
}

/// The events of an envelope that are proven by receipts.
async fn story(site: &Site, running: &Running, id: &str) -> Vec<gateway_evidence::Event> {
    let mut client = SubmitServiceClient::new(site.channel(running, SYSTEM));
    let named = v1::GetReceiptRequest { sender: "h99.12".to_owned(), envelope_id: id.to_owned() };
    let receipts = client.get_receipt(named).await.unwrap().into_inner().receipts;
    receipts.into_iter().map(|receipt| site.verify(receipt)).collect()
}

async fn tracked(site: &Site, running: &Running, id: &str) -> v1::DeliveryState {
    let mut client = SubmitServiceClient::new(site.channel(running, SYSTEM));
    let named = v1::TrackRequest { sender: "h99.12".to_owned(), envelope_id: id.to_owned() };
    client.track(named).await.unwrap().into_inner().deliveries.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_a_delivery_completes_it_and_the_sender_gets_its_receipt() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    let info = worker.client.get_info(v1::GetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.gateway.as_str(), info.protocol_versions, info.queues.len()), ("gw-province", vec![1], 1));
    assert_eq!((info.queues[0].queue.as_str(), &info.queues[0].agencies[..]), ("land", &["h99.21".to_owned()][..]));
    let (id, envelope) = send(&site, &running, &[]).await;

    let taken = worker.lease().await;
    assert_eq!(taken.envelope.as_ref(), Some(&envelope), "byte for byte as it was signed");
    assert_eq!((taken.sender.as_str(), taken.recipient.as_str(), taken.attempt), ("h99.12", "h99.21", 1));
    let seal = &site.province.agency(&site.province.cast.department).unwrap().seal.credential;
    assert_eq!(taken.signers.len(), 1);
    assert_eq!(taken.signers[0].certificate_sha256, digest(&seal.certificate_der));
    assert_eq!(taken.signers[0].role(), v1::SignatureRole::Agency);
    assert_eq!(site.verify(taken.receipt.clone().unwrap()).kind, EventKind::Accepted);
    assert_eq!(taken.hops, ["gw-province"]);
    assert!((SHORT_LEASE..=60).contains(&taken.lease_remaining.unwrap().seconds));

    let completed = worker.complete(&taken).await;
    assert!(completed.settled);
    assert_eq!(completed.state.unwrap().status(), v1::DeliveryStatus::Delivered);
    let kinds: Vec<EventKind> = story(&site, &running, &id).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Accepted, EventKind::Delivered], "durable before the answer");

    let again = worker.complete(&taken).await;
    assert!(!again.settled, "only one call settles");
    assert_eq!(again.state.unwrap().status(), v1::DeliveryStatus::Delivered);
    let late = worker.fail(&taken, false).await;
    assert!(!late.settled);
    assert_eq!(late.state.unwrap().status(), v1::DeliveryStatus::Delivered, "what is done stays done");
    assert!(!worker.heartbeat(&[&taken]).await.leases[0].held);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_again_under_the_same_id_and_a_refusal_is_final() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    let (id, _) = send(&site, &running, &[]).await;
    let first = worker.lease().await;
    let failed = worker.fail(&first, true).await;
    let state = failed.state.unwrap();
    assert!(failed.settled);
    assert_eq!((state.status(), state.reason.as_str()), (v1::DeliveryStatus::Waiting, "ADAPTER_FAILED"));
    let second = worker.lease().await;
    assert_eq!((&second.delivery_id, second.attempt), (&first.delivery_id, 2));
    assert_ne!(second.lease_token, first.lease_token);
    assert!(!worker.complete(&first).await.settled, "the first lease settles nothing any more");
    assert!(worker.heartbeat(&[&second]).await.leases[0].held, "nor does it end the second");
    let refused = worker.fail(&second, false).await;
    assert!(refused.settled);
    assert_eq!(refused.state.unwrap().status(), v1::DeliveryStatus::Refused);
    let events = story(&site, &running, &id).await;
    assert_eq!(
        events.last().map(|event| (event.kind, event.reason)),
        Some((EventKind::Refused, Some(Reason::AdapterRefused)))
    );
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_runs_out_is_delivered_again_and_one_that_is_extended_is_not() {
    let site = site_of_short_leases();
    let running = site.start().await;
    let (mut alive, mut dead) = (Worker::register(&site, &running).await, Worker::register(&site, &running).await);
    send(&site, &running, &[]).await;
    let kept = alive.lease().await;
    send(&site, &running, &[]).await;
    let lost = dead.lease().await;
    assert_ne!(kept.delivery_id, lost.delivery_id);
    // The second comes again only because its lease has run out; the first is kept all that time.
    let mut other = Worker::register(&site, &running).await;
    let again = tokio::spawn(async move { (other.lease().await, other) });
    while !again.is_finished() {
        let verdict = alive.heartbeat(&[&kept]).await.leases.remove(0);
        assert!(verdict.held && verdict.lease_expires_at.is_some());
        // A heart beats in its own time.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (again, mut other) = again.await.unwrap();
    assert_eq!((&again.delivery_id, again.attempt), (&lost.delivery_id, 2));
    assert_eq!(again.envelope, lost.envelope, "one id, one body");
    let late = dead.complete(&lost).await;
    assert!(!late.settled, "a late answer settles nothing");
    assert_eq!(late.state.unwrap().status(), v1::DeliveryStatus::Waiting);
    assert!(!dead.heartbeat(&[&lost]).await.leases[0].held);
    assert!(other.complete(&again).await.settled);
    assert!(alive.complete(&kept).await.settled, "longer than its first lease");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_queue_and_never_get_more_than_they_asked_for() {
    let site = site();
    let running = site.start().await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(send(&site, &running, &[]).await.0);
    }
    let waiting = tracked(&site, &running, &ids[5]).await;
    assert_eq!((waiting.status(), waiting.attempts), (v1::DeliveryStatus::Waiting, 0), "nobody is there to take it");
    assert_eq!(waiting.reason, Reason::WorkerMissing.code());
    let mut operator = OperateServiceClient::new(site.channel(&running, "operator-viewer"));
    let gates = operator.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner().gates;
    let missing = gates.iter().find(|gate| gate.destination == "agency:h99.21").unwrap();
    assert_eq!(missing.reason, Reason::WorkerMissing.code());

    let (mut one, mut two) = (Worker::register(&site, &running).await, Worker::register(&site, &running).await);
    let (a, b) = tokio::join!(one.lease(), two.lease());
    assert_ne!(a.delivery_id, b.delivery_id);
    let under_way = running.engine.store().counts().await.unwrap().waiting;
    assert_eq!(under_way, 6, "the others stay in the store");
    let mut more = Vec::new();
    while more.len() < 4 {
        let some = one.try_lease(3, 40).await.unwrap();
        assert!((1..=3).contains(&some.len()), "{} at once", some.len());
        more.extend(some);
    }
    assert_eq!(more.len(), 4);
    assert!(one.try_lease(64, 0).await.unwrap().is_empty(), "nothing is left");
    for taken in more.iter().chain([&a]) {
        assert!(one.complete(taken).await.settled);
    }
    assert!(two.complete(&b).await.settled);
    for id in ids {
        assert_eq!(tracked(&site, &running, &id).await.attempts, 1, "each was handed out once");
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_restarts_forgets_the_worker_and_delivers_again_under_the_same_id() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    send(&site, &running, &[]).await;
    let before = worker.lease().await;
    running.shutdown.cancel();
    running.stop().await.unwrap();

    let running = site.start().await;
    let mut again = Worker { client: AdapterServiceClient::new(site.channel(&running, LAND_SYSTEM)), id: worker.id };
    let refused = again.try_lease(1, 0).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "WORKER_UNKNOWN"));
    let mut worker = Worker::register(&site, &running).await;
    assert!(!worker.complete(&before).await.settled, "a token from before holds nothing");
    let after = worker.lease().await;
    assert_eq!((&after.delivery_id, &after.envelope), (&before.delivery_id, &before.envelope));
    assert!(worker.complete(&after).await.settled);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_workers_and_deliveries_of_others_are_not_there() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    send(&site, &running, &[]).await;
    let taken = worker.lease().await;
    let mut stranger = AdapterServiceClient::new(site.channel(&running, SYSTEM));
    for queue in ["land", "none", ""] {
        let refused = stranger.register(registration(queue)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "QUEUE_UNKNOWN"), "{queue}");
    }
    let mut theirs = Worker { client: stranger.clone(), id: worker.id.clone() };
    let refused = theirs.try_lease(1, 0).await.unwrap_err();
    assert_eq!(reason(&refused), "WORKER_UNKNOWN", "an id of another system's worker is none");
    theirs.id = stranger.register(registration("dms")).await.unwrap().into_inner().worker_id;
    let complete =
        v1::CompleteRequest { worker_id: theirs.id.clone(), lease: Some(held(&taken)), reference: String::new() };
    let refused = stranger.complete(complete).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "NOT_FOUND"));
    let download = v1::DownloadPartRequest {
        worker_id: theirs.id.clone(),
        lease: Some(held(&taken)),
        sha256: digest(b"x"),
        offset: 0,
    };
    assert_eq!(reason(&stranger.download_part(download).await.unwrap_err()), "NOT_FOUND");
    assert!(!theirs.heartbeat(&[&taken]).await.leases[0].held);
    assert!(worker.complete(&taken).await.settled, "it is still its worker's");

    let mut gateway = AdapterServiceClient::new(site.channel(&running, "gw-district"));
    assert_eq!(reason(&gateway.get_info(v1::GetInfoRequest {}).await.unwrap_err()), "HOP_NOT_ALLOWED");
    let mut old = registration("land");
    old.info.as_mut().unwrap().protocol_versions = vec![7];
    assert_eq!(reason(&worker.client.register(old).await.unwrap_err()), "WORKER_PROTOCOL_UNSUPPORTED");
    for (deliveries_max, wait) in [(0, 0), (65, 0), (1, 51), (1, -1)] {
        assert_eq!(reason(&worker.try_lease(deliveries_max, wait).await.unwrap_err()), "REQUEST_MALFORMED");
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_read_from_any_offset_while_the_lease_holds() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    let part: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    send(&site, &running, &[&part]).await;
    let taken = worker.lease().await;
    let download = |sha256: bytes::Bytes, offset: u64| v1::DownloadPartRequest {
        worker_id: worker.id.clone(),
        lease: Some(held(&taken)),
        sha256,
        offset,
    };
    let mut client = worker.client.clone();
    let mut read = Vec::new();
    let mut chunks = client.download_part(download(digest(&part), 0)).await.unwrap().into_inner();
    while read.len() < 1_000_000 {
        let chunk = chunks.message().await.unwrap().unwrap().chunk;
        assert!(chunk.len() <= 64 * 1024);
        read.extend_from_slice(&chunk);
    }
    drop(chunks);
    let mut chunks = client.download_part(download(digest(&part), read.len() as u64)).await.unwrap().into_inner();
    while let Some(chunk) = chunks.message().await.unwrap() {
        read.extend_from_slice(&chunk.chunk);
    }
    assert_eq!(read, part, "it goes on where it broke off");
    let end =
        client.download_part(download(digest(&part), part.len() as u64)).await.unwrap().into_inner().message().await;
    assert!(end.unwrap().is_none());
    for (sha256, offset, expected) in [
        (digest(b"another"), 0, "NOT_FOUND"),
        (digest(&part), part.len() as u64 + 1, "UPLOAD_OFFSET"),
        (bytes::Bytes::from_static(b"short"), 0, "PART_DIGEST_INVALID"),
    ] {
        assert_eq!(reason(&client.download_part(download(sha256, offset)).await.unwrap_err()), expected);
    }
    let after = download(digest(&part), 0);
    assert!(worker.complete(&taken).await.settled);
    assert_eq!(reason(&client.download_part(after).await.unwrap_err()), "LEASE_LOST");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_drains_hands_nothing_out_and_lets_workers_finish() {
    let site = site();
    let running = site.start().await;
    let (mut worker, mut waiting) = (Worker::register(&site, &running).await, Worker::register(&site, &running).await);
    let (id, _) = send(&site, &running, &[]).await;
    let taken = worker.lease().await;
    let poll = tokio::spawn(async move { waiting.try_lease(1, 40).await });
    running.shutdown.cancel();
    let refused = poll.await.unwrap().unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "DRAINING"),
        "whoever waits, or comes now, is told"
    );
    assert_eq!(reason(&worker.try_lease(1, 0).await.unwrap_err()), "DRAINING");
    let heartbeat = worker.heartbeat(&[&taken]).await;
    assert!(heartbeat.draining && heartbeat.leases[0].held);
    assert!(worker.complete(&taken).await.settled, "what is at hand is finished");
    running.stop().await.unwrap();
    let running = site.start().await;
    assert_eq!(tracked(&site, &running, &id).await.status(), v1::DeliveryStatus::Delivered);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_down_gets_nothing_until_it_is_up_and_the_operator_sees_it() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    worker.report(v1::SystemState::Down, v1::WorkerPhase::Working).await;
    let (id, _) = send(&site, &running, &[]).await;
    assert!(worker.try_lease(1, 1).await.unwrap().is_empty());
    let state = tracked(&site, &running, &id).await;
    assert_eq!((state.reason.as_str(), state.attempts), ("ADAPTER_UNAVAILABLE", 0));
    worker.report(v1::SystemState::Up, v1::WorkerPhase::Unspecified).await;
    let taken = worker.lease().await;

    // A worker that leaves gives back what it has, to whoever is there.
    let mut other = Worker::register(&site, &running).await;
    let next = tokio::spawn(async move { (other.lease().await, other) });
    worker.report(v1::SystemState::Unspecified, v1::WorkerPhase::Leaving).await;
    let (again, mut other) = next.await.unwrap();
    assert_eq!((&again.delivery_id, again.attempt), (&taken.delivery_id, 1), "it was no attempt");
    assert_eq!(reason(&worker.try_lease(1, 0).await.unwrap_err()), "WORKER_UNKNOWN");
    assert!(other.complete(&again).await.settled);

    let problems = vec![v1::ConfigProblem { key: "target.url".to_owned(), problem: "thiếu".to_owned() }];
    let registered = other.client.register(v1::RegisterRequest { problems, ..registration("land") }).await.unwrap();
    let mut broken = Worker { client: other.client.clone(), id: registered.into_inner().worker_id };
    let refused = broken.try_lease(1, 0).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "WORKER_MISCONFIGURED"));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_call_that_is_cancelled_gives_back_what_it_would_have_brought() {
    let site = site();
    let running = site.start().await;
    let mut worker = Worker::register(&site, &running).await;
    for _ in 0..20 {
        let (mut impatient, id) = (worker.client.clone(), worker.id.clone());
        let request = v1::LeaseRequest { worker_id: id, deliveries_max: 1, wait: seconds(40) };
        let call = tokio::spawn(async move { impatient.lease(request).await });
        tokio::task::yield_now().await;
        call.abort();
    }
    let (id, _) = send(&site, &running, &[]).await;
    let taken = worker.lease().await;
    assert!(worker.complete(&taken).await.settled);
    assert_eq!(tracked(&site, &running, &id).await.status(), v1::DeliveryStatus::Delivered);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_submits_for_its_system_like_any_other() {
    let site = site();
    let running = site.start().await;
    let mut client = AdapterServiceClient::new(site.channel(&running, SYSTEM));
    let part = b"noi dung".to_vec();
    let header = v1::PartHeader { sha256: digest(&part), size: part.len() as u64, offset: 0 };
    let frames = [
        v1::adapter_service_upload_part_request::Frame::Header(header),
        v1::adapter_service_upload_part_request::Frame::Chunk(part.clone().into()),
    ];
    let frames = frames.map(|frame| v1::AdapterServiceUploadPartRequest { frame: Some(frame) });
    let ask = v1::AdapterServiceMissingPartsRequest { sha256: vec![digest(&part)] };
    assert_eq!(client.missing_parts(ask.clone()).await.unwrap().into_inner().missing.len(), 1);
    let size = client.upload_part(tokio_stream::iter(frames)).await.unwrap().into_inner().size;
    assert_eq!(size, part.len() as u64);
    assert!(client.missing_parts(ask).await.unwrap().into_inner().missing.is_empty());
    let (_, envelope) = site.envelope(LAND_OFFICE, &[&part]);
    let request = v1::AdapterServiceSubmitRequest { request: Some(submission(envelope)) };
    let answer = client.submit(request).await.unwrap().into_inner().response.unwrap();
    assert_eq!(site.verify(answer.receipt.unwrap()).kind, EventKind::Accepted);
    let empty = client.submit(v1::AdapterServiceSubmitRequest { request: None }).await.unwrap_err();
    assert_eq!(reason(&empty), "REQUEST_MALFORMED");
    running.stop().await.unwrap();
}
