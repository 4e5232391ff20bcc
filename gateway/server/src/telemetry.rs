//! Logs, traces and the W3C trace context: what leaves the process about its work. Never bodies, never personal data.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::metadata::MetadataMap;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogFormat, Telemetry};

/// Name of the W3C header.
const TRACEPARENT: &str = "traceparent";
/// `00-<32>-<16>-<2>`; later versions may add to it.
const TRACEPARENT_BYTES_MAX: usize = 128;

/// Why telemetry cannot start, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter.
    #[error("telemetry.otlp: {0}: give an address such as \"http://127.0.0.1:4317\", or leave it empty")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The filter.
    #[error("telemetry.log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something has installed a subscriber before.
    #[error("the log has been set up before: {0}")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Flushes traces when it is dropped.
#[derive(Debug)]
pub struct TelemetryGuard {
    traces: Option<SdkTracerProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.traces.as_ref().map(SdkTracerProvider::shutdown) {
            eprintln!("lienthong: the last traces were not exported: {error}");
        }
    }
}

/// Sets up the log of this process, and the export of traces where one is configured. Once a process; inside a tokio runtime.
///
/// # Errors
/// [`TelemetryError`].
pub fn install(config: &Telemetry, gateway: &str) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&config.log)?;
    let output = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let output = match config.format {
        LogFormat::Text => output.with_ansi(colours()).boxed(),
        LogFormat::Json => output.json().flatten_event(true).boxed(),
    };
    let traces = config.otlp.as_ref().map(|endpoint| provider(endpoint, gateway)).transpose()?;
    let spans = traces.as_ref().map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer("lienthong")));
    tracing_subscriber::registry()
        .with(spans.with_filter(span_filter()))
        .with(output.with_filter(filter))
        .try_init()?;
    Ok(TelemetryGuard { traces })
}

/// Colours are for terminals, and for people who want them.
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn provider(endpoint: &http::Uri, gateway: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint.to_string()).build()?;
    let resource = Resource::builder_empty()
        .with_service_name("lienthong")
        .with_attributes([
            opentelemetry::KeyValue::new("service.instance.id", gateway.to_owned()),
            opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Spans of this house only: the exporter's own connections would trace themselves.
fn span_filter() -> tracing_subscriber::filter::Targets {
    tracing_subscriber::filter::Targets::new()
        .with_target("gateway_server", tracing::Level::INFO)
        .with_target("gateway_engine", tracing::Level::INFO)
        .with_target("adapters_relay", tracing::Level::INFO)
        .with_target("adapters_folder", tracing::Level::INFO)
}

/// The trace context that a caller sends along, if it looks like one.
pub fn traceparent(metadata: &MetadataMap) -> Option<String> {
    metadata.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(bounded)
}

/// A trace context within bounds; anything else is left aside.
pub fn bounded(text: &str) -> Option<String> {
    let fits = (55..=TRACEPARENT_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    fits.then(|| text.to_owned())
}

/// Lets `span` go on where `incoming` left off, and gives the context for what comes after: the span's own when traces are exported, else
/// what came in.
pub fn follow(span: &Span, incoming: Option<String>) -> Option<String> {
    let propagator = TraceContextPropagator::new();
    if let Some(incoming) = &incoming {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), incoming.clone())]);
        if span.set_parent(propagator.extract(&carrier)).is_err() {
            return Some(incoming.clone());
        }
    }
    let context = span.context();
    if !context.span().span_context().is_valid() {
        return incoming;
    }
    let mut carrier = HashMap::new();
    propagator.inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT).or(incoming)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCOMING: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn without_export_the_callers_trace_goes_on_unchanged() {
        let span = tracing::info_span!("process");
        assert_eq!(follow(&span, Some(INCOMING.to_owned())).as_deref(), Some(INCOMING));
        assert_eq!(follow(&span, None), None);
    }

    #[test]
    fn with_export_the_next_hop_continues_the_same_trace_under_a_new_span() {
        let traces = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let next = follow(&tracing::info_span!("process"), Some(INCOMING.to_owned())).unwrap();
            assert_eq!(next[..35], INCOMING[..35], "the same trace");
            assert_ne!(next, INCOMING, "another span");
        });
    }

    #[test]
    fn what_is_no_trace_context_is_left_aside() {
        for text in ["", "00-x", &"0".repeat(500), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\u{1}"] {
            assert_eq!(bounded(text), None, "{text}");
        }
        assert!(bounded(INCOMING).is_some());
    }
}
