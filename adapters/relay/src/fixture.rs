//! A gateway to relay to, over real sockets and real TLS, that does as the test says; and a wire to it that can be cut.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use adapters_sdk::relay::{Relay, RelayAdapters};
use adapters_sdk::{Delivery, PartSource};
use async_trait::async_trait;
use bytes::Bytes;
use certs_dev::pki::Credential;
use certs_dev::tls::TlsLadder;
use gateway_model::envelope::{ContentKind, ContentSummary, Envelope, Part, Priority, ResolvedRecipient};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId};
use gateway_model::{Digest, Timestamp};
use prost::Message;
use proto::v1;
use proto::v1::relay_response::Result as Answered;
use proto::v1::relay_service_server::{RelayService, RelayServiceServer};
use proto::v1::relay_service_upload_part_request::Frame;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use crate::{PeerBook, PeerFacts, RelayIdentity, RelayPeers, RelaySettings};

/// What the gateway does with the next envelope.
pub(crate) enum Reply {
    Accept,
    Refuse(v1::Refused),
    /// Keeps it and says nothing.
    Silent,
    /// Keeps it and answers this many together, the last one first.
    Gather(usize),
    /// Ends the stream with a status.
    End(Status),
}

/// What the gateway has seen and does next.
#[derive(Default)]
pub(crate) struct Script {
    pub replies: Mutex<VecDeque<Reply>>,
    pub requests: Mutex<Vec<v1::RelayRequest>>,
    pub came: Notify,
    /// Receipt by envelope bytes: the first one is given again.
    pub receipts: Mutex<BTreeMap<Bytes, v1::Receipt>>,
    pub parts: Mutex<BTreeMap<Bytes, Vec<u8>>>,
    pub headers: Mutex<Vec<v1::PartHeader>>,
    /// Breaks the next upload after this many bytes.
    pub breaks_after: Mutex<Option<usize>>,
    pub uploads_end_with: Mutex<Option<Status>>,
    /// The line takes so long for each chunk.
    pub thin: Mutex<Duration>,
    pub verdicts: Mutex<Vec<v1::ReceiptVerdict>>,
    pub returned: Mutex<Vec<v1::Receipt>>,
    pub name: Mutex<String>,
    pub key_exchanges: Mutex<Vec<String>>,
}

impl Script {
    pub(crate) fn then(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    fn accept(&self, request: &v1::RelayRequest) -> v1::RelayResponse {
        let envelope = request.envelope.clone().unwrap().envelope;
        let mut receipts = self.receipts.lock().unwrap();
        let leaf_index = receipts.len() as u64 + 1;
        let receipt = receipts.entry(envelope).or_insert(v1::Receipt { leaf_index, ..v1::Receipt::default() });
        v1::RelayResponse { sequence: request.sequence, result: Some(Answered::Accepted(receipt.clone())) }
    }
}

struct Gateway(Arc<Script>);

#[async_trait]
impl RelayService for Gateway {
    type RelayStream = ReceiverStream<Result<v1::RelayResponse, Status>>;

