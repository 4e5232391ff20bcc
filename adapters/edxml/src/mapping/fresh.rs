//! Writes a package for an envelope that never was one.

use gateway_model::Timestamp;
use gateway_model::envelope::Priority;
use proto::v1;
use proto::v1::envelope::Content;

use super::{CHANGE_AGREED, CHANGE_DECLINED};
use crate::format::{
    Attachment, Business, BusinessKind, DOSSIER, Document, Organ, ResponseFor, Status, write_document, write_status,
};
use crate::ledger::KnownDocument;

/// What a package needs besides the envelope.
pub(crate) struct Fresh<'a> {
    /// The envelope.
    pub envelope: &'a v1::Envelope,
    /// The document that `in_reply_to` names, as packages name it.
    pub answered: Option<KnownDocument>,
    /// The document that `supersedes` names.
    pub superseded: Option<KnownDocument>,
    /// The envelope's own parts, with their bytes.
    pub files: Vec<(v1::Part, Vec<u8>)>,
    /// Code of the recipient of a status.
    pub recipient: String,
    /// When this gateway took the envelope.
    pub at: Timestamp,
}

/// Why an envelope cannot be a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FreshError {
    /// Content that edXML has no word for.
    #[error("edXML has no word for this content")]
    Content,
    /// A status about nothing.
    #[error("a status for a document-management system names the document it is about")]
    Reference,
}

/// A package's bytes, and its DocumentId.
pub(crate) fn fresh(source: Fresh<'_>, organ: &dyn Fn(&str) -> Organ) -> Result<(Vec<u8>, KnownDocument), FreshError> {
    let content = source.envelope.content.as_ref().ok_or(FreshError::Content)?;
    match content {
        Content::Document(_) | Content::Dossier(_) | Content::ChangeRequest(_) => Ok(document(source, content, organ)),
        Content::Status(said) => status(&source, &said.code, &said.description, said.at.and_then(instant), organ),
        Content::ChangeAnswer(answer) => {
            let code = match answer.verdict() {
                v1::ChangeVerdict::Agreed => CHANGE_AGREED,
                v1::ChangeVerdict::Declined => CHANGE_DECLINED,
                v1::ChangeVerdict::Unspecified => return Err(FreshError::Content),
            };
            status(&source, code, &answer.reason, None, organ)
        }
        Content::Opaque(_) => Err(FreshError::Content),
    }
}

fn document(source: Fresh<'_>, content: &Content, organ: &dyn Fn(&str) -> Organ) -> (Vec<u8>, KnownDocument) {
    let envelope = source.envelope;
    let mut made = Document {
        from: organ(&envelope.from),
        to: envelope.to.iter().map(|to| organ(&to.agency)).collect(),
        // A DocumentId is opaque: the envelope's own id is one that everybody can refer to.
        document_id: envelope.id.clone(),
        priority: rank(envelope.priority()),
        response_for: source.answered.as_ref().map(response).into_iter().collect(),
        attachments: source.files.into_iter().map(attachment).collect(),
        ..Document::default()
    };
    match content {
        Content::Document(said) => {
            (made.code_number, made.code_notation) = split_code(&said.code);
            made.type_name.clone_from(&said.type_name);
            made.subject.clone_from(&said.subject);
            made.promulgated_on.clone_from(&said.promulgated_on);
        }
        Content::Dossier(said) => {
            made.application_type = DOSSIER.to_owned();
            made.subject.clone_from(&said.subject);
            made.due_on.clone_from(&said.due_on);
            made.code_number = envelope.case.as_ref().map(|case| case.file_code.clone()).unwrap_or_default();
        }
        Content::ChangeRequest(asked) => change(&mut made, asked, source.superseded.as_ref()),
        Content::Status(_) | Content::ChangeAnswer(_) | Content::Opaque(_) => {}
    }
    let known = KnownDocument {
        organ_id: made.from.id.clone(),
        document_id: made.document_id.clone(),
        code: made.code(),
        promulgated_on: made.promulgated_on.clone(),
    };
    (write_document(&made, source.at), known)
}

fn change(made: &mut Document, asked: &v1::ChangeRequest, earlier: Option<&KnownDocument>) {
    let earlier = earlier.cloned().unwrap_or_else(|| KnownDocument {
        organ_id: String::new(),
        document_id: String::new(),
        code: String::new(),
        promulgated_on: String::new(),
    });
    (made.code_number, made.code_notation) = split_code(&earlier.code);
    made.promulgated_on.clone_from(&earlier.promulgated_on);
    made.subject.clone_from(&asked.reason);
    made.business = Business { reason: asked.reason.clone(), ..Business::default() };
    match asked.kind() {
        // A recall names its target by the header itself.
        v1::ChangeKind::Recall | v1::ChangeKind::Unspecified => {
            made.business.kind = BusinessKind::Recall;
            made.document_id = earlier.document_id;
        }
        v1::ChangeKind::Update => {
            made.business.kind = BusinessKind::Update;
            made.business.document_id = earlier.document_id;
        }
        v1::ChangeKind::Replace => {
            made.business.kind = BusinessKind::Replace;
            made.business.replaced = vec![earlier.document_id];
        }
    }
}

fn status(
    source: &Fresh<'_>,
    code: &str,
    description: &str,
    at: Option<Timestamp>,
    organ: &dyn Fn(&str) -> Organ,
) -> Result<(Vec<u8>, KnownDocument), FreshError> {
    let about = source.answered.clone().ok_or(FreshError::Reference)?;
    let made = Status {
        from: organ(&source.envelope.from),
        response_for: ResponseFor { organ_id: source.recipient.clone(), ..response(&about) },
        code: code.to_owned(),
        description: description.to_owned(),
        at,
    };
    Ok((write_status(&made, source.at), about))
}

fn response(document: &KnownDocument) -> ResponseFor {
    ResponseFor {
        organ_id: document.organ_id.clone(),
        code: document.code.clone(),
        promulgated_on: document.promulgated_on.clone(),
        document_id: document.document_id.clone(),
    }
}

fn attachment((part, file): (v1::Part, Vec<u8>)) -> Attachment {
    Attachment { name: part.name, content_type: part.media_type, description: part.role, file, ..Attachment::default() }
}

fn split_code(code: &str) -> (String, String) {
    let (number, notation) = code.split_once('/').unwrap_or((code, ""));
    (number.to_owned(), notation.to_owned())
}

fn rank(priority: v1::Priority) -> u8 {
    let ours = match priority {
        v1::Priority::Unspecified | v1::Priority::Normal => Priority::Normal,
        v1::Priority::Urgent => Priority::Urgent,
        v1::Priority::VeryUrgent => Priority::VeryUrgent,
        v1::Priority::Express => Priority::Express,
        v1::Priority::ExpressTimed => Priority::ExpressTimed,
    };
    ours.rank()
}

fn instant(at: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::from_parts(at.seconds, at.nanos)
}
