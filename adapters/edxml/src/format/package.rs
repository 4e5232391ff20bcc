//! What a package says: the nouns of QCVN 102:2016.

use std::ops::Range;

use gateway_model::Timestamp;

/// A package: a document with its attachments, or a status.
#[derive(Debug)]
pub enum Package {
    /// A document.
    Document(Box<Document>),
    /// A status.
    Status(Box<Status>),
}

/// A document package.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Document {
    /// Sender.
    pub from: Organ,
    /// Recipients.
    pub to: Vec<Organ>,
    /// Opaque; the key by which everything about the document refers to it.
    pub document_id: String,
    /// Number.
    pub code_number: String,
    /// Notation.
    pub code_notation: String,
    /// Place of promulgation.
    pub place: String,
    /// Day of promulgation, `YYYY-MM-DD`; empty when it is not said.
    pub promulgated_on: String,
    /// Name of the kind of document.
    pub type_name: String,
    /// Abstract.
    pub subject: String,
    /// Short summary.
    pub content: String,
    /// Day by which an answer is due, `YYYY-MM-DD`; empty when it is not said.
    pub due_on: String,
    /// 0 to 4.
    pub priority: u8,
    /// Documents that it answers.
    pub response_for: Vec<ResponseFor>,
    /// `MCDT_DT` for a one-stop dossier.
    pub application_type: String,
    /// New, recall, update or replace.
    pub business: Business,
    /// The files.
    pub attachments: Vec<Attachment>,
    /// What stands as a signature in the header.
    pub signature: SignatureSeen,
}

/// An agency as a package names it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Organ {
    /// Its code, as written.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Names an earlier document.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ResponseFor {
    /// The agency that sent it; in a status also the recipient of the status.
    pub organ_id: String,
    /// `267/VPCP-TTĐT`.
    pub code: String,
    /// Day of promulgation, `YYYY-MM-DD`; empty when it is not said.
    pub promulgated_on: String,
    /// Its DocumentId.
    pub document_id: String,
}

/// What the package is about to do (`Bussiness`, in the standard's spelling).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Business {
    /// 0 to 3.
    pub kind: BusinessKind,
    /// Why.
    pub reason: String,
    /// The earlier document of an update.
    pub document_id: String,
    /// The earlier documents of a replacement.
    pub replaced: Vec<String>,
}

/// `BussinessDocType`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum BusinessKind {
    /// 0.
    #[default]
    New,
    /// 1: thu hồi.
    Recall,
    /// 2: cập nhật.
    Update,
    /// 3: thay thế.
    Replace,
}

impl BusinessKind {
    /// The number in the package.
    pub fn number(self) -> u8 {
        match self {
            Self::New => 0,
            Self::Recall => 1,
            Self::Update => 2,
            Self::Replace => 3,
        }
    }
}

/// A file of a package.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Name for readers.
    pub name: String,
    /// Media type as written; it does not tell whether the file was wrapped.
    pub content_type: String,
    /// For readers.
    pub description: String,
    /// The file itself.
    pub file: Vec<u8>,
    /// The ZIP that it was wrapped in.
    pub wrapped: Option<Vec<u8>>,
    /// Where its base64 text stands in the package.
    pub span: Range<usize>,
}

/// What stands as a signature in the header. None of them proves anything: hubs append to the header behind it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum SignatureSeen {
    /// Nothing.
    #[default]
    Absent,
    /// Something, which is reported as not verifiable and never trusted.
    NotVerifiable,
}

/// A status package.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who says it.
    pub from: Organ,
    /// About which document; its agency is the recipient.
    pub response_for: ResponseFor,
    /// Raw code, `01` to `16`.
    pub code: String,
    /// Reason or note.
    pub description: String,
    /// When.
    pub at: Option<Timestamp>,
}

impl Document {
    /// Number and notation as people write them.
    pub fn code(&self) -> String {
        match (self.code_number.is_empty(), self.code_notation.is_empty()) {
            (false, false) => format!("{}/{}", self.code_number, self.code_notation),
            _ => format!("{}{}", self.code_number, self.code_notation),
        }
    }

    /// Whether a one-stop dossier is inside.
    pub fn is_dossier(&self) -> bool {
        self.application_type == DOSSIER
    }
}

/// `ApplicationType` of a one-stop dossier.
pub const DOSSIER: &str = "MCDT_DT";
