//! The gateway's door for workers, small: leases with tokens and ends, settlements, parts and submissions, over real mTLS.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use certs_dev::tls::TlsLadder;
use futures::Stream;
use gateway_model::{Digest, Reason};
use prost::Message;
use proto::v1;
use proto::v1::adapter_service_server::{AdapterService, AdapterServiceServer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt as _;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::outbound::Origin;
use crate::outbound::tls::Identity;
use crate::worker::WorkerSettings;
use crate::worker::link::wire_span;
use crate::worker::work::now;

/// What the gateway knows. Every change wakes whoever waits.
#[derive(Default)]
pub(super) struct Known {
    pub registered: Vec<v1::RegisterRequest>,
    pub workers: Vec<String>,
    pub waiting: VecDeque<v1::LeasedDelivery>,
    pub leased: HashMap<String, Leased>,
    pub completed: Vec<String>,
    pub failed: Vec<v1::FailRequest>,
    pub late: Vec<String>,
    pub phases: Vec<v1::WorkerPhase>,
    pub health: Option<v1::SystemState>,
    pub heartbeats: usize,
    pub parts: HashMap<Digest, Bytes>,
    /// Downloads break after so many bytes.
    pub breaks_after: Option<usize>,
    pub downloads: Vec<u64>,
    pub uploaded: HashMap<Digest, Vec<u8>>,
    pub submitted: Vec<v1::SubmitRequest>,
    /// Completes are refused for now.
    pub is_away: bool,
    pub credits: Vec<u32>,
    tokens: u64,
}

pub(super) struct Leased {
    pub delivery: v1::LeasedDelivery,
    pub ends: Instant,
}

/// A gateway on this machine.
#[derive(Clone)]
pub(super) struct Gateway {
    known: Arc<Mutex<Known>>,
    changed: Arc<watch::Sender<u64>>,
    arrived: Arc<Notify>,
    pub lease_time: Duration,
    pub heartbeat_every: Duration,
}

impl Gateway {
    pub(super) fn new() -> Self {
        Self {
            known: Arc::default(),
            changed: Arc::new(watch::channel(0).0),
            arrived: Arc::default(),
            lease_time: Duration::from_secs(20),
            heartbeat_every: Duration::from_millis(100),
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// Changes what is known and tells everybody.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let answer = change(&mut self.known());
        self.changed.send_modify(|count| *count += 1);
        self.arrived.notify_waiters();
        answer
    }

    /// Waits until what is known fits, at most 20 s.
    pub(super) async fn until(&self, what: &str, fits: impl Fn(&Known) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            while !fits(&self.known()) {
                changed.changed().await.unwrap();
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "in vain: {what}");
    }

    /// Ends every lease: as when its time is over, or the gateway has been restarted.
    pub(super) fn take_back_all(&self) {
        self.change(|known| {
            let leased: Vec<_> = known.leased.drain().map(|(_, leased)| leased.delivery).collect();
            known.waiting.extend(leased);
        });
    }

    fn take_back_expired(&self) {
        let mut known = self.known();
        let ended = |leased: &Leased| leased.ends <= Instant::now();
        let ids: Vec<String> =
            known.leased.iter().filter(|(_, leased)| ended(leased)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let leased = known.leased.remove(&id);
            known.waiting.extend(leased.map(|leased| leased.delivery));
        }
    }

    /// Listens, and gives the settings of a worker for it. The server ends when the task is aborted.
    pub(super) async fn listen(&self) -> (tokio::task::JoinHandle<()>, WorkerSettings) {
        let now = now().seconds();
        let ladder = TlsLadder::new(now - 86_400).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = ladder.issue("worker", &[]).unwrap();
        let identity =
            Identity { certificate_pem: own.certificate_pem.into_bytes(), key_pem: own.key_pem.into_bytes() };
        let origin = Origin::parse(&format!("https://localhost:{port}")).unwrap();
        let roots = ladder.authority().certificate_pem().into_bytes();
        let settings = WorkerSettings {
            drain_time_max: Duration::from_secs(5),
            ..WorkerSettings::new(origin, "so-tnmt".to_owned(), roots, identity)
        };
        (tokio::spawn(serve(self.clone(), listener, acceptor(&ladder))), settings)
    }

    fn known_worker(&self, worker_id: &str) -> Result<(), Status> {
        let is_known = self.known().workers.iter().any(|known| known == worker_id);
        if is_known { Ok(()) } else { Err(refused(Reason::WorkerUnknown)) }
    }

    fn settle(&self, lease: Option<v1::LeaseReference>) -> Option<v1::LeasedDelivery> {
        let lease = lease.unwrap();
        self.change(|known| {
            let holds = known
                .leased
                .get(&lease.delivery_id)
                .is_some_and(|leased| leased.delivery.lease_token == lease.lease_token && leased.ends > Instant::now());
            if !holds {
                known.late.push(lease.delivery_id);
                return None;
            }
            known.leased.remove(&lease.delivery_id).map(|leased| leased.delivery)
        })
    }

    fn lease_some(&self, most: u32) -> Vec<v1::LeasedDelivery> {
        self.change(|known| {
            let mut leased = Vec::new();
            while leased.len() < most as usize {
                let Some(mut delivery) = known.waiting.pop_front() else { break };
                known.tokens += 1;
                delivery.lease_token = known.tokens.to_be_bytes().to_vec().into();
                delivery.lease_remaining = Some(wire_span(self.lease_time));
                delivery.lease_expires_at = Some(wire_now_plus(self.lease_time));
                delivery.attempt += 1;
                let ends = Instant::now() + self.lease_time;
                known.leased.insert(delivery.delivery_id.clone(), Leased { delivery: delivery.clone(), ends });
                leased.push(delivery);
            }
            leased
        })
    }
}

fn wire_now_plus(span: Duration) -> prost_types::Timestamp {
    let (seconds, nanos) = now().plus(span).to_parts();
    prost_types::Timestamp { seconds, nanos }
}

pub(super) fn refused(reason: Reason) -> Status {
    let mut details = tonic_types::ErrorDetails::new();
    details.set_error_info(reason.code(), "lienthong.gov.vn", HashMap::<String, String>::new());
    Status::with_error_details(tonic::Code::from(reason.grpc() as i32), reason.code(), details)
}

#[tonic::async_trait]
impl AdapterService for Gateway {
    async fn get_info(&self, _: Request<v1::GetInfoRequest>) -> Result<Response<v1::GetInfoResponse>, Status> {
        let queue = v1::QueueInfo { queue: "so-tnmt".to_owned(), agencies: vec!["so-tnmt".to_owned()] };
        Ok(Response::new(v1::GetInfoResponse { queues: vec![queue], ..v1::GetInfoResponse::default() }))
    }

    async fn register(&self, request: Request<v1::RegisterRequest>) -> Result<Response<v1::RegisterResponse>, Status> {
        let request = request.into_inner();
        let (queue, is_misconfigured) = (request.queue.clone(), !request.problems.is_empty());
        let worker_id = self.change(|known| {
            known.registered.push(request);
            let worker_id = format!("w{}", known.registered.len());
            known.workers.push(worker_id.clone());
            worker_id
        });
        match queue.as_str() {
            _ if is_misconfigured => Err(refused(Reason::WorkerMisconfigured)),
            "so-tnmt" => Ok(Response::new(v1::RegisterResponse {
                worker_id,
                heartbeat_every: Some(wire_span(self.heartbeat_every)),
            })),
            _ => Err(refused(Reason::QueueUnknown)),
        }
    }

    async fn lease(&self, request: Request<v1::LeaseRequest>) -> Result<Response<v1::LeaseResponse>, Status> {
        let request = request.into_inner();
        self.known_worker(&request.worker_id)?;
        self.change(|known| known.credits.push(request.deliveries_max));
        let until = Instant::now() + Duration::try_from(request.wait.unwrap_or_default()).unwrap();
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            self.take_back_expired();
            let is_any = !self.known().waiting.is_empty();
            let deliveries = if is_any { self.lease_some(request.deliveries_max) } else { Vec::new() };
            if !deliveries.is_empty() || until <= Instant::now() {
                return Ok(Response::new(v1::LeaseResponse { deliveries }));
            }
            self.known_worker(&request.worker_id)?;
            tokio::select! {
                () = arrived => {}
                // Leases end by time: the door looks again and again.
                () = tokio::time::sleep_until(until.min(Instant::now() + Duration::from_millis(20))) => {}
            }
        }
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        let request = request.into_inner();
        self.known_worker(&request.worker_id)?;
        let leases = self.change(|known| {
            known.heartbeats += 1;
            known.health = request.health.map(|health| health.state()).or(known.health);
            let verdict = |lease: v1::LeaseReference| {
                let leased = known.leased.get_mut(&lease.delivery_id);
                let held = leased.filter(|leased| leased.delivery.lease_token == lease.lease_token);
                let is_held = held.map(|leased| leased.ends = Instant::now() + self.lease_time).is_some();
                let lease_expires_at = is_held.then(|| wire_now_plus(self.lease_time));
                v1::LeaseVerdict { delivery_id: lease.delivery_id, held: is_held, lease_expires_at }
            };
            request.leases.into_iter().map(verdict).collect()
        });
        Ok(Response::new(v1::HeartbeatResponse { leases, draining: false }))
    }

    async fn complete(&self, request: Request<v1::CompleteRequest>) -> Result<Response<v1::CompleteResponse>, Status> {
        let request = request.into_inner();
        if self.known().is_away {
            self.change(|known| known.late.push("away".to_owned()));
            return Err(Status::unavailable("the gateway is away"));
        }
        self.known_worker(&request.worker_id)?;
        let settled = self.settle(request.lease);
        let is_settled = settled.is_some();
        self.change(|known| known.completed.extend(settled.map(|delivery| delivery.delivery_id)));
        Ok(Response::new(v1::CompleteResponse { settled: is_settled, state: None }))
    }

    async fn fail(&self, request: Request<v1::FailRequest>) -> Result<Response<v1::FailResponse>, Status> {
        let request = request.into_inner();
        self.known_worker(&request.worker_id)?;
        let is_settled = self.settle(request.lease.clone()).is_some();
        self.change(|known| known.failed.push(request));
        Ok(Response::new(v1::FailResponse { settled: is_settled, state: None }))
    }

    type DownloadPartStream = Pin<Box<dyn Stream<Item = Result<v1::DownloadPartResponse, Status>> + Send>>;

    async fn download_part(
        &self,
        request: Request<v1::DownloadPartRequest>,
    ) -> Result<Response<Self::DownloadPartStream>, Status> {
        let request = request.into_inner();
        let digest = Digest::from_slice(&request.sha256).unwrap();
        let (bytes, breaks_after) = self.change(|known| {
            known.downloads.push(request.offset);
            (known.parts.get(&digest).cloned(), known.breaks_after)
        });
        let rest = bytes.ok_or_else(|| refused(Reason::NotFound))?.slice(request.offset as usize..);
        let sent = rest.slice(..breaks_after.unwrap_or(rest.len()).min(rest.len()));
        let is_broken = sent.len() < rest.len();
        let chunks: Vec<_> = sent.chunks(65_536).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let end = is_broken.then(|| Err(Status::unavailable("the line broke")));
        let chunks = chunks.into_iter().chain(end);
        let responses =
            chunks.map(|chunk: Result<Bytes, Status>| chunk.map(|chunk| v1::DownloadPartResponse { chunk }));
        Ok(Response::new(Box::pin(tokio_stream::iter(responses))))
    }

    async fn submit(
        &self,
        request: Request<v1::AdapterServiceSubmitRequest>,
    ) -> Result<Response<v1::AdapterServiceSubmitResponse>, Status> {
        let request = request.into_inner().request.unwrap();
        let envelope = v1::Envelope::decode(request.envelope.clone().unwrap().envelope).unwrap();
        let event = v1::Event { sender: "so-tnmt".into(), envelope_id: envelope.id, ..v1::Event::default() };
        let receipt = v1::Receipt { event: event.encode_to_vec().into(), ..v1::Receipt::default() };
        let duplicate = self.change(|known| {
            let is_known = known.submitted.contains(&request);
            known.submitted.push(request);
            is_known
        });
        let response = Some(v1::SubmitResponse { receipt: Some(receipt), duplicate });
        Ok(Response::new(v1::AdapterServiceSubmitResponse { response }))
    }

    async fn upload_part(
        &self,
        request: Request<Streaming<v1::AdapterServiceUploadPartRequest>>,
    ) -> Result<Response<v1::AdapterServiceUploadPartResponse>, Status> {
        use v1::adapter_service_upload_part_request::Frame;
        let mut frames = request.into_inner();
        let mut digest = None;
        while let Some(frame) = frames.next().await {
            match frame?.frame.unwrap() {
                Frame::Header(header) => {
                    digest = Digest::from_slice(&header.sha256);
                    let kept = digest.map(|digest| self.known().uploaded.entry(digest).or_default().len());
                    assert_eq!(kept, Some(header.offset as usize));
                }
                Frame::Chunk(chunk) => {
                    self.known().uploaded.entry(digest.unwrap()).or_default().extend_from_slice(&chunk);
                }
            }
        }
        let bytes = self.known().uploaded.get(&digest.unwrap()).cloned().unwrap_or_default();
        match Digest::of(&bytes) == digest.unwrap() {
            true => Ok(Response::new(v1::AdapterServiceUploadPartResponse { size: bytes.len() as u64 })),
            false => Err(refused(Reason::PartDigestMismatch)),
        }
    }

    async fn missing_parts(
        &self,
        request: Request<v1::AdapterServiceMissingPartsRequest>,
    ) -> Result<Response<v1::AdapterServiceMissingPartsResponse>, Status> {
        let known = self.known();
        let missing = request.into_inner().sha256.into_iter().filter_map(|sha256| {
            let digest = Digest::from_slice(&sha256).unwrap();
            let bytes = known.uploaded.get(&digest).cloned().unwrap_or_default();
            let received = bytes.len() as u64;
            (Digest::of(&bytes) != digest).then_some(v1::MissingPart { sha256, received })
        });
        Ok(Response::new(v1::AdapterServiceMissingPartsResponse { missing: missing.collect() }))
    }

    async fn report_status(
        &self,
        request: Request<v1::ReportStatusRequest>,
    ) -> Result<Response<v1::ReportStatusResponse>, Status> {
        let request = request.into_inner();
        self.known_worker(&request.worker_id)?;
        let is_leaving = request.phase() == v1::WorkerPhase::Leaving;
        self.change(|known| {
            known.health = request.health.as_ref().map(|health| health.state()).or(known.health);
            known.phases.push(request.phase());
        });
        if is_leaving {
            self.take_back_all();
        }
        Ok(Response::new(v1::ReportStatusResponse {}))
    }
}

fn acceptor(ladder: &TlsLadder) -> tokio_rustls::TlsAcceptor {
    let own = ladder.issue("gateway", &[]).unwrap();
    let chain = CertificateDer::pem_slice_iter(own.certificate_pem.as_bytes()).map(|c| c.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(ladder.authority().certificate_der().to_vec())).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

async fn serve(gateway: Gateway, listener: TcpListener, acceptor: tokio_rustls::TlsAcceptor) {
    let accepted = futures::stream::unfold((listener, acceptor), |(listener, acceptor)| async move {
        loop {
            let (stream, _) = listener.accept().await.ok()?;
            if let Ok(stream) = acceptor.accept(stream).await {
                return Some((Ok::<_, std::io::Error>(Accepted(stream)), (listener, acceptor)));
            }
        }
    });
    let service = AdapterServiceServer::new(gateway);
    tonic::transport::Server::builder().add_service(service).serve_with_incoming(accepted).await.unwrap();
}

struct Accepted(TlsStream<TcpStream>);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, b: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, b)
    }
}

impl AsyncWrite for Accepted {
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
