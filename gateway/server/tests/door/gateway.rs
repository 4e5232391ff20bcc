//! A gateway of an invented province in this process: real TLS, real signatures, a real store.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use certs_dev::province::{Plan, Province};
use certs_dev::sign::{SignOptions, cms_detached};
use gateway_directory::{Source, issue};
use gateway_model::agency::Gateway as Registered;
use gateway_model::id::AgencyId;
use gateway_model::note::NoteSigner;
use gateway_model::{Digest, Timestamp};
use gateway_server::notice::Addresses;
use gateway_server::tls::Identity;
use gateway_server::{App, Config, RunError, config, dial};
use prost::Message as _;
use proto::v1;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tracing_subscriber::EnvFilter;

/// The folder, the province in it, and the configuration of its topmost gateway.
pub struct Site {
    pub folder: TempDir,
    pub province: Province,
    pub extra: String,
    gateway: String,
}

/// A gateway that serves.
pub struct Running {
    id: String,
    pub addresses: Addresses,
    pub engine: gateway_engine::Engine,
    pub shutdown: CancellationToken,
    ended: JoinHandle<Result<(), RunError>>,
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

impl Site {
    /// The topmost gateway of a province, alone.
    pub fn new() -> Self {
        Self::planned(&Plan::sized(1, 2))
    }

    pub fn planned(plan: &Plan) -> Self {
        // With RUST_LOG set, a failing test tells what its gateways did; the first test installs it for all.
        drop(tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_test_writer().try_init());
        let folder = tempfile::tempdir().unwrap();
        let province = Province::generate(folder.path(), plan, now()).unwrap();
        let land_office =
            "[[adapter]]\nname = \"land-office\"\nkind = \"folder\"\nagencies = [\"h99.21\"]\npath = \"land-office\"\n";
        let site = Self { folder, province, extra: land_office.to_owned(), gateway: "gw-province".to_owned() };
        site.issue(1);
        site
    }

