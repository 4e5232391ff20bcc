//! Alarms to a webhook: one signed POST at the beginning of an incident and one at its end (Standard Webhooks), in order, tried until it is taken.
//!
//! The log has every alarm anyway, and `stuck --incidents` every incident. What waits for the webhook when the process ends is not sent later:
//! the next look tells what is still stuck.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adapters_http::hook::sign::{self, Secret};
use adapters_sdk::outbound::{Origin, Outbound, OutboundBounds, OutboundSettings, Request, RequestBody};
use gateway_engine::Engine;
use gateway_engine::incident::Alarm;
use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Uri};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Alarms that wait to be taken; the oldest is left out when there are more, and the log says so.
const WAITING_MAX: usize = 1_000;
/// First wait after a failed attempt; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// Time for one attempt.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(20);
/// CA certificates in one file, in bytes.
const ROOTS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where alarms go.
#[derive(Clone, Debug)]
pub struct AlarmsConfig {
    /// The webhook.
    pub webhook: Uri,
    /// File with its secret, `whsec_…`.
    pub secret: PathBuf,
    /// CA certificates that its server chains to; `None` for plain http inside of a closed network.
    pub roots: Option<PathBuf>,
    /// Whether it may have a private address.
    pub private: bool,
}

/// Why alarms cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum AlarmsError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The secret, or the way out.
    #[error("{0}")]
    Setup(String),
}

/// A webhook, ready to be called.
pub struct Webhook {
    url: Uri,
    secret: Secret,
    outbound: Outbound,
}

impl Webhook {
    /// Reads what the configuration names. Opens no connection.
    ///
    /// # Errors
    /// [`AlarmsError`].
    pub fn open(config: &AlarmsConfig) -> Result<Self, AlarmsError> {
        let setup = |problem: String| AlarmsError::Setup(problem);
        let origin =
            Origin::of(&config.webhook).ok_or_else(|| setup(format!("{} is no address to call", config.webhook)))?;
        let roots_pem = config.roots.as_deref().map(read).transpose()?;
        let settings = OutboundSettings {
            roots_pem,
            bounds: OutboundBounds { total_time_max: ATTEMPT_TIME_MAX, ..OutboundBounds::default() },
            ..OutboundSettings::only(origin, config.private)
        };
        let secret = Secret::read(&config.secret).map_err(|error| setup(error.to_string()))?;
        let outbound = Outbound::new(settings).map_err(|error| setup(error.to_string()))?;
        Ok(Self { url: config.webhook.clone(), secret, outbound })
    }

    async fn post(&self, id: &str, at_seconds: i64, body: &[u8]) -> Result<(), String> {
        let signature = sign::header(std::slice::from_ref(&self.secret), id, at_seconds, body);
        let mut request = Request::new(Method::POST, self.url.clone());
        for (name, value) in [
            (CONTENT_TYPE, "application/json".to_owned()),
            (HeaderName::from_static("webhook-id"), id.to_owned()),
            (HeaderName::from_static("webhook-timestamp"), at_seconds.to_string()),
            (HeaderName::from_static("webhook-signature"), signature),
        ] {
            request.headers.insert(name, HeaderValue::from_str(&value).map_err(|error| error.to_string())?);
        }
        request.body = RequestBody::Bytes(body.to_vec().into());
        let answer = self.outbound.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status;
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

/// Sends alarms until `stop`, in the order in which they were given.
pub async fn send(engine: Engine, webhook: Webhook, alarms: broadcast::Receiver<Alarm>, stop: CancellationToken) {
    let sending = Sending { engine, webhook, waiting: VecDeque::new(), failures: 0 };
    tokio::select! {
        () = stop.cancelled() => {}
        () = sending.run(alarms) => {}
    }
}

struct Sending {
    engine: Engine,
    webhook: Webhook,
    waiting: VecDeque<Alarm>,
    /// Attempts that failed in a row.
    failures: u32,
}

impl Sending {
    async fn run(mut self, mut alarms: broadcast::Receiver<Alarm>) {
        loop {
            let wait = match (self.waiting.is_empty(), self.failures) {
                (true, _) => None,
                (false, 0) => Some(Duration::ZERO),
                (false, failures) => Some((WAIT_FIRST * 2u32.saturating_pow(failures.min(16) - 1)).min(WAIT_MAX)),
            };
            tokio::select! {
                alarm = alarms.recv() => match alarm {
                    Ok(alarm) => self.queue(alarm),
                    Err(RecvError::Lagged(missed)) => tracing::error!(missed, "alarms came too fast for the webhook"),
                    Err(RecvError::Closed) => return,
                },
                () = tokio::time::sleep(wait.unwrap_or(WAIT_MAX)), if wait.is_some() => self.attempt().await,
            }
        }
    }

    fn queue(&mut self, alarm: Alarm) {
        if self.waiting.len() >= WAITING_MAX
            && let Some(left_out) = self.waiting.pop_front()
        {
            tracing::error!(incident = %left_out.incident.id, "an alarm was left out: the webhook takes none");
        }
        self.waiting.push_back(alarm);
    }

    async fn attempt(&mut self) {
        let Some(alarm) = self.waiting.front() else { return };
        let (id, body) = (id(alarm), self.body(alarm));
        let now = self.engine.clock().now().seconds();
        match self.webhook.post(&id, now, &body).await {
            Ok(()) => {
                self.waiting.pop_front();
                self.failures = 0;
            }
            Err(problem) => {
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(%problem, failures = self.failures, "the webhook did not take an alarm; it is tried again");
            }
        }
    }

    fn body(&self, alarm: &Alarm) -> Vec<u8> {
        let (incident, gateway): (_, &GatewayId) = (&alarm.incident, self.engine.gateway());
        let snapshot = self.engine.trust().current();
        let name = |language| {
            let must_act = incident.key.must_act.as_ref()?;
            let agency = snapshot.as_ref()?.directory().agency(must_act)?.clone();
            Some(if language == Language::En && !agency.name_en.is_empty() { agency.name_en } else { agency.name })
        };
        let words = |language| {
            serde_json::json!({
                "message": incident.reason.message(language), "next_step": incident.reason.next_step(language),
                "must_act_name": name(language),
            })
        };
        let body = serde_json::json!({
            "type": if incident.closed_at.is_none() { "incident.began" } else { "incident.ended" },
            "gateway": gateway.as_str(), "incident_id": incident.id, "cause": incident.key.cause.as_str(),
            "reason": incident.reason.code(), "destination": incident.key.destination,
            "must_act": incident.key.must_act.as_ref().map(gateway_model::id::AgencyId::as_str),
            "opened_at": incident.opened_at.to_string(), "closed_at": incident.closed_at.map(|at| at.to_string()),
            "count": incident.count_max, "detail": alarm.detail, "vi": words(Language::Vi), "en": words(Language::En),
        });
        body.to_string().into_bytes()
    }
}

/// The same for every attempt at the same alarm, so that a receiver knows a repeat.
fn id(alarm: &Alarm) -> String {
    let incident = &alarm.incident;
    let end = if incident.closed_at.is_none() { "began" } else { "ended" };
    format!("{}-{}-{end}", incident.id, incident.opened_at.micros())
}

fn read(path: &Path) -> Result<Vec<u8>, AlarmsError> {
    use std::io::Read as _;
    let file = |source| AlarmsError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(file)?.take(ROOTS_BYTES_MAX).read_to_end(&mut bytes).map_err(file)?;
    Ok(bytes)
}
