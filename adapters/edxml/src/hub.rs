//! The document hub's REST door: what both sides of it speak.
//!
//! Every parameter travels as an HTTP header with the prefix `XroadVnpt-`. The covered ones are named in `sign-header-key`, stand as JSON in
//! `sign-header`, and `hash-header` is the HMAC-SHA-256 of that JSON with the hub's shared secret. Answers are JSON with `status` OK or FAIL.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use gateway_model::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

pub mod client;
pub mod server;

/// Prefix of every header of the protocol.
pub(crate) const PREFIX: &str = "xroadvnpt-";
/// Bytes of all headers of one call.
const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// Version that we speak.
const VERSION: &str = "1.0";
/// `servicetype` of documents and their statuses.
pub(crate) const SERVICE: &str = "eDoc";

/// The parameters of one call, by their names in lower case and without prefix.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Parameters(BTreeMap<String, String>);

/// Why the headers of a call do not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum HeaderFault {
    /// A header of the protocol is missing or unreadable.
    #[error("a header of the protocol is missing or unreadable")]
    Malformed,
    /// The hash is not that of our secret over the signed text.
    #[error("hash-header does not verify")]
    Unsigned,
    /// A header says something else than the signed text, or is not covered.
    #[error("a header is not what was signed")]
    NotCovered,
}

impl Parameters {
    /// Of one call.
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        Self(pairs.map(|(name, value)| ((*name).to_ascii_lowercase(), (*value).to_owned())).collect())
    }

    /// One parameter; empty when it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Signed headers for a call made at `now`.
    pub(crate) fn sign(&self, now: Timestamp, secret: &hmac::Key) -> Option<HeaderMap> {
        let mut covered = self.0.clone();
        covered.insert("timestamp".to_owned(), timestamp_text(now));
        covered.insert("version".to_owned(), VERSION.to_owned());
        let json = serde_json::to_string(&covered).ok()?;
        let names: Vec<&str> = covered.keys().map(String::as_str).collect();
        let hash = hex::encode(hmac::sign(secret, json.as_bytes()));
        let own = [("sign-header-key", names.join(";")), ("sign-header", json), ("hash-header", hash)];
        let all = covered.iter().map(|(name, value)| (name.as_str(), value.clone())).chain(own);
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            let name = HeaderName::try_from(format!("{PREFIX}{name}")).ok()?;
            headers.insert(name, HeaderValue::try_from(value).ok()?);
        }
        Some(headers)
    }

    /// Checks the headers of a call: the hash in constant time, then that what was signed is what was sent. Gives the signed parameters and
    /// the hash, by which a repeated call is known.
    pub(crate) fn verify(headers: &HeaderMap, secret: &hmac::Key) -> Result<(Self, Vec<u8>), HeaderFault> {
        let total: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if total > HEADERS_BYTES_MAX {
            return Err(HeaderFault::Malformed);
        }
        let one = |name: &str| -> Result<String, HeaderFault> {
            let mut values = headers.get_all(format!("{PREFIX}{name}")).iter();
            match (values.next(), values.next()) {
                (Some(value), None) => std::str::from_utf8(value.as_bytes())
                    .map(|text| text.trim().to_owned())
                    .map_err(|_| HeaderFault::Malformed),
                _ => Err(HeaderFault::Malformed),
            }
        };
        let (signed, hash) = (one("sign-header")?, one("hash-header")?);
        let hash = hex::decode(hash).map_err(|_| HeaderFault::Malformed)?;
        hmac::verify(secret, signed.as_bytes(), &hash).map_err(|_| HeaderFault::Unsigned)?;
        let read: BTreeMap<String, String> = serde_json::from_str(&signed).map_err(|_| HeaderFault::Malformed)?;
        let plain = |name: &str| {
            let name = name.to_ascii_lowercase();
            name.strip_prefix(PREFIX).unwrap_or(&name).to_owned()
        };
        let covered: BTreeMap<String, String> = read.into_iter().map(|(name, value)| (plain(&name), value)).collect();
        let named = one("sign-header-key")?;
        let is_same = covered.iter().all(|(name, value)| one(name).as_deref() == Ok(value.as_str()));
        let names_all = named.split(';').all(|name| covered.contains_key(&plain(name.trim())));
        // What is there but was not signed would be read as if it were.
        let sent = headers.keys().filter_map(|name| name.as_str().strip_prefix(PREFIX));
        let covers_all = sent.filter(|name| !OWN.contains(name)).all(|name| covered.contains_key(name));
        match is_same && names_all && covers_all {
            true => Ok((Self(covered), hash)),
            false => Err(HeaderFault::NotCovered),
        }
    }
}

/// Headers that carry the signature.
const OWN: [&str; 3] = ["sign-header-key", "sign-header", "hash-header"];

