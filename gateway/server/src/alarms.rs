//! Alarms to a webhook and by e-mail, beside the log: one at the beginning of an incident and one at its end, in order, tried again until it is taken
//! or given up.
//!
//! What waits is kept with the incidents in the store: what this process could not tell, the next one does. At least once, always under the same
//! id.

mod mail;
mod webhook;

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_engine::Engine;
use gateway_engine::incident::Alarm;
use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use tokio_util::sync::CancellationToken;

pub use lettre::message::Mailbox;
pub use mail::{MailConfig, MailTls, Mailer};
pub use webhook::{Webhook, WebhookConfig};

/// First wait after a failed attempt; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// Attempts at one alarm, about a day: then it is left out, so that those behind it are told.
const ATTEMPTS_MAX: u32 = 300;
/// Time for one attempt.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(20);
/// A file that is read whole: CA certificates, a password.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The names of the channels, in the incidents that wait for them.
const WEBHOOK: &str = "webhook";
const MAIL: &str = "mail";

/// Who hears of alarms beside the log.
#[derive(Clone, Debug, Default)]
pub struct AlarmsConfig {
    /// The webhook.
    pub webhook: Option<WebhookConfig>,
    /// The mail.
    pub mail: Option<MailConfig>,
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

/// A way by which alarms are told, ready to be used.
pub enum Channel {
    /// Signed calls.
    Webhook(Box<Webhook>),
    /// Mails.
    Mail(Box<Mailer>),
}

impl AlarmsConfig {
    /// The names of the channels.
    pub fn channels(&self) -> &'static [&'static str] {
        match (&self.webhook, &self.mail) {
            (None, None) => &[],
            (Some(_), None) => &[WEBHOOK],
            (None, Some(_)) => &[MAIL],
            (Some(_), Some(_)) => &[WEBHOOK, MAIL],
        }
    }
}

impl Channel {
    /// Reads what the configuration names. Opens no connection.
    ///
    /// # Errors
    /// [`AlarmsError`].
    pub fn open_all(config: &AlarmsConfig, gateway: &GatewayId) -> Result<Vec<Self>, AlarmsError> {
        let webhook = config.webhook.as_ref().map(|config| Webhook::open(config).map(Box::new).map(Self::Webhook));
        let mail = config.mail.as_ref().map(|config| Mailer::open(config, gateway).map(Box::new).map(Self::Mail));
        webhook.into_iter().chain(mail).collect()
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => WEBHOOK,
            Self::Mail(_) => MAIL,
        }
    }

    async fn tell(&self, engine: &Engine, alarm: &Alarm) -> Result<(), String> {
        match self {
            Self::Webhook(webhook) => webhook.tell(engine, alarm).await,
            Self::Mail(mailer) => mailer.tell(engine, alarm).await,
        }
    }
}

/// Tells what waits for a channel until `stop`, the longest waiting first.
///
/// # Cancellation
/// What is not settled is told again by the next process.
pub async fn send(engine: Engine, channel: Channel, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tell_all(&engine, &channel) => {}
    }
}

async fn tell_all(engine: &Engine, channel: &Channel) {
    let (mut changes, name) = (engine.alarms_changed(), channel.name());
    let mut failures = 0;
    loop {
        changes.mark_unchanged();
        let Some(alarm) = engine.alarm_waiting(name) else {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        };
        match channel.tell(engine, &alarm).await {
            Ok(()) => settle(engine, name, &alarm).await,
            Err(problem) => {
                failures += 1;
                if failures < ATTEMPTS_MAX {
                    tracing::warn!(%problem, failures, channel = name, "an alarm was not taken; it is tried again");
                    tokio::time::sleep((WAIT_FIRST * 2u32.saturating_pow(failures.min(16) - 1)).min(WAIT_MAX)).await;
                    continue;
                }
                tracing::error!(incident = %alarm.incident.id, channel = name, "an alarm is left out: nobody takes it");
                settle(engine, name, &alarm).await;
            }
        }
        failures = 0;
    }
}

async fn settle(engine: &Engine, channel: &str, alarm: &Alarm) {
    match engine.alarm_told(channel, alarm).await {
        Ok(()) => tracing::info!(incident = %alarm.incident.id, channel, "an alarm was settled; it is not told again"),
        Err(error) => {
            tracing::warn!(%error, channel, "that an alarm was told could not be kept; after a restart it is told again")
        }
    }
}

/// The name of the agency that has to act.
fn must_act_name(engine: &Engine, alarm: &Alarm, language: Language) -> Option<String> {
    let must_act = alarm.incident.key.must_act.as_ref()?;
    let agency = engine.trust().current()?.directory().agency(must_act)?.clone();
    Some(if language == Language::En && !agency.name_en.is_empty() { agency.name_en } else { agency.name })
}

fn read(path: &Path) -> Result<Vec<u8>, AlarmsError> {
    use std::io::Read as _;
    let file = |source| AlarmsError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(file)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(file)?;
    Ok(bytes)
}
