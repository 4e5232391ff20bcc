//! The load: envelopes signed beforehand, submitted with so many in flight, every answer a receipt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use certs_dev::pki::Credential;
use certs_dev::sign::{FastSigner, SignOptions};
use gateway_model::Timestamp;
use prost::Message as _;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

/// Bytes of each serialized envelope.
pub const ENVELOPE_BYTES: usize = 4096;

/// Signed envelopes, each to be used once.
pub struct Supply {
    ready: Vec<v1::SubmitRequest>,
    next: AtomicUsize,
}

/// Who sends to whom.
pub struct Correspondents<'a> {
    /// The sender's seal.
    pub seal: &'a Credential,
    /// Sending agency.
    pub from: &'a str,
    /// Receiving agencies, in turn.
    pub to: &'a [String],
}

impl Supply {
    /// Signs `count` envelopes of 4 KiB on all cores.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(count: usize, who: &Correspondents<'_>, now: Timestamp) -> anyhow::Result<Self> {
        let signer = FastSigner::new(who.seal, SignOptions::at(now.seconds()))?;
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let ready = std::thread::scope(|scope| -> anyhow::Result<Vec<v1::SubmitRequest>> {
            let make = |thread: usize| {
                let numbers = (thread..count).step_by(threads);
                numbers.map(|number| request(number, who, now, &signer)).collect::<anyhow::Result<Vec<_>>>()
            };
            let makers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || make(thread))).collect();
            let mut all = Vec::with_capacity(count);
            for maker in makers {
                all.extend(maker.join().map_err(|_| anyhow::anyhow!("signing broke down"))??);
            }
            Ok(all)
        })?;
        Ok(Self { ready, next: AtomicUsize::new(0) })
    }

    /// The next envelope; `None` when all are used.
    pub fn take(&self) -> Option<v1::SubmitRequest> {
        self.ready.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    /// One of them, to look at.
    ///
    /// # Errors
    /// When there are none.
    pub fn sample(&self) -> anyhow::Result<&v1::SubmitRequest> {
        self.ready.first().context("no envelope was signed")
    }
}

fn request(
    number: usize,
    who: &Correspondents<'_>,
    now: Timestamp,
    signer: &FastSigner,
) -> anyhow::Result<v1::SubmitRequest> {
    let (seconds, nanos) = now.to_parts();
    let mut envelope = v1::Envelope {
        schema: "lienthong.envelope.v1".to_owned(),
        id: uuid::Uuid::now_v7().to_string(),
        from: who.from.to_owned(),
        to: vec![v1::Recipient { agency: who.to[number % who.to.len()].clone() }],
        created_at: Some(prost_types::Timestamp { seconds, nanos }),
        expires_at: Some(prost_types::Timestamp { seconds: seconds + 86_400, nanos }),
        content: Some(v1::envelope::Content::Opaque(v1::Opaque {
            r#type: "vn.example.bench".to_owned(),
            body: Bytes::new(),
        })),
        ..Default::default()
    };
    let rest = ENVELOPE_BYTES.saturating_sub(envelope.encoded_len() + 6);
    let body = Bytes::from(vec![b'x'; rest]);
    envelope.content = Some(v1::envelope::Content::Opaque(v1::Opaque { r#type: "vn.example.bench".to_owned(), body }));
    let bytes = envelope.encode_to_vec();
    let cms = signer.sign(&bytes)?;
    let signature = v1::Signature { cms: cms.into(), role: v1::SignatureRole::Agency.into() };
    let signed = v1::SignedEnvelope { envelope: bytes.into(), signatures: vec![signature] };
    Ok(v1::SubmitRequest { envelope: Some(signed), inline_parts: Vec::new() })
}

/// What a run showed.
#[derive(Clone, Debug)]
pub struct Run {
    /// Answers per second.
    pub per_second: f64,
    /// Half of the answers came within this time.
    pub p50: Duration,
    /// Ninety-nine of a hundred came within this time.
    pub p99: Duration,
    /// Answers.
    pub count: usize,
}

impl Run {
    fn of(mut times: Vec<Duration>, took: Duration) -> anyhow::Result<Self> {
        anyhow::ensure!(!times.is_empty(), "nothing was answered");
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        Ok(Self {
            per_second: times.len() as f64 / took.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            count: times.len(),
        })
    }
}

/// Submits one call an envelope, `in_flight` at once over `channels`, for `lasting` or until the supply ends.
///
/// # Errors
/// When a submission is refused, or answered as a duplicate.
pub async fn unary(
    channels: &[Channel],
    supply: &Arc<Supply>,
    in_flight: usize,
    lasting: Duration,
) -> anyhow::Result<Run> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..in_flight {
        let mut client = SubmitServiceClient::new(channels[number % channels.len()].clone());
        let supply = Arc::clone(supply);
        tasks.spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < lasting {
                let Some(request) = supply.take() else { break };
                let asked = Instant::now();
                let answer = client.submit(request).await?.into_inner();
                anyhow::ensure!(!answer.duplicate && answer.receipt.is_some(), "an envelope was not accepted as new");
                times.push(asked.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Run::of(times, start.elapsed())
}

/// Submits over one SubmitMany stream a channel, `in_flight` unanswered at once in all.
///
/// # Errors
/// When a submission is refused, or answered as a duplicate.
pub async fn pipelined(
    channels: &[Channel],
    supply: &Arc<Supply>,
    in_flight: usize,
    lasting: Duration,
) -> anyhow::Result<Run> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for channel in channels {
        tasks.spawn(stream(channel.clone(), Arc::clone(supply), in_flight / channels.len(), start, lasting));
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Run::of(times, start.elapsed())
}

async fn stream(
    channel: Channel,
    supply: Arc<Supply>,
    window: usize,
    start: Instant,
    lasting: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let (send, receive) = tokio::sync::mpsc::channel(window);
    let mut client = SubmitServiceClient::new(channel);
    let mut asked: Vec<Instant> = Vec::new();
    let next = |asked: &mut Vec<Instant>| {
        let request = supply.take().filter(|_| start.elapsed() < lasting)?;
        asked.push(Instant::now());
        Some(v1::SubmitManyRequest { sequence: asked.len() as u64 - 1, request: Some(request) })
    };
    for _ in 0..window {
        if let Some(request) = next(&mut asked) {
            send.send(request).await.context("the stream closed")?;
        }
    }
    let mut send = Some(send);
    let mut answers = client.submit_many(tokio_stream::wrappers::ReceiverStream::new(receive)).await?.into_inner();
    let mut times = Vec::new();
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        match answer.result {
            Some(v1::submit_many_response::Result::Accepted(accepted)) => {
                anyhow::ensure!(!accepted.duplicate, "an envelope was not accepted as new");
            }
            Some(v1::submit_many_response::Result::Refused(refused)) => anyhow::bail!("refused: {}", refused.reason),
            None => anyhow::bail!("an answer without a result"),
        }
        times.push(asked[usize::try_from(answer.sequence)?].elapsed());
        match (next(&mut asked), &send) {
            (Some(request), Some(open)) => open.send(request).await.context("the stream closed")?,
            _ => send = None,
        }
        if times.len() == asked.len() {
            break;
        }
    }
    Ok(times)
}
