//! Values with units, and how each is read from what was written. A problem says what would be right.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use gateway_model::note::VerifierKey;

use super::LogFormat;
use super::layers::Raw;
use crate::alarms::{MailTls, Mailbox};

/// What a parser answers.
pub(super) type Read<T> = Result<T, String>;

/// A text; empty is allowed.
pub(super) fn text(raw: &Raw) -> Read<String> {
    match raw {
        Raw::Text(text) => Ok(text.clone()),
        other => Err(format!("a string is expected, not {}", name(other))),
    }
}

/// A text that is not empty.
pub(super) fn required(raw: &Raw) -> Read<String> {
    let text = text(raw)?;
    if text.is_empty() { Err("is required".to_owned()) } else { Ok(text) }
}

/// A length of time with its unit.
pub(super) fn duration(raw: &Raw) -> Read<Duration> {
    const EXPECTED: &str = "a length of time is expected, such as \"250ms\", \"30s\", \"15m\", \"12h\" or \"30d\"";
    let Raw::Text(written) = raw else { return Err(format!("{EXPECTED}, not {}", name(raw))) };
    let parsed = number_and_unit(written).and_then(|(number, unit)| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    });
    match parsed {
        Some(zero) if zero.is_zero() => Err("a length of time above zero is expected".to_owned()),
        Some(duration) => Ok(duration),
        None => Err(format!("{EXPECTED}, not \"{written}\"")),
    }
}

/// A size with its unit.
pub(super) fn bytes(raw: &Raw) -> Read<u64> {
    const EXPECTED: &str = "a size is expected, such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"";
    let Raw::Text(written) = raw else { return Err(format!("{EXPECTED}, not {}", name(raw))) };
    let parsed = number_and_unit(written).and_then(|(number, unit)| match unit {
        "B" => Some(number),
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        "TiB" => number.checked_mul(1 << 40),
        _ => None,
    });
    parsed.ok_or_else(|| format!("{EXPECTED}, not \"{written}\""))
}

/// A whole number from 1.
pub(super) fn count(raw: &Raw) -> Read<u32> {
    match raw {
        Raw::Integer(number) => match u32::try_from(*number) {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("a whole number from 1 to {} is expected, not {number}", u32::MAX)),
        },
        Raw::Text(written) => Err(format!("a whole number is expected, not \"{written}\"")),
        other => Err(format!("a whole number is expected, not {}", name(other))),
    }
}

/// True or false.
pub(super) fn truth(raw: &Raw) -> Read<bool> {
    match raw {
        Raw::Boolean(truth) => Ok(*truth),
        Raw::Text(written) => Err(format!("true or false is expected, not \"{written}\"")),
        other => Err(format!("true or false is expected, not {}", name(other))),
    }
}

/// An address with a port.
pub(super) fn address(raw: &Raw) -> Read<SocketAddr> {
    let written = required(raw)?;
    written
        .parse()
        .map_err(|_| format!("an IP address with a port is expected, such as \"0.0.0.0:7101\", not \"{written}\""))
}

/// An address that may be absent.
pub(super) fn optional_address(raw: &Raw) -> Read<Option<SocketAddr>> {
    if text(raw)?.is_empty() { Ok(None) } else { address(raw).map(Some) }
}

/// A path; relative ones start from `base`.
pub(super) fn path(base: &Path) -> impl Fn(&Raw) -> Read<PathBuf> {
    move |raw| required(raw).map(|written| base.join(written))
}

/// A path that may be absent.
pub(super) fn optional_path(base: &Path) -> impl Fn(&Raw) -> Read<Option<PathBuf>> {
    move |raw| text(raw).map(|written| (!written.is_empty()).then(|| base.join(written)))
}

/// At least one path.
pub(super) fn paths(base: &Path) -> impl Fn(&Raw) -> Read<Vec<PathBuf>> {
    move |raw| match raw {
        Raw::List(list) if list.is_empty() => Err("is required: at least one file".to_owned()),
        Raw::List(list) => Ok(list.iter().map(|written| base.join(written)).collect()),
        other => Err(format!("a list of files is expected, not {}", name(other))),
    }
}

/// An id of a gateway.
pub(super) fn gateway_id(raw: &Raw) -> Read<GatewayId> {
    let written = required(raw)?;
    GatewayId::parse(&written).map_err(|error| format!("{error}, not \"{written}\""))
}

/// A kind of store.
pub(super) enum Kind {
    Embedded,
    Redis,
}

