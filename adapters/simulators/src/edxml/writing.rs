//! Writes packages in several dialects.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Dialect, NAMESPACE};

/// A signed paper that a clerk sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paper {
    /// Number, such as `15`.
    pub number: String,
    /// Notation, such as `TTr-UBND`.
    pub notation: String,
    /// Kind, such as `Tờ trình`.
    pub kind: String,
    /// Abstract.
    pub subject: String,
    /// `yyyy/MM/dd`.
    pub date: String,
    /// 0 to 4.
    pub priority: u8,
    /// Codes of the recipients.
    pub to: Vec<String>,
    /// Files by name.
    pub files: Vec<(String, Vec<u8>)>,
    /// 0 new, 1 recall, 2 update, 3 replace.
    pub business: u8,
    /// Why, for anything but a new paper.
    pub reason: String,
    /// The earlier paper of an update or a replacement.
    pub earlier: String,
    /// A one-stop dossier.
    pub is_dossier: bool,
    /// `yyyy/MM/dd` by which it is to be dealt with; empty: none.
    pub due: String,
}

impl Default for Paper {
    fn default() -> Self {
        Self {
            number: "15".to_owned(),
            notation: "TTr-UBND".to_owned(),
            kind: "Tờ trình".to_owned(),
            subject: "Về việc sửa chữa đường liên xã".to_owned(),
            date: "2026/11/20".to_owned(),
            priority: 0,
            to: Vec::new(),
            files: vec![("Tờ trình.pdf".to_owned(), b"%PDF-1.7 noi dung to trinh".to_vec())],
            business: 0,
            reason: String::new(),
            earlier: String::new(),
            is_dossier: false,
            due: String::new(),
        }
    }
}

/// A status that a clerk, or the system by itself, says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Saying {
    /// The agency that is told: that of the paper.
    pub to: String,
    /// The paper.
    pub document_id: String,
    /// Number and notation of the paper.
    pub code: String,
    /// `01` to `16`.
    pub status: String,
    /// Words.
    pub note: String,
    /// `yyyy/MM/dd HH:mm:ss`.
    pub at: String,
}

/// The bytes of a package.
pub fn paper(paper: &Paper, from: &str, document_id: &str, traced_at: &str, dialect: Dialect) -> Vec<u8> {
    let pieces = Pieces::new(paper, from, document_id, traced_at, dialect);
    match dialect {
        Dialect::Standard => pieces.standard(),
        Dialect::Bare => pieces.bare(),
        Dialect::Zipped => pieces.zipped(),
    }
    .into_bytes()
}

/// The bytes of a status package.
pub fn saying(saying: &Saying, from: &str, dialect: Dialect) -> Vec<u8> {
    let p = prefix(dialect);
    let declaration = declaration(dialect);
    let inside = format!(
        "{}{}{}{}{}{}",
        element(p, "From", &text(p, "OrganId", from)),
        element(
            p,
            "ResponseFor",
            &format!(
                "{}{}{}",
                text(p, "OrganId", &saying.to),
                text(p, "Code", &saying.code),
                text(p, "DocumentId", &saying.document_id)
            )
        ),
        element(p, "StaffInfo", &text(p, "Department", "Văn phòng")),
        text(p, "StatusCode", &saying.status),
        text(p, "Description", &saying.note),
        text(p, "Timestamp", &saying.at),
    );
    let header = element(p, "edXMLHeader", &element(p, "MessageHeader", &inside));
    root(dialect, &declaration, &element(p, "edXMLEnvelope", &header)).into_bytes()
}

struct Pieces<'a> {
    paper: &'a Paper,
    dialect: Dialect,
    p: &'static str,
    header: [String; 10],
    trace: String,
    business: String,
}

impl<'a> Pieces<'a> {
    fn new(paper: &'a Paper, from: &str, document_id: &str, traced_at: &str, dialect: Dialect) -> Self {
        let p = prefix(dialect);
        let to: String = paper.to.iter().map(|code| element(p, "To", &text(p, "OrganId", code))).collect();
        let code = format!("{}{}", text(p, "CodeNumber", &paper.number), text(p, "CodeNotation", &paper.notation));
        let application = if paper.is_dossier { text(p, "ApplicationType", "MCDT_DT") } else { String::new() };
        let due = if paper.due.is_empty() { String::new() } else { text(p, "DueDate", &paper.due) };
        let header = [
            element(p, "From", &text(p, "OrganId", from)),
            to,
            text(p, "DocumentId", document_id),
            element(p, "Code", &code),
            element(p, "PromulgationInfo", &text(p, "PromulgationDate", &paper.date)),
            element(p, "DocumentType", &text(p, "TypeName", &paper.kind)),
            text(p, "Subject", &paper.subject),
            element(p, "OtherInfo", &text(p, "Priority", &paper.priority.to_string())),
            application,
            due,
        ];
        let trace =
            element(p, "TraceHeader", &format!("{}{}", text(p, "OrganId", from), text(p, "Timestamp", traced_at)));
        let earlier = match paper.business {
            2 => text(p, "DocumentId", &paper.earlier),
            3 => element(
                p,
                "ReplacementInfoList",
                &element(p, "ReplacementInfo", &text(p, "DocumentId", &paper.earlier)),
            ),
            _ => String::new(),
        };
        let business = format!(
            "{}{earlier}{}",
            text(p, "BussinessDocType", &paper.business.to_string()),
            text(p, "BussinessDocReason", &paper.reason)
        );
        Self { paper, dialect, p, header, trace, business: element(p, "Bussiness", &business) }
    }

