//! An envelope as a caller writes it in JSON, and the description that it means.

use std::time::Duration;

use adapters_sdk::seal::describe::{Content, Description, media_type};
use adapters_sdk::settings::parse_span;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::envelope::{Case, Part, Priority, Reference};
use gateway_model::id::{AgencyId, EnvelopeId};
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use http::Uri;
use serde::Deserialize;

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

#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Document,
    Dossier,
    Status,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct WrittenReference {
    sender: String,
    id: String,
    sha256: Option<String>,
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

/// What the adapter adds to what is written.
pub(super) struct Given<'a> {
    pub id: EnvelopeId,
    pub from: Option<&'a AgencyId>,
    pub created_at: Timestamp,
    pub expires_in: Duration,
    pub parts: Vec<Part>,
}

/// Reads the body of a request.
pub(super) fn read(body: &[u8]) -> Result<Written, Refusal> {
    let written: Written = serde_json::from_slice(body).map_err(|fault| {
        // The place and the kind of the fault, without what stands there: it may be personal data.
        let what = if fault.is_syntax() || fault.is_eof() { "is no JSON" } else { "does not fit the description" };
        wrong("body", &format!("{what}, line {} column {}", fault.line(), fault.column()))
    })?;
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
        let from = match (&self.from, given.from) {
            (Some(from), _) => from.clone(),
            (None, Some(agency)) => agency.to_string(),
            (None, None) => return Err(wrong("from", "is missing, and the adapter serves more than one agency")),
        };
        let life = match &self.expires_in {
            Some(text) => parse_span(text).filter(|life| !life.is_zero() && *life <= limits::ENVELOPE_LIFE_MAX),
            None => Some(given.expires_in),
        };
        let life = life.ok_or_else(|| wrong("expires_in", "is no span of time from 1s to 366d"))?;
        Ok(Description {
            id: given.id,
            from,
            priority: Priority::from_rank(self.priority).ok_or_else(|| wrong("priority", "is not from 0 to 4"))?,
            in_reply_to: self.in_reply_to.as_ref().map(|r| reference("in_reply_to", r)).transpose()?,
            supersedes: self.supersedes.as_ref().map(|r| reference("supersedes", r)).transpose()?,
            case: self.case(),
            created_at: given.created_at,
            expires_at: given.created_at.plus(life),
            parts: given.parts,
            content: match self.kind {
                Kind::Document => Content::Document {
                    code: self.code,
                    type_name: self.type_name,
                    subject: self.subject,
                    promulgated_on: self.promulgated_on,
                },
                Kind::Dossier => Content::Dossier { subject: self.subject, due_on: self.due_on, state: self.state },
                Kind::Status => Content::Status { code: self.code, description: self.subject, at: given.created_at },
            },
            to: self.to,
        })
    }

    fn case(&self) -> Option<Case> {
        (!self.file_code.is_empty() || !self.procedure.is_empty()).then(|| Case {
            file_code: self.file_code.clone(),
            issuer: self.issuer.clone(),
            procedure_code: self.procedure.clone(),
            step: self.step.clone(),
        })
    }
}

/// A refusal about the request itself.
pub(super) fn wrong(field: &str, problem: &str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).at(field).saw(problem)
}

fn reference(field: &str, written: &WrittenReference) -> Result<Reference, Refusal> {
    let id = EnvelopeId::parse(&written.id).map_err(|fault| wrong(&format!("{field}.id"), &fault.to_string()))?;
    let no_digest = || wrong(&format!("{field}.sha256"), "is no SHA-256 in hexadecimal");
    let digest = written.sha256.as_ref().map(|hex| Digest::from_hex(hex).ok_or_else(no_digest)).transpose()?;
    Ok(Reference { sender: written.sender.clone(), id, digest })
}
