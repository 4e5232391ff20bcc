//! Dials another gateway: mutual TLS, and the certificate that the directory registers for it, no other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gateway_model::Digest;
use gateway_model::agency::Gateway;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Makes a channel to `gateway`; it connects at the first call.
///
/// # Errors
/// When the registered address is none.
pub fn channel(tls: Arc<rustls::ClientConfig>, gateway: &Gateway) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(gateway.address.clone())?
        .connect_timeout(CONNECT_TIME_MAX)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .tcp_nodelay(true);
    let connector = TlsConnector::from(tls);
    let registered: Arc<[Digest]> = gateway.tls_certificates.clone().into();
    let dial = tower::service_fn(move |uri: Uri| {
        let (connector, registered) = (connector.clone(), registered.clone());
        async move { dial(connector, uri, &registered).await.map(TokioIo::new) }
    });
    Ok(endpoint.connect_with_connector_lazy(dial))
}

async fn dial(connector: TlsConnector, uri: Uri, registered: &[Digest]) -> io::Result<TlsStream<TcpStream>> {
    let missing = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("the address has no {what}"));
    let host = uri.host().ok_or_else(|| missing("host"))?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().ok_or_else(|| missing("port"))?;
    let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let stream = connector.connect(name, stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|leaf| Digest::of(leaf));
    if leaf.is_some_and(|leaf| registered.contains(&leaf)) {
        Ok(stream)
    } else {
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the certificate is not the one that the directory registers",
        ))
    }
}
