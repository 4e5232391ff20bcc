//! Packages and envelopes: what each field of one becomes in the other.
//!
//! | package | envelope |
//! |---|---|
//! | new document | `Document`; with `ApplicationType` MCDT_DT `Dossier` |
//! | `BussinessDocType` 1, 2, 3 | `ChangeRequest` recall, update, replace; `supersedes` names the earlier document |
//! | status 15, 16 | `ChangeAnswer` agreed, declined; `in_reply_to` names the request |
//! | status 13 | `ChangeRequest` recall: the sender asks by a status |
//! | any other status | `Status` with its raw code; no order is assumed |
//! | `To`, or a status' `ResponseFor/OrganId` | `to` |
//! | `ResponseFor` | `in_reply_to` |
//! | `OtherInfo/Priority` 0 to 4 | `priority` |
//!
//! The envelope also carries the package's skeleton and its files, so that the other end has the original.

use gateway_model::envelope::ENVELOPE_SCHEMA;
use gateway_model::{Timestamp, limits};
use proto::v1;
use unicode_normalization::UnicodeNormalization as _;

use crate::format::{BusinessKind, Defect, Document, Fault, Package, ResponseFor, Status};
use crate::ledger::Role;

mod fresh;
mod parts;

pub(crate) use fresh::{Fresh, FreshError, fresh};
pub(crate) use parts::{CarriedPart, SKELETON_ROLE, carry};

/// Status codes with a meaning of their own for envelopes.
pub(crate) const RECALL_ASKED: &str = "13";
/// Recall or update agreed.
pub(crate) const CHANGE_AGREED: &str = "15";
/// Recall or update refused.
pub(crate) const CHANGE_DECLINED: &str = "16";

/// An earlier document or change that an envelope refers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refers {
    /// Code of the agency that sent it.
    pub sender: String,
    /// Its DocumentId.
    pub document_id: String,
    /// Which of the envelopes under that DocumentId.
    pub role: Role,
}

/// What a package says, as an envelope says it: everything but ids, times, references and parts.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Meaning {
    pub from: String,
    pub to: Vec<String>,
    pub priority: v1::Priority,
    pub content: v1::envelope::Content,
    pub case: Option<v1::Case>,
    pub in_reply_to: Option<Refers>,
    pub supersedes: Option<Refers>,
    /// How others refer to this package.
    pub document_id: String,
    /// As which of the envelopes under that DocumentId it is remembered.
    pub role: Option<Role>,
    /// Number and notation.
    pub code: String,
    /// `YYYY-MM-DD`, or empty.
    pub promulgated_on: String,
}

impl Meaning {
    /// The envelope with what only the sender can say.
    pub(crate) fn envelope(
        &self,
        id: String,
        created_at: Timestamp,
        expires_at: Timestamp,
        references: (Option<v1::Reference>, Option<v1::Reference>),
        parts: Vec<v1::Part>,
    ) -> v1::Envelope {
        use adapters_sdk::seal::describe::wire_time;
        v1::Envelope {
            schema: ENVELOPE_SCHEMA.to_owned(),
            id,
            from: self.from.clone(),
            to: self.to.iter().map(|agency| v1::Recipient { agency: agency.clone() }).collect(),
            created_at: Some(wire_time(created_at)),
            expires_at: Some(wire_time(expires_at)),
            priority: self.priority.into(),
            in_reply_to: references.0,
            supersedes: references.1,
            case: self.case.clone(),
            content: Some(self.content.clone()),
            parts,
        }
    }

    /// Whether an envelope says the same: a package travels only under a signature that stands for what it says.
    pub(crate) fn is_said_by(&self, envelope: &v1::Envelope) -> bool {
        self.from == envelope.from
            && self.to.iter().eq(envelope.to.iter().map(|recipient| &recipient.agency))
            && i32::from(self.priority) == envelope.priority
            && self.case == envelope.case
            && Some(&self.content) == envelope.content.as_ref()
            && self.supersedes.is_some() == envelope.supersedes.is_some()
    }
}

/// What a package means.
///
/// # Errors
/// When it says what no envelope can say.
pub(crate) fn meaning(package: &Package) -> Result<Meaning, Fault> {
    match package {
        Package::Document(document) => of_document(document),
        Package::Status(status) => of_status(status),
    }
}

fn of_document(document: &Document) -> Result<Meaning, Fault> {
    let from = document.from.id.as_str();
    let earlier = |document_id: &str| Refers {
        sender: from.to_owned(),
        document_id: document_id.to_owned(),
        role: Role::Document,
    };
    let change = |kind: v1::ChangeKind| -> Result<v1::envelope::Content, Fault> {
        let reason = lines(&document.business.reason, "Bussiness/BussinessDocReason")?;
        Ok(v1::envelope::Content::ChangeRequest(v1::ChangeRequest { kind: kind.into(), reason }))
    };
    let (content, supersedes) = match document.business.kind {
        BusinessKind::New => (new_content(document)?, None),
        BusinessKind::Recall => (change(v1::ChangeKind::Recall)?, Some(earlier(&document.document_id))),
        BusinessKind::Update => (change(v1::ChangeKind::Update)?, Some(earlier(&document.business.document_id))),
        BusinessKind::Replace => {
            let first = document.business.replaced.first();
            let first = first.ok_or_else(|| Fault::new(Defect::FieldMissing, "ReplacementInfo/DocumentId"))?;
            (change(v1::ChangeKind::Replace)?, Some(earlier(first)))
        }
    };
    let is_change = supersedes.is_some();
    Ok(Meaning {
        from: from.to_owned(),
        to: document.to.iter().map(|organ| organ.id.clone()).collect(),
        priority: priority(document.priority),
        content,
        case: if document.is_dossier() { case(document)? } else { None },
        in_reply_to: document.response_for.iter().find_map(|response| answered(response, Role::Document)),
        supersedes,
        document_id: document.document_id.clone(),
        role: Some(if is_change { Role::Change } else { Role::Document }),
        code: line(&document.code(), "Code")?,
        promulgated_on: document.promulgated_on.clone(),
    })
}