    async fn relay(
        &self,
        request: Request<Streaming<v1::RelayRequest>>,
    ) -> Result<Response<Self::RelayStream>, Status> {
        let (answers, stream) = mpsc::channel(64);
        let (script, mut requests) = (self.0.clone(), request.into_inner());
        tokio::spawn(async move {
            let mut gathered = Vec::new();
            while let Ok(Some(request)) = requests.message().await {
                script.requests.lock().unwrap().push(request.clone());
                let reply = script.replies.lock().unwrap().pop_front().unwrap_or(Reply::Accept);
                let mut now = Vec::new();
                match reply {
                    Reply::Accept => now.push(Ok(script.accept(&request))),
                    Reply::Refuse(refused) => {
                        now.push(Ok(v1::RelayResponse {
                            sequence: request.sequence,
                            result: Some(Answered::Refused(refused)),
                        }));
                    }
                    Reply::Silent => drop(script.accept(&request)),
                    Reply::Gather(count) => {
                        gathered.push(Ok(script.accept(&request)));
                        if gathered.len() == count {
                            now.extend(gathered.drain(..).rev());
                        }
                    }
                    Reply::End(status) => now.push(Err(status)),
                }
                script.came.notify_one();
                for answer in now {
                    if answers.send(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn return_receipts(
        &self,
        request: Request<v1::ReturnReceiptsRequest>,
    ) -> Result<Response<v1::ReturnReceiptsResponse>, Status> {
        self.0.returned.lock().unwrap().extend(request.into_inner().receipts);
        Ok(Response::new(v1::ReturnReceiptsResponse { verdicts: self.0.verdicts.lock().unwrap().clone() }))
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::RelayServiceUploadPartRequest>>,
    ) -> Result<Response<v1::RelayServiceUploadPartResponse>, Status> {
        let mut frames = request.into_inner();
        if let Some(status) = self.0.uploads_end_with.lock().unwrap().take() {
            return Err(status);
        }
        let Some(Frame::Header(header)) = frames.message().await?.and_then(|request| request.frame) else {
            return Err(Status::invalid_argument("no header"));
        };
        self.0.headers.lock().unwrap().push(header.clone());
        self.0.parts.lock().unwrap().entry(header.sha256.clone()).or_default().truncate(header.offset as usize);
        let breaks_after = self.0.breaks_after.lock().unwrap().take().unwrap_or(usize::MAX);
        while let Some(request) = frames.message().await? {
            let Some(Frame::Chunk(chunk)) = request.frame else { return Err(Status::invalid_argument("no chunk")) };
            let thin = *self.0.thin.lock().unwrap();
            // The thin line itself.
            tokio::time::sleep(thin).await;
            let mut parts = self.0.parts.lock().unwrap();
            let part = parts.entry(header.sha256.clone()).or_default();
            part.extend_from_slice(&chunk);
            if part.len() >= breaks_after {
                return Err(Status::internal("the disk hiccups"));
            }
        }
        Ok(Response::new(v1::RelayServiceUploadPartResponse { size: header.size }))
    }

    async fn missing_parts(
        &self,
        request: Request<v1::RelayServiceMissingPartsRequest>,
    ) -> Result<Response<v1::RelayServiceMissingPartsResponse>, Status> {
        let parts = self.0.parts.lock().unwrap();
        let received = |sha256: &Bytes| parts.get(sha256).map_or(0, Vec::len) as u64;
        let is_whole = |sha256: &Bytes| parts.get(sha256).is_some_and(|bytes| Digest::of(bytes).0 == **sha256);
        let asked = request.into_inner().sha256;
        let missing = asked.into_iter().filter(|sha256| !is_whole(sha256));
        let missing = missing.map(|sha256| v1::MissingPart { received: received(&sha256), sha256 }).collect();
        Ok(Response::new(v1::RelayServiceMissingPartsResponse { missing }))
    }

    async fn trace(&self, _: Request<v1::TraceRequest>) -> Result<Response<v1::TraceResponse>, Status> {
        Err(Status::unimplemented("the relays under test ask nothing"))
    }

    async fn ping(&self, _: Request<v1::PingRequest>) -> Result<Response<v1::PingResponse>, Status> {
        let gateway = self.0.name.lock().unwrap().clone();
        Ok(Response::new(v1::PingResponse { gateway, version: VERSION.to_owned(), directory_version: 7 }))
    }
}

/// The gateway, the wire to it, and the relays under test.
pub(crate) struct World {
    pub ladder: TlsLadder,
    pub credential: Credential,
    pub script: Arc<Script>,
    pub book: Arc<Book>,
    pub peers: RelayPeers,
    pub wire: Wire,
    _server: JoinSet<()>,
}

/// The directory of these tests.
#[derive(Default)]
pub(crate) struct Book(pub Mutex<BTreeMap<GatewayId, PeerFacts>>);

impl PeerBook for Book {
    fn peer(&self, id: &GatewayId) -> Option<PeerFacts> {
        self.0.lock().unwrap().get(id).cloned()
    }
}

impl World {
    pub(crate) async fn new(settings: RelaySettings) -> Self {
        Self::with_versions(settings, &[&rustls::version::TLS13]).await
    }

    pub(crate) async fn with_versions(
        settings: RelaySettings,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let ladder = TlsLadder::new(seconds_now() - 86_400).unwrap();
        let credential = ladder.issue("gw-tinh", &[]).unwrap();
        let script = Arc::new(Script::default());
        *script.name.lock().unwrap() = "tinh".to_owned();
        let mut server = JoinSet::new();
        let address = serve(&mut server, &ladder, &credential, script.clone(), versions).await;
        let wire = Wire::new(address).await;
        let book = Arc::new(Book::default());
        let facts = PeerFacts {
            address: format!("https://{}", wire.address),
            tls_certificates: vec![Digest::of(&credential.certificate_der)],
        };
        book.0.lock().unwrap().insert(tinh(), facts);
        let ours = ladder.issue("gw-xa", &[]).unwrap();
        let authority = ladder.authority().certificate_pem();
        let identity =
            RelayIdentity::from_pem(ours.chain_pem.as_bytes(), ours.key_pem.as_bytes(), authority.as_bytes()).unwrap();
        let peers = RelayPeers::new(identity, settings, book.clone(), Arc::new(|| NOON));
        Self { ladder, credential, script, book, peers, wire, _server: server }
    }

    pub(crate) fn relay(&self) -> Arc<dyn Relay> {
        self.peers.to(&tinh()).unwrap()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut PeerFacts)) {
        change(self.book.0.lock().unwrap().get_mut(&tinh()).unwrap());
    }
}

pub(crate) const NOON: Timestamp = Timestamp::from_seconds(1_791_432_000);

pub(crate) fn tinh() -> GatewayId {
    GatewayId::parse("tinh").unwrap()
}

/// What the gateway says of its software.
pub(crate) const VERSION: &str = "4.2.0";
/// The smallest that HTTP/2 begins with.
const WINDOW_BYTES: u32 = 65_535;

fn seconds_now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64
}

async fn serve(
    tasks: &mut JoinSet<()>,
    ladder: &TlsLadder,
    credential: &Credential,
    script: Arc<Script>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> SocketAddr {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(ladder.authority().certificate_der().to_vec())).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = CertificateDer::pem_slice_iter(credential.chain_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(credential.key_pem.as_bytes()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (streams, incoming) = mpsc::channel(8);
    let seen = script.clone();
    tasks.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(tcp).await else { continue };
            let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
            seen.key_exchanges.lock().unwrap().push(format!("{:?}", group.name()));
            if streams.send(Ok::<_, std::io::Error>(Secured(stream))).await.is_err() {
                return;
            }
        }
    });
    tasks.spawn(async move {
        let service = RelayServiceServer::new(Gateway(script));
        // Little lies in between: what has left is what has come.
        let mut server = tonic::transport::Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        server.add_service(service).serve_with_incoming(ReceiverStream::new(incoming)).await.unwrap();
    });
    address
}

/// A TLS stream that tonic takes.
struct Secured(TlsStream<TcpStream>);

impl Connected for Secured {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Passes bytes both ways until it is cut; then takes new connections again.
pub(crate) struct Wire {
    pub address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    _listening: JoinSet<()>,
}

impl Wire {
    async fn new(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let (mut listening, open) = (JoinSet::new(), connections.clone());
        listening.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                open.lock().unwrap().spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                });
            }
        });
        Self { address, connections, _listening: listening }
    }

