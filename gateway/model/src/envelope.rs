//! The envelope after parsing: every field checked for shape, none for trust.

use crate::hash::Digest;
use crate::id::{AgencyId, EnvelopeId};
use crate::time::Timestamp;

/// Schema name of the one envelope format there is.
pub const ENVELOPE_SCHEMA: &str = "lienthong.envelope.v1";

/// A parsed envelope. Names of agencies are as the sender wrote them; resolving them needs a directory.
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    /// The sender's id for it.
    pub id: EnvelopeId,
    /// Sender, as written.
    pub from: String,
    /// Recipients, as written.
    pub to: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// After this nobody accepts it.
    pub expires_at: Timestamp,
    /// How urgent.
    pub priority: Priority,
    /// The envelope it answers.
    pub in_reply_to: Option<Reference>,
    /// The envelope it replaces.
    pub supersedes: Option<Reference>,
    /// The administrative file it belongs to.
    pub case: Option<Case>,
    /// What it is, in a word and a line for the reader.
    pub content: ContentSummary,
    /// Its attachments.
    pub parts: Vec<Part>,
}

/// What the gateway keeps of the content for search and display; the bytes themselves stay in the signed envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentSummary {
    /// Which arm of `content`.
    pub kind: ContentKind,
    /// Subject, or the opaque type.
    pub subject: String,
    /// Document number and notation; status code; empty otherwise.
    pub code: String,
}

/// The arms of `content`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentKind {
    /// An official document.
    Document,
    /// A one-stop file.
    Dossier,
    /// A business status.
    Status,
    /// Recall, update or replacement asked.
    ChangeRequest,
    /// Its answer.
    ChangeAnswer,
    /// Anything else.
    Opaque,
}

impl ContentKind {
    /// Every arm.
    pub const ALL: [Self; 6] =
        [Self::Document, Self::Dossier, Self::Status, Self::ChangeRequest, Self::ChangeAnswer, Self::Opaque];

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Name in logs, lists and folders.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Dossier => "dossier",
            Self::Status => "status",
            Self::ChangeRequest => "change_request",
            Self::ChangeAnswer => "change_answer",
            Self::Opaque => "opaque",
        }
    }
}

/// Names an earlier envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Its sender, as written.
    pub sender: String,
    /// Its id.
    pub id: EnvelopeId,
    /// Digest of its bytes, where known.
    pub digest: Option<Digest>,
}

/// The administrative file (hồ sơ).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// File code.
    pub file_code: String,
    /// Issuing agency as written; empty means the sender.
    pub issuer: String,
    /// Procedure code.
    pub procedure_code: String,
    /// Step handed over.
    pub step: String,
}

/// One attachment, as described by the sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Display name; never a file name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// What it is for.
    pub role: String,
}

/// Five degrees of urgency; the later the more urgent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Priority {
    /// Thường.
    Normal,
    /// Khẩn.
    Urgent,
    /// Thượng khẩn.
    VeryUrgent,
    /// Hỏa tốc.
    Express,
    /// Hỏa tốc hẹn giờ.
    ExpressTimed,
}

impl Priority {
    /// Every degree, the least urgent first.
    pub const ALL: [Self; 5] = [Self::Normal, Self::Urgent, Self::VeryUrgent, Self::Express, Self::ExpressTimed];

    /// 0 to 4, as in edXML.
    pub fn rank(self) -> u8 {
        self as u8
    }

    /// From 0 to 4.
    pub fn from_rank(rank: u8) -> Option<Self> {
        Self::ALL.get(usize::from(rank)).copied()
    }
}

/// In which role a signer signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SignatureRole {
    /// The competent person.
    Person,
    /// The agency's seal.
    Agency,
    /// The agency's seal, made by an adapter.
    SealedByAdapter,
}

impl SignatureRole {
    /// Name in the directory, in logs and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Agency => "agency",
            Self::SealedByAdapter => "sealed-by-adapter",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Person, Self::Agency, Self::SealedByAdapter].into_iter().find(|role| role.as_str() == text)
    }
}

/// A recipient after resolution: who was named, and who gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResolvedRecipient {
    /// Internal id of the agency that the sender named.
    pub named: AgencyId,
    /// Internal id of the agency that gets it: the same, or its successor.
    pub serving: AgencyId,
}
