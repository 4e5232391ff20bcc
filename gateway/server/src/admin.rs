//! The admin port: metrics, liveness, readiness, gRPC health and reflection. Plain HTTP; private by configuration.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use gateway_engine::Engine;
use gateway_model::id::AgencyId;
use gateway_store::Pressure;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::gauges::Gauges;

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
    /// One scrape at a time: what is counted anew is not read half-way.
    gauges: tokio::sync::Mutex<Gauges>,
    draining: CancellationToken,
    health: Mutex<Option<HealthReporter>>,
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
    /// Adds its own numbers to `registry`, which the engine has filled. `adapters` are their names by the agencies that they serve.
    pub fn new(
        engine: Engine,
        mut registry: Registry,
        adapters: HashMap<AgencyId, String>,
        draining: CancellationToken,
    ) -> Self {
        let gauges = tokio::sync::Mutex::new(Gauges::register(&mut registry, adapters));
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
        let mut gauges = self.0.gauges.lock().await;
        gauges.look(&self.0.engine).await;
        let mut page = String::new();
        text::encode(&mut page, &self.0.registry)?;
        Ok(page)
    }
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
