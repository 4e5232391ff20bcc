//! One connection to a gateway: dialled once, never healed. When it breaks, the next call dials another.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use hyper_util::rt::TokioIo;
use proto::v1::relay_service_client::RelayServiceClient;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::config::{RelayIdentity, RelaySettings};
use crate::fault::{Fault, bounded};
use crate::pipeline::Pipeline;
use crate::{PeerFacts, tls};

/// Bytes of one answer of the peer; receipts are small.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A live connection with its stream.
pub(crate) struct Link {
    /// The facts it was dialled by.
    pub facts: PeerFacts,
    /// For calls besides the stream.
    pub client: RelayServiceClient<Channel>,
    /// The stream of envelopes.
    pub pipeline: Pipeline,
    /// The certificate that the other side showed, DER.
    pub certificate: Vec<u8>,
    /// What goes on besides for as long as the connection is held.
    pub besides: JoinSet<()>,
}

impl Link {
    /// Connects within the bound.
    pub(crate) async fn dial(
        facts: PeerFacts,
        identity: &RelayIdentity,
        settings: &RelaySettings,
        answers: &Arc<AtomicU64>,
    ) -> Result<Self, Fault> {
        let dialled = tokio::time::timeout(settings.connect_time_max, connect(&facts, identity, settings)).await;
        let (channel, certificate) =
            dialled.map_err(|_| Fault::Unreachable(format!("{} does not answer in time", facts.address)))??;
        let client = RelayServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let pipeline = Pipeline::open(client.clone(), settings.in_flight_max, answers.clone());
        Ok(Self { facts, client, pipeline, certificate, besides: JoinSet::new() })
    }

    /// Whether the stream still stands.
    pub(crate) fn is_alive(&self) -> bool {
        self.pipeline.is_open()
    }
}

/// The channel, and the certificate that the other side showed.
async fn connect(
    facts: &PeerFacts,
    identity: &RelayIdentity,
    settings: &RelaySettings,
) -> Result<(Channel, Vec<u8>), Fault> {
    let (host, port) = host_and_port(&facts.address)?;
    let unreachable =
        |fault: &dyn std::fmt::Display| Fault::Unreachable(bounded(&format!("{}: {fault}", facts.address)));
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|fault| unreachable(&fault))?;
    tcp.set_nodelay(true).map_err(|fault| unreachable(&fault))?;
    let config = tls::client_config(identity, facts.tls_certificates.clone()).map_err(|fault| unreachable(&fault))?;
    let name = ServerName::try_from(host.clone()).map_err(|fault| unreachable(&fault))?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, tcp).await.map_err(|fault| tls_fault(&facts.address, &fault))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|leaf| leaf.to_vec());
    let channel = over(stream, facts, settings).await.map_err(|fault| unreachable(&fault))?;
    Ok((channel, shown.unwrap_or_default()))
}

/// HTTP/2 over a connection that stands. Its connector gives the connection away once and then no more.
async fn over(
    stream: TlsStream<TcpStream>,
    facts: &PeerFacts,
    settings: &RelaySettings,
) -> Result<Channel, tonic::transport::Error> {
    let once = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_: Uri| {
        let given = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(given.ok_or_else(|| io::Error::new(io::ErrorKind::NotConnected, "the connection is closed")))
    });
    let origin = facts.address.parse().unwrap_or_default();
    // The scheme of the endpoint itself stays http: TLS is done already.
    Endpoint::from_static("http://gateway")
        .origin(origin)
        .http2_keep_alive_interval(settings.ping_after)
        .keep_alive_timeout(settings.ping_time_max)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
}

fn tls_fault(address: &str, fault: &io::Error) -> Fault {
    let detail = bounded(&format!("{address}: {fault}"));
    match fault.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::UnsupportedNameType
            | rustls::Error::PeerIncompatible(_),
        ) => Fault::NotTrusted(detail),
        _ => Fault::Unreachable(detail),
    }
}

fn host_and_port(address: &str) -> Result<(String, u16), Fault> {
    let wrong = || Fault::Unreachable(bounded(&format!("{address} is not of the form https://host:port")));
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(443)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_with_host_and_port() {
        let check = |address: &str, expected: Option<(&str, u16)>| {
            let found = host_and_port(address).ok();
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{address}");
        };
        check("https://gw.example:8443", Some(("gw.example", 8443)));
        check("https://gw.example", Some(("gw.example", 443)));
        check("https://[::1]:9", Some(("::1", 9)));
        check("http://gw.example:8443", None);
        check("gw.example", None);
        check("", None);
    }
}
