//! The doors of one gateway, from outside: real TLS, real signatures, a real store, a real drop folder.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod bucket;
mod checks;
mod gateway;
mod hostile;
mod ladder;
mod late;
mod roles;
mod sdk_worker;
mod seen;
mod statistics;
mod workers;

use std::time::Duration;

use gateway::{Site, digest, get};
use gateway_evidence::EventKind;
use gateway_model::Reason;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::relay_service_client::RelayServiceClient;
use proto::v1::submit_many_response::Result as ManyResult;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const LAND_OFFICE: &str = "H99.21";
const SYSTEM: &str = "sys-province-dms";

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn header(bytes: &[u8], offset: u64) -> v1::UploadPartRequest {
    let header = v1::PartHeader { sha256: digest(bytes), size: bytes.len() as u64, offset };
    v1::UploadPartRequest { frame: Some(v1::upload_part_request::Frame::Header(header)) }
}

fn chunk(bytes: &[u8]) -> v1::UploadPartRequest {
    v1::UploadPartRequest { frame: Some(v1::upload_part_request::Frame::Chunk(bytes.to_vec().into())) }
}

fn upload(bytes: &[u8]) -> Request<impl futures::Stream<Item = v1::UploadPartRequest> + Send + 'static> {
    let frames: Vec<_> = std::iter::once(header(bytes, 0)).chain(bytes.chunks(1 << 18).map(chunk)).collect();
    Request::new(tokio_stream::iter(frames))
}