/// Reads a kind of store.
pub(super) fn store_kind(raw: &Raw) -> Read<Kind> {
    match text(raw)?.as_str() {
        "embedded" => Ok(Kind::Embedded),
        "redis" => Ok(Kind::Redis),
        other => Err(format!("\"embedded\" or \"redis\" is expected, not \"{other}\"")),
    }
}

/// A language.
pub(super) fn language(raw: &Raw) -> Read<Language> {
    match text(raw)?.as_str() {
        "vi" => Ok(Language::Vi),
        "en" => Ok(Language::En),
        other => Err(format!("\"vi\" or \"en\" is expected, not \"{other}\"")),
    }
}

/// A format of the log.
pub(super) fn log_format(raw: &Raw) -> Read<LogFormat> {
    match text(raw)?.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("\"text\" or \"json\" is expected, not \"{other}\"")),
    }
}

/// A filter of the log.
pub(super) fn log_filter(raw: &Raw) -> Read<String> {
    let written = required(raw)?;
    match tracing_subscriber::EnvFilter::try_new(&written) {
        Ok(_) => Ok(written),
        Err(error) => {
            Err(format!("a log filter is expected, such as \"info\" or \"info,gateway_engine=debug\": {error}"))
        }
    }
}

/// An endpoint that may be absent.
pub(super) fn endpoint(raw: &Raw) -> Read<Option<http::Uri>> {
    let written = text(raw)?;
    if written.is_empty() {
        return Ok(None);
    }
    match written.parse::<http::Uri>() {
        Ok(uri) if uri.scheme().is_some() && uri.authority().is_some() => Ok(Some(uri)),
        _ => Err(format!("an address such as \"http://127.0.0.1:4317\" is expected, not \"{written}\"")),
    }
}

/// A host with a port, which may be absent.
pub(super) fn optional_host_and_port(raw: &Raw) -> Read<Option<(String, u16)>> {
    let written = text(raw)?;
    if written.is_empty() {
        return Ok(None);
    }
    let split = written.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match split.filter(|(host, port)| !host.is_empty() && *port > 0 && !host.contains(['/', '@', ' '])) {
        Some((host, port)) => Ok(Some((host.trim_matches(['[', ']']).to_owned(), port))),
        None => Err(format!("a host with a port is expected, such as \"mail.example:587\", not \"{written}\"")),
    }
}

/// How a mail server is spoken with.
pub(super) fn mail_tls(raw: &Raw) -> Read<MailTls> {
    match text(raw)?.as_str() {
        "starttls" => Ok(MailTls::StartTls),
        "implicit" => Ok(MailTls::Implicit),
        "none" => Ok(MailTls::None),
        other => Err(format!("\"starttls\", \"implicit\" or \"none\" is expected, not \"{other}\"")),
    }
}

/// A mail address that may be absent.
pub(super) fn optional_mailbox(raw: &Raw) -> Read<Option<Mailbox>> {
    let written = text(raw)?;
    if written.is_empty() { Ok(None) } else { mailbox(&written).map(Some) }
}

/// Mail addresses.
pub(super) fn mailboxes(raw: &Raw) -> Read<Vec<Mailbox>> {
    match raw {
        Raw::List(list) => list.iter().map(|written| mailbox(written)).collect(),
        other => Err(format!("a list of mail addresses is expected, not {}", name(other))),
    }
}

fn mailbox(written: &str) -> Read<Mailbox> {
    let expected = || format!("a mail address is expected, such as \"truc@xa.example\", not \"{written}\"");
    written.parse().map_err(|_| expected())
}

/// A key that verifies notes.
pub(super) fn verifier_key(raw: &Raw) -> Read<VerifierKey> {
    VerifierKey::parse(&required(raw)?).map_err(|error| error.to_string())
}

pub(super) fn verifier_keys(raw: &Raw) -> Read<Vec<VerifierKey>> {
    match raw {
        Raw::List(list) => {
            list.iter().map(|key| VerifierKey::parse(key).map_err(|error| format!("{key:?}: {error}"))).collect()
        }
        other => Err(format!("a list of verification keys is expected, not {}", name(other))),
    }
}

fn number_and_unit(written: &str) -> Option<(u64, &str)> {
    let at = written.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = written.split_at(at);
    Some((number.parse().ok()?, unit.trim_start()))
}

fn name(raw: &Raw) -> &'static str {
    match raw {
        Raw::Text(_) => "a string",
        Raw::Integer(_) => "a bare number",
        Raw::Boolean(_) => "a boolean",
        Raw::List(_) => "a list",
        Raw::Other(name) => name,
    }
}
