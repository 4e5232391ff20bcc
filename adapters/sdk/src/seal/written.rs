//! What people and simple systems write about an envelope: the pieces that every such form shares, in TOML as in JSON.

use std::time::Duration;

use gateway_model::envelope::{Case, Part, Reference};
use gateway_model::id::{AgencyId, EnvelopeId};
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};
use serde::Deserialize;

use super::describe::Content;
use crate::settings::parse_span;

/// What is sent.
#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An official document.
    #[default]
    Document,
    /// A one-stop file.
    Dossier,
    /// A business status.
    Status,
}

/// The texts that say what is sent; each kind takes its own.
#[derive(Debug)]
pub struct Texts {
    /// Of every kind.
    pub subject: String,
    /// Number of a document, code of a status.
    pub code: String,
    /// Of a document.
    pub type_name: String,
    /// Of a document.
    pub promulgated_on: String,
    /// Of a dossier.
    pub due_on: String,
    /// Of a dossier.
    pub state: String,
}

/// Another envelope, as it is named.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct WrittenReference {
    sender: String,
    id: String,
    sha256: Option<String>,
}

/// What the adapter adds to what is written.
#[derive(Debug)]
pub struct Given<'a> {
    /// An id for an envelope whose writer does not say its own.
    pub id: EnvelopeId,
    /// The sender of one that does not say.
    pub from: Option<&'a AgencyId>,
    /// The instant of sealing.
    pub created_at: Timestamp,
    /// Life of one that does not say.
    pub expires_in: Duration,
    /// The parts.
    pub parts: Vec<Part>,
}

impl Kind {
    /// What is sent, in these words.
    pub fn content(self, texts: Texts, created_at: Timestamp) -> Content {
        let Texts { subject, code, type_name, promulgated_on, due_on, state } = texts;
        match self {
            Self::Document => Content::Document { code, type_name, subject, promulgated_on },
            Self::Dossier => Content::Dossier { subject, due_on, state },
            Self::Status => Content::Status { code, description: subject, at: created_at },
        }
    }
}

impl WrittenReference {
    /// The envelope that it names; `field` is where it stands.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] when the id or the digest is none.
    pub fn read(&self, field: &str) -> Result<Reference, Refusal> {
        let id = EnvelopeId::parse(&self.id).map_err(|fault| wrong(&format!("{field}.id"), &fault.to_string()))?;
        let no_digest = || wrong(&format!("{field}.sha256"), "is no SHA-256 in hexadecimal");
        let digest = self.sha256.as_ref().map(|hex| Digest::from_hex(hex).ok_or_else(no_digest)).transpose()?;
        Ok(Reference { sender: self.sender.clone(), id, digest })
    }
}

impl Given<'_> {
    /// Who sends: as written, or the one agency that is served.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] when neither says.
    pub fn sender(&self, written: Option<&str>) -> Result<String, Refusal> {
        match (written, self.from) {
            (Some(from), _) => Ok(from.to_owned()),
            (None, Some(agency)) => Ok(agency.to_string()),
            (None, None) => Err(wrong("from", "is missing, and the adapter serves more than one agency")),
        }
    }

    /// When it expires: after the span that is written, or the usual one.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] for what is no span that an envelope may live.
    pub fn expires_at(&self, written: Option<&str>) -> Result<Timestamp, Refusal> {
        let life = match written {
            Some(text) => parse_span(text).filter(|life| !life.is_zero() && *life <= limits::ENVELOPE_LIFE_MAX),
            None => Some(self.expires_in),
        };
        life.map(|life| self.created_at.plus(life))
            .ok_or_else(|| wrong("expires_in", "is no span of time from 1s to 366d"))
    }
}

/// The file that the envelope belongs to; `None` when neither its code nor its procedure is said.
pub fn case(file_code: String, issuer: String, procedure_code: String, step: String) -> Option<Case> {
    let is_said = !file_code.is_empty() || !procedure_code.is_empty();
    is_said.then_some(Case { file_code, issuer, procedure_code, step })
}

/// A refusal about what is written.
pub fn wrong(field: &str, problem: &str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).at(field).saw(problem)
}
