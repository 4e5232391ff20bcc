//! The description beside plain files: what a clerk or a simple system writes, in TOML.
//!
//! ```toml
//! to = ["H15.50"]                  # agency codes or ids
//! subject = "Hồ sơ đăng ký biến động đất đai"
//! kind = "dossier"                 # document (default), dossier or status
//! file_code = "H15.50.05.13-261008-0975"
//! procedure = "1.012783"
//! priority = "urgent"              # or in Vietnamese: "khẩn"
//! files = ["don.pdf", { name = "trich-luc.pdf", role = "Trích lục bản đồ" }]   # absent: all files that belong to the drop
//! ```

use std::path::Path;

use adapters_sdk::seal::describe::Description;
use adapters_sdk::seal::written::{self, Given, Kind, Texts, WrittenReference, wrong};
use gateway_model::Refusal;
use gateway_model::envelope::Priority;
use gateway_model::id::EnvelopeId;
use serde::Deserialize;

/// A description as written.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    id: Option<String>,
    from: Option<String>,
    to: OneOrMany,
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
    priority: String,
    in_reply_to: Option<WrittenReference>,
    supersedes: Option<WrittenReference>,
    expires_in: Option<String>,
    /// The files to send, in this order.
    pub files: Option<Vec<WrittenFile>>,
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// One file to send: its name, or its name with what it is for.
#[derive(Deserialize, Clone, Debug)]
#[serde(untagged)]
pub(super) enum WrittenFile {
    /// Name alone.
    Name(String),
    /// Name and more.
    Full {
        /// Name of the file.
        name: String,
        /// What it is for.
        #[serde(default)]
        role: String,
        /// Media type, where the name does not tell.
        media_type: Option<String>,
    },
}

impl WrittenFile {
    /// The file's name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Full { name, .. } => name,
        }
    }

    /// What it is for.
    pub(super) fn role(&self) -> &str {
        match self {
            Self::Name(_) => "",
            Self::Full { role, .. } => role,
        }
    }

    /// The media type said.
    pub(super) fn media_type(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Full { media_type, .. } => media_type.as_deref(),
        }
    }
}

/// Reads the description in `file`.
pub(super) fn read(file: &Path, bytes: &[u8]) -> Result<Written, Refusal> {
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let text = std::str::from_utf8(bytes).map_err(|_| wrong(&file, "is no UTF-8 text"))?;
    toml::from_str(text).map_err(|fault| {
        let line =
            fault.span().map_or(1, |span| text.bytes().take(span.start).filter(|&byte| byte == b'\n').count() + 1);
        wrong(&format!("{file}:{line}"), fault.message())
    })
}

impl Written {
    /// The full description.
    pub(super) fn complete(self, given: Given<'_>) -> Result<Description, Refusal> {
        let id = match &self.id {
            Some(text) => EnvelopeId::parse(text).map_err(|fault| wrong("id", &fault.to_string()))?,
            None => given.id,
        };
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
            id,
            from,
            priority: priority(&self.priority)?,
            in_reply_to: self.in_reply_to.as_ref().map(|written| written.read("in_reply_to")).transpose()?,
            supersedes: self.supersedes.as_ref().map(|written| written.read("supersedes")).transpose()?,
            case: written::case(self.file_code, self.issuer, self.procedure, self.step),
            created_at: given.created_at,
            expires_at,
            content: self.kind.content(texts, given.created_at),
            parts: given.parts,
            to: match self.to {
                OneOrMany::One(agency) => vec![agency],
                OneOrMany::Many(agencies) => agencies,
            },
        })
    }
}

fn priority(text: &str) -> Result<Priority, Refusal> {
    match text.to_lowercase().as_str() {
        "" | "normal" | "thường" => Ok(Priority::Normal),
        "urgent" | "khẩn" => Ok(Priority::Urgent),
        "very-urgent" | "thượng khẩn" => Ok(Priority::VeryUrgent),
        "express" | "hỏa tốc" | "hoả tốc" => Ok(Priority::Express),
        "express-timed" | "hỏa tốc hẹn giờ" | "hoả tốc hẹn giờ" => Ok(Priority::ExpressTimed),
        other => {
            Err(wrong("priority", &format!("{other} is none of normal, urgent, very-urgent, express, express-timed")))
        }
    }
}
