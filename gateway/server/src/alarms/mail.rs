//! Alarms by e-mail: one plain mail an alarm, in one language, over TLS, with a Message-ID by which a repeat is known. It names causes, places and
//! agencies; never a message, a file or a person.

use std::path::PathBuf;

use gateway_engine::Engine;
use gateway_engine::incident::Alarm;
use gateway_model::Timestamp;
use gateway_model::id::{AgencyId, GatewayId};
use gateway_model::language::Language;
use lettre::Message;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{ATTEMPT_TIME_MAX, AlarmsError, must_act_name, read};

/// Characters of a subject; more is cut.
const SUBJECT_CHARS_MAX: usize = 160;
/// Characters of what the server said that go to the log.
const PROBLEM_CHARS_MAX: usize = 200;

/// How the mail server is spoken with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailTls {
    /// Plain at first, then STARTTLS; a server without it gets nothing.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// No TLS: inside of a closed network only.
    None,
}

/// Where mails go.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken with.
    pub tls: MailTls,
    /// CA certificates that it chains to.
    pub roots: Option<PathBuf>,
    /// The sender.
    pub from: Mailbox,
    /// The recipients; at least one.
    pub to: Vec<Mailbox>,
    /// Account, and file of its password.
    pub login: Option<(String, PathBuf)>,
    /// Language of the mails.
    pub language: Language,
}

/// A mail server, ready to be called.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    language: Language,
}

impl Mailer {
    /// Reads what the configuration names. Opens no connection.
    ///
    /// # Errors
    /// [`AlarmsError`].
    pub fn open(config: &MailConfig, gateway: &GatewayId) -> Result<Self, AlarmsError> {
        let tls = match config.tls {
            MailTls::StartTls => Tls::Required(trusted(config)?),
            MailTls::Implicit => Tls::Wrapper(trusted(config)?),
            MailTls::None => Tls::None,
        };
        // Built by hand, so that nothing is chosen for us: neither port nor TLS nor trust.
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(ATTEMPT_TIME_MAX))
            .hello_name(ClientId::Domain(gateway.to_string()));
        if let Some((user, password)) = &config.login {
            let text = String::from_utf8(read(password)?);
            let text = text.map_err(|_| AlarmsError::Setup(format!("{} is no text", password.display())))?;
            builder = builder.credentials(Credentials::new(user.clone(), text.trim_end().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            from: config.from.clone(),
            to: config.to.clone(),
            language: config.language,
        })
    }

    /// Sends one alarm.
    ///
    /// # Errors
    /// What went wrong.
    pub(super) async fn tell(&self, engine: &Engine, alarm: &Alarm) -> Result<(), String> {
        let must_act = must_act_name(engine, alarm, self.language);
        let text = Text { gateway: engine.gateway(), alarm, must_act, language: self.language };
        let message = self.message(&text, engine.clock().now()).map_err(|error| error.to_string())?;
        let sending = tokio::time::timeout(ATTEMPT_TIME_MAX, self.transport.send(message)).await;
        let sent = sending.map_err(|_| "the mail server does not answer in time".to_owned())?;
        sent.map(drop).map_err(|error| one_line(&error.to_string(), PROBLEM_CHARS_MAX))
    }

    fn message(&self, text: &Text<'_>, now: Timestamp) -> Result<Message, lettre::error::Error> {
        let id = format!("<{}@{}.lienthong>", text.alarm.id(), text.gateway);
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(now.seconds().unsigned_abs());
        let message = Message::builder().from(self.from.clone()).message_id(Some(id)).date(at);
        let message = self.to.iter().cloned().fold(message, MessageBuilder::to);
        message.subject(text.subject()).header(ContentType::TEXT_PLAIN).body(text.body())
    }
}

/// Only what the configuration trusts is trusted.
fn trusted(config: &MailConfig) -> Result<TlsParameters, AlarmsError> {
    let setup = |error: lettre::transport::smtp::Error| AlarmsError::Setup(format!("alarms.mail_roots: {error}"));
    let mut parameters = TlsParameters::builder(config.host.clone()).certificate_store(CertificateStore::None);
    if let Some(roots) = &config.roots {
        parameters = parameters.add_root_certificate(Certificate::from_pem(&read(roots)?).map_err(setup)?);
    }
    parameters.build_rustls().map_err(setup)
}

/// What a mail says.
struct Text<'a> {
    gateway: &'a GatewayId,
    alarm: &'a Alarm,
    must_act: Option<String>,
    language: Language,
}

impl Text<'_> {
    fn subject(&self) -> String {
        let event = match self.alarm.is_end {
            false => self.language.pick("sự cố bắt đầu", "an incident began"),
            true => self.language.pick("sự cố kết thúc", "an incident ended"),
        };
        let key = &self.alarm.incident.key;
        let text = format!("[Liên Thông] {}: {event}: {} {}", self.gateway, key.cause.as_str(), key.destination);
        one_line(&text, SUBJECT_CHARS_MAX)
    }

    fn body(&self) -> String {
        let (incident, pick) = (&self.alarm.incident, |vi, en| self.language.pick(vi, en));
        let agency = incident.key.must_act.as_ref().map_or("", AgencyId::as_str);
        let must_act = match &self.must_act {
            Some(name) => format!("{name} ({agency})"),
            None => agency.to_owned(),
        };
        let mut lines = vec![
            (pick("Nguyên nhân", "Cause"), incident.key.cause.as_str().to_owned()),
            (pick("Lý do", "Reason"), incident.reason.code().to_owned()),
            ("", incident.reason.message(self.language).to_owned()),
            (pick("Nơi", "Where"), incident.key.destination.clone()),
            (pick("Cơ quan phải xử lý", "Agency that has to act"), must_act),
            (pick("Số lượng nhiều nhất", "Most at a time"), incident.count_max.to_string()),
            (pick("Bắt đầu", "Began"), incident.opened_at.to_string()),
        ];
        match incident.closed_at.filter(|_| self.alarm.is_end) {
            Some(closed_at) => lines.push((pick("Kết thúc", "Ended"), closed_at.to_string())),
            None => lines.push((pick("Cần làm", "What to do"), incident.reason.next_step(self.language).to_owned())),
        }
        lines.push((pick("Xem thêm", "See also"), "lienthong stuck".to_owned()));
        let line = |(name, value): &(&str, String)| match name.is_empty() {
            true => format!("  {}\n", one_line(value, 1_000)),
            false => format!("{name}: {}\n", one_line(value, 1_000)),
        };
        lines.iter().map(line).collect()
    }
}

/// A text without control characters, so that nothing in it can begin a header or a line of its own.
fn one_line(text: &str, chars_max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_begins_a_header_of_its_own() {
        let text = one_line("peer-down\r\nBcc: somebody@example.net\n.\r\nDATA", SUBJECT_CHARS_MAX);
        assert_eq!(text, "peer-down  Bcc: somebody@example.net .  DATA");
        let built = Message::builder()
            .from("a@xa.example".parse().unwrap())
            .to("b@xa.example".parse().unwrap())
            .subject(text)
            .body(String::new())
            .unwrap();
        let formatted = String::from_utf8(built.formatted()).unwrap();
        assert!(!formatted.lines().any(|line| line.starts_with("Bcc:")), "{formatted}");
        assert!("a@xa.example\r\nBcc: b@xa.example".parse::<Mailbox>().is_err(), "addresses are checked, too");
    }
}
