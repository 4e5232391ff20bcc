//! An OpenTelemetry collector over a real socket, which keeps every span that gateways and workers export.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tonic::{Request, Response, Status};

/// Exporters send every few seconds; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span with the process that made it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub gateway: String,
    pub span: Span,
}

/// What came in so far.
#[derive(Clone, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Seen>>>,
    raw: Arc<Mutex<Vec<u8>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        self.raw.lock().unwrap().extend(request.encode_to_vec());
        for of_process in request.resource_spans {
            let resource = of_process.resource.unwrap_or_default();
            let gateway = text(&resource.attributes, "service.instance.id");
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans.map(|span| Seen { gateway: gateway.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens, and gives the address to export to.
    pub async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        (collector, endpoint)
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.spans.lock().unwrap().clone()
    }

    /// Everything that came in, as it was sent.
    pub fn raw(&self) -> Vec<u8> {
        self.raw.lock().unwrap().clone()
    }

    /// Waits until the spans are as expected.
    pub async fn until(&self, what: &str, expected: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let begun = Instant::now();
        loop {
            let spans = self.spans();
            if expected(&spans) {
                return spans;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {:#?}", outline(&spans));
            // Exporters of other processes send in their own time.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The value of an attribute as text; empty when there is none.
pub fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| attribute.value.clone());
    match value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => number.to_string(),
        Some(AnyValue { value: Some(Value::BoolValue(is)) }) => is.to_string(),
        Some(AnyValue { value: Some(other) }) => format!("{other:?}"),
        Some(AnyValue { value: None }) | None => String::new(),
    }
}

/// Spans in a line each, for complaints.
pub fn outline(spans: &[Seen]) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = |seen: &Seen| {
        let Seen { gateway, span } = seen;
        let links: Vec<String> = span.links.iter().map(|link| hex(&link.span_id)).collect();
        format!(
            "{gateway}: {} trace {} span {} parent {} links {links:?}",
            span.name,
            hex(&span.trace_id),
            hex(&span.span_id),
            hex(&span.parent_span_id)
        )
    };
    spans.iter().map(line).collect()
}