    /// Breaks every connection at once.
    pub(crate) async fn cut(&self) {
        let mut broken = std::mem::take(&mut *self.connections.lock().unwrap());
        broken.shutdown().await;
    }
}

/// Parts in memory; reading may break.
pub(crate) struct Parts {
    pub parts: BTreeMap<Digest, Bytes>,
    pub breaks_after: Option<usize>,
}

#[async_trait]
impl PartSource for Parts {
    async fn open(&self, digest: &Digest, offset: u64) -> std::io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        let bytes = self.parts[digest].slice(offset as usize..);
        let end = self.breaks_after.unwrap_or(bytes.len()).min(bytes.len());
        Ok(Box::new(std::io::Cursor::new(bytes.slice(..end))))
    }
}

/// A delivery of envelope `number` for the gateway above, with these parts.
pub(crate) fn delivery(number: u8, parts: &[&[u8]]) -> Delivery {
    let id = EnvelopeId([number.max(1); 16]);
    let key = EnvelopeKey { sender: AgencyId::parse("xa-an-phu").unwrap(), id };
    let named = AgencyId::parse("so-tnmt-cu").unwrap();
    let envelope = Bytes::from(v1::Envelope { id: id.to_string(), ..v1::Envelope::default() }.encode_to_vec());
    let part = |bytes: &&[u8]| Part {
        name: "a".into(),
        media_type: "b".into(),
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        role: String::new(),
    };
    let source = parts.iter().map(|bytes| (Digest::of(bytes), Bytes::copy_from_slice(bytes))).collect();
    Delivery {
        ids: vec![DeliveryId::new(&key, &named)],
        recipients: vec![ResolvedRecipient { named, serving: AgencyId::parse("so-tnmt").unwrap() }],
        key,
        digest: Digest::of(&envelope),
        signed: v1::SignedEnvelope { envelope, signatures: vec![v1::Signature { cms: "cms".into(), role: 2 }] }
            .encode_to_vec()
            .into(),
        envelope: Arc::new(Envelope {
            id,
            from: "xa-an-phu".into(),
            to: vec!["so-tnmt-cu".into()],
            created_at: NOON,
            expires_at: NOON.plus(Duration::from_secs(86_400)),
            priority: Priority::Normal,
            in_reply_to: None,
            supersedes: None,
            case: None,
            content: ContentSummary { kind: ContentKind::Dossier, subject: String::new(), code: String::new() },
            parts: parts.iter().map(part).collect(),
        }),
        receipt: Bytes::new(),
        first_accepted: v1::Receipt { leaf_index: 77, ..v1::Receipt::default() }.encode_to_vec().into(),
        hops: vec![GatewayId::parse("xa").unwrap(), GatewayId::parse("huyen").unwrap()],
        traceparent: Some("00-trace-01".into()),
        attempt: 1,
        deadline: NOON.plus(Duration::from_secs(60)),
        lease: Arc::new(adapters_sdk::lease::FixedLease::of(Duration::from_secs(60))),
        parts: Arc::new(Parts { parts: source, breaks_after: None }),
    }
}
