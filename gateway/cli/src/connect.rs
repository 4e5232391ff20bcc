//! Connecting to a gateway: a profile (address and TLS identity) and a channel.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use gateway_model::language::Language;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::exit::{Unreachable, Usage};

/// Flags that name a gateway and who is calling.
#[derive(Args, Debug, Clone)]
pub struct Connect {
    /// Profile file: TOML with gateway, certificate, key, roots.
    #[arg(long, env = "LIENTHONG_PROFILE", value_name = "FILE", default_value = "lienthong.toml")]
    pub profile: PathBuf,
    /// Address of the gateway; overrides the profile.
    #[arg(long, env = "LIENTHONG_GATEWAY", value_name = "URL")]
    pub gateway: Option<String>,
}

/// Who calls whom. Relative paths start from the profile's folder.
#[derive(Serialize, Deserialize, Debug, Clone)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Address of the gateway, `https://host:port`.
    pub gateway: String,
    /// PEM certificate of the caller.
    pub certificate: PathBuf,
    /// PEM private key of the caller.
    pub key: PathBuf,
    /// PEM certificates that the gateway's certificate chains to.
    pub roots: PathBuf,
}

impl Connect {
    /// Reads the profile and connects.
    ///
    /// # Errors
    /// When the profile or its files cannot be read, or the gateway does not answer.
    pub async fn open(&self, language: Language) -> anyhow::Result<Caller> {
        if let Some(gateway) = &self.gateway {
            check_address(gateway).map_err(Usage)?;
        }
        let mut profile = Profile::load(&self.profile)?;
        if let Some(gateway) = &self.gateway {
            profile.gateway.clone_from(gateway);
        }
        Ok(InterceptedService::new(profile.open().await?, Speaks(language)))
    }
}

/// A connection on which every call says which language its caller reads.
pub type Caller = InterceptedService<Channel, Speaks>;

/// Says in every call which language the caller reads.
#[derive(Clone, Copy, Debug)]
pub struct Speaks(pub Language);

impl Interceptor for Speaks {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("accept-language", MetadataValue::from_static(self.0.tag()));
        Ok(request)
    }
}

/// Gateways are reached by TLS only.
fn check_address(address: &str) -> Result<(), String> {
    let uri: Option<Uri> = address.parse().ok();
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https") => Ok(()),
        _ => Err(format!("{address:?} is not an address of a gateway, such as https://host:port")),
    }
}

impl Profile {
    /// Reads a profile; its paths become absolute.
    ///
    /// # Errors
    /// When it cannot be read or has unknown keys.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the profile {}; name one with --profile (gateway, certificate, key, roots)",
                path.display()
            )
        })?;
        let mut profile: Self =
            toml::from_str(&text).with_context(|| format!("cannot read the profile {}", path.display()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in [&mut profile.certificate, &mut profile.key, &mut profile.roots] {
            *file = base.join(&*file);
        }
        Ok(profile)
    }

    /// Connects.
    ///
    /// # Errors
    /// When the TLS files cannot be read or the gateway does not answer.
    pub async fn open(&self) -> anyhow::Result<Channel> {
        check_address(&self.gateway).map_err(anyhow::Error::msg)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.tls()?));
        let endpoint = Endpoint::from_shared(self.gateway.clone())
            .with_context(|| format!("{:?} is not an address like https://host:port", self.gateway))?
            .connect_timeout(Duration::from_secs(10))
            .tcp_nodelay(true)
            .initial_stream_window_size(4 * 1024 * 1024)
            .initial_connection_window_size(16 * 1024 * 1024)
            .http2_keep_alive_interval(Duration::from_secs(20));
        let service = tower::service_fn(move |uri: Uri| {
            let connector = connector.clone();
            async move { dial(connector, uri).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(service).await.map_err(|cause| {
            let cause = std::error::Error::source(&cause).map_or_else(|| cause.to_string(), ToString::to_string);
            Unreachable { gateway: self.gateway.clone(), cause }.into()
        })
    }

    /// How it is reached over TLS: by HTTP/2, unless the caller says otherwise.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn tls(&self) -> anyhow::Result<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        for root in read_certificates(&self.roots)? {
            roots.add(root).with_context(|| format!("{} has a certificate that is no root", self.roots.display()))?;
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("cannot read the key {}", self.key.display()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(read_certificates(&self.certificate)?, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Reads every certificate of a PEM file.
///
/// # Errors
/// When it cannot be read.
pub fn read_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read the certificates in {}", path.display()))
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// Connects to the host and port of an address.
///
/// # Errors
/// When it has none, or nobody answers there who has a certificate of a root.
pub(crate) async fn dial(connector: tokio_rustls::TlsConnector, uri: Uri) -> std::io::Result<Stream> {
    let missing = |what| std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("the address has no {what}"));
    let host = uri.host().ok_or_else(|| missing("host"))?.trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let stream = tokio::net::TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
    connector.connect(name, stream).await
}
