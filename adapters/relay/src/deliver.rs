//! The relay to one gateway.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use adapters_sdk::relay::{Relay, ReturnFault};
use adapters_sdk::{Adapter, Delivery, Health, Outcome, trace};
use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::id::GatewayId;
use gateway_model::{Reason, limits};
use prost::Message;
use proto::v1;
use proto::v1::relay_response::Result as Answered;
use proto::v1::relay_service_client::RelayServiceClient;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::Channel;

use crate::fault::Fault;
use crate::link::Link;
use crate::upload::{self, Progress, Turns};
use crate::{Met, Wiring};

/// Left of a lease for the answer to be settled.
const SETTLE_TIME: Duration = Duration::from_secs(1);
/// Characters of a version that are kept.
const VERSION_CHARS_MAX: usize = 64;

/// Passes envelopes to one gateway.
pub(crate) struct PeerRelay {
    gateway: GatewayId,
    wiring: Arc<Wiring>,
    uploads: Turns,
    line: Mutex<Line>,
    /// Answers to envelopes, over all connections: a peer that answers others is not dead.
    answers: Arc<AtomicU64>,
    met: Arc<std::sync::Mutex<Met>>,
}

/// The connection of the moment, or why there is none.
#[derive(Default)]
struct Line {
    link: Option<Arc<Link>>,
    failure: Option<(Instant, Fault)>,
}

impl PeerRelay {
    pub(crate) fn new(gateway: GatewayId, wiring: Arc<Wiring>) -> Self {
        let uploads = Turns::new(wiring.settings.uploads_max);
        Self { gateway, wiring, uploads, line: Mutex::default(), answers: Arc::default(), met: Arc::default() }
    }

    /// What the peer showed of itself when it was last met.
    pub(crate) fn met(&self) -> Met {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The live connection, dialled when there is none. Callers that waited while another one dialled in vain share its failure.
    async fn link(&self) -> Result<Arc<Link>, Fault> {
        let asked_at = Instant::now();
        let mut line = self.line.lock().await;
        let unknown = || Fault::Unreachable(format!("the directory does not know {}", self.gateway));
        let facts = self.wiring.book.peer(&self.gateway).ok_or_else(unknown)?;
        if let Some(link) = line.link.as_ref().filter(|link| link.is_alive() && link.facts == facts) {
            return Ok(link.clone());
        }
        if let Some((_, fault)) = line.failure.as_ref().filter(|(at, _)| *at >= asked_at) {
            return Err(fault.clone());
        }
        *line = Line::default();
        let settings = &self.wiring.settings;
        let mut back_off = settings.back_off_first;
        for attempt in 1.. {
            match Link::dial(facts.clone(), &self.wiring.identity, settings, &self.answers).await {
                Ok(mut link) => {
                    tracing::info!(gateway = %self.gateway, "connected to a gateway");
                    self.greet(&mut link);
                    let link = Arc::new(link);
                    line.link = Some(link.clone());
                    return Ok(link);
                }
                // A wrong identity does not become right by asking again.
                Err(fault @ Fault::Unreachable(_)) if attempt < settings.attempts_max => {
                    tracing::debug!(gateway = %self.gateway, attempt, %fault, "cannot connect yet");
                    tokio::time::sleep(back_off).await;
                    back_off = back_off.saturating_mul(2);
                }
                Err(fault) => {
                    line.failure = Some((Instant::now(), fault.clone()));
                    return Err(fault);
                }
            }
        }
        Err(Fault::Unreachable("no attempt to connect was made".to_owned()))
    }

    /// Notes what the peer showed, and asks who it is besides; nobody waits for the answer.
    fn greet(&self, link: &mut Link) {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).certificate.clone_from(&link.certificate);
        let (gateway, met, client) = (self.gateway.clone(), self.met.clone(), link.client.clone());
        let time_max = self.wiring.settings.call_time_max;
        link.besides.spawn(async move {
            if let Ok(Err(fault)) = timeout(time_max, ping(client, &gateway, &met)).await {
                tracing::debug!(%gateway, %fault, "a gateway does not say who it is");
            }
        });
    }

