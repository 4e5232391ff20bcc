//! Another organisation's hub: we poll it for what its agencies send, and send it what is for them.
//!
//! What comes in is polled by `poll`. Out: one package a recipient, because a hub routes by `To`. The hub
//! cannot be asked about a single call, so before a package goes out it is seen how many like it the hub has; after a lost answer that tells
//! whether it arrived. A hub that has no such list, or one too long to be read, cannot tell: then the package is sent, and after a lost answer
//! sent again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters_sdk::noes::Noes;
use adapters_sdk::outbound::{Outbound, OutboundError, Request, RequestBody};
use adapters_sdk::{Delivery, Health, Outcome, Scope};
use aws_lc_rs::hmac;
use bytes::Bytes;
use gateway_model::id::DeliveryId;
use gateway_model::{Digest, Reason, Timestamp};
use http::{HeaderValue, Method, Uri, header};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Answer, Parameters, SERVICE, SentItem};
use crate::format::keep_recipient;
use crate::handover::{Handover, Outgoing, Stop};
use crate::intake::Intake;
use crate::ledger::Settlement;
use crate::quarantine::Quarantine;
use adapters_sdk::disk;

mod poll;

use poll::PassedOver;

/// Bytes of an answer that is no package.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How often a hub that says no is asked.
const NOES_MAX: u32 = 5;

/// A list that was too long is not asked for again before: each time it costs as much as is read of it.
const LIST_PAUSE: Duration = Duration::from_secs(3_600);

/// How a hub is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientConfig {
    /// The endpoint that the paths are put behind.
    pub url: String,
    /// `systemid` that the hub gave us.
    pub system_id: String,
    /// Codes for which packages are fetched.
    pub poll_as: Vec<String>,
    /// How often.
    pub poll_interval: Duration,
}

/// How calls are made.
pub(crate) struct Calls {
    pub secret: hmac::Key,
    pub outbound: Outbound,
    /// How long one may take.
    pub time_max: Duration,
}

/// The hub as we see it.
pub(crate) struct HubClient {
    config: ClientConfig,
    calls: Calls,
    intake: Arc<Intake>,
    handover: Arc<Handover>,
    quarantine: Quarantine,
    /// What went wrong at the last poll.
    trouble: Mutex<Option<String>>,
    /// Packages that could not be fetched.
    passed_over: PassedOver,
    /// How often the hub has said no to a package.
    noes: Noes,
    /// The list of what was sent is too long; until then it is not asked for.
    list_paused: Mutex<Option<Instant>>,
}

/// Why a call led to nothing.
#[derive(Debug, thiserror::Error)]
enum CallFault {
    /// No answer that can be used; what the hub did is unknown.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The hub said no.
    #[error("the hub answered {code}: {words}")]
    No {
        /// Its code.
        code: String,
        /// Its words.
        words: String,
    },
    /// The answer is not of the protocol.
    #[error("the hub's answer is not of the protocol")]
    Answer,
    /// A parameter cannot be a header.
    #[error("a parameter cannot stand in a header")]
    Parameter,
}

impl HubClient {
    pub(crate) fn new(
        config: ClientConfig,
        calls: Calls,
        intake: Arc<Intake>,
        handover: Arc<Handover>,
        quarantine: Quarantine,
    ) -> Self {
        let (trouble, passed_over, noes) = (Mutex::default(), PassedOver::default(), Noes::default());
        let list_paused = Mutex::default();
        Self { config, calls, intake, handover, quarantine, trouble, passed_over, noes, list_paused }
    }