/// `ddMMyyyy'T'HHmmss+SSSS` in local time.
pub(crate) fn timestamp_text(at: Timestamp) -> String {
    let text = crate::format::local_time_text(at);
    let digits = |range: std::ops::Range<usize>| text.get(range).unwrap_or("00").to_owned();
    let milliseconds = at.micros().rem_euclid(1_000_000) / 1_000;
    format!(
        "{}{}{}T{}{}{}+{milliseconds:04}",
        digits(8..10),
        digits(5..7),
        digits(0..4),
        digits(11..13),
        digits(14..16),
        digits(17..19)
    )
}

/// The instant that such a text means.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let (clock, fraction) = text.split_once('+')?;
    let (date, time) = clock.split_once('T')?;
    let is_digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(date, 8) || !is_digits(time, 6) || !is_digits(fraction, 4) {
        return None;
    }
    let written =
        format!("{}/{}/{} {}:{}:{}", &date[4..], &date[2..4], &date[..2], &time[..2], &time[2..4], &time[4..]);
    crate::format::local_time(&written, "timestamp").ok().flatten()
}

/// An answer of the door.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// `OK` or `FAIL`.
    pub status: String,
    /// Stable code of a failure.
    #[serde(rename = "ErrorCode", default, deserialize_with = "text_or_number")]
    pub error_code: String,
    /// What is wrong.
    #[serde(rename = "ErrorDesc", default, deserialize_with = "text_or_number")]
    pub error_desc: String,
    /// Id that the hub gave.
    #[serde(rename = "DocId", default, skip_serializing_if = "Option::is_none")]
    pub doc_id: Option<String>,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

impl Answer {
    /// Yes.
    pub(crate) fn ok() -> Self {
        Self {
            status: "OK".to_owned(),
            error_code: "0".to_owned(),
            error_desc: String::new(),
            doc_id: None,
            data: None,
        }
    }

    /// No.
    pub(crate) fn fail(code: &str, description: impl Into<String>) -> Self {
        Self {
            status: "FAIL".to_owned(),
            error_code: code.to_owned(),
            error_desc: description.into(),
            doc_id: None,
            data: None,
        }
    }

    /// Whether it is a yes.
    pub(crate) fn is_ok(&self) -> bool {
        self.status.eq_ignore_ascii_case("OK")
    }
}

/// Some hubs write codes as numbers, some as texts, some as null.
fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// One received package in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReceivedItem {
    pub id: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub created_time: String,
    #[serde(default)]
    pub updated_time: String,
    #[serde(default)]
    pub message_type: String,
    #[serde(default)]
    pub service_type: String,
    #[serde(default)]
    pub from: String,
    #[serde(default)]
    pub to: String,
    #[serde(default)]
    pub content_sha256: String,
    #[serde(default)]
    pub content_length: u64,
}

/// One sent package in a list.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SentItem {
    pub sender_doc_id: String,
    pub receiver_doc_id: String,
    pub from_code: String,
    pub to_code: String,
    pub title: String,
    pub notation: String,
    pub sent_time: String,
    pub send_status: String,
    pub received_time: String,
    pub receive_status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &[u8]) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, secret)
    }

    #[test]
    fn a_timestamp_survives_the_way_and_only_one_form_is_read() {
        let at = Timestamp::parse("2026-11-20T01:30:00.123Z").unwrap();
        assert_eq!(timestamp_text(at), "20112026T083000+0123");
        assert_eq!(timestamp("20112026T083000+0123").unwrap().seconds(), at.seconds());
        for bad in ["", "30022026T083000+0000", "2026-11-20T08:30:00", "20112026T083000", "20112026T253000+0000"] {
            assert_eq!(timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_what_was_signed_with_the_secret_counts() {
        let sent = Parameters::of(&[("from", "H99.12"), ("docId", "1"), ("status", "")]);
        let signed = sent.sign(Timestamp::from_seconds(1_795_000_000), &key(b"secret")).unwrap();
        let (read, _) = Parameters::verify(&signed, &key(b"secret")).unwrap();
        assert_eq!((read.text("from"), read.text("docid"), read.text("status")), ("H99.12", "1", ""));
        assert_eq!(Parameters::verify(&signed, &key(b"other")).unwrap_err(), HeaderFault::Unsigned);
        let changed = |name: &str, value: &str| {
            let mut headers = signed.clone();
            headers.insert(HeaderName::try_from(format!("{PREFIX}{name}")).unwrap(), value.parse().unwrap());
            Parameters::verify(&headers, &key(b"secret")).unwrap_err()
        };
        assert_eq!(changed("from", "H99.13"), HeaderFault::NotCovered);
        assert_eq!(changed("status", "done"), HeaderFault::NotCovered, "it was not signed");
        assert_eq!(changed("hash-header", "zz"), HeaderFault::Malformed);
        assert_eq!(changed("sign-header", "{}"), HeaderFault::Unsigned);
        let mut doubled = signed.clone();
        doubled.append(HeaderName::from_static("xroadvnpt-from"), "H99.13".parse().unwrap());
        assert_eq!(Parameters::verify(&doubled, &key(b"secret")).unwrap_err(), HeaderFault::NotCovered);
    }
}