    /// Brings the parts, then the envelope.
    async fn hand_over(&self, delivery: &Delivery, progress: &Progress) -> Result<Bytes, Fault> {
        let request = request(delivery)?;
        let mut attempt = 1;
        loop {
            let again = match self.hand_over_once(delivery, request.clone(), progress).await {
                Err(HandOver::Parts(fault @ (Fault::Unreachable(_) | Fault::Answered(_)))) => fault,
                Err(HandOver::Envelope(fault)) if fault.is_about_parts() => fault,
                Err(HandOver::Parts(fault) | HandOver::Envelope(fault)) => return Err(fault),
                Ok(receipt) => return Ok(receipt),
            };
            // Parts may be tried again at once: what arrived stays there. An envelope whose answer is lost is left to the engine.
            if attempt >= self.wiring.settings.attempts_max
                || !(again.is_about_parts() || matches!(again, Fault::Unreachable(_)))
            {
                return Err(again);
            }
            attempt += 1;
        }
    }

    async fn hand_over_once(
        &self,
        delivery: &Delivery,
        request: v1::RelayRequest,
        progress: &Progress,
    ) -> Result<Bytes, HandOver> {
        let link = self.link().await.map_err(HandOver::Envelope)?;
        let settings = &self.wiring.settings;
        if let Err(fault) = upload::bring_parts(&link, delivery, &self.uploads, settings.chunk_bytes, progress).await {
            // The stream notices a broken connection a moment later than the upload does; waiting for it saves an attempt.
            if matches!(fault, Fault::Unreachable(_))
                && timeout(settings.back_off_first, link.pipeline.closed()).await.is_err()
            {
                tracing::debug!(gateway = %self.gateway, "an upload broke, the connection stands");
            }
            return Err(HandOver::Parts(fault));
        }
        match link.pipeline.call(request).await.map_err(HandOver::Envelope)? {
            Answered::Accepted(receipt) => Ok(receipt.encode_to_vec().into()),
            Answered::Refused(refused) => Err(HandOver::Envelope(Fault::from_refused(&refused))),
        }
    }

    /// Until when a hand-over that gets on may take now; `None` for one that does not, or whose lease ends.
    async fn longer(&self, delivery: &Delivery, gets_on: bool) -> Option<Instant> {
        if !gets_on {
            return None;
        }
        let time_max = self.wiring.settings.call_time_max;
        let left = delivery.lease.extend(time_max + SETTLE_TIME).await.ok()?.saturating_sub(SETTLE_TIME);
        (!left.is_zero()).then(|| Instant::now() + left.min(time_max))
    }

    async fn return_some(&self, receipts: Vec<v1::Receipt>) -> Result<Vec<Result<(), ReturnFault>>, Fault> {
        let count = receipts.len();
        let link = self.link().await?;
        let request = v1::ReturnReceiptsRequest { receipts };
        let answered = link
            .client
            .clone()
            .return_receipts(trace::carry(request))
            .await
            .map_err(|status| Fault::from_status(&status))?;
        let verdicts = answered.into_inner().verdicts;
        if verdicts.len() != count {
            return Err(Fault::Unreachable(format!("the peer gave {} verdicts on {count} receipts", verdicts.len())));
        }
        Ok(verdicts.iter().map(verdict).collect())
    }

    /// Asks who is there.
    pub(crate) async fn ping(&self) -> Result<v1::PingResponse, Fault> {
        let link = self.link().await?;
        ping(link.client.clone(), &self.gateway, &self.met).await
    }

    /// Asks what is known there, and says how long that may take.
    pub(crate) async fn trace(
        &self,
        question: v1::TraceRequest,
        time: Duration,
    ) -> Result<v1::TimelineResponse, Fault> {
        let link = self.link().await?;
        let mut request = tonic::Request::new(question);
        request.set_timeout(time);
        let answered = link.client.clone().trace(request).await.map_err(|status| Fault::from_status(&status))?;
        Ok(answered.into_inner().timeline.unwrap_or_default())
    }
}

/// Asks who is there, and notes the version that it says.
async fn ping(
    mut client: RelayServiceClient<Channel>,
    gateway: &GatewayId,
    met: &std::sync::Mutex<Met>,
) -> Result<v1::PingResponse, Fault> {
    let answered = client.ping(v1::PingRequest {}).await.map_err(|status| Fault::from_status(&status))?;
    let answer = answered.into_inner();
    if answer.gateway != gateway.as_str() {
        return Err(Fault::NotTrusted(format!("{} answers where {gateway} should", answer.gateway)));
    }
    met.lock().unwrap_or_else(PoisonError::into_inner).version =
        answer.version.chars().take(VERSION_CHARS_MAX).collect();
    Ok(answer)
}

