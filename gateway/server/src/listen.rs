//! Serves the doors on a listener: HTTP/2 with every bound set.

use proto::v1::adapter_service_server::AdapterServiceServer;
use proto::v1::directory_service_server::DirectoryServiceServer;
use proto::v1::operate_service_server::OperateServiceServer;
use proto::v1::relay_service_server::RelayServiceServer;
use proto::v1::submit_service_server::SubmitServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::config::Config;
use crate::doors::Doors;
use crate::doors::adapter::AdapterDoor;
use crate::doors::directory::DirectoryDoor;
use crate::doors::operate::OperateDoor;
use crate::doors::relay::RelayDoor;
use crate::doors::submit::SubmitDoor;
use crate::metrics::Counting;
use crate::tls::{AcceptBounds, accept_counted};

/// One message: an envelope, eight signatures and the inline parts, or a chunk, with room for the wrapping. Nothing is compressed, so this
/// is also what it takes in memory.
const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// One message of the relay door: 256 receipts on their way back.
const RELAY_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Headers of one request, in bytes.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Streams that a client opened and reset at once, before the connection is closed (rapid reset).
const RESETS_PENDING_MAX: usize = 20;
/// Streams that this side reset for a client's faults, before the connection is closed.
const RESETS_LOCAL_MAX: usize = 64;
/// What one stream may send before it is read.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What one connection may send before it is read.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Serves until `closing`; then takes no new connections, and ends when the requests in flight have ended.
///
/// # Errors
/// When the transport breaks down.
pub async fn serve(
    doors: Doors,
    listener: TcpListener,
    tls: std::sync::Arc<rustls::ServerConfig>,
    config: &Config,
    closing: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let bounds = AcceptBounds::new(&config.tls, &config.limits);
    let incoming = accept_counted(listener, tls, bounds, doors.metrics.clone(), closing.clone());
    let counting = Counting(doors.metrics.clone());
    let submit = SubmitServiceServer::new(SubmitDoor(doors.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let adapter = AdapterServiceServer::new(AdapterDoor(doors.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let relay = RelayServiceServer::new(RelayDoor(doors.clone())).max_decoding_message_size(RELAY_MESSAGE_BYTES_MAX);
    let directory = DirectoryServiceServer::new(DirectoryDoor(doors.clone()));
    let operate = OperateServiceServer::new(OperateDoor(doors)).max_encoding_message_size(usize::MAX);
    Server::builder()
        .http2_keepalive_interval(Some(config.listen.keepalive))
        .http2_keepalive_timeout(Some(config.listen.keepalive_timeout))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_PENDING_MAX))
        .http2_max_local_error_reset_streams(Some(RESETS_LOCAL_MAX))
        .max_concurrent_streams(config.limits.streams_per_connection)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .layer(counting)
        .add_service(submit)
        .add_service(adapter)
        .add_service(relay)
        .add_service(directory)
        .add_service(operate)
        .serve_with_incoming_shutdown(incoming, closing.cancelled_owned())
        .await
}
