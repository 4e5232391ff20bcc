//! Another organisation's hub: we poll it for what its agencies send, and send it what is for them.
//!
//! In: list → fetch → bring in → confirm. A package is confirmed `done` only when the gateway has it durably, `rejection` only when it lies in
//! quarantine; whatever goes wrong in between, it is listed again. Out: one package a recipient, because a hub routes by `To`. The hub
//! cannot be asked about a single call, so before a package goes out it is seen how many like it the hub has; after a lost answer that tells
//! whether it arrived.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters_sdk::outbound::{Outbound, OutboundError, Request, RequestBody};
use adapters_sdk::{AdapterError, Delivery, Door, Health, Outcome, Scope};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gateway_model::{Digest, Reason, Timestamp};
use http::{HeaderValue, Method, Uri, header};
use serde::de::DeserializeOwned;

use super::{Answer, Parameters, ReceivedItem, SERVICE, SentItem};
use crate::format::keep_recipient;
use crate::handover::{Handover, Outgoing, Stop};
use crate::intake::{Intake, NotIn};
use crate::ledger::Settlement;
use crate::quarantine::{self, Quarantine};
use adapters_sdk::disk;

/// Bytes of an answer that is no package.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Packages of one list; the rest comes with the next.
const ITEMS_MAX: usize = 1_000;

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

