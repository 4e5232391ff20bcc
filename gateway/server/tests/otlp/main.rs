//! Traces leave by OTLP: what a caller began goes on inside the gateway, under the same trace. One process, because a log is set up once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "../door/gateway.rs"]
mod gateway;

use std::time::Duration;

use gateway::Site;
use gateway_server::config::{LogFormat, Telemetry};
use gateway_server::telemetry;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use proto::v1;
use proto::v1::relay_service_client::RelayServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A collector that passes on what it gets.
struct Collector(mpsc::Sender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        for span in resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans) {
            self.0.send(span).await.map_err(|_| Status::cancelled("the test is over"))?;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector() -> (http::Uri, mpsc::Receiver<Span>) {
    let (sender, spans) = mpsc::channel(1_024);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(incoming));
    (endpoint, spans)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_began_goes_on_inside_the_gateway_under_the_same_trace() {
    let (endpoint, mut spans) = collector().await;
    let config = Telemetry { log: "error".to_owned(), format: LogFormat::Json, otlp: Some(endpoint) };
    let installed = telemetry::install(&config, "gw-province").unwrap();
    let site = Site::new();
    let running = site.start().await;

    let (_, envelope) = site.envelope("H99.21", &[]);
    let mut request = Request::new(v1::SubmitRequest { envelope: Some(envelope.clone()), inline_parts: Vec::new() });
    let sent = format!("00-{TRACE}-b7ad6b7169203331-01");
    request.metadata_mut().insert("traceparent", sent.parse().unwrap());
    SubmitServiceClient::new(site.channel(&running, "sys-province-dms")).submit(request).await.unwrap();

    let relayed = v1::RelayRequest {
        sequence: 1,
        envelope: Some(envelope),
        recipients: vec!["h99.21".to_owned()],
        hops: vec!["gw-district".to_owned()],
        traceparent: format!("00-{TRACE}-00f067aa0ba902b7-01"),
        first_accepted: None,
    };
    let mut district = RelayServiceClient::new(site.channel(&running, "gw-district"));
    let mut answers = district.relay(tokio_stream::iter([relayed])).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    running.stop().await.unwrap();
    tokio::task::spawn_blocking(move || drop(installed)).await.unwrap();

    let mut seen = Vec::new();
    while let Ok(Some(span)) = tokio::time::timeout(Duration::from_millis(500), spans.recv()).await {
        seen.push((span.name, hex::encode(span.trace_id), hex::encode(span.parent_span_id)));
    }
    for (name, parent) in [("process gw-province", "b7ad6b7169203331"), ("process gw-province", "00f067aa0ba902b7")] {
        let expected = (name.to_owned(), TRACE.to_owned(), parent.to_owned());
        assert!(seen.contains(&expected), "{expected:?} is missing in {seen:#?}");
    }
}
