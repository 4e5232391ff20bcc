//! Callers that misuse the transport: an honest caller does not notice.

use std::time::Duration;

use proto::v1;
use proto::v1::relay_service_client::RelayServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::Code;

use crate::gateway::{Running, Site, get};
use crate::{LAND_OFFICE, SYSTEM, submission};

const SUBMIT: &str = "https://localhost/lienthong.gateway.v1.SubmitService/Submit";

fn request(uri: &str) -> http::Request<()> {
    let builder = http::Request::builder().method("POST").uri(uri).header("content-type", "application/grpc");
    builder.header("te", "trailers").body(()).unwrap()
}

async fn an_honest_caller_is_served(site: &Site, running: &Running) {
    let mut client = SubmitServiceClient::new(site.channel(running, SYSTEM));
    let work = client.submit(submission(site.envelope(LAND_OFFICE, &[]).1));
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_opened_and_reset_at_once_end_the_connection_or_cost_nothing() {
    let site = Site::new();
    let running = site.start().await;
    let connection = site.connection(&running, SYSTEM).await;
    let (mut client, connection) = h2::client::handshake(connection).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..5_000 {
        client = match client.ready().await {
            Ok(client) => client,
            Err(_) => break,
        };
        match client.send_request(request(SUBMIT), false) {
            Ok((_, mut body)) => body.send_reset(h2::Reason::CANCEL),
            Err(_) => break,
        }
    }
    an_honest_caller_is_served(&site, &running).await;
    connection.abort();
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_beyond_the_bound_are_not_taken() {
    let site = Site::new();
    let running = site.start().await;
    let connection = site.connection(&running, SYSTEM).await;
    let (client, connection) = h2::client::handshake(connection).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut large = request(SUBMIT);
    for number in 0..40 {
        let name = http::HeaderName::from_bytes(format!("x-filler-{number}").as_bytes()).unwrap();
        large.headers_mut().insert(name, "y".repeat(1024).parse().unwrap());
    }
    let answer = async {
        let (answer, _) = client.ready().await?.send_request(large, true)?;
        answer.await
    };
    let refused = match tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap() {
        Ok(answer) => answer.status() == http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Err(_) => true,
    };
    assert!(refused);
    an_honest_caller_is_served(&site, &running).await;
    connection.abort();
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_the_bound_is_refused_before_it_is_read() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let inline_parts = vec![v1::InlinePart { content: vec![0; 3 << 20].into() }];
    let large = v1::SubmitRequest { envelope: None, inline_parts };
    assert_eq!(client.submit(large).await.unwrap_err().code(), Code::OutOfRange);
    let inline_parts = vec![v1::InlinePart { content: vec![0; (1 << 20) + 1].into() }];
    let large = v1::SubmitRequest { envelope: None, inline_parts };
    assert_eq!(crate::reason(&client.submit(large).await.unwrap_err()), "PART_TOO_LARGE");
    an_honest_caller_is_served(&site, &running).await;
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_place_is_taken_the_next_connection_is_closed_and_a_place_given_back_serves_again() {
    let site = Site::new().with("[limits]\nconnections = 2\n");
    let running = site.start().await;
    let mut first = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    first.missing_parts(v1::MissingPartsRequest::default()).await.unwrap();
    let mut second = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    second.missing_parts(v1::MissingPartsRequest::default()).await.unwrap();
    let mut third = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    third.missing_parts(v1::MissingPartsRequest::default()).await.unwrap_err();
    drop(second);
    let freed = async {
        while !get(&running, "/metrics").await.1.contains("lienthong_connections 1\n") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), freed).await.unwrap();
    third.missing_parts(v1::MissingPartsRequest::default()).await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_holds_idle_streams_does_not_stop_the_relaying_of_gateways() {
    let site = Site::new().with("[limits]\nstreams = 4\n");
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let mut held = Vec::new();
    while let Ok(answers) = client.submit_many(tokio_stream::pending()).await {
        held.push(answers);
        assert!(held.len() < 4, "a share is kept for gateways");
    }
    assert_eq!(held.len(), 3);
    let mut gateway = RelayServiceClient::new(site.channel(&running, "gw-district"));
    gateway.relay(tokio_stream::pending()).await.unwrap();
    drop(held);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_system_holds_eight_streams_and_another_still_gets_one() {
    let site = Site::new();
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(client.submit_many(tokio_stream::pending()).await.unwrap());
    }
    assert_eq!(crate::reason(&client.submit_many(tokio_stream::pending()).await.unwrap_err()), "OVERLOADED");
    let mut other = SubmitServiceClient::new(site.channel(&running, "sys-land-office"));
    other.submit_many(tokio_stream::pending()).await.unwrap();
    drop(held);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_frames_without_bytes_gives_its_place_back() {
    let site = Site::new().with("[limits]\nrequest_timeout = \"1s\"\n");
    let running = site.start().await;
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    let empty = futures::stream::unfold(tokio::time::interval(Duration::from_millis(100)), |mut ticks| async move {
        ticks.tick().await;
        Some((crate::chunk(b""), ticks))
    });
    let frames = futures::StreamExt::chain(tokio_stream::once(crate::header(b"never", 0)), empty);
    let answer = tokio::time::timeout(Duration::from_secs(20), client.upload_part(frames)).await.unwrap();
    assert_eq!(crate::reason(&answer.unwrap_err()), "DEADLINE_EXCEEDED");
    running.stop().await.unwrap();
}
