//! Logs and traces: what leaves the process about its work. Never bodies, never personal data. The trace context itself is `adapters_sdk::trace`.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogFormat, Telemetry};

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

/// How a process that has no configuration file of a gateway tells of itself: `LIENTHONG_LOG` (a filter), `LIENTHONG_LOG_FORMAT` (text or json) and
/// `LIENTHONG_OTLP` (where traces go).
///
/// # Errors
/// The variable that cannot be read, and why.
pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Telemetry, String> {
    let text = |name: &str| variable(name).filter(|text| !text.is_empty());
    let format = match text("LIENTHONG_LOG_FORMAT").as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => return Err(format!("LIENTHONG_LOG_FORMAT: {other:?} is neither \"text\" nor \"json\"")),
    };
    let otlp = text("LIENTHONG_OTLP").map(|address| address.parse()).transpose();
    let otlp = otlp.map_err(|_| "LIENTHONG_OTLP: give an address such as \"http://127.0.0.1:4317\"".to_owned())?;
    Ok(Telemetry { log: text("LIENTHONG_LOG").unwrap_or_else(|| "info".to_owned()), format, otlp })
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
        .with_target("adapters_sdk", tracing::Level::INFO)
        .with_target("adapters_relay", tracing::Level::INFO)
}
