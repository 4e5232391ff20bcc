//! A search as it stands in an address: one box that understands every kind of key, and filters beside it.

use gateway_model::Digest;
use gateway_model::id::EnvelopeId;
use gateway_model::language::Language;
use gateway_model::state::DeliveryStatus;
use maud::{Markup, html};
use proto::v1;

use crate::fields::Fields;
use crate::show::{state, text, time};
use crate::words::{Word, list as w};

/// The names that a filter has in an address, in the order of the form.
const NAMES: [&str; 7] = ["q", "state", "sender", "recipient", "reason", "since", "until"];

/// A filter, read.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Filter {
    /// As it stands in the address, without the page.
    pub fields: Fields,
    /// As the door takes it, without the page.
    pub request: v1::ListRequest,
    /// What the box names.
    pub key: Option<Key>,
    /// Values that could not be read and do not count.
    pub unread: Vec<String>,
}

/// What the search box names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// A file.
    File(String),
    /// A document, by number and notation.
    Document(String),
    /// An envelope.
    Envelope(EnvelopeId),
    /// Bytes, by their SHA-256.
    Sha256(Digest),
    /// A file code that breaks the grammar, or a document number without a slash.
    Either(String),
}

impl Filter {
    /// Reads the filter of an address.
    pub(crate) fn read(query: &Fields) -> Self {
        let fields = query.only(&NAMES);
        let text = |name: &str| fields.first(name).to_owned();
        let key = Some(fields.first("q")).filter(|key| !key.is_empty()).map(Key::of);
        let mut request = v1::ListRequest {
            sender: text("sender"),
            recipient: text("recipient"),
            reason: text("reason").to_uppercase(),
            ..Default::default()
        };
        let mut unread = Vec::new();
        for name in fields.all("state") {
            match DeliveryStatus::parse(name) {
                Some(status) => request.statuses.push(wire(status) as i32),
                None => unread.push(name.to_owned()),
            }
        }
        type Reads = fn(&str) -> Option<gateway_model::Timestamp>;
        let instants: [(&str, Reads, &mut Option<prost_types::Timestamp>); 2] =
            [("since", time::begin, &mut request.since), ("until", time::end, &mut request.until)];
        for (name, read, instant) in instants {
            *instant = read(fields.first(name)).map(time::wire);
            if instant.is_none() && !fields.first(name).is_empty() {
                unread.push(fields.first(name).to_owned());
            }
        }
        if let Some(key) = &key {
            key.ask(&mut request);
        }
        Self { fields, request, key, unread }
    }

    /// The filter in words, for a person who is about to act on what it finds.
    pub(crate) fn in_words(&self, l: Language) -> Markup {
        html! {
            @if self.fields.is_empty() { p { (crate::words::bulk::FILTER_EMPTY.of(l)) } } @else {
                dl.facts {
                    @for (name, value) in self.fields.pairs() {
                        div { dt { (name_words(name).of(l)) } dd { (value_words(name, value, l)) } }
                    }
                }
            }
        }
    }
}

impl Key {
    /// What a text names.
    pub(crate) fn of(text: &str) -> Self {
        if let Ok(id) = EnvelopeId::parse(&text.to_lowercase()) {
            return Self::Envelope(id);
        }
        let digest = text.strip_prefix("sha256:").unwrap_or(text).to_lowercase();
        if let Some(digest) = Digest::from_hex(&digest) {
            return Self::Sha256(digest);
        }
        if is_file_code(text) {
            Self::File(text.to_owned())
        } else if text.contains('/') {
            Self::Document(text.to_owned())
        } else {
            Self::Either(text.to_owned())
        }
    }

    /// Puts the key into a question.
    pub(crate) fn ask(&self, request: &mut v1::ListRequest) {
        match self {
            Self::File(code) | Self::Either(code) => request.file_code.clone_from(code),
            Self::Document(code) => request.document_code.clone_from(code),
            Self::Envelope(id) => request.envelope_id = id.to_string(),
            Self::Sha256(digest) => request.sha256 = digest.as_bytes().to_vec().into(),
        }
    }
}

/// The status on the wire.
pub(crate) fn wire(status: DeliveryStatus) -> v1::DeliveryStatus {
    match status {
        DeliveryStatus::Waiting => v1::DeliveryStatus::Waiting,
        DeliveryStatus::Forwarded => v1::DeliveryStatus::Forwarded,
        DeliveryStatus::Delivered => v1::DeliveryStatus::Delivered,
        DeliveryStatus::Refused => v1::DeliveryStatus::Refused,
        DeliveryStatus::Held => v1::DeliveryStatus::Held,
        DeliveryStatus::Expired => v1::DeliveryStatus::Expired,
        DeliveryStatus::Returned => v1::DeliveryStatus::Returned,
    }
}

/// `H99.30.01-261122-0976`: an agency's code, a day, a number of 4 to 7 digits.
fn is_file_code(text: &str) -> bool {
    let mut pieces = text.rsplitn(3, '-');
    let digits = |piece: Option<&str>, least: usize, most: usize| {
        piece.is_some_and(|p| (least..=most).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    digits(pieces.next(), 4, 7) && digits(pieces.next(), 6, 6) && pieces.next().is_some_and(|agency| !agency.is_empty())
}

fn name_words(name: &str) -> Word {
    match name {
        "q" => w::QUERY,
        "state" => w::STATE,
        "sender" => w::SENDER,
        "recipient" => w::RECIPIENT,
        "reason" => w::REASON,
        "since" => w::SINCE,
        _ => w::UNTIL,
    }
}

fn value_words(name: &str, value: &str, l: Language) -> Markup {
    match DeliveryStatus::parse(value).filter(|_| name == "state") {
        Some(status) => state::delivery(wire(status), l),
        None => text::code(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_understands_every_kind_of_key() {
        let check = |text: &str, key: Key| assert_eq!(Key::of(text), key);
        for code in ["000.00.12.H18-190220-0001", "H15.50.05.13-261008-0975", "G22.99-251225-020175"] {
            check(code, Key::File(code.to_owned()));
        }
        check("7816/VPCP-TTĐT", Key::Document("7816/VPCP-TTĐT".to_owned()));
        let id = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b";
        check(&id.to_uppercase(), Key::Envelope(EnvelopeId::parse(id).unwrap()));
        check(&format!("sha256:{}", "AB".repeat(32)), Key::Sha256(Digest([0xab; 32])));
        for text in ["lạ", "-261122-0976", "H1-26112-0976"] {
            check(text, Key::Either(text.to_owned()));
        }
    }

    #[test]
    fn a_whole_filter_is_read_and_nonsense_is_named() {
        let query = Fields::read(b"q=7816/VP&state=held&state=waiting&state=x&reason=peer_busy&since=2026-11-01&until=yesterday&page=a&zzz=1");
        let filter = Filter::read(&query);
        assert_eq!(filter.request.document_code, "7816/VP");
        assert_eq!(filter.request.reason, "PEER_BUSY");
        let statuses = [v1::DeliveryStatus::Held as i32, v1::DeliveryStatus::Waiting as i32];
        assert_eq!(filter.request.statuses, statuses);
        assert!(filter.request.since.is_some() && filter.request.until.is_none());
        assert_eq!(filter.unread, ["x", "yesterday"]);
        assert!(!filter.fields.address("").contains("zzz") && filter.fields.address("").contains("until=yesterday"));
    }
}
