//! Makes an `Envelope` from a small description: what a clerk or a simple system can say about a file.

use gateway_model::Timestamp;
use gateway_model::envelope::{Case, ENVELOPE_SCHEMA, Part, Priority, Reference};
use gateway_model::id::EnvelopeId;
use gateway_model::limits;
use proto::v1;
use unicode_normalization::UnicodeNormalization;

/// What an envelope says. Ids, times and digests are given: the same description makes the same bytes.
#[derive(Clone, PartialEq, Debug)]
pub struct Description {
    /// The sender's id for it.
    pub id: EnvelopeId,
    /// Sender: internal id or any code.
    pub from: String,
    /// Recipients: internal ids or codes.
    pub to: Vec<String>,
    /// When it is made.
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
    /// What it is.
    pub content: Content,
    /// Its attachments.
    pub parts: Vec<Part>,
}

/// The kinds of content that a description can make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// An official document.
    Document {
        /// Number and notation.
        code: String,
        /// Name of its kind.
        type_name: String,
        /// Abstract.
        subject: String,
        /// Day of promulgation, `YYYY-MM-DD`.
        promulgated_on: String,
    },
    /// A one-stop file.
    Dossier {
        /// What it is about.
        subject: String,
        /// Day on which the result is promised, `YYYY-MM-DD`; empty when none is.
        due_on: String,
        /// State by the sender's own list.
        state: String,
    },
    /// A business status.
    Status {
        /// Raw code.
        code: String,
        /// Note for the reader.
        description: String,
        /// When it became true.
        at: Timestamp,
    },
}

impl Description {
    /// The envelope that the description means. Texts are brought into NFC, as every gateway wants them.
    pub fn envelope(&self) -> v1::Envelope {
        v1::Envelope {
            schema: ENVELOPE_SCHEMA.to_owned(),
            id: self.id.to_string(),
            from: self.from.clone(),
            to: self.to.iter().map(|agency| v1::Recipient { agency: agency.clone() }).collect(),
            created_at: Some(wire_time(self.created_at)),
            expires_at: Some(wire_time(self.expires_at)),
            priority: wire_priority(self.priority).into(),
            in_reply_to: self.in_reply_to.as_ref().map(wire_reference),
            supersedes: self.supersedes.as_ref().map(wire_reference),
            case: self.case.as_ref().map(wire_case),
            content: Some(self.content.wire()),
            parts: self.parts.iter().map(wire_part).collect(),
        }
    }
}

impl Content {
    fn wire(&self) -> v1::envelope::Content {
        match self {
            Self::Document { code, type_name, subject, promulgated_on } => {
                v1::envelope::Content::Document(v1::Document {
                    code: nfc(code),
                    type_name: nfc(type_name),
                    subject: nfc(subject),
                    promulgated_on: promulgated_on.clone(),
                })
            }
            Self::Dossier { subject, due_on, state } => v1::envelope::Content::Dossier(v1::Dossier {
                subject: nfc(subject),
                due_on: due_on.clone(),
                state: nfc(state),
            }),
            Self::Status { code, description, at } => v1::envelope::Content::Status(v1::Status {
                code: nfc(code),
                description: nfc(description),
                at: Some(wire_time(*at)),
            }),
        }
    }
}

/// A display name for a part from the name of a file: its last component in NFC, without what no gateway takes, within the bound.
pub fn display_name(file_name: &str) -> String {
    let last = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.nfc().filter(|&c| !is_unwanted(c)).take(limits::PART_NAME_CHARS_MAX).collect();
    match name.trim() {
        "" | "." | ".." => "part".to_owned(),
        name => name.to_owned(),
    }
}

/// The media type that a file's name suggests; `application/octet-stream` where it suggests none.
pub fn media_type(file_name: &str) -> &'static str {
    let extension = file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "pdf" => "application/pdf",
        "xml" => "application/xml",
        "json" => "application/json",
        "txt" => "text/plain",
        "csv" => "text/csv",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "tif" | "tiff" => "image/tiff",
        "zip" => "application/zip",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "dwg" => "image/vnd.dwg",
        "dxf" => "image/vnd.dxf",
        _ => "application/octet-stream",
    }
}

/// `google.protobuf.Timestamp` of an instant.
pub fn wire_time(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.to_parts();
    prost_types::Timestamp { seconds, nanos }
}

fn wire_priority(priority: Priority) -> v1::Priority {
    match priority {
        Priority::Normal => v1::Priority::Normal,
        Priority::Urgent => v1::Priority::Urgent,
        Priority::VeryUrgent => v1::Priority::VeryUrgent,
        Priority::Express => v1::Priority::Express,
        Priority::ExpressTimed => v1::Priority::ExpressTimed,
    }
}

fn wire_reference(reference: &Reference) -> v1::Reference {
    v1::Reference {
        sender: reference.sender.clone(),
        id: reference.id.to_string(),
        sha256: reference.digest.map(|digest| digest.0.to_vec().into()).unwrap_or_default(),
    }
}

fn wire_case(case: &Case) -> v1::Case {
    v1::Case {
        file_code: nfc(&case.file_code),
        issuer: case.issuer.clone(),
        procedure_code: nfc(&case.procedure_code),
        step: nfc(&case.step),
    }
}

fn wire_part(part: &Part) -> v1::Part {
    v1::Part {
        name: display_name(&part.name),
        media_type: part.media_type.clone(),
        size: part.size,
        sha256: part.digest.0.to_vec().into(),
        role: nfc(&part.role),
    }
}

fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// Control, formatting and bidirectional characters.
fn is_unwanted(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00AD}' | '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_name_is_in_nfc_and_has_no_path_control_or_bidirectional_characters() {
        let check = |file_name: &str, expected: &str| assert_eq!(display_name(file_name), expected);
        check("Đơn đăng ký.pdf", "Đơn đăng ký.pdf");
        check("D\u{0323}o\u{031B}n.pdf", "Ḍơn.pdf");
        check("../../etc/passwd", "passwd");
        check("C:\\tài liệu\\a.pdf", "a.pdf");
        check("a\0b\u{202E}fdp.exe", "abfdp.exe");
        check("..", "part");
        check("", "part");
        assert_eq!(display_name(&"ư".repeat(300)).chars().count(), 255);
    }
}
