//! The body of a webhook by a table: JSON field = constant, or `"$name"` of a field of the envelope.

use adapters_sdk::Delivery;
use gateway_model::envelope::{Envelope, Reference};
use serde_json::{Map, Value, json};
use toml::Table;

/// Fields of one body.
const FIELDS_MAX: usize = 256;
/// Names that a field may take its value from.
pub const NAMES: [&str; 25] = [
    "delivery_id",
    "envelope_id",
    "envelope_sha256",
    "sender",
    "from",
    "recipient",
    "recipient_named",
    "to",
    "kind",
    "subject",
    "code",
    "priority",
    "created_at",
    "expires_at",
    "file_code",
    "issuer",
    "procedure",
    "step",
    "in_reply_to",
    "supersedes",
    "hops",
    "parts",
    "part_count",
    "gateway",
    "schema",
];

/// What a body is made of.
#[derive(Clone, PartialEq, Debug)]
pub struct Template(Vec<(Vec<String>, Source)>);

#[derive(Clone, PartialEq, Debug)]
enum Source {
    Constant(Value),
    Field(&'static str),
}

impl Template {
    /// Every field under its own name.
    pub fn whole() -> Self {
        Self(NAMES.iter().map(|name| (vec![(*name).to_owned()], Source::Field(name))).collect())
    }

    /// Reads the table. Dots in a JSON field lead into an object; `$$` begins a constant with a dollar sign.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(table: &Table) -> Result<Self, String> {
        if table.is_empty() || table.len() > FIELDS_MAX {
            return Err(format!("has {} fields; 1 to {FIELDS_MAX} are possible", table.len()));
        }
        let mut fields = Vec::new();
        for (field, value) in table {
            let path: Vec<String> = field.split('.').map(str::to_owned).collect();
            if path.iter().any(String::is_empty) {
                return Err(format!("has the field {field:?}, which has an empty name in it"));
            }
            let is_in_the_way =
                |(other, _): &(Vec<String>, Source)| other.starts_with(&path) || path.starts_with(other);
            if fields.iter().any(is_in_the_way) {
                return Err(format!("has the field {field:?} inside of another, or beside itself"));
            }
            fields.push((path, source(field, value)?));
        }
        Ok(Self(fields))
    }

    /// The body for a delivery.
    pub(crate) fn fill(&self, delivery: &Delivery, parts: Vec<Value>) -> Value {
        let mut body = Map::new();
        let parts = Value::Array(parts);
        for (path, source) in &self.0 {
            let value = match source {
                Source::Constant(value) => value.clone(),
                Source::Field("parts") => parts.clone(),
                Source::Field(name) => field(name, delivery),
            };
            insert(&mut body, path, value);
        }
        Value::Object(body)
    }
}

fn source(field: &str, value: &toml::Value) -> Result<Source, String> {
    let constant = |value: Value| Ok(Source::Constant(value));
    match value {
        toml::Value::String(text) => match text.strip_prefix('$') {
            Some(rest) if rest.starts_with('$') => constant(rest.into()),
            Some(name) => match NAMES.iter().find(|known| **known == name) {
                Some(known) => Ok(Source::Field(known)),
                None => Err(format!("takes {field:?} from ${name}; known: {}", NAMES.join(", "))),
            },
            None => constant(text.as_str().into()),
        },
        toml::Value::Integer(number) => constant((*number).into()),
        toml::Value::Boolean(is_true) => constant((*is_true).into()),
        _ => Err(format!("gives {field:?} neither a text nor a whole number nor true or false")),
    }
}

fn insert(body: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [last] => {
            body.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = body.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn field(name: &str, delivery: &Delivery) -> Value {
    let envelope: &Envelope = &delivery.envelope;
    let recipient = delivery.recipients.first();
    let case = envelope.case.as_ref();
    match name {
        "delivery_id" => delivery.ids.first().map(ToString::to_string).into(),
        "envelope_id" => envelope.id.to_string().into(),
        "envelope_sha256" => delivery.digest.to_string().into(),
        "sender" => delivery.key.sender.as_str().into(),
        "from" => envelope.from.as_str().into(),
        "recipient" => recipient.map(|recipient| recipient.serving.as_str()).into(),
        "recipient_named" => recipient.map(|recipient| recipient.named.as_str()).into(),
        "to" => envelope.to.clone().into(),
        "kind" => envelope.content.kind.as_str().into(),
        "subject" => envelope.content.subject.as_str().into(),
        "code" => envelope.content.code.as_str().into(),
        "priority" => envelope.priority.rank().into(),
        "created_at" => envelope.created_at.to_string().into(),
        "expires_at" => envelope.expires_at.to_string().into(),
        "file_code" => case.map(|case| case.file_code.as_str()).into(),
        "issuer" => case.map(|case| case.issuer.as_str()).into(),
        "procedure" => case.map(|case| case.procedure_code.as_str()).into(),
        "step" => case.map(|case| case.step.as_str()).into(),
        "in_reply_to" => reference(envelope.in_reply_to.as_ref()),
        "supersedes" => reference(envelope.supersedes.as_ref()),
        "hops" => delivery.hops.iter().map(|hop| hop.as_str().to_owned()).collect::<Vec<_>>().into(),
        "part_count" => envelope.parts.len().into(),
        "gateway" => delivery.hops.last().map(|hop| hop.as_str()).into(),
        "schema" => gateway_model::envelope::ENVELOPE_SCHEMA.into(),
        _ => Value::Null,
    }
}

fn reference(reference: Option<&Reference>) -> Value {
    reference.map_or(Value::Null, |reference| {
        json!({
            "sender": reference.sender,
            "id": reference.id.to_string(),
            "sha256": reference.digest.map(|digest| digest.to_string()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_nest_by_their_dots_and_take_constants_or_fields_of_the_envelope() {
        let table = "\"hoSo.ma\" = \"$file_code\"\n\"hoSo.so\" = 3\nmoi = true\ngia = \"$$5\"".parse().unwrap();
        let body = Template::read(&table).unwrap().fill(&crate::fixture::delivery(&[]), Vec::new());
        assert_eq!(body, json!({"hoSo": {"ma": "H99.50.05.13-261008-0975", "so": 3}, "moi": true, "gia": "$5"}));
    }

    #[test]
    fn every_known_name_has_a_value_and_the_whole_body_holds_them_all() {
        let body =
            Template::whole().fill(&crate::fixture::delivery(&[("a.pdf", b"x")]), vec![json!({"name": "a.pdf"})]);
        for name in NAMES {
            assert!(body.get(name).is_some_and(|value| !value.is_null() || name == "supersedes"), "{name}: {body}");
        }
    }

    #[test]
    fn a_table_that_cannot_be_filled_is_told() {
        let check = |text: &str, expected: &str| {
            let told = Template::read(&text.parse().unwrap()).unwrap_err();
            assert!(told.contains(expected), "{told}");
        };
        check("", "0 fields");
        check("a = \"$nothing\"", "known: delivery_id");
        check("a = 1.5", "neither");
        check("\"a..b\" = 1", "empty name");
        check("\"a.b\" = 1\n\"a.b.c\" = 2", "inside of another");
    }
}