/// Where a hand-over failed.
enum HandOver {
    /// Before the envelope was sent.
    Parts(Fault),
    /// At the envelope itself, or at the connection.
    Envelope(Fault),
}

#[async_trait]
impl Adapter for PeerRelay {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let lease = delivery.deadline.since((self.wiring.now)()).saturating_sub(SETTLE_TIME);
        if lease.is_zero() {
            return Fault::TooSlow.outcome();
        }
        let answers_before = self.answers.load(Ordering::Relaxed);
        let progress = Progress::default();
        let mut hand_over = std::pin::pin!(self.hand_over(delivery, &progress));
        let (mut until, mut seen) = (Instant::now() + lease.min(self.wiring.settings.call_time_max), 0);
        loop {
            match timeout_at(until, &mut hand_over).await {
                Ok(Ok(receipt)) => return Outcome::Taken { receipt: Some(receipt.into()) },
                Ok(Err(fault)) => return fault.outcome(),
                Err(_) => {}
            }
            // Large parts on a thin line need more than one lease: as long as they get on, they have it.
            let moved = progress.load(Ordering::Relaxed);
            match self.longer(delivery, moved > seen).await {
                Some(longer) => (until, seen) = (longer, moved),
                None => break,
            }
        }
        if delivery.envelope.parts.is_empty() && self.answers.load(Ordering::Relaxed) == answers_before {
            return Fault::Unreachable("the peer does not answer in time".to_owned()).outcome();
        }
        // The next attempt goes on where this one stopped.
        Fault::TooSlow.outcome()
    }

    async fn check(&self) -> Health {
        let until = Instant::now() + self.wiring.settings.call_time_max;
        match timeout_at(until, self.ping()).await {
            Ok(Ok(_)) => Health::Up,
            Ok(Err(fault)) => Health::Down { cause: fault.to_string() },
            Err(_) => Health::Down { cause: "the peer does not answer in time".to_owned() },
        }
    }
}

#[async_trait]
impl Relay for PeerRelay {
    async fn return_receipts(&self, receipts: &[Bytes]) -> Vec<Result<(), ReturnFault>> {
        let until = Instant::now() + self.wiring.settings.call_time_max;
        let mut verdicts = Vec::with_capacity(receipts.len());
        for some in receipts.chunks(limits::RECEIPTS_RETURNED_MAX) {
            let decoded: Vec<_> = some.iter().map(|receipt| v1::Receipt::decode(receipt.clone()).ok()).collect();
            let sent: Vec<v1::Receipt> = decoded.iter().flatten().cloned().collect();
            let answered = match timeout_at(until, self.return_some(sent)).await {
                Ok(answered) => answered,
                Err(_) => Err(Fault::Unreachable("the peer does not answer in time".to_owned())),
            };
            let mut answered = match answered {
                Ok(verdicts) => verdicts.into_iter(),
                Err(fault) => vec![Err(fault.return_fault()); some.len()].into_iter(),
            };
            let unreadable = Err(ReturnFault { reason: Reason::ReceiptInvalid, retryable: false });
            let missing = Err(ReturnFault { reason: Reason::AdapterFailed, retryable: true });
            verdicts.extend(decoded.iter().map(|receipt| match receipt {
                Some(_) => answered.next().unwrap_or(missing),
                None => unreadable,
            }));
        }
        verdicts
    }
}

fn verdict(verdict: &v1::ReceiptVerdict) -> Result<(), ReturnFault> {
    if verdict.recorded {
        return Ok(());
    }
    let reason = Reason::parse(&verdict.reason).unwrap_or(Reason::PeerRefused);
    Err(ReturnFault { reason, retryable: verdict.retryable })
}

/// The request, with the envelope's bytes as they were accepted.
fn request(delivery: &Delivery) -> Result<v1::RelayRequest, Fault> {
    let unreadable = |fault: prost::DecodeError| Fault::Source(fault.to_string());
    let first_accepted = match &delivery.first_accepted {
        none if none.is_empty() => None,
        receipt => Some(v1::Receipt::decode(receipt.clone()).map_err(unreadable)?),
    };
    Ok(v1::RelayRequest {
        sequence: 0,
        envelope: Some(v1::SignedEnvelope::decode(delivery.signed.clone()).map_err(unreadable)?),
        recipients: delivery.recipients.iter().map(|recipient| recipient.named.to_string()).collect(),
        hops: delivery.hops.iter().map(ToString::to_string).collect(),
        traceparent: delivery.traceparent.clone().unwrap_or_default(),
        first_accepted,
    })
}