    /// Adds sections to the configuration.
    pub fn with(mut self, extra: &str) -> Self {
        self.extra.push_str(extra);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs the directory of `agencies.toml` as it stands.
    pub fn issue(&self, version: u64) {
        let source = Source::read(&self.province.agencies_toml).unwrap();
        let key = PrivatePkcs8KeyDer::from_pem_file(&self.province.authority_key).unwrap();
        let signer = NoteSigner::from_pkcs8(self.province.authority.name(), key.secret_pkcs8_der()).unwrap();
        let bytes = issue(&source, Some(version), Timestamp::from_seconds(now()), &signer).unwrap();
        let new = self.path("directory.new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, self.path("directory.bin")).unwrap();
    }

    fn text(&self, gateway: &str, port: u16, data: &str, directory: &str, extra: &str) -> String {
        format!(
            r#"[gateway]
id = "{gateway}"
drain = "5s"
[listen]
doors = "127.0.0.1:{port}"
admin = "127.0.0.1:0"
[tls]
certificate = "tls/{gateway}.pem"
key = "tls/{gateway}.key"
roots = ["tls/ca.pem"]
[store]
path = "{data}"
free_bytes_min = "1MiB"
[evidence]
key = "log/{gateway}.key"
[directory]
{directory}
authority = "{}"
refresh = "50ms"
{extra}
"#,
            self.province.authority
        )
    }

    fn parse(&self, text: &str) -> Config {
        let faults = |faults: Vec<config::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Config::parse(text, &self.path("gateway.toml"), []).map_err(faults).unwrap()
    }

    /// The configuration of the topmost gateway.
    pub fn config(&self) -> Config {
        self.parse(&self.config_text())
    }

    /// The same as it is written.
    pub fn config_text(&self) -> String {
        self.text(&self.gateway, 0, "data", "file = \"directory.bin\"", &self.extra)
    }

    pub async fn start(&self) -> Running {
        self.run(self.config()).await
    }

    /// Starts a gateway of a ladder at a port of its own.
    pub async fn start_at(&self, gateway: &str, port: u16, directory: &str, extra: &str) -> Running {
        let text = self.text(gateway, port, &format!("data-{gateway}"), directory, extra);
        self.run(self.parse(&text)).await
    }

    async fn run(&self, config: Config) -> Running {
        let id = config.gateway.id.to_string();
        let app = App::start(config).await.unwrap();
        let (addresses, engine, shutdown) = (app.addresses().clone(), app.engine().clone(), CancellationToken::new());
        let ended = tokio::spawn(app.run(shutdown.clone()));
        Running { id, addresses, engine, shutdown, ended }
    }

    /// TLS as the holder of the certificate in these files.
    fn client(&self, certificate: &Path, key: &Path) -> Arc<rustls::ClientConfig> {
        let tls = config::Tls {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            roots: vec![self.province.tls_ca.clone()],
            handshake_timeout: Duration::from_secs(10),
        };
        Identity::read(&tls).unwrap().client(certificate).unwrap()
    }

    /// A bare TLS connection as a system of the province.
    pub async fn connection(&self, running: &Running, id: &str) -> TlsStream<TcpStream> {
        self.connection_to(running.addresses.doors, id).await
    }

    /// The same to any port of the gateway, as a system or an operator.
    pub async fn connection_to(&self, address: SocketAddr, id: &str) -> TlsStream<TcpStream> {
        let client = self.client(&self.path(&format!("tls/{id}.pem")), &self.path(&format!("tls/{id}.key")));
        let stream = TcpStream::connect(address).await.unwrap();
        tokio_rustls::TlsConnector::from(client).connect("localhost".try_into().unwrap(), stream).await.unwrap()
    }

    /// A channel as the holder of the certificate in these files.
    pub fn channel_as(&self, running: &Running, certificate: &Path, key: &Path) -> Channel {
        let client = self.client(certificate, key);
        dial::channel(client, &self.registered(running)).unwrap()
    }

    /// A channel as a system, an operator or a gateway of the province.
    pub fn channel(&self, running: &Running, id: &str) -> Channel {
        self.channel_as(running, &self.path(&format!("tls/{id}.pem")), &self.path(&format!("tls/{id}.key")))
    }

    fn registered(&self, running: &Running) -> Registered {
        let gateway = self.province.gateways.iter().find(|gateway| gateway.id.as_str() == running.id).unwrap();
        Registered {
            id: gateway.id.clone(),
            address: format!("https://{}", running.addresses.doors),
            parent: None,
            tls_certificates: vec![Digest::of(&gateway.tls.credential.certificate_der)],
            log_keys: vec![gateway.log_verifier.clone()],
            direct_links: Vec::new(),
        }
    }

    /// An envelope from the department to `to`, sealed by the department.
    pub fn envelope(&self, to: &str, parts: &[&[u8]]) -> (String, v1::SignedEnvelope) {
        self.envelope_from(&self.province.cast.department, to, parts)
    }

    pub fn envelope_from(&self, sender: &AgencyId, to: &str, parts: &[&[u8]]) -> (String, v1::SignedEnvelope) {
        let id = uuid::Uuid::now_v7().to_string();
        let timestamp = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let part = |(at, bytes): (usize, &&[u8])| v1::Part {
            name: format!("tệp {at}.pdf"),
            media_type: "application/pdf".to_owned(),
            size: bytes.len() as u64,
            sha256: digest(bytes),
            role: String::new(),
        };
        let envelope = v1::Envelope {
            schema: "lienthong.envelope.v1".to_owned(),
            id: id.clone(),
            from: sender.to_string(),
            to: vec![v1::Recipient { agency: to.to_owned() }],
            created_at: timestamp(now()),
            expires_at: timestamp(now() + 86_400),
            priority: v1::Priority::Normal.into(),
            content: Some(v1::envelope::Content::Document(v1::Document {
                code: "1/TT".to_owned(),
                type_name: "Tờ trình".to_owned(),
                subject: "Thử nghiệm".to_owned(),
                promulgated_on: "2026-01-01".to_owned(),
            })),
            parts: parts.iter().enumerate().map(part).collect(),
            ..v1::Envelope::default()
        };
        (id, self.sign(sender, envelope.encode_to_vec()))
    }

    pub fn sign(&self, agency: &AgencyId, envelope: Vec<u8>) -> v1::SignedEnvelope {
        let seal = &self.province.agency(agency).unwrap().seal.credential;
        let cms = cms_detached(&envelope, seal, SignOptions::at(now())).unwrap();
        let signature = v1::Signature { cms: cms.into(), role: v1::SignatureRole::Agency.into() };
        v1::SignedEnvelope { envelope: envelope.into(), signatures: vec![signature] }
    }

    /// Opens a receipt offline, by the key of the gateway that it names.
    pub fn verify(&self, receipt: v1::Receipt) -> gateway_evidence::Event {
        let receipt = gateway_evidence::Receipt::from_wire(receipt).unwrap();
        let named = gateway_evidence::Event::decode(&receipt.event).unwrap().gateway;
        let gateway = self.province.gateway(&named).unwrap();
        receipt.verify(named.as_str(), std::slice::from_ref(&gateway.log_verifier)).unwrap()
    }
}

impl Running {
    pub async fn stop(self) -> Result<(), RunError> {
        self.shutdown.cancel();
        self.ended.await.unwrap()
    }
}

pub fn digest(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(Digest::of(bytes).as_bytes())
}

/// Ports that are free now.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// One plain HTTP request to the admin port.
pub async fn get(running: &Running, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(running.addresses.admin).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (code, answer)
}