    /// Sends the package of a delivery, unless the hub has it.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Outcome {
        match self.send(delivery).await {
            Ok(outcome) => outcome,
            Err(stop) => stop.outcome(),
        }
    }

    async fn send(&self, delivery: &Delivery) -> Result<Outcome, Stop> {
        let Some(&id) = delivery.ids.first() else { return Err(Stop::Envelope) };
        let ledger = self.intake.ledger.clone();
        let before = disk::run(move || ledger.settlement(id)).await??;
        if before == Some(Settlement::Taken) {
            return Ok(Outcome::Taken { receipt: None });
        }
        let outgoing = self.handover.package(delivery).await?;
        let body = keep_recipient(&outgoing.bytes, &outgoing.to).map_err(Stop::Package)?;
        let now = now();
        // For asking what the hub has, and for sending.
        if delivery.lease.extend(self.calls.time_max.saturating_mul(2)).await.is_err() {
            let detail = "the lease is lost".to_owned();
            return Ok(Outcome::Deferred {
                reason: Reason::AdapterFailed,
                detail,
                retry_after: None,
                scope: Scope::Delivery,
            });
        }
        let seen = match outgoing.is_status {
            true => None,
            false => match self.seen(&outgoing, now).await {
                Ok(seen) => seen,
                Err(fault) => return Ok(deferred(&fault)),
            },
        };
        match (before, seen) {
            (Some(Settlement::Sending(Some(count))), Some(seen)) if seen > count => return self.taken(id).await,
            (Some(Settlement::Sending(Some(_))), Some(_)) => {}
            (Some(Settlement::Sending(Some(_))), None) => {
                tracing::warn!(delivery_id = %id, "the hub cannot tell whether a package arrived; it is sent again");
            }
            _ => {
                let ledger = self.intake.ledger.clone();
                disk::run(move || ledger.settle(id, &Settlement::Sending(seen))).await??;
            }
        }
        let kind = if outgoing.is_status { "status" } else { "edoc" };
        let digest = Digest::of(&body).to_string();
        let parameters = [("from", outgoing.from.as_str()), ("messagetype", kind), ("hash-file", digest.as_str())];
        match self.call("sendEdoc", &parameters, Some(body.into()), now).await {
            Ok(_) => self.taken(id).await,
            Err(fault) => Ok(self.outcome(id, &fault)),
        }
    }

    /// A hub says no by codes of its own, and some of them pass: it is asked a few times more before the sender gets its refusal.
    fn outcome(&self, id: DeliveryId, fault: &CallFault) -> Outcome {
        match fault {
            CallFault::No { code, .. } if !is_passing(code) && code != "404" => {
                if self.noes.count(&id.to_string()) >= NOES_MAX {
                    return Outcome::Refused { reason: Reason::AdapterRefused, detail: fault.to_string() };
                }
                let (reason, detail) = (Reason::AdapterFailed, fault.to_string());
                Outcome::Deferred { reason, detail, retry_after: None, scope: Scope::Delivery }
            }
            CallFault::No { .. } | CallFault::Outbound(_) | CallFault::Answer | CallFault::Parameter => deferred(fault),
        }
    }

    async fn taken(&self, id: DeliveryId) -> Result<Outcome, Stop> {
        self.noes.forget(&id.to_string());
        let ledger = self.intake.ledger.clone();
        disk::run(move || ledger.settle(id, &Settlement::Taken)).await??;
        Ok(Outcome::Taken { receipt: None })
    }

    /// How many like it the hub has; `None` where it has no such list, or one that is too long: then nobody can tell.
    async fn seen(&self, outgoing: &Outgoing, now: Timestamp) -> Result<Option<usize>, CallFault> {
        let paused = || self.list_paused.lock().unwrap_or_else(PoisonError::into_inner);
        if paused().is_some_and(|until| Instant::now() < until) {
            return Ok(None);
        }
        match self.like_it(outgoing, now).await {
            Ok(count) => Ok(Some(count)),
            Err(CallFault::No { code, .. }) if !is_passing(&code) => Ok(None),
            Err(CallFault::Answer) => Ok(None),
            Err(CallFault::Outbound(fault @ OutboundError::TooLarge { .. })) => {
                tracing::warn!(%fault, "the hub's list of what was sent is too long; after a lost answer packages are sent again");
                *paused() = Some(Instant::now() + LIST_PAUSE);
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// How many packages with this DocumentId from this sender to this recipient the hub has.
    async fn like_it(&self, outgoing: &Outgoing, now: Timestamp) -> Result<usize, CallFault> {
        let parameters = [("from", outgoing.from.as_str()), ("messagetype", "edoc")];
        let items: Vec<SentItem> = data(self.call("getSentEdocList", &parameters, None, now).await?)?;
        let is_like = |item: &&SentItem| item.sender_doc_id == outgoing.document_id && item.to_code == outgoing.to;
        Ok(items.iter().filter(is_like).count())
    }

    async fn call(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        body: Option<Bytes>,
        now: Timestamp,
    ) -> Result<Answered, CallFault> {
        let own = [("systemid", self.config.system_id.as_str()), ("servicetype", SERVICE)];
        let all: Vec<_> = parameters.iter().chain(&own).copied().collect();
        let headers = Parameters::of(&all).sign(now, &self.calls.secret).ok_or(CallFault::Parameter)?;
        let url: Uri = format!("{}/{path}", self.config.url).parse().map_err(|_| CallFault::Parameter)?;
        let mut request = Request::new(Method::POST, url);
        request.headers = headers;
        if let Some(body) = body {
            let octets = HeaderValue::from_static("application/octet-stream");
            request.headers.insert(header::CONTENT_TYPE, octets);
            request.body = RequestBody::Bytes(body);
        }
        let response = self.calls.outbound.send(request).await?;
        let is_raw = response
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"));
        let status = response.status;
        let bytes_max = match path {
            // Base64 of a package, and the JSON around it.
            "getEdoc" => self.intake.limits.package_bytes_max / 3 * 4 + ANSWER_BYTES_MAX,
            _ => ANSWER_BYTES_MAX,
        };
        let bytes = response.collect(bytes_max).await?;
        if is_raw && status.is_success() {
            return Ok(Answered::Raw(bytes));
        }
        match serde_json::from_slice::<Answer>(&bytes) {
            Ok(answer) if status.is_success() && answer.is_ok() => Ok(Answered::Json(Box::new(answer))),
            Ok(answer) if status.is_success() => {
                Err(CallFault::No { code: brief(&answer.error_code), words: brief(&answer.error_desc) })
            }
            _ if !status.is_success() => Err(OutboundError::Status(status.as_u16()).into()),
            _ => Err(CallFault::Answer),
        }
    }

    /// As the last poll found it.
    pub(crate) fn health(&self) -> Health {
        match self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Health::Up,
            Some(cause) => Health::Down { cause },
        }
    }
}

enum Answered {
    Json(Box<Answer>),
    Raw(Bytes),
}

fn data<T: DeserializeOwned + Default>(answered: Answered) -> Result<T, CallFault> {
    let Answered::Json(answer) = answered else { return Err(CallFault::Answer) };
    match answer.data {
        None => Ok(T::default()),
        Some(data) => serde_json::from_value(data).map_err(|_| CallFault::Answer),
    }
}

fn deferred(fault: &CallFault) -> Outcome {
    Outcome::Deferred {
        reason: Reason::AdapterUnavailable,
        detail: fault.to_string(),
        retry_after: None,
        scope: Scope::Destination,
    }
}

/// Codes that are about the hub or our access to it: no package is at fault.
fn is_passing(code: &str) -> bool {
    let is_named = ["BUSY", "UNAVAILABLE", "TIMEOUT", "TIMESTAMP", "REPLAYED", "UNAUTHORIZED"].contains(&code);
    is_named || matches!(code.parse::<u16>(), Ok(401 | 403 | 407 | 408 | 425 | 429 | 500..=599))
}

/// What another system says, for an operator: short, in one line.
fn brief(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Calls carry the time of day of this machine: a delivery brings no clock.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