fn new_content(document: &Document) -> Result<v1::envelope::Content, Fault> {
    let subject = lines(&document.subject, "Subject")?;
    if document.is_dossier() {
        let dossier = v1::Dossier { subject, due_on: document.due_on.clone(), state: String::new() };
        return Ok(v1::envelope::Content::Dossier(dossier));
    }
    Ok(v1::envelope::Content::Document(v1::Document {
        code: line(&document.code(), "Code")?,
        type_name: line(&document.type_name, "DocumentType/TypeName")?,
        subject,
        promulgated_on: document.promulgated_on.clone(),
    }))
}

/// The file code is what the one-stop desk wrote as the number of its dossier.
fn case(document: &Document) -> Result<Option<v1::Case>, Fault> {
    let file_code = line(&document.code(), "Code")?;
    if file_code.is_empty() {
        return Ok(None);
    }
    Ok(Some(v1::Case { file_code, ..v1::Case::default() }))
}

fn of_status(status: &Status) -> Result<Meaning, Fault> {
    let from = status.from.id.clone();
    let recipient = status.response_for.organ_id.clone();
    let reason = lines(&status.description, "Description")?;
    let about = |role| answered(&status.response_for, role);
    let answer = |verdict: v1::ChangeVerdict| {
        v1::envelope::Content::ChangeAnswer(v1::ChangeAnswer { verdict: verdict.into(), reason: reason.clone() })
    };
    let (content, in_reply_to, supersedes) = match status.code.as_str() {
        CHANGE_AGREED => (answer(v1::ChangeVerdict::Agreed), about(Role::Change), None),
        CHANGE_DECLINED => (answer(v1::ChangeVerdict::Declined), about(Role::Change), None),
        RECALL_ASKED => {
            let asked = v1::ChangeRequest { kind: v1::ChangeKind::Recall.into(), reason };
            // The document is the sender's own: ResponseFor/OrganId says whom it asks.
            let own = about(Role::Document).map(|refers| Refers { sender: from.clone(), ..refers });
            (v1::envelope::Content::ChangeRequest(asked), None, own)
        }
        code => {
            let at = status.at.map(adapters_sdk::seal::describe::wire_time);
            let said = v1::Status { code: code.to_owned(), description: reason, at };
            (v1::envelope::Content::Status(said), about(Role::Document), None)
        }
    };
    let needs_reference = !matches!(content, v1::envelope::Content::Status(_));
    if needs_reference && in_reply_to.is_none() && supersedes.is_none() {
        return Err(Fault::new(Defect::FieldMissing, "ResponseFor/DocumentId"));
    }
    let asks = supersedes.is_some();
    Ok(Meaning {
        from,
        to: vec![recipient],
        priority: v1::Priority::Normal,
        content,
        case: None,
        in_reply_to,
        supersedes,
        document_id: status.response_for.document_id.clone(),
        role: asks.then_some(Role::Change),
        code: line(&status.response_for.code, "ResponseFor/Code")?,
        promulgated_on: status.response_for.promulgated_on.clone(),
    })
}

fn answered(response: &ResponseFor, role: Role) -> Option<Refers> {
    let is_named = !response.organ_id.is_empty() && !response.document_id.is_empty();
    let fits = response.organ_id.len() <= limits::ID_BYTES_MAX && !response.organ_id.chars().any(char::is_whitespace);
    (is_named && fits).then(|| Refers {
        sender: response.organ_id.clone(),
        document_id: response.document_id.clone(),
        role,
    })
}

fn priority(rank: u8) -> v1::Priority {
    match rank {
        0 => v1::Priority::Normal,
        1 => v1::Priority::Urgent,
        2 => v1::Priority::VeryUrgent,
        3 => v1::Priority::Express,
        _ => v1::Priority::ExpressTimed,
    }
}

/// A text for display in one line: NFC, without what no gateway takes. The original keeps every byte.
fn line(text: &str, place: &str) -> Result<String, Fault> {
    bounded(text.nfc().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|&c| is_shown(c)).collect(), place)
}

/// The same with line breaks.
fn lines(text: &str, place: &str) -> Result<String, Fault> {
    bounded(text.nfc().filter(|&c| is_shown(c) || matches!(c, '\n' | '\t')).collect(), place)
}

fn bounded(text: String, place: &str) -> Result<String, Fault> {
    if text.len() > limits::TEXT_BYTES_MAX { Err(Fault::new(Defect::TextTooLong, place)) } else { Ok(text) }
}

fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' |
            '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}
