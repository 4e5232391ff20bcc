//! The admin port: metrics, liveness, readiness, gRPC health and reflection. Plain HTTP; private by configuration.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use gateway_engine::Engine;
use gateway_store::Pressure;
use prometheus_client::encoding::text;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Services that health tells of; the empty name is the whole gateway.
const SERVICES: [&str; 6] = [
    "",
    "lienthong.gateway.v1.SubmitService",
    "lienthong.gateway.v1.AdapterService",
    "lienthong.gateway.v1.RelayService",
    "lienthong.gateway.v1.DirectoryService",
    "lienthong.gateway.v1.OperateService",
];

/// What the admin port tells about. Clones share it.
#[derive(Clone)]
pub struct Admin(Arc<AdminParts>);

struct AdminParts {
    engine: Engine,
    registry: Registry,
    gauges: Gauges,
    draining: CancellationToken,
    health: Mutex<Option<HealthReporter>>,
}

/// Read from the store and the directory at every scrape.
#[derive(Clone, Default)]
struct Gauges {
    envelopes: Gauge,
    waiting: Gauge,
    forwarded: Gauge,
    held: Gauge,
    returns: Gauge,
    log_size: Gauge,
    free_bytes: Gauge,
    directory_version: Gauge,
    directory_expires_at: Gauge,
}

/// Why the admin port cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Reflection.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The port.
    #[error("the admin port stopped: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Whether the gateway may be sent work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// It may.
    Ready,
    /// It may not, and why.
    NotReady(&'static str),
}

impl Admin {
    /// Adds its own numbers to `registry`, which the engine has filled.
    pub fn new(engine: Engine, mut registry: Registry, draining: CancellationToken) -> Self {
        let gauges = Gauges::register(&mut registry);
        Self(Arc::new(AdminParts { engine, registry, gauges, draining, health: Mutex::new(None) }))
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), AdminError> {
        let pages = axum::Router::new()
            .route("/metrics", get(metrics))
            .route("/live", get(|| async { "live\n" }))
            .route("/ready", get(ready))
            .with_state(self.clone());
        let (reporter, health) = tonic_health::server::health_reporter();
        *self.0.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(reporter);
        self.tell_health().await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let routes = Routes::from(pages).add_service(health).add_service(reflection);
        tonic::transport::Server::builder()
            .accept_http1(true)
            .max_concurrent_streams(Some(64))
            .concurrency_limit_per_connection(64)
            .add_routes(routes)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
            .await?;
        Ok(())
    }

    /// Tells the health service what [`Admin::readiness`] says now.
    pub async fn tell_health(&self) {
        let reporter = self.0.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(reporter) = reporter else { return };
        let status = match self.readiness() {
            Readiness::Ready => ServingStatus::Serving,
            Readiness::NotReady(_) => ServingStatus::NotServing,
        };
        for service in SERVICES {
            reporter.set_service_status(service, status).await;
        }
    }

    /// Ready: store writable, trust loaded, not draining. A peer that is down does not make this gateway unready.
    pub fn readiness(&self) -> Readiness {
        let engine = &self.0.engine;
        if self.0.draining.is_cancelled() {
            return Readiness::NotReady("draining");
        }
        if engine.trust().usable(engine.clock().now()).is_err() {
            return Readiness::NotReady("no directory in force");
        }
        match engine.store().pressure() {
            Pressure::Free => Readiness::Ready,
            Pressure::Busy { reason, .. } => Readiness::NotReady(reason.code()),
        }
    }

    async fn scrape(&self) -> Result<String, std::fmt::Error> {
        let gauges = &self.0.gauges;
        match self.0.engine.store().counts().await {
            Ok(counts) => gauges.take(&counts),
            Err(error) => tracing::warn!(%error, "the store cannot be counted"),
        }
        if let Some(snapshot) = self.0.engine.trust().current() {
            set(&gauges.directory_version, snapshot.directory().version());
            gauges.directory_expires_at.set(snapshot.directory().expires_at().seconds());
        }
        let mut page = String::new();
        text::encode(&mut page, &self.0.registry)?;
        Ok(page)
    }
}

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register("lienthong_envelopes", "Envelopes kept", gauges.envelopes.clone());
        registry.register(
            "lienthong_deliveries_waiting",
            "Deliveries that wait for an attempt",
            gauges.waiting.clone(),
        );
        registry.register(
            "lienthong_deliveries_forwarded",
            "Deliveries whose final receipt is awaited",
            gauges.forwarded.clone(),
        );
        registry.register("lienthong_deliveries_held", "Deliveries that need a person", gauges.held.clone());
        registry.register("lienthong_receipts_waiting", "Receipts on their way back", gauges.returns.clone());
        registry.register("lienthong_log_leaves", "Leaves in the evidence log", gauges.log_size.clone());
        registry.register_with_unit(
            "lienthong_store_free",
            "Bytes free on the disk of the store",
            Unit::Bytes,
            gauges.free_bytes.clone(),
        );
        registry.register(
            "lienthong_directory_version",
            "Version of the directory in force",
            gauges.directory_version.clone(),
        );
        registry.register_with_unit(
            "lienthong_directory_expires_at",
            "When the directory in force expires, Unix time",
            Unit::Seconds,
            gauges.directory_expires_at.clone(),
        );
        gauges
    }

    fn take(&self, counts: &gateway_store::query::Counts) {
        set(&self.envelopes, counts.envelopes);
        set(&self.waiting, counts.waiting);
        set(&self.forwarded, counts.forwarded);
        set(&self.held, counts.held);
        set(&self.returns, counts.returns);
        set(&self.log_size, counts.log_size);
        set(&self.free_bytes, counts.free_bytes);
    }
}

fn set(gauge: &Gauge, number: u64) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match admin.scrape().await {
        Ok(page) => (StatusCode::OK, [(header::CONTENT_TYPE, OPEN_METRICS)], page),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], String::new()),
    }
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    match admin.readiness() {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}