fn submission(envelope: v1::SignedEnvelope) -> v1::SubmitRequest {
    v1::SubmitRequest { envelope: Some(envelope), inline_parts: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_goes_through_the_door_into_the_folder_and_every_step_has_its_receipt() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let (large, small) = (vec![7_u8; 3 << 20], b"small".to_vec());
    client.upload_part(upload(&large)).await.unwrap();
    let (id, envelope) = site.envelope(LAND_OFFICE, &[&large, &small]);
    let inline_parts = vec![v1::InlinePart { content: small.clone().into() }];
    let request = v1::SubmitRequest { envelope: Some(envelope.clone()), inline_parts };
    let first = client.submit(request.clone()).await.unwrap().into_inner();
    assert!(!first.duplicate);
    let accepted = site.verify(first.receipt.clone().unwrap());
    assert_eq!(
        (accepted.kind, accepted.envelope_digest.as_bytes().as_slice()),
        (EventKind::Accepted, &digest(&envelope.envelope)[..])
    );

    let again = client.submit(request).await.unwrap().into_inner();
    assert!(again.duplicate);
    assert_eq!(again.receipt, first.receipt, "the first receipt comes again");

    let watched = v1::WatchRequest { sender: "H99.12".to_owned(), envelope_id: id.clone() };
    let mut events = client.watch(watched).await.unwrap().into_inner();
    let mut kinds = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        kinds.push(site.verify(event.receipt.unwrap()).kind);
    }
    assert_eq!(kinds, [EventKind::Accepted, EventKind::Delivered], "the stream ends when the delivery is final");

    let named = v1::TrackRequest { sender: "h99.12".to_owned(), envelope_id: id.clone() };
    let tracked = client.track(named).await.unwrap().into_inner();
    assert_eq!(tracked.deliveries[0].status(), v1::DeliveryStatus::Delivered);
    assert_eq!(tracked.deliveries[0].next_hop, "land-office");
    let incoming: Vec<_> = std::fs::read_dir(site.path("land-office/incoming")).unwrap().collect();
    assert_eq!(incoming.len(), 1, "one delivery, one folder");

    let named = v1::GetReceiptRequest { sender: "h99.12".to_owned(), envelope_id: id };
    let mut land = SubmitServiceClient::new(site.channel(&running, "sys-land-office"));
    assert_eq!(
        land.get_receipt(named.clone()).await.unwrap().into_inner().receipts.len(),
        2,
        "the recipient may see it"
    );
    let mut other = SubmitServiceClient::new(site.channel(&running, "sys-commune-onestop"));
    let refused = other.get_receipt(named).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::NotFound, "NOT_FOUND".to_owned()),
        "others do not learn that it is there"
    );
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_one_answer_and_a_caller_without_a_certificate_none() {
    let site = Site::new();
    let running = site.start().await;
    let stranger = site.province.tls_ladder.issue("stranger", &[]).unwrap();
    let (certificate, key) = (site.path("stranger.pem"), site.path("stranger.key"));
    std::fs::write(&certificate, &stranger.certificate_pem).unwrap();
    std::fs::write(&key, &stranger.key_pem).unwrap();
    let channel = site.channel_as(&running, &certificate, &key);
    let (_, envelope) = site.envelope(LAND_OFFICE, &[]);
    let mut answers = vec![
        SubmitServiceClient::new(channel.clone()).submit(submission(envelope)).await.unwrap_err(),
        OperateServiceClient::new(channel.clone()).get_status(v1::GetStatusRequest {}).await.unwrap_err(),
        RelayServiceClient::new(channel).ping(v1::PingRequest {}).await.unwrap_err(),
    ];
    for answer in &answers {
        assert_eq!((reason(answer), answer.message()), ("HOP_UNKNOWN".to_owned(), answers[0].message()));
    }
    answers.clear();
    let mut roots = rustls::RootCertStore::empty();
    let ca = site.province.tls_ladder.authority().certificate_der().to_vec();
    roots.add(rustls_pki_types::CertificateDer::from(ca)).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let nobody = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(running.addresses.doors).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(nobody));
    // In TLS 1.3 the client learns of the refusal when it reads.
    let result = async {
        let mut tls = connector.connect("localhost".try_into().unwrap(), stream).await?;
        tokio::io::AsyncReadExt::read(&mut tls, &mut [0; 1]).await
    };
    let error = result.await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificaterequired"), "{error}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_door_has_its_own_callers() {
    let site = Site::new();
    let running = site.start().await;
    let system = site.channel(&running, SYSTEM);
    let denied = OperateServiceClient::new(system.clone()).list(v1::ListRequest::default()).await.unwrap_err();
    assert_eq!((denied.code(), reason(&denied)), (Code::PermissionDenied, "OPERATOR_NOT_AUTHORIZED".to_owned()));
    let denied =
        RelayServiceClient::new(system).return_receipts(v1::ReturnReceiptsRequest::default()).await.unwrap_err();
    assert_eq!(reason(&denied), "HOP_NOT_ALLOWED");
    let gateway = site.channel(&running, "gw-district");
    let (_, envelope) = site.envelope(LAND_OFFICE, &[]);
    let denied = SubmitServiceClient::new(gateway.clone()).submit(submission(envelope)).await.unwrap_err();
    assert_eq!(reason(&denied), "HOP_NOT_ALLOWED");
    let ping = RelayServiceClient::new(gateway).ping(v1::PingRequest {}).await.unwrap().into_inner();
    assert_eq!((ping.gateway.as_str(), ping.directory_version), ("gw-province", 1));
    let mut viewer = OperateServiceClient::new(site.channel(&running, "operator-viewer"));
    assert_eq!(viewer.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner().gateway, "gw-province");
    let retry = v1::RetryRequest { delivery_id: "0".repeat(32), reason: "thử".to_owned() };
    assert_eq!(reason(&viewer.retry(retry.clone()).await.unwrap_err()), "OPERATOR_NOT_AUTHORIZED");
    let mut operator = OperateServiceClient::new(site.channel(&running, "operator-an"));
    assert_eq!(reason(&operator.retry(retry).await.unwrap_err()), "NOT_FOUND");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_ends_ends_at_once_on_the_open_connection() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let ask = v1::MissingPartsRequest { sha256: vec![digest(b"x")] };
    assert_eq!(client.missing_parts(ask.clone()).await.unwrap().into_inner().missing.len(), 1);
    let text = std::fs::read_to_string(&site.province.agencies_toml).unwrap();
    let other = text.replace(&format!("tls/{SYSTEM}.pem"), "tls/ca.pem");
    assert_ne!(text, other, "the source names the certificate of the system");
    std::fs::write(&site.province.agencies_toml, other).unwrap();
    let mut changes = running.engine.trust().changes();
    changes.mark_unchanged();
    site.issue(2);
    tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
    let refused = client.missing_parts(ask).await.unwrap_err();
    assert_eq!(reason(&refused), "HOP_UNKNOWN");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_each_envelope_by_its_number_good_or_bad() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let mut requests: Vec<_> = (0..40)
        .map(|sequence| v1::SubmitManyRequest {
            sequence,
            request: Some(submission(site.envelope(LAND_OFFICE, &[]).1)),
        })
        .collect();
    let broken = requests[7].request.as_mut().and_then(|request| request.envelope.as_mut()).unwrap();
    broken.signatures[0].cms = broken.signatures[0].cms.slice(..40);
    requests[8].request = None;
    let mut answers = client.submit_many(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let mut seen = std::collections::BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let result = match answer.result.unwrap() {
            ManyResult::Accepted(accepted) => site.verify(accepted.receipt.unwrap()).kind.as_str().to_owned(),
            ManyResult::Refused(refused) => refused.reason,
        };
        seen.insert(answer.sequence, result);
    }
    assert_eq!(seen.len(), 40);
    for (sequence, result) in seen {
        let expected = match sequence {
            7 => Reason::SignatureMalformed.code(),
            8 => Reason::RequestMalformed.code(),
            _ => EventKind::Accepted.as_str(),
        };
        assert_eq!(result, expected, "{sequence}");
    }
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_taken_only_as_it_was_announced() {
    let site = Site::new().with("[limits]\npart_bytes = \"1MiB\"\n");
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let whole = vec![3_u8; 1000];
    let mut other = whole.clone();
    other[999] = 4;
    for (frames, expected) in [
        (vec![header(&whole, 0), chunk(&whole), chunk(b"x")], Reason::PartSizeMismatch),
        (vec![header(&whole, 0), chunk(&whole[..999])], Reason::PartSizeMismatch),
        (vec![header(&whole, 0), chunk(&other)], Reason::PartDigestMismatch),
        (vec![header(&whole, 5), chunk(&whole[5..])], Reason::UploadOffset),
        (vec![chunk(&whole)], Reason::RequestMalformed),
        (vec![header(&whole, 0), header(&whole, 0)], Reason::RequestMalformed),
        (vec![header(&vec![0; (1 << 20) + 1], 0)], Reason::PartTooLarge),
        (vec![], Reason::RequestMalformed),
    ] {
        let refused = client.upload_part(tokio_stream::iter(frames)).await.unwrap_err();
        assert_eq!(reason(&refused), expected.code(), "{refused}");
    }
    let ask = v1::MissingPartsRequest { sha256: vec![digest(&whole)] };
    client.upload_part(upload(&whole)).await.unwrap();
    assert!(client.missing_parts(ask.clone()).await.unwrap().into_inner().missing.is_empty());
    let mut other = SubmitServiceClient::new(site.channel(&running, "sys-land-office"));
    assert_eq!(other.missing_parts(ask).await.unwrap().into_inner().missing.len(), 1, "only about one's own uploads");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_goes_on_where_it_stopped() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let whole: Vec<u8> = (0..600_000_u32).map(|n| n as u8).collect();
    let ask = v1::MissingPartsRequest { sha256: vec![digest(&whole)] };
    let (frames, stream) = tokio::sync::mpsc::channel(4);
    let mut broken = client.clone();
    let call =
        tokio::spawn(async move { broken.upload_part(tokio_stream::wrappers::ReceiverStream::new(stream)).await });
    frames.send(header(&whole, 0)).await.unwrap();
    frames.send(chunk(&whole[..300_000])).await.unwrap();
    let received = |mut client: SubmitServiceClient<Channel>| {
        let ask = ask.clone();
        async move { client.missing_parts(ask).await.unwrap().into_inner().missing[0].received }
    };
    let begun = tokio::time::timeout(Duration::from_secs(20), async {
        while received(client.clone()).await == 0 {
            tokio::task::yield_now().await;
        }
    });
    begun.await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    drop(frames);
    let size = tokio::time::timeout(Duration::from_secs(20), async {
        // The gateway hears of the abort a little later than the caller, and may still be writing.
        loop {
            let offset = received(client.clone()).await;
            let rest = [header(&whole, offset), chunk(&whole[offset as usize..])];
            match client.upload_part(tokio_stream::iter(rest)).await {
                Ok(done) => return (offset, done.into_inner().size),
                Err(again) => assert!(["OVERLOADED", "UPLOAD_OFFSET"].contains(&reason(&again).as_str()), "{again}"),
            }
        }
    });
    let (offset, size) = size.await.unwrap();
    assert!(offset > 0, "what had been sent is not sent again");
    assert_eq!(size, whole.len() as u64);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_beyond_the_quota_are_told_when_to_come_again() {
    let site = Site::new().with("[quota]\nrequests_per_second = 1\n");
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let mut refused = None;
    for _ in 0..12 {
        if let Err(status) = client.missing_parts(v1::MissingPartsRequest::default()).await {
            refused.get_or_insert(status);
        }
    }
    let refused = refused.unwrap();
    assert_eq!((refused.code(), reason(&refused)), (Code::ResourceExhausted, "QUOTA_EXCEEDED".to_owned()));
    assert!(refused.get_details_retry_info().unwrap().retry_delay.is_some_and(|wait| !wait.is_zero()));
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_handshakes_do_not_keep_an_honest_caller_out() {
    let site = Site::new().with("[limits]\nhandshakes = 4\n");
    let running = site.start().await;
    let mut stalled = Vec::new();
    for _ in 0..40 {
        stalled.push(tokio::net::TcpStream::connect(running.addresses.doors).await.unwrap());
    }
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    client.missing_parts(v1::MissingPartsRequest::default()).await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_tells_where_it_serves_drains_and_remembers_after_a_restart() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let (_, envelope) = site.envelope(LAND_OFFICE, &[]);
    let first = client.submit(submission(envelope.clone())).await.unwrap().into_inner();
    let told: serde_json::Value =
        serde_json::from_slice(&std::fs::read(site.path("data/addresses.json")).unwrap()).unwrap();
    assert_eq!(told["doors"].as_str(), Some(running.addresses.doors.to_string().as_str()));
    assert_eq!(get(&running, "/live").await.0, 200);
    assert_eq!(get(&running, "/ready").await.0, 200);
    let (code, metrics) = get(&running, "/metrics").await;
    assert!(code == 200 && metrics.contains("lienthong_envelopes 1\n"), "{metrics}");
    for line in [
        "lienthong_connections 1\n",
        "lienthong_handshakes_total{result=\"done\"} 1\n",
        "lienthong_requests_total{method=\"SubmitService/Submit\",code=\"0\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(
        metrics.contains("lienthong_submissions_accepted_total{hop=\"system\",duplicate=\"false\"} 1"),
        "{metrics}"
    );
    running.stop().await.unwrap();
    assert!(!site.path("data/addresses.json").exists());

    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let again = client.submit(submission(envelope)).await.unwrap().into_inner();
    assert!(again.duplicate);
    assert_eq!(again.receipt, first.receipt, "a replay after a restart gets the first receipt");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_per_service_and_reflection_stands_on_the_admin_port() {
    let site = Site::new();
    let running = site.start().await;
    let admin = tonic::transport::Endpoint::from_shared(format!("http://{}", running.addresses.admin)).unwrap();
    let channel = admin.connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let service = "lienthong.gateway.v1.SubmitService".to_owned();
    let answer = health.check(tonic_health::pb::HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_directory_file_changes_nothing_and_an_older_one_is_never_taken() {
    let site = Site::new();
    site.issue(5);
    let running = site.start().await;
    std::fs::write(site.path("directory.bin"), b"not a directory").unwrap();
    running.stop().await.unwrap();
    let running = site.start().await;
    let version = || running.engine.trust().current().unwrap().directory().version();
    assert_eq!(version(), 5, "the last good one is kept on disk");
    running.stop().await.unwrap();
    site.issue(3);
    let running = site.start().await;
    assert_eq!(running.engine.trust().current().unwrap().directory().version(), 5);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn places_for_uploads_and_watches_are_bounded_and_given_back() {
    let site = Site::new().with("[limits]\nuploads = 1\nwatches = 1\nstreams = 1\n");
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let (id, envelope) = site.envelope("h99", &[]);
    client.submit(submission(envelope)).await.unwrap();
    let named = v1::WatchRequest { sender: "h99.12".to_owned(), envelope_id: id };
    let mut first = client.watch(named.clone()).await.unwrap().into_inner();
    assert!(first.message().await.unwrap().is_some());
    assert_eq!(reason(&client.watch(named.clone()).await.unwrap_err()), "OVERLOADED");
    drop(first);
    let mut never = client.submit_many(tokio_stream::pending()).await.unwrap().into_inner();
    assert_eq!(reason(&client.submit_many(tokio_stream::pending()).await.unwrap_err()), "OVERLOADED");
    let freed = async {
        while client.watch(named.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.unwrap();
    running.stop().await.unwrap();
    assert!(never.message().await.is_ok_and(|answer| answer.is_none()), "the stream ended with the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_drains_ends_its_streams_and_stops() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    // Nobody serves this department here: the delivery waits for a person.
    let (id, envelope) = site.envelope("h99", &[]);
    let (requests, stream) = tokio::sync::mpsc::channel(4);
    let request = v1::SubmitManyRequest { sequence: 1, request: Some(submission(envelope)) };
    requests.send(request).await.unwrap();
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut answers = client.submit_many(stream).await.unwrap().into_inner();
    assert!(matches!(answers.message().await.unwrap().unwrap().result, Some(ManyResult::Accepted(_))));
    let named = v1::WatchRequest { sender: "h99.12".to_owned(), envelope_id: id };
    let mut events = client.watch(named).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().is_some());
    let stopping = tokio::spawn(running.stop());
    let watched = async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    };
    assert_eq!(reason(&watched.await.unwrap_err()), "DRAINING");
    assert!(answers.message().await.unwrap().is_none(), "the stream ends, nothing read is left without an answer");
    tokio::time::timeout(Duration::from_secs(20), stopping).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_nobody_signed_raises_an_alarm_and_the_next_good_one_ends_it() {
    let site = Site::new();
    let running = site.start().await;
    let until = async |line: &str| {
        while !get(&running, "/metrics").await.1.contains(line) {
            tokio::task::yield_now().await;
        }
    };
    std::fs::write(site.path("directory.bin"), b"not a directory").unwrap();
    let alarmed = until("lienthong_directory_refresh_failing 1\n");
    tokio::time::timeout(Duration::from_secs(20), alarmed).await.unwrap();
    assert_eq!(running.engine.trust().current().unwrap().directory().version(), 1);
    site.issue(2);
    let over = async {
        until("lienthong_directory_refresh_failing 0\n").await;
        until("lienthong_directory_version 2\n").await;
    };
    tokio::time::timeout(Duration::from_secs(20), over).await.unwrap();
    running.stop().await.unwrap();
}
