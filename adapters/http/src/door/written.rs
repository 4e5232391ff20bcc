//! An envelope as a caller writes it in JSON, and the description that it means.

use adapters_sdk::seal::describe::{Description, media_type};
use adapters_sdk::seal::written::{self, Given, Kind, Texts, WrittenReference, wrong};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::envelope::{Part, Priority};
use gateway_model::{Digest, Reason, Refusal, limits};
use http::Uri;
use serde::Deserialize;

use super::mapping::Mapping;

/// A request to send.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub id: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    #[serde(default)]
    kind: Kind,
    subject: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    type_name: String,
    #[serde(default)]
    promulgated_on: String,
    #[serde(default)]
    due_on: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    file_code: String,
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    procedure: String,
    #[serde(default)]
    step: String,
    #[serde(default)]
    priority: u8,
    in_reply_to: Option<WrittenReference>,
    supersedes: Option<WrittenReference>,
    expires_in: Option<String>,
    #[serde(default)]
    pub parts: Vec<WrittenPart>,
}

/// A part: its bytes, or where they are.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPart {
    pub name: String,
    media_type: Option<String>,
    #[serde(default)]
    role: String,
    content: Option<String>,
    url: Option<String>,
    sha256: Option<String>,
}

/// Where the bytes of a part come from.
pub(super) enum PartFrom {
    Value(Vec<u8>),
    Link(Uri),
}

/// Reads the body of a request: as `openapi.json` describes it, or by the configuration's table.
pub(super) fn read(body: &[u8], mapping: Option<&Mapping>) -> Result<Written, Refusal> {
    // The place and the kind of a fault, without what stands there: it may be personal data.
    let told = |fault: serde_json::Error| {
        let what = if fault.is_syntax() || fault.is_eof() { "is no JSON" } else { "does not fit the description" };
        wrong("body", &format!("{what}, line {} column {}", fault.line(), fault.column()))
    };
    let written: Written = match mapping {
        None => serde_json::from_slice(body).map_err(told)?,
        Some(mapping) => {
            let envelope = mapping.apply(serde_json::from_slice(body).map_err(told)?)?;
            serde_json::from_value(envelope).map_err(|_| wrong("body", "does not fit the description"))?
        }
    };
    if written.parts.len() > limits::PARTS_MAX {
        return Err(Refusal::new(Reason::PartsTooMany).at("parts"));
    }
    Ok(written)
}

impl WrittenPart {
    /// Where its bytes come from.
    pub(super) fn source(&self, field: &str) -> Result<PartFrom, Refusal> {
        match (&self.content, &self.url) {
            (Some(content), None) => {
                let bytes = STANDARD.decode(content).map_err(|_| wrong(&format!("{field}.content"), "is no base64"))?;
                Ok(PartFrom::Value(bytes))
            }
            (None, Some(url)) => {
                let url = url.parse().map_err(|_| wrong(&format!("{field}.url"), "is no address"))?;
                Ok(PartFrom::Link(url))
            }
            (Some(_), Some(_)) | (None, None) => Err(wrong(field, "has content or url, one of them")),
        }
    }

    /// The description of a part whose bytes are known.
    pub(super) fn part(&self, field: &str, size: u64, digest: Digest) -> Result<Part, Refusal> {
        if let Some(expected) = &self.sha256
            && Digest::from_hex(expected) != Some(digest)
        {
            return Err(Refusal::new(Reason::PartDigestMismatch).at(format!("{field}.sha256")));
        }
        let media_type = self.media_type.as_deref().unwrap_or_else(|| media_type(&self.name)).to_owned();
        Ok(Part { name: self.name.clone(), media_type, size, digest, role: self.role.clone() })
    }
}

impl Written {
    /// The full description.
    pub(super) fn complete(self, given: Given<'_>) -> Result<Description, Refusal> {
        let from = given.sender(self.from.as_deref())?;
        let expires_at = given.expires_at(self.expires_in.as_deref())?;
        let texts = Texts {
            subject: self.subject,
            code: self.code,
            type_name: self.type_name,
            promulgated_on: self.promulgated_on,
            due_on: self.due_on,
            state: self.state,
        };
        Ok(Description {
            id: given.id,
            from,
            priority: Priority::from_rank(self.priority).ok_or_else(|| wrong("priority", "is not from 0 to 4"))?,
            in_reply_to: self.in_reply_to.as_ref().map(|written| written.read("in_reply_to")).transpose()?,
            supersedes: self.supersedes.as_ref().map(|written| written.read("supersedes")).transpose()?,
            case: written::case(self.file_code, self.issuer, self.procedure, self.step),
            created_at: given.created_at,
            expires_at,
            content: self.kind.content(texts, given.created_at),
            parts: given.parts,
            to: self.to,
        })
    }
}
