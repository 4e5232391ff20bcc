//! (2) One gRPC echo of the same bytes: the real service's messages over the real mTLS channel, with a handler that does nothing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gateway_server::tls::{AcceptBounds, Identity, accept};
use proto::v1;
use proto::v1::submit_service_server::{SubmitService, SubmitServiceServer};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::floor::{Cost, process_cpu};
use super::load::{Run, Supply, unary};
use crate::connect::Profile;

/// The echo's cost at many in flight, and its time alone.
#[derive(Clone, Debug)]
pub struct EchoFloor {
    /// Processor time of both ends, and wall time, of one echo at 256 in flight.
    pub cost: Cost,
    /// One in flight.
    pub alone: Run,
}

/// Runs an echo server and a client in this process, with the TLS identities of a gateway and a system.
///
/// # Errors
/// When the server cannot listen or an echo fails.
pub async fn measure(identity: &Identity, profile: &Profile, supply: Supply) -> anyhow::Result<EchoFloor> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let closing = CancellationToken::new();
    let bounds = AcceptBounds { connections: 64, handshakes: 64, handshake_timeout: Duration::from_secs(10) };
    let incoming = accept(listener, identity.server(&profile.certificate)?, bounds, closing.clone());
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(16 * 1024 * 1024)
        .add_service(SubmitServiceServer::new(Echo))
        .serve_with_incoming(incoming);
    let running = tokio::spawn(server);
    let profile = Profile { gateway: format!("https://{address}"), ..profile.clone() };
    let mut channels: Vec<Channel> = Vec::new();
    for _ in 0..super::CHANNELS {
        channels.push(profile.open().await?);
    }
    let supply = Arc::new(supply);
    let alone = unary(&channels[..1], &supply, 1, Duration::from_secs(1)).await?;
    let cpu = process_cpu()?;
    let busy = unary(&channels, &supply, 256, Duration::from_secs(60)).await?;
    let count = u32::try_from(busy.count)?;
    let cost =
        Cost { cpu: process_cpu()?.saturating_sub(cpu) / count, wall: Duration::from_secs_f64(1.0 / busy.per_second) };
    closing.cancel();
    running.abort();
    Ok(EchoFloor { cost, alone })
}

/// Answers a submission with its own bytes.
struct Echo;

type Answers<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the echo answers Submit only"))
}

#[tonic::async_trait]
impl SubmitService for Echo {
    type SubmitManyStream = Answers<v1::SubmitManyResponse>;
    type WatchStream = Answers<v1::WatchResponse>;

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<v1::SubmitResponse>, Status> {
        let envelope = request
            .into_inner()
            .envelope
            .context("no envelope")
            .map_err(|cause| Status::invalid_argument(cause.to_string()))?;
        let receipt = v1::Receipt { event: envelope.envelope, ..Default::default() };
        Ok(Response::new(v1::SubmitResponse { receipt: Some(receipt), duplicate: false }))
    }

    async fn submit_many(
        &self,
        _: Request<Streaming<v1::SubmitManyRequest>>,
    ) -> Result<Response<Self::SubmitManyStream>, Status> {
        not_here()
    }

    async fn upload_part(
        &self,
        _: Request<Streaming<v1::UploadPartRequest>>,
    ) -> Result<Response<v1::UploadPartResponse>, Status> {
        not_here()
    }

    async fn missing_parts(
        &self,
        _: Request<v1::MissingPartsRequest>,
    ) -> Result<Response<v1::MissingPartsResponse>, Status> {
        not_here()
    }

    async fn track(&self, _: Request<v1::TrackRequest>) -> Result<Response<v1::TrackResponse>, Status> {
        not_here()
    }

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        not_here()
    }

    async fn get_receipt(&self, _: Request<v1::GetReceiptRequest>) -> Result<Response<v1::GetReceiptResponse>, Status> {
        not_here()
    }
}
