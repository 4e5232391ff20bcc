//! How long an operator waits for an answer while the store is full: searches, what is stuck, and the console's first page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use certs_dev::sign::{FastSigner, SignOptions};
use gateway_model::agency::OperatorRole;
use gateway_model::{Digest, Timestamp};
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::{Channel, Uri};

use crate::connect::{self, Profile};
use crate::local::Local;
use crate::trusted;

/// Times that each is asked.
const TIMES: usize = 20;
const PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One thing that was asked again and again.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What.
    pub what: &'static str,
    /// Half of the answers came within this time.
    pub p50: Duration,
    /// All of them did.
    pub max: Duration,
}

/// The one envelope that is searched for, older than everything else that is kept.
pub struct Needle {
    request: v1::ListRequest,
    digest: Digest,
    sender: String,
    recipient: String,
    at: Timestamp,
}

impl Needle {
    /// Submits it: from another agency than the rest, to another.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn submit(local: &Local) -> anyhow::Result<Self> {
        let (cast, at) = (&local.province.cast, trusted::now());
        let sender = local.province.agency(&cast.other_commune).context("the other commune")?;
        let (seconds, nanos) = at.to_parts();
        let envelope = v1::Envelope {
            schema: gateway_model::envelope::ENVELOPE_SCHEMA.to_owned(),
            id: uuid::Uuid::now_v7().to_string(),
            from: sender.id.to_string(),
            to: vec![v1::Recipient { agency: cast.land_office.to_string() }],
            created_at: Some(prost_types::Timestamp { seconds, nanos }),
            expires_at: Some(prost_types::Timestamp { seconds: seconds + 86_400, nanos }),
            case: Some(v1::Case { file_code: "H99.30.02-261122-0001".to_owned(), ..Default::default() }),
            content: Some(v1::envelope::Content::Document(v1::Document {
                code: "1/UBND-VP".to_owned(),
                subject: "Về việc tra cứu".to_owned(),
                ..Default::default()
            })),
            ..Default::default()
        };
        let bytes = envelope.encode_to_vec();
        let cms = FastSigner::new(&sender.seal.credential, SignOptions::at(seconds))?.sign(&bytes)?;
        let digest = Digest::of(&bytes);
        let signature = v1::Signature { cms: cms.into(), role: v1::SignatureRole::Agency.into() };
        let signed = v1::SignedEnvelope { envelope: bytes.into(), signatures: vec![signature] };
        let request = v1::SubmitRequest { envelope: Some(signed), inline_parts: Vec::new() };
        SubmitServiceClient::new(local.system_profile(&sender.id)?.open().await?).submit(request).await?;
        let request = v1::ListRequest {
            file_code: "H99.30.02-261122-0001".to_owned(),
            document_code: "1/UBND-VP".to_owned(),
            envelope_id: envelope.id,
            ..Default::default()
        };
        let (sender, recipient) = (sender.id.to_string(), cast.land_office.to_string());
        Ok(Self { request, digest, sender, recipient, at })
    }

    /// Every key that an operator has, each by itself.
    fn searches(&self) -> Vec<(&'static str, v1::ListRequest)> {
        let empty = v1::ListRequest::default;
        let wire = |at: Timestamp| prost_types::Timestamp { seconds: at.seconds(), nanos: 0 };
        let moment = Duration::from_secs(1);
        vec![
            ("file code", v1::ListRequest { file_code: self.request.file_code.clone(), ..empty() }),
            ("envelope id", v1::ListRequest { envelope_id: self.request.envelope_id.clone(), ..empty() }),
            ("document number", v1::ListRequest { document_code: self.request.document_code.clone(), ..empty() }),
            ("hash", v1::ListRequest { sha256: self.digest.0.to_vec().into(), ..empty() }),
            ("sender", v1::ListRequest { sender: self.sender.clone(), ..empty() }),
            ("recipient", v1::ListRequest { recipient: self.recipient.clone(), ..empty() }),
            (
                "time",
                v1::ListRequest {
                    since: Some(wire(self.at.minus(moment))),
                    until: Some(wire(self.at.plus(moment))),
                    ..empty()
                },
            ),
            ("state", v1::ListRequest { statuses: vec![v1::DeliveryStatus::Waiting.into()], ..empty() }),
        ]
    }
}

/// Asks an operator's questions of the first gateway.
///
/// # Errors
/// When something is refused, or the one envelope is not found.
pub async fn measure(local: &Local, needle: &Needle) -> anyhow::Result<Vec<Answered>> {
    let gateway = local.gateways.first().context("a gateway")?;
    let profile = local.operator_profile(&gateway.id, OperatorRole::Viewer)?;
    let mut client = OperateServiceClient::new(profile.open().await?);
    let mut answered = Vec::new();
    for (what, request) in needle.searches() {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let begun = Instant::now();
            let found = client.list(request.clone()).await?.into_inner();
            times.push(begun.elapsed());
            let is_found = found.deliveries.iter().any(|delivery| delivery.envelope_id == needle.request.envelope_id);
            anyhow::ensure!(is_found || what == "state", "the search by {what} does not find what is there");
        }
        answered.push(Answered::of(what, times));
    }
    answered.push(stuck(&mut client).await?);
    answered.push(first_page(&profile, gateway.console_port).await?);
    Ok(answered)
}

async fn stuck(client: &mut OperateServiceClient<Channel>) -> anyhow::Result<Answered> {
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        client.list_stuck(v1::ListStuckRequest {}).await?;
        times.push(begun.elapsed());
    }
    Ok(Answered::of("stuck", times))
}

/// The console's first page, with the connection and its handshake, as a browser comes for the first time.
async fn first_page(profile: &Profile, port: u16) -> anyhow::Result<Answered> {
    let mut tls = profile.tls()?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let uri: Uri = format!("https://127.0.0.1:{port}").parse()?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let mut stream = connect::dial(connector.clone(), uri.clone()).await?;
        let request = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut page = Vec::new();
        (&mut stream).take(PAGE_BYTES_MAX).read_to_end(&mut page).await?;
        times.push(begun.elapsed());
        let text = String::from_utf8_lossy(&page);
        anyhow::ensure!(text.starts_with("HTTP/1.1 200") && text.contains("</html>"), "the console answered: {text}");
    }
    Ok(Answered::of("console's first page", times))
}

impl Answered {
    fn of(what: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        Self { what, p50: at(times.len() / 2), max: at(times.len().saturating_sub(1)) }
    }
}
