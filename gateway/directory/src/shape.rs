//! What each text of a directory looks like: one rule for what people write and for what gateways open.

use std::time::Duration;

use gateway_model::agency::OperatorRole;
use gateway_model::day::Day;
use gateway_model::directory::AnchorPurpose;
use gateway_model::envelope::SignatureRole;
use gateway_model::id::{AgencyId, CalendarId, GatewayId, OperatorId, SystemId};
use gateway_model::limits;
use gateway_model::note::VerifierKey;
use gateway_model::time::Timestamp;
use gateway_model::working_time::OfficeHours;
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

const NAME_BYTES_MAX: usize = 1_024;
const ADDRESS_BYTES_MAX: usize = 256;

/// A rule for a text, and how to say it.
pub(crate) struct Shape<T> {
    /// Completes "… is not".
    pub wanted: &'static str,
    /// Reads the text.
    pub parse: fn(&str) -> Option<T>,
}

const ID: &str = "an id of 1 to 64 letters, digits and -._:/";

pub(crate) const AGENCY: Shape<AgencyId> = Shape { wanted: ID, parse: |text| AgencyId::parse(text).ok() };
pub(crate) const GATEWAY: Shape<GatewayId> = Shape { wanted: ID, parse: |text| GatewayId::parse(text).ok() };
pub(crate) const SYSTEM: Shape<SystemId> = Shape { wanted: ID, parse: |text| SystemId::parse(text).ok() };
pub(crate) const OPERATOR: Shape<OperatorId> = Shape { wanted: ID, parse: |text| OperatorId::parse(text).ok() };
pub(crate) const CALENDAR: Shape<CalendarId> = Shape { wanted: ID, parse: |text| CalendarId::parse(text).ok() };

pub(crate) const CODE: Shape<String> = Shape {
    wanted: "an agency code of 1 to 64 printable ASCII characters without spaces",
    parse: |text| {
        let fits = (1..=limits::ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| text.to_owned())
    },
};

pub(crate) const NAME: Shape<String> = Shape {
    wanted: "a name of 1 to 1,024 bytes on one line, without control or bidirectional characters",
    parse: |text| if text.trim().is_empty() { None } else { (LABEL.parse)(text) },
};

/// A name that may be empty. Comes out in NFC, so that equal names are equal bytes.
pub(crate) const LABEL: Shape<String> = Shape {
    wanted: "a text of at most 1,024 bytes on one line, without control or bidirectional characters",
    parse: |text| {
        let normal = if is_nfc(text) { text.to_owned() } else { text.nfc().collect() };
        (normal.len() <= NAME_BYTES_MAX && !normal.chars().any(is_invisible)).then_some(normal)
    },
};

pub(crate) const ADDRESS: Shape<String> = Shape {
    wanted: "an address of the form https://host:port",
    parse: |text| is_address(text).then(|| text.to_owned()),
};

pub(crate) const LOG_KEY: Shape<VerifierKey> =
    Shape { wanted: "a verifier key of the form name+hash+base64", parse: |text| VerifierKey::parse(text).ok() };

pub(crate) const OPERATOR_ROLE: Shape<OperatorRole> =
    Shape { wanted: "one of viewer, operator, trust-officer", parse: OperatorRole::parse };

pub(crate) const SIGNATURE_ROLE: Shape<SignatureRole> =
    Shape { wanted: "one of person, agency, sealed-by-adapter", parse: SignatureRole::parse };

pub(crate) const PURPOSE: Shape<AnchorPurpose> = Shape {
    wanted: "one of sign, tls",
    parse: |text| match text {
        "sign" => Some(AnchorPurpose::Sign),
        "tls" => Some(AnchorPurpose::Tls),
        _ => None,
    },
};

pub(crate) const ALGORITHM: Shape<String> = Shape {
    wanted: "one of rsa-pkcs1, rsa-pss, ecdsa, ed25519",
    parse: |text| ["rsa-pkcs1", "rsa-pss", "ecdsa", "ed25519"].contains(&text).then(|| text.to_owned()),
};

pub(crate) const POLICY: Shape<String> =
    Shape { wanted: "an object identifier such as 1.3.6.1.4.1", parse: |text| is_oid(text).then(|| text.to_owned()) };

pub(crate) const INSTANT: Shape<Timestamp> =
    Shape { wanted: "a time with a zone, such as 2025-07-01T00:00:00+07:00", parse: Timestamp::parse };

pub(crate) const DAY: Shape<Day> = Shape { wanted: "a day of the calendar, such as 2026-09-02", parse: Day::parse };

pub(crate) const OFFICE_HOURS: Shape<OfficeHours> =
    Shape { wanted: "a span of office hours such as 07:30-11:30", parse: OfficeHours::parse };

pub(crate) const PROCEDURE_CODE: Shape<String> = Shape {
    wanted: "a procedure code of 1 to 64 printable ASCII characters without spaces, such as 1.012783",
    parse: CODE.parse,
};

pub(crate) const SPAN: Shape<Duration> = Shape { wanted: "a span such as 30d, 12h, 90m or 0s", parse: span };

/// The name of a purpose on the wire.
pub(crate) fn purpose_name(purpose: AnchorPurpose) -> &'static str {
    match purpose {
        AnchorPurpose::Sign => "sign",
        AnchorPurpose::Tls => "tls",
    }
}

fn is_invisible(c: char) -> bool {
    let bidirectional =
        matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || bidirectional || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.strip_prefix("https://").and_then(|rest| rest.rsplit_once(':')) else { return false };
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')),
    };
    let port_fits = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    text.len() <= ADDRESS_BYTES_MAX && host_fits && port_fits
}

fn is_oid(text: &str) -> bool {
    let arc = |arc: &str| !arc.is_empty() && arc.len() <= 20 && arc.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 128 && text.contains('.') && text.split('.').all(arc)
}

fn span(text: &str) -> Option<Duration> {
    let (count, seconds) = [("s", 1u64), ("m", 60), ("h", 3_600), ("d", 86_400)]
        .into_iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|count| (count, seconds)))?;
    let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = if digits { count.parse().ok()? } else { return None };
    count.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_with_a_host_and_a_port_and_nothing_else() {
        for good in ["https://127.0.0.1:7101", "https://gw.h99.example:443", "https://[::1]:7101"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "http://a:1",
            "https://a",
            "https://a:0",
            "https://a:70000",
            "https://a:1/x",
            "https://:1",
            "https://a@b:1",
            "https://a:+1",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!(span("30d"), Some(Duration::from_secs(2_592_000)));
        assert_eq!(span("0s"), Some(Duration::ZERO));
        for bad in ["30", "d", "-1s", "+1s", "1.5h", "1 d", "99999999999999999999d"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_comes_out_in_nfc_and_has_nothing_invisible() {
        assert_eq!((NAME.parse)("U\u{309}y ban").as_deref(), Some("Ủy ban"));
        for bad in ["", "  ", "a\nb", "a\u{202e}b", "a\0b"] {
            assert_eq!((NAME.parse)(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_policy_is_an_object_identifier() {
        assert!(is_oid("1.3.6.1.4.1.99999.1"));
        for bad in ["", "1", "1..2", "1.a", ".1", "1."] {
            assert!(!is_oid(bad), "{bad}");
        }
    }
}
