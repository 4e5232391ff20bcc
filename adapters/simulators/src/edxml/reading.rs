//! Reads what a document-management system wants of a package: by names alone, whatever the prefix.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Reader;
use quick_xml::events::Event;

/// What was seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// `From/OrganId`.
    pub from: String,
    /// `To/OrganId`.
    pub to: Vec<String>,
    /// `DocumentId` of the header; of a status that of the paper it is about.
    pub document_id: String,
    /// Number and notation.
    pub code: String,
    /// Abstract.
    pub subject: String,
    /// `StatusCode`; empty for papers.
    pub status: String,
    /// `Description` of a status, reason of a change.
    pub note: String,
    /// `ResponseFor/OrganId`.
    pub answered: String,
    /// `BussinessDocType`; empty is 0.
    pub business: String,
    /// Earlier papers that are named by a change.
    pub earlier: Vec<String>,
    /// Who handed it on.
    pub trace: Vec<String>,
    /// Files by name, as they were wrapped.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The package is not XML.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the package is not XML")]
pub struct NotXml;

/// Reads a package.
///
/// # Errors
/// [`NotXml`].
pub fn read(package: &[u8]) -> Result<Seen, NotXml> {
    let text = std::str::from_utf8(package).map_err(|_| NotXml)?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut seen = Seen::default();
    let mut path: Vec<String> = Vec::new();
    let (mut words, mut file) = (String::new(), (String::new(), Vec::new()));
    loop {
        match reader.read_event().map_err(|_| NotXml)? {
            Event::Start(start) => {
                path.push(start.local_name().into_inner().to_owned());
                words.clear();
            }
            Event::Text(text) => words.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let name = reference.xml10_content();
                let whole = format!("&{name};");
                words.push_str(&quick_xml::escape::unescape(&whole).map_err(|_| NotXml)?);
            }
            Event::End(_) => {
                take(&mut seen, &mut file, &path, words.trim());
                words.clear();
                path.pop();
            }
            Event::Eof => return Ok(seen),
            _ => {}
        }
    }
}

fn take(seen: &mut Seen, file: &mut (String, Vec<u8>), path: &[String], words: &str) {
    let last = |back: usize| path.len().checked_sub(back).and_then(|at| path.get(at)).map_or("", String::as_str);
    match (last(2), last(1)) {
        ("From", "OrganId") => seen.from = words.to_owned(),
        ("To", "OrganId") => seen.to.push(words.to_owned()),
        ("MessageHeader", "DocumentId") => seen.document_id = words.to_owned(),
        ("ResponseFor", "DocumentId") if seen.document_id.is_empty() => seen.document_id = words.to_owned(),
        ("ResponseFor", "OrganId") => seen.answered = words.to_owned(),
        ("Code", "CodeNumber") => seen.code = words.to_owned(),
        ("Code", "CodeNotation") if !words.is_empty() => seen.code = format!("{}/{words}", seen.code),
        ("ResponseFor", "Code") if seen.code.is_empty() => seen.code = words.to_owned(),
        (_, "Subject") => seen.subject = words.to_owned(),
        (_, "StatusCode") => seen.status = words.to_owned(),
        ("MessageHeader", "Description") | (_, "BussinessDocReason") => seen.note = words.to_owned(),
        (_, "BussinessDocType") => seen.business = words.to_owned(),
        ("Bussiness" | "ReplacementInfo", "DocumentId") => seen.earlier.push(words.to_owned()),
        ("TraceHeader", "OrganId") => seen.trace.push(words.to_owned()),
        ("Attachment", "AttachmentName") => file.0 = words.to_owned(),
        ("Attachment", "ContentTransferEncoded") => {
            let digits: String = words.chars().filter(|c| !c.is_whitespace()).collect();
            file.1 = STANDARD.decode(digits).unwrap_or_default();
        }
        (_, "Attachment") => seen.files.push(std::mem::take(file)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dialect;
    use super::super::writing::{Paper, Saying, paper, saying};
    use super::*;

    #[test]
    fn what_is_written_in_any_dialect_is_read() {
        for dialect in Dialect::ALL {
            let written = Paper { to: vec!["H99.12".into()], subject: "Đường & cầu".into(), ..Paper::default() };
            let seen = read(&paper(&written, "H99.30", "a,b/c", "2026/11/20 08:00:00", dialect)).unwrap();
            assert_eq!((seen.from.as_str(), seen.to.as_slice()), ("H99.30", ["H99.12".to_owned()].as_slice()));
            assert_eq!((seen.document_id.as_str(), seen.subject.as_str()), ("a,b/c", "Đường & cầu"));
            assert_eq!((seen.code.as_str(), seen.files[0].0.as_str()), ("15/TTr-UBND", "Tờ trình.pdf"));
            let said = Saying {
                to: "H99.30".into(),
                document_id: "a,b/c".into(),
                code: "15/TTr-UBND".into(),
                status: "03".into(),
                note: "Đã tiếp nhận".into(),
                at: "2026/11/20 09:00:00".into(),
            };
            let seen = read(&saying(&said, "H99.12", dialect)).unwrap();
            assert_eq!((seen.status.as_str(), seen.answered.as_str()), ("03", "H99.30"));
            assert_eq!((seen.document_id.as_str(), seen.note.as_str()), ("a,b/c", "Đã tiếp nhận"));
        }
    }
}
