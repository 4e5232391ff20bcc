//! Hands deliveries over: one signed POST each, whose body the configuration describes.
//!
//! The headers are those of Standard Webhooks: `webhook-id` is the delivery id, the same at every attempt, so that a system can tell a
//! repeat. 2xx means that the system has it; what is about this delivery (400, 409, 413, 422) is refused; what passes (429, 5xx, silence) is
//! tried again, and so is every other answer: an access that ran out, a path that moved, a login page are for the operator of either side to
//! mend, and no envelope is at fault for them.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::outbound::{Outbound, OutboundError, Request, RequestBody, Response};
use adapters_sdk::{Delivery, Health, Outcome, Scope};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::Reason;
use gateway_model::envelope::Part;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

pub mod sign;
pub mod template;

use crate::config::{Out, PartsBy};
use crate::link::Links;
use sign::Secret;

/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const PROBE_TIME_MAX: Duration = Duration::from_secs(5);

/// The way to the system.
pub(crate) struct Hook {
    pub out: Out,
    pub secrets: Vec<Secret>,
    pub outbound: Outbound,
    pub links: Option<Arc<Links>>,
    /// How long one call may take.
    pub call_time_max: Duration,
}

impl Hook {
    /// Hands one delivery over.
    pub(crate) async fn deliver(&self, delivery: &Delivery, now_seconds: i64) -> Outcome {
        let parts = match self.parts(delivery).await {
            Ok(parts) => parts,
            Err(outcome) => return outcome,
        };
        let body = self.out.body.fill(delivery, parts).to_string();
        if delivery.lease.extend(self.call_time_max).await.is_err() {
            return deferred(Reason::AdapterFailed, "the lease is lost");
        }
        match self.call(delivery, body, now_seconds).await {
            Ok(answer) => self.outcome(answer).await,
            Err(fault) => deferred_by(&fault),
        }
    }

    /// Whether anything answers there.
    pub(crate) async fn check(&self) -> Health {
        let mut probe = Request::new(Method::HEAD, self.out.url.clone());
        probe.time_max = Some(PROBE_TIME_MAX);
        match self.outbound.send(probe).await {
            Ok(_) => Health::Up,
            Err(fault) => Health::Down { cause: fault.to_string() },
        }
    }

    async fn call(&self, delivery: &Delivery, body: String, now_seconds: i64) -> Result<Response, OutboundError> {
        let id = delivery.ids.first().map(ToString::to_string).unwrap_or_default();
        let mut request = Request::new(Method::POST, self.out.url.clone());
        let signature = sign::header(&self.secrets, &id, now_seconds, body.as_bytes());
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", now_seconds.to_string()),
            ("webhook-signature", signature),
            ("traceparent", delivery.traceparent.clone().unwrap_or_default()),
        ];
        for (name, value) in headers {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(&value)) {
                request.headers.insert(name, value);
            }
        }
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = RequestBody::Bytes(body.into());
        self.outbound.send(request).await
    }

    async fn outcome(&self, answer: Response) -> Outcome {
        let (status, retry_after) = (answer.status.as_u16(), answer.retry_after());
        let is_taken = answer.status.is_success() || self.out.also_taken.contains(&status);
        // Reads what is left, so that the connection serves again; what it says decides nothing.
        drop(answer.collect(ANSWER_BYTES_MAX).await);
        let detail = format!("the system answers with the status {status}");
        match status {
            _ if is_taken => Outcome::Taken { receipt: None },
            429 | 503 => {
                Outcome::Deferred { reason: Reason::AdapterUnavailable, detail, retry_after, scope: Scope::Destination }
            }
            400 | 409 | 413 | 422 => Outcome::Refused { reason: Reason::AdapterRefused, detail },
            408 | 425 | 500..=599 => {
                Outcome::Deferred { reason: Reason::AdapterFailed, detail, retry_after, scope: Scope::Delivery }
            }
            _ => Outcome::Deferred { reason: Reason::AdapterFailed, detail, retry_after, scope: Scope::Destination },
        }
    }

    /// The parts as the body carries them.
    async fn parts(&self, delivery: &Delivery) -> Result<Vec<Value>, Outcome> {
        let parts = &delivery.envelope.parts;
        match (self.out.parts, &self.links) {
            (PartsBy::Value, _) => {
                let size: u64 = parts.iter().map(|part| part.size).sum();
                if size > self.out.value_bytes_max {
                    let detail =
                        format!("the parts have {size} bytes, more than {} by value", self.out.value_bytes_max);
                    return Err(Outcome::Refused { reason: Reason::PartTooLarge, detail });
                }
                let mut values = Vec::with_capacity(parts.len());
                for part in parts {
                    let bytes = read_part(delivery, part).await?;
                    values.push(described(part, "content", STANDARD.encode(bytes)));
                }
                Ok(values)
            }
            (PartsBy::Link, Some(links)) => {
                let lend = links.lend(delivery).map_err(|detail| deferred(Reason::Overloaded, detail))?;
                Ok(parts.iter().map(|part| described(part, "url", lend.url(&part.digest))).collect())
            }
            (PartsBy::Link, None) | (PartsBy::None, _) => {
                Ok(parts.iter().map(|part| described(part, "", String::new())).collect())
            }
        }
    }
}

fn described(part: &Part, key: &str, value: String) -> Value {
    let mut described = json!({
        "name": part.name,
        "media_type": part.media_type,
        "size": part.size,
        "sha256": part.digest.to_string(),
        "role": part.role,
    });
    if let (false, Some(fields)) = (key.is_empty(), described.as_object_mut()) {
        fields.insert(key.to_owned(), Value::String(value));
    }
    described
}

/// The bytes of a part; their number is known beforehand and bounded by the caller.
async fn read_part(delivery: &Delivery, part: &Part) -> Result<Vec<u8>, Outcome> {
    let unreadable = |_| deferred(Reason::AdapterFailed, "a part cannot be read now");
    let source = delivery.parts.open(&part.digest, 0).await.map_err(unreadable)?;
    let mut bytes = Vec::new();
    source.take(part.size.saturating_add(1)).read_to_end(&mut bytes).await.map_err(unreadable)?;
    if bytes.len() as u64 == part.size {
        Ok(bytes)
    } else {
        Err(deferred(Reason::AdapterFailed, "a part is not whole"))
    }
}

fn deferred(reason: Reason, detail: &str) -> Outcome {
    Outcome::Deferred { reason, detail: detail.to_owned(), retry_after: None, scope: Scope::Delivery }
}

/// What led to no answer may have been taken all the same: it is brought again under the same id.
fn deferred_by(fault: &OutboundError) -> Outcome {
    let (reason, scope) = match fault {
        OutboundError::Unreachable { .. } | OutboundError::TimedOut { .. } => {
            (Reason::AdapterUnavailable, Scope::Destination)
        }
        OutboundError::NotTrusted { .. } | OutboundError::NotAllowed { .. } | OutboundError::PrivateAddress { .. } => {
            (Reason::AdapterFailed, Scope::Destination)
        }
        OutboundError::TooLarge { .. }
        | OutboundError::Status(_)
        | OutboundError::Malformed { .. }
        | OutboundError::Local(_) => (Reason::AdapterFailed, Scope::Delivery),
    };
    Outcome::Deferred { reason, detail: fault.to_string(), retry_after: None, scope }
}
