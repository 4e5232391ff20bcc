//! Alarms to a webhook: signed calls by Standard Webhooks.

use std::path::PathBuf;

use adapters_http::hook::sign::{self, Secret};
use adapters_sdk::outbound::{Origin, Outbound, OutboundBounds, OutboundSettings, Request, RequestBody};
use gateway_engine::Engine;
use gateway_engine::incident::Alarm;
use gateway_model::language::Language;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Uri};

use super::{ATTEMPT_TIME_MAX, AlarmsError, must_act_name, read};

/// Where alarms are posted.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The webhook.
    pub webhook: Uri,
    /// File with its secret, `whsec_…`.
    pub secret: PathBuf,
    /// CA certificates that its server chains to; `None` for plain http inside of a closed network.
    pub roots: Option<PathBuf>,
    /// Whether it may have a private address.
    pub private: bool,
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
    pub fn open(config: &WebhookConfig) -> Result<Self, AlarmsError> {
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

    /// Posts one alarm.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) async fn tell(&self, engine: &Engine, alarm: &Alarm) -> Result<(), String> {
        self.post(&alarm.id(), engine.clock().now().seconds(), &body(engine, alarm)).await
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

fn body(engine: &Engine, alarm: &Alarm) -> Vec<u8> {
    let incident = &alarm.incident;
    let words = |language| {
        serde_json::json!({
            "message": incident.reason.message(language), "next_step": incident.reason.next_step(language),
            "must_act_name": must_act_name(engine, alarm, language),
        })
    };
    let closed_at = incident.closed_at.filter(|_| alarm.is_end);
    let body = serde_json::json!({
        "type": if alarm.is_end { "incident.ended" } else { "incident.began" },
        "gateway": engine.gateway().as_str(), "incident_id": incident.id, "cause": incident.key.cause.as_str(),
        "reason": incident.reason.code(), "destination": incident.key.destination,
        "must_act": incident.key.must_act.as_ref().map(gateway_model::id::AgencyId::as_str),
        "opened_at": incident.opened_at.to_string(), "closed_at": closed_at.map(|at| at.to_string()),
        "count": incident.count_max, "detail": if alarm.is_end { "" } else { incident.detail.as_str() },
        "vi": words(Language::Vi), "en": words(Language::En),
    });
    body.to_string().into_bytes()
}
