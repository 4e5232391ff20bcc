//! A caller's own JSON, by a table: field of the envelope = constant, or `"$path"` of the field of the body that it is read from.
//!
//! What the table does not name is not read: a system sends the body that it has. The other way round is `hook/template.rs`.

use adapters_sdk::seal::written::wrong;
use gateway_model::Refusal;
use serde_json::{Map, Value, json};
use toml::Table;

/// What a field of an envelope holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Text,
    Texts,
    Kind,
    Number,
    Reference,
    Parts,
}

/// Fields of an envelope, as `openapi.json` describes them.
const ENVELOPE: [(&str, Holds); 19] = [
    ("id", Holds::Text),
    ("from", Holds::Text),
    ("to", Holds::Texts),
    ("kind", Holds::Kind),
    ("subject", Holds::Text),
    ("code", Holds::Text),
    ("type_name", Holds::Text),
    ("promulgated_on", Holds::Text),
    ("due_on", Holds::Text),
    ("state", Holds::Text),
    ("file_code", Holds::Text),
    ("issuer", Holds::Text),
    ("procedure", Holds::Text),
    ("step", Holds::Text),
    ("priority", Holds::Number),
    ("in_reply_to", Holds::Reference),
    ("supersedes", Holds::Reference),
    ("expires_in", Holds::Text),
    ("parts", Holds::Parts),
];
/// Fields of a part.
const PART: [(&str, Holds); 6] = [
    ("name", Holds::Text),
    ("media_type", Holds::Text),
    ("role", Holds::Text),
    ("content", Holds::Text),
    ("url", Holds::Text),
    ("sha256", Holds::Text),
];
/// Without these there is no envelope, and no part.
const NEEDED: [&str; 3] = ["to", "subject", "name"];

/// Where each field of an envelope, and of each of its parts, is read from.
#[derive(Clone, PartialEq, Debug)]
pub struct Mapping {
    envelope: Vec<Field>,
    /// Empty where parts are written as `openapi.json` describes them.
    part: Vec<Field>,
}

#[derive(Clone, PartialEq, Debug)]
struct Field {
    name: &'static str,
    holds: Holds,
    source: Source,
}

#[derive(Clone, PartialEq, Debug)]
enum Source {
    Constant(Value),
    Path(Vec<String>),
}

impl Mapping {
    /// Reads the table; `part` in it is the table for each part. Dots in a path lead into an object; `$$` begins a constant with a dollar sign.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(table: &Table) -> Result<Self, String> {
        let mut table = table.clone();
        let part = match table.remove("part") {
            Some(toml::Value::Table(part)) => read_fields(&part, &PART)?,
            Some(_) => return Err("has part, which is no table".to_owned()),
            None => Vec::new(),
        };
        let envelope = read_fields(&table, &ENVELOPE)?;
        let lacks = |fields: &[Field], name: &str| fields.iter().all(|field| field.name != name);
        match NEEDED.iter().find(|name| {
            let fields = if **name == "name" { &part } else { &envelope };
            (**name != "name" || !part.is_empty()) && lacks(fields, name)
        }) {
            Some(name) => Err(format!("does not say where {name:?} comes from")),
            None => Ok(Self { envelope, part }),
        }
    }

    /// The envelope that a body means, in the form of `openapi.json`.
    pub(super) fn apply(&self, mut body: Value) -> Result<Value, Refusal> {
        let mut envelope = fill(&self.envelope, &mut body, "")?;
        if let (false, Some(Value::Array(parts))) = (self.part.is_empty(), envelope.get_mut("parts")) {
            for (number, part) in parts.iter_mut().enumerate() {
                *part = Value::Object(fill(&self.part, part, &format!("parts[{number}]."))?);
            }
        }
        Ok(Value::Object(envelope))
    }

    /// The schema of a body, made of that of an envelope and that of a part.
    pub(crate) fn schema(&self, envelope: &Value, part: &Value) -> Value {
        let mut schema = describe(&self.envelope, envelope);
        if !self.part.is_empty()
            && let Some(Source::Path(path)) =
                self.envelope.iter().find(|field| field.name == "parts").map(|one| &one.source)
        {
            let parts = json!({ "type": "array", "items": describe(&self.part, part), "description": "→ parts" });
            place(&mut schema, path, parts);
        }
        schema
    }
}

fn read_fields(table: &Table, known: &[(&'static str, Holds)]) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    for (name, value) in table {
        let Some((name, holds)) = known.iter().find(|(known, _)| known == name) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(format!("names {name:?}; known: {}", names.join(", ")));
        };
        fields.push(Field { name, holds: *holds, source: source(name, *holds, value)? });
    }
    Ok(fields)
}

