//! The W3C trace context: how a span goes on where another process left off, and how what was separated is linked.
//!
//! Without an exporter nothing is recorded, but the context still travels: log lines of all gateways on the way carry the same trace id.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Name of the W3C header.
const TRACEPARENT: &str = "traceparent";
/// `00-<32>-<16>-<2>`; later versions may add to it.
const TRACEPARENT_BYTES_MAX: usize = 128;
/// The field of spans by which log lines carry the trace id.
const TRACE_ID: &str = "trace_id";

/// The trace context that a caller sends along, if it looks like one.
pub fn sent_along(metadata: &MetadataMap) -> Option<String> {
    metadata.get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(bounded)
}

/// A trace context within bounds; anything else is left aside.
pub fn bounded(text: &str) -> Option<String> {
    let fits = (55..=TRACEPARENT_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    fits.then(|| text.to_owned())
}

/// Lets `span` go on where `incoming` left off, and gives the context for what comes after: the span's own when traces are exported, else
/// what came in, or a new one. Before the span is entered; its field `trace_id` is filled in.
pub fn follow(span: &Span, incoming: Option<String>) -> String {
    if let Some(incoming) = &incoming
        && span.set_parent(context(incoming)).is_err()
    {
        tracing::trace!("nobody exports this span");
    }
    let next = of(span).or(incoming).unwrap_or_else(fresh);
    record(span, &next);
    next
}

/// Lets `span` begin a trace of its own that is linked to `earlier`: for what happens long after, or for many at once. Gives the context for
/// what comes after.
pub fn separate(span: &Span, earlier: Option<&str>) -> String {
    if let Some(earlier) = earlier {
        link(span, earlier);
    }
    let next = of(span).or_else(|| earlier.map(str::to_owned)).unwrap_or_else(fresh);
    record(span, &next);
    next
}

/// Links `span` to another trace context.
pub fn link(span: &Span, earlier: &str) {
    let earlier = context(earlier).span().span_context().clone();
    if earlier.is_valid() {
        span.add_link(earlier);
    }
}

/// The context of a span that is exported.
pub fn of(span: &Span) -> Option<String> {
    let context = span.context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// A call that carries the context of the span in which it is made.
pub fn carry<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Some(value) = of(&Span::current()).and_then(|context| MetadataValue::try_from(context).ok()) {
        request.metadata_mut().insert(TRACEPARENT, value);
    }
    request
}

fn context(traceparent: &str) -> Context {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract(&carrier)
}

/// A trace that nobody began: so that log lines belong together even where nothing is exported.
fn fresh() -> String {
    let (trace, span) = (uuid::Uuid::new_v4().simple().to_string(), uuid::Uuid::new_v4().simple().to_string());
    format!("00-{trace}-{}-01", &span[..16])
}

fn record(span: &Span, traceparent: &str) {
    if let Some(trace_id) = traceparent.get(3..35) {
        span.record(TRACE_ID, trace_id);
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const INCOMING: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn without_export_the_callers_trace_goes_on_unchanged_and_a_new_one_begins_where_there_was_none() {
        let span = tracing::info_span!("process");
        assert_eq!(follow(&span, Some(INCOMING.to_owned())), INCOMING);
        assert_eq!(separate(&span, Some(INCOMING)), INCOMING);
        let (one, other) = (follow(&span, None), follow(&span, None));
        assert!(bounded(&one).is_some(), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn with_export_the_next_hop_continues_the_same_trace_and_a_retry_begins_another() {
        let traces = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let next = follow(&tracing::info_span!("process"), Some(INCOMING.to_owned()));
            assert_eq!(next[..35], INCOMING[..35], "the same trace");
            assert_ne!(next, INCOMING, "another span");
            let retry = separate(&tracing::info_span!("send"), Some(INCOMING));
            assert_ne!(retry[..35], INCOMING[..35], "another trace");
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