/// The hub as we see it.
pub(crate) struct HubClient {
    config: ClientConfig,
    secret: hmac::Key,
    outbound: Outbound,
    intake: Arc<Intake>,
    handover: Arc<Handover>,
    quarantine: Quarantine,
    /// What went wrong at the last poll.
    trouble: Mutex<Option<String>>,
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
        secret: hmac::Key,
        outbound: Outbound,
        intake: Arc<Intake>,
        handover: Arc<Handover>,
        quarantine: Quarantine,
    ) -> Self {
        Self { config, secret, outbound, intake, handover, quarantine, trouble: Mutex::default() }
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
        match before {
            Some(Settlement::Sending(Some(count))) if !outgoing.is_status => match self.like_it(&outgoing, now).await {
                Ok(seen) if seen > count => return self.taken(id).await,
                Ok(_) => {}
                Err(fault) => return Ok(deferred(&fault)),
            },
            _ => {
                let count = if outgoing.is_status { None } else { self.like_it(&outgoing, now).await.ok() };
                let ledger = self.intake.ledger.clone();
                disk::run(move || ledger.settle(id, &Settlement::Sending(count))).await??;
            }
        }
        let kind = if outgoing.is_status { "status" } else { "edoc" };
        let digest = Digest::of(&body).to_string();
        let parameters = [("from", outgoing.from.as_str()), ("messagetype", kind), ("hash-file", digest.as_str())];
        match self.call("sendEdoc", &parameters, Some(body.into()), now).await {
            Ok(_) => self.taken(id).await,
            Err(fault) => Ok(outcome(&fault)),
        }
    }

    async fn taken(&self, id: gateway_model::id::DeliveryId) -> Result<Outcome, Stop> {
        let ledger = self.intake.ledger.clone();
        disk::run(move || ledger.settle(id, &Settlement::Taken)).await??;
        Ok(Outcome::Taken { receipt: None })
    }

    /// How many packages with this DocumentId from this sender to this recipient the hub has.
    async fn like_it(&self, outgoing: &Outgoing, now: Timestamp) -> Result<usize, CallFault> {
        let parameters = [("from", outgoing.from.as_str()), ("messagetype", "edoc")];
        let items: Vec<SentItem> = data(self.call("getSentEdocList", &parameters, None, now).await?)?;
        let is_like = |item: &&SentItem| item.sender_doc_id == outgoing.document_id && item.to_code == outgoing.to;
        Ok(items.iter().filter(is_like).count())
    }

    /// Polls until the gateway drains.
    pub(crate) async fn serve(&self, door: &dyn Door) -> Result<(), AdapterError> {
        loop {
            tokio::select! {
                biased;
                () = door.closed() => return Ok(()),
                polled = self.poll(door) => polled?,
            }
            tokio::select! {
                () = door.closed() => return Ok(()),
                () = tokio::time::sleep(self.config.poll_interval) => {}
            }
        }
    }

    /// One round. A hub that does not answer is no error of ours: the next round asks again.
    async fn poll(&self, door: &dyn Door) -> Result<(), AdapterError> {
        let mut trouble = None;
        for code in &self.config.poll_as {
            for kind in ["edoc", "status"] {
                if let Err(fault) = self.poll_one(code, kind, door).await? {
                    trouble = Some(fault.to_string());
                }
            }
        }
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != trouble {
            match &trouble {
                Some(cause) => tracing::warn!(%cause, "the hub cannot be polled"),
                None => tracing::info!("the hub is polled again"),
            }
        }
        *last = trouble;
        Ok(())
    }

    async fn poll_one(&self, code: &str, kind: &str, door: &dyn Door) -> Result<Result<(), CallFault>, AdapterError> {
        let parameters = [("from", code), ("messagetype", kind)];
        let listed = self.call("getReceivedEdocList", &parameters, None, door.now()).await;
        let items: Vec<ReceivedItem> = match listed.and_then(data) {
            Ok(items) => items,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut trouble = Ok(());
        for item in items.iter().take(ITEMS_MAX) {
            // One package that cannot be fetched does not stop the others.
            if let Err(fault) = self.take(code, item, door).await? {
                trouble = Err(fault);
            }
        }
        Ok(trouble)
    }

    async fn take(
        &self,
        code: &str,
        item: &ReceivedItem,
        door: &dyn Door,
    ) -> Result<Result<(), CallFault>, AdapterError> {
        let package = match self.fetch(code, item, door.now()).await {
            Ok(package) => package,
            Err(fault) => return Ok(Err(fault)),
        };
        let confirmation = match self.intake.bring(package.clone(), None, door).await? {
            Ok(_) => "done",
            Err(NotIn::Busy(refusal)) => {
                tracing::info!(reason = %refusal.reason, "the gateway does not take submissions now");
                return Ok(Ok(()));
            }
            Err(NotIn::Defect(fault)) => self.put_away(item, &package, quarantine::of_fault(&fault)).await?,
            Err(NotIn::Refused(refusal)) => self.put_away(item, &package, quarantine::of_refusal(&refusal)).await?,
        };
        let parameters = [("from", code), ("docId", item.id.as_str()), ("status", confirmation)];
        Ok(self.call("updateStatus", &parameters, None, door.now()).await.map(drop))
    }

    async fn fetch(&self, code: &str, item: &ReceivedItem, now: Timestamp) -> Result<Bytes, CallFault> {
        let answer = self.call("getEdoc", &[("from", code), ("docId", item.id.as_str())], None, now).await?;
        let package = match answer {
            Answered::Raw(bytes) => bytes,
            Answered::Json(answer) => {
                let text = answer.data.as_ref().and_then(|data| data.as_str()).ok_or(CallFault::Answer)?;
                STANDARD.decode(text.trim()).map(Bytes::from).map_err(|_| CallFault::Answer)?
            }
        };
        let wanted = &item.content_sha256;
        match wanted.is_empty() || wanted.eq_ignore_ascii_case(&Digest::of(&package).to_string()) {
            true => Ok(package),
            false => Err(CallFault::Answer),
        }
    }

    async fn put_away(
        &self,
        item: &ReceivedItem,
        package: &Bytes,
        reason: String,
    ) -> Result<&'static str, AdapterError> {
        let (quarantine, name, package) = (self.quarantine.clone(), item.id.clone(), package.clone());
        disk::run(move || quarantine.keep(&name, &package, &reason)).await??;
        Ok("rejection")
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
        let headers = Parameters::of(&all).sign(now, &self.secret).ok_or(CallFault::Parameter)?;
        let url: Uri = format!("{}/{path}", self.config.url).parse().map_err(|_| CallFault::Parameter)?;
        let mut request = Request::new(Method::POST, url);
        request.headers = headers;
        if let Some(body) = body {
            let octets = HeaderValue::from_static("application/octet-stream");
            request.headers.insert(header::CONTENT_TYPE, octets);
            request.body = RequestBody::Bytes(body);
        }
        let response = self.outbound.send(request).await?;
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

fn outcome(fault: &CallFault) -> Outcome {
    match fault {
        // The hub read the package and will not have it.
        CallFault::No { code, .. } if !is_passing(code) => {
            Outcome::Refused { reason: Reason::AdapterRefused, detail: fault.to_string() }
        }
        CallFault::No { .. } | CallFault::Outbound(_) | CallFault::Answer | CallFault::Parameter => deferred(fault),
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

fn is_passing(code: &str) -> bool {
    ["BUSY", "UNAVAILABLE", "TIMEOUT", "TIMESTAMP", "REPLAYED", "UNAUTHORIZED"].contains(&code)
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