    fn standard(&self) -> String {
        let p = self.p;
        let header = element(p, "MessageHeader", &self.header.concat());
        let traces = element(p, "TraceHeaderList", &format!("{}{}", self.trace, self.business));
        let header = element(p, "edXMLHeader", &format!("{header}\n{traces}\n<Signature><SignedInfo/></Signature>"));
        let manifest = element(p, "edXMLManifest", &self.references());
        let envelope = element(p, "edXMLEnvelope", &format!("{header}\n{}", element(p, "edXMLBody", &manifest)));
        let body = format!("{envelope}\n{}", element(p, "AttachmentEncoded", &self.attachments()));
        root(self.dialect, &declaration(self.dialect), &body)
    }

    fn bare(&self) -> String {
        let p = self.p;
        let mut header = self.header.clone();
        header.reverse();
        let attachments = element(p, "AttachmentEncoded", &self.attachments());
        let traces = element(p, "TraceHeaderList", &format!("{}{}", self.business, self.trace));
        let header = element(p, "Header", &format!("{traces}\r\n{}", element(p, "MessageHeader", &header.concat())));
        root(self.dialect, &declaration(self.dialect), &format!("{attachments}\r\n{header}"))
    }

    fn zipped(&self) -> String {
        let p = self.p;
        let header = element(p, "MessageHeader", &self.header.concat());
        let traces = element(p, "TraceHeaderList", &format!("{}{}", self.trace, self.business));
        let manifest = element(p, "edXMLManifest", &self.references());
        let attachments = element(p, "AttachmentEncoded", &self.attachments());
        root(self.dialect, &declaration(self.dialect), &format!("{header}{traces}{manifest}{attachments}"))
    }

    fn references(&self) -> String {
        let one = |(index, (name, _)): (usize, &(String, Vec<u8>))| {
            let named = text(self.p, "AttachmentName", name);
            match self.dialect {
                Dialect::Zipped => {
                    format!("<{0}Reference xlink:href=\"cid:tep{index}\">{named}</{0}Reference>", self.p)
                }
                Dialect::Standard | Dialect::Bare => {
                    let id = text(self.p, "ContentId", &format!("cid:tep{index}"));
                    element(self.p, "Reference", &format!("{id}{named}"))
                }
            }
        };
        self.paper.files.iter().enumerate().map(one).collect()
    }

    fn attachments(&self) -> String {
        let one = |(index, (name, bytes)): (usize, &(String, Vec<u8>))| {
            let content = match self.dialect {
                Dialect::Standard => STANDARD.encode(bytes),
                Dialect::Bare => lines(&STANDARD.encode(bytes)),
                Dialect::Zipped => STANDARD.encode(zip_around(name, bytes)),
            };
            let id = text(self.p, "ContentId", &format!("tep{index}"));
            let named = text(self.p, "AttachmentName", name);
            element(
                self.p,
                "Attachment",
                &format!("{id}{named}<{0}ContentTransferEncoded>{content}</{0}ContentTransferEncoded>", self.p),
            )
        };
        self.paper.files.iter().enumerate().map(one).collect()
    }
}

fn lines(encoded: &str) -> String {
    let lines: Vec<String> =
        encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    lines.join("\r\n")
}

/// One entry with a name of its own and the extension of the file. An entry that cannot be written leaves an empty archive, which nobody
/// takes for the file.
fn zip_around(name: &str, bytes: &[u8]) -> Vec<u8> {
    let extension = name.rsplit_once('.').map_or("bin", |(_, extension)| extension);
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let entry = format!("{}.{extension}", uuid::Uuid::new_v4());
    let written = writer
        .start_file(entry, zip::write::SimpleFileOptions::default())
        .map_err(std::io::Error::other)
        .and_then(|()| writer.write_all(bytes));
    match written {
        Ok(()) => writer.finish().map(std::io::Cursor::into_inner).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Standard => "edXML:",
        Dialect::Bare => "",
        Dialect::Zipped => "q:",
    }
}

fn declaration(dialect: Dialect) -> String {
    match dialect {
        Dialect::Standard => "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n".to_owned(),
        Dialect::Bare => "\u{feff}<?xml version=\"1.0\"?>\r\n".to_owned(),
        Dialect::Zipped => String::new(),
    }
}

fn root(dialect: Dialect, declaration: &str, inside: &str) -> String {
    match dialect {
        Dialect::Standard => {
            format!("{declaration}<edXML xmlns=\"{NAMESPACE}\" xmlns:edXML=\"{NAMESPACE}\">\n{inside}\n</edXML>\n")
        }
        Dialect::Bare => format!("{declaration}<EdXMLEnvelope xmlns=\"{NAMESPACE}\">\r\n{inside}\r\n</EdXMLEnvelope>"),
        Dialect::Zipped => format!(
            "{declaration}<q:EdXML xmlns:q=\"{NAMESPACE}\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">{inside}</q:EdXML>"
        ),
    }
}

fn element(prefix: &str, name: &str, inside: &str) -> String {
    format!("<{prefix}{name}>{inside}</{prefix}{name}>")
}

fn text(prefix: &str, name: &str, text: &str) -> String {
    element(prefix, name, &quick_xml::escape::escape(text))
}