fn source(name: &str, holds: Holds, value: &toml::Value) -> Result<Source, String> {
    let constant = match value {
        toml::Value::String(text) => match text.strip_prefix('$') {
            Some(rest) if !rest.starts_with('$') => {
                let path: Vec<String> = rest.split('.').map(str::to_owned).collect();
                let is_whole = path.iter().all(|name| !name.is_empty());
                return is_whole
                    .then_some(Source::Path(path))
                    .ok_or(format!("has an empty name in the path of {name:?}"));
            }
            rest => Value::from(rest.unwrap_or(text)),
        },
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Array(texts) => {
            texts.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>().map_or(Value::Null, Value::from)
        }
        _ => Value::Null,
    };
    let wanted = || format!("gives {name:?} what {}", holds.fault());
    holds.read(constant).map(Source::Constant).ok_or_else(wanted)
}

/// What the fields are in `body`; `at` goes before the name of a field that is not what it has to be.
fn fill(fields: &[Field], body: &mut Value, at: &str) -> Result<Map<String, Value>, Refusal> {
    let mut filled = Map::new();
    for Field { name, holds, source } in fields {
        let value = match source {
            Source::Constant(value) => value.clone(),
            Source::Path(path) => {
                let place = format!("{at}{}", path.join("."));
                match path
                    .iter()
                    .try_fold(&mut *body, |inside, name| inside.get_mut(name))
                    .filter(|found| !found.is_null())
                {
                    // Bytes are not copied: nothing else is read from there.
                    Some(found) if *holds == Holds::Parts || *name == "content" => holds.read(found.take()),
                    Some(found) => holds.read(found.clone()),
                    None if NEEDED.contains(name) => {
                        return Err(wrong(&place, &format!("is missing: it is the {name}")));
                    }
                    None => continue,
                }
                .ok_or_else(|| wrong(&place, holds.fault()))?
            }
        };
        filled.insert((*name).to_owned(), value);
    }
    Ok(filled)
}

impl Holds {
    /// A value as the envelope has it; `None` when it is another thing. A number may stand for a text, and a text for a number or a list of one.
    fn read(self, value: Value) -> Option<Value> {
        match (self, value) {
            (Self::Text, Value::Number(number)) => Some(number.to_string().into()),
            (Self::Texts, Value::String(text)) => Some(json!([text])),
            (Self::Texts, Value::Array(texts)) => texts.iter().all(Value::is_string).then_some(Value::Array(texts)),
            (Self::Kind, Value::String(kind)) => {
                ["document", "dossier", "status"].contains(&kind.as_str()).then_some(Value::String(kind))
            }
            (Self::Number, Value::String(text)) => text.trim().parse::<u64>().ok().map(Value::from),
            (Self::Number, Value::Number(number)) => number.as_u64().map(Value::from),
            (Self::Text, value @ Value::String(_))
            | (Self::Reference, value @ Value::Object(_))
            | (Self::Parts, value @ Value::Array(_)) => Some(value),
            _ => None,
        }
    }

    fn fault(self) -> &'static str {
        match self {
            Self::Text => "is no text",
            Self::Texts => "is neither a text nor a list of texts",
            Self::Kind => "is none of document, dossier and status",
            Self::Number => "is no whole number",
            Self::Reference => "is no object with sender and id",
            Self::Parts => "is no list",
        }
    }
}

/// An object that has every field that is read, each told by the envelope's own description.
fn describe(fields: &[Field], own: &Value) -> Value {
    let mut schema = json!({ "type": "object", "properties": {} });
    for field in fields {
        if let Source::Path(path) = &field.source {
            let mut described = own["properties"][field.name].clone();
            if let Value::Object(described) = &mut described {
                described.insert("description".to_owned(), format!("→ {}", field.name).into());
            }
            place(&mut schema, path, described);
        }
    }
    schema
}

/// Puts a description where a path leads.
fn place(schema: &mut Value, path: &[String], described: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    let Value::Object(properties) = &mut schema["properties"] else { return };
    if rest.is_empty() {
        properties.insert(first.clone(), described);
    } else {
        let inside = properties.entry(first.clone()).or_insert_with(|| json!({ "type": "object", "properties": {} }));
        if inside.get("properties").is_none() {
            inside["properties"] = json!({});
        }
        place(inside, rest, described);
    }
}
