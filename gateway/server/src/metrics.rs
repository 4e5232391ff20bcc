//! What the doors count. Names are declared here; labels are bounded: a method, a code, a result, never an id of a message.

use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tower::{Layer, Service};

/// The doors' metrics. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct DoorMetrics {
    connections: Gauge,
    handshakes: Family<[(&'static str, &'static str); 1], Counter>,
    requests: Family<[(&'static str, String); 2], Counter>,
    strangers: Counter,
    uploaded: Counter,
    certificate_expires_at: Gauge,
    directory_failing: Gauge,
    register_behind: Gauge,
}

/// How a handshake ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handshake {
    /// The connection is open.
    Done,
    /// The other side is not who it should be, or broke off.
    Refused,
    /// It took too long.
    Late,
    /// There were too many connections.
    Crowded,
    /// There were too many handshakes: the oldest made room.
    Dropped,
}

impl DoorMetrics {
    /// Registers every metric under its name.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("lienthong_connections", "Connections at the doors", metrics.connections.clone());
        registry.register("lienthong_handshakes", "TLS handshakes at the doors, by result", metrics.handshakes.clone());
        registry.register(
            "lienthong_requests",
            "Requests at the doors, by method and gRPC code",
            metrics.requests.clone(),
        );
        registry.register(
            "lienthong_strangers",
            "Requests of callers that the directory does not know",
            metrics.strangers.clone(),
        );
        registry.register_with_unit(
            "lienthong_uploaded",
            "Bytes of parts taken in",
            Unit::Bytes,
            metrics.uploaded.clone(),
        );
        registry.register(
            "lienthong_directory_refresh_failing",
            "1 while the directory cannot be refreshed",
            metrics.directory_failing.clone(),
        );
        registry.register(
            "lienthong_register_behind",
            "Leaves of the evidence log that the register of files has not followed yet",
            metrics.register_behind.clone(),
        );
        registry.register_with_unit(
            "lienthong_tls_certificate_expires_at",
            "When this gateway's TLS certificate expires, Unix time",
            Unit::Seconds,
            metrics.certificate_expires_at.clone(),
        );
        metrics
    }

    pub(crate) fn directory_failing(&self) -> Gauge {
        self.directory_failing.clone()
    }

    pub(crate) fn handshake(&self, result: Handshake) {
        let label = match result {
            Handshake::Done => "done",
            Handshake::Refused => "refused",
            Handshake::Late => "late",
            Handshake::Crowded => "crowded",
            Handshake::Dropped => "dropped",
        };
        self.handshakes.get_or_create(&[("result", label)]).inc();
    }

    pub(crate) fn connected(&self) {
        self.connections.inc();
    }

    pub(crate) fn disconnected(&self) {
        self.connections.dec();
    }

    pub(crate) fn stranger(&self) {
        self.strangers.inc();
    }

    pub(crate) fn uploaded(&self, bytes: usize) {
        self.uploaded.inc_by(bytes as u64);
    }

    pub(crate) fn certificate_expires_at(&self, unix_seconds: i64) {
        self.certificate_expires_at.set(unix_seconds);
    }

    pub(crate) fn register_behind(&self, leaves: u64) {
        self.register_behind.set(i64::try_from(leaves).unwrap_or(i64::MAX));
    }

    fn request(&self, method: String, code: String) {
        self.requests.get_or_create(&[("method", method), ("code", code)]).inc();
    }
}

/// Counts requests as they are answered.
#[derive(Clone, Debug)]
pub struct Counting(pub DoorMetrics);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

/// A service whose answers are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    metrics: DoorMetrics,
}

impl<S, A, B> Service<http::Request<A>> for Counted<S>
where
    S: Service<http::Request<A>, Response = http::Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<A>) -> Self::Future {
        let (metrics, method) = (self.metrics.clone(), method(request.uri().path()));
        let count = move |result: Result<S::Response, S::Error>| {
            if let Ok(response) = &result {
                metrics.request(method, code(response.headers()));
            }
            result
        };
        self.inner.call(request).map(count).boxed()
    }
}

/// `Service/Method` of this package; callers cannot make new labels.
fn method(path: &str) -> String {
    const METHODS: [&str; 52] = [
        "SubmitService/Submit",
        "SubmitService/SubmitMany",
        "SubmitService/UploadPart",
        "SubmitService/MissingParts",
        "SubmitService/Track",
        "SubmitService/Watch",
        "SubmitService/GetReceipt",
        "AdapterService/GetInfo",
        "AdapterService/Register",
        "AdapterService/Lease",
        "AdapterService/Heartbeat",
        "AdapterService/Complete",
        "AdapterService/Fail",
        "AdapterService/DownloadPart",
        "AdapterService/Submit",
        "AdapterService/UploadPart",
        "AdapterService/MissingParts",
        "AdapterService/ReportStatus",
        "RelayService/Relay",
        "RelayService/ReturnReceipts",
        "RelayService/UploadPart",
        "RelayService/MissingParts",
        "RelayService/Trace",
        "RelayService/Ping",
        "DirectoryService/FetchDirectory",
        "OperateService/List",
        "OperateService/Timeline",
        "OperateService/Retry",
        "OperateService/Hold",
        "OperateService/Release",
        "OperateService/ReturnToSender",
        "OperateService/Reroute",
        "OperateService/Export",
        "OperateService/ListStuck",
        "OperateService/ListIncidents",
        "OperateService/ListPeers",
        "OperateService/ListAdapters",
        "OperateService/Pause",
        "OperateService/Resume",
        "OperateService/PingPeer",
        "OperateService/ListTrust",
        "OperateService/PlanBulk",
        "OperateService/ApproveBulk",
        "OperateService/RunBulk",
        "OperateService/StopBulk",
        "OperateService/GetBulk",
        "OperateService/ListBulks",
        "OperateService/ListAudit",
        "OperateService/GetStatistics",
        "OperateService/CreateConsoleLink",
        "OperateService/GetStatus",
        "OperateService/ListRefusals",
    ];
    let known = path.strip_prefix("/lienthong.gateway.v1.").filter(|method| METHODS.contains(method));
    known.unwrap_or("other").to_owned()
}

/// The number of the gRPC code; an answer with a body has none in its head and counts as begun well.
fn code(headers: &http::HeaderMap) -> String {
    let code =
        headers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u8>().ok());
    code.unwrap_or(0).to_string()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_method_of_the_wire_has_its_label_and_nothing_else_has_one() {
        let set = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap();
        let services =
            set.file.iter().filter(|file| file.package() == "lienthong.gateway.v1").flat_map(|file| &file.service);
        let mut methods = 0;
        for service in services {
            for called in &service.method {
                let name = format!("{}/{}", service.name(), called.name());
                assert_eq!(method(&format!("/lienthong.gateway.v1.{name}")), name);
                methods += 1;
            }
        }
        assert!(methods >= 20);
        assert_eq!(method("/lienthong.gateway.v1.SubmitService/x"), "other");
    }
}
